//! Signing in to the page without a cookie, which would be shared by every port of this machine: a one-use code in the
//! link that `starling open` prints becomes a token that the page keeps for itself. SPEC: product 0.4 and 4.
//!
//! Only hashes of tokens are kept, in a file beside the vault, because the page has to unlock that. Codes and tickets
//! live in memory alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::{Encoding, HEXLOWER, Specification};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use starling_api::session::{EventTicket, LoginCode, OpenedSession, Session};
use starling_api::{ApiError, Code, SessionId, Time, Versioned};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "sessions.json";
/// Where the next one is written before it takes the name.
pub(crate) const NEW_FILE_NAME: &str = "sessions.json.new";

/// Random bytes of a code and of a ticket.
const CODE_BYTES: usize = 16;
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// How long a code is good, ms.
const CODE_MS: u64 = 10 * 60 * 1_000;
/// How long a ticket is good, ms.
const TICKET_MS: u64 = 10_000;
/// How long a session lasts after its last use, ms: of a browser that is not kept signed in, and of one that is.
const SESSION_MS: u64 = 24 * HOUR_MS;
const KEPT_MS: u64 = 30 * 24 * HOUR_MS;
const HOUR_MS: u64 = 3_600_000;
/// Codes, tickets and sessions at a time; the oldest, or the least used session, goes for a new one.
const CODES_MAX: usize = 8;
const TICKETS_MAX: usize = 64;
const SESSIONS_MAX: usize = 64;
/// Bytes of a browser's own name that are kept.
const BROWSER_BYTES_MAX: usize = 256;
/// Bytes of the file: all sessions, and room.
const FILE_BYTES_MAX: u64 = 128 * 1024;

/// Who asks: with the token of `api.json`, or from a signed-in browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A program that can read `api.json`.
    Program,
    /// A browser.
    Browser(SessionId),
}

/// Something that is good once, for a while.
struct Pass {
    hash: blake3::Hash,
    until_unix_ms: u64,
    asker: Asker,
}

/// A session, as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: SessionId,
    /// BLAKE3 of the token, 64 hex digits.
    token: String,
    created: Time,
    last_used: Time,
    kept: bool,
    browser: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    /// Number of the next session: an id is never used again.
    next: u64,
    sessions: Vec<Record>,
}

#[derive(Default)]
struct Inner {
    file: File,
    codes: Vec<Pass>,
    tickets: Vec<Pass>,
}

/// All sessions, codes and tickets of this node.
pub(crate) struct Sessions {
    data: PathBuf,
    inner: Mutex<Inner>,
    /// Counts what was revoked, so that open event sockets look whether it was theirs.
    revoked: watch::Sender<u64>,
}

impl Record {
    fn expires(&self) -> Time {
        Time(self.last_used.0.saturating_add(if self.kept { KEPT_MS } else { SESSION_MS }))
    }

    fn view(&self, asker: Asker) -> Session {
        Session {
            id: self.id,
            created: self.created,
            last_used: self.last_used,
            expires: self.expires(),
            kept: self.kept,
            browser: self.browser.clone(),
            current: asker == Asker::Browser(self.id),
        }
    }
}

/// Crockford's base32: no letter that looks like a digit.
fn base32() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    // The alphabet is a constant with 32 different symbols.
    specification.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
}

fn random(bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut drawn = Zeroizing::new(vec![0; bytes]);
    rand::rng().fill_bytes(&mut drawn);
    drawn
}

/// A code as it is hashed: in capitals, without hyphens and spaces.
fn plain(code: &str) -> Zeroizing<String> {
    let kept = code.chars().filter(|letter| !matches!(letter, '-' | ' '));
    Zeroizing::new(kept.take(64).map(|letter| letter.to_ascii_uppercase()).collect())
}

/// The pass of this hash, which is used up by this; all that are over go too.
fn take(passes: &mut Vec<Pass>, hash: &blake3::Hash, now: u64) -> Option<Asker> {
    passes.retain(|pass| pass.until_unix_ms > now);
    // blake3::Hash compares in constant time.
    let place = passes.iter().position(|pass| pass.hash == *hash)?;
    Some(passes.remove(place).asker)
}

fn put(passes: &mut Vec<Pass>, pass: Pass, most: usize) {
    if passes.len() >= most {
        passes.remove(0);
    }
    passes.push(pass);
}

impl Sessions {
    /// The sessions of earlier runs. A file that cannot be read is an empty one: browsers sign in again.
    pub(crate) fn load(data: &Path) -> Self {
        let file = read(&data.join(FILE_NAME)).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "the page's sessions cannot be read; browsers have to sign in again");
            }
            File::default()
        });
        let inner = Mutex::new(Inner { file, ..Inner::default() });
        Self { data: data.to_owned(), inner, revoked: watch::Sender::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new code for the page at `url`.
    pub(crate) fn new_code(&self, url: &str, now: u64) -> LoginCode {
        let text = base32().encode(&random(CODE_BYTES));
        let groups: Vec<&str> = text.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap_or("")).collect();
        let code = groups.join("-");
        let until_unix_ms = now.saturating_add(CODE_MS);
        let pass = Pass { hash: blake3::hash(plain(&code).as_bytes()), until_unix_ms, asker: Asker::Program };
        put(&mut self.inner().codes, pass, CODES_MAX);
        LoginCode { url: format!("{url}/#k={code}"), code, expires: Time(until_unix_ms) }
    }

    /// Opens a session for who has a code.
    ///
    /// # Errors
    /// `bad_code` when it is none, was used, or is too old; `vault_failed` when the session cannot be kept.
    pub(crate) fn open(
        &self,
        code: &str,
        keep: bool,
        browser: Option<&str>,
        now: u64,
    ) -> Result<OpenedSession, ApiError> {
        let hash = blake3::hash(plain(code).as_bytes());
        let mut inner = self.inner();
        take(&mut inner.codes, &hash, now).ok_or_else(|| {
            ApiError::new(Code::BadCode, "This link was used before, or is older than ten minutes.")
                .hint("Get a new one: starling open")
        })?;
        let token = HEXLOWER.encode(&random(TOKEN_BYTES));
        let record = Record {
            id: SessionId::new(inner.file.next),
            token: HEXLOWER.encode(blake3::hash(token.as_bytes()).as_bytes()),
            created: Time(now),
            last_used: Time(now),
            kept: keep,
            browser: browser.map(|name| name.chars().take(BROWSER_BYTES_MAX / 4).collect()),
        };
        inner.file.next = inner.file.next.saturating_add(1);
        inner.file.sessions.retain(|session| session.expires().0 > now);
        while inner.file.sessions.len() >= SESSIONS_MAX {
            let oldest = inner.file.sessions.iter().enumerate().min_by_key(|(_, session)| session.last_used);
            let Some(place) = oldest.map(|(place, _)| place) else { break };
            inner.file.sessions.remove(place);
        }
        let opened = OpenedSession { id: record.id, token, expires: record.expires() };
        inner.file.sessions.push(record);
        self.write(&inner.file).map_err(|error| {
            inner.file.sessions.pop();
            ApiError::new(Code::VaultFailed, format!("The session cannot be kept: {error}."))
        })?;
        Ok(opened)
    }

    /// Whose token this is.
    pub(crate) fn asker(&self, token: &[u8], now: u64) -> Option<Asker> {
        let hash = blake3::hash(token);
        let mut inner = self.inner();
        let is_it = |session: &&mut Record| {
            blake3::Hash::from_hex(&session.token).is_ok_and(|known| known == hash) && session.expires().0 > now
        };
        let session = inner.file.sessions.iter_mut().find(is_it)?;
        let id = session.id;
        if now.saturating_sub(session.last_used.0) >= HOUR_MS {
            session.last_used = Time(now);
            // Not written, it ends an hour early.
            if let Err(error) = self.write(&inner.file) {
                tracing::warn!(%error, "the page's sessions cannot be written");
            }
        }
        Some(Asker::Browser(id))
    }

    /// All open sessions.
    pub(crate) fn list(&self, asker: Asker, now: u64) -> Vec<Session> {
        let inner = self.inner();
        let open = inner.file.sessions.iter().filter(|session| session.expires().0 > now);
        open.map(|session| session.view(asker)).collect()
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// The file could not be written: the session would come back at the next start.
    pub(crate) fn revoke(&self, id: SessionId) -> io::Result<bool> {
        let mut inner = self.inner();
        let before = inner.file.sessions.len();
        inner.file.sessions.retain(|session| session.id != id);
        let found = inner.file.sessions.len() < before;
        if found {
            inner.tickets.retain(|ticket| ticket.asker != Asker::Browser(id));
            self.revoked.send_modify(|count| *count = count.wrapping_add(1));
            self.write(&inner.file)?;
        }
        Ok(found)
    }

    /// A ticket for the event socket: a browser cannot give a token with that.
    pub(crate) fn new_ticket(&self, asker: Asker, now: u64) -> EventTicket {
        let ticket = HEXLOWER.encode(&random(CODE_BYTES));
        let until_unix_ms = now.saturating_add(TICKET_MS);
        let pass = Pass { hash: blake3::hash(ticket.as_bytes()), until_unix_ms, asker };
        put(&mut self.inner().tickets, pass, TICKETS_MAX);
        EventTicket { ticket, expires: Time(until_unix_ms) }
    }

    /// Whose ticket this is; it is used up by this.
    pub(crate) fn use_ticket(&self, ticket: &str, now: u64) -> Option<Asker> {
        let hash = blake3::hash(ticket.as_bytes());
        take(&mut self.inner().tickets, &hash, now)
    }

    /// Changes when sessions are revoked.
    pub(crate) fn watch_revoked(&self) -> watch::Receiver<u64> {
        self.revoked.subscribe()
    }

    /// Whether who asked before may still ask.
    pub(crate) fn is_open(&self, asker: Asker, now: u64) -> bool {
        match asker {
            Asker::Program => true,
            Asker::Browser(id) => {
                self.inner().file.sessions.iter().any(|session| session.id == id && session.expires().0 > now)
            }
        }
    }

    /// For its owner alone, and whole or not at all.
    fn write(&self, file: &File) -> io::Result<()> {
        let text = serde_json::to_vec(&Versioned::new(file))?;
        let new = self.data.join(NEW_FILE_NAME);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut writing = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        writing.write_all(&text)?;
        writing.sync_all()?;
        fs::rename(&new, self.data.join(FILE_NAME))
    }
}

fn read(path: &Path) -> io::Result<File> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let file: Versioned<File> = serde_json::from_str(&text)?;
    Ok(file.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://127.0.0.1:7827";

    fn opened(sessions: &Sessions, keep: bool, now: u64) -> OpenedSession {
        sessions.open(&sessions.new_code(URL, now).code, keep, Some("Firefox"), now).unwrap()
    }

    #[test]
    fn a_code_opens_one_session_within_ten_minutes() {
        let data = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(data.path());
        let code = sessions.new_code(URL, 0);
        assert_eq!(code.url, format!("{URL}/#k={}", code.code));
        assert_eq!(code.code.len(), 26 + 6);
        let typed = code.code.to_lowercase().replace('-', " ");
        assert!(sessions.open(&typed, false, None, 1).is_ok());
        assert_eq!(sessions.open(&code.code, false, None, 1).err().unwrap().code, Code::BadCode);
        let late = sessions.new_code(URL, 0);
        assert_eq!(sessions.open(&late.code, false, None, CODE_MS).err().unwrap().code, Code::BadCode);
        for wrong in ["", "-", &"0".repeat(26), &"0".repeat(100_000)] {
            assert!(sessions.open(wrong, false, None, 0).is_err());
        }
        let first = sessions.new_code(URL, 0);
        (0..CODES_MAX).for_each(|_| drop(sessions.new_code(URL, 0)));
        assert!(sessions.open(&first.code, false, None, 0).is_err(), "so many codes wait and no more");
    }

    #[test]
    fn a_session_outlives_the_node_and_ends_a_day_or_a_month_after_its_last_use() {
        let data = tempfile::tempdir().unwrap();
        let (short, kept) = {
            let sessions = Sessions::load(data.path());
            (opened(&sessions, false, 0), opened(&sessions, true, 0))
        };
        let sessions = Sessions::load(data.path());
        let of = |session: &OpenedSession, now| sessions.asker(session.token.as_bytes(), now);
        assert_eq!(of(&short, SESSION_MS - 1), Some(Asker::Browser(short.id)));
        assert_eq!(of(&short, 2 * SESSION_MS - 2), Some(Asker::Browser(short.id)), "used a moment before its end");
        assert_eq!(of(&short, 4 * SESSION_MS), None);
        assert_eq!(of(&kept, KEPT_MS - 1), Some(Asker::Browser(kept.id)));
        assert_eq!(of(&kept, 3 * KEPT_MS), None);
        assert_eq!(sessions.asker(b"", 0), None);
        let text = fs::read_to_string(data.path().join(FILE_NAME)).unwrap();
        assert!(!text.contains(&short.token) && !text.contains(&kept.token));
    }

    #[test]
    fn a_revoked_session_is_over_at_once_and_for_good() {
        let data = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(data.path());
        let (one, other) = (opened(&sessions, true, 0), opened(&sessions, true, 0));
        let mut revoked = sessions.watch_revoked();
        let ticket = sessions.new_ticket(Asker::Browser(one.id), 0);
        assert!(sessions.revoke(one.id).unwrap() && !sessions.revoke(one.id).unwrap());
        assert!(revoked.has_changed().unwrap());
        revoked.mark_unchanged();
        assert!(!sessions.is_open(Asker::Browser(one.id), 1) && sessions.is_open(Asker::Browser(other.id), 1));
        assert_eq!(sessions.use_ticket(&ticket.ticket, 1), None);
        let again = Sessions::load(data.path());
        assert_eq!(again.asker(one.token.as_bytes(), 1), None);
        let list = again.list(Asker::Browser(other.id), 1);
        assert_eq!(list.iter().map(|session| (session.id, session.current)).collect::<Vec<_>>(), [(other.id, true)]);
    }

    #[test]
    fn a_ticket_is_good_once_and_for_ten_seconds() {
        let data = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(data.path());
        let ticket = sessions.new_ticket(Asker::Program, 0);
        assert_eq!(sessions.use_ticket(&ticket.ticket, 9_999), Some(Asker::Program));
        assert_eq!(sessions.use_ticket(&ticket.ticket, 9_999), None);
        let late = sessions.new_ticket(Asker::Program, 0);
        assert_eq!(sessions.use_ticket(&late.ticket, TICKET_MS), None);
    }

    #[test]
    fn so_many_sessions_and_the_least_used_goes_first() {
        let data = tempfile::tempdir().unwrap();
        let sessions = Sessions::load(data.path());
        let first = opened(&sessions, true, 0);
        (1..=SESSIONS_MAX as u64).for_each(|now| drop(opened(&sessions, true, now)));
        assert_eq!(sessions.list(Asker::Program, 100).len(), SESSIONS_MAX);
        assert_eq!(sessions.asker(first.token.as_bytes(), 100), None);
        assert!(fs::metadata(data.path().join(FILE_NAME)).unwrap().len() < FILE_BYTES_MAX);
    }

    #[test]
    fn a_damaged_file_signs_everybody_out_and_nothing_more() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE_NAME), "{").unwrap();
        let sessions = Sessions::load(data.path());
        assert!(sessions.list(Asker::Program, 0).is_empty());
        opened(&sessions, false, 0);
    }
}

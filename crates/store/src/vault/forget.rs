//! Forgetting: a new state key, all state records under it, the old key wiped. Then no old copy of a session,
//! a one-time key or a text on its way opens any more, wherever the database left it.
//!
//! It goes in bounded pieces between commits. Until the old key is wiped both open, so that a crash at any
//! point loses nothing: the next start finds two keys and goes on.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use starling_messenger::record::{RecordKind, VaultWrite};

use crate::disk::{self, OWN_FREE_BYTES_MIN};
use crate::vault::record_key::RecordKey;
use crate::vault::records::{PendingBatch, Records};
use crate::vault::state_key::StateKeyFile;
use crate::vault::{CommitState, Vault, VaultError};

/// Age at which the state key is replaced, ms.
pub const STATE_KEY_AGE_MS_MAX: u64 = 24 * 3_600_000;
/// Time from one state key to the next that a deletion asks for, ms: a peer that makes sessions come and go
/// must not have all records written without end.
pub const STATE_KEY_AGE_MS_MIN: u64 = 60_000;
/// Bytes that new state keys may cost a millisecond, on the average: 64 KiB a second.
const FORGET_BYTES_PER_MS: u64 = 64;
/// How long it rests when the disk is too short of room, ms.
const SHORT_DISK_REST_MS: u64 = 600_000;
/// Records of one piece.
const PIECE_RECORDS: usize = 128;
/// Bytes of records after which a piece ends.
const PIECE_BYTES: usize = 256 << 10;
/// Kinds under the state key: what loses its point if an old copy stays readable, and is bounded, so that it can be
/// written anew each day: a few megabytes, up to 128 MiB when peers leave contents unfinished.
const STATE_KINDS: [RecordKind; 10] = [
    RecordKind::Prekeys,
    RecordKind::Invite,
    RecordKind::Session,
    RecordKind::Skipped,
    RecordKind::Outbox,
    RecordKind::Request,
    RecordKind::PageKey,
    RecordKind::Early,
    RecordKind::Part,
    RecordKind::WaitingFile,
];

/// Whether the record at `key` is sealed under the state key.
pub(crate) fn is_state(key: &RecordKey) -> bool {
    STATE_KINDS.iter().any(|kind| *kind as u8 == key[0])
}

/// Whether `write` ends what has to be forgotten soon. Spent message keys and delivered texts go with the
/// day: they come with every message.
pub(crate) fn asks_to_forget(write: &VaultWrite) -> bool {
    let key = match write {
        VaultWrite::Put { .. } | VaultWrite::Read { .. } => return false,
        VaultWrite::Change { change, .. } => return change.forgets(),
        VaultWrite::Delete { key } => key,
    };
    matches!(key.kind, RecordKind::Session | RecordKind::Contact | RecordKind::Request | RecordKind::History)
}

/// How far forgetting is.
pub(crate) struct Forgetting {
    pub(crate) file: StateKeyFile,
    /// Something was deleted since the newest key was made.
    pub(crate) asked: bool,
    /// Records that may still be under the old key; `None` when there is no old key.
    waiting: Option<VecDeque<RecordKey>>,
    /// Records that no key opens: nothing was lost by us, and nothing may be wiped that might open them.
    unread: usize,
    /// Such records, and a slot that fails its check: for this run it rests.
    stalled: bool,
    /// Where the disk is measured before a new key is made.
    directory: PathBuf,
    /// The disk was short: it rests until then, ms since 1970.
    rests_until_unix_ms: u64,
    /// Bytes of records that the last new key cost.
    written_bytes: u64,
}

impl std::fmt::Debug for Forgetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forgetting").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Forgetting {
    /// Goes on with what a crash interrupted. A vault that was there before has its key replaced soon: what its
    /// last run deleted may not be forgotten yet.
    pub(crate) fn load(
        records: &Records,
        file: StateKeyFile,
        directory: &Path,
        asked: bool,
    ) -> Result<Self, VaultError> {
        let waiting = if file.has_leftover() { Some(state_keys_of(records)?) } else { None };
        let directory = directory.to_owned();
        Ok(Self {
            file,
            asked,
            waiting,
            unread: 0,
            stalled: false,
            directory,
            rests_until_unix_ms: 0,
            written_bytes: 0,
        })
    }

    /// How long the next step may wait.
    fn wait(&self, now_unix_ms: u64) -> Duration {
        if self.stalled {
            return Duration::from_millis(STATE_KEY_AGE_MS_MAX);
        }
        let made = self.file.made_unix_ms();
        // Parts that a peer never finishes may be many megabytes: they are not to be written again each minute.
        let pace_ms = self.written_bytes / FORGET_BYTES_PER_MS;
        let asked_ms = STATE_KEY_AGE_MS_MIN.max(pace_ms).min(STATE_KEY_AGE_MS_MAX);
        let age_max = if self.asked { asked_ms } else { STATE_KEY_AGE_MS_MAX };
        let due = match self.waiting {
            Some(_) => 0,
            // A key from the future was made under a clock that was wrong.
            None if now_unix_ms < made => 0,
            None => made.saturating_add(age_max),
        };
        // A rest that is longer than any was begun under such a clock.
        let rest = self.rests_until_unix_ms.saturating_sub(now_unix_ms).min(SHORT_DISK_REST_MS);
        Duration::from_millis(due.saturating_sub(now_unix_ms).max(rest))
    }

    fn step(&mut self, records: &Records, now_unix_ms: u64) -> Result<(), VaultError> {
        // What is written anew takes room for a while, which messages need more.
        if disk::free_bytes(&self.directory)? < OWN_FREE_BYTES_MIN {
            self.rests_until_unix_ms = now_unix_ms.saturating_add(SHORT_DISK_REST_MS);
            return Ok(());
        }
        let Some(waiting) = self.waiting.as_mut() else {
            self.file.add(now_unix_ms)?;
            records.use_state_keys(&self.file.keys());
            self.asked = false;
            self.unread = 0;
            self.written_bytes = 0;
            self.waiting = Some(state_keys_of(records)?);
            return Ok(());
        };
        if waiting.is_empty() {
            if self.unread > 0 && self.file.has_torn() {
                self.stalled = true;
                return Ok(());
            }
            self.file.wipe_old()?;
            records.use_state_keys(&self.file.keys());
            self.waiting = None;
            return Ok(());
        }
        let mut batch = PendingBatch::new(records);
        let mut bytes: usize = 0;
        for _ in 0..PIECE_RECORDS {
            let Some(key) = waiting.pop_front() else { break };
            match records.get(&key) {
                Ok(Some(value)) => {
                    bytes = bytes.saturating_add(value.len());
                    self.written_bytes = self.written_bytes.saturating_add(value.len() as u64);
                    batch.put(key, &value)?;
                }
                Ok(None) => {}
                Err(VaultError::Damaged(_)) => self.unread += 1,
                Err(error) => return Err(error),
            }
            if bytes >= PIECE_BYTES {
                break;
            }
        }
        if batch.is_empty() { Ok(()) } else { batch.commit() }
    }

    /// Whether something is left to do that should not wait for the next start, and can be done.
    fn must_finish(&self, now_unix_ms: u64) -> bool {
        let rests = self.stalled || self.rests_until_unix_ms > now_unix_ms;
        !rests && (self.asked || self.waiting.is_some())
    }
}

impl Vault {
    /// How long the next [`Vault::forget_step`] may wait; nothing when it is due.
    pub fn forget_wait(&self, now_unix_ms: u64) -> Duration {
        self.lock_state().forgetting.wait(now_unix_ms)
    }

    /// One bounded piece of replacing the state key: begins, goes on, or ends. Other commits may come between.
    ///
    /// # Errors
    /// As [`Vault::commit`]: the caller must end the process. Nothing is lost; the next start goes on.
    pub fn forget_step(&self, now_unix_ms: u64) -> Result<(), VaultError> {
        let mut state = self.lock_state();
        let CommitState { forgetting, failed, .. } = &mut *state;
        if *failed {
            return Err(VaultError::Failed);
        }
        if forgetting.stalled {
            return Ok(());
        }
        let stepped = forgetting.step(&self.records, now_unix_ms);
        *failed = stepped.is_err();
        stepped
    }

    /// Ends what is under way and does what was asked for, without a pause: before the vault is closed.
    ///
    /// # Errors
    /// As [`Vault::forget_step`].
    pub fn finish_forgetting(&self, now_unix_ms: u64) -> Result<(), VaultError> {
        while self.must_finish_forgetting(now_unix_ms) {
            self.forget_step(now_unix_ms)?;
        }
        Ok(())
    }

    fn must_finish_forgetting(&self, now_unix_ms: u64) -> bool {
        self.lock_state().forgetting.must_finish(now_unix_ms)
    }
}

fn state_keys_of(records: &Records) -> Result<VecDeque<RecordKey>, VaultError> {
    STATE_KINDS.into_iter().flat_map(|kind| records.keys_of_kind(kind)).collect()
}

#[cfg(test)]
mod tests;

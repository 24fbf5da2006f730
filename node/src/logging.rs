//! Logs: `starling.log` in the data directory and warnings on stderr.
//!
//! No log line holds a key, a text, a name or an address. That is held in three ways: our own crates never log one (a
//! test plants markers and searches a run's log for them); the events of other crates are not written at all, at any
//! level, because libp2p's name peers and addresses; and as an error of libp2p may still quote an address or a peer,
//! what looks like one is blanked on its way out. The file is bounded: at 10 MB it becomes `starling.log.1`, in the
//! place of the one before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

/// Name of the log in the data directory.
pub(crate) const FILE_NAME: &str = "starling.log";
/// Name of the one that is put aside.
pub(crate) const OLD_FILE_NAME: &str = "starling.log.1";
/// Variable that overrides `log.level`, in the notation of `EnvFilter`: `debug`, `starling_net=trace,info`.
pub(crate) const VARIABLE: &str = "STARLING_LOG";
/// Bytes at which the file is put aside.
const FILE_BYTES_MAX: u64 = 10_000_000;

/// A file that is put aside when it is full; the one before is replaced. It never grows past its limit by more than
/// one line, and a full disk loses lines, never the node.
struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit_bytes: u64,
}

impl RotatingFile {
    fn open(path: PathBuf, limit_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, limit_bytes })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        std::fs::rename(&self.path, old)?;
        *self = Self::open(self.path.clone(), self.limit_bytes)?;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.limit_bytes && self.rotate().is_err() {
            // Bounded comes first: a line that has no room is dropped.
            return Ok(line.len());
        }
        let written = self.file.write(line)?;
        self.bytes = self.bytes.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A place for log lines as tracing wants it: a line a lock, each without addresses and peers.
struct Lines<W>(Arc<Mutex<W>>);

impl<W> Lines<W> {
    fn to(place: W) -> Self {
        Self(Arc::new(Mutex::new(place)))
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let blanked = blanked(&String::from_utf8_lossy(line));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(blanked.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl<'writer, W: Write + 'writer> MakeWriter<'writer> for Lines<W> {
    type Writer = Self;

    fn make_writer(&'writer self) -> Self {
        Self(self.0.clone())
    }
}

/// `line` with `<hidden>` in the place of every IP address, multiaddr and libp2p peer id.
fn blanked(line: &str) -> String {
    let separates = |character: char| character.is_whitespace() || "=\"'()[]{}<>,;".contains(character);
    let mut blanked = String::with_capacity(line.len());
    for piece in line.split_inclusive(separates) {
        let word = piece.trim_end_matches(separates);
        if tells_a_peer(word.trim_end_matches([':', '.'])) {
            blanked.push_str("<hidden>");
            blanked.push_str(&piece[word.len()..]);
        } else {
            blanked.push_str(piece);
        }
    }
    blanked
}

fn tells_a_peer(word: &str) -> bool {
    let multiaddr = ["/ip4/", "/ip6/", "/dns", "/p2p/"].iter().any(|protocol| word.contains(protocol));
    let peer = word.len() >= 46 && (word.starts_with("12D3Koo") || word.starts_with("Qm"));
    multiaddr || peer || word.parse::<IpAddr>().is_ok() || word.parse::<SocketAddr>().is_ok()
}

/// Whether an event is of one of our crates. Anything else may name peers.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let krate = metadata.target().split("::").next().unwrap_or_default();
    krate == "starling" || krate.starts_with("starling_")
}

fn subscriber<F, E>(file: F, filter: EnvFilter, stderr: E) -> impl Subscriber + Send + Sync
where
    F: Write + Send + 'static,
    E: Write + Send + 'static,
{
    let (file, stderr) = (Lines::to(file), Lines::to(stderr));
    let to_file =
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(file).with_filter(filter.and(filter_fn(is_ours)));
    let to_stderr = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(stderr)
        .with_filter(LevelFilter::WARN.and(filter_fn(is_ours)));
    tracing_subscriber::registry().with(to_file).with(to_stderr)
}

/// What goes to the file: [`VARIABLE`] if it is set, else `level`.
///
/// # Errors
/// The variable cannot be read; the error is a sentence.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    EnvFilter::try_new(directives.as_deref().unwrap_or(level))
        .map_err(|error| format!("{VARIABLE} must be like 'debug' or 'starling_net=trace,info'; {error}"))
}

/// Starts logging of this process to `data/starling.log` as `filter` says and to stderr at `warn`, and lets a panic
/// leave its place in the log.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn start(data: &Path, filter: EnvFilter) -> io::Result<()> {
    let file = RotatingFile::open(data.join(FILE_NAME), FILE_BYTES_MAX)?;
    // Not `init()`: that would also take in the records of crates that use `log`.
    tracing::subscriber::set_global_default(subscriber(file, filter, io::stderr())).map_err(io::Error::other)?;
    note_panics();
    Ok(())
}

/// The place of a panic goes to the log; what it says may quote input, so that stays on stderr.
fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(place) = panic.location() {
            tracing::error!(file = place.file(), line = place.line(), "panic");
        }
        before(panic);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_file_is_bounded_and_one_old_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let old = folder.path().join("starling.log.1");
        let mut file = RotatingFile::open(path.clone(), 1_000).unwrap();
        for number in 0..1_000 {
            writeln!(file, "line {number:04}").unwrap();
            let bytes = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0);
            assert!(bytes(&path) <= 1_010 && bytes(&old) <= 1_010);
        }
        let kept: Vec<String> = lines(&old).into_iter().chain(lines(&path)).collect();
        assert_eq!(kept.last().unwrap(), "line 0999");
        let first: usize = kept[0]["line ".len()..].parse().unwrap();
        assert_eq!(kept.len(), 1_000 - first, "no line lost at the turn");
        // A second run goes on where the first ended.
        let again = RotatingFile::open(path.clone(), 1_000).unwrap();
        assert_eq!(again.bytes, std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn events_of_other_crates_are_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let open = |name: &str| RotatingFile::open(folder.path().join(name), 10_000).unwrap();
        let all = subscriber(open(FILE_NAME), EnvFilter::new("trace"), open("stderr"));
        tracing::subscriber::with_default(all, || {
            tracing::error!(target: "libp2p_swarm", "dialing /ip4/203.0.113.7/tcp/1");
            tracing::error!(target: "starlingx::net", "not ours either");
            tracing::warn!(target: "starling_net::swarm", "ours, a warning");
            tracing::debug!(target: "starling::core", "ours, a detail");
        });
        let written = lines(&path).join("\n");
        assert!(written.contains("ours, a warning") && written.contains("ours, a detail"), "{written}");
        assert!(!written.contains("203.0.113.7") && !written.contains("not ours"), "{written}");
        let stderr = lines(&folder.path().join("stderr")).join("\n");
        assert!(stderr.contains("ours, a warning") && !stderr.contains("detail"), "{stderr}");
    }

    #[test]
    fn addresses_and_peers_are_blanked_and_nothing_else() {
        let peer = "12D3KooWNPyh3ZSAJ4iFNwGBzeYZusDWdvkWQ87B8R87ac4UTY9s";
        for (line, clean) in [
            (
                format!("connected peer={peer} address=/ip4/203.0.113.7/tcp/1 dialed=false\n"),
                "connected peer=<hidden> address=<hidden> dialed=false\n",
            ),
            ("error=Failed([(\"203.0.113.7:4001\", Refused)])".to_owned(), "error=Failed([(\"<hidden>\", Refused)])"),
            ("to [2001:db8::7]:53: no route to 203.0.113.7.".to_owned(), "to [<hidden>]:53: no route to <hidden>"),
            (
                "2026-11-23T22:19:53.620792Z DEBUG starling::core: took_ms=12 v=0.1.0".to_owned(),
                "2026-11-23T22:19:53.620792Z DEBUG starling::core: took_ms=12 v=0.1.0",
            ),
        ] {
            assert_eq!(blanked(&line), clean);
        }
    }
}

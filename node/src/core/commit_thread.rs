//! The commit thread: takes turns that have writes, merges all that wait, commits once, durably, and
//! only then releases their outputs in order. Group commit without a timer, and no disk error inside
//! protocol code. Between commits it replaces the state key, daily and after deletions.
//!
//! A failed commit aborts the process: memory would be ahead of the disk, and the next sealed message
//! could use a key twice.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use starling_messenger::record::VaultWrite;
use starling_messenger::turn::Output;
use starling_store::vault::{EventBytes, Vault, VaultError};
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::bridge::Clock;
use super::event_log::{Happening, LoggedEvent, without_text};
use super::release::Release;

/// Turns that may wait for the disk; then the core waits too.
pub(crate) const BATCHES_MAX: usize = 64;
/// Longest look away from the calendar: a computer that slept has its state key replaced soon after.
const FORGET_WAIT_MAX: Duration = Duration::from_secs(600);

/// A turn that must be on the disk before it is seen.
pub(crate) struct Batch {
    pub(crate) at_unix_ms: u64,
    pub(crate) writes: Vec<VaultWrite>,
    /// Announcements of the daemon itself.
    pub(crate) happenings: Vec<Happening>,
    pub(crate) outputs: Vec<Output>,
    /// Told when it is on the disk.
    pub(crate) done: Option<oneshot::Sender<()>>,
}

/// Starts the thread; it ends when every sender is gone, after the last commit.
pub(crate) fn start(
    vault: Vault,
    release: Arc<Release>,
    newest_event: watch::Sender<u64>,
) -> std::io::Result<(SyncSender<Batch>, JoinHandle<()>)> {
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    let thread = std::thread::Builder::new()
        .name("commit".to_owned())
        .spawn(move || run(&vault, &receiver, &release, &newest_event))?;
    Ok((sender, thread))
}

fn run(vault: &Vault, receiver: &Receiver<Batch>, release: &Release, newest_event: &watch::Sender<u64>) {
    loop {
        let wait = vault.forget_wait(Clock::unix_ms_now()).min(FORGET_WAIT_MAX);
        match receiver.recv_timeout(wait) {
            Ok(first) => {
                let mut batches = vec![first];
                while batches.len() < BATCHES_MAX
                    && let Ok(next) = receiver.try_recv()
                {
                    batches.push(next);
                }
                commit(vault, batches, release, newest_event);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // One piece between two commits: neither waits long for the other.
        let now = Clock::unix_ms_now();
        if vault.forget_wait(now).is_zero() {
            vault.forget_step(now).unwrap_or_else(|error| abort(&error));
        }
    }
    vault.finish_forgetting(Clock::unix_ms_now()).unwrap_or_else(|error| abort(&error));
}

fn commit(vault: &Vault, batches: Vec<Batch>, release: &Release, newest_event: &watch::Sender<u64>) {
    let mut writes = Vec::new();
    let mut events = Vec::new();
    let mut outputs = Vec::new();
    let mut waiting = Vec::new();
    for batch in batches {
        writes.extend(batch.writes);
        waiting.extend(batch.done);
        let mut log = |happening| {
            let event = LoggedEvent { at_unix_ms: batch.at_unix_ms, happening };
            match event.encode() {
                Ok(bytes) => events.push(EventBytes { unix_ms: batch.at_unix_ms, bytes: Zeroizing::new(bytes) }),
                Err(error) => tracing::error!(%error, "an event is too large for the log"),
            }
        };
        batch.happenings.into_iter().for_each(&mut log);
        for output in batch.outputs {
            match output {
                Output::Event(event) => log(Happening::Core(Box::new(without_text(event)))),
                other => outputs.push(other),
            }
        }
    }
    let logged = events.len() as u64;
    match vault.commit(&writes, events) {
        Ok(first_sequence) if logged > 0 => {
            newest_event.send_replace(first_sequence + logged - 1);
        }
        Ok(_) => {}
        Err(error) => abort(&error),
    }
    release.all(outputs);
    // Who does not wait any more is not told.
    for done in waiting {
        let _ = done.send(());
    }
}

fn abort(error: &VaultError) -> ! {
    tracing::error!(%error, "the vault could not be written; the node ends so that nothing is lost");
    eprintln!("The vault could not be written: {error}. Starling ends here so that nothing is lost. Start it again.");
    std::process::abort()
}

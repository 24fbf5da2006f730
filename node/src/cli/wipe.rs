//! `starling wipe`: destroys account, contacts and messages on this computer, keys first. SPEC: product 2.1 and 3.
//!
//! With a node running it asks that to stop; it works without one, and never opens a vault.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use starling_api::{Versioned, api_file};
use starling_store::lock::{self, DirectoryLock, LockError};
use starling_store::wipe::{Wiped, is_anything_there, wipe};

use super::connect::{Context, disk_failure, starts_file};
use super::failure::{Exit, Failure};
use super::{clean, counted, hints, spans, up};
use crate::{config, logging, server};

/// What has to be typed.
const WORDS: &str = "delete everything";
/// How long a node may take to stop, where `--timeout` does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries of the lock.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Files of ours in a data directory that are not the store's.
const FILES: &[&str] = &[
    api_file::FILE_NAME,
    api_file::NEW_FILE_NAME,
    logging::FILE_NAME,
    logging::OLD_FILE_NAME,
    up::PEER_PORT_FILE,
    config::FILE_NAME,
    server::sessions::FILE_NAME,
    server::sessions::NEW_FILE_NAME,
];
const MEGABYTE: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Do not ask. There is no way back but a backup.
    #[arg(long)]
    yes_delete_everything: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let data = &context.data;
    let running = lock::holder(data).ok().flatten().is_some();
    if !running && !is_anything_there(data, FILES) {
        return say(context, &Wiped::default());
    }
    if !arguments.yes_delete_everything {
        confirm(context)?;
    }
    let lock = stop_and_lock(context)?;
    let wiped = wipe(data, lock, FILES, &mut rand::rng()).map_err(|error| {
        let message = format!("The keys in {} could not be overwritten: {error}. Nothing was removed.", data.display());
        Failure::new(Exit::Disk, "disk", message)
    })?;
    // Nothing of it is secret; but somebody who wipes wants it gone.
    if let Some(file) = starts_file(data) {
        let _ = std::fs::remove_file(file);
    }
    say(context, &wiped)
}

/// A word typed in a terminal; elsewhere only the flag counts.
fn confirm(context: &Context) -> Result<(), Failure> {
    let warning = format!(
        "This destroys the account, contacts and messages in {}. Only a backup brings them back.",
        context.data.display()
    );
    let refused = |message: String| Failure::new(Exit::Refused, "not_confirmed", message).hint(hints::WIPE);
    if !io::stdin().is_terminal() || context.terminal.json {
        return Err(refused(warning));
    }
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{warning}\nType '{WORDS}' to go on: ").and_then(|()| stderr.flush());
    let mut typed = String::new();
    io::stdin()
        .lock()
        .read_line(&mut typed)
        .map_err(|error| Failure::bad_input(format!("Nothing was typed: {error}")))?;
    if typed.trim() == WORDS { Ok(()) } else { Err(refused("Nothing was deleted.".to_owned())) }
}

/// Stops the node if one runs, and holds its directory from then on.
fn stop_and_lock(context: &Context) -> Result<DirectoryLock, Failure> {
    let data = &context.data;
    if lock::holder(data).ok().flatten().is_none() {
        return up::lock(data);
    }
    context.terminal.note("Stopping the node...");
    // A node that does not answer is told of below, when its lock does not come free.
    if let Ok(client) = context.client() {
        let _ = client.stop();
    }
    let deadline = Instant::now() + context.timeout_or(TIMEOUT);
    loop {
        match DirectoryLock::acquire(data) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { pid }) if Instant::now() >= deadline => {
                let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                let message = format!("The node{who} does not stop. Nothing was deleted.");
                return Err(Failure::new(Exit::Conflict, "already_running", message).hint(hints::STOP));
            }
            Err(LockError::Held { .. }) => std::thread::sleep(LOOK_INTERVAL),
            Err(LockError::Io(error)) => return Err(disk_failure(data, &error)),
        }
    }
}

fn say(context: &Context, wiped: &Wiped) -> Result<Exit, Failure> {
    let (terminal, data) = (&context.terminal, context.data.display());
    if let Some((path, reason)) = wiped.failed.first() {
        let more = counted(wiped.failed.len() as u64, "file");
        let message = format!(
            "The keys are destroyed, but {more} could not be removed; the first is {}: {reason}",
            path.display()
        );
        return Err(Failure::new(Exit::Disk, "disk", message).detail("removed", wiped.files));
    }
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({
            "keys": wiped.keys, "files": wiped.files, "bytes": wiped.bytes, "foreign": wiped.foreign,
        })))?;
        return Ok(Exit::Ok);
    }
    if wiped.files == 0 {
        terminal.line(&format!("There is nothing of Starling in {data}."))?;
        return Ok(Exit::Ok);
    }
    let (keys, files) = (counted(u64::from(wiped.keys), "key"), counted(wiped.files, "file"));
    let megabytes = spans::thousands(wiped.bytes / MEGABYTE);
    terminal.line(&format!("Wiped {data}: {keys} overwritten, then {files} removed ({megabytes} MB)."))?;
    if !wiped.foreign.is_empty() {
        let names: Vec<String> = wiped.foreign.iter().map(|name| clean::line(name)).collect();
        terminal.note(&format!("Not ours, and still there: {}", names.join(", ")));
    }
    terminal.note("Backups elsewhere, and what contacts have, are not touched.");
    Ok(Exit::Ok)
}

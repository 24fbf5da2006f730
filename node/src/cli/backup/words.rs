//! What `starling backup` says.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use starling_api::Time;
use starling_messenger::backup::{CONTENTS_VERSION, ImportError, Summary};
use starling_store::backup::{BACKUP_VERSION, BackupError};

use crate::cli::connect::disk_failure;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{clean, counted, spans, times};

/// Code of a wrong passphrase, as in the API.
pub(super) const WRONG_PASSPHRASE: &str = "wrong_passphrase";
const KILOBYTE: u64 = 1_024;

/// `512 bytes`, `41 KB`, `3 MB`
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        ..KILOBYTE => counted(bytes, "byte"),
        KILOBYTE..1_048_576 => format!("{} KB", bytes / KILOBYTE),
        _ => format!("{} MB", spans::thousands(bytes / (KILOBYTE * KILOBYTE))),
    }
}

/// As in the API: 64 hex digits.
fn account(summary: &Summary) -> String {
    summary.account.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn owner(summary: &Summary) -> String {
    if summary.name.is_empty() { "an account without a name".to_owned() } else { clean::line(&summary.name) }
}

fn messages(summary: &Summary) -> String {
    let mut words = counted(summary.messages, "message");
    if summary.waiting > 0 {
        words.push_str(&format!(", {} not yet delivered", spans::thousands(summary.waiting)));
    }
    words
}

/// One line about a backup that was made.
pub(super) fn made(path: &Path, bytes: u64, summary: &Summary) -> String {
    let (contacts, messages) = (counted(summary.contacts, "contact"), messages(summary));
    let mut line =
        format!("Backup of {}: {contacts}, {messages}; {} in {}", owner(summary), size(bytes), path.display());
    if summary.unreadable > 0 {
        line.push_str(&format!("\n{} could not be read and are not in it.", counted(summary.unreadable, "message")));
    }
    line
}

/// One line about an account that was restored.
pub(super) fn restored(data: &Path, summary: &Summary) -> String {
    let contacts = counted(summary.contacts, "contact");
    format!("Restored {} in {}: {contacts}, {}.", owner(summary), data.display(), messages(summary))
}

/// What `check` prints.
pub(super) fn contents(path: &Path, bytes: u64, summary: &Summary) -> Vec<String> {
    let mut lines = vec![
        format!("{} is whole: every piece passes its check ({}).", path.display(), size(bytes)),
        format!("Of        {}", owner(summary)),
        format!("Account   {}", account(summary)),
        format!(
            "Made      {}, format {BACKUP_VERSION}.{CONTENTS_VERSION}",
            times::clock(Time(summary.created_unix_ms))
        ),
        format!("Network   {}", clean::line(&summary.network)),
        format!("Contacts  {}", spans::thousands(summary.contacts)),
        format!("Messages  {}", messages(summary)),
        format!("Requests  {}", spans::thousands(summary.requests)),
        format!("Invites   {}", spans::thousands(summary.invites)),
    ];
    if summary.unreadable > 0 {
        lines.push(format!("Missing   {} that could not be read", counted(summary.unreadable, "message")));
    }
    lines
}

/// The same for programs.
pub(super) fn object(path: &Path, bytes: u64, summary: &Summary) -> Value {
    json!({
        "file": path.display().to_string(),
        "bytes": bytes,
        "format": BACKUP_VERSION,
        "contents": CONTENTS_VERSION,
        "created": Time(summary.created_unix_ms).to_string(),
        "network": summary.network,
        "account": account(summary),
        "name": summary.name,
        "contacts": summary.contacts,
        "messages": summary.messages,
        "undelivered": summary.waiting,
        "requests": summary.requests,
        "invites": summary.invites,
        "open_invites": summary.open_invites,
        "unreadable": summary.unreadable,
    })
}

/// There is a file already.
pub(super) fn exists(path: &Path) -> Failure {
    let message = format!("{} is there already, and stays as it is. Replace it: --force", path.display());
    Failure::new(Exit::Conflict, "exists", message)
}

/// The backup cannot be read at all.
pub(super) fn not_read(path: &Path, error: &io::Error) -> Failure {
    Failure::bad_input(format!("{} cannot be read: {error}", path.display()))
}

/// The disk took no more.
pub(super) fn not_written(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = format!("The disk is full. Nothing of {} was kept.", path.display());
        return Failure::new(Exit::Disk, "disk_full", message).hint("Free some space, or write it elsewhere.");
    }
    disk_failure(path, error)
}

/// The node ended, or gave up, within the backup.
pub(super) fn broken(path: &Path, error: &io::Error) -> Failure {
    let message =
        format!("The node ended before the backup was whole ({error}). Nothing of {} was kept.", path.display());
    Failure::new(Exit::NoNode, "disconnected", message)
}

fn newer(kind: &str, found: u16, supported: u16) -> Failure {
    let version = env!("CARGO_PKG_VERSION");
    let message = format!(
        "Written by a newer Starling ({kind} {found}); this is {version} and reads up to {supported}. Nothing was changed."
    );
    Failure::new(Exit::Version, "version_too_new", message)
}

fn damaged(message: String) -> Failure {
    Failure::new(Exit::Disk, "backup_damaged", message).hint("Copy it again from where it came, or use another backup.")
}

/// The file is no backup that opens.
pub(super) fn refused(path: &Path, error: BackupError) -> Failure {
    let name = path.display();
    match error {
        BackupError::NoBackup => Failure::new(Exit::Usage, "no_backup", format!("{name} is no Starling backup.")),
        BackupError::Newer { found, supported } => newer("backup format", found, supported),
        BackupError::WrongPassphrase | BackupError::EmptyPassphrase => {
            Failure::new(Exit::Refused, WRONG_PASSPHRASE, "That passphrase does not open this backup.")
        }
        BackupError::Cut { bytes } => {
            damaged(format!("{name} is cut short: only its first {} are whole.", counted(bytes, "byte")))
        }
        BackupError::Damaged { from, to } => {
            let (from, to) = (spans::thousands(from), spans::thousands(to));
            damaged(format!("{name} is damaged or cut short, between byte {from} and byte {to}."))
        }
        BackupError::TooLarge { .. } => damaged(format!("{name} holds what no backup holds: {error}.")),
        BackupError::OutOfMemory => Failure::unexpected("Too little memory to try the passphrase."),
        BackupError::Io(error) => not_read(path, &error),
    }
}

/// What is in the file is no backup that this build reads.
pub(super) fn contents_refused(path: &Path, error: ImportError) -> Failure {
    match error {
        ImportError::Newer { found, supported } => newer("backup contents", found, supported),
        ImportError::Damaged => damaged(format!("{} opens, but what is in it is damaged.", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_words_and_exit_code() {
        let path = Path::new("ana.starling");
        let told = |error| {
            let failure = refused(path, error);
            (failure.exit as u8, failure.message)
        };
        assert_eq!(told(BackupError::NoBackup), (2, "ana.starling is no Starling backup.".to_owned()));
        assert_eq!(told(BackupError::WrongPassphrase), (4, "That passphrase does not open this backup.".to_owned()));
        let (exit, message) = told(BackupError::Newer { found: 7, supported: 1 });
        assert_eq!(exit, 10);
        assert!(message.starts_with("Written by a newer Starling (backup format 7); this is "), "{message}");
        let cut = told(BackupError::Cut { bytes: 65_622 });
        assert_eq!(cut, (8, "ana.starling is cut short: only its first 65,622 bytes are whole.".to_owned()));
        let damaged = told(BackupError::Damaged { from: 70, to: 65_622 });
        assert_eq!(damaged.0, 8);
        assert!(damaged.1.ends_with("between byte 70 and byte 65,622."), "{}", damaged.1);
        assert_eq!(contents_refused(path, ImportError::Newer { found: 2, supported: 1 }).exit, Exit::Version);
        assert_eq!(contents_refused(path, ImportError::Damaged).exit, Exit::Disk);
        let full = not_written(path, &io::ErrorKind::StorageFull.into());
        assert_eq!(
            (full.exit, full.message.as_str()),
            (Exit::Disk, "The disk is full. Nothing of ana.starling was kept.")
        );
        assert_eq!(exists(path).exit, Exit::Conflict);
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(1, "1 byte"), (512, "512 bytes"), (41_984, "41 KB"), (3_145_728, "3 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}

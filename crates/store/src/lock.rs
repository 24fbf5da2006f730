//! One process a data directory: two nodes on one vault would seal twice under one key.
//!
//! The lock is the kernel's (`flock`), on a file of ours: it ends with its process, however that dies, so a
//! file left behind never says that a node runs. The pid inside is only for the message.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

use crate::atomic_file;

/// Name of the lock file in a data directory.
pub const LOCK_FILE: &str = "lock";
/// Bytes of the lock file that are read: a pid and a line end.
const PID_BYTES_MAX: u64 = 16;
/// How often, and how far apart, a held lock is tried.
const ATTEMPTS: u32 = 5;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);

/// Why a data directory could not be locked: this computer, or another process on it.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another Starling uses this directory (pid {})", pid.map_or("unknown".to_owned(), |pid| pid.to_string()))]
    Held {
        /// Its process id; none in the instant before it has written it.
        pid: Option<u32>,
    },
    /// The lock file could not be made or locked.
    #[error("the lock file failed: {0}")]
    Io(#[from] io::Error),
}

/// A locked data directory, until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Locks `directory`, which is created if it is not there. Waits at most 50 ms.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process (or another lock in this one) holds it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        atomic_file::create_private_directory(directory)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join(LOCK_FILE))?;
        lock_exclusively(&file)?;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

/// Tries a few times: [`holder`], asked by another process, holds the lock for an instant.
fn lock_exclusively(file: &File) -> Result<(), LockError> {
    for attempt in 1.. {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if attempt < ATTEMPTS => std::thread::sleep(ATTEMPT_PAUSE),
            Err(Errno::WOULDBLOCK) => break,
            Err(error) => return Err(LockError::Io(error.into())),
        }
    }
    Err(LockError::Held { pid: read_pid(file) })
}

/// The process that holds the lock of `directory` now; `None` when nobody does, whatever the file says.
///
/// # Errors
/// The lock file could not be read.
pub fn holder(directory: &Path) -> Result<Option<u32>, LockError> {
    let file = match File::open(directory.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(read_pid(&file)),
        Err(error) => Err(LockError::Io(error.into())),
    }
}

fn read_pid(mut file: &File) -> Option<u32> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let refused = DirectoryLock::acquire(directory.path()).unwrap_err();
        assert!(matches!(refused, LockError::Held { pid: Some(pid) } if pid == std::process::id()));
        assert_eq!(holder(directory.path()).unwrap(), Some(std::process::id()));
        drop(lock);
        assert_eq!(holder(directory.path()).unwrap(), None);
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_pid_that_was_left_behind_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(LOCK_FILE), "4294967294 and some more text than a pid has\n").unwrap();
        assert_eq!(holder(directory.path()).unwrap(), None);
        DirectoryLock::acquire(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join(LOCK_FILE)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}

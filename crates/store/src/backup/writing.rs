//! Writing a backup: records go in one after another, sealed pieces come out; and the file that is there whole or not
//! at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use rand_core::CryptoRng;
use starling_messenger::backup::BACKUP_RECORD_BYTES_MAX;
use zeroize::Zeroizing;

use super::head::Head;
use super::{BackupError, PIECE_BYTES, nonce};
use crate::atomic_file;
use crate::seal_at_rest::PassphraseCost;

/// Seals records into `out`. Without [`BackupWriter::finish`] what was written does not open as a whole.
pub struct BackupWriter<W: Write> {
    out: W,
    cipher: ChaCha20Poly1305,
    head: Head,
    /// What waits for its piece to be full.
    piece: Zeroizing<Vec<u8>>,
    next: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup under `passphrase`: takes the time and the memory that `cost` says.
    ///
    /// # Errors
    /// [`BackupError::EmptyPassphrase`], [`BackupError::OutOfMemory`], [`BackupError::Io`].
    pub fn new(
        mut out: W,
        passphrase: &str,
        cost: PassphraseCost,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, BackupError> {
        let head = Head::new(passphrase, cost, rng)?;
        out.write_all(&head.bytes)?;
        let cipher = ChaCha20Poly1305::new(&Key::from(*head.key));
        Ok(Self { out, cipher, head, piece: Zeroizing::new(Vec::with_capacity(PIECE_BYTES)), next: 0 })
    }

    /// Adds a record of at most [`BACKUP_RECORD_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`BackupError::TooLarge`]; [`BackupError::Io`], after which the backup is of no use.
    pub fn record(&mut self, kind: u16, bytes: &[u8]) -> Result<(), BackupError> {
        let too_large = || BackupError::TooLarge { bytes: bytes.len(), limit: BACKUP_RECORD_BYTES_MAX };
        let length = u32::try_from(bytes.len()).map_err(|_| too_large())?;
        if bytes.len() > BACKUP_RECORD_BYTES_MAX {
            return Err(too_large());
        }
        self.push(&kind.to_le_bytes())?;
        self.push(&length.to_le_bytes())?;
        self.push(bytes)
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), BackupError> {
        while !bytes.is_empty() {
            // A full piece waits for what comes after it, as it might be the last.
            if self.piece.len() == PIECE_BYTES {
                self.seal(false)?;
            }
            let room = PIECE_BYTES - self.piece.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> Result<(), BackupError> {
        let payload = Payload { msg: &self.piece, aad: &self.head.bytes };
        let nonce = Nonce::from(nonce(self.next, last));
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_| io::Error::other("a piece was not sealed"))?;
        self.out.write_all(&sealed)?;
        self.next += 1;
        self.piece.clear();
        Ok(())
    }

    /// Ends the backup. Where it was written to is not synced yet.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn finish(mut self) -> Result<W, BackupError> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A backup on its way to `path`: private, and there under its name only when it is whole. Dropped before that, it
/// leaves nothing.
#[derive(Debug)]
pub struct BackupFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl BackupFile {
    /// Begins the file at `path`, under another name beside it.
    ///
    /// # Errors
    /// It cannot be created there.
    pub fn create(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let temporary = Self::temporary_of(path);
        // Whatever a crash left there under the number of this process is ours.
        let file = atomic_file::create_private(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned(), kept: false })
    }

    /// Where a backup that is to lie at `path` lies while this process makes it.
    pub fn temporary_of(path: &Path) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        path.with_file_name(name)
    }

    /// Where it lies for now.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Gives the file its name, durably. What was there goes if `replace` says so.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when something is there that may not go; the disk is full, or the folder gone.
    pub fn keep(mut self, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            fs::rename(&self.temporary, &self.path)?;
        } else {
            self.keep_if_free()?;
        }
        self.kept = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        atomic_file::sync_directory(folder.unwrap_or(Path::new(".")))
    }
}

impl BackupFile {
    /// A second name fails when the name is taken, also by somebody who was quicker. A disk without second names (a
    /// memory stick) leaves the instant between looking and renaming.
    fn keep_if_free(&self) -> io::Result<()> {
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => fs::remove_file(&self.temporary),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) if fs::symlink_metadata(&self.path).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(&self.temporary, &self.path),
        }
    }
}

impl Write for BackupFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        if !self.kept {
            // The error that matters was the first.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

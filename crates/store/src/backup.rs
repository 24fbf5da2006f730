//! A backup as one file, sealed under a passphrase of its own. SPEC.md, "Backup".
//!
//! ```text
//! head 70    magic 8 "STARBAK\0" | version 2 | memory_kib 4 | passes 4 | lanes 4 | salt 16 | check 16 | checksum 16
//! pieces     of 65,536 bytes of records, the last one shorter or as long; each 16 longer when sealed
//! record     kind 2 | length 4 | bytes
//! ```
//! Argon2id makes a key from the passphrase and the file's own salt; of that come the sealing key and `check`, by which a
//! wrong passphrase is told from damage. Piece number n is sealed by ChaCha20-Poly1305 under the nonce
//! `n 8 | last 1 | 0 0 0` with the head as associated data (the STREAM construction): a piece that is missing, moved,
//! repeated, added or of another file does not open, nor does the file without its end.

mod head;
mod reading;
mod writing;

use std::io;

use thiserror::Error;

use crate::seal_at_rest::KeyError;

pub use reading::BackupReader;
pub use writing::{BackupFile, BackupWriter};

/// Version of the files that this build writes.
pub const BACKUP_VERSION: u16 = 1;
/// Bytes of records in a piece.
const PIECE_BYTES: usize = 65_536;
/// Bytes by which a piece is longer when sealed.
const TAG_BYTES: usize = 16;
/// Bytes before a record: kind and length.
const RECORD_HEAD_BYTES: usize = 6;

/// Why a backup could not be written or read. The person's or this computer's; never a peer's.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file does not begin like a backup.
    #[error("this is no Starling backup")]
    NoBackup,
    /// Written by a newer Starling.
    #[error("backup version {found} is newer than the {supported} that this build reads")]
    Newer {
        /// Version of the file.
        found: u16,
        /// Newest version that this build reads.
        supported: u16,
    },
    /// The passphrase is another one.
    #[error("that passphrase does not open this backup")]
    WrongPassphrase,
    /// An empty passphrase protects nothing.
    #[error("a passphrase has at least one character")]
    EmptyPassphrase,
    /// The file ends before its end.
    #[error("the backup is cut short after {bytes} bytes")]
    Cut {
        /// Bytes that are there and whole.
        bytes: u64,
    },
    /// A piece does not open: a byte of it was changed, or it does not belong there.
    #[error("the backup is damaged between byte {from} and byte {to}")]
    Damaged {
        /// Where the damaged part begins.
        from: u64,
        /// Where it ends.
        to: u64,
    },
    /// A record is larger than there may be.
    #[error("a record has {bytes} bytes; {limit} fit")]
    TooLarge {
        /// Bytes of the record.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not enough memory to hash the passphrase.
    #[error("too little memory to try the passphrase")]
    OutOfMemory,
    /// The file could not be read or written.
    #[error("the backup failed: {0}")]
    Io(#[from] io::Error),
}

impl From<KeyError> for BackupError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::OutOfMemory => Self::OutOfMemory,
            KeyError::Io(error) => Self::Io(error),
            // Hashing fails for no other reason than costs that make no sense.
            _ => Self::Damaged { from: 0, to: head::HEAD_BYTES as u64 },
        }
    }
}

/// The nonce of a piece.
fn nonce(number: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[8] = u8::from(last);
    nonce
}

#[cfg(test)]
mod tests;

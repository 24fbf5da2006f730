//! Reading a backup: every piece is checked before a byte of it is looked at.

use std::io::Read;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use starling_messenger::backup::{BACKUP_RECORD_BYTES_MAX, BackupRecord};
use zeroize::Zeroizing;

use super::head::{HEAD_BYTES, Head};
use super::{BackupError, PIECE_BYTES, RECORD_HEAD_BYTES, TAG_BYTES, nonce};

/// Bytes of a piece in the file.
const SEALED_BYTES: usize = PIECE_BYTES + TAG_BYTES;

/// Opens the records of a backup, one after another.
pub struct BackupReader<R: Read> {
    input: R,
    cipher: ChaCha20Poly1305,
    head: Head,
    /// Sealed bytes read ahead: a piece is the last one when nothing comes after it.
    ahead: Vec<u8>,
    next: u64,
    piece: Zeroizing<Vec<u8>>,
    /// How much of the piece was given away.
    used: usize,
    ended: bool,
}

impl<R: Read> BackupReader<R> {
    /// Opens the backup in `input` by its passphrase: takes the time and the memory that were chosen with it.
    ///
    /// # Errors
    /// [`BackupError::NoBackup`], [`BackupError::Newer`], [`BackupError::WrongPassphrase`], [`BackupError::Damaged`] of
    /// its head, [`BackupError::Cut`].
    pub fn open(mut input: R, passphrase: &str) -> Result<Self, BackupError> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        input.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut bytes)?;
        let head = Head::open(&bytes, passphrase)?;
        let cipher = ChaCha20Poly1305::new(&Key::from(*head.key));
        let mut ahead = Vec::with_capacity(SEALED_BYTES + 1);
        input.by_ref().take(SEALED_BYTES as u64 + 1).read_to_end(&mut ahead)?;
        let piece = Zeroizing::new(Vec::new());
        Ok(Self { input, cipher, head, ahead, next: 0, piece, used: 0, ended: false })
    }

    /// Bytes of the file that were read and are whole.
    pub fn position_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + self.next * SEALED_BYTES as u64
    }

    /// The next record; `None` at the end of a whole backup.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::Cut`], [`BackupError::Io`]; nothing more comes after one.
    pub fn next_record(&mut self) -> Result<Option<BackupRecord>, BackupError> {
        let mut head = [0; RECORD_HEAD_BYTES];
        if !self.fill(&mut head, true)? {
            return Ok(None);
        }
        let [a, b, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > BACKUP_RECORD_BYTES_MAX {
            return Err(BackupError::TooLarge { bytes: length, limit: BACKUP_RECORD_BYTES_MAX });
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        self.fill(&mut bytes, false)?;
        Ok(Some(BackupRecord { kind: u16::from_le_bytes([a, b]), bytes }))
    }

    /// Takes as many bytes as `target` has; whether there were any, which only `may_end` allows not to be.
    fn fill(&mut self, target: &mut [u8], may_end: bool) -> Result<bool, BackupError> {
        let mut filled = 0;
        while filled < target.len() {
            if self.used == self.piece.len() && !self.next_piece()? {
                if filled == 0 && may_end {
                    return Ok(false);
                }
                // Sealed like this by whoever knew the passphrase, and no backup of ours.
                let end = self.position_bytes();
                return Err(BackupError::Damaged { from: end, to: end });
            }
            let there = self.piece.get(self.used..).unwrap_or_default();
            let count = there.len().min(target.len() - filled);
            target[filled..filled + count].copy_from_slice(&there[..count]);
            filled += count;
            self.used += count;
        }
        Ok(true)
    }

    /// Opens the next piece; whether there is one.
    fn next_piece(&mut self) -> Result<bool, BackupError> {
        if self.ended {
            return Ok(false);
        }
        let last = self.ahead.len() <= SEALED_BYTES;
        let (sealed, rest) = self.ahead.split_at(self.ahead.len().min(SEALED_BYTES));
        let opened = self.open_piece(sealed, last);
        let Some(piece) = opened else { return Err(self.failure(sealed, last)) };
        let mut ahead = rest.to_vec();
        let wanted = (SEALED_BYTES + 1).saturating_sub(ahead.len()) as u64;
        self.input.by_ref().take(wanted).read_to_end(&mut ahead)?;
        self.ahead = ahead;
        (self.piece, self.used, self.ended) = (piece, 0, last);
        self.next += 1;
        Ok(true)
    }

    fn open_piece(&self, sealed: &[u8], last: bool) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload { msg: sealed, aad: &self.head.bytes };
        self.cipher.decrypt(&Nonce::from(nonce(self.next, last)), payload).map(Zeroizing::new).ok()
    }

    /// What is wrong with a piece that does not open: the end is missing, or a byte is another.
    fn failure(&self, sealed: &[u8], last: bool) -> BackupError {
        let from = self.position_bytes();
        let to = from + sealed.len() as u64;
        let is_whole = last && sealed.len() == SEALED_BYTES && self.open_piece(sealed, false).is_some();
        if is_whole {
            return BackupError::Cut { bytes: to };
        }
        if sealed.len() < TAG_BYTES {
            return BackupError::Cut { bytes: from };
        }
        BackupError::Damaged { from, to }
    }
}

//! Sealing of values: ChaCha20-Poly1305 (RFC 8439) under one key with a random nonce each, and the database
//! key as associated data, so that a value moved to another key does not open. 96 random bits repeat with a
//! chance of 2^-33 after 2^32 writes, more than a person's vault ever sees.
//!
//! ```text
//! pieces 1 | nonce 12 | ciphertext | tag 16     cut into pieces of 4,096 bytes
//! ```
//! `pieces` is authenticated too.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use rand::Rng;
use zeroize::Zeroizing;

use crate::seal_at_rest::MasterKey;
use crate::vault::record_key::{KEY_BYTES, RecordKey};
use crate::vault::{VALUE_BYTES_MAX, VaultError};

/// Bytes of a piece. sled moves pages over 128 KiB into files that it never syncs, and a page holds up to
/// 20 pieces.
pub(crate) const PIECE_BYTES: usize = 4_096;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + NONCE_BYTES;

const DAMAGED: VaultError = VaultError::Damaged("a record fails its check");

/// Seals and opens values.
pub(crate) struct Sealer {
    cipher: ChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        let key = master.derive("starling vault 1 record sealing");
        Self::under(&key)
    }

    /// Seals under `key` itself.
    pub(crate) fn under(key: &[u8; 32]) -> Self {
        Self { cipher: ChaCha20Poly1305::new(&Key::from(*key)) }
    }

    /// Seals `value` for `key`: all its pieces one after another.
    pub(crate) fn seal(&self, key: &RecordKey, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        let too_large = VaultError::TooLarge { bytes: value.len() };
        if value.len() > VALUE_BYTES_MAX {
            return Err(too_large);
        }
        let sealed_bytes = HEAD_BYTES + value.len() + TAG_BYTES;
        let Ok(pieces) = u8::try_from(sealed_bytes.div_ceil(PIECE_BYTES)) else { return Err(too_large) };
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: value, aad: &associated_data(key, pieces) };
        let ciphertext = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| too_large)?;
        let mut sealed = Vec::with_capacity(sealed_bytes);
        sealed.push(pieces);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }

    /// The value that was sealed for `key`.
    pub(crate) fn open(&self, key: &RecordKey, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (head, ciphertext) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(DAMAGED)?;
        let [pieces, nonce @ ..] = *head;
        let payload = Payload { msg: ciphertext, aad: &associated_data(key, pieces) };
        self.cipher.decrypt(&Nonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| DAMAGED)
    }
}

/// Number of pieces of a value, by its first.
pub(crate) fn pieces_of(first_piece: &[u8]) -> u8 {
    first_piece.first().copied().unwrap_or(1).max(1)
}

fn associated_data(key: &RecordKey, pieces: u8) -> [u8; KEY_BYTES + 1] {
    let mut data = [0; KEY_BYTES + 1];
    data[..KEY_BYTES].copy_from_slice(key);
    data[KEY_BYTES] = pieces;
    data
}

//! The first bytes of a backup: what a passphrase is hashed with, and by what a wrong one is known.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{BACKUP_VERSION, BackupError};
use crate::seal_at_rest::{PassphraseCost, hash_passphrase};

const MAGIC: &[u8; 8] = b"STARBAK\0";
const CHECK_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 16;
/// Bytes of the head.
pub(super) const HEAD_BYTES: usize = 8 + 2 + PassphraseCost::BYTES + 16 + CHECK_BYTES + CHECKSUM_BYTES;

/// A head, and the key of the pieces after it.
pub(super) struct Head {
    /// As they stand in the file; the associated data of every piece.
    pub(super) bytes: [u8; HEAD_BYTES],
    /// Seals the pieces.
    pub(super) key: Zeroizing<[u8; 32]>,
}

impl Head {
    /// Of a new file.
    pub(super) fn new(passphrase: &str, cost: PassphraseCost, rng: &mut impl CryptoRng) -> Result<Self, BackupError> {
        if passphrase.is_empty() {
            return Err(BackupError::EmptyPassphrase);
        }
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let hashed = hash_passphrase(passphrase, &salt, cost)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&BACKUP_VERSION.to_le_bytes());
        bytes.extend_from_slice(&cost.to_bytes());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&check(&hashed));
        bytes.extend_from_slice(&checksum(&bytes));
        let bytes = bytes.try_into().map_err(|_| damaged())?;
        Ok(Self { bytes, key: key(&hashed) })
    }

    /// Of a file that begins with `bytes`, by its passphrase. A file that is shorter than a head is cut, or none of ours.
    pub(super) fn open(bytes: &[u8], passphrase: &str) -> Result<Self, BackupError> {
        if bytes.iter().zip(MAGIC).any(|(byte, expected)| byte != expected) || bytes.is_empty() {
            return Err(BackupError::NoBackup);
        }
        let cut = BackupError::Cut { bytes: bytes.len() as u64 };
        let Some((version, _)) = bytes.get(MAGIC.len()..).and_then(|rest| rest.split_first_chunk::<2>()) else {
            return Err(cut);
        };
        let found = u16::from_le_bytes(*version);
        // A newer version may have another head.
        if found > BACKUP_VERSION {
            return Err(BackupError::Newer { found, supported: BACKUP_VERSION });
        }
        let Ok(bytes) = <[u8; HEAD_BYTES]>::try_from(bytes) else { return Err(cut) };
        let (body, sum) = bytes.split_at(HEAD_BYTES - CHECKSUM_BYTES);
        if found == 0 || checksum(body) != *sum {
            return Err(damaged());
        }
        let rest = &body[MAGIC.len() + 2..];
        let (cost, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (salt, expected) = rest.split_first_chunk().ok_or_else(damaged)?;
        let cost = PassphraseCost::from_bytes(cost).ok_or_else(damaged)?;
        let hashed = hash_passphrase(passphrase, salt, cost)?;
        // Guessing at the check is no cheaper than guessing at the first piece: both need the whole hash.
        if check(&hashed) != *expected {
            return Err(BackupError::WrongPassphrase);
        }
        Ok(Self { bytes, key: key(&hashed) })
    }
}

fn damaged() -> BackupError {
    BackupError::Damaged { from: 0, to: HEAD_BYTES as u64 }
}

fn key(hashed: &Zeroizing<[u8; 32]>) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("starling backup 1 key", hashed.as_slice()))
}

fn check(hashed: &Zeroizing<[u8; 32]>) -> [u8; CHECK_BYTES] {
    let check = blake3::derive_key("starling backup 1 check", hashed.as_slice());
    check.first_chunk().copied().unwrap_or_default()
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    blake3::hash(bytes).as_bytes().first_chunk().copied().unwrap_or_default()
}

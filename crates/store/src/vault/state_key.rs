//! The file of the state key: what seals the records that a thief of the disk must not find in old copies.
//!
//! A log-structured store keeps old copies of its records for a time nobody knows. So sessions and the like
//! are sealed under a key that lives alone in a file of two slots, which is overwritten in place; when the key
//! is gone, so are all copies. The blocks are the same ones on file systems that overwrite in place (ext4,
//! xfs); a copy-on-write file system or the spare blocks of a flash disk may keep what was there.
//!
//! ```text
//! slot 4,096 = word 8 | generation 8 | made_unix_ms 8 | nonce 12 | sealed key 48 | zeros | BLAKE3 32
//! ```
//! Integers little-endian; the key is sealed under the master key (ChaCha20-Poly1305) with the first 24 bytes
//! as associated data; the checksum is over all bytes before it. A slot of zeros is free. One whose checksum
//! fails was being written or wiped at a crash: nothing is sealed under it alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use rand::Rng;
use zeroize::Zeroizing;

use crate::atomic_file;
use crate::seal_at_rest::MasterKey;
use crate::vault::VaultError;

/// Name of the file in the vault's directory.
pub(crate) const STATE_KEY_FILE: &str = "state.key";
/// Bytes of a slot: a block of the disk, so that it is overwritten without a neighbour.
pub(crate) const SLOT_BYTES: usize = 4_096;
const SLOTS: usize = 2;
const WORD: &[u8; 8] = b"STSTATE1";
const HEAD_BYTES: usize = 24;
const NONCE_END: usize = HEAD_BYTES + 12;
const SEALED_END: usize = NONCE_END + 48;
const SUM_START: usize = SLOT_BYTES - 32;

type SlotBytes = Zeroizing<[u8; SLOT_BYTES]>;

/// A state key.
pub(crate) struct StateKey {
    /// Counts from 1; of two keys the higher is the one that seals.
    pub(crate) generation: u64,
    /// When it was made, ms since 1970.
    pub(crate) made_unix_ms: u64,
    pub(crate) key: Zeroizing<[u8; 32]>,
}

enum Slot {
    Free,
    Torn,
    Key(StateKey),
}

/// The open file with what its slots hold.
pub(crate) struct StateKeyFile {
    file: File,
    cipher: ChaCha20Poly1305,
    slots: [Slot; SLOTS],
}

impl StateKeyFile {
    /// Opens the file in `directory`, changing nothing; `None` when there is none.
    ///
    /// # Errors
    /// [`VaultError::WrongKey`] when a whole slot was sealed under another master key;
    /// [`VaultError::Damaged`] when no slot holds a key.
    pub(crate) fn open(directory: &Path, master: &MasterKey) -> Result<Option<Self>, VaultError> {
        let path = directory.join(STATE_KEY_FILE);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if fs::metadata(&path)?.len() != (SLOT_BYTES * SLOTS) as u64 {
            return Err(VaultError::Damaged("its state key file has another length"));
        }
        let cipher = cipher(master);
        let slots = [read_slot(&file, &cipher, 0)?, read_slot(&file, &cipher, 1)?];
        let opened = Self { file, cipher, slots };
        opened.current_slot().ok_or(VaultError::Damaged("its state key"))?;
        Ok(Some(opened))
    }

    /// Makes the file in `directory`, with a first key.
    pub(crate) fn create(directory: &Path, master: &MasterKey, now_unix_ms: u64) -> Result<Self, VaultError> {
        let first = new_key(1, now_unix_ms);
        let mut bytes = Zeroizing::new(vec![0; SLOT_BYTES * SLOTS]);
        bytes[..SLOT_BYTES].copy_from_slice(encode(&cipher(master), &first)?.as_slice());
        atomic_file::replace(&directory.join(STATE_KEY_FILE), &bytes)?;
        Self::open(directory, master)?.ok_or(VaultError::Damaged("its state key file is gone"))
    }

    /// The keys, newest first: the first one seals, either opens.
    pub(crate) fn keys(&self) -> Vec<&StateKey> {
        let mut keys: Vec<_> = self.slots.iter().filter_map(key_in).collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.generation));
        keys
    }

    /// When the newest key was made, ms since 1970.
    pub(crate) fn made_unix_ms(&self) -> u64 {
        self.keys().first().map_or(0, |key| key.made_unix_ms)
    }

    /// Whether there is a slot besides the newest key's that is not wiped yet.
    pub(crate) fn has_leftover(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Torn)) || self.keys().len() > 1
    }

    /// Whether a slot fails its checksum.
    pub(crate) fn has_torn(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Torn))
    }

    /// Writes a new key into the free slot, durably. The old one stays.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when no slot is free; [`VaultError::Io`].
    pub(crate) fn add(&mut self, now_unix_ms: u64) -> Result<(), VaultError> {
        let free = self.slots.iter().position(|slot| matches!(slot, Slot::Free));
        let free = free.ok_or(VaultError::Damaged("its state key file has no free slot"))?;
        let newest = self.keys().first().map_or(0, |key| key.generation);
        let key = new_key(newest.saturating_add(1), now_unix_ms);
        let bytes = encode(&self.cipher, &key)?;
        self.write(free, &bytes)?;
        self.slots[free] = Slot::Key(key);
        Ok(())
    }

    /// Wipes every slot but the newest key's, durably.
    pub(crate) fn wipe_old(&mut self) -> Result<(), VaultError> {
        let current = self.current_slot();
        for index in (0..SLOTS).filter(|index| Some(*index) != current) {
            if !matches!(self.slots[index], Slot::Free) {
                self.write(index, &Zeroizing::new([0; SLOT_BYTES]))?;
                self.slots[index] = Slot::Free;
            }
        }
        Ok(())
    }

    fn current_slot(&self) -> Option<usize> {
        let generation = |index: &usize| key_in(&self.slots[*index]).map(|key| key.generation);
        (0..SLOTS).filter(|index| generation(index).is_some()).max_by_key(generation)
    }

    fn write(&self, slot: usize, bytes: &SlotBytes) -> io::Result<()> {
        self.file.write_all_at(bytes.as_slice(), (slot * SLOT_BYTES) as u64)?;
        self.file.sync_data()
    }
}

fn key_in(slot: &Slot) -> Option<&StateKey> {
    if let Slot::Key(key) = slot { Some(key) } else { None }
}

fn cipher(master: &MasterKey) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*master.derive("starling vault 1 state key sealing")))
}

fn new_key(generation: u64, made_unix_ms: u64) -> StateKey {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(key.as_mut_slice());
    StateKey { generation, made_unix_ms, key }
}

fn encode(cipher: &ChaCha20Poly1305, key: &StateKey) -> Result<SlotBytes, VaultError> {
    let mut bytes = Zeroizing::new([0; SLOT_BYTES]);
    bytes[..8].copy_from_slice(WORD);
    bytes[8..16].copy_from_slice(&key.generation.to_le_bytes());
    bytes[16..HEAD_BYTES].copy_from_slice(&key.made_unix_ms.to_le_bytes());
    let mut nonce = [0; NONCE_END - HEAD_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    let payload = Payload { msg: key.key.as_slice(), aad: &bytes[..HEAD_BYTES] };
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::Damaged("its state key"))?;
    bytes[HEAD_BYTES..NONCE_END].copy_from_slice(&nonce);
    bytes[NONCE_END..SEALED_END].copy_from_slice(&sealed);
    let sum = blake3::hash(&bytes[..SUM_START]);
    bytes[SUM_START..].copy_from_slice(sum.as_bytes());
    Ok(bytes)
}

fn read_slot(file: &File, cipher: &ChaCha20Poly1305, slot: usize) -> Result<Slot, VaultError> {
    let mut bytes = Zeroizing::new([0; SLOT_BYTES]);
    file.read_exact_at(bytes.as_mut_slice(), (slot * SLOT_BYTES) as u64)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Slot::Free);
    }
    if bytes[SUM_START..] != *blake3::hash(&bytes[..SUM_START]).as_bytes() {
        return Ok(Slot::Torn);
    }
    if bytes[..8] != *WORD {
        return Err(VaultError::Damaged("its state key has an unknown format"));
    }
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    let mut nonce = [0; NONCE_END - HEAD_BYTES];
    nonce.copy_from_slice(&bytes[HEAD_BYTES..NONCE_END]);
    let payload = Payload { msg: &bytes[NONCE_END..SEALED_END], aad: &bytes[..HEAD_BYTES] };
    // The checksum holds, so the bytes are as they were written: under another master key.
    let opened = cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::WrongKey)?;
    let opened = Zeroizing::new(opened);
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&opened);
    Ok(Slot::Key(StateKey { generation: number(8), made_unix_ms: number(16), key }))
}

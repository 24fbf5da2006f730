//! The `ids` file of a closed hour: its entries sorted by id, so that one is found by a few reads, and a
//! summary that is kept in memory.
//!
//! ```text
//! header 64:    magic 8 "STARPOOL" | version 1 | class 1 | zero 2 | topic 4 | epoch 4 | count 4 | slots 4
//!               | zero 4 | first arrival 8 | last arrival 8 | zero 16
//! entries       64 * count, sorted by id
//! fingerprints  4 * count: first bytes of the tags, sorted
//! hashes 64:    BLAKE3 of header and fingerprints 32 | BLAKE3 of all before it 32
//! ```
//! The first hash is checked at open, the second whenever all entries are read. A tag is looked up among the
//! fingerprints, and the file is read only when one fits: 3 in a million strangers' tags do.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use starling_wire::envelope::{EnvelopeId, Tag};

use crate::atomic_file;
use crate::pool_files::entry::{ENTRY_BYTES, Entry, SLOTS_MAX};
use crate::pool_files::names::{ShelfFile, ShelfKey};

const MAGIC: &[u8; 8] = b"STARPOOL";
const VERSION: u8 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
const FINGERPRINT_BYTES: usize = 4;
const HASHES_BYTES: usize = 64;

/// Summary of a sealed shelf.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    key: ShelfKey,
    pub(crate) count: u32,
    /// Slots of the bodies file when it was sealed.
    pub(crate) slots: u32,
    /// Lowest and highest arrival number; 1 and 0 when it is empty.
    pub(crate) first_arrival: u64,
    pub(crate) last_arrival: u64,
    fingerprints: Box<[u32]>,
}

impl SealedIndex {
    /// Reads the summary; `None` when it is damaged, and [`io::ErrorKind::NotFound`] when there is none.
    pub(crate) fn open(directory: &Path, key: ShelfKey) -> io::Result<Option<Self>> {
        let file = File::open(key.path(directory, ShelfFile::Ids))?;
        let file_bytes = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES];
        if file_bytes < (HEADER_BYTES + HASHES_BYTES) as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0)?;
        let Some(mut index) = Self::decode_header(key, &header).filter(|index| index.file_bytes() == file_bytes) else {
            return Ok(None);
        };
        let mut tail = vec![0; index.count as usize * FINGERPRINT_BYTES + HASHES_BYTES];
        file.read_exact_at(&mut tail, (HEADER_BYTES + index.count as usize * ENTRY_BYTES) as u64)?;
        let (fingerprints, hashes) = tail.split_at(tail.len() - HASHES_BYTES);
        if !hashes.starts_with(summary_hash(&header, fingerprints).as_bytes()) {
            return Ok(None);
        }
        index.fingerprints = fingerprints.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        Ok(Some(index))
    }

    /// Writes `entries`, sorted by id here, as the index of `key` to `path`, synced, and gives its summary.
    pub(crate) fn write(path: &Path, key: ShelfKey, slots: u32, entries: &mut [Entry]) -> io::Result<Self> {
        entries.sort_unstable_by_key(|entry| entry.id);
        let mut fingerprints: Vec<u32> = entries.iter().map(|entry| fingerprint(&entry.tag)).collect();
        fingerprints.sort_unstable();
        let index = Self {
            key,
            count: u32::try_from(entries.len()).map_err(|_| io::ErrorKind::InvalidData)?,
            slots,
            first_arrival: entries.iter().map(|entry| entry.arrival).min().unwrap_or(1),
            last_arrival: entries.iter().map(|entry| entry.arrival).max().unwrap_or(0),
            fingerprints: fingerprints.into_boxed_slice(),
        };
        let header = index.encode_header();
        let fingerprints: Vec<u8> = index.fingerprints.iter().flat_map(|print| print.to_le_bytes()).collect();
        let mut bytes = Vec::with_capacity(index.file_bytes() as usize);
        bytes.extend_from_slice(&header);
        entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.encode()));
        bytes.extend_from_slice(&fingerprints);
        bytes.extend_from_slice(summary_hash(&header, &fingerprints).as_bytes());
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        let mut file = atomic_file::create_private(path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(index)
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        u64::from(self.count) * (ENTRY_BYTES + FINGERPRINT_BYTES) as u64 + (HEADER_BYTES + HASHES_BYTES) as u64
    }

    /// Whether an envelope may be here under one of the tags whose fingerprints are `prints`, in rising order.
    pub(crate) fn may_hold_any(&self, prints: &[u32]) -> bool {
        let mut rest = &self.fingerprints[..];
        prints.iter().any(|print| {
            rest = &rest[rest.partition_point(|other| other < print)..];
            rest.first() == Some(print)
        })
    }

    /// The entry of `id`, by a binary search in the file.
    pub(crate) fn find(&self, directory: &Path, id: &EnvelopeId) -> io::Result<Option<Entry>> {
        let file = File::open(self.key.path(directory, ShelfFile::Ids))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        // The file may be a newer one than the summary in an older view.
        let Some(current) = Self::decode_header(self.key, &header) else { return Ok(None) };
        let (mut low, mut high) = (0, current.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut bytes = [0; ENTRY_BYTES];
            file.read_exact_at(&mut bytes, (HEADER_BYTES + middle as usize * ENTRY_BYTES) as u64)?;
            match bytes[..32].cmp(&id.0) {
                std::cmp::Ordering::Equal => return Ok(Entry::decode(&bytes)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    /// All entries of the file as it is now; `None` when its hash is wrong. Empty when it is gone.
    pub(crate) fn load(&self, directory: &Path) -> io::Result<Option<Vec<Entry>>> {
        let bytes = match std::fs::read(self.key.path(directory, ShelfFile::Ids)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
            Err(error) => return Err(error),
        };
        Ok(decode_verified(self.key, &bytes))
    }

    /// As [`SealedIndex::load`], but a damaged file gives whatever may be an entry, and `true`.
    pub(crate) fn load_or_salvage(&self, directory: &Path) -> io::Result<(Vec<Entry>, bool)> {
        match self.load(directory)? {
            Some(entries) => Ok((entries, false)),
            None => Ok((salvage(directory, self.key)?, true)),
        }
    }

    fn encode_header(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = VERSION;
        bytes[9] = self.key.class.byte();
        bytes[12..16].copy_from_slice(&self.key.topic.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.key.epoch.0.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.slots.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_arrival.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.last_arrival.to_le_bytes());
        bytes
    }

    fn decode_header(key: ShelfKey, bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let number = |start: usize| u32::from_le_bytes(std::array::from_fn(|at| bytes[start + at]));
        let long = |start: usize| u64::from_le_bytes(std::array::from_fn(|at| bytes[start + at]));
        let index = Self {
            key,
            count: number(20),
            slots: number(24),
            first_arrival: long(32),
            last_arrival: long(40),
            fingerprints: Box::default(),
        };
        // Whatever differs from what we write is damage, of the other fields as well.
        (index.encode_header() == *bytes && index.count <= SLOTS_MAX && index.slots <= SLOTS_MAX).then_some(index)
    }
}

fn decode_verified(key: ShelfKey, bytes: &[u8]) -> Option<Vec<Entry>> {
    let (body, hash) = bytes.split_last_chunk::<32>()?;
    let index = SealedIndex::decode_header(key, body.first_chunk()?)?;
    if blake3::hash(body).as_bytes() != hash || index.file_bytes() != bytes.len() as u64 {
        return None;
    }
    let entries = body.get(HEADER_BYTES..HEADER_BYTES + index.count as usize * ENTRY_BYTES)?;
    entries.as_chunks().0.iter().map(Entry::decode).collect()
}

/// Whatever may be an entry in a damaged file: each has to be proved by its body.
pub(crate) fn salvage(directory: &Path, key: ShelfKey) -> io::Result<Vec<Entry>> {
    let mut bytes = Vec::new();
    let limit = (SLOTS_MAX as usize * ENTRY_BYTES) as u64;
    File::open(key.path(directory, ShelfFile::Ids))?.take(limit).read_to_end(&mut bytes)?;
    let entries = bytes.get(HEADER_BYTES..).unwrap_or_default();
    Ok(entries.as_chunks().0.iter().filter_map(Entry::decode).collect())
}

fn summary_hash(header: &[u8], fingerprints: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(header).update(fingerprints).finalize()
}

/// By what a tag is known in the summary.
pub(crate) fn fingerprint(tag: &Tag) -> u32 {
    let [a, b, c, d, ..] = tag.0;
    u32::from_le_bytes([a, b, c, d])
}

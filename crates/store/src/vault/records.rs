//! Records in sled's tree: sealed, cut into pieces, read back whole; and the batch by which they change.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use starling_messenger::record::{RecordKind, VaultKey};
use zeroize::Zeroizing;

use crate::seal_at_rest::MasterKey;
use crate::vault::pages::{self, Page};
use crate::vault::record_key::{KEY_BYTES, KeyHasher, PARENT_BYTES, RecordKey};
use crate::vault::sealer::{PIECE_BYTES, Sealer, pieces_of};
use crate::vault::state_key::StateKey;
use crate::vault::{VaultError, forget};

/// An open database with its keys. Shared by the vault and its readers.
pub(crate) struct Records {
    database: sled::Db,
    /// Our own handle on sled's file: the one through which a commit becomes durable.
    file: File,
    sealer: Sealer,
    /// Under the state keys, newest first: the first seals, all open.
    state_sealers: RwLock<Vec<Sealer>>,
    hasher: KeyHasher,
    /// Newest event that survives a power cut; readers see none beyond it.
    durable_event: AtomicU64,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

impl Records {
    pub(crate) fn new(database: sled::Db, file: &Path, master: &MasterKey) -> Result<Self, VaultError> {
        Ok(Self {
            database,
            file: File::open(file)?,
            sealer: Sealer::new(master),
            state_sealers: RwLock::new(Vec::new()),
            hasher: KeyHasher::new(master),
            durable_event: AtomicU64::new(0),
        })
    }

    /// Seals state records under the first of `keys`, and opens them under any.
    pub(crate) fn use_state_keys(&self, keys: &[&StateKey]) {
        let sealers = keys.iter().map(|key| Sealer::under(&key.key)).collect();
        *self.state_sealers.write().unwrap_or_else(PoisonError::into_inner) = sealers;
    }

    /// Seals a record that lies in no page.
    fn seal(&self, key: &RecordKey, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        if !forget::is_state(key) {
            return self.sealer.seal(key, value);
        }
        let sealers = self.state_sealers.read().unwrap_or_else(PoisonError::into_inner);
        sealers.first().ok_or(VaultError::Damaged("its state key is missing"))?.seal(key, value)
    }

    fn unseal(&self, key: &RecordKey, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        if let Some(page) = Page::of(key) {
            return page.sealer(self)?.ok_or(VaultError::Damaged("the key of a page is missing"))?.open(key, sealed);
        }
        if !forget::is_state(key) {
            return self.sealer.open(key, sealed);
        }
        let sealers = self.state_sealers.read().unwrap_or_else(PoisonError::into_inner);
        let mut opened = Err(VaultError::Damaged("its state key is missing"));
        for sealer in sealers.iter() {
            opened = sealer.open(key, sealed);
            if opened.is_ok() {
                break;
            }
        }
        opened
    }

    pub(crate) fn durable_event(&self) -> u64 {
        self.durable_event.load(Ordering::Acquire)
    }

    pub(crate) fn set_durable_event(&self, number: u64) {
        self.durable_event.store(number, Ordering::Release);
    }

    pub(crate) fn key_of(&self, key: &VaultKey) -> RecordKey {
        self.hasher.key_of(key)
    }

    pub(crate) fn parent_prefix(&self, kind: RecordKind, parent: &[u8]) -> [u8; PARENT_BYTES] {
        self.hasher.parent_prefix(kind, parent)
    }

    /// Whether nothing was ever committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.database.is_empty()
    }

    /// The value at `key`.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there and does not open.
    pub(crate) fn get(&self, key: &RecordKey) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some(mut first) = self.database.get(key)? else { return Ok(None) };
        loop {
            let read = self.read_pieces(key, &first);
            // A commit between two reads gives pieces of two values, or a piece and the key that took its key's place.
            let Err(VaultError::Damaged(_)) = read else { return read.map(Some) };
            match self.database.get(key)? {
                Some(now) if now != first => first = now,
                Some(_) => return read.map(Some),
                None => return Ok(None),
            }
        }
    }

    fn read_pieces(&self, key: &RecordKey, first: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        if pieces_of(first) == 1 {
            return self.unseal(key, first);
        }
        self.unseal(key, &self.joined_pieces(key, first)?)
    }

    fn joined_pieces(&self, key: &RecordKey, first: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = first.to_vec();
        for piece in 1..pieces_of(first) {
            let damaged = VaultError::Damaged("a piece of a record is missing");
            sealed.extend_from_slice(&self.database.get(piece_key(key, piece))?.ok_or(damaged)?);
        }
        Ok(sealed)
    }

    /// The keys of all records of `kind`, in order.
    pub(crate) fn keys_of_kind(&self, kind: RecordKind) -> impl Iterator<Item = Result<RecordKey, VaultError>> {
        record_keys(self.database.scan_prefix([kind as u8]))
    }

    /// The keys from `first` to `last`, both included, in order from either end.
    pub(crate) fn keys_between(
        &self,
        first: RecordKey,
        last: RecordKey,
    ) -> impl DoubleEndedIterator<Item = Result<RecordKey, VaultError>> {
        record_keys(self.database.range(first..=last))
    }
}

/// Keys of first pieces only.
fn record_keys(entries: sled::Iter) -> impl DoubleEndedIterator<Item = Result<RecordKey, VaultError>> {
    entries.keys().filter_map(|key| match key {
        Ok(key) => RecordKey::try_from(key.as_ref()).ok().map(Ok),
        Err(error) => Some(Err(error.into())),
    })
}

fn piece_key(key: &RecordKey, piece: u8) -> [u8; KEY_BYTES + 1] {
    let mut bytes = [0; KEY_BYTES + 1];
    bytes[..KEY_BYTES].copy_from_slice(key);
    bytes[KEY_BYTES] = piece;
    bytes
}

/// What a commit leaves at a key.
#[derive(Debug)]
pub(crate) enum NewValue<'a> {
    /// Nothing; what was there is forgotten.
    None,
    /// This value.
    Set(ValueBytes<'a>),
    /// This value, and what was there is forgotten.
    Over(ValueBytes<'a>),
}

/// Bytes of a value: those of a write, or what a change made of them.
#[derive(Debug)]
pub(crate) enum ValueBytes<'a> {
    /// Of a write.
    Given(&'a [u8]),
    /// Made here.
    Made(Zeroizing<Vec<u8>>),
}

impl Deref for ValueBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

/// Changes that are committed together. Each key is put or deleted at most once.
pub(crate) struct PendingBatch<'a> {
    records: &'a Records,
    batch: sled::Batch,
    /// Pages that this batch writes to, with their keys, which may be new.
    pages: BTreeMap<Page, Sealer>,
    changes: usize,
}

impl<'a> PendingBatch<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, batch: sled::Batch::default(), pages: BTreeMap::new(), changes: 0 }
    }

    pub(crate) fn records(&self) -> &'a Records {
        self.records
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Sets or removes each. What is removed from a page, or is to be forgotten, leaves it with a new key.
    pub(crate) fn put_all(&mut self, values: BTreeMap<RecordKey, NewValue<'_>>) -> Result<(), VaultError> {
        let removed = values.iter().filter(|(_, value)| !matches!(value, NewValue::Set(_)));
        let pages: BTreeMap<Page, RecordKey> = removed.filter_map(|(key, _)| Some((Page::of(key)?, *key))).collect();
        for (page, record) in pages {
            self.renew_page(page, &record, &values)?;
        }
        for (key, value) in values {
            match value {
                NewValue::Set(value) | NewValue::Over(value) => self.put(key, &value)?,
                NewValue::None => self.delete(key)?,
            }
        }
        Ok(())
    }

    /// Sets the value at `key`, and removes the pieces by which an older one was longer.
    pub(crate) fn put(&mut self, key: RecordKey, value: &[u8]) -> Result<(), VaultError> {
        let sealed = match Page::of(&key) {
            Some(page) => self.page_sealer(page)?.seal(&key, value)?,
            None => self.records.seal(&key, value)?,
        };
        let mut next_piece: u8 = 0;
        for piece in sealed.chunks(PIECE_BYTES) {
            match next_piece {
                0 => self.batch.insert(&key, piece),
                number => self.batch.insert(&piece_key(&key, number), piece),
            }
            next_piece += 1;
        }
        self.remove_pieces(&key, next_piece)?;
        self.changes += 1;
        Ok(())
    }

    /// Gives the page of `record` a new key, and seals under it what stays of the page and is not in `values`. What
    /// does not open stays as it is.
    fn renew_page(
        &mut self,
        page: Page,
        record: &RecordKey,
        values: &BTreeMap<RecordKey, NewValue<'_>>,
    ) -> Result<(), VaultError> {
        let (first, last) = Page::bounds(record);
        let mut staying = Vec::new();
        for key in self.records.keys_between(first, last) {
            let key = key?;
            if values.contains_key(&key) {
                continue;
            }
            match self.records.get(&key) {
                Ok(Some(value)) => staying.push((key, value)),
                Ok(None) | Err(VaultError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if staying.is_empty() && !values.range(first..=last).any(|(_, value)| !matches!(value, NewValue::None)) {
            return self.delete(page.key_record());
        }
        self.begin_page(page)?;
        staying.iter().try_for_each(|(key, value)| self.put(*key, value))
    }

    fn page_sealer(&mut self, page: Page) -> Result<&Sealer, VaultError> {
        if !self.pages.contains_key(&page) {
            match page.sealer(self.records)? {
                Some(sealer) => drop(self.pages.insert(page, sealer)),
                None => self.begin_page(page)?,
            }
        }
        self.pages.get(&page).ok_or(VaultError::Damaged("the key of a page is missing"))
    }

    fn begin_page(&mut self, page: Page) -> Result<(), VaultError> {
        let key = pages::new_page_key();
        self.put(page.key_record(), key.as_slice())?;
        self.pages.insert(page, Sealer::under(&key));
        Ok(())
    }

    /// Removes the record at `key`, if it is there.
    pub(crate) fn delete(&mut self, key: RecordKey) -> Result<(), VaultError> {
        self.batch.remove(&key);
        self.remove_pieces(&key, 1)?;
        self.changes += 1;
        Ok(())
    }

    fn remove_pieces(&mut self, key: &RecordKey, first: u8) -> Result<(), VaultError> {
        let stored = self.records.database.get(key)?.map_or(0, |piece| pieces_of(&piece));
        for piece in first..stored {
            self.batch.remove(&piece_key(key, piece));
        }
        Ok(())
    }

    /// Applies the changes and returns when a power cut cannot undo them.
    pub(crate) fn commit(self) -> Result<(), VaultError> {
        self.records.database.apply_batch(self.batch)?;
        self.records.database.flush()?;
        self.records.file.sync_data()?;
        Ok(())
    }
}

#[cfg(test)]
impl Records {
    /// Flips a bit of what is stored at `key`.
    pub(crate) fn damage(&self, key: &RecordKey) {
        let mut bytes = self.database.get(key).unwrap().unwrap().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        self.database.insert(key, bytes).unwrap();
        self.database.flush().unwrap();
    }

    /// What is stored at `key`, of one piece.
    pub(crate) fn stored(&self, key: &RecordKey) -> Vec<u8> {
        self.database.get(key).unwrap().unwrap().to_vec()
    }

    /// Opens `sealed` under any key that is still there.
    pub(crate) fn opens(&self, key: &RecordKey, sealed: &[u8]) -> bool {
        self.unseal(key, sealed).is_ok() || self.sealer.open(key, sealed).is_ok()
    }
}

//! A view of some hours as they were, for one reconciliation on another thread. It is made without reading
//! a file: what is recent is copied, of sealed shelves only their summaries, and their ids are read when
//! the reconciliation asks.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use starling_relay::pool::{IdSource, PoolError};
use starling_wire::envelope::{Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange};

use crate::pool_files::Shared;
use crate::pool_files::entry::Entry;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::ShelfKey;
use crate::pool_files::shelf::Shelf;

/// Some hours of a pool on disk. What expires meanwhile is gone from it, and nothing is added.
#[derive(Debug)]
pub struct DiskSnapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) last_arrival: u64,
    /// In order of shelf; the entries of each in order of id.
    recent: Vec<(ShelfKey, Vec<Entry>)>,
    sealed: Vec<(ShelfKey, Arc<SealedIndex>)>,
    pub(crate) refused: Vec<EnvelopeId>,
    /// Whether all that there is of an hour is full.
    full_hours: BTreeMap<Epoch, bool>,
}

impl DiskSnapshot {
    pub(crate) fn empty(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            last_arrival: 0,
            recent: Vec::new(),
            sealed: Vec::new(),
            refused: Vec::new(),
            full_hours: BTreeMap::new(),
        }
    }

    /// Adds a shelf, and whether its topic's hour has no room for either class; shelves come in order.
    pub(crate) fn add(&mut self, key: ShelfKey, shelf: &Shelf, full: bool) {
        if !shelf.recent.is_empty() {
            self.recent.push((key, shelf.recent.values().map(|recent| recent.entry).collect()));
        }
        if let Some(index) = &shelf.sealed {
            self.sealed.push((key, Arc::clone(index)));
        }
        *self.full_hours.entry(key.epoch).or_insert(true) &= full;
    }

    fn find(&self, key: &EnvelopeKey) -> Result<Option<Entry>, PoolError> {
        let shelf = ShelfKey::of(key);
        if let Ok(place) = self.recent.binary_search_by_key(&shelf, |(key, _)| *key) {
            let entries = &self.recent[place].1;
            if let Ok(place) = entries.binary_search_by_key(&key.id, |entry| entry.id) {
                return Ok(Some(entries[place]));
            }
        }
        let Ok(place) = self.sealed.binary_search_by_key(&shelf, |(key, _)| *key) else { return Ok(None) };
        match self.sealed[place].1.find(&self.shared.directory, &key.id) {
            Ok(entry) => Ok(entry.filter(|entry| entry.arrival <= self.last_arrival)),
            // The hour expired meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.shared.pool_error(error)),
        }
    }
}

impl IdSource for DiskSnapshot {
    fn keys(&self) -> Vec<EnvelopeKey> {
        self.keys_within(EpochRange { first: Epoch(0), last: Epoch(u32::MAX) })
    }

    /// A shelf whose index is damaged is left out: nothing is advertised that cannot be served.
    fn keys_within(&self, window: EpochRange) -> Vec<EnvelopeKey> {
        let recent = self.recent.iter().filter(|(key, _)| window.contains(key.epoch));
        let recent = recent.flat_map(|(key, entries)| entries.iter().map(|entry| key.envelope(entry.id)));
        let mut keys: Vec<EnvelopeKey> = recent.collect();
        for (key, index) in self.sealed.iter().filter(|(key, _)| window.contains(key.epoch)) {
            match index.load(&self.shared.directory) {
                Ok(Some(entries)) => {
                    let before = entries.into_iter().filter(|entry| entry.arrival <= self.last_arrival);
                    keys.extend(before.map(|entry| key.envelope(entry.id)));
                }
                Ok(None) => _ = self.shared.lock().suspect(*key),
                Err(_) => {}
            }
        }
        // What was merged since the view was made came twice.
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// From the summaries in memory.
    fn counts(&self) -> Option<BTreeMap<Epoch, usize>> {
        let recent = self.recent.iter().map(|(key, entries)| (key.epoch, entries.len()));
        let sealed = self.sealed.iter().map(|(key, index)| (key.epoch, index.count as usize));
        let mut counts: BTreeMap<Epoch, usize> = BTreeMap::new();
        for (epoch, count) in recent.chain(sealed) {
            *counts.entry(epoch).or_default() += count;
        }
        Some(counts)
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        match self.find(key)? {
            Some(entry) => self.shared.read_entry(ShelfKey::of(key), &entry),
            None => Ok(None),
        }
    }

    fn refused(&self) -> Vec<EnvelopeId> {
        self.refused.clone()
    }

    fn full_hours(&self) -> Vec<Epoch> {
        self.full_hours.iter().filter_map(|(hour, full)| full.then_some(*hour)).collect()
    }
}

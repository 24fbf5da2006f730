//! The worker's side of the pool: merging what is recent on closed shelves into their sorted indexes, and
//! mending shelves on which damage was found. The long part, reading, sorting, writing and syncing, runs
//! without the pool's lock.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use starling_relay::pool::PoolError;
use starling_wire::envelope::Epoch;

use crate::atomic_file;
use crate::pool_files::entry::Entry;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::{ShelfFile, ShelfKey};
use crate::pool_files::recover::{self, is_proved};
use crate::pool_files::shelf::{Recent, Shelf};
use crate::pool_files::state::PoolState;
use crate::pool_files::{PoolStats, Shared};

/// Tends a pool from another thread than the one that holds it.
#[derive(Debug, Clone)]
pub struct PoolKeeper {
    shared: Arc<Shared>,
}

impl PoolKeeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits until much has come late and [`PoolKeeper::tend`] should run before its hour, at most `longest`;
    /// whether it should.
    pub fn wait_due(&self, longest: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.due.wait_timeout_while(state, longest, |state| !state.is_due());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_due()
    }

    /// The first call in an hour seals all hours that left the gossip window before `now`, merges what came
    /// late to others, and takes out what was found damaged; further calls write only the shelves to which
    /// most came late, as far as it fills the memory. To be called at every new hour, and when
    /// [`PoolKeeper::wait_due`] says so. How many shelves it wrote.
    ///
    /// # Errors
    /// [`PoolError`] of the first shelf that failed; it stays as it was, and the others are done.
    pub fn tend(&self, now: Epoch) -> Result<usize, PoolError> {
        let due = self.shared.lock().due(now);
        let mut written = 0;
        let mut failed = Ok(());
        for key in due {
            match self.merge(key) {
                Ok(true) => written += 1,
                Ok(false) => {}
                Err(error) => failed = failed.and(Err(self.shared.pool_error(error))),
            }
        }
        failed.map(|()| written)
    }

    /// Merges the closed shelf that has most in memory.
    pub(crate) fn relieve(&self) -> Result<(), PoolError> {
        let fullest = self.shared.lock().fullest_late();
        fullest.map_or(Ok(false), |key| self.merge(key)).map(drop).map_err(|error| self.shared.pool_error(error))
    }

    /// What the pool holds.
    pub fn stats(&self) -> PoolStats {
        self.shared.lock().stats(self.shared.options.cap_bytes)
    }

    fn merge(&self, key: ShelfKey) -> io::Result<bool> {
        let directory = &self.shared.directory;
        let Some(merge) = Merge::prepare(&mut self.shared.lock(), directory, key) else { return Ok(false) };
        let written = merge.write(directory);
        let installed = merge.install(&mut self.shared.lock(), directory, written)?;
        if installed {
            atomic_file::sync_directory(directory)?;
            compact(&mut self.shared.lock(), directory, key)?;
        }
        Ok(installed)
    }
}

/// One shelf on its way into a new index.
struct Merge {
    key: ShelfKey,
    recent: Vec<Entry>,
    sealed: Option<Arc<SealedIndex>>,
    slots: u32,
    suspect: bool,
    version: u64,
    temporary: PathBuf,
}

impl Merge {
    /// Notes what is on the shelf. From now on nothing on it gives way.
    fn prepare(state: &mut PoolState, directory: &Path, key: ShelfKey) -> Option<Self> {
        let version = state.next_version();
        let shelf = state.shelves.get_mut(&key)?;
        shelf.closed = true;
        shelf.version = version;
        Some(Self {
            key,
            recent: shelf.recent.values().map(|recent| recent.entry).collect(),
            sealed: shelf.sealed.clone(),
            slots: shelf.slots,
            suspect: std::mem::take(&mut shelf.suspect),
            version,
            temporary: key.temporary_path(directory, ShelfFile::Ids, version),
        })
    }

    /// Writes the new index under its temporary name, and syncs it and the bodies.
    fn write(&self, directory: &Path) -> io::Result<SealedIndex> {
        let bodies = File::open(self.key.path(directory, ShelfFile::Bodies))?;
        let mut entries: BTreeMap<_, _> = self.recent.iter().map(|entry| (entry.id, *entry)).collect();
        let mut proof_needed = self.suspect;
        if let Some(index) = &self.sealed {
            let (sealed, is_damaged) = index.load_or_salvage(directory)?;
            proof_needed |= is_damaged;
            for entry in sealed {
                entries.entry(entry.id).or_insert(entry);
            }
        }
        let mut proved = Vec::with_capacity(entries.len());
        for entry in entries.into_values() {
            if !proof_needed || is_proved(&bodies, self.key, &entry)? {
                proved.push(entry);
            }
        }
        let index = SealedIndex::write(&self.temporary, self.key, self.slots, &mut proved)?;
        bodies.sync_all()?;
        Ok(index)
    }

    /// Gives the new index its name, unless the shelf has gone or changed meanwhile.
    fn install(&self, state: &mut PoolState, directory: &Path, written: io::Result<SealedIndex>) -> io::Result<bool> {
        let current = state.shelves.get(&self.key).is_some_and(|shelf| shelf.version == self.version);
        let renamed = match written {
            Ok(index) if current => {
                fs::rename(&self.temporary, self.key.path(directory, ShelfFile::Ids)).map(|()| index)
            }
            Ok(_) => return recover::remove_if_there(&self.temporary).map(|()| false),
            Err(error) => Err(error),
        };
        match renamed {
            Ok(index) => {
                state.install(self.key, index, &self.recent);
                Ok(true)
            }
            Err(error) => {
                if self.suspect {
                    state.suspect(self.key);
                }
                // The first error is the one to tell; the next open removes what is left.
                let _ = recover::remove_if_there(&self.temporary);
                Err(error)
            }
        }
    }
}

/// Leaves in the recent file only what is not in the index, which is durable now.
fn compact(state: &mut PoolState, directory: &Path, key: ShelfKey) -> io::Result<()> {
    let Some(shelf) = state.shelves.get(&key) else { return Ok(()) };
    let recent = if shelf.recent.is_empty() {
        recover::remove_if_there(&key.path(directory, ShelfFile::Recent))?;
        Vec::new()
    } else {
        write_recent(directory, key, shelf, shelf.version)?
    };
    state.handles.forget(key, ShelfFile::Recent);
    state.set_lines(key, recent);
    Ok(())
}

/// Writes the recent file of `shelf` anew and gives its entries with their new lines. Not synced: recent
/// entries never are.
pub(crate) fn write_recent(directory: &Path, key: ShelfKey, shelf: &Shelf, version: u64) -> io::Result<Vec<Recent>> {
    let temporary = key.temporary_path(directory, ShelfFile::Recent, version);
    let entries = shelf.recent.values().map(|recent| recent.entry);
    let recent: Vec<Recent> = (0..).zip(entries).map(|(line, entry)| Recent { entry, line: Some(line) }).collect();
    let bytes: Vec<u8> = recent.iter().flat_map(|recent| recent.entry.encode()).collect();
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, key.path(directory, ShelfFile::Recent)))?;
    Ok(recent)
}

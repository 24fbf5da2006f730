//! The pool on disk: files in place of a database, because a database under strangers' mail would cost a
//! B-tree write an envelope and twice the room, and its index could outlive a torn body: the node would
//! advertise what it cannot serve. SPEC: B12.
//!
//! A *shelf* holds the envelopes of one topic, hour and class in up to three files, whose names say no more
//! than that:
//!
//! ```text
//! 00000000-491234-0.bodies   slots of 2,048 or 16,384 bytes
//! 00000000-491234-0.recent   64 bytes an envelope, as they came: an open hour, or what came late
//! 00000000-491234-0.ids      64 bytes an envelope, sorted by id, checksummed: a closed hour
//! ```
//! - What is recent is indexed in memory, and every body of it is hashed again at open: a slot that was torn
//!   is a free slot. Nothing is ever flushed; the network has the envelopes too.
//! - When an hour has left the gossip window, [`PoolKeeper::tend`] merges what is recent into `ids`, synced
//!   and renamed, beside the inserts. Of these shelves only 4 bytes an envelope stay in memory.
//! - Expiry unlinks the files. What does not fit under the cap goes by whole hours, oldest first.
//!
//! Every envelope is hashed again when it is read: the pool never serves garbage.

mod backlog;
mod entry;
mod handles;
mod index;
mod keeper;
mod names;
mod recover;
mod search;
mod shelf;
mod snapshot;
mod state;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use starling_relay::admit::Checked;
use starling_relay::expire;
use starling_relay::pool::{Arrival, EnvelopePool, Inserted, PoolError, TagSearch};
use starling_wire::envelope::{Class, Envelope, EnvelopeKey, Epoch, EpochRange, Tag, TopicId};
use starling_wire::network::NetworkParameters;

use crate::atomic_file;
use crate::disk;
use crate::pool_files::entry::Entry;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::ShelfKey;
use crate::pool_files::search::DiskSearch;
use crate::pool_files::state::PoolState;

pub use crate::pool_files::keeper::PoolKeeper;
pub use crate::pool_files::snapshot::DiskSnapshot;

/// Name of the pool's directory in a data directory.
pub const POOL_DIRECTORY: &str = "pool";
/// Bytes of a pool by default: 14 days of a busy shard.
pub const CAP_BYTES: u64 = 6 << 30;

/// How much room a pool may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Bytes of all its files, at most.
    pub cap_bytes: u64,
    /// Bytes that stay free on the disk: below, strangers' envelopes are refused.
    pub free_bytes_min: u64,
    /// Late envelopes that may be indexed in memory, about 400 bytes each, before an insert has to merge some
    /// into their sorted files itself. At a quarter of it the keeper is called.
    pub late_max: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { cap_bytes: CAP_BYTES, free_bytes_min: disk::STRANGERS_FREE_BYTES_MIN, late_max: 65_536 }
    }
}

/// What a pool holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Envelopes.
    pub envelopes: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that they may have.
    pub cap_bytes: u64,
    /// Envelopes that are indexed in memory.
    pub in_memory: usize,
    /// The oldest hour of which something is stored.
    pub oldest: Option<Epoch>,
}

/// A pool on disk. The core holds it; [`DiskPool::keeper`] is for the worker beside it.
#[derive(Debug)]
pub struct DiskPool {
    shared: Arc<Shared>,
}

/// What the pool and its keeper share. The lock is held for memory work and single slots only, never for
/// the merging of an hour.
#[derive(Debug)]
pub(crate) struct Shared {
    directory: PathBuf,
    options: PoolOptions,
    budget_small_bytes: u64,
    budget_large_bytes: u64,
    lifetime_hours: u32,
    state: Mutex<PoolState>,
    /// Notified when much came late and should be merged before the hour is over.
    due: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget_bytes(&self, class: Class) -> u64 {
        match class {
            Class::Small => self.budget_small_bytes,
            Class::Large => self.budget_large_bytes,
        }
    }

    /// Whether the disk has room for strangers' envelopes.
    fn has_room_for_strangers(&self) -> bool {
        disk::free_bytes(&self.directory).is_ok_and(|free_bytes| free_bytes >= self.options.free_bytes_min)
    }

    /// What went wrong, as callers know it.
    fn pool_error(&self, error: io::Error) -> PoolError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                PoolError::DiskFull { free_bytes: disk::free_bytes(&self.directory).unwrap_or(0) }
            }
            _ => PoolError::Io(error.to_string()),
        }
    }

    /// The entries of a sealed shelf; `None` when its index cannot be read at all, and will not be by trying
    /// again: the shelf is noted as damaged, and one bad sector does not stop whoever asked.
    fn load_index(&self, key: ShelfKey, index: &SealedIndex) -> Result<Option<Vec<Entry>>, PoolError> {
        match index.load_or_salvage(&self.directory) {
            Ok((entries, is_damaged)) => {
                if is_damaged {
                    self.lock().suspect(key);
                }
                Ok(Some(entries))
            }
            Err(error) if disk::is_passing(&error) => Err(self.pool_error(error)),
            Err(error) => {
                if self.lock().suspect(key) {
                    tracing::warn!(?key, %error, "an index of the pool cannot be read; its hour is skipped");
                }
                Ok(None)
            }
        }
    }

    /// The body of an entry that was found, hashed again. One that is not there, or damaged, is not
    /// advertised again.
    fn read_entry(&self, key: ShelfKey, entry: &Entry) -> Result<Option<Envelope>, PoolError> {
        let body = shelf::read_body(&self.directory, key, entry).map_err(|error| self.pool_error(error))?;
        if body.is_none() {
            self.lock().drop_damaged(key, entry);
        }
        Ok(body)
    }
}

impl DiskPool {
    /// Opens the pool of the data directory `directory`, or makes one. Bodies of open hours, and of what came
    /// late to others, are hashed again; what is torn is not there.
    ///
    /// # Errors
    /// [`PoolError`] when the directory cannot be read or written.
    pub fn open(directory: &Path, parameters: &NetworkParameters, options: PoolOptions) -> Result<Self, PoolError> {
        let directory = directory.join(POOL_DIRECTORY);
        let failed = |error: io::Error| PoolError::Io(error.to_string());
        atomic_file::create_private_directory(&directory).map_err(failed)?;
        let state = recover::open(&directory, options.late_max).map_err(failed)?;
        let shared = Shared {
            directory,
            options,
            budget_small_bytes: parameters.budget_small_bytes,
            budget_large_bytes: parameters.budget_large_bytes,
            lifetime_hours: parameters.lifetime_hours,
            state: Mutex::new(state),
            due: Condvar::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The handle of the worker that tends the pool, also good for [`PoolKeeper::stats`] anywhere.
    pub fn keeper(&self) -> PoolKeeper {
        PoolKeeper::new(Arc::clone(&self.shared))
    }
}

impl EnvelopePool for DiskPool {
    type Snapshot = DiskSnapshot;

    fn insert(&mut self, envelope: &Checked, now: Epoch) -> Result<Inserted, PoolError> {
        if self.shared.lock().is_overdue() {
            // Nobody tends the pool, or not fast enough: memory stays bounded all the same.
            self.keeper().relieve()?;
        }
        let mut state = self.shared.lock();
        let inserted = state.insert(&self.shared, envelope.envelope(), now);
        if state.is_due() {
            self.shared.due.notify_all();
        }
        inserted
    }

    fn search_tags(&self, tags: &BTreeSet<Tag>, from: Epoch) -> Box<dyn TagSearch> {
        Box::new(DiskSearch::begin(&self.shared, tags, from))
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        let found = self.shared.lock().find(&self.shared.directory, key);
        match found.map_err(|error| self.shared.pool_error(error))? {
            Some(entry) => self.shared.read_entry(ShelfKey::of(key), &entry),
            None => Ok(None),
        }
    }

    fn contains(&self, key: &EnvelopeKey) -> bool {
        self.shared.lock().find(&self.shared.directory, key).is_ok_and(|entry| entry.is_some())
    }

    fn arrivals_after(&self, number: u64, limit: usize) -> Result<Vec<Arrival>, PoolError> {
        let arrivals = self.shared.lock().arrivals_after(&self.shared.directory, number, limit);
        arrivals.map_err(|error| self.shared.pool_error(error))
    }

    fn skip_arrivals_to(&mut self, number: u64) {
        self.shared.lock().skip_arrivals_to(number);
    }

    fn fill_bytes(&self, topic: TopicId, epoch: Epoch, class: Class) -> u64 {
        self.shared.lock().fill_bytes(ShelfKey { epoch, topic, class })
    }

    fn snapshot(&self, window: EpochRange) -> DiskSnapshot {
        let mut snapshot = DiskSnapshot::empty(Arc::clone(&self.shared));
        self.shared.lock().fill_snapshot(&mut snapshot, window);
        snapshot
    }

    fn horizon(&self, now: Epoch) -> Epoch {
        expire::reconciled_hours(now, self.shared.lifetime_hours).first.max(self.shared.lock().floor())
    }

    fn expire(&mut self, before: Epoch) -> Result<usize, PoolError> {
        let gone = self.shared.lock().drop_before(&self.shared.directory, before);
        gone.map_err(|error| self.shared.pool_error(error))
    }
}

#[cfg(test)]
mod tests;

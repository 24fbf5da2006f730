//! The pool of sealed envelopes that a node keeps for everyone in its shard. SPEC: B12.
//!
//! Two pools exist: files on a disk (crate `store`) and the one in memory that the simulator uses.
//! Both ask [`crate::budget`] which envelope stays.

use std::collections::{BTreeMap, BTreeSet};

use starling_wire::envelope::{Class, Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange, Tag, TopicId};
use thiserror::Error;

use crate::admit::Checked;
pub use crate::memory_pool::{MemoryPool, MemorySnapshot};
pub use crate::tag_matches::{FOUND_PER_CALL_MAX, FOUND_PER_TAG_MAX, TagMatches};

/// What became of an envelope that was offered to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is stored now; its arrival number (strictly rising, never reused).
    New(u64),
    /// It was there already.
    Duplicate,
    /// The keep rule refused it.
    BelowCut,
}

/// The pool could not do its work: our disk, never a peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolError {
    /// Too little room is left on the disk to store for strangers.
    #[error("only {free_bytes} bytes are free on the disk")]
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
    },
    /// Reading or writing failed.
    #[error("the pool's files failed: {0}")]
    Io(String),
}

/// An envelope by the order in which it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Arrival number.
    pub number: u64,
    /// Where it is stored.
    pub key: EnvelopeKey,
    /// Its tag.
    pub tag: Tag,
}

/// An immutable view of a part of the pool, for one reconciliation beside the core.
pub trait IdSource {
    /// Keys of all envelopes in the view, in no promised order.
    fn keys(&self) -> Vec<EnvelopeKey>;
    /// Those of [`IdSource::keys`] that lie in `window`.
    fn keys_within(&self, window: EpochRange) -> Vec<EnvelopeKey> {
        let mut keys = self.keys();
        keys.retain(|key| window.contains(key.epoch));
        keys
    }
    /// Envelopes of the view by epoch, if that is known without reading any key: a session then narrows its
    /// window before it loads what it will not use. Hours without envelopes may be left out.
    fn counts(&self) -> Option<BTreeMap<Epoch, usize>> {
        None
    }
    /// One of them; `None` when it has gone since.
    ///
    /// # Errors
    /// [`PoolError`] when the disk fails.
    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError>;
    /// Ids of the view's hours that were refused or evicted ([`crate::budget::RefusedIds::within`]): sync
    /// does not pull them.
    fn refused(&self) -> Vec<EnvelopeId> {
        Vec::new()
    }
    /// Closed hours of the view in which the budgets of both classes are full: whatever a neighbour has more
    /// there would be refused, so sync does not ask about them (it still answers). An hour in which one
    /// class is full is asked about: the other one's mail must not suffer from it.
    fn full_hours(&self) -> Vec<Epoch> {
        Vec::new()
    }
}

/// A look-up by tags that was begun. The rest of it may read hundreds of files, those in which the node's own user has
/// mail: not for the core's thread, where a neighbour could see how long it takes.
pub trait TagSearch: Send {
    /// What was in the pool when the look-up was begun, with arrival numbers, in the order of arrival: at most the
    /// first [`FOUND_PER_TAG_MAX`] of each tag and [`FOUND_PER_CALL_MAX`] in all ([`TagMatches::into_chosen`]),
    /// because a stranger who knows a tag can put any number under it. One that gives [`FOUND_PER_CALL_MAX`] may
    /// have left some out: ask again with fewer tags. No more than [`FOUND_PER_CALL_MAX`] / [`FOUND_PER_TAG_MAX`]
    /// tags never leave out a tag. What went from the pool meanwhile may be missing.
    ///
    /// What lies in a file that cannot be read is not found, and does not keep the rest from being found.
    ///
    /// # Errors
    /// [`PoolError`] when the disk fails for now, and another look-up may succeed.
    fn run(self: Box<Self>) -> Result<Vec<(u64, Envelope)>, PoolError>;
}

/// Envelopes by topic, epoch and class, under one budget each.
pub trait EnvelopePool {
    /// Its immutable view.
    type Snapshot: IdSource + Send + 'static;

    /// Offers an envelope; `now` is this node's epoch, by which its hour is open or closed.
    ///
    /// # Errors
    /// [`PoolError`] when the disk is full or fails.
    fn insert(&mut self, envelope: &Checked, now: Epoch) -> Result<Inserted, PoolError>;

    /// Begins to look up the envelopes under any of `tags`, from epoch `from` on. Made without reading a file;
    /// [`TagSearch::run`] does the rest.
    fn search_tags(&self, tags: &BTreeSet<Tag>, from: Epoch) -> Box<dyn TagSearch>;

    /// One envelope, its hash checked again: never garbage.
    ///
    /// # Errors
    /// [`PoolError`] when the disk fails.
    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError>;

    /// Whether it is stored.
    fn contains(&self, key: &EnvelopeKey) -> bool;

    /// At most `limit` arrivals with a number above `number`, in rising order.
    ///
    /// # Errors
    /// [`PoolError`] when the disk fails.
    fn arrivals_after(&self, number: u64, limit: usize) -> Result<Vec<Arrival>, PoolError>;

    /// Never hand out an arrival number up to `number` again (the cursor may be ahead of the files after a
    /// power cut).
    fn skip_arrivals_to(&mut self, number: u64);

    /// Bytes stored of one class in one topic-hour.
    fn fill_bytes(&self, topic: TopicId, epoch: Epoch, class: Class) -> u64;

    /// An immutable view of `window`, made without reading bodies.
    fn snapshot(&self, window: EpochRange) -> Self::Snapshot;

    /// Oldest epoch that the pool can still hold whole (its horizon), for the sync hello.
    fn horizon(&self, now: Epoch) -> Epoch;

    /// Drops all epochs before `before`; how many envelopes went.
    ///
    /// # Errors
    /// [`PoolError`] when the disk fails.
    fn expire(&mut self, before: Epoch) -> Result<usize, PoolError>;
}

//! The memory pool, with a disk under it that can be full.

use std::cell::Cell;
use std::collections::BTreeSet;

use starling_relay::admit::Checked;
use starling_relay::pool::{Arrival, EnvelopePool, Inserted, MemoryPool, PoolError, TagSearch};
use starling_wire::envelope::{Class, Envelope, EnvelopeKey, Epoch, EpochRange, Tag, TopicId};
use starling_wire::network::NetworkParameters;

#[derive(Debug, Clone)]
pub(crate) struct TestPool {
    inner: MemoryPool,
    /// Nothing is stored for strangers.
    pub(crate) is_full: bool,
    /// Nothing can be read.
    pub(crate) is_unreadable: bool,
    /// Reads that failed.
    pub(crate) failed_reads: Cell<u32>,
}

impl TestPool {
    pub(crate) fn new(parameters: &NetworkParameters) -> Self {
        Self { inner: MemoryPool::new(parameters), is_full: false, is_unreadable: false, failed_reads: Cell::new(0) }
    }

    fn check_readable(&self) -> Result<(), PoolError> {
        if !self.is_unreadable {
            return Ok(());
        }
        self.failed_reads.set(self.failed_reads.get() + 1);
        Err(PoolError::Io("unreadable".to_owned()))
    }

    /// Envelopes stored.
    pub(crate) fn len(&self) -> usize {
        self.inner.len()
    }
}

struct FailingSearch(PoolError);

impl TagSearch for FailingSearch {
    fn run(self: Box<Self>) -> Result<Vec<(u64, Envelope)>, PoolError> {
        Err(self.0)
    }
}

impl EnvelopePool for TestPool {
    type Snapshot = <MemoryPool as EnvelopePool>::Snapshot;

    fn insert(&mut self, envelope: &Checked, now: Epoch) -> Result<Inserted, PoolError> {
        if self.is_full && !self.inner.contains(&envelope.envelope().key()) {
            return Err(PoolError::DiskFull { free_bytes: 0 });
        }
        self.inner.insert(envelope, now)
    }

    fn search_tags(&self, tags: &BTreeSet<Tag>, from: Epoch) -> Box<dyn TagSearch> {
        match self.check_readable() {
            Ok(()) => self.inner.search_tags(tags, from),
            Err(error) => Box::new(FailingSearch(error)),
        }
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        self.check_readable()?;
        self.inner.read(key)
    }

    fn contains(&self, key: &EnvelopeKey) -> bool {
        self.inner.contains(key)
    }

    fn arrivals_after(&self, number: u64, limit: usize) -> Result<Vec<Arrival>, PoolError> {
        self.inner.arrivals_after(number, limit)
    }

    fn skip_arrivals_to(&mut self, number: u64) {
        self.inner.skip_arrivals_to(number);
    }

    fn fill_bytes(&self, topic: TopicId, epoch: Epoch, class: Class) -> u64 {
        self.inner.fill_bytes(topic, epoch, class)
    }

    fn snapshot(&self, window: EpochRange) -> Self::Snapshot {
        self.inner.snapshot(window)
    }

    fn horizon(&self, now: Epoch) -> Epoch {
        self.inner.horizon(now)
    }

    fn expire(&mut self, before: Epoch) -> Result<usize, PoolError> {
        self.inner.expire(before)
    }
}

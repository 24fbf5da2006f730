//! The pool in memory: the simulator's, whose hundreds of nodes share the bytes of each envelope.
//! SPEC: B12.
//!
//! An hour lies behind an [`Arc`]: a snapshot takes the hours as they are and costs no copy, and an hour
//! is copied only when something is stored in it while a snapshot of it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use starling_wire::envelope::{Class, Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange, Tag, TopicId};
use starling_wire::network::NetworkParameters;

use crate::admit::Checked;
use crate::budget::{self, Decision, HourState, Rank, RefusedIds};
use crate::expire;
use crate::pool::{Arrival, EnvelopePool, FOUND_PER_TAG_MAX, IdSource, Inserted, PoolError, TagMatches, TagSearch};

#[derive(Debug, Clone)]
struct Stored {
    envelope: Envelope,
    arrival: u64,
}

/// The envelopes of one class in one topic-hour.
#[derive(Debug, Clone, Default)]
struct Shelf {
    envelopes: BTreeMap<EnvelopeId, Stored>,
    ranks: BTreeSet<Rank>,
}

impl Shelf {
    fn bytes(&self, class: Class) -> u64 {
        let bytes = self.envelopes.len().saturating_mul(class.envelope_bytes());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Default)]
struct Hour {
    small: Shelf,
    large: Shelf,
}

impl Hour {
    fn shelf(&self, class: Class) -> &Shelf {
        match class {
            Class::Small => &self.small,
            Class::Large => &self.large,
        }
    }

    fn shelf_mut(&mut self, class: Class) -> &mut Shelf {
        match class {
            Class::Small => &mut self.small,
            Class::Large => &mut self.large,
        }
    }
}

/// Keys by which hours are kept: epoch first, so that a window is a range.
type Hours = BTreeMap<(Epoch, TopicId), Arc<Hour>>;

fn find<'a>(hours: &'a Hours, key: &EnvelopeKey) -> Option<&'a Stored> {
    hours.get(&(key.epoch, key.topic))?.shelf(key.class).envelopes.get(&key.id)
}

/// A pool in memory.
#[derive(Debug, Clone)]
pub struct MemoryPool {
    budget_small_bytes: u64,
    budget_large_bytes: u64,
    lifetime_hours: u32,
    hours: Hours,
    tags: BTreeSet<(Tag, u64)>,
    arrivals: BTreeMap<u64, Arrival>,
    last_arrival: u64,
    last_now: Epoch,
    refused: RefusedIds,
}

impl MemoryPool {
    /// An empty pool with the budgets and the lifetime of a network.
    pub fn new(parameters: &NetworkParameters) -> Self {
        Self {
            budget_small_bytes: parameters.budget_small_bytes,
            budget_large_bytes: parameters.budget_large_bytes,
            lifetime_hours: parameters.lifetime_hours,
            hours: BTreeMap::new(),
            tags: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            last_arrival: 0,
            last_now: Epoch(0),
            refused: RefusedIds::default(),
        }
    }

    /// Envelopes stored.
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    fn budget_bytes(&self, class: Class) -> u64 {
        match class {
            Class::Small => self.budget_small_bytes,
            Class::Large => self.budget_large_bytes,
        }
    }

    fn decide(&self, envelope: &Envelope, now: Epoch) -> Decision {
        let key = envelope.key();
        let shelf = self.hours.get(&(key.epoch, key.topic)).map(|hour| hour.shelf(key.class));
        budget::decide(
            HourState::of(key.epoch, now),
            self.budget_bytes(key.class),
            shelf.map_or(0, |shelf| shelf.bytes(key.class)),
            key.class,
            Rank::of(envelope),
            shelf.and_then(|shelf| shelf.ranks.first()).copied(),
        )
    }

    fn store(&mut self, envelope: &Envelope) -> u64 {
        let (key, tag) = (envelope.key(), envelope.tag());
        self.last_arrival = self.last_arrival.saturating_add(1);
        let arrival = self.last_arrival;
        let hour = Arc::make_mut(self.hours.entry((key.epoch, key.topic)).or_default());
        let shelf = hour.shelf_mut(key.class);
        shelf.envelopes.insert(key.id, Stored { envelope: envelope.clone(), arrival });
        shelf.ranks.insert(Rank::of(envelope));
        self.tags.insert((tag, arrival));
        self.arrivals.insert(arrival, Arrival { number: arrival, key, tag });
        arrival
    }

    fn evict(&mut self, key: &EnvelopeKey) {
        let Some(hour) = self.hours.get_mut(&(key.epoch, key.topic)) else { return };
        let shelf = Arc::make_mut(hour).shelf_mut(key.class);
        if let Some(stored) = shelf.envelopes.remove(&key.id) {
            shelf.ranks.remove(&Rank::of(&stored.envelope));
            self.tags.remove(&(stored.envelope.tag(), stored.arrival));
            self.arrivals.remove(&stored.arrival);
        }
    }

    fn is_full(&self, hour: &Hour) -> bool {
        [Class::Small, Class::Large].into_iter().all(|class| {
            let fill_bytes = hour.shelf(class).bytes(class);
            !budget::has_room(self.budget_bytes(class), fill_bytes, class)
        })
    }
}

impl EnvelopePool for MemoryPool {
    type Snapshot = MemorySnapshot;

    fn insert(&mut self, envelope: &Checked, now: Epoch) -> Result<Inserted, PoolError> {
        let envelope = envelope.envelope();
        let key = envelope.key();
        self.last_now = now;
        if self.contains(&key) {
            return Ok(Inserted::Duplicate);
        }
        match self.decide(envelope, now) {
            Decision::Keep => {}
            Decision::Replace(id) => {
                self.evict(&EnvelopeKey { id, ..key });
                self.refused.remember(key.epoch, id);
            }
            Decision::Refuse => {
                self.refused.remember(key.epoch, key.id);
                return Ok(Inserted::BelowCut);
            }
        }
        Ok(Inserted::New(self.store(envelope)))
    }

    fn search_tags(&self, tags: &BTreeSet<Tag>, from: Epoch) -> Box<dyn TagSearch> {
        let mut matches = TagMatches::default();
        for tag in tags {
            let numbers = self.tags.range((*tag, 0)..=(*tag, u64::MAX));
            let arrivals = numbers.filter_map(|(_, number)| self.arrivals.get(number));
            let wanted = arrivals.filter(|arrival| arrival.key.epoch >= from).take(FOUND_PER_TAG_MAX);
            wanted.for_each(|arrival| matches.add(*tag, arrival.number, arrival.key));
        }
        let chosen = matches.into_chosen().into_iter();
        let found = chosen.filter_map(|(number, key)| Some((number, find(&self.hours, &key)?.envelope.clone())));
        Box::new(MemorySearch(found.collect()))
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        Ok(find(&self.hours, key).map(|stored| stored.envelope.clone()))
    }

    fn contains(&self, key: &EnvelopeKey) -> bool {
        find(&self.hours, key).is_some()
    }

    fn arrivals_after(&self, number: u64, limit: usize) -> Result<Vec<Arrival>, PoolError> {
        let Some(first) = number.checked_add(1) else { return Ok(Vec::new()) };
        Ok(self.arrivals.range(first..).take(limit).map(|(_, arrival)| *arrival).collect())
    }

    fn skip_arrivals_to(&mut self, number: u64) {
        self.last_arrival = self.last_arrival.max(number);
    }

    fn fill_bytes(&self, topic: TopicId, epoch: Epoch, class: Class) -> u64 {
        self.hours.get(&(epoch, topic)).map_or(0, |hour| hour.shelf(class).bytes(class))
    }

    fn snapshot(&self, window: EpochRange) -> MemorySnapshot {
        let range = (window.first, TopicId(0))..=(window.last, TopicId(u32::MAX));
        let mut full_hours: BTreeMap<Epoch, bool> = BTreeMap::new();
        let mut snapshot = MemorySnapshot { refused: self.refused.within(window), ..MemorySnapshot::default() };
        if window.first > window.last {
            return snapshot;
        }
        for (place, hour) in self.hours.range(range) {
            let closed = HourState::of(place.0, self.last_now) == HourState::Closed;
            *full_hours.entry(place.0).or_insert(closed) &= self.is_full(hour);
            snapshot.hours.insert(*place, Arc::clone(hour));
        }
        snapshot.full_hours = full_hours.into_iter().filter_map(|(hour, full)| full.then_some(hour)).collect();
        snapshot
    }

    fn horizon(&self, now: Epoch) -> Epoch {
        expire::reconciled_hours(now, self.lifetime_hours).first
    }

    fn expire(&mut self, before: Epoch) -> Result<usize, PoolError> {
        self.refused.forget_before(before);
        let kept = self.hours.split_off(&(before, TopicId(0)));
        let gone = std::mem::replace(&mut self.hours, kept);
        let mut count: usize = 0;
        for stored in gone.values().flat_map(|hour| [&hour.small, &hour.large]).flat_map(|s| s.envelopes.values()) {
            self.tags.remove(&(stored.envelope.tag(), stored.arrival));
            self.arrivals.remove(&stored.arrival);
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

/// Found already: memory is read at once.
struct MemorySearch(Vec<(u64, Envelope)>);

impl TagSearch for MemorySearch {
    fn run(self: Box<Self>) -> Result<Vec<(u64, Envelope)>, PoolError> {
        Ok(self.0)
    }
}

/// Hours of a [`MemoryPool`] as they were.
#[derive(Debug, Clone, Default)]
pub struct MemorySnapshot {
    hours: Hours,
    refused: Vec<EnvelopeId>,
    full_hours: Vec<Epoch>,
}

impl IdSource for MemorySnapshot {
    fn keys(&self) -> Vec<EnvelopeKey> {
        self.keys_within(EpochRange { first: Epoch(0), last: Epoch(u32::MAX) })
    }

    fn keys_within(&self, window: EpochRange) -> Vec<EnvelopeKey> {
        let hours = self.hours.iter().filter(|((epoch, _), _)| window.contains(*epoch));
        let shelves = hours.flat_map(|(_, hour)| [&hour.small, &hour.large]);
        shelves.flat_map(|shelf| shelf.envelopes.values()).map(|stored| stored.envelope.key()).collect()
    }

    fn counts(&self) -> Option<BTreeMap<Epoch, usize>> {
        let mut counts: BTreeMap<Epoch, usize> = BTreeMap::new();
        for ((epoch, _), hour) in &self.hours {
            let count = counts.entry(*epoch).or_default();
            *count = count.saturating_add(hour.small.envelopes.len()).saturating_add(hour.large.envelopes.len());
        }
        Some(counts)
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        Ok(find(&self.hours, key).map(|stored| stored.envelope.clone()))
    }

    fn refused(&self) -> Vec<EnvelopeId> {
        self.refused.clone()
    }

    fn full_hours(&self) -> Vec<Epoch> {
        self.full_hours.clone()
    }
}

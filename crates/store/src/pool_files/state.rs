//! All shelves, and the orders that go across them: tags and arrivals of what is recent, the bytes of all
//! files, the hour below which nothing is kept for want of room.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use starling_relay::budget::{self, Decision, HourState, Rank, RefusedIds};
use starling_relay::expire;
use starling_relay::pool::{Arrival, FOUND_PER_TAG_MAX, Inserted, PoolError, TagMatches};
use starling_wire::envelope::{Class, Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange, Tag};

use crate::disk;
use crate::pool_files::backlog::Backlog;
use crate::pool_files::entry::{ENTRY_BYTES, Entry};
use crate::pool_files::handles::Handles;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::{ShelfFile, ShelfKey};
use crate::pool_files::shelf::{Recent, Shelf};
use crate::pool_files::snapshot::DiskSnapshot;
use crate::pool_files::{PoolStats, Shared, recover};

/// What the lock of the pool protects.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) shelves: BTreeMap<ShelfKey, Shelf>,
    pub(crate) handles: Handles,
    /// Tags and arrivals of recent entries.
    tags: BTreeSet<(Tag, u64)>,
    arrivals: BTreeMap<u64, Arrival>,
    backlog: Backlog,
    last_arrival: u64,
    last_now: Epoch,
    /// By the keep rule.
    refused: RefusedIds,
    /// For want of room on the disk; forgotten as soon as there is room again.
    refused_by_disk: RefusedIds,
    bytes: u64,
    floor: Epoch,
    late_max: usize,
    last_version: u64,
    last_tended: Epoch,
}

impl PoolState {
    pub(crate) fn new(floor: Epoch, late_max: usize) -> Self {
        Self {
            shelves: BTreeMap::new(),
            handles: Handles::default(),
            tags: BTreeSet::new(),
            arrivals: BTreeMap::new(),
            backlog: Backlog::default(),
            last_arrival: 0,
            last_now: Epoch(0),
            refused: RefusedIds::default(),
            refused_by_disk: RefusedIds::default(),
            bytes: 0,
            floor,
            late_max,
            last_version: 0,
            last_tended: Epoch(0),
        }
    }

    /// Puts a shelf in that was read from its files.
    pub(crate) fn adopt(&mut self, key: ShelfKey, shelf: Shelf) {
        self.bytes += shelf.file_bytes(key);
        if let Some(index) = &shelf.sealed {
            self.skip_arrivals_to(index.last_arrival);
        }
        for recent in shelf.recent.values() {
            self.skip_arrivals_to(recent.entry.arrival);
            self.note(key, &recent.entry);
        }
        self.shelves.insert(key, shelf);
    }

    pub(crate) fn floor(&self) -> Epoch {
        self.floor
    }

    pub(crate) fn set_floor(&mut self, floor: Epoch) {
        self.floor = floor;
    }

    pub(crate) fn skip_arrivals_to(&mut self, number: u64) {
        self.last_arrival = self.last_arrival.max(number);
    }

    pub(crate) fn fill_bytes(&self, key: ShelfKey) -> u64 {
        self.shelves.get(&key).map_or(0, |shelf| shelf.len() * key.slot_bytes())
    }

    /// Notes that the body of `entry` is not what it should be: a recent entry goes at once, a sealed one
    /// when the keeper mends its shelf.
    pub(crate) fn drop_damaged(&mut self, key: ShelfKey, entry: &Entry) {
        let Some(shelf) = self.shelves.get_mut(&key) else { return };
        match shelf.recent.get(&entry.id).copied() {
            Some(recent) if recent.entry == *entry => {
                shelf.remove(&entry.id);
                shelf.free_slots.push(entry.slot);
                shelf.free_lines.extend(recent.line);
                self.forget(entry);
            }
            // It gave way, or was stored anew, while it was read.
            Some(_) => {}
            None => shelf.suspect |= shelf.sealed.is_some(),
        }
    }

    /// Notes that the index of a shelf is damaged; whether that is news.
    pub(crate) fn suspect(&mut self, key: ShelfKey) -> bool {
        self.shelves.get_mut(&key).is_some_and(|shelf| !std::mem::replace(&mut shelf.suspect, true))
    }

    /// A number for a shelf's next index, never given twice.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.last_version += 1;
        self.last_version
    }

    pub(crate) fn stats(&self, cap_bytes: u64) -> PoolStats {
        PoolStats {
            envelopes: self.shelves.values().map(Shelf::len).sum(),
            bytes: self.bytes,
            cap_bytes,
            in_memory: self.arrivals.len(),
            oldest: self.shelves.keys().next().map(|key| key.epoch),
        }
    }

    pub(crate) fn find(&self, directory: &Path, key: &EnvelopeKey) -> io::Result<Option<Entry>> {
        self.shelves.get(&ShelfKey::of(key)).map_or(Ok(None), |shelf| shelf.find(directory, &key.id))
    }

    pub(crate) fn insert(&mut self, shared: &Shared, envelope: &Envelope, now: Epoch) -> Result<Inserted, PoolError> {
        let key = envelope.key();
        self.last_now = now;
        if self.find(&shared.directory, &key).map_err(|error| shared.pool_error(error))?.is_some() {
            return Ok(Inserted::Duplicate);
        }
        if key.epoch < self.floor() {
            return Ok(Inserted::BelowCut);
        }
        let replaced = match self.decide(shared, envelope, now) {
            Decision::Keep => None,
            Decision::Replace(id) => Some(id),
            Decision::Refuse => {
                self.refused.remember(key.epoch, key.id);
                return Ok(Inserted::BelowCut);
            }
        };
        let free_bytes = disk::free_bytes(&shared.directory).map_err(|error| shared.pool_error(error))?;
        if free_bytes < shared.options.free_bytes_min {
            // Else every sync would bring it again.
            self.refused_by_disk.remember(key.epoch, key.id);
            return Err(PoolError::DiskFull { free_bytes });
        }
        self.refused_by_disk.clear();
        if replaced.is_none() && !self.make_room(shared, ShelfKey::of(&key), now)? {
            return Ok(Inserted::BelowCut);
        }
        let number = self.store(shared, envelope, replaced).map_err(|error| shared.pool_error(error))?;
        if let Some(id) = replaced {
            self.refused.remember(key.epoch, id);
        }
        Ok(Inserted::New(number))
    }

    fn decide(&self, shared: &Shared, envelope: &Envelope, now: Epoch) -> Decision {
        let key = ShelfKey::of(&envelope.key());
        let shelf = self.shelves.get(&key);
        budget::decide(
            shelf.map_or(HourState::of(key.epoch, now), |shelf| shelf.hour_state(key.epoch, now)),
            shared.budget_bytes(key.class),
            self.fill_bytes(key),
            key.class,
            Rank::of(envelope),
            shelf.and_then(|shelf| shelf.ranks.first()).copied(),
        )
    }

    fn store(&mut self, shared: &Shared, envelope: &Envelope, replaced: Option<EnvelopeId>) -> io::Result<u64> {
        let key = ShelfKey::of(&envelope.key());
        let arrival = self.last_arrival.saturating_add(1);
        let entry = Entry { id: envelope.id(), tag: envelope.tag(), effort: envelope.effort(), slot: 0, arrival };
        let shelf = self.shelves.entry(key).or_default();
        let old = replaced.and_then(|id| shelf.recent.get(&id)).map(|recent| recent.entry);
        let bytes_before = shelf.file_bytes(key);
        let stored = shelf.store(&mut self.handles, &shared.directory, key, entry, envelope.as_bytes(), replaced);
        self.bytes = (self.bytes - bytes_before) + shelf.file_bytes(key);
        let entry = stored?;
        self.last_arrival = arrival;
        if let Some(old) = old {
            self.forget(&old);
        }
        self.note(key, &entry);
        Ok(arrival)
    }

    fn note(&mut self, key: ShelfKey, entry: &Entry) {
        let arrival = Arrival { number: entry.arrival, key: key.envelope(entry.id), tag: entry.tag };
        self.tags.insert((entry.tag, entry.arrival));
        self.arrivals.insert(entry.arrival, arrival);
    }

    fn forget(&mut self, entry: &Entry) {
        self.tags.remove(&(entry.tag, entry.arrival));
        self.arrivals.remove(&entry.arrival);
    }

    /// Drops the oldest hours until one more envelope of `key` fits under the cap; whether it may come in. It
    /// may not when only its own or younger hours are left to drop: then its hour goes as a whole, unless it
    /// is open, and the horizon says so.
    fn make_room(&mut self, shared: &Shared, key: ShelfKey, now: Epoch) -> Result<bool, PoolError> {
        let needed = key.slot_bytes() + ENTRY_BYTES as u64;
        while self.bytes.saturating_add(needed) > shared.options.cap_bytes {
            let Some(oldest) = self.shelves.keys().next().map(|oldest| oldest.epoch) else { return Ok(false) };
            let own_hour = oldest >= key.epoch;
            if own_hour && HourState::of(key.epoch, now) == HourState::Open {
                return Ok(false);
            }
            let floor = oldest.min(key.epoch).plus(1);
            self.set_floor(floor);
            self.drop_before(&shared.directory, floor)
                .and_then(|_| recover::write_floor(&shared.directory, floor))
                .map_err(|error| shared.pool_error(error))?;
            if own_hour {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Drops all hours before `before`: how many envelopes went.
    pub(crate) fn drop_before(&mut self, directory: &Path, before: Epoch) -> io::Result<usize> {
        self.refused.forget_before(before);
        self.refused_by_disk.forget_before(before);
        let kept = self.shelves.split_off(&ShelfKey::first_of(before));
        let gone = std::mem::replace(&mut self.shelves, kept);
        let mut count = 0;
        let mut failed = Ok(());
        for (key, shelf) in gone {
            count += usize::try_from(shelf.len()).unwrap_or(usize::MAX);
            self.bytes -= shelf.file_bytes(key);
            shelf.recent.values().for_each(|recent| self.forget(&recent.entry));
            failed = failed.and(self.unlink(directory, key));
        }
        self.backlog.clear();
        failed.map(|()| count)
    }

    fn unlink(&mut self, directory: &Path, key: ShelfKey) -> io::Result<()> {
        ShelfFile::ALL.into_iter().try_for_each(|file| {
            self.handles.forget(key, file);
            recover::remove_if_there(&key.path(directory, file))
        })
    }

    /// Recent entries under any of `tags`, and the sealed shelves, which may have more.
    #[expect(clippy::type_complexity, reason = "two lists that are used at once")]
    pub(crate) fn tag_candidates(
        &self,
        tags: &BTreeSet<Tag>,
        from: Epoch,
    ) -> (TagMatches<(ShelfKey, Entry)>, Vec<(ShelfKey, Arc<SealedIndex>)>) {
        let mut recent = TagMatches::default();
        for tag in tags {
            let numbers = self.tags.range((*tag, 0)..=(*tag, u64::MAX));
            let arrivals = numbers.filter_map(|(_, number)| self.arrivals.get(number));
            let entries = arrivals.filter(|arrival| arrival.key.epoch >= from).filter_map(|arrival| {
                let key = ShelfKey::of(&arrival.key);
                Some((key, self.shelves.get(&key)?.recent.get(&arrival.key.id)?.entry))
            });
            entries.take(FOUND_PER_TAG_MAX).for_each(|(key, entry)| recent.add(*tag, entry.arrival, (key, entry)));
        }
        let sealed = self
            .shelves
            .range(ShelfKey::first_of(from)..)
            .filter_map(|(key, shelf)| Some((*key, Arc::clone(shelf.sealed.as_ref()?))));
        (recent, sealed.collect())
    }

    pub(crate) fn arrivals_after(&mut self, directory: &Path, number: u64, limit: usize) -> io::Result<Vec<Arrival>> {
        let Some(first) = number.checked_add(1) else { return Ok(Vec::new()) };
        let sealed: Vec<_> = self
            .shelves
            .iter()
            .filter_map(|(key, shelf)| {
                let index = shelf.sealed.as_ref().filter(|index| index.last_arrival > number)?;
                Some((*key, Arc::clone(index)))
            })
            .collect();
        let mut last = u64::MAX;
        let mut arrivals = Vec::new();
        if !sealed.is_empty() {
            let damaged = self.backlog.fill(directory, &sealed, number, limit)?;
            damaged.into_iter().for_each(|key| _ = self.suspect(key));
            last = self.backlog.last();
            arrivals.extend(self.backlog.after(number, limit));
        }
        if first <= last {
            arrivals.extend(self.arrivals.range(first..=last).take(limit).map(|(_, arrival)| *arrival));
        }
        arrivals.sort_unstable_by_key(|arrival| arrival.number);
        arrivals.dedup_by_key(|arrival| arrival.number);
        arrivals.truncate(limit);
        Ok(arrivals)
    }

    /// Fills `snapshot` with the shelves of `window`.
    pub(crate) fn fill_snapshot(&mut self, snapshot: &mut DiskSnapshot, window: EpochRange) {
        snapshot.last_arrival = self.last_arrival;
        // A quiet network brings no insert that would notice the room.
        if !self.refused_by_disk.is_empty() && snapshot.shared.has_room_for_strangers() {
            self.refused_by_disk.clear();
        }
        snapshot.refused = self.refused.within(window);
        snapshot.refused.extend(self.refused_by_disk.within(window));
        if window.first > window.last {
            return;
        }
        let range = ShelfKey::first_of(window.first)..=ShelfKey::last_of(window.last);
        for (key, shelf) in self.shelves.range(range) {
            let closed = shelf.hour_state(key.epoch, self.last_now) == HourState::Closed;
            snapshot.add(*key, shelf, closed && self.is_full(&snapshot.shared, *key));
        }
    }

    /// Whether neither class of the topic and hour of `key` has room.
    fn is_full(&self, shared: &Shared, key: ShelfKey) -> bool {
        [Class::Small, Class::Large].into_iter().all(|class| {
            let fill_bytes = self.fill_bytes(ShelfKey { class, ..key });
            !budget::has_room(shared.budget_bytes(class), fill_bytes, class)
        })
    }

    /// Late envelopes in memory: those of hours that left the gossip window.
    fn late(&self) -> usize {
        let open = expire::open_hours(self.last_now);
        let range = ShelfKey::first_of(open.first)..=ShelfKey::last_of(open.last);
        let open: usize = self.shelves.range(range).map(|(_, shelf)| shelf.recent.len()).sum();
        self.arrivals.len().saturating_sub(open)
    }

    /// Late envelopes in memory at which the keeper is called before the hour is over.
    fn late_due(&self) -> usize {
        self.late_max / 4
    }

    pub(crate) fn is_due(&self) -> bool {
        self.late() >= self.late_due()
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.late() >= self.late_max
    }

    /// Closed shelves to write anew: all that have something to merge or to mend when `now` is another hour
    /// than at the last call; else the fullest, until half of what came late is out of memory.
    pub(crate) fn due(&mut self, now: Epoch) -> Vec<ShelfKey> {
        if std::mem::replace(&mut self.last_tended, now) == now { self.fullest(now) } else { self.unmerged(now) }
    }

    fn unmerged(&self, now: Epoch) -> Vec<ShelfKey> {
        let due = self.closed(now).filter(|(_, shelf)| shelf.suspect || !shelf.recent.is_empty());
        due.map(|(key, _)| *key).collect()
    }

    fn fullest(&self, now: Epoch) -> Vec<ShelfKey> {
        let mut late = self.late();
        let mut shelves: Vec<_> = self.closed(now).map(|(key, shelf)| (shelf.recent.len(), *key)).collect();
        shelves.sort_unstable_by(|a, b| b.cmp(a));
        let due = shelves.into_iter().take_while(|(recent, _)| {
            let due = late >= self.late_due() / 2 && *recent > 0;
            late = late.saturating_sub(*recent);
            due
        });
        due.map(|(_, key)| key).collect()
    }

    /// The closed shelf with most in memory.
    pub(crate) fn fullest_late(&self) -> Option<ShelfKey> {
        self.closed(self.last_now).max_by_key(|(_, shelf)| shelf.recent.len()).map(|(key, _)| *key)
    }

    fn closed(&self, now: Epoch) -> impl Iterator<Item = (&ShelfKey, &Shelf)> {
        self.shelves.range(..ShelfKey::first_of(expire::open_hours(now).first))
    }

    /// Puts the new index of a shelf in place of what it was made of.
    pub(crate) fn install(&mut self, key: ShelfKey, index: SealedIndex, merged: &[Entry]) {
        let Some(shelf) = self.shelves.get_mut(&key) else { return };
        let bytes_before = shelf.file_bytes(key);
        let mut gone = Vec::new();
        for entry in merged {
            if shelf.recent.get(&entry.id).is_some_and(|recent| recent.entry == *entry) {
                shelf.remove(&entry.id);
                gone.push(*entry);
            }
        }
        shelf.sealed = Some(Arc::new(index));
        self.bytes = (self.bytes - bytes_before) + shelf.file_bytes(key);
        gone.iter().for_each(|entry| self.forget(entry));
        self.backlog.clear();
    }

    /// Replaces the lines of a shelf's recent file by those that are still recent.
    pub(crate) fn set_lines(&mut self, key: ShelfKey, recent: Vec<Recent>) {
        let Some(shelf) = self.shelves.get_mut(&key) else { return };
        let bytes_before = shelf.file_bytes(key);
        shelf.lines = u32::try_from(recent.len()).unwrap_or(u32::MAX);
        shelf.free_lines.clear();
        recent.into_iter().for_each(|recent| shelf.insert(recent));
        self.bytes = (self.bytes - bytes_before) + shelf.file_bytes(key);
    }
}

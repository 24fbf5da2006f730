//! Arrivals on sealed shelves that the inbox has not looked at yet. They exist only after long absences:
//! what came was merged before its turn. Sealed shelves are sorted by id, so the oldest arrivals of all of
//! them are collected once and handed out from here.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use starling_relay::pool::Arrival;

use crate::disk;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::ShelfKey;

/// Arrivals collected at once, about 100 bytes each.
const ARRIVALS_MAX: usize = 16_384;

/// All arrivals of sealed shelves above `above`, up to [`Backlog::last`].
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    arrivals: BTreeMap<u64, Arrival>,
    /// `None` when nothing is collected.
    above: Option<u64>,
    /// Whether there are more above the last one.
    more: bool,
}

impl Backlog {
    /// Forgets everything: a shelf changed.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Highest number up to which nothing is missing.
    pub(crate) fn last(&self) -> u64 {
        match self.arrivals.last_key_value() {
            Some((number, _)) if self.more => *number,
            _ => u64::MAX,
        }
    }

    /// At most `limit` arrivals above `number`.
    pub(crate) fn after(&self, number: u64, limit: usize) -> impl Iterator<Item = Arrival> {
        self.arrivals.range(number.saturating_add(1)..).take(limit).map(|(_, arrival)| *arrival)
    }

    /// Collects from `shelves` what is needed for `limit` arrivals above `number`, unless it is here; gives
    /// the shelves that are damaged.
    pub(crate) fn fill(
        &mut self,
        directory: &Path,
        shelves: &[(ShelfKey, Arc<SealedIndex>)],
        number: u64,
        limit: usize,
    ) -> io::Result<Vec<ShelfKey>> {
        let covered = self.above.is_some_and(|above| above <= number);
        if covered && (!self.more || self.after(number, limit).count() == limit) {
            return Ok(Vec::new());
        }
        self.clear();
        let keep = ARRIVALS_MAX.max(limit);
        let mut damaged = Vec::new();
        for (key, index) in shelves {
            let (entries, is_damaged) = match index.load_or_salvage(directory) {
                // One bad sector does not stop the inbox.
                Err(error) if !disk::is_passing(&error) => (Vec::new(), true),
                loaded => loaded?,
            };
            damaged.extend(is_damaged.then_some(*key));
            for entry in entries.into_iter().filter(|entry| entry.arrival > number) {
                let arrival = Arrival { number: entry.arrival, key: key.envelope(entry.id), tag: entry.tag };
                self.arrivals.insert(entry.arrival, arrival);
                if self.arrivals.len() > keep {
                    self.arrivals.pop_last();
                    self.more = true;
                }
            }
        }
        self.above = Some(number);
        Ok(damaged)
    }
}

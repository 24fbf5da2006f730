//! Which envelopes a look-up by tags gives, when there are more than it may. SPEC: B12.
//!
//! Whoever knows a tag that somebody watches can put any number of envelopes under it, for the price of
//! their stamps. So keys are collected first, only so many of each tag, and bodies are read of these alone.

use std::collections::BTreeMap;

use starling_wire::envelope::Tag;

/// Envelopes of one tag that a look-up gives at most: the first that arrived.
pub const FOUND_PER_TAG_MAX: usize = 64;
/// Envelopes that a look-up gives at most, 16 MiB of large ones.
pub const FOUND_PER_CALL_MAX: usize = 1_024;

/// What was found under tags so far, by arrival number: `T` is whatever the pool reads a body by.
#[derive(Debug, Clone)]
pub struct TagMatches<T> {
    tags: BTreeMap<Tag, BTreeMap<u64, T>>,
}

impl<T> Default for TagMatches<T> {
    fn default() -> Self {
        Self { tags: BTreeMap::new() }
    }
}

impl<T> TagMatches<T> {
    /// Adds what arrived as number `arrival` under `tag`; the same arrival counts once. Of more than
    /// [`FOUND_PER_TAG_MAX`] the last arrival goes.
    pub fn add(&mut self, tag: Tag, arrival: u64, place: T) {
        let arrivals = self.tags.entry(tag).or_default();
        arrivals.insert(arrival, place);
        if arrivals.len() > FOUND_PER_TAG_MAX {
            arrivals.pop_last();
        }
    }

    /// At most [`FOUND_PER_CALL_MAX`], in the order of arrival. If there are more, each tag's first comes
    /// before any tag's second, so that a few crowded tags do not push out what others hold.
    pub fn into_chosen(self) -> Vec<(u64, T)> {
        let ranked = self.tags.into_values().flat_map(|arrivals| arrivals.into_iter().enumerate());
        let mut rows: Vec<(usize, u64, T)> = ranked.map(|(rank, (arrival, place))| (rank, arrival, place)).collect();
        rows.sort_unstable_by_key(|(rank, arrival, _)| (*rank, *arrival));
        rows.truncate(FOUND_PER_CALL_MAX);
        rows.sort_unstable_by_key(|(_, arrival, _)| *arrival);
        rows.into_iter().map(|(_, arrival, place)| (arrival, place)).collect()
    }
}

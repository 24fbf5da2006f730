//! A look-up by tags, in two halves: what is recent is found in memory under the lock; the sealed hours are looked
//! through on another thread, as each in which one of the tags may be costs reading its index, a megabyte.
//!
//! Nothing that was stored when it began is missed: what was recent then is noted, whatever is merged since, and an
//! index that takes the place of another holds all of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use starling_relay::pool::{PoolError, TagMatches, TagSearch};
use starling_wire::envelope::{Envelope, Epoch, Tag};

use crate::pool_files::Shared;
use crate::pool_files::entry::Entry;
use crate::pool_files::index::{SealedIndex, fingerprint};
use crate::pool_files::names::ShelfKey;

/// A look-up that was begun.
pub(crate) struct DiskSearch {
    shared: Arc<Shared>,
    tags: BTreeSet<Tag>,
    matches: TagMatches<(ShelfKey, Entry)>,
    sealed: Vec<(ShelfKey, Arc<SealedIndex>)>,
}

impl DiskSearch {
    /// Notes what is recent under `tags`, and which sealed shelves there are from `from` on.
    pub(crate) fn begin(shared: &Arc<Shared>, tags: &BTreeSet<Tag>, from: Epoch) -> Self {
        let (matches, sealed) = shared.lock().tag_candidates(tags, from);
        Self { shared: Arc::clone(shared), tags: tags.clone(), matches, sealed }
    }
}

impl TagSearch for DiskSearch {
    fn run(self: Box<Self>) -> Result<Vec<(u64, Envelope)>, PoolError> {
        let Self { shared, tags, mut matches, sealed } = *self;
        let mut prints: Vec<u32> = tags.iter().map(fingerprint).collect();
        prints.sort_unstable();
        for (key, index) in sealed.into_iter().filter(|(_, index)| index.may_hold_any(&prints)) {
            let Some(entries) = shared.load_index(key, &index)? else { continue };
            for entry in entries.into_iter().filter(|entry| tags.contains(&entry.tag)) {
                matches.add(entry.tag, entry.arrival, (key, entry));
            }
        }
        let mut envelopes = Vec::new();
        for (arrival, (key, entry)) in matches.into_chosen() {
            if let Some(envelope) = shared.read_entry(key, &entry)? {
                envelopes.push((arrival, envelope));
            }
        }
        Ok(envelopes)
    }
}

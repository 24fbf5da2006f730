//! The keep rule: which envelopes stay when an hour's budget is full. SPEC: B12.
//!
//! One budget a topic, hour and class. In an open hour (now-1 to now+1) the highest effort stays, then the
//! smallest id, so that all nodes end with the same set in whatever order envelopes came. In a closed
//! hour nothing that is stored ever goes for what comes later: else a back-dated flood would delete
//! everybody's mail for a few dollars.
//!
//! The rule decides, it stores nothing; both pools ask it. All envelopes of a class have one size, so one
//! goes for one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use starling_wire::envelope::{Class, Envelope, EnvelopeId, Epoch, EpochRange};
use starling_wire::limits::REFUSED_IDS_PER_HOUR_MAX;

use crate::expire;

/// Whether envelopes still arrive for an hour by gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HourState {
    /// now-1 to now+1: the better rank stays.
    Open,
    /// Any other: what is stored stays.
    Closed,
}

impl HourState {
    /// The state of the hour `epoch` at this node's epoch `now`.
    pub fn of(epoch: Epoch, now: Epoch) -> Self {
        if expire::open_hours(now).contains(epoch) { Self::Open } else { Self::Closed }
    }
}

/// The rank of an envelope in its hour; the greater one stays. Higher effort, then smaller id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Effort of its stamp.
    pub effort: u32,
    /// Its id.
    pub id: EnvelopeId,
}

impl Rank {
    /// The rank of an envelope.
    pub fn of(envelope: &Envelope) -> Self {
        Self { effort: envelope.effort(), id: envelope.id() }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.effort.cmp(&other.effort).then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What to do with an envelope that is not stored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Store it: there is room.
    Keep,
    /// Store it in the place of this one, the lowest-ranked of its class in its hour.
    Replace(EnvelopeId),
    /// Refuse it.
    Refuse,
}

/// Whether one more envelope of `class` fits beside `fill_bytes` in `budget_bytes`.
pub fn has_room(budget_bytes: u64, fill_bytes: u64, class: Class) -> bool {
    let envelope_bytes = u64::try_from(class.envelope_bytes()).unwrap_or(u64::MAX);
    fill_bytes.checked_add(envelope_bytes).is_some_and(|bytes| bytes <= budget_bytes)
}

/// Decides on `candidate`, an envelope of `class` that is not stored: `fill_bytes` of the `budget_bytes` of
/// its topic, hour and class are used, and `lowest` is the lowest rank stored there (unused, and may be
/// `None`, in a closed hour or when there is room).
pub fn decide(
    hour: HourState,
    budget_bytes: u64,
    fill_bytes: u64,
    class: Class,
    candidate: Rank,
    lowest: Option<Rank>,
) -> Decision {
    if has_room(budget_bytes, fill_bytes, class) {
        return Decision::Keep;
    }
    match (hour, lowest) {
        (HourState::Open, Some(lowest)) if candidate > lowest => Decision::Replace(lowest.id),
        _ => Decision::Refuse,
    }
}

/// Refused ids of all hours together, at most: 3 MB.
pub const REFUSED_IDS_MAX: usize = 16 * REFUSED_IDS_PER_HOUR_MAX;

/// Ids that were refused or evicted, so that sync does not pull them again and again. Of closed hours too:
/// where one class is full, the other one's mail is still asked for. At most [`REFUSED_IDS_PER_HOUR_MAX`] an
/// hour and [`REFUSED_IDS_MAX`] in all, those of the oldest hours given up first; what is beyond may be
/// pulled in vain.
#[derive(Debug, Clone, Default)]
pub struct RefusedIds {
    hours: BTreeMap<Epoch, BTreeSet<EnvelopeId>>,
}

impl RefusedIds {
    /// Remembers `id` of the hour `epoch`.
    pub fn remember(&mut self, epoch: Epoch, id: EnvelopeId) {
        if self.hours.get(&epoch).is_some_and(|ids| ids.len() >= REFUSED_IDS_PER_HOUR_MAX || ids.contains(&id)) {
            return;
        }
        if self.len() >= REFUSED_IDS_MAX {
            match self.hours.first_key_value() {
                Some((oldest, _)) if *oldest < epoch => drop(self.hours.pop_first()),
                _ => return,
            }
        }
        self.hours.entry(epoch).or_default().insert(id);
    }

    /// Forgets all hours before `before`: they expired.
    pub fn forget_before(&mut self, before: Epoch) {
        self.hours = self.hours.split_off(&before);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.hours.clear();
    }

    /// Ids remembered.
    pub fn len(&self) -> usize {
        self.hours.values().map(BTreeSet::len).fold(0, usize::saturating_add)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// Those of the hours in `window`, for [`crate::pool::IdSource::refused`].
    pub fn within(&self, window: EpochRange) -> Vec<EnvelopeId> {
        self.hours.iter().filter(|(hour, _)| window.contains(**hour)).flat_map(|(_, ids)| ids).copied().collect()
    }
}

//! How far this computer's clock is off, as its neighbours see it. Never adjusted: peers could lie.
//!
//! Gossip takes one hour's epoch either way, so a clock that is off by more than 45 minutes has its
//! envelopes refused everywhere: sends are held until it is set. SPEC: product 2.1, "clock off".

use std::collections::{BTreeMap, BTreeSet};

use starling_wire::network::Scope;

use crate::turn::{AddressGroup, LinkId, Now};

/// Samples below which nothing is said about the clock.
const CLOCK_SAMPLES_MIN: usize = 3;
/// Beyond this the person is warned.
const CLOCK_WARN_MS: u64 = 120_000;
/// Beyond this sends are held.
const CLOCK_HOLD_MS: u64 = 2_700_000;

#[derive(Debug, Clone, Copy)]
struct Sample {
    group: AddressGroup,
    /// The peer's wall clock minus our monotonic one, so that a change of our wall clock shows at once.
    peer_base_ms: i64,
}

/// What changed in the judgement of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockChange {
    /// The warning began or ended.
    pub(crate) warning: Option<bool>,
    /// Sends are held now, or no longer.
    pub(crate) holds: Option<bool>,
}

/// Clock samples of the held links.
#[derive(Debug, Default)]
pub(crate) struct PeerClocks {
    samples: BTreeMap<LinkId, Sample>,
    warned: bool,
    holds: bool,
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn own_base_ms(now: Now) -> i64 {
    signed(now.unix_ms).saturating_sub(signed(now.monotonic_ms))
}

impl PeerClocks {
    /// A link came up; its clock was `offset_ms` ahead of ours.
    pub(crate) fn add(&mut self, link: LinkId, group: AddressGroup, offset_ms: i64, now: Now) {
        self.samples.insert(link, Sample { group, peer_base_ms: own_base_ms(now).saturating_add(offset_ms) });
    }

    /// A link went down.
    pub(crate) fn remove(&mut self, link: LinkId) {
        self.samples.remove(&link);
    }

    /// Median of (peer's clock - ours) in ms and the number of peers it is of; on the internet one peer a
    /// wide address group counts, so that one neighbour network cannot outvote the others.
    pub(crate) fn median(&self, scope: Scope, now: Now) -> Option<(i64, u32)> {
        let base = own_base_ms(now);
        let mut groups = BTreeSet::new();
        let mut offsets: Vec<i64> = self
            .samples
            .values()
            .filter(|sample| scope != Scope::Internet || groups.insert(sample.group.wide))
            .map(|sample| sample.peer_base_ms.saturating_sub(base))
            .collect();
        offsets.sort_unstable();
        let count = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
        offsets.get(offsets.len() / 2).map(|&median| (median, count))
    }

    /// Judges anew; what changed since the last judgement.
    pub(crate) fn judge(&mut self, scope: Scope, now: Now) -> ClockChange {
        let known = self.median(scope, now).filter(|&(_, count)| count as usize >= CLOCK_SAMPLES_MIN);
        let off_ms = known.map_or(0, |(median, _)| median.unsigned_abs());
        let (warned, holds) = (off_ms > CLOCK_WARN_MS, off_ms > CLOCK_HOLD_MS);
        let change = ClockChange {
            warning: (warned != self.warned).then_some(warned),
            holds: (holds != self.holds).then_some(holds),
        };
        (self.warned, self.holds) = (warned, holds);
        change
    }

    /// Whether sends are held.
    pub(crate) fn holds(&self) -> bool {
        self.holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64) -> Now {
        Now { unix_ms, monotonic_ms: 1_000 }
    }

    fn group(wide: u64) -> AddressGroup {
        AddressGroup { narrow: wide, wide }
    }

    #[test]
    fn three_peers_hold_sends_and_one_network_does_not() {
        let now = at(1_000_000_000_000);
        let mut clocks = PeerClocks::default();
        for link in 0..3 {
            clocks.add(LinkId(link), group(7), 3 * 3_600_000, now);
        }
        assert_eq!(clocks.judge(Scope::Internet, now), ClockChange { warning: None, holds: None });
        assert_eq!(clocks.judge(Scope::Loopback, now), ClockChange { warning: Some(true), holds: Some(true) });
        for link in 3..5 {
            clocks.add(LinkId(link), group(link), 3 * 3_600_000, now);
        }
        assert_eq!(clocks.judge(Scope::Internet, now), ClockChange { warning: None, holds: None });
        assert!(clocks.holds());
    }

    #[test]
    fn setting_the_clock_right_ends_the_hold_without_new_samples() {
        let wrong = at(1_000_000_000_000);
        let mut clocks = PeerClocks::default();
        for link in 0..5 {
            clocks.add(LinkId(link), group(link), 3 * 3_600_000, wrong);
        }
        clocks.judge(Scope::Internet, wrong);
        let right = at(wrong.unix_ms + 3 * 3_600_000);
        assert_eq!(clocks.judge(Scope::Internet, right), ClockChange { warning: Some(false), holds: Some(false) });
        assert_eq!(clocks.median(Scope::Internet, right), Some((0, 5)));
    }

    #[test]
    fn one_liar_among_four_moves_nothing() {
        let now = at(1_000_000_000_000);
        let mut clocks = PeerClocks::default();
        for (link, offset_ms) in [(1, 20), (2, -30), (3, 10), (4, i64::MAX)] {
            clocks.add(LinkId(link), group(link), offset_ms, now);
        }
        assert_eq!(clocks.judge(Scope::Internet, now), ClockChange { warning: None, holds: None });
    }
}

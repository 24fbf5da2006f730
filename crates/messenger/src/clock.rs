//! How far this computer's clock is off, as its neighbours see it. Never adjusted: peers could lie.
//!
//! Gossip takes one hour's epoch either way, so a clock that is off by more than 45 minutes has its
//! envelopes refused everywhere: sends are held until it is set. SPEC: product 2.1, "clock off".
//!
//! And nothing is erased by a clock that has jumped: a computer that starts with a clock 60 days ahead would
//! else forget, before the first neighbour can object, all mail that it keeps and the keys to what is under way.

use std::collections::{BTreeMap, BTreeSet};

use starling_wire::network::Scope;

use crate::turn::{AddressGroup, LinkId, Now};

/// Samples below which nothing is said about the clock.
const CLOCK_SAMPLES_MIN: usize = 3;
/// Beyond this the person is warned.
const CLOCK_WARN_MS: u64 = 120_000;
/// Beyond this sends are held.
const CLOCK_HOLD_MS: u64 = 2_700_000;

/// How far the wall clock may be from where it was last known to be right, plus what the monotonic clock counted
/// since, and still be believed. More is a long absence, a long sleep, or a mistake.
const JUMP_MAX_MS: u64 = 24 * 3_600_000;
/// How long a clock that jumped has to run, contradicted by no neighbour, until it is believed without
/// [`CLOCK_SAMPLES_MIN`] of them that agree: a computer without a network must not keep old keys for ever.
const DOUBT_MS: u64 = 3_600_000;
/// By how much the time noted in the vault lags behind.
const NOTED_EVERY_MS: u64 = 3_600_000;

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
        let offsets = self.offsets(scope, now);
        let count = u32::try_from(offsets.len()).unwrap_or(u32::MAX);
        offsets.get(offsets.len() / 2).map(|&median| (median, count))
    }

    /// Of the peers that [`Self::median`] counts, those by whose clocks ours is off to the same side by so much that a
    /// person is told.
    pub(crate) fn agreeing(&self, scope: Scope, now: Now) -> u32 {
        let Some((median, _)) = self.median(scope, now) else { return 0 };
        let agrees = |&&offset: &&i64| offset.signum() == median.signum() && offset.unsigned_abs() > CLOCK_WARN_MS;
        u32::try_from(self.offsets(scope, now).iter().filter(agrees).count()).unwrap_or(u32::MAX)
    }

    /// What [`Self::median`] is the median of, sorted.
    fn offsets(&self, scope: Scope, now: Now) -> Vec<i64> {
        let base = own_base_ms(now);
        let mut groups = BTreeSet::new();
        let mut offsets: Vec<i64> = self
            .samples
            .values()
            .filter(|sample| scope != Scope::Internet || groups.insert(sample.group.wide))
            .map(|sample| sample.peer_base_ms.saturating_sub(base))
            .collect();
        offsets.sort_unstable();
        offsets
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

/// The last time that is known to be right, by which a jump of the wall clock is noticed.
#[derive(Debug)]
pub(crate) struct KnownTime {
    unix_ms: u64,
    /// The monotonic clock at that time.
    monotonic_ms: u64,
    /// What the vault knows of it.
    stored_unix_ms: u64,
    /// The clock that is in doubt, as wall minus monotonic time, and since when it runs uncontradicted.
    doubt: Option<(i64, u64)>,
}

impl KnownTime {
    /// Nothing is known: `now` is as good as any.
    pub(crate) fn new(now: Now) -> Self {
        Self { unix_ms: now.unix_ms, monotonic_ms: now.monotonic_ms, stored_unix_ms: 0, doubt: None }
    }

    /// It was `unix_ms` at least when the vault was last written.
    pub(crate) fn restored(unix_ms: u64, now: Now) -> Self {
        Self { unix_ms, monotonic_ms: now.monotonic_ms, stored_unix_ms: unix_ms, doubt: None }
    }

    /// Whether the wall clock is to be believed, with the `median` of the neighbours' clocks
    /// ([`PeerClocks::median`]); if so, it is what is known from now on.
    pub(crate) fn judge(&mut self, median: Option<(i64, u32)>, now: Now) -> bool {
        let sure = self.is_sure(median, now);
        if sure {
            (self.unix_ms, self.monotonic_ms, self.doubt) = (now.unix_ms, now.monotonic_ms, None);
        }
        sure
    }

    fn is_sure(&mut self, median: Option<(i64, u32)>, now: Now) -> bool {
        let many = median.is_some_and(|(_, count)| count as usize >= CLOCK_SAMPLES_MIN);
        let contradicted = median.is_some_and(|(offset_ms, _)| offset_ms.unsigned_abs() > CLOCK_HOLD_MS);
        if contradicted && many {
            self.doubt = None;
            return false;
        }
        let expected_ms = self.unix_ms.saturating_add(now.monotonic_ms.saturating_sub(self.monotonic_ms));
        if now.unix_ms.abs_diff(expected_ms) <= JUMP_MAX_MS || many {
            return true;
        }
        // A single neighbour is not believed against a clock that did not jump; against one that did it is.
        let base_ms = own_base_ms(now);
        let same = |doubted: i64| doubted.abs_diff(base_ms) <= CLOCK_WARN_MS;
        match self.doubt.filter(|&(doubted, _)| !contradicted && same(doubted)) {
            Some((_, since_ms)) => now.monotonic_ms.saturating_sub(since_ms) >= DOUBT_MS,
            None => {
                self.doubt = (!contradicted).then_some((base_ms, now.monotonic_ms));
                false
            }
        }
    }

    /// Whether the vault should be told; what is known counts as told then.
    pub(crate) fn wants_note(&mut self) -> bool {
        let wants = self.unix_ms.abs_diff(self.stored_unix_ms) >= NOTED_EVERY_MS;
        if wants {
            self.stored_unix_ms = self.unix_ms;
        }
        wants
    }

    /// What the vault knows.
    pub(crate) fn stored_unix_ms(&self) -> u64 {
        self.stored_unix_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    #[test]
    fn a_clock_that_jumped_is_believed_when_three_agree_or_nobody_objects_for_an_hour() {
        let noted = at(1_000_000_000_000);
        let ahead = |monotonic_ms| Now { unix_ms: noted.unix_ms + 60 * DAY_MS + monotonic_ms, monotonic_ms };
        let mut known = KnownTime::restored(noted.unix_ms, ahead(0));
        assert!(!known.judge(None, ahead(0)) && !known.judge(Some((0, 2)), ahead(DOUBT_MS - 1)));
        assert!(known.judge(None, ahead(DOUBT_MS)), "nobody objected");
        let mut known = KnownTime::restored(noted.unix_ms, ahead(0));
        assert!(known.judge(Some((-1_000, 3)), ahead(1)));
        let mut known = KnownTime::restored(noted.unix_ms, ahead(0));
        let objection = Some((-60 * DAY_MS as i64, 1));
        for hours in 0..100 {
            assert!(!known.judge(objection, ahead(hours * DOUBT_MS)));
        }
        assert!(!known.judge(None, ahead(101 * DOUBT_MS)), "the hour begins when nobody objects any more");
        let right = Now { unix_ms: noted.unix_ms + 105 * DOUBT_MS, monotonic_ms: 105 * DOUBT_MS };
        assert!(known.judge(Some((0, 1)), right), "it was put right");
    }

    #[test]
    fn a_clock_that_runs_on_is_believed_unless_three_object() {
        let mut now = at(1_000_000_000_000);
        let mut known = KnownTime::new(now);
        for _ in 0..60 {
            now = Now { unix_ms: now.unix_ms + DAY_MS, monotonic_ms: now.monotonic_ms + DAY_MS };
            assert!(known.judge(Some((i64::MAX, 1)), now), "one liar");
        }
        assert!(known.wants_note() && !known.wants_note());
        assert!(!known.judge(Some((-3 * 3_600_000, 3)), now));
    }

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

//! Which hours are alive: the windows of admission, of the keep rule and of sync, in one place so that
//! they cannot drift apart. SPEC: B2, B12, B13.
//!
//! ```text
//!   now-lifetime-1 ........ now-lifetime ........................ now-1   now   now+1
//!   | admitted by sync, kept (slack)  | reconciled                |  open: gossip, push  |
//! ```
//!
//! Clocks differ by some minutes, so an hour has one hour of slack at either end: what one node drops as
//! expired must not make its neighbour, who still keeps it, look like a cheat.

use starling_wire::envelope::{Epoch, EpochRange};
use starling_wire::limits::{EXPIRY_SLACK_HOURS, GOSSIP_EPOCHS_EITHER_WAY};

/// The open hours: now-1 to now+1. Gossip and push carry only these, and only in these the keep rule
/// evicts.
pub const fn open_hours(now: Epoch) -> EpochRange {
    EpochRange { first: now.minus(GOSSIP_EPOCHS_EITHER_WAY), last: now.plus(GOSSIP_EPOCHS_EITHER_WAY) }
}

/// The hours that are kept, and admitted by sync: those of the lifetime, one of slack, and the open ones.
pub const fn kept_hours(now: Epoch, lifetime_hours: u32) -> EpochRange {
    let hours = lifetime_hours.saturating_add(EXPIRY_SLACK_HOURS);
    EpochRange { first: now.minus(hours), last: now.plus(GOSSIP_EPOCHS_EITHER_WAY) }
}

/// The hours that two nodes reconcile at most. The hour of slack is not among them: one of the two may
/// have dropped it rightly.
pub const fn reconciled_hours(now: Epoch, lifetime_hours: u32) -> EpochRange {
    EpochRange { first: now.minus(lifetime_hours), last: now.plus(GOSSIP_EPOCHS_EITHER_WAY) }
}

/// What [`crate::pool::EnvelopePool::expire`] is to be called with: the oldest hour that is still kept.
pub const fn oldest_kept(now: Epoch, lifetime_hours: u32) -> Epoch {
    kept_hours(now, lifetime_hours).first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_whose_clock_is_an_hour_off_finds_nothing_to_complain_about() {
        let now = Epoch(500_000);
        for other in [now.minus(1), now.plus(1)] {
            let (mine, theirs) = (kept_hours(now, 336), reconciled_hours(other, 336));
            assert!(mine.first <= theirs.first, "what they reconcile I still admit");
            assert!(open_hours(other).contains(now));
        }
        assert_eq!(oldest_kept(now, 336), Epoch(500_000 - 337));
    }

    #[test]
    fn hours_near_1970_and_near_the_end_of_time_do_not_wrap() {
        assert_eq!(kept_hours(Epoch(3), 336).first, Epoch(0));
        assert_eq!(open_hours(Epoch(u32::MAX)).last, Epoch(u32::MAX));
    }
}

//! Everything that is due at a moment of the monotonic clock, in one ordered queue: one name, one due
//! time. `next_wake` is its first entry.

use std::collections::{BTreeMap, BTreeSet};

use crate::post::PostId;
use crate::turn::{ContactNumber, LinkId};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Looking at the arrivals for own mail.
    Inbox,
    /// An envelope of one's own: its next push.
    Push(PostId),
    /// Pushes that wait for their turn.
    PushQueue,
    /// Acknowledgements to a contact.
    Receipts(ContactNumber),
    /// Publishing a pushed envelope, by its place in the line.
    Publish(u64),
    /// The first sync with a new link.
    FirstSync(LinkId),
    /// The next small sync with a neighbour.
    Sync,
    /// Syncs after a broken one.
    SyncAgain,
    /// A sync whose end was never told.
    SyncDeadline(LinkId),
    /// What happens by the minute and the hour.
    Upkeep,
    /// The end of the message that disappears next.
    Expiry,
    /// The end of a restored device's search for others of its account.
    Settle,
}

/// The queue. Bounded by what it is about: each module bounds its own items.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(u64, Timer)>,
    at: BTreeMap<Timer, u64>,
}

impl Timers {
    /// Sets `timer` to `at_ms` of the monotonic clock, in the place of what was set.
    pub(crate) fn set(&mut self, timer: Timer, at_ms: u64) {
        if let Some(before) = self.at.insert(timer, at_ms) {
            self.queue.remove(&(before, timer));
        }
        self.queue.insert((at_ms, timer));
    }

    /// Sets `timer` to `at_ms` unless it is set at all.
    pub(crate) fn set_if_absent(&mut self, timer: Timer, at_ms: u64) {
        if !self.is_set(timer) {
            self.set(timer, at_ms);
        }
    }

    /// Whether `timer` is set.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// Forgets `timer`.
    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(before) = self.at.remove(&timer) {
            self.queue.remove(&(before, timer));
        }
    }

    /// Takes the first timer that is due at `now_ms`.
    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<Timer> {
        let &(at_ms, timer) = self.queue.first()?;
        if at_ms > now_ms {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }

    /// When the first timer is due, monotonic ms.
    pub(crate) fn next(&self) -> Option<u64> {
        self.queue.first().map(|&(at_ms, _)| at_ms)
    }

    /// Timers set.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_one_due_time() {
        let mut timers = Timers::default();
        timers.set(Timer::Inbox, 50);
        timers.set(Timer::Upkeep, 20);
        timers.set(Timer::Inbox, 10);
        timers.set_if_absent(Timer::Upkeep, 5);
        assert_eq!(timers.len(), 2);
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.pop_due(15), Some(Timer::Inbox));
        assert_eq!(timers.pop_due(15), None);
        timers.cancel(Timer::Upkeep);
        assert_eq!(timers.next(), None);
    }
}

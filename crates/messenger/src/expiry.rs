//! Messages that disappear: a timer in the message, counted by each side for itself. SPEC: B15.
//!
//! A received message is kept for its time from the moment it came. One's own is kept until its recipient's device
//! confirmed it, or no node keeps it any more, and then for its time: before that it may have to be sealed again,
//! and nothing that was not delivered goes silently. What is over is deleted with all that was stored of it; the
//! store forgets it. The wall clock must be right for that, as for everything that is gone for ever.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use starling_relay::pool::EnvelopePool;

use crate::messenger::Messenger;
use crate::outbox::Item;
use crate::record::{VaultWrite, file_key, history_key, message_index_key, trace_key};
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{CommandError, ContactNumber, MessageNumber};
use crate::view::{Event, MessageView};

/// The longest time that a message may be given here, s: a year.
pub const EXPIRES_S_MAX: u32 = 365 * 24 * 3_600;
/// Running timers that are remembered; beyond it the message that is nearest to its end goes at once.
const EXPIRIES_MAX: usize = 65_536;
/// Messages deleted in one step.
const DELETED_PER_STEP: usize = 256;

/// A message whose timer runs, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpiryRecord {
    /// Which message.
    pub(crate) number: MessageNumber,
    /// Its conversation.
    pub(crate) contact: ContactNumber,
    /// Its time, s.
    pub(crate) expires_s: u32,
    /// When it is over, ms since 1970.
    pub(crate) at_unix_ms: u64,
}

/// All messages whose timer runs.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    by_number: BTreeMap<MessageNumber, ExpiryRecord>,
    order: BTreeSet<(u64, MessageNumber)>,
}

impl Expiries {
    /// Adds one, or takes up what was stored.
    pub(crate) fn insert(&mut self, record: ExpiryRecord) {
        self.remove(record.number);
        self.order.insert((record.at_unix_ms, record.number));
        self.by_number.insert(record.number, record);
    }

    /// One of them.
    pub(crate) fn get(&self, number: MessageNumber) -> Option<&ExpiryRecord> {
        self.by_number.get(&number)
    }

    fn remove(&mut self, number: MessageNumber) -> Option<ExpiryRecord> {
        let record = self.by_number.remove(&number)?;
        self.order.remove(&(record.at_unix_ms, number));
        Some(record)
    }

    fn first(&self) -> Option<ExpiryRecord> {
        let (_, number) = self.order.first()?;
        self.by_number.get(number).copied()
    }
}

/// A time to keep messages for, as a person gives it: 0 is for ever.
pub(crate) fn check_expiry(expires_s: u32) -> Result<u32, CommandError> {
    if expires_s > EXPIRES_S_MAX { Err(CommandError::ExpiryTooLong { limit_s: EXPIRES_S_MAX }) } else { Ok(expires_s) }
}

impl<P: EnvelopePool> Messenger<P> {
    /// Starts the timer of a message that has one, unless it runs.
    pub(crate) fn start_expiry(&mut self, view: &mut MessageView) {
        if view.expires_s == 0 || view.expires_unix_ms.is_some() {
            return;
        }
        let at_unix_ms = self.now.unix_ms.saturating_add(u64::from(view.expires_s) * 1_000);
        view.expires_unix_ms = Some(at_unix_ms);
        let MessageView { number, contact, expires_s, .. } = *view;
        self.expiries.insert(ExpiryRecord { number, contact, expires_s, at_unix_ms });
        self.mark(Dirty::Expiry(number));
        self.wake_for_expiry();
    }

    /// Starts the timer of an own text, which is where it can go no further.
    pub(crate) fn start_expiry_of_own(&mut self, number: u64) {
        let Some(mut view) = self.outbox.get(number).and_then(Item::text).map(|text| text.view.clone()) else { return };
        self.start_expiry(&mut view);
        if let Some(shown) = self.outbox.get_mut(number).and_then(Item::view_mut) {
            shown.expires_unix_ms = view.expires_unix_ms;
        }
    }

    /// Sets the timer to the end of the message that is nearest to it.
    pub(crate) fn wake_for_expiry(&mut self) {
        if let Some(next) = self.expiries.first() {
            let full = self.expiries.by_number.len() > EXPIRIES_MAX;
            let wait_ms = if full { 0 } else { next.at_unix_ms.saturating_sub(self.now.unix_ms) };
            self.set_timer_in(Timer::Expiry, wait_ms);
        }
    }

    /// Deletes what is over. By a clock that is not to be believed nothing is; then the next minute asks again.
    pub(crate) fn on_expiry(&mut self) {
        for _ in 0..DELETED_PER_STEP {
            let full = self.expiries.by_number.len() > EXPIRIES_MAX;
            let Some(next) = self.expiries.first() else { return };
            if !full && next.at_unix_ms > self.now.unix_ms {
                return self.wake_for_expiry();
            }
            if !full && !self.is_time_sure() {
                return;
            }
            self.delete_message(next.contact, next.number);
        }
        self.wake_for_expiry();
    }

    /// No timer runs for longer than its message asked: one that seems to was started by a clock that was ahead.
    pub(crate) fn judge_expiries(&mut self) {
        let unix_ms = self.now.unix_ms;
        let latest = |record: &ExpiryRecord| unix_ms.saturating_add(u64::from(record.expires_s) * 1_000);
        let late: Vec<ExpiryRecord> = self
            .expiries
            .by_number
            .values()
            .filter(|record| record.at_unix_ms > latest(record))
            .map(|record| ExpiryRecord { at_unix_ms: latest(record), ..*record })
            .collect();
        for record in late {
            self.expiries.insert(record);
            self.mark(Dirty::Expiry(record.number));
        }
        self.wake_for_expiry();
    }

    /// Deletes a message and all that is stored of it. That it was received, or sent, stays known as far as it must:
    /// by ids that say nothing.
    pub(crate) fn delete_message(&mut self, contact: ContactNumber, number: MessageNumber) {
        self.expiries.remove(number);
        self.mark(Dirty::Expiry(number));
        self.drop_item(number.0);
        let at = (contact, number);
        for key in [history_key(at.0, at.1), file_key(at.0, at.1), message_index_key(number), trace_key(number)] {
            self.turn.writes.push(VaultWrite::Delete { key });
        }
        self.event(Event::MessageDeleted { number, contact });
    }
}

//! What is said of a message and of a contact, in words: the same for every eye and every screen reader. SPEC: product,
//! section 5, delivery.

use std::time::Duration;

use jiff::tz::TimeZone;
use starling_api::Time;
use starling_api::message::{Message, MessageState, StateName, Writer};
use starling_api::people::{Contact, ContactState};

use crate::cli::{clean, contacts, counted, follow, spans};

/// The clock and the calendar that times are said by.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// Now.
    pub(crate) now: Time,
    /// Where the person is.
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// `14:02`
    pub(crate) fn time(&self, at: Time) -> String {
        at.timestamp().to_zoned_datetime(self.zone.clone()).strftime("%H:%M").to_string()
    }

    /// `14:02` today, `25 Nov 14:02` on another day.
    fn moment(&self, at: Time) -> String {
        if self.day(at) == self.day(self.now) { self.time(at) } else { format!("{} {}", self.day(at), self.time(at)) }
    }

    /// `25 Nov`, with the year if it is another one.
    pub(crate) fn day(&self, at: Time) -> String {
        let zoned = |time: Time| time.timestamp().to_zoned_datetime(self.zone.clone());
        let format = if zoned(at).year() == zoned(self.now).year() { "%-d %b" } else { "%-d %b %Y" };
        zoned(at).strftime(format).to_string()
    }

    fn ago(&self, at: Time) -> String {
        let age = Duration::from_millis(self.now.0.saturating_sub(at.0));
        // The clock of relative times goes by the minute.
        match age.as_secs() {
            0..60 => "just now".to_owned(),
            60..3_600 => format!("{} min ago", age.as_secs() / 60),
            _ => format!("{} ago", spans::rough(age)),
        }
    }
}

/// When a message is shown to have been said.
pub(crate) fn said_at(message: &Message) -> Time {
    message.received.unwrap_or(message.created)
}

/// Where a message is.
pub(crate) fn state(state: &MessageState, name: &str, clock: &Clock) -> String {
    match state.name {
        StateName::Queued => match state.reason {
            Some(why) => format!("Waiting on this computer: {}", follow::reason(why, name)),
            None => "Waiting on this computer".to_owned(),
        },
        StateName::Sent => "Left this computer".to_owned(),
        StateName::Held => format!("Held by {}", counted(u64::from(state.held_by), "node")),
        StateName::Delivered => format!("Delivered {}", clock.moment(state.since)),
        StateName::Read => format!("Read {}", clock.moment(state.since)),
        StateName::Expired => "Not delivered, and no node keeps it any more".to_owned(),
    }
}

/// When a message disappears, if it does.
pub(crate) fn leaves(message: &Message, clock: &Clock) -> Option<String> {
    match (message.expires, message.expires_s) {
        (Some(at), _) => {
            let left = Duration::from_millis(at.0.saturating_sub(clock.now.0));
            let said = if left < Duration::from_secs(60) { "a minute".to_owned() } else { minutes(left) };
            Some(format!("disappears in {said}"))
        }
        (None, Some(after_s)) => {
            let after = spans::rough(Duration::from_secs(u64::from(after_s)));
            Some(format!("disappears {after} after its delivery"))
        }
        (None, None) => None,
    }
}

fn minutes(span: Duration) -> String {
    spans::rough(Duration::from_secs(span.as_secs() / 60 * 60))
}

/// The line above a text: when, who, and for an own one where it is.
pub(crate) fn head(message: &Message, name: &str, clock: &Clock) -> (String, String) {
    let (who, state) = match message.from {
        Writer::Me => ("me".to_owned(), Some(state(&message.state, name, clock))),
        Writer::Contact(_) => (clean::line(name), None),
    };
    let more: Vec<String> = state.into_iter().chain(leaves(message, clock)).collect();
    let more = more.iter().map(|words| format!(" · {words}")).collect();
    (format!("{}  {who}", clock.time(said_at(message))), more)
}

/// What is said of a contact above its conversation.
pub(crate) fn contact(contact: &Contact, clock: &Clock) -> String {
    let mut parts = vec![contacts::state(contact.state).to_owned()];
    parts.push(match (contact.verified_at, contact.mark_lost) {
        (Some(_), _) => "verified".to_owned(),
        (None, true) => "verified no more".to_owned(),
        (None, false) => "not verified".to_owned(),
    });
    parts.extend(contact.last_heard.map(|at| format!("heard {}", clock.ago(at))));
    parts.extend(
        contact.expires_s.map(|expires_s| {
            format!("yours disappear after {}", spans::rough(Duration::from_secs(u64::from(expires_s))))
        }),
    );
    parts.join(" · ")
}

/// The word beside a contact's name in the list, when something is to be said there.
pub(crate) fn mark(state: ContactState) -> &'static str {
    match state {
        ContactState::Ready => "",
        ContactState::Invited => "invited",
        ContactState::WaitingForKeys => "no keys yet",
        ContactState::Forked => "decide",
        ContactState::Blocked => "blocked",
    }
}

#[cfg(test)]
mod tests {
    use starling_api::message::QueuedReason;

    use super::*;

    #[test]
    fn every_state_is_a_sentence() {
        let clock = Clock { now: Time(1_795_442_531_208), zone: TimeZone::UTC };
        let mut at = MessageState {
            name: StateName::Queued,
            since: Time(1_795_442_531_208),
            held_by: 7,
            neighbours: 9,
            until: None,
            reason: Some(QueuedReason::WaitingForKeys),
            attempts: 1,
            parts: None,
        };
        assert_eq!(state(&at, "Bob", &clock), "Waiting on this computer: waiting for Bob's keys");
        at.reason = None;
        let mut said = |name| {
            at.name = name;
            state(&at, "Bob", &clock)
        };
        assert_eq!(said(StateName::Queued), "Waiting on this computer");
        assert_eq!(said(StateName::Sent), "Left this computer");
        assert_eq!(said(StateName::Held), "Held by 7 nodes");
        assert_eq!(said(StateName::Delivered), "Delivered 14:02");
        assert_eq!(said(StateName::Read), "Read 14:02");
        assert_eq!(said(StateName::Expired), "Not delivered, and no node keeps it any more");
        at.name = StateName::Delivered;
        let later = Clock { now: Time(1_795_442_531_208 + 3 * 86_400_000), zone: TimeZone::UTC };
        assert_eq!(state(&at, "Bob", &later), "Delivered 23 Nov 14:02");
        assert_eq!(later.ago(at.since), "3 days ago");
        assert_eq!(clock.ago(at.since), "just now");
    }
}

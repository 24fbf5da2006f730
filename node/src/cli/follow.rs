//! Follows one message until it is where it was asked to be, by the event stream: no polling, nothing missed.

use std::time::{Duration, Instant};

use starling_api::event::EventBody;
use starling_api::message::{Message, MessageState, QueuedReason, StateName};
use starling_api::people::Contact;
use starling_api::{Client, ClientError, EventType};

use super::failure::{Exit, Failure};
use super::{clean, contacts, files, hints, spans, times};

/// How far a message is to come before the command returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Written to disk.
    Queued,
    /// Left this computer.
    Sent,
    /// Kept by so many neighbours.
    Held(u32),
    /// Confirmed by the recipient's device.
    Delivered,
    /// Read by the recipient.
    Read,
}

impl Goal {
    /// Reads `--wait`.
    ///
    /// # Errors
    /// A sentence for the person who typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wanted = || format!("'{text}' is none of queued, sent, held, held=N, delivered, read");
        match text {
            "queued" => Ok(Self::Queued),
            "sent" => Ok(Self::Sent),
            "held" => Ok(Self::Held(1)),
            "delivered" => Ok(Self::Delivered),
            "read" => Ok(Self::Read),
            _ => {
                let nodes = text.strip_prefix("held=").and_then(|nodes| nodes.parse().ok()).filter(|nodes| *nodes > 0);
                nodes.map(Self::Held).ok_or_else(wanted)
            }
        }
    }

    /// Whether `state` is as far, or further. A message that expired is nowhere.
    pub(crate) fn is_reached(self, state: &MessageState) -> bool {
        match (self, state.name) {
            (_, StateName::Expired) => false,
            (Self::Queued, _) => true,
            (Self::Sent, name) => name >= StateName::Sent,
            (Self::Held(_), StateName::Delivered | StateName::Read) => true,
            (Self::Held(nodes), name) => name == StateName::Held && state.held_by >= nodes,
            (Self::Delivered, name) => name >= StateName::Delivered,
            (Self::Read, name) => name == StateName::Read,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Queued => "queued".to_owned(),
            Self::Sent => "sent".to_owned(),
            Self::Held(nodes) => format!("held by {}", super::counted(u64::from(nodes), "node")),
            Self::Delivered => "delivered".to_owned(),
            Self::Read => "read".to_owned(),
        }
    }
}

/// Why a message waits, in words.
pub(crate) fn reason(reason: QueuedReason, contact: &str) -> String {
    match reason {
        QueuedReason::NoPeers => "no peers yet".to_owned(),
        QueuedReason::WaitingForKeys => format!("waiting for {}'s keys", clean::line(contact)),
        QueuedReason::Stamping => "its stamp is being made".to_owned(),
        QueuedReason::Pushing => "neighbours are asked to take it".to_owned(),
        QueuedReason::Clock => "this computer's clock is wrong".to_owned(),
        QueuedReason::DevicesForked => format!("two device lists carry {}'s signature", clean::line(contact)),
        QueuedReason::Unanswered => format!("too many messages wait for {}'s answer", clean::line(contact)),
        QueuedReason::Other => "it waits on this computer".to_owned(),
    }
}

/// The state in words, for people: `held by 7 nodes`.
pub(crate) fn state(state: &MessageState, contact: &str) -> String {
    match state.name {
        StateName::Queued => match state.reason {
            Some(why) => format!("queued: {}", reason(why, contact)),
            None => "queued".to_owned(),
        },
        StateName::Held => format!("held by {}", super::counted(u64::from(state.held_by), "node")),
        StateName::Expired => "not delivered, and no node keeps it any more".to_owned(),
        name => name.as_str().to_owned(),
    }
}

/// `held by 7 nodes until 7 Dec; Bob was last heard 2 days ago`
pub(crate) fn held(state: &MessageState, contact: &Contact) -> String {
    let nodes = super::counted(u64::from(state.held_by), "node");
    let until = state.until.map(|until| format!(" until {}", times::day(until))).unwrap_or_default();
    let name = clean::line(&contact.name);
    let heard = match contact.last_heard {
        Some(at) => format!("was last heard {}", times::ago(at)),
        None => "was not heard yet".to_owned(),
    };
    format!("held by {nodes}{until}; {name} {heard}")
}

/// The line that grows while a message travels: `queued · sent 1.1 s · held by 3 nodes · delivered 18 s`.
#[derive(Debug, Default)]
pub(crate) struct Line {
    stages: Vec<(StateName, String)>,
    /// How its parts stand, if it goes in several.
    parts: Option<String>,
}

impl Line {
    /// Notes `state`, reached after `elapsed`. The stage that is being replaced or added last is the present one.
    pub(crate) fn note(&mut self, state: &MessageState, elapsed: Duration) {
        let words = match state.name {
            StateName::Queued => "queued".to_owned(),
            StateName::Held => format!("held by {}", super::counted(u64::from(state.held_by), "node")),
            StateName::Expired => "expired".to_owned(),
            name => format!("{} {}", name.as_str(), spans::precise(elapsed)),
        };
        self.parts = files::parts(state);
        match self.stages.last_mut() {
            Some((name, last)) if *name == state.name => {
                // The time of reaching a stage stays; a count goes on.
                if state.name == StateName::Held {
                    *last = words;
                }
            }
            _ => self.stages.push((state.name, words)),
        }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        let parts = self.parts.as_deref().map(|parts| format!(" ({parts})")).unwrap_or_default();
        format!("{}{parts}", self.stages.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>().join(" · "))
    }
}

/// Follows `message` to `contact` from event `since` until `goal` is reached, and tells `progress` every state on the way.
///
/// # Errors
/// Not reached in time (it stays queued), expired, or the node went away.
pub(crate) fn until(
    client: &Client,
    message: &mut Message,
    contact: &Contact,
    goal: Goal,
    since: Option<u64>,
    timeout: Duration,
    mut progress: impl FnMut(&MessageState) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    progress(&message.state)?;
    let mut since = since;
    while !goal.is_reached(&message.state) {
        if message.state.name == StateName::Expired {
            let words = "Not delivered in time: no node keeps it any more. Send it again.";
            return Err(Failure::new(Exit::NotFound, "message_expired", words).detail("id", message.id.to_string()));
        }
        if message.state.reason == Some(QueuedReason::DevicesForked) {
            return Err(forked(message, contact));
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(late(message, contact, goal, timeout));
        }
        let mut events = client.events(since, &[EventType::MessageState], Some(remaining))?;
        let next = next_state(&mut events, message, client);
        since = events.last_seq().or(since);
        match next {
            Ok(Some(state)) => {
                message.state = state;
                progress(&message.state)?;
            }
            Ok(None) => return Err(Failure::new(Exit::NoNode, "no_node", "The node stopped. The message is kept.")),
            Err(ClientError::TimedOut) => return Err(late(message, contact, goal, timeout)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The next state of `message`; none when the node stopped.
fn next_state(
    events: &mut starling_api::EventStream,
    message: &Message,
    client: &Client,
) -> Result<Option<MessageState>, ClientError> {
    for line in events {
        match line?.event.body {
            EventBody::MessageState(data) if data.id == message.id => return Ok(Some(data.state)),
            // What was missed is asked for.
            EventBody::EventsGap(_) => return client.message(message.id).map(|message| Some(message.state)),
            _ => {}
        }
    }
    Ok(None)
}

/// It waits for a decision and not for time.
fn forked(message: &Message, contact: &Contact) -> Failure {
    Failure::new(Exit::Refused, "devices_forked", contacts::forked(&contact.name))
        .hint(hints::trust(&contact.name))
        .detail("id", message.id.to_string())
}

fn late(message: &Message, contact: &Contact, goal: Goal, timeout: Duration) -> Failure {
    let id = message.id.to_string();
    let mut words = format!("Not {} within {}; ", goal.words(), spans::rough(timeout));
    let place = match message.state.name {
        StateName::Held => held(&message.state, contact),
        StateName::Delivered => "it is delivered, and is told as read only if the contact allows that".to_owned(),
        _ => state(&message.state, &contact.name),
    };
    match message.state.name {
        StateName::Delivered => words.push_str(&format!("{place}.")),
        _ => words.push_str(&format!("{place}. It is sent on by itself.")),
    }
    Failure::new(Exit::NotInTime, "timed_out", words).hint(hints::trace(&id)).detail("id", id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_api::Time;

    fn at(name: StateName, held_by: u32) -> MessageState {
        MessageState {
            name,
            since: Time(0),
            held_by,
            neighbours: 9,
            until: None,
            reason: None,
            attempts: 1,
            parts: None,
        }
    }

    #[test]
    fn goals_are_reached_by_what_is_further_and_never_by_what_expired() {
        assert_eq!(Goal::parse("held=3"), Ok(Goal::Held(3)));
        assert_eq!(Goal::parse("held"), Ok(Goal::Held(1)));
        for text in ["", "held=0", "held=x", "seen", "Delivered"] {
            assert!(Goal::parse(text).is_err(), "{text}");
        }
        assert!(Goal::Queued.is_reached(&at(StateName::Queued, 0)));
        assert!(!Goal::Sent.is_reached(&at(StateName::Queued, 0)));
        assert!(Goal::Sent.is_reached(&at(StateName::Held, 1)));
        assert!(!Goal::Held(3).is_reached(&at(StateName::Held, 2)));
        assert!(Goal::Held(3).is_reached(&at(StateName::Held, 3)));
        assert!(Goal::Held(3).is_reached(&at(StateName::Delivered, 0)));
        assert!(!Goal::Delivered.is_reached(&at(StateName::Held, 9)));
        assert!(Goal::Delivered.is_reached(&at(StateName::Read, 9)));
        assert!(!Goal::Read.is_reached(&at(StateName::Delivered, 9)) && Goal::Read.is_reached(&at(StateName::Read, 9)));
        for goal in [Goal::Queued, Goal::Sent, Goal::Held(1), Goal::Delivered, Goal::Read] {
            assert!(!goal.is_reached(&at(StateName::Expired, 0)));
        }
    }

    #[test]
    fn the_line_reads_as_specified() {
        let mut line = Line::default();
        let ms = Duration::from_millis;
        line.note(&at(StateName::Queued, 0), ms(0));
        line.note(&at(StateName::Queued, 0), ms(4));
        line.note(&at(StateName::Sent, 0), ms(1_120));
        line.note(&at(StateName::Held, 1), ms(2_000));
        line.note(&at(StateName::Held, 3), ms(3_000));
        line.note(&at(StateName::Delivered, 3), ms(18_400));
        assert_eq!(line.text(), "queued · sent 1.1 s · held by 3 nodes · delivered 18 s");
        line.note(&at(StateName::Read, 3), ms(42_000));
        assert_eq!(line.text(), "queued · sent 1.1 s · held by 3 nodes · delivered 18 s · read 42 s");
    }

    #[test]
    fn waiting_is_always_explained() {
        let mut state_now = at(StateName::Queued, 0);
        state_now.reason = Some(QueuedReason::NoPeers);
        assert_eq!(state(&state_now, "Ana"), "queued: no peers yet");
        state_now.reason = Some(QueuedReason::WaitingForKeys);
        assert_eq!(state(&state_now, "Ana\u{7}"), "queued: waiting for Ana<U+0007>'s keys");
        assert_eq!(state(&at(StateName::Held, 1), "Ana"), "held by 1 node");
    }
}

//! One conversation as this program knows it: what was said, what is on its way to the node, the draft, how far it is
//! scrolled, and what came while nobody looked.
//!
//! Pages of history and events come by two ways and in any order. So a message is kept under its id, its state only
//! ever goes forward, and a state that is told of a message that is still being fetched waits for it.

use std::collections::BTreeMap;

use starling_api::message::{Conversation, Message, MessageState, Messages, StateName, Writer};
use starling_api::people::Contact;
use starling_api::{ConversationId, MessageId, Time};

use super::composer::Composer;
use super::words;

/// How much of the history is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// Nothing, and it was not asked for.
    Unknown,
    /// The newest page was asked for.
    Asked,
    /// Everything from this message on.
    From(MessageId),
    /// All of it.
    Whole,
}

/// A text that the node has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The UUID under which it is sent, however often.
    pub(crate) client_id: String,
    /// What it says.
    pub(crate) text: String,
    /// When it was written.
    pub(crate) created: Time,
    /// How often it was handed over.
    pub(crate) tries: u32,
    /// Whether an answer is due.
    pub(crate) asked: bool,
}

/// Something that was said, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A message of the node.
    Message(MessageId),
    /// A text that it has not taken yet, by its place.
    Pending(usize),
}

/// Something that was said.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'talk> {
    /// A message of the node.
    Message(&'talk Message),
    /// A text that it has not taken yet.
    Pending(usize, &'talk Pending),
}

impl Item<'_> {
    /// Its place in the order.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Message(message) => Key::Message(message.id),
            Self::Pending(place, _) => Key::Pending(*place),
        }
    }

    /// When it is shown to have been said.
    pub(crate) fn said_at(&self) -> Time {
        match self {
            Self::Message(message) => words::said_at(message),
            Self::Pending(_, pending) => pending.created,
        }
    }
}

/// What is in the last row: so many rows of this item are below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The item.
    pub(crate) key: Key,
    /// Rows of it that are below.
    pub(crate) below: usize,
}

/// One conversation.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    /// With whom.
    pub(crate) contact: Contact,
    /// What was said, as far as it is here.
    pub(crate) messages: BTreeMap<MessageId, Message>,
    /// How far that is.
    pub(crate) history: History,
    /// An older page was asked for.
    pub(crate) asks_older: bool,
    /// States of messages that are still being fetched.
    late: BTreeMap<MessageId, MessageState>,
    /// What the node has not taken yet.
    pub(crate) pending: Vec<Pending>,
    /// The draft.
    pub(crate) composer: Composer,
    /// A text that came back, and the UUID under which the node may know it.
    pub(crate) returned: Option<(String, String)>,
    /// The last row; that of the newest message if absent.
    pub(crate) anchor: Option<Anchor>,
    /// Messages that came after the last one that was read or answered, here or elsewhere.
    pub(crate) unread: u32,
    /// The first of them, as long as the conversation stays open.
    pub(crate) first_unread: Option<MessageId>,
    /// The newest message that was read, as the node knows it.
    read_up_to: Option<MessageId>,
    /// The one that the node was told of, if its answer is to come.
    told_read: Option<MessageId>,
    /// The newest message of the contact.
    newest_theirs: Option<MessageId>,
    /// Messages that came below the last row.
    pub(crate) below: u32,
    /// When something was said last.
    pub(crate) last_activity: Time,
}

impl Talk {
    /// A conversation of which nothing is known yet.
    pub(crate) fn new(contact: Contact) -> Self {
        Self {
            last_activity: contact.last_activity,
            contact,
            messages: BTreeMap::new(),
            history: History::Unknown,
            asks_older: false,
            late: BTreeMap::new(),
            pending: Vec::new(),
            composer: Composer::default(),
            returned: None,
            anchor: None,
            unread: 0,
            first_unread: None,
            read_up_to: None,
            told_read: None,
            newest_theirs: None,
            below: 0,
        }
    }

    /// Its id.
    pub(crate) fn id(&self) -> ConversationId {
        self.contact.conversation
    }

    /// Takes over what the node says of it: at the start, and when events were missed.
    pub(crate) fn list(&mut self, listed: &Conversation) {
        self.unread = listed.unread;
        self.read_up_to = self.read_up_to.max(listed.read_up_to);
        if let Some(last) = listed.last_message.as_ref().filter(|last| last.from != Writer::Me) {
            self.newest_theirs = self.newest_theirs.max(Some(last.id));
        }
    }

    /// Messages were read, here or elsewhere.
    pub(crate) fn was_read(&mut self, up_to: Option<MessageId>) {
        self.read_up_to = self.read_up_to.max(up_to);
        if self.read_up_to >= self.newest_theirs {
            self.unread = 0;
        }
    }

    /// Something was written, here or elsewhere: what it answers was read.
    pub(crate) fn was_answered(&mut self, by: MessageId) {
        if Some(by) > self.newest_theirs {
            self.unread = 0;
        }
    }

    /// A message came; whether anybody looks.
    pub(crate) fn came(&mut self, message: Message, is_seen: bool) {
        let id = message.id;
        self.newest_theirs = self.newest_theirs.max(Some(id));
        self.learn(message);
        if self.anchor.is_some() {
            self.below += 1;
        }
        if !is_seen {
            if self.unread == 0 {
                self.first_unread = self.first_unread.or(Some(id));
            }
            self.unread += 1;
        }
    }

    /// All that is here is looked at. The message up to which the node is to be told that, if it is not yet.
    pub(crate) fn look(&mut self) -> Option<MessageId> {
        if !matches!(self.history, History::From(_) | History::Whole) {
            return None;
        }
        (self.unread, self.below) = (0, 0);
        let newest = self.messages.values().rev().find(|message| message.from != Writer::Me)?.id;
        let known = self.read_up_to.max(self.told_read);
        (Some(newest) > known).then(|| *self.told_read.insert(newest))
    }

    /// The node may not have heard what it was told.
    pub(crate) fn tell_again(&mut self) {
        self.told_read = None;
    }

    /// Forgets the history, of which something may be missing: it will be asked for again.
    pub(crate) fn forget(&mut self) {
        self.messages.clear();
        self.late.clear();
        (self.history, self.asks_older, self.anchor) = (History::Unknown, false, None);
    }

    /// Whether a message of this id belongs to the part that is here.
    fn is_within(&self, id: MessageId) -> bool {
        match self.history {
            History::Unknown => false,
            History::Asked | History::Whole => true,
            History::From(first) => id >= first,
        }
    }

    /// Takes over a message, or what is new of it.
    pub(crate) fn learn(&mut self, message: Message) {
        self.last_activity = self.last_activity.max(words::said_at(&message));
        if let Some(client_id) = &message.client_id {
            self.pending.retain(|pending| pending.client_id != *client_id);
        }
        if self.is_within(message.id) {
            self.insert(message);
        }
    }

    /// Takes over what a message says now, if it is here.
    pub(crate) fn change(&mut self, message: Message) {
        if self.messages.contains_key(&message.id) {
            self.insert(message);
        }
    }

    fn insert(&mut self, mut message: Message) {
        if let Some(known) = self.messages.get(&message.id) {
            message.state = later(&known.state, message.state);
        }
        if let Some(state) = self.late.remove(&message.id) {
            message.state = later(&state, message.state);
        }
        self.messages.insert(message.id, message);
    }

    /// Takes over a state. Whether the message it is of has to be asked for.
    pub(crate) fn progress(&mut self, id: MessageId, state: MessageState) -> bool {
        if let Some(message) = self.messages.get_mut(&id) {
            message.state = later(&message.state, state);
            return false;
        }
        if self.history == History::Asked || self.asks_older {
            self.late.insert(id, state);
        }
        // What is older than all that is here comes with its page.
        self.is_within(id) && self.history != History::Asked
    }

    /// Takes over a page of history: the newest, or the one before what is here.
    pub(crate) fn page(&mut self, page: Messages, before: Option<MessageId>) {
        let expected = match before {
            None => self.history == History::Asked,
            Some(before) => self.history == History::From(before),
        };
        if !expected {
            return;
        }
        let first = page.messages.first().map(|message| message.id);
        page.messages.into_iter().for_each(|message| self.insert(message));
        self.history = match page.before {
            Some(before) => History::From(first.map_or(before, |first| first.min(before))),
            None => History::Whole,
        };
        self.asks_older = false;
        self.late.clear();
        if before.is_none() && self.first_unread.is_none() && self.unread > 0 {
            let is_new = |message: &&Message| message.from != Writer::Me && Some(message.id) > self.read_up_to;
            self.first_unread = self.messages.values().rev().take_while(is_new).last().map(|message| message.id);
        }
    }

    /// All that is here, oldest first.
    pub(crate) fn items(&self) -> impl DoubleEndedIterator<Item = Item<'_>> {
        let messages = self.messages.values().map(Item::Message);
        messages.chain(self.pending.iter().enumerate().map(|(place, pending)| Item::Pending(place, pending)))
    }

    /// The newest own message.
    pub(crate) fn last_own(&self) -> Option<&Message> {
        self.messages.values().rev().find(|message| message.from == Writer::Me)
    }
}

/// The state that is further: what was said of a message is never taken back, but that a late receipt makes an expired
/// message a delivered one.
fn later(known: &MessageState, told: MessageState) -> MessageState {
    let is_confirmed = |name| matches!(name, StateName::Delivered | StateName::Read);
    let goes_on = match (known.name, told.name) {
        (before, StateName::Expired) => !is_confirmed(before),
        (StateName::Expired, now) => is_confirmed(now),
        (StateName::Held, StateName::Held) => told.since >= known.since,
        (before, now) => now >= before,
    };
    if goes_on { told } else { known.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::chat::samples;

    fn at(name: StateName, held_by: u32) -> MessageState {
        MessageState { held_by, ..samples::state(name) }
    }

    #[test]
    fn states_only_go_forward() {
        use StateName::{Delivered, Expired, Held, Queued, Read, Sent};
        let after = |before, now| later(&at(before, 1), at(now, 2)).name;
        for (before, now) in [(Queued, Sent), (Sent, Held), (Held, Delivered), (Expired, Delivered), (Delivered, Read)]
        {
            assert_eq!(after(before, now), now);
            assert_eq!(after(now, before), now);
        }
        assert_eq!(after(Held, Expired), Expired);
        assert_eq!(later(&at(Held, 9), at(Held, 2)).held_by, 2, "it may fall");
    }

    #[test]
    fn pages_and_events_meet_in_any_order() {
        let mut talk = Talk::new(samples::contact(1, "Bob"));
        talk.learn(samples::own(1, 5, "before it was asked for"));
        assert!(talk.messages.is_empty(), "the page will have it");
        talk.history = History::Asked;
        talk.learn(samples::theirs(1, 9, "while it was fetched"));
        assert!(!talk.progress(MessageId::new(8), at(StateName::Delivered, 0)));
        let page = |ids: &[u64], before: Option<u64>| Messages {
            conversation: talk_id(),
            messages: ids.iter().map(|id| samples::own(1, *id, "x")).collect(),
            before: before.map(MessageId::new),
        };
        talk.page(page(&[7, 8], Some(7)), None);
        assert_eq!(talk.messages.len(), 3);
        assert_eq!(talk.messages[&MessageId::new(8)].state.name, StateName::Delivered);
        assert_eq!(talk.history, History::From(MessageId::new(7)));
        // Older than what is here: no hole is made.
        assert!(!talk.progress(MessageId::new(3), at(StateName::Held, 1)));
        talk.learn(samples::own(1, 3, "x"));
        assert_eq!(talk.messages.len(), 3);
        assert!(talk.progress(MessageId::new(10), at(StateName::Queued, 0)), "sent from elsewhere");
        talk.asks_older = true;
        assert!(!talk.progress(MessageId::new(3), at(StateName::Delivered, 1)));
        talk.page(page(&[1, 3], None), Some(MessageId::new(7)));
        assert_eq!(talk.history, History::Whole);
        assert_eq!(talk.messages[&MessageId::new(3)].state.name, StateName::Delivered);
        // A page that is not expected any more is dropped.
        talk.forget();
        talk.page(page(&[1], None), Some(MessageId::new(7)));
        assert!(talk.messages.is_empty());
    }

    fn talk_id() -> ConversationId {
        ConversationId::new(1)
    }
}

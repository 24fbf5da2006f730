//! What the node says: its events, and its answers.

use starling_api::message::{Conversation, ConversationMarks, Message, QueuedReason, StateName};
use starling_api::people::{Contact, ContactState};
use starling_api::{EventBody, MessageId};

use super::input::{Answer, Ask, Effect, Node, Problem, Reply};
use super::state::{Focus, Link, Panel, State};
use super::talk::{History, Talk};
use crate::cli::{clean, contacts, hints};

/// How often a text is handed over while the node answers others but not this.
const TRIES_MAX: u32 = 3;

impl State {
    /// The node answers, perhaps again: what it may not have taken is handed over once more, under the same ids.
    pub(super) fn connected(&mut self, node: Node) -> Vec<Effect> {
        self.link = Link::Up(node);
        let mut effects = Vec::new();
        for talk in &mut self.talks {
            if talk.history == History::Asked {
                talk.history = History::Unknown;
            }
            talk.asks_older = false;
            talk.tell_again();
            let conversation = talk.id();
            for pending in talk.pending.iter_mut().filter(|pending| !pending.asked) {
                (pending.asked, pending.tries) = (true, 1);
                let (client_id, text) = (pending.client_id.clone(), pending.text.clone());
                effects.push(Effect::Ask(Ask::Send { conversation, client_id, text }));
            }
        }
        effects
    }

    /// All conversations: at the start, and when events were missed. Then the history is read anew.
    pub(super) fn list(&mut self, conversations: Vec<Conversation>) {
        self.is_listed = true;
        self.talks.retain(|talk| conversations.iter().any(|listed| listed.id == talk.id()));
        for listed in conversations {
            self.note(listed.contact.clone());
            if let Some(talk) = self.talk_of(listed.id) {
                talk.list(&listed);
            }
        }
        self.talks.iter_mut().for_each(Talk::forget);
        self.sort();
    }

    /// Takes over a contact, known or new.
    fn note(&mut self, contact: Contact) {
        match self.talk_of(contact.conversation) {
            Some(talk) => {
                talk.last_activity = talk.last_activity.max(contact.last_activity);
                talk.contact = contact;
            }
            None => self.talks.push(Talk::new(contact)),
        }
        self.sort();
    }

    pub(super) fn event(&mut self, body: EventBody) -> Vec<Effect> {
        match body {
            EventBody::NodeState(data) => {
                if let Link::Up(node) = &mut self.link {
                    node.state = data.state.as_str();
                }
            }
            EventBody::NodePeers(data) => {
                if let Link::Up(node) = &mut self.link {
                    node.peers = data.connected;
                }
            }
            EventBody::ContactChanged(contact)
            | EventBody::ContactReady(contact)
            | EventBody::ContactAdded(contact) => {
                self.note(contact);
            }
            EventBody::ContactRemoved(data) => {
                if let Some(place) = self.talks.iter().position(|talk| talk.contact.id == data.id) {
                    let removed = self.talks.remove(place);
                    self.say(format!("{} is removed.", clean::line(&removed.contact.name)));
                }
            }
            EventBody::ContactRequested(request) => {
                let name = clean::line(&request.name);
                self.say(format!("{name} wrote without an invite: {}", hints::accept(&request.id.to_string())));
            }
            EventBody::MessageReceived(message) => self.received(message),
            EventBody::MessageChanged(message) => {
                if let Some(talk) = self.talk_of(message.conversation) {
                    talk.change(message);
                }
            }
            EventBody::MessageState(data) => {
                let Some(talk) = self.talk_of(data.conversation) else { return Vec::new() };
                if data.state.name == StateName::Queued {
                    talk.was_answered(data.id);
                }
                if talk.progress(data.id, data.state) {
                    return vec![Effect::Ask(Ask::Message(data.id))];
                }
            }
            EventBody::ConversationRead(marks) => self.read(&marks),
            EventBody::MessageDeleted(data) => self.delete(data.id),
            _ => {}
        }
        Vec::new()
    }

    fn received(&mut self, message: Message) {
        let conversation = message.conversation;
        let is_seen = self.open == Some(conversation) && self.looks_at_end();
        let Some(talk) = self.talk_of(conversation) else { return };
        talk.came(message, is_seen);
        self.sort();
    }

    /// Messages were read, here or elsewhere.
    fn read(&mut self, marks: &ConversationMarks) {
        let is_open = self.open == Some(marks.id);
        let Some(talk) = self.talk_of(marks.id) else { return };
        talk.was_read(marks.read_up_to);
        if talk.unread == 0 && !is_open {
            talk.first_unread = None;
        }
    }

    fn delete(&mut self, id: MessageId) {
        self.deleted.insert(id);
        for talk in &mut self.talks {
            if talk.messages.remove(&id).is_some() {
                Self::mend_anchor(talk);
            }
        }
        if let Some(search) = self.search.as_mut().filter(|search| search.hit == Some(id)) {
            search.hit = None;
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) -> Vec<Effect> {
        let Answer { ask, outcome } = answer;
        match (ask, outcome) {
            (Ask::Messages { conversation, before }, Ok(Reply::Messages(mut page))) => {
                page.messages.retain(|message| !self.deleted.contains(&message.id));
                if let Some(talk) = self.talk_of(conversation) {
                    talk.page(page, before);
                }
                if self.open == Some(conversation) && self.search.as_ref().is_some_and(|search| search.is_seeking) {
                    self.seek(true);
                }
            }
            (Ask::Messages { conversation, before }, Err(problem)) => self.unread_page(conversation, before, &problem),
            (Ask::Message(_) | Ask::Send { .. }, Ok(Reply::Message(message))) => self.learn(message),
            (Ask::Send { conversation, client_id, .. }, Err(problem)) => {
                return self.unsent(conversation, &client_id, &problem);
            }
            // It has disappeared since.
            (Ask::Message(_), Err(_)) => {}
            (Ask::Read { .. }, Ok(Reply::Marks(marks))) => self.read(&marks),
            // It is told once the node answers again, or something newer is read.
            (Ask::Read { .. }, Err(_)) => {}
            (_, Ok(Reply::Contact(contact, said))) => {
                self.note(contact);
                self.say(said);
            }
            (_, Ok(Reply::Added(contact))) => {
                let (conversation, name) = (contact.conversation, clean::line(&contact.name));
                let state = contacts::state(contact.state);
                self.note(contact);
                self.show(conversation);
                self.focus = Focus::Composer;
                self.say(format!("Added {name}: {state}."));
            }
            (_, Ok(Reply::Panel { title, lines })) => self.panel = Some(Panel { title, lines, above: 0 }),
            (ask, Err(problem)) => {
                // What was written with it is not lost.
                if let (Ask::Add(link), true) = (&ask, self.composer().is_empty()) {
                    self.composer_mut().insert(&format!("/add {link}"));
                }
                self.trouble(problem.message, problem.hint.as_deref());
            }
            _ => {}
        }
        Vec::new()
    }

    fn learn(&mut self, message: Message) {
        if self.deleted.contains(&message.id) {
            return;
        }
        let is_forked =
            message.state.name == StateName::Queued && message.state.reason == Some(QueuedReason::DevicesForked);
        let Some(talk) = self.talk_of(message.conversation) else { return };
        let name = talk.contact.name.clone();
        talk.learn(message);
        Self::mend_anchor(talk);
        if is_forked {
            self.trouble(contacts::forked(&name), Some(&hints::trust(&name)));
        }
        self.sort();
    }

    /// A page that did not come is asked for again once the node answers.
    fn unread_page(
        &mut self,
        conversation: starling_api::ConversationId,
        before: Option<MessageId>,
        problem: &Problem,
    ) {
        let is_up = self.is_up();
        if let Some(talk) = self.talk_of(conversation) {
            match before {
                None if talk.history == History::Asked && !is_up => talk.history = History::Unknown,
                // While the node answers, the same question would have the same answer at once.
                None => {}
                Some(_) => talk.asks_older = is_up,
            }
        }
        if let Some(search) = &mut self.search {
            search.is_seeking = false;
        }
        if !problem.unsure {
            self.trouble(problem.message.clone(), problem.hint.as_deref());
        }
    }

    /// A text that the node did not take. If that is not sure it is handed over again; else it is a draft again.
    fn unsent(
        &mut self,
        conversation: starling_api::ConversationId,
        client_id: &str,
        problem: &Problem,
    ) -> Vec<Effect> {
        let is_up = self.is_up();
        let Some(talk) = self.talk_of(conversation) else { return Vec::new() };
        let Some(place) = talk.pending.iter().position(|pending| pending.client_id == client_id) else {
            // An event was faster: it was taken.
            return Vec::new();
        };
        if let Some(pending) = talk.pending.get_mut(place).filter(|_| problem.unsure) {
            pending.asked = false;
            if !is_up {
                return Vec::new();
            }
            if pending.tries < TRIES_MAX {
                (pending.asked, pending.tries) = (true, pending.tries + 1);
                let (client_id, text) = (pending.client_id.clone(), pending.text.clone());
                return vec![Effect::Ask(Ask::Send { conversation, client_id, text })];
            }
        }
        let pending = talk.pending.remove(place);
        let written = super::commands::line(&pending.text);
        talk.composer.put_back(&written);
        if problem.unsure {
            talk.returned = Some((pending.text, pending.client_id));
        }
        let blocked = (talk.contact.state == ContactState::Blocked).then(|| hints::unblock(&talk.contact.name));
        Self::mend_anchor(talk);
        let name = clean::line(&talk.contact.name);
        let elsewhere = if self.open == Some(conversation) { String::new() } else { format!(" (to {name})") };
        let words = format!("Not sent{elsewhere}: {}", problem.message);
        self.trouble(words, problem.hint.clone().or(blocked).as_deref());
        Vec::new()
    }
}

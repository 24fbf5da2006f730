//! What keys, events and answers make of the chat, without a terminal and without a node.

use starling_api::event::{MessageDeletedData, MessageStateData};
use starling_api::message::{Conversation, ConversationMarks, Message, Messages, StateName};
use starling_api::people::ContactState;
use starling_api::{EventBody, MessageId};

use super::*;
use crate::cli::chat::input::{Answer, Key, Mouse, Place, Problem, Reply};
use crate::cli::chat::samples::{self, NOW};

/// A chat of 80 columns, with Bob (1) and Carol (2), that is connected; Bob's history is `messages`.
pub(crate) struct Chat {
    pub(crate) state: State,
    pub(crate) effects: Vec<Effect>,
}

impl Chat {
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let mut number = 0;
        let ids = Box::new(move || {
            number += 1;
            format!("id-{number}")
        });
        let bob = ConversationId::new(1);
        let state = State::new(Size { columns, rows }, NOW, TimeZone::UTC, Some(bob), ids);
        Self { state, effects: Vec::new() }
    }

    pub(crate) fn with(columns: u16, rows: u16, messages: Vec<Message>) -> Self {
        let mut chat = Self::new(columns, rows);
        chat.input(Input::Connected(Node { state: "online", peers: 2 }));
        chat.input(Input::Conversations(vec![samples::conversation(1, "Bob"), samples::conversation(2, "Carol")]));
        chat.page(None, messages, None);
        chat.effects.clear();
        chat
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.effects.extend(self.state.update(input, NOW));
    }

    fn keys(&mut self, keys: &[Key]) {
        keys.iter().for_each(|key| self.input(Input::Key(*key)));
    }

    pub(crate) fn enter(&mut self, line: &str) {
        line.chars().for_each(|character| self.input(Input::Key(Key::Char(character))));
        self.keys(&[Key::Enter]);
    }

    fn event(&mut self, body: EventBody) {
        self.input(Input::Event(Box::new(body)));
    }

    fn answer(&mut self, ask: Ask, outcome: Result<Reply, Problem>) {
        self.input(Input::Answer(Box::new(Answer { ask, outcome })));
    }

    fn page(&mut self, before: Option<u64>, messages: Vec<Message>, more: Option<u64>) {
        self.page_of(1, before, messages, more);
    }

    fn page_of(&mut self, conversation: u64, before: Option<u64>, messages: Vec<Message>, more: Option<u64>) {
        let (conversation, before) = (ConversationId::new(conversation), before.map(MessageId::new));
        let page = Messages { conversation, messages, before: more.map(MessageId::new) };
        self.answer(Ask::Messages { conversation, before }, Ok(Reply::Messages(page)));
    }

    /// What was asked for since the last look.
    fn asked(&mut self) -> Vec<Ask> {
        let asks = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Ask(ask) => Some(ask),
            Effect::Quit | Effect::Redraw => None,
        });
        asks.collect()
    }

    fn talk(&self) -> &Talk {
        self.state.talk().unwrap()
    }

    fn notice(&self) -> String {
        self.state.notice_line().map(|notice| notice.text).unwrap_or_default()
    }
}

fn sending(client_id: &str, text: &str) -> Ask {
    Ask::Send { conversation: ConversationId::new(1), client_id: client_id.to_owned(), text: text.to_owned() }
}

fn reading(conversation: u64, up_to: u64) -> Ask {
    Ask::Read { conversation: ConversationId::new(conversation), up_to: MessageId::new(up_to) }
}

fn refused(message: &str, unsure: bool) -> Result<Reply, Problem> {
    Err(Problem { message: message.to_owned(), hint: Some("Do this.".to_owned()), unsure })
}

fn taken(client_id: &str, id: u64, text: &str) -> Message {
    Message { client_id: Some(client_id.to_owned()), ..samples::own(1, id, text) }
}

fn progress(id: u64, name: StateName) -> EventBody {
    let state = samples::state(name);
    EventBody::MessageState(MessageStateData { id: MessageId::new(id), conversation: ConversationId::new(1), state })
}

#[test]
fn a_text_is_shown_at_once_and_follows_its_states() {
    let mut chat = Chat::with(80, 24, vec![samples::theirs(1, 1, "hello")]);
    chat.enter("hi");
    assert_eq!(chat.asked(), [sending("id-1", "hi")]);
    assert_eq!(chat.talk().pending.len(), 1);
    assert!(chat.state.composer().is_empty());
    // The event may be faster than the answer.
    chat.event(progress(2, StateName::Queued));
    assert_eq!(chat.asked(), [Ask::Message(MessageId::new(2))]);
    chat.answer(Ask::Message(MessageId::new(2)), Ok(Reply::Message(taken("id-1", 2, "hi"))));
    chat.answer(sending("id-1", "hi"), Ok(Reply::Message(taken("id-1", 2, "hi"))));
    assert!(chat.talk().pending.is_empty());
    assert_eq!(chat.talk().messages.len(), 2, "once");
    for name in [StateName::Sent, StateName::Held, StateName::Delivered, StateName::Sent] {
        chat.event(progress(2, name));
    }
    assert_eq!(chat.talk().messages[&MessageId::new(2)].state.name, StateName::Delivered);
    assert!(chat.asked().is_empty());
}

#[test]
fn a_refused_text_is_a_draft_again_with_the_reason() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.enter("//too long");
    assert_eq!(chat.asked(), [sending("id-1", "/too long")]);
    chat.answer(sending("id-1", "/too long"), refused("The text has 9 bytes; 1 fit in one message.", false));
    assert_eq!(chat.state.composer().text(), "//too long");
    assert!(chat.talk().pending.is_empty());
    assert_eq!(chat.notice(), "Not sent: The text has 9 bytes; 1 fit in one message.\nDo this.");
    // A new try is a new message.
    chat.keys(&[Key::Enter]);
    assert_eq!(chat.asked(), [sending("id-2", "/too long")]);
}

#[test]
fn a_text_that_may_have_been_taken_is_never_sent_under_another_id() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.enter("one");
    chat.enter("two");
    chat.input(Input::Gone(Gone::Stopped));
    chat.asked();
    chat.answer(sending("id-1", "one"), refused("The connection to the node ended", true));
    chat.answer(sending("id-2", "two"), refused("No node runs", true));
    assert_eq!(chat.talk().pending.len(), 2);
    // While it is gone nothing is sent, and nothing that was written is lost.
    chat.enter("three");
    assert_eq!(chat.state.composer().text(), "three");
    assert!(chat.notice().contains("your text stays here"));
    chat.input(Input::Connected(Node { state: "joining", peers: 0 }));
    assert_eq!(chat.asked(), [sending("id-1", "one"), sending("id-2", "two")], "in their order");
    // It answers others, but not this: after three tries it is a draft again, under its id.
    chat.keys(&[Key::DeleteLine]);
    for _ in 0..3 {
        chat.answer(sending("id-1", "one"), refused("The node did not answer in time.", true));
    }
    assert_eq!(chat.state.composer().text(), "one");
    chat.asked();
    chat.keys(&[Key::Enter]);
    assert_eq!(chat.asked(), [sending("id-1", "one")]);
}

#[test]
fn leaving_with_a_text_that_nobody_took_needs_a_second_word() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.enter("one");
    chat.effects.clear();
    chat.keys(&[Key::Interrupt]);
    assert!(chat.effects.is_empty() && chat.notice().contains("it would be lost"));
    chat.keys(&[Key::Interrupt]);
    assert_eq!(chat.effects, [Effect::Quit]);
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.enter("/quit");
    assert_eq!(chat.effects, [Effect::Quit]);
}

#[test]
fn what_comes_while_nobody_looks_is_unread_until_it_is_opened() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.event(EventBody::MessageReceived(samples::theirs(1, 1, "seen")));
    assert_eq!(chat.talk().unread, 0);
    chat.event(EventBody::MessageReceived(samples::theirs(2, 2, "not seen")));
    chat.event(EventBody::MessageReceived(samples::theirs(2, 3, "nor this")));
    let carol = |chat: &Chat| chat.state.talks.iter().find(|talk| talk.id().0 == 2).unwrap().clone();
    assert_eq!((carol(&chat).unread, carol(&chat).first_unread), (2, Some(MessageId::new(2))));
    chat.keys(&[Key::Tab, Key::Down, Key::Up, Key::Down]);
    assert_eq!(chat.state.open, Some(ConversationId::new(2)));
    assert_eq!(carol(&chat).unread, 2, "nothing of it is here yet");
    chat.asked();
    chat.page_of(2, None, vec![samples::theirs(2, 2, "not seen"), samples::theirs(2, 3, "nor this")], None);
    assert_eq!((carol(&chat).unread, carol(&chat).first_unread), (0, Some(MessageId::new(2))));
    assert_eq!(chat.asked(), [reading(2, 3)]);
    // With one pane, what is behind the list is not seen; nor is what is behind the help, or further down.
    let mut chat = Chat::with(40, 12, Vec::new());
    chat.keys(&[Key::Escape]);
    chat.event(EventBody::MessageReceived(samples::theirs(1, 1, "not seen")));
    assert_eq!((chat.talk().unread, chat.asked()), (1, Vec::new()));
    chat.keys(&[Key::Enter]);
    assert_eq!((chat.talk().unread, chat.asked()), (0, vec![reading(1, 1)]));
    chat.enter("/help");
    chat.event(EventBody::MessageReceived(samples::theirs(1, 2, "not seen")));
    assert_eq!((chat.talk().unread, chat.asked()), (1, Vec::new()));
    chat.keys(&[Key::Escape]);
    assert_eq!((chat.talk().unread, chat.asked()), (0, vec![reading(1, 2)]));
    let texts = (3..30).map(|id| samples::theirs(1, id, "text")).collect();
    let mut chat = Chat::with(80, 12, texts);
    chat.keys(&[Key::PageUp]);
    chat.asked();
    chat.event(EventBody::MessageReceived(samples::theirs(1, 30, "not seen")));
    assert_eq!((chat.talk().unread, chat.talk().below, chat.asked()), (1, 1, Vec::new()));
    chat.keys(&[Key::End]);
    assert_eq!((chat.talk().unread, chat.talk().below, chat.asked()), (0, 0, vec![reading(1, 30)]));
}

#[test]
fn what_is_unread_is_what_the_node_says() {
    let listed = |unread, last: Message, read_up_to: Option<u64>| Conversation {
        unread,
        last_message: Some(last),
        read_up_to: read_up_to.map(MessageId::new),
        ..samples::conversation(2, "Carol")
    };
    let marks = |up_to| {
        let (id, read_up_to) = (ConversationId::new(2), Some(MessageId::new(up_to)));
        EventBody::ConversationRead(ConversationMarks { id, read_up_to, muted: false })
    };
    let carol = |chat: &Chat| chat.state.talks.iter().find(|talk| talk.id().0 == 2).unwrap().clone();
    let mut chat = Chat::with(80, 24, Vec::new());
    let bob = samples::conversation(1, "Bob");
    chat.input(Input::Conversations(vec![bob.clone(), listed(3, samples::theirs(2, 9, "third"), Some(4))]));
    assert_eq!(carol(&chat).unread, 3);
    // Read elsewhere: not all of it, then all. Answered elsewhere.
    chat.event(marks(8));
    assert_eq!(carol(&chat).unread, 3);
    chat.event(marks(9));
    assert_eq!(carol(&chat).unread, 0);
    chat.event(EventBody::MessageReceived(samples::theirs(2, 10, "fourth")));
    assert_eq!(carol(&chat).unread, 1);
    let state = samples::state(StateName::Queued);
    let (id, conversation) = (MessageId::new(11), ConversationId::new(2));
    chat.event(EventBody::MessageState(MessageStateData { id, conversation, state }));
    assert_eq!(carol(&chat).unread, 0);
    // Opened, it shows where the new ones begin, and what was read before is not told again.
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.input(Input::Conversations(vec![bob, listed(2, samples::theirs(2, 9, "third"), Some(4))]));
    chat.keys(&[Key::Tab, Key::Down]);
    chat.asked();
    let texts = vec![samples::theirs(2, 4, "read"), samples::theirs(2, 8, "new"), samples::theirs(2, 9, "newer")];
    chat.page_of(2, None, texts, None);
    assert_eq!(carol(&chat).first_unread, Some(MessageId::new(8)));
    assert_eq!(chat.asked(), [reading(2, 9)]);
    chat.answer(reading(2, 9), refused("The node did not answer in time.", true));
    chat.input(Input::Minute);
    assert!(chat.asked().is_empty(), "the same question would have the same answer at once");
    chat.input(Input::Gone(Gone::Stopped));
    chat.input(Input::Connected(Node { state: "online", peers: 2 }));
    assert_eq!(chat.asked(), [reading(2, 9)]);
    let (id, read_up_to) = (ConversationId::new(2), Some(MessageId::new(9)));
    chat.answer(reading(2, 9), Ok(Reply::Marks(ConversationMarks { id, read_up_to, muted: false })));
    chat.keys(&[Key::Up, Key::Down]);
    assert!(chat.asked().iter().all(|ask| !matches!(ask, Ask::Read { .. })));
    assert_eq!(carol(&chat).first_unread, None, "it was closed in between");
}

#[test]
fn drafts_stay_with_their_conversations() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.input(Input::Paste("for Bob\r\nonly".to_owned()));
    chat.keys(&[Key::BackTab, Key::Down, Key::Tab]);
    assert_eq!(chat.state.composer().text(), "");
    chat.keys(&[Key::Char('c'), Key::NewLine, Key::Escape, Key::Up]);
    assert_eq!(chat.state.composer().text(), "for Bob\nonly");
}

#[test]
fn older_history_comes_when_its_begin_is_seen() {
    let mut chat = Chat::new(80, 12);
    chat.input(Input::Connected(Node { state: "online", peers: 1 }));
    assert!(chat.asked().is_empty(), "nobody is known yet");
    chat.input(Input::Conversations(vec![samples::conversation(1, "Bob")]));
    let newest = Ask::Messages { conversation: ConversationId::new(1), before: None };
    assert_eq!(chat.asked(), [newest]);
    let texts = |ids: std::ops::Range<u64>| ids.map(|id| samples::theirs(1, id, &format!("text {id}"))).collect();
    chat.page(None, texts(100..200), Some(100));
    assert_eq!(chat.asked(), [reading(1, 199)], "the newest page, which is looked at");
    let mut pages = 0;
    while chat.effects.is_empty() {
        chat.keys(&[Key::PageUp]);
        pages += 1;
        assert!(pages < 100);
    }
    let older = Ask::Messages { conversation: ConversationId::new(1), before: Some(MessageId::new(100)) };
    assert_eq!(chat.asked(), [older]);
    let (seen, anchor) = (chat.state.rows().unwrap().visible(), chat.talk().anchor);
    chat.keys(&[Key::PageUp]);
    assert!(chat.asked().is_empty(), "one page at a time");
    assert_eq!(chat.talk().anchor, anchor, "there is no more to see");
    chat.page(Some(100), texts(50..100), None);
    // What is looked at does not move: but that the day is told above an older message now.
    let after = chat.state.rows().unwrap().visible();
    assert_eq!(after.last(), seen.last());
    chat.keys(&[Key::End]);
    assert_eq!(chat.talk().anchor, None);
    // New messages move nothing either.
    chat.keys(&[Key::Up, Key::Up]);
    let seen = chat.state.rows().unwrap().visible();
    chat.event(EventBody::MessageReceived(samples::theirs(1, 300, "new")));
    assert_eq!(chat.state.rows().unwrap().visible(), seen);
    assert_eq!(chat.talk().below, 1);
    chat.keys(&[Key::PageDown]);
    assert_eq!((chat.talk().anchor, chat.talk().below), (None, 0));
}

#[test]
fn scrolling_up_and_down_shows_every_row_once() {
    let texts = (0..14).map(|id| samples::theirs(1, id, &"word ".repeat(usize::try_from(id).unwrap() * 7))).collect();
    let mut chat = Chat::with(70, 14, texts);
    let last = |chat: &Chat| {
        let rows = chat.state.rows().unwrap().visible();
        assert_eq!(rows.len(), usize::from(chat.state.areas().history.height), "the screen stays full");
        format!("{:?}", chat.talk().anchor)
    };
    let mut down = vec![last(&chat)];
    loop {
        chat.keys(&[Key::Up]);
        let now = last(&chat);
        if down.last() == Some(&now) {
            break;
        }
        down.push(now);
    }
    assert!(down.len() > 40, "{}", down.len());
    while let Some(expected) = down.pop() {
        assert_eq!(last(&chat), expected);
        chat.keys(&[Key::Down]);
    }
    assert_eq!(chat.talk().anchor, None);
}

#[test]
fn a_search_goes_through_what_is_here_and_then_further_back() {
    let mut texts: Vec<Message> = (100..160).map(|id| samples::theirs(1, id, &format!("text {id}"))).collect();
    texts[20].text = Some("The GREEN door".to_owned());
    texts[50].text = Some("a door, green".to_owned());
    let mut chat = Chat::with(80, 12, Vec::new());
    chat.state.talks[0].forget();
    chat.input(Input::Minute);
    chat.page(None, texts, Some(100));
    chat.effects.clear();
    chat.enter("/search door green");
    let hit = |chat: &Chat| chat.state.search.as_ref().and_then(|search| search.hit).map(|hit| hit.0);
    assert_eq!(hit(&chat), Some(150));
    assert!(chat.notice().starts_with("Search 'door green': 1 of 2 or more"), "{}", chat.notice());
    chat.keys(&[Key::Char('n')]);
    assert_eq!(hit(&chat), Some(120));
    let seen: String =
        chat.state.rows().unwrap().visible().concat().into_iter().map(|(_, glyph)| glyph.shown).collect();
    assert!(seen.contains("The GREEN door"), "{seen}");
    chat.keys(&[Key::Up]);
    assert!(chat.notice().contains("looking further back"));
    assert!(matches!(chat.asked()[..], [Ask::Messages { before: Some(_), .. }]));
    chat.page(Some(100), vec![samples::theirs(1, 9, "green door, the first")], Some(9));
    assert_eq!(hit(&chat), Some(9));
    chat.keys(&[Key::Char('N')]);
    assert_eq!(hit(&chat), Some(120));
    chat.keys(&[Key::Escape]);
    assert!(chat.state.search.is_none());
    assert!(matches!(chat.asked()[..], [Ask::Messages { .. }]), "the begin was seen");
    chat.enter("/search purple");
    assert!(chat.notice().contains("looking further back"), "the page that is on its way may have it");
    chat.page(Some(9), Vec::new(), None);
    assert!(chat.notice().contains("nothing found"), "{}", chat.notice());
    // Any other key ends it, and is written.
    chat.keys(&[Key::Char('x')]);
    assert_eq!(chat.state.composer().text(), "x");
}

#[test]
fn commands_ask_for_what_they_name() {
    let mut chat = Chat::with(80, 24, vec![samples::own(1, 7, "mine"), samples::theirs(1, 8, "theirs")]);
    let contact = samples::contact(1, "Bob").id;
    for (line, ask) in [
        ("/expires 1d", Ask::Expires { contact, expires_s: 86_400 }),
        ("/verify", Ask::Verification(contact)),
        ("/trace", Ask::Trace(MessageId::new(7))),
        ("/add starling:abc", Ask::Add("starling:abc".to_owned())),
        ("/invite Dave", Ask::Invite(Some("Dave".to_owned()))),
    ] {
        chat.enter(line);
        assert_eq!(chat.asked(), [ask], "{line}");
        assert!(chat.state.composer().is_empty());
    }
    chat.enter("/frob");
    assert_eq!(chat.state.composer().text(), "/frob", "what is wrong can be corrected");
    assert!(chat.notice().contains("There is no command /frob."));
    chat.keys(&[Key::DeleteLine]);
    chat.enter("/help");
    assert!(chat.state.panel.is_some());
    chat.keys(&[Key::Escape]);
    assert!(chat.state.panel.is_none());
    let lines = (0..50).map(|number| number.to_string()).collect();
    chat.answer(Ask::Trace(MessageId::new(7)), Ok(Reply::Panel { title: "x".to_owned(), lines }));
    chat.keys(&[Key::PageDown, Key::PageDown, Key::PageDown, Key::PageDown]);
    assert_eq!(chat.state.panel.as_ref().unwrap().above, 29);
    chat.keys(&[Key::Enter]);
    chat.answer(Ask::Add("starling:abc".to_owned()), refused("One or more characters are wrong.", false));
    assert_eq!(chat.state.composer().text(), "/add starling:abc");
    chat.answer(Ask::Add("x".to_owned()), Ok(Reply::Added(samples::contact(3, "Dave"))));
    assert_eq!(chat.state.open, Some(ConversationId::new(3)));
}

#[test]
fn what_has_disappeared_stays_away() {
    let mut chat = Chat::with(80, 24, vec![samples::theirs(1, 1, "stays"), samples::theirs(1, 2, "goes")]);
    let (id, conversation) = (MessageId::new(2), ConversationId::new(1));
    chat.event(EventBody::MessageDeleted(MessageDeletedData { id, conversation }));
    assert_eq!(chat.talk().messages.len(), 1);
    // A page that was read before, and an answer too.
    chat.answer(Ask::Message(id), Ok(Reply::Message(samples::theirs(1, 2, "goes"))));
    chat.state.talks[0].forget();
    chat.input(Input::Minute);
    chat.page(None, vec![samples::theirs(1, 1, "stays"), samples::theirs(1, 2, "goes")], None);
    assert_eq!(chat.talk().messages.len(), 1);
}

#[test]
fn contacts_come_change_and_go() {
    let mut chat = Chat::with(80, 24, Vec::new());
    let mut bob = samples::contact(1, "Robert");
    bob.state = ContactState::Forked;
    chat.event(EventBody::ContactChanged(bob));
    assert_eq!(chat.talk().contact.name, "Robert");
    chat.event(EventBody::ContactAdded(samples::contact(3, "Dave")));
    assert_eq!(chat.state.talks.len(), 3);
    let removed = starling_api::event::ContactRemovedData { id: samples::contact(1, "").id };
    chat.event(EventBody::ContactRemoved(removed));
    assert_eq!(chat.state.open, Some(ConversationId::new(2)));
    assert_eq!(chat.notice(), "Robert is removed.");
    // Events were missed: everything is read anew.
    chat.asked();
    chat.input(Input::Conversations(vec![samples::conversation(2, "Carol")]));
    assert_eq!(chat.state.talks.len(), 1);
    assert_eq!(chat.asked(), [Ask::Messages { conversation: ConversationId::new(2), before: None }]);
}

#[test]
fn a_forked_contact_is_told_with_what_to_do() {
    let mut chat = Chat::with(80, 24, Vec::new());
    chat.enter("hi");
    let mut message = taken("id-1", 1, "hi");
    message.state.reason = Some(starling_api::message::QueuedReason::DevicesForked);
    chat.answer(sending("id-1", "hi"), Ok(Reply::Message(message)));
    assert!(chat.notice().contains("Two device lists carry Bob's signature"), "{}", chat.notice());
    assert!(chat.notice().ends_with("starling contacts trust Bob"), "{}", chat.notice());
}

#[test]
fn the_wheel_scrolls_and_a_click_chooses() {
    let texts = (0..40).map(|id| samples::theirs(1, id, "text")).collect();
    let mut chat = Chat::with(80, 24, texts);
    let (list, history) = (Place { column: 2, row: 2 }, Place { column: 50, row: 5 });
    chat.input(Input::Mouse(Mouse::WheelUp(history)));
    assert!(chat.talk().anchor.is_some());
    chat.input(Input::Mouse(Mouse::WheelDown(history)));
    assert!(chat.talk().anchor.is_none());
    chat.input(Input::Mouse(Mouse::Click(list)));
    assert_eq!((chat.state.open, chat.state.focus), (Some(ConversationId::new(2)), Focus::List));
    chat.input(Input::Mouse(Mouse::WheelUp(list)));
    assert_eq!(chat.state.open, Some(ConversationId::new(1)));
    chat.input(Input::Mouse(Mouse::Click(history)));
    assert_eq!(chat.state.focus, Focus::Composer);
}

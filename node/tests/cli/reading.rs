//! What was read: who is told, and that the terminal, the page and the command line agree about it.

use serde_json::Value;
use starling_api::message::{Conversation, StateName};
use starling_api::{Client, EventBody, EventType, MessageId};

use crate::chat::Terminal;
use crate::harness::{DEADLINE, Home};
use crate::talk::Pair;

fn client(home: &Home) -> Client {
    Client::open(&home.data()).unwrap().with_timeout(DEADLINE)
}

/// The only conversation of a node.
fn conversation(home: &Home) -> Conversation {
    client(home).conversations().unwrap().conversations.remove(0)
}

/// Waits until something is marked as read on a node, from the beginning of its log on.
fn wait_until_read(home: &Home, up_to: MessageId) {
    let events = client(home).events(Some(0), &[EventType::ConversationRead], Some(DEADLINE)).unwrap();
    let is_it =
        |body: &EventBody| matches!(body, EventBody::ConversationRead(marks) if marks.read_up_to >= Some(up_to));
    assert!(events.into_iter().any(|line| is_it(&line.unwrap().event.body)));
}

/// States that a node told of a message, in their order, until this one.
fn states_until(home: &Home, id: MessageId, last: StateName) -> Vec<StateName> {
    let events = client(home).events(Some(0), &[EventType::MessageState], Some(DEADLINE)).unwrap();
    let mut states = Vec::new();
    for line in events {
        match line.unwrap().event.body {
            EventBody::MessageState(data) if data.id == id => states.push(data.state.name),
            _ => {}
        }
        if states.last() == Some(&last) {
            break;
        }
    }
    states.dedup();
    states
}

fn id_of(sent: &Value) -> MessageId {
    sent["message"]["id"].as_str().unwrap().parse().unwrap()
}

#[test]
fn who_tells_what_they_read_sees_what_others_read() {
    let pair = Pair::new(&[]);
    let (ana, bob) = (&pair.ana, &pair.bob);
    assert!(ana.run(&["receipts"]).ok().starts_with("Off: nobody is told"));
    let refused = bob.run(&["send", "Ana", "hi", "--wait", "read"]).fails(4, "Read receipts are off here");
    assert!(refused.err.contains("starling receipts on"), "{}", refused.err);
    let said = bob.run(&["receipts", "on"]).ok();
    assert_eq!(said, "On: contacts who have them on too see what you read, and you see what they read.\n");
    assert_eq!(ana.run(&["receipts", "on", "--json"]).json()["read_receipts"], true);

    let mut terminal = Terminal::run(ana, &["chat", "Bob"], 80, 24);
    terminal.reads("  the first one");
    let sent = bob.run(&["send", "Ana", "seen?", "--wait", "read", "--json"]).json();
    assert_eq!(sent["message"]["state"]["name"], "read");
    let id = id_of(&sent);
    assert_eq!(states_until(bob, id, StateName::Read).iter().rev().nth(1), Some(&StateName::Delivered));
    let log = bob.run(&["log", "Ana"]).ok();
    assert!(log.lines().any(|line| line.contains("me: seen?  (read ")), "{log}");
    let trace = bob.run(&["trace", &id.to_string()]).ok();
    assert!(trace.contains("delivered: Ana's device confirmed it") && trace.ends_with("read by Ana\n"), "{trace}");
    // Bob has looked at nothing: his terminal shows where hers is, and not the other way round.
    terminal.types("I saw it\r");
    terminal.reads("me · Delivered ");
    assert_eq!(conversation(bob).unread, 1);
    let mut other = Terminal::run(bob, &["chat", "Ana"], 80, 24);
    other.reads("me · Read ");
    terminal.reads("me · Read ");
    for terminal in [&mut terminal, &mut other] {
        terminal.types("/quit\r");
        assert_eq!(terminal.ends().code, Some(0));
    }
}

#[test]
fn nobody_is_told_by_a_node_that_does_not_tell_and_the_setting_outlives_it() {
    let mut pair = Pair::new(&[]);
    pair.bob.run(&["receipts", "on"]).ok();
    pair.bob.run(&["stop"]).ok();
    pair.bob_node = pair.bob.start(&pair.network);
    assert!(pair.bob.run(&["receipts", "show"]).ok().starts_with("On: "));
    let sent = pair.bob.run(&["send", "Ana", "seen?", "--wait", "delivered", "--json"]).json();
    let (id, newest) = (id_of(&sent), conversation(&pair.ana).last_message.unwrap().id);
    client(&pair.ana).mark_read(conversation(&pair.ana).id, newest).unwrap();
    assert_eq!(conversation(&pair.ana).unread, 0);
    // What she writes comes after whatever her reading would have sent.
    let answer = pair.ana.run(&["send", "Bob", "no answer", "--wait", "delivered", "--json"]).json();
    assert_eq!(client(&pair.bob).message(id).unwrap().state.name, StateName::Delivered);
    // Nor does she hear of what is read.
    client(&pair.bob).mark_read(conversation(&pair.bob).id, conversation(&pair.bob).last_message.unwrap().id).unwrap();
    pair.bob.run(&["send", "Ana", "nothing", "--wait", "delivered"]).ok();
    assert_eq!(client(&pair.ana).message(id_of(&answer)).unwrap().state.name, StateName::Delivered);
    // Once she does tell: from then on, and what was sent under one id is still one message.
    pair.ana.run(&["receipts", "on"]).ok();
    let late = ["send", "Ana", "and now?", "--client-id", "6f1c1d0e-7a51-4c9b-9a5e-0d2f6f0c1a2b"];
    pair.bob.run(&[&late[..], &["--wait", "delivered"]].concat()).ok();
    let unread = pair.bob.run(&[&late[..], &["--wait", "read", "--timeout", "1s"]].concat());
    unread.fails(7, "Not read within 1 s; it is delivered, and is told as read only if the contact allows that.");
    // Reading the log says nothing by itself: programs do that too.
    pair.ana.run(&["log", "Bob"]).ok();
    assert!(conversation(&pair.ana).unread > 0);
    assert!(pair.ana.run(&["log", "Bob", "--mark-read"]).ok().contains("and now?"));
    assert_eq!(conversation(&pair.ana).unread, 0);
    pair.bob.run(&[&late[..], &["--wait", "read"]].concat()).ok();
    assert_eq!(client(&pair.bob).message(id).unwrap().state.name, StateName::Delivered, "that was before");
}

#[test]
fn the_chat_shows_what_the_node_says_is_unread_and_tells_it_what_was_seen() {
    let pair = Pair::new(&[]);
    for text in ["second", "third"] {
        pair.bob.run(&["send", "Ana", text, "--wait", "delivered"]).ok();
    }
    let before = conversation(&pair.ana);
    let newest = before.last_message.unwrap().id;
    assert_eq!((before.unread, before.read_up_to), (3, None));
    // Read elsewhere, but for the last one.
    let log = pair.ana.run(&["log", "Bob", "--json"]).json();
    let second: MessageId = log["messages"][1]["id"].as_str().unwrap().parse().unwrap();
    client(&pair.ana).mark_read(before.id, second).unwrap();
    let mut terminal = Terminal::run(&pair.ana, &["chat"], 80, 24);
    let screen = terminal.reads("  third");
    let rows: Vec<&str> = screen.lines().collect();
    let place = |words: &str| rows.iter().position(|row| row.contains(words)).unwrap_or_else(|| panic!("{screen}"));
    assert!(place("  second") < place("── new ──") && place("── new ──") < place("  third"), "{screen}");
    wait_until_read(&pair.ana, newest);
    let after = conversation(&pair.ana);
    assert_eq!((after.unread, after.read_up_to), (0, Some(newest)));
    terminal.types("/quit\r");
    assert_eq!(terminal.ends().code, Some(0));
}

//! Sends: safe to repeat, refused with reasons, found again.

use std::collections::BTreeSet;
use std::sync::Barrier;

use starling_api::message::{MessagesQuery, SendMessage, StateName, TraceStep, Writer};
use starling_api::people::{AddContact, Contact, CreateInvite};
use starling_api::{Client, ClientError, Code, EventBody, EventType, Time};

use crate::harness::{DEADLINE, Home, network};
use crate::http::client;

const CLIENT_ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// A contact whose node has gone: what is sent to it waits.
fn absent_contact(client: &Client, network: &str) -> Contact {
    let home = Home::new();
    let _node = home.start(network);
    let link = crate::http::client(&home).create_invite(&CreateInvite::default()).unwrap().link;
    client.add_contact(&AddContact { link, name: Some("Ana".to_owned()), replace: None }).unwrap()
}

fn text(text: &str, client_id: Option<&str>) -> SendMessage {
    SendMessage { text: text.to_owned(), client_id: client_id.map(str::to_owned), ..SendMessage::default() }
}

#[test]
fn one_client_id_posted_a_hundred_times_in_parallel_is_one_message() {
    const POSTS: usize = 100;
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let contact = absent_contact(&client, &name);
    let seq = client.seq().unwrap();
    let start = Barrier::new(POSTS);
    let sent: Vec<_> = std::thread::scope(|scope| {
        let post = |_| {
            scope.spawn(|| {
                // A connection each.
                let client = crate::http::client(&home);
                start.wait();
                client.send(contact.conversation, &text("only once", Some(CLIENT_ID))).unwrap()
            })
        };
        let threads: Vec<_> = (0..POSTS).map(post).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sent.iter().filter(|sent| !sent.known).count(), 1, "one made it, the others found it");
    let ids: BTreeSet<_> = sent.iter().map(|sent| sent.message.id).collect();
    assert_eq!(ids.len(), 1);
    assert!(sent.iter().all(|sent| sent.message.client_id.as_deref() == Some(CLIENT_ID)));

    let kept = client.messages(contact.conversation, &MessagesQuery::default()).unwrap().messages;
    assert_eq!(kept.iter().map(|message| message.text.as_deref()).collect::<Vec<_>>(), [Some("only once")]);
    let told: BTreeSet<_> = client
        .events(seq, &[EventType::MessageState], Some(DEADLINE))
        .unwrap()
        .take(1)
        .map(|line| match line.unwrap().event.body {
            EventBody::MessageState(data) => data.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ids);

    // Another text under the same id is still the first message, and so it is after a crash.
    let again = client.send(contact.conversation, &text("something else", Some(CLIENT_ID))).unwrap();
    assert!(again.known);
    assert_eq!(again.message.text.as_deref(), Some("only once"));
}

#[test]
fn a_send_is_still_known_after_kill_9() {
    let home = Home::new();
    let name = network();
    let node = home.start(&name);
    let contact = absent_contact(&client(&home), &name);
    let first = client(&home).send(contact.conversation, &text("only once", Some(CLIENT_ID))).unwrap();
    assert!(!first.known);
    node.kill();
    let _node = home.start(&name);
    let client = client(&home);
    let again = client.send(contact.conversation, &text("only once", Some(CLIENT_ID))).unwrap();
    assert!(again.known);
    assert_eq!((again.message.id, again.message.created), (first.message.id, first.message.created));
    assert_eq!(client.status().unwrap().outbox.unwrap().queued, 1);
    assert_eq!(client.status().unwrap().recovered, Some(1));
}

#[test]
fn a_message_that_waits_says_why_and_is_found_again() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let contact = absent_contact(&client, &name);
    let first = client.send(contact.conversation, &text("one", None)).unwrap().message;
    assert_eq!((first.from, first.state.name, first.received), (Writer::Me, StateName::Queued, None));
    assert!(first.state.reason.is_some());
    let answer = SendMessage { reply_to: Some(first.id), ..text("two", None) };
    let second = client.send(contact.conversation, &answer).unwrap().message;
    assert_eq!(second.reply_to, Some(first.id));
    assert_eq!(client.message(second.id).unwrap().text.as_deref(), Some("two"));

    let trace = client.trace(first.id).unwrap();
    assert_eq!(trace.lines.first().map(|line| line.step), Some(TraceStep::Queued));
    assert_eq!(trace.contact.map(|contact| contact.name).as_deref(), Some("Ana"));

    let page = |query: MessagesQuery| client.messages(contact.conversation, &query).unwrap();
    let newest = page(MessagesQuery { limit: Some(1), ..MessagesQuery::default() });
    assert_eq!((newest.messages[0].id, newest.before), (second.id, Some(second.id)));
    let older = page(MessagesQuery { limit: Some(1), before: newest.before, ..MessagesQuery::default() });
    assert_eq!((older.messages[0].id, older.before), (first.id, None));
    let since = page(MessagesQuery { since: Some(Time(second.created.0)), ..MessagesQuery::default() });
    assert_eq!(since.messages.last().map(|message| message.id), Some(second.id));
    let later = page(MessagesQuery { since: Some(Time(second.created.0 + 3_600_000)), ..MessagesQuery::default() });
    assert!(later.messages.is_empty());

    let conversations = client.conversations().unwrap().conversations;
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0].last_message.as_ref().map(|message| message.id), Some(second.id));
}

#[test]
fn a_text_must_be_there_and_fit() {
    let home = Home::new();
    let name = network();
    let _node = home.start(&name);
    let client = client(&home);
    let contact = absent_contact(&client, &name);
    let refused = |message: &SendMessage| match client.send(contact.conversation, message) {
        Err(ClientError::Api(error)) => error,
        other => panic!("{other:?}"),
    };
    let empty = refused(&text("", None));
    assert_eq!((empty.code, empty.field.as_deref()), (Code::BadRequest, Some("text")));
    let large = refused(&text(&"a".repeat(64_001), None));
    assert_eq!((large.code, large.field.as_deref()), (Code::TooLarge, Some("text")));
    let limit = usize::try_from(large.details.unwrap()["limit_bytes"].as_u64().unwrap()).unwrap();
    assert!(large.message.starts_with("The text has 64,001 bytes; 64,000 fit"), "{}", large.message);
    client.send(contact.conversation, &text(&"a".repeat(limit), None)).unwrap();
    assert_eq!(refused(&text(&"a".repeat(limit + 1), None)).code, Code::TooLarge);
    let unknown = SendMessage { reply_to: Some("m_zzzz".parse().unwrap()), ..text("hi", None) };
    assert_eq!(refused(&unknown).code, Code::NoSuchMessage);
}

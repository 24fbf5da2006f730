//! Signing in to the page, locking, what was read, and searching: what the page asks for beside the conversations.

use serde_json::{Value, json};
use starling_api::message::{ChangeConversation, MessagesQuery, SendMessage};
use starling_api::node::{ChangePassphrase, NodeState, Unlock};
use starling_api::people::{AddContact, CreateInvite};
use starling_api::search::SearchQuery;
use starling_api::{Client, Code, ContactId, ConversationId, EventBody, EventType, MessageId, Passphrase};

use crate::harness::{DEADLINE, Home, Node, network};
use crate::http::{Answer, Api, client};

const PASSPHRASE: &str = "correct horse battery";

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE.to_owned())
}

/// Signs a browser in, and speaks as it from then on.
fn browser(api: &Api, client: &Client) -> Api {
    let code = client.login_code().unwrap().code;
    let answer = open_session(api, &code);
    assert_eq!(answer.status, 201, "{answer:?}");
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    Api { address: api.address.clone(), token }
}

fn open_session(api: &Api, code: &str) -> Answer {
    let headers = [("Host", api.address.as_str()), ("Content-Type", "application/json"), ("User-Agent", "Firefox")];
    api.bare("POST /v1/sessions", &headers, json!({ "code": code }).to_string().as_bytes())
}

/// Two nodes whose people know each other; the second one's contact with the first.
fn friends() -> (Home, Node, Home, Node, ContactId) {
    let (ana, bob, name) = (Home::new(), Home::new(), network());
    let (ana_node, bob_node) = (ana.start(&name), bob.start(&name));
    let invite =
        client(&ana).create_invite(&CreateInvite { for_name: Some("Bob".to_owned()), expires_s: None }).unwrap();
    let add = AddContact { link: invite.link, name: Some("Ana".to_owned()), replace: None };
    let added = client(&bob).add_contact(&add).unwrap();
    client(&bob).events(Some(0), &[EventType::ContactReady], Some(DEADLINE)).unwrap().next().unwrap().unwrap();
    client(&ana).events(Some(0), &[EventType::InviteUsed], Some(DEADLINE)).unwrap().next().unwrap().unwrap();
    (ana, ana_node, bob, bob_node, added.id)
}

/// Sends `text` from `from` and waits until it has come to `to`.
fn say(from: &Client, conversation: ConversationId, text: &str, to: &Client) -> MessageId {
    let since = to.seq().unwrap();
    let mut events = to.events(since, &[EventType::MessageReceived], Some(DEADLINE)).unwrap();
    from.send(conversation, &SendMessage { text: text.to_owned(), ..SendMessage::default() }).unwrap();
    loop {
        if let EventBody::MessageReceived(message) = events.next().unwrap().unwrap().event.body
            && message.text.as_deref() == Some(text)
        {
            return message.id;
        }
    }
}

#[test]
fn a_link_signs_one_browser_in_until_it_is_signed_out() {
    let home = Home::new();
    let node = home.start(&network());
    let (api, client) = (Api::of(&home), client(&home));
    let code = client.login_code().unwrap();
    assert_eq!(code.url, format!("http://{}/#k={}", api.address, code.code));
    let first = open_session(&api, &code.code);
    assert_eq!(first.status, 201);
    assert_eq!(open_session(&api, &code.code).code(), (403, "bad_code".to_owned()), "good once");
    assert_eq!(open_session(&api, "").code(), (403, "bad_code".to_owned()));
    let page = Api { address: api.address.clone(), token: first.json()["token"].as_str().unwrap().to_owned() };
    assert_eq!(page.ask("GET /v1/status", "").status, 200);
    let list = page.ask("GET /v1/sessions", "").json();
    let session = &list["sessions"][0];
    assert_eq!((&session["browser"], &session["current"]), (&json!("Firefox"), &json!(true)), "{list}");

    // The node stops and comes back: nobody is signed out by that.
    node.stop().ok();
    let _node = home.start(&{ network() });
    let page = Api { address: Api::of(&home).address, token: page.token };
    assert_eq!(page.ask("GET /v1/status", "").status, 200);
    let id = session["id"].as_str().unwrap();
    assert_eq!(page.ask(&format!("DELETE /v1/sessions/{id}"), "").status, 204);
    assert_eq!(page.ask("GET /v1/status", "").code(), (401, "no_token".to_owned()));
    let again = Api::of(&home).ask(&format!("DELETE /v1/sessions/{id}"), "");
    assert_eq!(again.code(), (404, "no_such_session".to_owned()));
}

#[test]
fn the_page_is_for_everybody_and_what_it_shows_is_not() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let host = [("Host", api.address.as_str())];
    let page = api.bare("GET /", &host, b"");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"));
    let tag = page.header("etag").unwrap();
    assert_eq!(api.bare("GET /", &[host[0], ("If-None-Match", &tag)], b"").status, 304);
    assert_eq!(api.bare("GET /v1/conversations", &host, b"").code(), (401, "no_token".to_owned()));
    assert_eq!(api.bare("GET /page/../Cargo.toml", &host, b"").status, 401);
    let foreign = [host[0], ("Origin", "http://127.0.0.1:1")];
    assert_eq!(api.bare("GET /v1/events/ws?ticket=x", &foreign, b"").code(), (403, "bad_origin".to_owned()));
    assert_eq!(api.bare("GET /v1/events/ws?ticket=x", &host, b"").code(), (401, "no_token".to_owned()));
    let ticket = api.ask("POST /v1/events/ticket", "{}").json()["ticket"].as_str().unwrap().to_owned();
    let plain = api.bare(&format!("GET /v1/events/ws?ticket={ticket}"), &host, b"");
    assert_eq!(plain.code(), (400, "bad_request".to_owned()), "it speaks WebSocket alone");
    let again = api.bare(&format!("GET /v1/events/ws?ticket={ticket}"), &host, b"");
    assert_eq!(again.code(), (401, "no_token".to_owned()), "a ticket is good once");
}

#[test]
fn a_locked_node_keeps_its_page_and_opens_again_while_somebody_still_reads() {
    let home = Home::new();
    let _node = home.start(&network());
    let (api, client) = (Api::of(&home), client(&home));
    let page = browser(&api, &client);
    assert_eq!(page.ask("POST /v1/lock", "{}").code(), (409, "no_passphrase".to_owned()));
    client.change_passphrase(&ChangePassphrase { old: None, new: Some(passphrase()) }).unwrap();
    let created = client.create_invite(&CreateInvite::default()).unwrap();
    for _ in 0..3 {
        // One reads on and sees the end; one has stopped reading, and holds nothing up.
        let events = client.events(Some(0), &[], Some(DEADLINE)).unwrap();
        let _idle = client.events(Some(0), &[], Some(DEADLINE)).unwrap();
        assert_eq!(page.ask("POST /v1/lock", "{}").status, 204);
        assert_eq!(client.health().unwrap().state, NodeState::Locked);
        let last = events.map(|line| line.unwrap().event.seq).last();
        assert!(last.is_some_and(|seq| seq > 0));
        assert_eq!(page.ask("GET /v1/conversations", "").code(), (409, "locked".to_owned()));
        assert_eq!(page.ask("GET /v1/search?q=x", "").code(), (409, "locked".to_owned()));
        let wrong = client.unlock(&Unlock { passphrase: Passphrase::new("wrong horse".to_owned()) });
        assert!(wrong.is_err());
        let opened = page.ask("POST /v1/unlock", &json!({ "passphrase": PASSPHRASE }).to_string());
        assert_eq!(opened.status, 204, "{opened:?}");
        let mut events = loop {
            // Open is what the node says when it is.
            if let Ok(events) = client.events(Some(0), &[EventType::InviteCreated], Some(DEADLINE)) {
                break events;
            }
        };
        let first = events.next().unwrap().unwrap().event;
        assert!(matches!(first.body, EventBody::InviteCreated(invite) if invite.id == created.id));
    }
}

#[test]
fn to_do_without_a_passphrase_is_a_choice_that_ends_the_warning() {
    let home = Home::new();
    let _node = home.start(&network());
    let warned = || home.run(&["status", "--json"]).json()["warnings"].to_string().contains("no_passphrase");
    assert!(warned());
    home.run(&["passphrase", "--none"]).ok();
    assert!(!warned());
    home.run(&["lock"]).fails(4, "passphrase");
}

#[test]
fn what_was_read_or_answered_is_not_new() {
    let (ana, _ana_node, bob, _bob_node, ana_id) = friends();
    let (ana, bob) = (client(&ana), client(&bob));
    let to_ana = ana_id.conversation();
    let to_bob = ana.contacts().unwrap().contacts[0].conversation;
    let unread = || ana.conversations().unwrap().conversations[0].unread;
    let first = say(&bob, to_ana, "one", &ana);
    let second = say(&bob, to_ana, "two", &ana);
    assert_eq!(unread(), 2);
    let marks = ana.mark_read(to_bob, first).unwrap();
    assert_eq!((marks.read_up_to, marks.muted, unread()), (Some(first), false, 1));
    let since = ana.seq().unwrap();
    assert_eq!(ana.mark_read(to_bob, second).unwrap().read_up_to, Some(second));
    assert_eq!(ana.mark_read(to_bob, first).unwrap().read_up_to, Some(second), "it does not go back");
    assert!(ana.change_conversation(to_bob, &ChangeConversation { muted: Some(true) }).unwrap().muted);
    let mut events = ana.events(since, &[EventType::ConversationRead], Some(DEADLINE)).unwrap();
    let told: Vec<_> = events.by_ref().take(2).map(|line| line.unwrap().event.body).collect();
    assert!(matches!(&told[0], EventBody::ConversationRead(marks) if marks.read_up_to == Some(second)), "{told:?}");
    assert!(matches!(&told[1], EventBody::ConversationRead(marks) if marks.muted), "{told:?}");
    let third = say(&bob, to_ana, "three", &ana);
    assert_eq!(unread(), 1);
    say(&ana, to_bob, "yes", &bob);
    assert_eq!(unread(), 0, "whoever answers has read");
    assert!(ana.mark_read(to_bob, MessageId::new(9_999_999)).is_err(), "no such message");
    assert!(ana.mark_read(ConversationId::new(9_999_999), third).is_err(), "no such conversation");
}

#[test]
fn every_message_is_found_as_soon_as_it_is_there() {
    let (ana, ana_node, bob, _bob_node, ana_id) = friends();
    let (ana_client, bob) = (client(&ana), client(&bob));
    let to_ana = ana_id.conversation();
    let find = |client: &Client, q: &str| -> Vec<String> {
        let query = SearchQuery { q: q.to_owned(), ..SearchQuery::default() };
        client.search(&query).unwrap().messages.into_iter().filter_map(|message| message.text).collect()
    };
    say(&bob, to_ana, "Die Straße nach Żółć", &ana_client);
    assert_eq!(find(&ana_client, "STRASSE"), Vec::<String>::new());
    assert_eq!(find(&ana_client, "straße żół"), ["Die Straße nach Żółć"]);
    say(&bob, to_ana, "100 % of a+b&c=d", &ana_client);
    say(&bob, to_ana, "and again straße", &ana_client);
    assert_eq!(find(&ana_client, "Straße"), ["and again straße", "Die Straße nach Żółć"], "newest first");
    assert_eq!(find(&ana_client, "% a+b&c=d"), ["100 % of a+b&c=d"]);
    assert_eq!(find(&bob, "straße").len(), 2, "own ones too");
    let one = SearchQuery { q: "straße".to_owned(), limit: Some(1), before: None };
    let page = ana_client.search(&one).unwrap();
    let rest = ana_client.search(&SearchQuery { before: page.before, ..one }).unwrap();
    assert_eq!((page.messages.len(), rest.messages.len(), rest.before), (1, 1, None));
    let api = Api::of(&ana);
    for query in ["", "q=", "q=%20", "q=x&limit=0", "q=x&limit=101", "q=x&before=p_1", "q=x&more=1"] {
        let (status, code) = api.ask(&format!("GET /v1/search?{query}"), "").code();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{query}");
    }
    assert_eq!(api.ask(&format!("GET /v1/search?q={}", "x".repeat(257)), "").status, 400);
    drop(ana_node);
    let messages = bob.messages(to_ana, &MessagesQuery::default()).unwrap();
    assert_eq!(messages.messages.len(), 3);
}

#[test]
fn pictures_are_read_and_bad_ones_refused() {
    let home = Home::new();
    let _node = home.start(&network());
    let api = Api::of(&home);
    let bearer = format!("Bearer {}", api.token);
    let scan = |bytes: &[u8]| {
        let headers = [("Host", api.address.as_str()), ("Authorization", &bearer), ("Content-Type", "image/jpeg")];
        api.bare("POST /v1/scan", &headers, bytes)
    };
    let photo = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/picture/photo.jpg")).unwrap();
    let read: Value = scan(&photo).json();
    assert!(read["texts"][0].as_str().unwrap().starts_with("STARLING-VERIFY:"), "{read}");
    for bad in [&b"GIF89a"[..], &photo[..100], b"\x89PNG\r\n\x1a\n"] {
        assert_eq!(scan(bad).code(), (400, "bad_request".to_owned()));
    }
    assert_eq!(scan(&vec![0xff; (8 << 20) + 1]).code().0, 413);
    assert_eq!(Code::BadCode.http_status(), 403);
}

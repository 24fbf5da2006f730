//! Two people, two processes, one conversation typed by hand.

use serde_json::Value;

use crate::harness::{Home, Node, network};

/// Ana and Bob, each with a running node, who have become contacts by Ana's invite.
pub(crate) struct Pair {
    pub(crate) ana: Home,
    pub(crate) bob: Home,
    pub(crate) ana_node: Node,
    pub(crate) bob_node: Node,
    pub(crate) network: String,
}

impl Pair {
    pub(crate) fn new(variables: &[(&str, &str)]) -> Self {
        Self::named("Ana", "Bob", variables)
    }

    pub(crate) fn named(ana_name: &str, bob_name: &str, variables: &[(&str, &str)]) -> Self {
        let (ana, bob, network) = (Home::new(), Home::new(), network());
        let ana_node = ana.start_with(&network, &[], variables);
        let bob_node = bob.start_with(&network, &[], variables);
        ana.run(&["id", "--name", ana_name]).ok();
        let link = ana.run(&["invite", "--for", bob_name]).ok();
        let said = bob.run(&["add", link.trim(), "--wait", "ready", "--timeout", "60s"]).ok();
        assert!(said.starts_with(&format!("Added {ana_name}. ")), "{said}");
        assert!(said.contains("ready. (") && said.contains("Say hello: starling send "), "{said}");
        let pair = Self { ana, bob, ana_node, bob_node, network };
        pair.bob.run(&["send", ana_name, "the first one", "--wait", "delivered"]).ok();
        pair
    }
}

/// Texts of a conversation as `log --json` gives them, with who wrote them.
fn said(home: &Home, name: &str) -> Vec<(String, String)> {
    let log = home.run(&["log", name, "--json"]).json();
    let messages = log["messages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    messages.iter().map(|message| (text(&message["from"]), text(&message["text"]))).collect()
}

#[test]
fn two_people_talk_and_both_keep_what_was_said_through_restarts() {
    let mut pair = Pair::new(&[]);
    let line = pair.ana.run(&["send", "Bob", "hello Bob", "--wait", "delivered"]).ok();
    assert!(line.starts_with("queued · ") && line.contains("delivered"), "{line}");
    let sent = pair.bob.pipe(&["send", "an", "-", "--json"], "two\nlines\n").json();
    assert_eq!(sent["message"]["text"], "two\nlines");
    assert_eq!(sent["message"]["from"], "me");
    let id = sent["message"]["id"].as_str().unwrap().to_owned();
    pair.bob.run(&["send", "Ana", "last", "--wait", "delivered", "--reply-to", &id]).ok();

    let received = pair.ana.run(&["log", "Bob", "--json"]).json()["messages"][0]["id"].clone();
    let life = pair.ana.run(&["trace", received.as_str().unwrap()]).ok();
    let lines: Vec<_> = life.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("written, by the clock of Bob's device"), "{life}");
    assert!(lines[1].contains("came here, opened and kept; Bob's device is told so"), "{life}");

    let texts = |list: Vec<(String, String)>| list.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let expected = ["the first one", "hello Bob", "two\nlines", "last"];
    assert_eq!(texts(said(&pair.ana, "Bob")), expected);
    assert_eq!(texts(said(&pair.bob, "Ana")), expected);
    assert_eq!(said(&pair.ana, "Bob")[1].0, "me");

    let shown = pair.ana.run(&["log", "Bob"]).ok();
    assert!(shown.contains("  Bob: two\n") && shown.contains("  me: hello Bob  (delivered "), "{shown}");
    let answered = pair.bob.run(&["log"]).ok();
    assert!(answered.contains(&format!("me to Ana: [answers {id}] last")), "{answered}");
    let trace = pair.bob.run(&["trace", &id]).ok();
    assert!(trace.contains("written to disk, 2,048 bytes, stamp "), "{trace}");
    assert!(trace.contains("delivered: Ana's device confirmed it"), "{trace}");

    // One after the other: every start has new ports, and who comes back asks those it met before.
    pair.ana.run(&["stop"]).ok();
    pair.ana_node = pair.ana.start(&pair.network);
    pair.ana_node.state("online");
    pair.bob.run(&["stop"]).ok();
    pair.bob_node = pair.bob.start(&pair.network);
    pair.bob_node.state("online");
    assert_eq!(texts(said(&pair.ana, "Bob")), expected);
    assert_eq!(texts(said(&pair.bob, "Ana")), expected);
    pair.bob.run(&["send", "Ana", "after the restart", "--wait", "delivered"]).ok();
    assert_eq!(said(&pair.ana, "Bob").last().unwrap().1, "after the restart");
}

#[test]
fn a_send_is_checked_and_can_be_repeated_without_sending_twice() {
    let pair = Pair::new(&[]);
    pair.bob.run(&["send", "Ana", ""]).fails(2, "The text is empty.");
    pair.bob.pipe(&["send", "Ana"], " \n").fails(2, "The text is empty.");
    pair.bob.pipe(&["send", "Ana"], &"x".repeat(70_000)).fails(2, "at most 64,000 fit a message");
    let long = pair.bob.pipe(&["--json", "send", "Ana"], &"x".repeat(64_001)).error(2);
    assert_eq!(long["code"], "too_large");
    pair.bob.run(&["send", "Zed", "hi"]).fails(5, "Nobody here is called 'Zed'.").fails(5, "starling contacts");

    let id = "6f1c1d0e-7a51-4c9b-9a5e-0d2f6f0c1a2b";
    let first = pair.bob.run(&["send", "Ana", "once", "--client-id", id, "--json"]).json();
    let second = pair.bob.run(&["send", "Ana", "once", "--client-id", id, "--json"]).json();
    assert_eq!(first["message"]["id"], second["message"]["id"]);
    pair.bob.run(&["send", "Ana", "then", "--wait", "delivered"]).ok();
    let once = said(&pair.ana, "Bob").into_iter().filter(|(_, text)| text == "once").count();
    assert_eq!(once, 1);
    pair.bob.run(&["send", "Ana", "x", "--client-id", "mine"]).fails(2, "client_id");
}

#[test]
fn a_message_for_somebody_away_waits_and_says_so() {
    let pair = Pair::new(&[]);
    let (bob, ana_node) = (&pair.bob, pair.ana_node);
    pair.ana.run(&["stop"]).ok();
    ana_node.end();
    let queued = bob.run(&["send", "Ana", "are you there?"]).ok();
    assert!(queued.starts_with("queued m_"), "{queued}");
    let id = queued.trim().split(' ').next_back().unwrap().to_owned();
    let late = bob.run(&["send", "Ana", "hello?", "--wait", "delivered", "--timeout", "1s"]);
    let late = late.fails(7, "Not delivered within 1 s; ");
    assert!(late.err.contains("starling trace m_"), "{}", late.err);
    let trace = bob.run(&["trace", &id]).ok();
    assert!(trace.contains("written to disk") && trace.contains("\nnow "), "{trace}");
    let status = bob.run(&["status", "--json"]).json();
    assert_eq!(status["outbox"]["undelivered"], 2, "{status}");
    // Ana comes back, and gets both.
    let mut watch = Node::spawn(&mut bob.command(&["watch", "--json", "--types", "message.state"]));
    let _ana_node = pair.ana.start(&pair.network);
    for _ in 0..2 {
        watch.line(|line| line.contains(r#""name":"delivered""#));
    }
    let texts: Vec<String> = said(&pair.ana, "Bob").into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["the first one", "are you there?", "hello?"]);
}

#[test]
fn contacts_are_named_listed_renamed_blocked_and_removed() {
    let pair = Pair::new(&[]);
    let ana = &pair.ana;
    ana.run(&["invite", "--for", "Bobby"]).ok();
    let list = ana.run(&["contacts"]).ok();
    assert!(list.starts_with("Bob  ready  heard "), "{list}");
    let contact = ana.run(&["contacts", "show", "bo", "--json"]).json()["contact"].clone();
    assert_eq!((contact["name"].as_str(), contact["state"].as_str()), (Some("Bob"), Some("ready")));
    let id = contact["id"].as_str().unwrap();

    assert_eq!(ana.run(&["contacts", "rename", "Bob", "Robert"]).ok(), "Bob is now called Robert.\n");
    ana.run(&["contacts", "rename", "Robert", ""]).fails(2, "");
    ana.run(&["contacts", "show", id]).ok();
    let said = ana.run(&["contacts", "block", "Rob"]).ok();
    assert_eq!(said, "Robert is blocked. Undo: starling contacts unblock Robert\n");
    ana.run(&["send", "Robert", "hi"]).fails(4, "starling contacts unblock");
    ana.run(&["contacts", "unblock", "Robert"]).ok();
    ana.run(&["send", "Robert", "hi", "--wait", "delivered"]).ok();
    assert_eq!(ana.run(&["contacts", "remove", "Robert"]).ok(), "Robert is removed. The history stays.\n");
    ana.run(&["send", "Robert", "hi"]).fails(5, "Nobody here is called 'Robert'.");
    let list = ana.run(&["contacts", "--json"]).json();
    assert_eq!(list["contacts"], serde_json::json!([]));
}

#[test]
fn who_writes_to_an_address_waits_for_an_answer() {
    let (ana, bob, network) = (Home::new(), Home::new(), network());
    let (_ana_node, _bob_node) = (ana.start(&network), bob.start(&network));
    ana.run(&["id", "--name", "Ana"]).ok();
    bob.run(&["id", "--name", "Bob"]).ok();
    let id = ana.run(&["id", "--json"]).json();
    let shown = ana.run(&["id", "--qr"]).ok();
    assert!(shown.contains("Name     Ana\n") && shown.lines().count() > 20, "{shown}");
    let mut watch = Node::spawn(&mut ana.command(&["watch", "--json", "--since", "0", "--types", "contact.requested"]));
    bob.run(&["add", id["link"].as_str().unwrap(), "--name", "Ana B", "--wait", "none"]).ok();
    bob.run(&["send", "Ana B", "may I?"]).ok();
    watch.line(|line| line.contains("contact.requested"));
    let list = ana.run(&["requests"]).ok();
    assert!(list.contains("  Bob  "), "{list}");
    ana.run(&["requests", "accept", "Zed"]).fails(5, "There is no request of 'Zed'.");
    let said = ana.run(&["requests", "accept", "Bob", "--name", "Bob from work"]).ok();
    assert_eq!(said, "Bob from work is a contact now.\n");
    let mut follow = Node::spawn(&mut ana.command(&["log", "--follow", "Bob"]));
    follow.line(|line| line.ends_with("Bob from work: may I?"));
    bob.run(&["send", "Ana", "thank you", "--wait", "delivered"]).ok();
    follow.line(|line| line.ends_with("Bob from work: thank you"));
    assert_eq!(ana.run(&["requests", "--json"]).json()["requests"], serde_json::json!([]));
}

#[test]
fn names_that_fit_several_people_are_listed() {
    let (ana, network) = (Home::new(), network());
    let _node = ana.start(&network);
    let mut nodes = Vec::new();
    let mut homes = Vec::new();
    for name in ["Maria", "Mario"] {
        let home = Home::new();
        nodes.push(home.start(&network));
        let address = home.run(&["id", "--json"]).json()["link"].as_str().unwrap().to_owned();
        // Pasted as mail programs leave it.
        let (front, back) = address.split_at(40);
        ana.pipe(&["add", "--name", name, "--wait", "none"], &format!("> {front}\n> {back}\n")).ok();
        homes.push(home);
    }
    let failed = ana.run(&["send", "Mari", "hi"]).fails(2, "'Mari' may be Mari");
    assert!(failed.err.contains("Maria (p_") && failed.err.contains("Mario (p_"), "{}", failed.err);
    ana.run(&["send", "Maria", "hi"]).ok();
}

#[test]
fn peers_are_listed_and_added() {
    let pair = Pair::new(&[]);
    let list = pair.ana.run(&["peers"]).ok();
    assert!(list.starts_with("12D3") && list.contains("neighbour"), "{list}");
    pair.ana.run(&["peers", "add", "example.org"]).fails(2, "");
    let carol = Home::new();
    let mut carol_node = carol.start(&pair.network);
    let address = pair.ana.run(&["status", "--json"]).json()["addresses"][0].as_str().unwrap().to_owned();
    carol.run(&["peers", "add", &address]).ok();
    carol_node.state("online");
    assert_eq!(carol.run(&["status", "--check", "--json"]).code, Some(0));
}

#[test]
fn a_friend_whose_computer_dies_is_understood_again_when_it_is_back() {
    let mut pair = Pair::new(&[]);
    // Nobody but the two: each is the other's only way into the network. Twice, as what is dead piles up.
    for round in 0..2 {
        pair.ana_node.kill();
        pair.ana_node = pair.ana.start(&pair.network);
        let (to_ana, to_bob) = (format!("to Ana {round}"), format!("to Bob {round}"));
        pair.bob.run(&["send", "Ana", &to_ana, "--wait", "delivered", "--timeout", "60s"]).ok();
        pair.ana.run(&["send", "Bob", &to_bob, "--wait", "delivered", "--timeout", "60s"]).ok();
    }
}

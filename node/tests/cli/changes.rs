//! Reactions, edits and deletes, as the two who write to each other see them.

use serde_json::Value;

use crate::harness::{Home, Node};
use crate::talk::Pair;

/// Waits for a `message.changed` that fits, from the beginning of the log on.
fn wait_for_change(home: &Home, fits: impl Fn(&Value) -> bool) -> Value {
    let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0", "--types", "message.changed"]));
    let data = |line: &str| serde_json::from_str::<Value>(line).map(|event| event["data"].clone()).unwrap_or_default();
    let line = watch.line(|line| fits(&data(line)));
    watch.kill();
    data(&line)
}

fn id_of(home: &Home, other: &str, text: &str) -> String {
    let log = home.run(&["log", other]).ok();
    let line = log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text:?} in {log}"));
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_message_is_reacted_to_reworded_and_deleted_for_both() {
    let pair = Pair::new(&[]);
    let (ana, bob) = (&pair.ana, &pair.bob);
    ana.run(&["send", "Bob", "tea at foru?", "--wait", "delivered"]).ok();
    let (sent, came) = (id_of(ana, "Bob", "foru"), id_of(bob, "Ana", "foru"));
    assert_eq!(bob.run(&["react", &came, "👍"]).ok(), format!("reacted to {came}\n"));
    wait_for_change(ana, |message| message["reactions"][0]["emoji"] == "👍");
    let edited = ana.run(&["edit", &sent, "tea at four?", "--json"]).json();
    assert_eq!(edited["message"]["text"], "tea at four?");
    assert!(edited["message"]["edited"].is_string());
    wait_for_change(bob, |message| message["text"] == "tea at four?");
    let log = bob.run(&["log", "Ana"]).ok();
    assert!(log.contains("tea at four?  (edited)  [👍 me]") && !log.contains("foru"), "{log}");
    let log = ana.run(&["log", "Bob"]).ok();
    assert!(log.contains("tea at four?  (edited)  [👍 Bob]"), "{log}");

    assert_eq!(bob.run(&["react", &came, "none"]).ok(), format!("reaction taken back from {came}\n"));
    wait_for_change(ana, |message| message["reactions"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(bob.run(&["edit", &came, "coffee", "--json"]).error(4)["code"], "not_yours");
    assert_eq!(bob.run(&["delete", &came, "--for", "both", "--json"]).error(4)["code"], "not_yours");
    bob.run(&["react", &came, &"x".repeat(33)]).fails(2, "32 bytes");
    bob.run(&["react", "m_zzzz", "👍"]).fails(5, "no such message");

    assert_eq!(ana.run(&["delete", &sent]).ok(), format!("deleted {sent}\n"));
    let deleted = wait_for_change(bob, |message| message["deleted"] == true);
    assert!(deleted["text"].is_null());
    for (home, other, id) in [(ana, "Bob", &sent), (bob, "Ana", &came)] {
        let log = home.run(&["log", other]).ok();
        assert!(log.contains(id.as_str()) && log.contains(": deleted") && !log.contains("tea"), "{log}");
        home.run(&["edit", id, "back"]).fails(if other == "Bob" { 5 } else { 4 }, "");
        // No event tells what it said any more.
        let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0"]));
        watch.line(|line| line.contains(r#""deleted":true"#));
        assert!(!watch.said.join("\n").contains("tea"));
        watch.kill();
    }
}

#[test]
fn a_long_text_arrives_as_it_was_written() {
    let pair = Pair::new(&[]);
    let text: String = (0..8_000).map(|line| format!("{line:07}\n")).collect();
    let text = text.trim_end();
    let sent = pair.ana.pipe(&["send", "Bob", "--wait", "delivered", "--json"], text).json();
    assert_eq!(sent["message"]["state"]["name"], "delivered");
    let log = pair.bob.run(&["log", "Ana", "--json"]).json();
    let came = log["messages"].as_array().unwrap().last().unwrap();
    assert!(came["text"] == text, "what came is not what was sent");
    let trace = pair.ana.run(&["trace", sent["message"]["id"].as_str().unwrap()]).ok();
    assert!(trace.contains("16,384 bytes"), "{trace}");
    pair.ana.pipe(&["send", "Bob"], &"x".repeat(64_001)).fails(2, "at most 64,000");
}

#[test]
fn deleted_here_alone_a_message_stays_with_the_other() {
    let pair = Pair::new(&[]);
    let (ana, bob) = (&pair.ana, &pair.bob);
    ana.run(&["send", "Bob", "keep this", "--wait", "delivered"]).ok();
    let (sent, came) = (id_of(ana, "Bob", "keep this"), id_of(bob, "Ana", "keep this"));
    let gone = bob.run(&["delete", &came, "--json"]).json();
    assert_eq!((&gone["message"]["deleted"], &gone["message"]["text"]), (&Value::Bool(true), &Value::Null));
    assert!(!bob.run(&["log", "Ana"]).ok().contains(&came));
    bob.run(&["trace", &came]).fails(5, "no such message");
    assert!(ana.run(&["log", "Bob"]).ok().contains("keep this"));
    ana.run(&["delete", &sent, "--for", "me"]).ok();
    assert!(!ana.run(&["log", "Bob"]).ok().contains("keep this"));
}

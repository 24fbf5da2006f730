//! Messages that disappear, as the two who write to each other see it.

use std::fs;

use crate::harness::{Home, Node};
use crate::talk::Pair;

/// Waits until a message of this node's has disappeared.
fn wait_for_deletion(home: &Home) {
    let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0", "--types", "message.deleted"]));
    watch.line(|line| line.contains("message.deleted"));
    watch.kill();
}

/// Everything that the node ever told, up to its newest message.
fn events(home: &Home, last: &str) -> String {
    let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0"]));
    watch.line(|line| line.contains(last));
    let said = watch.said.join("\n");
    watch.kill();
    said
}

#[test]
fn a_message_disappears_on_both_sides_from_history_events_and_keys() {
    let pair = Pair::new(&[]);
    let (ana, bob) = (&pair.ana, &pair.bob);
    let sent = ana.run(&["send", "Bob", "gone in a moment", "--expires", "2s", "--wait", "delivered", "--json"]).json();
    let message = sent["message"]["id"].as_str().unwrap();
    assert_eq!(sent["message"]["expires_s"], 2);
    wait_for_deletion(ana);
    wait_for_deletion(bob);
    ana.run(&["trace", message]).fails(5, "no such message");
    ana.run(&["send", "Bob", "this stays", "--wait", "delivered"]).ok();
    for (home, other) in [(ana, "Bob"), (bob, "Ana")] {
        let log = home.run(&["log", other]).ok();
        assert!(log.contains("this stays") && !log.contains("gone in a moment"), "{log}");
    }
    let told = events(bob, "this stays");
    assert!(told.contains("message.deleted"), "{told}");
    assert!(!told.contains("gone in a moment"), "{told}");

    // The key under which it lay is replaced at the latest when the node stops.
    let key = ana.data().join("vault").join("state.key");
    let before = fs::read(&key).unwrap();
    pair.ana_node.stop();
    assert_ne!(fs::read(&key).unwrap(), before);
    let _node = ana.start(&pair.network);
    assert!(ana.run(&["log", "Bob"]).ok().contains("this stays"));
}

#[test]
fn a_conversation_may_have_a_time_of_its_own() {
    let pair = Pair::new(&[]);
    let ana = &pair.ana;
    let set = ana.run(&["contacts", "expires", "Bob", "1d"]).ok();
    assert_eq!(set, "What you write to Bob disappears 1 day after its delivery, on both sides.\n");
    assert!(
        ana.run(&["contacts", "show", "Bob"])
            .ok()
            .contains("Writing  disappears 1 day after its delivery, on both sides")
    );
    ana.run(&["send", "Bob", "for a day", "--wait", "delivered"]).ok();
    ana.run(&["send", "Bob", "for ever", "--expires", "never", "--wait", "delivered"]).ok();
    let log = pair.bob.run(&["log", "Ana"]).ok();
    let line = |text: &str| log.lines().find(|line| line.contains(text)).unwrap().to_owned();
    assert!(line("for a day").contains("(disappears in 23 h 5"), "{log}");
    assert!(!line("for ever").contains("disappears"), "{log}");
    let stays = ana.run(&["contacts", "expires", "Bob", "never"]).ok();
    assert_eq!(stays, "What you write to Bob stays.\n");
    ana.run(&["send", "Bob", "x", "--expires", "soon"]).fails(2, "is not a length of time");
    ana.run(&["send", "Bob", "x", "--expires", "2000d"]).fails(2, "365 days at the most");
}

//! The table of what can go wrong on a person's first days, row by row on real nodes, where no other test has the row:
//! the words, and the exit code. SPEC: product 2.1.

use std::time::Instant;

use crate::harness::{DEADLINE, Home, Node, network};
use crate::talk::Pair;

/// A home beside those of a pair, on their network, with a running node that is linked to `node`.
fn neighbour(network: &str, node: &Node) -> (Home, Node) {
    let home = Home::new();
    let mut own = home.start(network);
    home.run(&["peers", "add", node.ready["addresses"][0].as_str().unwrap()]).ok();
    own.state("online");
    (home, own)
}

#[test]
fn without_peers_a_send_is_queued_and_status_says_what_was_tried() {
    let mut pair = Pair::new(&[]);
    pair.ana_node.stop().ok();
    pair.bob_node.state("joining");
    let queued = pair.bob.run(&["send", "Ana", "are you there?"]);
    assert!(queued.err.starts_with("queued: no peers yet\n"), "{queued:?}");
    assert!(queued.ok().starts_with("queued m_"));
    pair.bob_node.state("alone");
    let status = pair.bob.run(&["status"]).ok();
    // Whom it met it asks again; one invite was used, however many addresses were in it.
    assert!(status.contains("\nTried    1 remembered peer, 1 invite\nWays in  an invite from a friend: "), "{status}");
    let carol = Home::new();
    let carol_node = carol.start(&pair.network);
    pair.bob.run(&["peers", "add", carol_node.ready["addresses"][0].as_str().unwrap()]).ok();
    assert_eq!(pair.bob.run(&["status", "--json"]).json()["tried"]["named"], 1);
}

#[test]
fn for_a_friend_who_is_away_it_says_who_holds_the_message_until_when() {
    let pair = Pair::new(&[]);
    let _carol = neighbour(&pair.network, &pair.ana_node);
    pair.bob_node.stop().ok();
    let sent = pair.ana.run(&["send", "Bob", "are you there?", "--wait", "held"]);
    let words = sent.err.trim_end().to_owned();
    assert!(words.starts_with("held by 1 node until ") && words.contains("; Bob was last heard "), "{words}");
    assert!(sent.ok().contains("held by 1 node"));
    let late = pair.ana.run(&["send", "Bob", "hello?", "--wait", "delivered", "--timeout", "2s"]);
    let late = late.fails(7, "Not delivered within 2 s; held by 1 node until ");
    assert!(late.err.contains("; Bob was last heard ") && late.err.contains("It is sent on by itself."), "{late:?}");
}

#[test]
fn while_keys_are_missing_it_says_who_was_asked() {
    let name = network();
    let (ana, bob) = (Home::new(), Home::new());
    let mut ana_node = ana.start(&name);
    let bob_node = bob.start(&name);
    bob.run(&["id", "--name", "Bob"]).ok();
    let link = bob.run(&["invite"]).ok().trim().to_owned();
    bob_node.stop().ok();
    let _carol = neighbour(&name, &ana_node);
    ana_node.state("online");
    let words = "waiting for Bob's keys: asked 1 node. Bob's node must come online once.";
    let added = ana.run(&["add", &link, "--wait", "ready", "--timeout", "1s"]);
    added.fails(7, words);
    let queued = ana.run(&["send", "Bob", "hello"]);
    assert!(queued.err.starts_with(&format!("queued: {words}\n")), "{queued:?}");
    queued.ok();
    let shown = ana.run(&["contacts", "show", "Bob"]);
    assert!(shown.err.contains(words), "{shown:?}");
}

#[test]
fn after_kill_nine_what_waited_is_sent_again_once() {
    let mut pair = Pair::new(&[]);
    pair.ana_node.stop().ok();
    pair.bob_node.state("joining");
    for text in ["one", "two"] {
        pair.bob.run(&["send", "Ana", text]).ok();
    }
    pair.bob_node.kill();
    let arguments = ["--no-mdns", "--network", &pair.network, "--api-port", "0", "--listen", "127.0.0.1:0"];
    let mut bob_node = Node::spawn(&mut pair.bob.command(&arguments));
    bob_node.line(|line| line == "Recovered: 2 messages were waiting and are sent again.");
    let doctor = pair.bob.run(&["doctor"]).out;
    assert!(
        doctor.replace("\n      ", " ").contains("recovered: 2 messages were waiting and are sent again"),
        "{doctor}"
    );
    let ana_node = pair.ana.start(&pair.network);
    pair.bob.run(&["peers", "add", ana_node.ready["addresses"][0].as_str().unwrap()]).ok();
    pair.bob.run(&["send", "Ana", "three", "--wait", "delivered", "--timeout", "60s"]).ok();
    let end = Instant::now() + DEADLINE;
    let texts = || -> Vec<String> {
        let log = pair.ana.run(&["log", "Bob", "--json"]).json();
        log["messages"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    };
    while texts().len() < 4 {
        assert!(Instant::now() < end, "{:?}", texts());
    }
    assert_eq!(texts(), ["the first one", "one", "two", "three"], "none of them twice");
}

#[test]
fn a_vault_of_a_newer_starling_is_refused_by_its_name() {
    let home = Home::new();
    let name = network();
    home.start(&name).stop().ok();
    let note = home.data().join("vault/schema");
    let text = std::fs::read_to_string(&note).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [word, schema, check, version] = words[..] else { panic!("the note is another one than is thought: {text}") };
    assert!(schema.parse::<u32>().is_ok() && version == env!("CARGO_PKG_VERSION"), "{text}");
    let newer = format!("{word} 999 {check} 0.9.1\n");
    std::fs::write(&note, newer).unwrap();
    let words = format!("Written by Starling 0.9.1; this is {}. Nothing was changed.", env!("CARGO_PKG_VERSION"));
    let arguments = ["--no-mdns", "--network", &name, "--api-port", "0", "--listen", "127.0.0.1:0"];
    let refused = home.run(&arguments);
    assert_eq!(refused.err, format!("{words}\n"), "and nothing else");
    refused.fails(10, &words);
    std::fs::write(&note, text).unwrap();
    home.start(&name).stop().ok();
}

/// Waits until the vault has another state key than `old`: what was deleted is then forgotten. That is slow, as a key is
/// replaced a minute after it was made at the earliest.
fn await_another_key(home: &Home, old: &[u8]) {
    let end = Instant::now() + DEADLINE;
    while std::fs::read(home.data().join("vault/state.key")).unwrap() == old {
        assert!(Instant::now() < end, "the state key stays");
        std::thread::yield_now();
    }
}

#[test]
fn what_can_be_read_of_a_damaged_vault_is_saved_and_goes_on() {
    let pair = Pair::new(&[]);
    let (ana, key) = (&pair.ana, pair.ana.data().join("vault/state.key"));
    let sent = ana.run(&["send", "Bob", "forget me", "--wait", "delivered"]);
    sent.ok();
    let old = std::fs::read(&key).unwrap();
    let id = ana.run(&["log", "Bob", "--json"]).json()["messages"][1]["id"].as_str().unwrap().to_owned();
    ana.run(&["delete", &id, "--for", "me"]).ok();
    await_another_key(ana, &old);
    pair.ana_node.stop().ok();
    // With the key of before, the records that were sealed since fail their check.
    std::fs::write(&key, &old).unwrap();
    let up = ["--no-mdns", "--network", &pair.network, "--api-port", "0", "--listen", "127.0.0.1:0"];
    let refused = ana.run(&up);
    assert!(refused.err.contains(" vault records fail their check; opened read-only.\n"), "{refused:?}");
    refused.fails(8, "starling backup create --salvage FILE");

    let passphrase = ana.file("passphrase", "a backup of what is left\n");
    let file = ana.path("saved").to_str().unwrap().to_owned();
    let salvage =
        ["backup", "create", "--salvage", &file, "--passphrase-file", &passphrase, "--network", &pair.network];
    let saved = ana.run(&salvage);
    assert!(saved.err.contains(" vault records fail their check; what was in them is not in it."), "{saved:?}");
    assert!(saved.ok().starts_with("Backup of Ana: 1 contact, "));
    ana.run(&salvage).fails(6, "is there already");
    let still = ana.run(&up);
    assert!(still.err.contains("opened read-only."), "nothing was changed: {still:?}");

    let anew = Home::new();
    anew.run(&["backup", "restore", &file, "--passphrase-file", &passphrase]).ok();
    let (_node, listen) = (anew.start(&pair.network), pair.bob_node.ready["addresses"][0].clone());
    anew.run(&["peers", "add", listen.as_str().unwrap()]).ok();
    let id = anew.run(&["send", "Bob", "it is me", "--wait", "delivered", "--timeout", "60s"]);
    id.ok();
    pair.bob.run(&["send", "Ana", "welcome back", "--wait", "delivered", "--timeout", "60s"]).ok();
    let shown = pair.bob.run(&["contacts", "show", "Ana"]).ok();
    assert!(shown.contains("Devices  Ana added a device; their number is unchanged ("), "{shown}");
}

#[test]
fn a_running_node_is_no_case_for_salvage() {
    let home = Home::new();
    let _node = home.start(&network());
    let file = home.path("saved").to_str().unwrap().to_owned();
    home.run(&["backup", "create", "--salvage", &file]).fails(6, "Starling already runs here (pid ");
    let empty = Home::new();
    empty.run(&["backup", "create", "--salvage", &file]).fails(5, "There is no vault in ");
}

#[test]
fn two_devices_of_one_backup_hold_what_is_sent_until_the_person_decides() {
    let mut pair = Pair::new(&[]);
    let passphrase = pair.ana.file("passphrase", "one backup for two\n");
    let file = pair.ana.path("backup").to_str().unwrap().to_owned();
    pair.ana.run(&["backup", "create", &file, "--passphrase-file", &passphrase]).ok();
    pair.ana_node.stop().ok();
    pair.bob_node.stop().ok();
    // Each publishes its device list where it cannot see the other's.
    let mut places = Vec::new();
    for _ in 0..2 {
        let (ana, carrier) = (Home::new(), Home::new());
        ana.run(&["backup", "restore", &file, "--passphrase-file", &passphrase]).ok();
        let carrier_node = carrier.start(&pair.network);
        let ana_node = ana.start(&pair.network);
        ana.run(&["peers", "add", carrier_node.ready["addresses"][0].as_str().unwrap()]).ok();
        let end = Instant::now() + DEADLINE;
        while carrier.run(&["status", "--json"]).json()["store"]["envelopes"].as_u64() < Some(2) {
            assert!(Instant::now() < end, "the restored device publishes nothing");
        }
        places.push((ana, ana_node, carrier, carrier_node));
    }
    pair.bob_node = pair.bob.start(&pair.network);
    let mut watch = Node::spawn(&mut pair.bob.command(&["watch", "--since", "0", "--types", "contact.changed"]));
    for (place, words) in places.iter().zip(["Ana added a device; their number is unchanged", "two device lists"]) {
        pair.bob.run(&["peers", "add", place.3.ready["addresses"][0].as_str().unwrap()]).ok();
        watch.line(|line| line.contains(words));
    }
    let words = "Two device lists carry Ana's signature: their keys may be copied. Nothing is sent until you decide.";
    let status = pair.bob.run(&["status", "--check"]);
    assert!(status.code == Some(9) && status.out.contains(words), "{status:?}");
    let queued = pair.bob.run(&["send", "Ana", "which is yours?"]);
    assert!(queued.err.starts_with("queued: two device lists carry Ana's signature\n"), "{queued:?}");
    queued.ok();
    let refused = pair.bob.run(&["send", "Ana", "which is yours?", "--wait", "sent"]);
    refused.fails(4, words).fails(4, "starling contacts trust Ana");
    let error = pair.bob.run(&["send", "Ana", "which is yours?", "--wait", "sent", "--json"]).error(4);
    assert_eq!((&error["code"], &error["message"]), (&"devices_forked".into(), &words.into()));
    let doctor = pair.bob.run(&["doctor", "--json"]);
    assert!(doctor.code == Some(9) && doctor.out.contains("two device lists carry Ana's signature"), "{doctor:?}");
    pair.bob.run(&["contacts", "trust", "Ana"]).ok();
    pair.bob.run(&["send", "Ana", "so it is you", "--wait", "delivered", "--timeout", "60s"]).ok();
}

//! `starling doctor` on real nodes: alone, linked, locked, behind something that lets no UDP out, and with a message
//! that does not arrive.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{DEADLINE, Done, Home, Node, network};
use crate::talk::Pair;

/// The names of the findings that every open node has.
const NAMES: [&str; 12] = [
    "node",
    "vault",
    "protection",
    "clock",
    "disk",
    "peers",
    "ports",
    "outgoing",
    "reach",
    "invites",
    "contacts",
    "messages",
];

/// What was found under a name: the verdict, what was found, and what to do next.
#[track_caller]
fn found(doctor: &Value, name: &str) -> (String, String, Vec<String>) {
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {doctor}"));
    let text = |key: &str| check[key].as_str().unwrap().to_owned();
    (text("verdict"), text("message"), serde_json::from_value(check["next"].clone()).unwrap())
}

/// The one object on stdout, whatever the verdict, which the exit code must tell too.
#[track_caller]
fn report(done: Done) -> Value {
    let doctor: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:#?}"));
    assert_eq!(doctor["v"], 1);
    assert_eq!(done.code, Some(if doctor["verdict"] == "fail" { 9 } else { 0 }), "{done:#?}");
    doctor
}

/// Asks until the answer fits.
#[track_caller]
fn until(home: &Home, fits: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let doctor = report(home.run(&["doctor", "--json"]));
        if fits(&doctor) {
            return doctor;
        }
        assert!(Instant::now() < end, "{doctor:#}");
    }
}

#[test]
fn a_lonely_node_hears_why_and_three_ways_out_and_it_exits_with_9() {
    let home = Home::new();
    let _node = home.start(&network());
    let done = home.run(&["doctor"]);
    assert_eq!((done.code, done.err.as_str()), (Some(9), ""), "{done:#?}");
    let lines: Vec<&str> = done.out.lines().collect();
    let place = lines.iter().position(|line| line.starts_with("fail  ")).unwrap();
    assert_eq!(lines[place], "fail  not connected to anyone yet; tried: 0 remembered peers, 0 invites");
    assert_eq!(
        lines[place + 1..place + 4],
        [
            "      an invite from a friend: starling add <invite>",
            "      someone on this network: not looked for, as mDNS is off",
            "      an address you know: starling peers add <address>",
        ]
    );
    assert!(lines[0].starts_with("ok    node runs ("), "{}", done.out);
    let words = "warn  not protected by a passphrase: anyone with this disk can read your messages";
    assert!(lines.contains(&words), "{}", done.out);

    let doctor = report(home.run(&["doctor", "--json"]));
    assert_eq!(doctor["verdict"], "fail");
    let names: Vec<&str> =
        doctor["checks"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, NAMES);
    for check in doctor["checks"].as_array().unwrap() {
        let keys: BTreeSet<&String> = check.as_object().unwrap().keys().collect();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["message", "name", "next", "verdict"]);
    }
    assert_eq!(found(&doctor, "messages"), ("ok".to_owned(), "no message waits".to_owned(), Vec::new()));
    home.run(&["passphrase", "--none"]).ok();
    assert_eq!(found(&report(home.run(&["doctor", "--json"])), "protection").0, "ok");
}

#[test]
fn two_linked_nodes_find_each_other_well() {
    let pair = Pair::new(&[]);
    for home in [&pair.ana, &pair.bob] {
        let doctor = until(home, |doctor| doctor["verdict"] != "fail");
        let (verdict, words, _) = found(&doctor, "peers");
        assert_eq!((verdict.as_str(), words.as_str()), ("ok", "1 peer answered in the last minute"));
        assert!(found(&doctor, "clock").1.ends_with(" (1 peer)"), "{doctor:#}");
        let (verdict, words, _) = found(&doctor, "ports");
        assert!(verdict == "ok" && words.starts_with("listens on UDP"), "{words}");
        assert_eq!(found(&doctor, "contacts").1, "the keys of 1 contact are here");
    }
    let called = report(pair.bob.run(&["doctor", "--json"]));
    assert_eq!(found(&called, "outgoing").1, "outgoing QUIC works", "Bob called Ana");
    let shown = pair.ana.run(&["doctor"]).ok();
    assert!(shown.starts_with("ok    node runs (") && !shown.contains("\nfail"), "{shown}");
}

#[test]
fn a_message_that_does_not_arrive_is_explained() {
    let pair = Pair::new(&[]);
    let carol = Home::new();
    let _carol = carol.start(&pair.network);
    carol.run(&["peers", "add", pair.ana_node.ready["addresses"][0].as_str().unwrap()]).ok();
    pair.bob_node.stop().ok();
    let sent = pair.ana.run(&["send", "Bob", "are you there?", "--wait", "held", "--json"]).json();
    let id = sent["message"]["id"].as_str().unwrap();

    // It was written a moment ago: nothing is wrong yet, unless one asks about it.
    let doctor = report(pair.ana.run(&["doctor", "--json"]));
    assert_eq!(found(&doctor, "messages").1, "1 message on the way");
    let doctor = report(pair.ana.run(&["doctor", "--contact", "bo", "--json"]));
    let (verdict, words, next) = found(&doctor, "messages");
    assert_eq!((verdict.as_str(), next.as_slice()), ("warn", &[format!("starling trace {id}")][..]));
    assert!(words.starts_with(&format!("{id}, written ")) && words.contains("held by 1 node until "), "{words}");
    assert!(words.contains(", Bob's device was last heard ") && words.ends_with("; nothing to fix here"), "{words}");
    assert!(
        found(&doctor, "contacts").1.starts_with("Bob's keys are here, Bob's device was last heard "),
        "{doctor:#}"
    );

    pair.ana.run(&["contacts", "block", "Bob"]).ok();
    let shown = pair.ana.run(&["doctor", "--contact", "Bob"]).out;
    assert!(shown.contains("warn  Bob is blocked: nothing of theirs is shown, and nothing goes to them"), "{shown}");
    pair.ana.run(&["doctor", "--contact", "Zed"]).fails(5, "Nobody here is called 'Zed'.");
}

#[test]
fn a_locked_node_says_so() {
    let home = Home::new();
    let name = network();
    let node = home.start(&name);
    let file = home.file("passphrase", "correct horse battery\n");
    home.run(&["passphrase", "--passphrase-file", &file]).ok();
    node.stop().ok();
    let _node = home.start(&name);
    let doctor = report(home.run(&["doctor", "--json"]));
    let (verdict, words, next) = found(&doctor, "node");
    assert_eq!((verdict.as_str(), next[0].as_str()), ("fail", "starling unlock"));
    assert!(words.starts_with("the node is locked: "), "{words}");
    assert_eq!(doctor["checks"].as_array().unwrap().len(), 3, "what lies in the vault is not known: {doctor}");
}

/// A node on a network that spans the internet, so that loopback says nothing about its reach.
fn start_on_the_internet(home: &Home, name: &str, listen: &str, seeds: &[String]) -> Node {
    let text = format!("[network]\nscope = \"internet\"\n[peers]\nseeds = {seeds:?}\n");
    let config = home.file("internet.toml", &text);
    let mut command =
        home.command(&["up", "--json", "--exit-with-stdin", "--no-mdns", "--api-port", "0", "--config", &config]);
    let mut node = Node::spawn(command.args(["--listen", listen, "--network", name]));
    node.ready = node.event("ready");
    node
}

#[test]
fn where_no_udp_gets_out_tcp_carries_and_status_and_doctor_say_so() {
    let name = network();
    let homes = [Home::new(), Home::new(), Home::new()];
    // Taken and never read: what is sent there has no answer, as behind a firewall that drops it.
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    let hole = format!("/ip4/127.0.0.1/udp/{}/quic-v1", hole.local_addr().unwrap().port());
    let tcp = "/ip4/127.0.0.1/tcp/0";
    let others = [0, 1].map(|place| start_on_the_internet(&homes[place], &name, tcp, &[]));
    let seeds: Vec<String> = others
        .iter()
        .flat_map(|other| {
            let peer = other.ready["peer"].as_str().unwrap();
            [format!("{hole}/p2p/{peer}"), other.ready["addresses"][0].as_str().unwrap().to_owned()]
        })
        .collect();
    let home = &homes[2];
    let mut node = start_on_the_internet(home, &name, tcp, &seeds);
    node.state("online");
    let doctor = until(home, |doctor| found(doctor, "outgoing").0 == "warn");
    let words = "UDP is blocked here: 2 peers answered over TCP, and none over QUIC; everything goes over TCP";
    assert_eq!(found(&doctor, "outgoing").1, words);
    assert_eq!(found(&doctor, "reach").1, "nobody outside your network can reach this node yet: UDP is blocked here");
    assert_eq!(found(&doctor, "peers").0, "ok");
    let status = home.run(&["status"]).ok();
    assert!(status.contains("Reach    outgoing only (UDP blocked)\n"), "{status}");
    home.run(&["id", "--name", "Ana"]).ok();
    let made = home.run(&["invite"]);
    let words =
        "Nobody outside your network can reach this node yet: it works on this Wi-Fi only. See: starling doctor";
    assert!(made.err.contains(words), "{made:#?}");
    let events = home.run(&["watch", "--json", "--since", "0", "--types", "node.reach", "--timeout", "1s"]).ok();
    assert!(events.contains(r#""reach":"outgoing_only""#), "{events}");
    assert_eq!(found(&report(homes[0].run(&["doctor", "--json"])), "reach").0, "warn", "who was called is no wiser");
}

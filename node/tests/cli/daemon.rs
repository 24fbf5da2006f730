//! Starting, asking, locking and stopping one node.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::harness::{DEADLINE, Home, Node, network};

#[test]
fn a_start_reads_as_specified_and_ctrl_c_saves() {
    let home = Home::new();
    let name = network();
    let arguments = ["--network", &name, "--api-port", "0", "--listen", "127.0.0.1:0"];
    let mut node = Node::spawn(&mut home.command(&arguments));
    node.line(|line| line.contains("starling passphrase"));
    let port = |line: &str| {
        line.strip_prefix("Page    http://127.0.0.1:").and_then(|rest| rest.split(' ').next()).map(str::to_owned)
    };
    let api = node.said.iter().find_map(|line| port(line)).unwrap();
    assert!(api.parse::<u16>().is_ok_and(|port| port != 0), "{api}");
    assert_eq!(
        node.said,
        [
            format!("Starling {}  network {name}", env!("CARGO_PKG_VERSION")),
            format!("Data    {}  (new)", home.data().display()),
            format!("Page    http://127.0.0.1:{api}      to sign in: starling open"),
            "Peers   0".to_owned(),
            "You are not connected to anyone yet. Starling has no servers. Three ways in:".to_owned(),
            "  an invite from a friend    starling add <invite>".to_owned(),
            "  someone on this network    not looked for: mDNS is off".to_owned(),
            "  an address you know        starling peers add <address>".to_owned(),
            "Not protected by a passphrase: anyone with this disk can read your messages. starling passphrase"
                .to_owned(),
        ]
    );
    node.interrupt();
    let done = node.end();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.ends_with("\nStopping... saved. 0 messages waiting."), "{}", done.out);
    assert!(!home.data().join("api.json").exists(), "nobody is sent to a port that is free again");
}

#[test]
fn programs_get_a_ready_line_and_the_file_that_opens_the_api() {
    let home = Home::new();
    let name = network();
    let mut node = home.start(&name);
    assert_eq!(node.ready["v"], 1);
    assert_eq!(node.ready["network"], name.as_str());
    assert_eq!(node.ready["pid"], node.pid());
    assert!(node.ready["addresses"][0].as_str().unwrap().starts_with("/ip4/127.0.0.1/"));
    assert!(node.ready["peer"].as_str().unwrap().starts_with("12D3"));

    let path = home.data().join("api.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(home.data()).unwrap().permissions().mode() & 0o777, 0o700);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(file["url"], node.ready["url"]);
    assert_eq!(file["pid"], node.pid());

    let status = home.run(&["status", "--json"]).json();
    for (field, value) in [("network", name.as_str()), ("state", "joining"), ("protected", "keyfile")] {
        assert_eq!(status[field], value, "{status}");
    }
    let degraded = home.run(&["status", "--check"]);
    assert_eq!(degraded.code, Some(9), "{degraded:?}");
    let status = home.run(&["status"]).ok();
    assert!(status.starts_with(&format!("joining  {name} · ")), "{status}");
    assert!(status.contains("Outbox   0 waiting, 0 not yet delivered"), "{status}");

    let done = home.run(&["stop"]);
    assert_eq!(done.ok(), "Stopped.\n");
    node.event("stopped");
    assert_eq!(node.end().code, Some(0));
    home.run(&["status"]).fails(3, "No node runs for");
}

#[test]
fn a_node_ends_with_its_owner() {
    let home = Home::new();
    let node = home.start(&network());
    let done = node.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.lines().last().unwrap().contains(r#""event":"stopped""#), "{}", done.out);
}

#[test]
fn a_second_node_on_one_directory_says_who_runs() {
    let home = Home::new();
    let node = home.start(&network());
    let words =
        format!("Starling already runs here (pid {}). Page: starling open   Stop it: starling stop", node.pid());
    home.run(&["up", "--network", "x", "--api-port", "0"]).fails(6, &words);
    assert_eq!(home.run(&["--json", "--network", "x"]).error(6)["details"]["pid"], node.pid());
    // After kill -9 the lock is free, whatever files are left.
    node.kill();
    assert!(home.data().join("api.json").exists());
    home.run(&["status"]).fails(3, "No node runs for");
    let again = home.start(&network());
    assert_eq!(again.stop().code, Some(0));
}

#[test]
fn who_is_alone_hears_what_was_tried() {
    let home = Home::new();
    let name = network();
    let arguments = ["--network", &name, "--api-port", "0", "--listen", "127.0.0.1:0"];
    let mut node = Node::spawn(&mut home.command(&arguments));
    let tried = node.line(|line| line.starts_with("Tried:"));
    assert_eq!(tried, "Tried: 0 remembered peers, 0 invites.");
    assert_eq!(home.run(&["status", "--json"]).json()["state"], "alone");
    node.interrupt();
    assert_eq!(node.end().code, Some(0));
}

#[test]
fn a_passphrase_is_set_asked_for_and_removed() {
    let home = Home::new();
    let name = network();
    let node = home.start(&name);
    let short = home.file("short", "tiny\n");
    let done = home.run(&["passphrase", "--passphrase-file", &short]);
    assert_eq!(done.code, Some(2), "{done:?}");
    let right = home.file("right", "correct horse battery\n");
    let said = home.run(&["passphrase", "--passphrase-file", &right]).ok();
    assert!(said.starts_with("Protected."), "{said}");
    assert_eq!(home.run(&["status", "--json"]).json()["protected"], "passphrase");
    assert_eq!(node.stop().code, Some(0));

    let mut node = home.start(&name);
    assert_eq!(node.ready["state"], "locked");
    assert_eq!(node.ready["peer"], Value::Null);
    assert_eq!(home.run(&["status", "--json"]).json()["state"], "locked");
    assert_eq!(home.run(&["contacts", "--json"]).error(4)["code"], "locked");
    home.run(&["contacts"]).fails(4, "starling unlock");
    let wrong = home.file("wrong", "incorrect horse\n");
    home.run(&["unlock", "--passphrase-file", &wrong]).fails(4, "That passphrase does not open this vault.");
    // The first wrong one costs nothing; from a pipe there is one try.
    home.pipe(&["unlock"], "incorrect horse\n").fails(4, "That passphrase does not open this vault.");
    let error = home.pipe(&["unlock", "--json"], "correct horse battery\n").error(4);
    assert_eq!(error["code"], "wrong_passphrase", "the next try comes too early");
    assert!(error["details"]["retry_after_ms"].as_u64().is_some_and(|ms| (1..=1_000).contains(&ms)), "{error}");
    let said = unlock_when_heard(&home, "correct horse battery\n");
    assert!(said.contains("joining"), "{said}");
    node.state("joining");
    home.run(&["contacts"]).ok();

    home.run(&["passphrase", "--remove", "--passphrase-file", &wrong]).fails(4, "does not open this vault");
    let said = home.run(&["passphrase", "--remove", "--passphrase-file", &right]).ok();
    assert!(said.starts_with("Removed."), "{said}");
    assert_eq!(node.stop().code, Some(0));
    let node = home.start(&name);
    assert_ne!(node.ready["state"], "locked");
}

/// Tries until the node hears another try.
fn unlock_when_heard(home: &Home, passphrase: &str) -> String {
    let end = std::time::Instant::now() + DEADLINE;
    loop {
        let done = home.pipe(&["unlock", "--timeout", "1s"], passphrase);
        if done.code == Some(0) || std::time::Instant::now() > end {
            return done.ok();
        }
        // Too early; or the key is still being made from the passphrase on a busy machine.
        assert!(matches!(done.code, Some(4 | 7)), "{done:?}");
    }
}

#[test]
fn ctrl_c_in_a_command_that_waits_exits_with_130() {
    let home = Home::new();
    let _node = home.start(&network());
    let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0"]));
    watch.line(|line| line.contains("node.state"));
    watch.interrupt();
    assert_eq!(watch.end().code, Some(130));
}

#[test]
fn a_command_that_follows_ends_with_the_node() {
    let home = Home::new();
    let node = home.start(&network());
    let said = home.run(&["watch", "--since", "0", "--timeout", "1s"]).ok();
    assert!(said.contains("node.state"), "{said}");
    let mut watch = Node::spawn(&mut home.command(&["watch", "--since", "0"]));
    watch.line(|line| line.contains("node.state"));
    assert_eq!(node.stop().code, Some(0));
    watch.end().fails(3, "The node stopped.");
}

//! Pictures and files from one person to another, by the command line.

use std::fs;

use serde_json::Value;

use crate::harness::{Home, Node};
use crate::talk::Pair;

/// Waits for a message that fits, from the beginning of the log on.
fn received(home: &Home, fits: impl Fn(&Value) -> bool) -> Value {
    let mut watch = Node::spawn(&mut home.command(&["watch", "--json", "--since", "0", "--types", "message.received"]));
    let data = |line: &str| serde_json::from_str::<Value>(line).map(|event| event["data"].clone()).unwrap_or_default();
    let line = watch.line(|line| fits(&data(line)));
    watch.kill();
    data(&line)
}

#[test]
fn files_of_all_sizes_come_byte_by_byte_and_are_saved_over_nothing() {
    let pair = Pair::new(&[]);
    let (ana, bob) = (&pair.ana, &pair.bob);
    // Sealed bytes look like these; the largest goes in four large envelopes.
    let bytes =
        |count: usize| (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>();
    for (name, size, text) in [("small.bin", 1_200, "a small one"), ("large.bin", 64_000, "")] {
        let path = ana.path(name);
        fs::write(&path, bytes(size)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let mut arguments = vec!["send", "Bob", "--file", &path, "--wait", "delivered"];
        if !text.is_empty() {
            arguments.insert(2, text);
        }
        let said = ana.run(&arguments).ok();
        assert!(said.contains("delivered"), "{said}");
        let message = received(bob, |message| message["attachments"][0]["name"] == name);
        assert_eq!(
            (message["text"].as_str(), message["attachments"][0]["bytes"].as_u64()),
            (Some(text), Some(size as u64))
        );
        let id = message["id"].as_str().unwrap();
        let folder = bob.path("saved");
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.to_str().unwrap();
        for expected in [name.to_owned(), name.replace(".bin", " (1).bin")] {
            let saved = bob.run(&["save", id, folder, "--json"]).json();
            let path = saved["path"].as_str().unwrap();
            assert!(path.ends_with(&expected), "{path}");
            assert!(fs::read(path).unwrap() == bytes(size));
        }
        let taken = format!("{folder}/{name}");
        assert_eq!(bob.run(&["save", id, &taken, "--json"]).error(6)["code"], "file_exists");
    }
    let log = bob.run(&["log", "Ana"]).ok();
    assert!(
        log.contains("[file small.bin, 1,200 bytes] a small one") && log.contains("[file large.bin, 64,000 bytes]"),
        "{log}"
    );
    let trace = ana.run(&["log", "Bob", "--json"]).json();
    let parts = &trace["messages"].as_array().unwrap().last().unwrap()["state"]["parts"];
    assert_eq!((parts["of"].as_u64(), parts["delivered"].as_u64()), (Some(4), Some(4)));
}

#[test]
fn what_is_no_file_to_send_gets_the_reason() {
    let pair = Pair::new(&[]);
    let ana = &pair.ana;
    let large = ana.path("large");
    fs::write(&large, vec![0; 600_000]).unwrap();
    let medium = ana.path("medium");
    fs::write(&medium, vec![0; 64_001]).unwrap();
    let empty = ana.file("empty", "");
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let send = |file: &str| ana.run(&["send", "Bob", "--file", file]);
    send(&path(&large)).fails(2, "has 600,000 bytes; at most 64,000 bytes go through the network");
    send(&path(&medium)).fails(2, "64001 bytes");
    send(&empty).fails(2, "The file is empty");
    send(&path(&ana.path("missing"))).fails(2, "cannot be read");
    send(&path(&ana.path(""))).fails(2, "is a folder");
    let id = ana.run(&["send", "Bob", "a text", "--json"]).json()["message"]["id"].as_str().unwrap().to_owned();
    assert_eq!(ana.run(&["save", &id, "--json"]).error(5)["code"], "no_such_file");
    ana.run(&["save", "m_zzzz"]).fails(5, "no such message");
}

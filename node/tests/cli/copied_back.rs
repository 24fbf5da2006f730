//! A data directory of which an older copy is put back: its ratchets are not used again, and the conversation goes on.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::Home;
use crate::talk::Pair;

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}

fn texts(home: &Home, with: &str) -> Vec<Value> {
    let log = home.run(&["log", with, "--json"]).json();
    log["messages"].as_array().unwrap().iter().map(|message| message["text"].clone()).collect()
}

fn warned(home: &Home) -> bool {
    let status = home.run(&["status", "--json"]).json();
    status["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "copied_back")
}

#[test]
fn an_older_copy_of_a_data_directory_goes_on_as_a_new_device() {
    let pair = Pair::new(&[]);
    let (ana, bob, older) = (&pair.ana, &pair.bob, pair.ana.path("older"));
    let address = pair.bob_node.ready["addresses"][0].as_str().unwrap();
    pair.ana_node.stop();
    copy(&ana.data(), &older);

    let node = ana.start(&pair.network);
    assert!(!warned(ana), "a stop and a start are no copy");
    ana.run(&["send", "Bob", "only in the newer one", "--wait", "delivered"]).ok();
    bob.run(&["send", "Ana", "an answer", "--wait", "delivered"]).ok();
    node.kill();
    std::fs::remove_dir_all(ana.data()).unwrap();
    copy(&older, &ana.data());

    let node = ana.start(&pair.network);
    assert!(warned(ana));
    ana.run(&["peers", "add", address]).ok();
    // The same number as a message had before: not to be taken for its copy, nor sealed with its key.
    ana.run(&["send", "Bob", "from the older one", "--wait", "delivered", "--timeout", "60s"]).ok();
    bob.run(&["send", "Ana", "and back", "--wait", "delivered", "--timeout", "60s"]).ok();
    assert_eq!(texts(ana, "Bob"), ["the first one", "from the older one", "and back"]);
    let all = ["the first one", "only in the newer one", "an answer", "from the older one", "and back"];
    assert_eq!(texts(bob, "Ana"), all);
    let contact = &bob.run(&["contacts", "--json"]).json()["contacts"][0];
    assert_eq!(contact["state"], "ready", "a device after another, not beside it: {contact}");
    let done = node.stop();
    assert!(done.err.contains("This data directory is older than what ran here last"), "{done:?}");

    let _node = ana.start(&pair.network);
    assert!(!warned(ana), "once");
    ana.run(&["send", "Bob", "as ever", "--wait", "delivered", "--timeout", "60s"]).ok();
}

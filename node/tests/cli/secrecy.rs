//! Logs without keys, texts, names or addresses: markers are planted by ordinary use, and searched for at the most
//! talkative level.

use crate::harness::{Home, network};
use crate::talk::Pair;

#[test]
fn no_log_holds_a_key_a_text_a_name_or_an_address() {
    let mut pair = Pair::named("Xanthippe", "Zebulon", &[("STARLING_LOG", "trace")]);
    pair.ana.run(&["send", "Zebulon", "a-text-to-look-for", "--wait", "delivered"]).ok();
    pair.ana.run(&["send", "Zebulon", ""]).fails(2, "");
    pair.bob.run(&["add", "starling:a-broken-one"]).fails(2, "");
    let secret = pair.ana.file("passphrase", "a-passphrase-to-look-for\n");
    pair.ana.run(&["passphrase", "--passphrase-file", &secret]).ok();
    let invite = pair.ana.run(&["invite", "--for", "Wilhelmina", "--json"]).json();
    let id = pair.ana.run(&["id", "--json"]).json();
    let api: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(pair.ana.data().join("api.json")).unwrap()).unwrap();
    let peers = pair.ana.run(&["peers", "--json"]).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut markers: Vec<String> = [
        "Xanthippe",
        "Zebulon",
        "Wilhelmina",
        "a-text-to-look-for",
        "the first one",
        "a-broken-one",
        "127.0.0.1",
        "/ip4/",
    ]
    .map(str::to_owned)
    .to_vec();
    markers.push("a-passphrase-to-look-for".to_owned());
    markers.extend([text(&id["account"]), text(&id["device"]), text(&id["peer"]), text(&api["token"])]);
    markers.push(text(&invite["link"])["starling:".len()..][20..60].to_owned());
    markers.push(text(&peers["peers"][0]["peer"]));

    // A crash and a restart write lines that nothing else writes.
    pair.bob_node.kill();
    pair.bob_node = pair.bob.start_with(&pair.network, &[], &[("STARLING_LOG", "trace")]);
    let ends = [pair.ana_node.stop(), pair.bob_node.stop()];
    for (home, done) in [&pair.ana, &pair.bob].into_iter().zip(&ends) {
        assert_eq!(done.code, Some(0), "{done:?}");
        let log = std::fs::read_to_string(home.data().join("starling.log")).unwrap();
        // The log is alive to its end, and the connection that named the other node is in it.
        for line in ["the node starts", "connected", "the node has stopped"] {
            assert!(log.contains(line), "a log without {line:?} proves nothing: {log}");
        }
        for marker in &markers {
            for (place, written) in [("starling.log", &log), ("stderr", &done.err)] {
                let line = written.lines().find(|line| line.to_lowercase().contains(&marker.to_lowercase()));
                assert_eq!(line, None, "{marker:?} stands in {place}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_s_memory_goes_into_no_core_dump_and_to_no_debugger_and_where_it_may_into_no_swap() {
    let home = Home::new();
    let node = home.start(&network());
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", node.pid())).unwrap();
    let limits = read("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let log = std::fs::read_to_string(home.data().join("starling.log")).unwrap();
    let line = log.lines().find(|line| line.contains("closed_to_debuggers")).expect("a line about it");
    assert!(line.contains("no_core_dumps=true closed_to_debuggers=true"), "{line}");
    let locked = read("status").lines().find_map(|line| line.strip_prefix("VmLck:").map(str::trim).map(str::to_owned));
    assert_eq!(locked.unwrap() != "0 kB", line.contains("locked=true"), "{line}");
    node.stop();
}

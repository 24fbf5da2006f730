//! What needs no running node.

use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;

use crate::harness::{Home, Node, network};

/// Every command, with arguments that parse.
pub(crate) const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["doctor"],
    &["id"],
    &["invite"],
    &["invite", "list"],
    &["invite", "revoke", "i_1"],
    &["add", "starling:aaaa"],
    &["contacts"],
    &["contacts", "show", "Ana"],
    &["contacts", "rename", "Ana", "Anna"],
    &["contacts", "remove", "Ana"],
    &["contacts", "block", "Ana"],
    &["contacts", "unblock", "Ana"],
    &["requests"],
    &["requests", "accept", "Ana"],
    &["requests", "refuse", "Ana"],
    &["send", "Ana", "hi"],
    &["log"],
    &["watch"],
    &["trace", "m_1"],
    &["peers"],
    &["peers", "add", "/ip4/127.0.0.1/tcp/1"],
    &["passphrase"],
    &["unlock"],
    &["backup", "create", "never-made"],
    &["stop"],
];

/// Those that need no node, or begin one.
const WITHOUT_A_NODE: &[&[&str]] =
    &[&["up"], &["completions"], &["wipe"], &["backup", "check"], &["backup", "restore"]];

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    for command in COMMANDS.iter().chain(WITHOUT_A_NODE) {
        let mut arguments = vec![command[0]];
        arguments.extend(command.get(1).filter(|word| word.chars().all(|c| c.is_ascii_lowercase())));
        arguments.truncate(if matches!(command[0], "send" | "trace" | "add") { 1 } else { 2 });
        arguments.push("--help");
        let help = home.run(&arguments).ok();
        assert!(help.contains("Usage: starling"), "{arguments:?}: {help}");
        assert!(help.lines().next().is_some_and(|line| line.len() > 10), "{arguments:?}: {help}");
    }
    let help = home.run(&["--help"]).ok();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {} ", command[0])), "{}: {help}", command[0]);
    }
    assert_eq!(home.run(&["--version"]).ok().trim(), format!("starling {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_node_every_command_says_how_to_start_one() {
    let home = Home::new();
    let words = format!("No node runs for {}. Start it: starling   Other folder: --data DIR", home.data().display());
    for command in COMMANDS {
        let done = home.run(command).fails(3, &words);
        assert_eq!(done.out, "", "{command:?}");
        let mut arguments = command.to_vec();
        arguments.push("--json");
        let error = home.run(&arguments).error(3);
        assert_eq!(error["code"], "no_node", "{command:?}");
        assert_eq!(error["message"], words.as_str(), "{command:?}");
    }
    assert!(!home.data().exists(), "a command that only asks leaves nothing behind");
}

#[test]
fn a_stale_api_file_is_not_taken_for_a_node() {
    let home = Home::new();
    std::fs::create_dir(home.data()).unwrap();
    // Its port is somebody else's by now.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = serde_json::json!({
        "v": 1, "url": format!("http://{}", other.local_addr().unwrap()), "token": "5eed", "pid": i32::MAX,
        "started": "2026-11-23T14:02:11.208Z",
    });
    std::fs::write(home.data().join("api.json"), file.to_string()).unwrap();
    home.run(&["status"]).fails(3, "No node runs for");
}

#[test]
fn bad_usage_is_said_and_exits_with_2() {
    let home = Home::new();
    for arguments in [
        &["teleport"][..],
        &["send"],
        &["send", "Ana", "hi", "--wait", "tomorrow"],
        &["trace", "7"],
        &["log", "--limit", "0"],
        &["watch", "--types", "message.recieved"],
        &["status", "--timeout", "soon"],
        &["--no-mdns", "status"],
        &["invite", "--for", "Bob", "list"],
        &["completions", "tcsh"],
    ] {
        let done = home.run(arguments).fails(2, "");
        assert_eq!(done.out, "");
        assert!(!done.err.is_empty(), "{arguments:?}");
        let mut arguments = arguments.to_vec();
        arguments.insert(0, "--json");
        let error = home.run(&arguments).error(2);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{arguments:?}");
    }
    home.run(&["watch", "--types", "message.recieved"]).fails(2, "did you mean message.received?");
}

#[test]
fn completions_name_every_command_and_a_closed_pipe_is_no_panic() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(&["completions", shell]).ok();
        for command in COMMANDS {
            assert!(script.contains(command[0]), "{shell}: {}", command[0]);
        }
        // The reader goes before it reads anything.
        let mut child = home.command(&["completions", shell]).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{shell}");
    }
}

#[test]
fn a_bad_configuration_is_refused_with_the_nearest_field() {
    let home = Home::new();
    let file = home.file("mine.toml", "[api]\nprot = 7827\n");
    let words = format!("{file}: unknown field 'api.prot', the nearest known one is 'api.port'");
    home.run(&["up", "--config", &file]).fails(2, &words).fails(2, "starling up --print-config");
    assert_eq!(home.run(&["--json", "up", "--config", &file]).error(2)["code"], "config");
    let file = home.file("range.toml", "[api]\nport = 99999\n");
    home.run(&["up", "--config", &file]).fails(2, "api.port must be 0 to 65535; it is 99999");
    let file = home.file("main.toml", "[network]\nhop_delay_ms = 0\n");
    home.run(&["--config", &file]).fails(2, "network.hop_delay_ms cannot be set on network 'main'");
    home.run(&["--config", "/nowhere/at/all.toml"]).fails(2, "/nowhere/at/all.toml cannot be read");
    home.run(&["--listen", "example.org:1"]).fails(2, "--listen must be IP:PORT");
    home.run(&["--network", "Lab 7"]).fails(2, "network.name must be 1 to 32 of a-z, 0-9 and '-'; it is 'Lab 7'");
    assert!(!home.data().exists(), "nothing was made");
    // The one in the data directory counts without being named.
    std::fs::create_dir(home.data()).unwrap();
    std::fs::write(home.data().join("config.toml"), "[storage]\nlimitbytes = 1\n").unwrap();
    home.run(&["up"]).fails(2, "the nearest known one is 'storage.limit_bytes'");
}

#[test]
fn the_configuration_is_printed_with_every_field() {
    let home = Home::new();
    let printed = home.run(&["up", "--print-config"]).ok();
    assert!(printed.contains("[api]\n") && printed.contains("# limit_bytes = 6442450944"), "{printed}");
    let file = home.file("printed.toml", &printed);
    // It is accepted as it is: the start fails later, at a port that is taken.
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port().to_string();
    home.run(&["up", "--config", &file, "--api-port", &port]).fails(6, "is taken");
}

#[test]
fn a_chosen_port_that_is_taken_stops_the_start() {
    let home = Home::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let file = home.file("port.toml", &format!("[api]\nport = {port}\n"));
    let words = format!("api.port = {port} is taken; change it or stop that program");
    home.run(&["up", "--config", &file]).fails(6, &words);
    assert_eq!(home.run(&["--json", "--config", &file]).error(6)["details"]["port"], port);
    home.run(&["--api-port", &port.to_string()]).fails(6, &format!("--api-port {port} is taken"));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/udp/{}/quic-v1", udp.local_addr().unwrap().port());
    let words = format!("--listen {address} is taken; change it or stop that program");
    home.run(&["up", "--api-port", "0", "--listen", &address]).fails(6, &words);
    assert!(!home.data().join("api.json").exists());
}

#[test]
fn a_data_directory_that_cannot_be_made_is_said() {
    let home = Home::new();
    let file = home.file("file", "");
    home.run(&["up", "--data", &file]).fails(8, "cannot be written");
}

#[test]
fn a_start_without_a_home_asks_for_a_directory() {
    let home = Home::new();
    let mut command = home.command(&["status"]);
    command.env_remove("HOME").env_remove("STARLING_DATA");
    let done = Node::spawn(&mut command).end();
    done.fails(2, "--data DIR");
}

#[test]
fn a_node_of_a_testnet_is_named_by_its_number() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let node = home.start(&network());
    let ask = |number: &str| {
        let mut command = elsewhere.command(&["--node", number, "status", "--json"]);
        command.env("STARLING_TESTNET", "default").env("STARLING_NODE_2_DATA", home.data());
        crate::harness::finish(command.spawn().unwrap(), &["status"])
    };
    assert_eq!(ask("2").json()["network"], node.ready["network"]);
    let error = ask("3").error(5);
    assert_eq!(error["message"].as_str().unwrap().split(" in ").next(), Some("Testnet 'default' has no node 3"));
    elsewhere.run(&["--node", "2", "status"]).fails(5, "eval \"$(starling-testnet env)\"");
}

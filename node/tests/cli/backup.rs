//! A computer is lost, and its owner goes on from a backup; and a computer is wiped.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Instant;

use rustix::fs::OFlags;
use serde_json::Value;

use crate::harness::{DEADLINE, Done, Home, Node, finish, network};

const PASSPHRASE: &str = "correct horse battery staple\n";

/// A file with the passphrase, and where the backup goes.
fn files(home: &Home) -> (String, String) {
    let file = home.path("ana.starling").to_str().unwrap().to_owned();
    (home.file("passphrase", PASSPHRASE), file)
}

fn create(home: &Home, secret: &str, file: &str, more: &[&str]) -> Done {
    let mut arguments = vec!["backup", "create", file, "--passphrase-file", secret];
    arguments.extend(more);
    home.run(&arguments)
}

fn check(home: &Home, secret: &str, file: &str, more: &[&str]) -> Done {
    let mut arguments = vec!["backup", "check", file, "--passphrase-file", secret];
    arguments.extend(more);
    home.run(&arguments)
}

fn restore(home: &Home, secret: &str, file: &str, more: &[&str]) -> Done {
    let mut arguments = vec!["backup", "restore", file, "--passphrase-file", secret];
    arguments.extend(more);
    home.run(&arguments)
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn texts(home: &Home, name: &str) -> Vec<String> {
    let log = home.run(&["log", name, "--limit", "500", "--json"]).json();
    let messages = log["messages"].as_array().unwrap().iter();
    messages
        .map(|message| {
            let who = if message["from"] == "me" { "me" } else { "them" };
            format!("{who}: {}", message["text"].as_str().unwrap())
        })
        .collect()
}

/// Starts a node that gets to know `address`.
fn join(home: &Home, network: &str, address: &str) -> Node {
    let mut node = home.start(network);
    home.run(&["peers", "add", address]).ok();
    node.state("online");
    node
}

/// A node with an account that nobody else is needed for.
fn alone() -> (Home, Node, String, String) {
    let home = Home::new();
    let node = home.start(&network());
    home.run(&["id", "--name", "Ana"]).ok();
    let (secret, file) = files(&home);
    (home, node, secret, file)
}

#[test]
fn a_conversation_goes_on_from_a_backup_on_another_computer() {
    let (carol, ana, bob, network) = (Home::new(), Home::new(), Home::new(), network());
    let _carol_node = carol.start(&network);
    let address = carol.run(&["status", "--json"]).json()["addresses"][0].as_str().unwrap().to_owned();
    let ana_node = join(&ana, &network, &address);
    let bob_node = join(&bob, &network, &address);
    ana.run(&["id", "--name", "Ana"]).ok();
    bob.run(&["id", "--name", "Bob"]).ok();
    let link = ana.run(&["invite", "--for", "Bob"]).ok();
    bob.run(&["add", link.trim(), "--wait", "ready", "--timeout", "60s"]).ok();
    let open = ana.run(&["invite", "--for", "Dora", "--json"]).json();
    bob.run(&["send", "Ana", "one", "--wait", "delivered"]).ok();
    ana.run(&["send", "Bob", "two", "--wait", "delivered"]).ok();
    // Bob is away: what Ana writes him is on its way when the backup is made.
    bob.run(&["stop"]).ok();
    bob_node.end();
    ana.run(&["send", "Bob", "three"]).ok();
    ana.run(&["send", "Bob", "four"]).ok();
    let (secret, file) = files(&ana);
    let said = create(&ana, &secret, &file, &[]).ok();
    assert!(said.starts_with("Backup of Ana: 1 contact, 4 messages, 2 not yet delivered; "), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Ana's computer is lost. What Bob writes, he writes to it.
    ana_node.kill();
    let mut bob_node = bob.start(&network);
    bob_node.state("online");
    bob.run(&["send", "Ana", "five"]).ok();
    bob.run(&["send", "Ana", "six"]).ok();

    let new = Home::new();
    let said = check(&new, &secret, &file, &["--json"]).json();
    assert_eq!((&said["name"], &said["contacts"], &said["messages"]), (&"Ana".into(), &1.into(), &4.into()));
    let done = restore(&new, &secret, &file, &[]);
    assert!(done.err.contains("1 open invite withdrawn"), "{done:?}");
    assert!(done.err.contains(&format!("starling up --network {network}")), "{done:?}");
    assert!(done.ok().starts_with("Restored Ana in "));
    let mut new_node = new.start(&network);
    assert_eq!(texts(&new, "Bob"), ["them: one", "me: two", "me: three", "me: four"]);
    // The peers of the old computer are in the backup: nobody has to name one.
    new_node.state("online");
    let mut delivered = Node::spawn(&mut bob.command(&["watch", "--json", "--since", "0", "--types", "message.state"]));
    for _ in 0..3 {
        // "one" before, "five" and "six" now.
        delivered.line(|line| line.contains(r#""name":"delivered""#));
    }
    let mut received = Node::spawn(&mut bob.command(&["log", "Ana", "--follow"]));
    new.run(&["send", "Bob", "seven", "--wait", "delivered"]).ok();
    received.line(|line| line.ends_with("Ana: seven"));
    bob.run(&["send", "Ana", "eight", "--wait", "delivered"]).ok();
    let by = |texts: Vec<String>, who: &str| -> Vec<String> {
        texts.into_iter().filter(|text| text.starts_with(who)).collect()
    };
    assert_eq!(by(texts(&bob, "Ana"), "them"), ["them: two", "them: three", "them: four", "them: seven"]);
    assert_eq!(by(texts(&bob, "Ana"), "me"), ["me: one", "me: five", "me: six", "me: eight"]);
    assert_eq!(by(texts(&new, "Bob"), "me"), ["me: two", "me: three", "me: four", "me: seven"]);
    assert_eq!(by(texts(&new, "Bob"), "them"), ["them: one", "them: five", "them: six", "them: eight"]);
    let list = bob.run(&["contacts", "--json"]).json();
    assert_eq!(list["contacts"].as_array().unwrap().len(), 1, "{list}");
    let id = new.run(&["id", "--json"]).json();
    assert_eq!(id["account"], said["account"], "the account is the same");
    let invites = new.run(&["invite", "list", "--json"]).json();
    let dora = invites["invites"].as_array().unwrap().iter().find(|invite| invite["id"] == open["id"]).unwrap();
    assert_eq!(dora["state"], "revoked", "{invites}");
    // It is an account like any other: it restarts, and makes backups.
    new.run(&["stop"]).ok();
    new_node.event("stopped");
    let _new_node = new.start(&network);
    let again = new.path("again.starling").to_str().unwrap().to_owned();
    create(&new, &secret, &again, &[]).ok();
    assert_eq!(check(&new, &secret, &again, &["--json"]).json()["messages"], 8);
    // The lost computer turns up: it learns that it was replaced, and says so.
    let _old_node = ana.start(&network);
    let mut warned = Node::spawn(&mut ana.command(&["watch", "--json", "--since", "0", "--types", "node.warning"]));
    warned.line(|line| line.contains(r#""code":"replaced""#));
    let status = ana.run(&["status"]).ok();
    assert!(status.contains("contacts write to that device, and no longer hear this one."), "{status}");
}

#[test]
fn a_backup_is_made_while_messages_come_and_go() {
    let pair = crate::talk::Pair::new(&[]);
    let (secret, file) = files(&pair.ana);
    for text in ["a", "b", "c"] {
        pair.bob.run(&["send", "Ana", text, "--wait", "delivered"]).ok();
    }
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 0..6 {
                pair.bob.run(&["send", "Ana", &format!("meanwhile {number}")]).ok();
                pair.ana.run(&["send", "Bob", &format!("and back {number}")]).ok();
            }
        });
        for _ in 0..3 {
            create(&pair.ana, &secret, &file, &["--force"]).ok();
            let found = check(&pair.ana, &secret, &file, &["--json"]).json();
            // Each message that it counts is there: what is numbered below its moment is on the disk by then.
            assert!((4..=16).contains(&found["messages"].as_u64().unwrap()), "{found}");
            assert_eq!(found["unreadable"], 0);
        }
        writing.join().unwrap();
    });
    pair.bob.run(&["send", "Ana", "the last", "--wait", "delivered"]).ok();
    let said = create(&pair.ana, &secret, &file, &["--force", "--json"]).json();
    let log = texts(&pair.ana, "Bob");
    assert_eq!(said["messages"].as_u64().unwrap(), log.len() as u64);
    // Restored without a node in sight, it shows exactly this.
    let new = Home::new();
    restore(&new, &secret, &file, &[]).ok();
    let _node = new.start(&pair.network);
    assert_eq!(texts(&new, "Bob"), log);
}

#[test]
fn creating_one_refuses_what_it_must_and_leaves_nothing_half_done() {
    let (home, node, secret, file) = alone();
    let done = create(&home, &secret, &file, &["--json"]).json();
    assert_eq!(done["bytes"].as_u64().unwrap(), fs::metadata(&file).unwrap().len());
    let before = fs::read(&file).unwrap();
    create(&home, &secret, &file, &[]).fails(6, "is there already, and stays as it is. Replace it: --force");
    assert_eq!(fs::read(&file).unwrap(), before);
    create(&home, &secret, &file, &["--force"]).ok();
    assert_ne!(fs::read(&file).unwrap(), before, "another salt, another file");
    let short = home.file("short", "seven..\n");
    let elsewhere = home.path("elsewhere").to_str().unwrap().to_owned();
    create(&home, &short, &elsewhere, &[]).fails(2, "A passphrase is 8 to 1,024 bytes.");
    create(&home, &secret, "/nowhere/at/all.starling", &[]).fails(8, "cannot be written");
    // A disk that takes no more, as a limit on the size of files.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_starling"), "backup", "create", &elsewhere]);
    limited.args(["--passphrase-file", &secret]).env("STARLING_DATA", home.data()).env("HOME", home.path(""));
    for number in 0..12 {
        // Some more than the limit: seven hundred bytes of link each.
        home.run(&["invite", "--for", &format!("Guest {number}")]).ok();
    }
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written"), "{output:?}");
    let left = names(&home.path(""));
    assert_eq!(left, ["ana.starling", "data", "passphrase", "short"], "nothing is left of the failed ones");
    // The node ends within one.
    node.kill();
    create(&home, &secret, &elsewhere, &[]).fails(3, "No node runs for");
}

/// A node that answers as one does, begins a backup, and then hangs until its connection is taken from it.
fn node_that_hangs(home: &Home) -> mpsc::Receiver<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::create_dir(home.data()).unwrap();
    let file = serde_json::json!({
        "v": 1, "url": format!("http://{}", listener.local_addr().unwrap()), "token": "5eed",
        "pid": std::process::id(), "started": "2026-11-23T14:02:11.208Z",
    });
    fs::write(home.data().join("api.json"), file.to_string()).unwrap();
    let (sender, hanging) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4_096];
            let length = stream.read(&mut request).unwrap();
            if request[..length].starts_with(b"GET /v1/settings ") {
                let body = r#"{"v":1,"name":"Ana"}"#;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).unwrap();
            } else {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nSTARBAK\0\r\n";
                stream.write_all(head.as_bytes()).unwrap();
                sender.send(stream).unwrap();
            }
        }
    });
    hanging
}

#[test]
fn neither_a_node_that_ends_nor_ctrl_c_leaves_half_a_backup() {
    let home = Home::new();
    let hanging = node_that_hangs(&home);
    let (secret, file) = files(&home);
    let begin = || Node::spawn(&mut home.command(&["backup", "create", &file, "--passphrase-file", &secret]));
    let half_is_there = || names(&home.path("")).iter().any(|name| name.ends_with(".part"));
    let wait_for_half = || {
        let end = Instant::now() + DEADLINE;
        while !half_is_there() {
            assert!(Instant::now() < end, "it does not begin");
            std::thread::yield_now();
        }
    };
    let command = begin();
    let stream = hanging.recv_timeout(DEADLINE).unwrap();
    wait_for_half();
    drop(stream);
    command.end().fails(3, "The node ended before the backup was whole");
    assert_eq!(names(&home.path("")), ["data", "passphrase"]);

    let command = begin();
    let _stream = hanging.recv_timeout(DEADLINE).unwrap();
    wait_for_half();
    command.interrupt();
    assert_eq!(command.end().code, Some(130));
    assert_eq!(names(&home.path("")), ["data", "passphrase"]);
}

#[test]
fn what_is_no_whole_backup_is_refused_with_its_reason() {
    let (home, node, secret, file) = alone();
    create(&home, &secret, &file, &[]).ok();
    node.stop();
    let whole = fs::read(&file).unwrap();
    let new = Home::new();
    let wrong = home.file("wrong", "another passphrase\n");
    let newer = [&whole[..8], &[7, 0], &whole[10..]].concat();
    let older = [&whole[..8], &[0, 0], &whole[10..]].concat();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let table: [(&str, &[u8], i32, &str); 7] = [
        ("foreign", b"{\"some\":\"json\"}", 2, "is no Starling backup."),
        ("empty", b"", 2, "is no Starling backup."),
        ("newer", &newer, 10, "Written by a newer Starling (backup format 7)"),
        ("older", &older, 8, "is damaged or cut short, between byte 0 and byte 70."),
        ("flipped", &flipped, 8, "is damaged or cut short, between byte 70 and byte "),
        ("cut", &whole[..whole.len() - 1], 8, "is damaged or cut short"),
        ("head", &whole[..60], 8, "is cut short: only its first 60 bytes are whole."),
    ];
    for (name, bytes, exit, words) in table {
        let path = home.path(name).to_str().unwrap().to_owned();
        fs::write(&path, bytes).unwrap();
        check(&home, &secret, &path, &[]).fails(exit, words);
        restore(&new, &secret, &path, &[]).fails(exit, words);
        assert!(!new.data().exists(), "{name}: nothing was made");
    }
    check(&home, &wrong, &file, &[]).fails(4, "That passphrase does not open this backup.");
    let error = new.run(&["backup", "restore", &file, "--passphrase-file", &wrong, "--json"]).error(4);
    assert_eq!(error["code"], "wrong_passphrase");
    check(&home, &secret, "/nowhere/at/all", &[]).fails(2, "cannot be read");
    check(&home, &secret, home.data().to_str().unwrap(), &[]).fails(2, "cannot be read");
    // By a pipe, one try.
    new.pipe(&["backup", "restore", &file], "not this one\n").fails(4, "That passphrase does not open this backup.");
    assert!(!new.data().exists());
    let shown = home.pipe(&["backup", "check", &file], PASSPHRASE).ok();
    for line in
        ["is whole: every piece passes its check", "\nOf        Ana\n", "\nContacts  0\n", "\nMessages  0 messages\n"]
    {
        assert!(shown.contains(line), "{line:?}: {shown}");
    }
}

#[test]
fn an_existing_account_is_never_restored_over() {
    let (home, node, secret, file) = alone();
    create(&home, &secret, &file, &[]).ok();
    let pid = node.pid();
    let words = format!("Starling already runs here (pid {pid}).");
    restore(&home, &secret, &file, &[]).fails(6, &words);
    node.stop();
    let before = (names(&home.data()), fs::read(home.data().join("vault.key")).unwrap());
    restore(&home, &secret, &file, &[]).fails(4, "There is an account in ").fails(4, "Nothing was changed.");
    assert_eq!((names(&home.data()), fs::read(home.data().join("vault.key")).unwrap()), before);
    // Half of one is one too: its key may lie elsewhere.
    let new = Home::new();
    fs::create_dir_all(new.data().join("vault")).unwrap();
    restore(&new, &secret, &file, &[]).fails(4, "There is an account in ");
    assert_eq!(names(&new.data()), ["vault"]);
    // A directory with nothing but a configuration is fine.
    let new = Home::new();
    fs::create_dir_all(new.data()).unwrap();
    fs::write(new.data().join("config.toml"), "").unwrap();
    restore(&new, &secret, &file, &[]).ok();
    assert_eq!(names(&new.data()), ["config.toml", "lock", "vault", "vault.key"]);
    assert_eq!(fs::metadata(new.data().join("vault.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_locked_node_makes_no_backup() {
    let (home, node, secret, file) = alone();
    home.run(&["passphrase", "--passphrase-file", &secret]).ok();
    node.stop();
    let _node = home.start(&network());
    create(&home, &secret, &file, &[]).fails(4, "The node is locked");
    assert!(!Path::new(&file).exists());
}

#[test]
fn a_wiped_computer_holds_nothing_of_ours() {
    let pair = crate::talk::Pair::new(&[]);
    let (home, node) = (&pair.ana, pair.ana_node);
    let (secret, file) = files(home);
    create(home, &secret, &file, &[]).ok();
    let key = home.path("key of before");
    fs::hard_link(home.data().join("vault.key"), &key).unwrap();
    let before = fs::read(&key).unwrap();
    // Not without a word.
    let refused = home.run(&["wipe"]).fails(4, "This destroys the account, contacts and messages in ");
    assert!(refused.err.contains("starling wipe --yes-delete-everything"), "{refused:?}");
    assert_eq!(home.run(&["--json", "wipe"]).error(4)["code"], "not_confirmed");
    home.run(&["status"]).ok();
    let said = home.run(&["wipe", "--yes-delete-everything"]).ok();
    assert!(said.starts_with(&format!("Wiped {}: 2 keys overwritten, then ", home.data().display())), "{said}");
    assert_eq!(node.end().code, Some(0), "the node was asked to stop");
    assert!(!home.data().exists());
    assert_ne!(fs::read(&key).unwrap()[10..42], before[10..42], "the key is gone from the disk");
    let said = home.run(&["wipe", "--yes-delete-everything"]).ok();
    assert_eq!(said, format!("There is nothing of Starling in {}.\n", home.data().display()));
    // The backup brings the account back in the same place.
    restore(home, &secret, &file, &[]).ok();
    let _node = home.start(&pair.network);
    assert_eq!(texts(home, "Bob"), ["them: the first one"]);
}

#[test]
fn a_wipe_without_a_node_spares_what_is_not_ours() {
    let (home, node, ..) = alone();
    node.kill();
    assert!(home.data().join("api.json").exists(), "killed, it left its file");
    fs::write(home.data().join("letter.txt"), "mine").unwrap();
    let done = home.run(&["wipe", "--yes-delete-everything", "--json"]).json();
    assert_eq!(done["foreign"], Value::from(vec!["letter.txt"]));
    assert_eq!(names(&home.data()), ["letter.txt"]);
    assert_eq!(fs::read(home.data().join("letter.txt")).unwrap(), b"mine");
}

/// A terminal in which somebody types `line`: the side that a program reads.
fn terminal(line: &str) -> (fs::File, fs::File) {
    let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
    let mut master = fs::File::from(master);
    writeln!(master, "{line}").unwrap();
    (master, slave.into())
}

#[test]
fn in_a_terminal_a_wipe_asks_for_two_words() {
    let home = Home::new();
    home.start(&network()).stop();
    let wipe = |typed: &str| {
        let (_master, slave) = terminal(typed);
        finish(home.command(&["wipe"]).stdin(slave).spawn().unwrap(), &["wipe"])
    };
    for typed in ["", "yes", "delete", "DELETE EVERYTHING"] {
        let refused = wipe(typed).fails(4, "Type 'delete everything' to go on");
        assert!(refused.err.contains("othing was"), "{refused:?}");
        assert!(home.data().join("vault.key").exists());
    }
    assert!(wipe("delete everything").ok().starts_with("Wiped "));
    assert!(!home.data().exists());
}

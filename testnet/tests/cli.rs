//! The testnet program as a developer uses it, with real nodes. Each test has a home of its own, so that
//! tests and a developer's own nets never meet. Slow by nature: processes start, link up and stop.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use starling_testnet::run_folder::{NetState, ProcessMark};

const DEADLINE: Duration = Duration::from_secs(120);

fn testnet(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_starling-testnet"));
    command.env("STARLING_TESTNET_HOME", home).env_remove("STARLING_TESTNET").stdin(Stdio::null());
    command
}

/// A home of testnets of its own, in which nothing is left running when its test ends, however it ends.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = testnet(self.path()).args(["down", "--all"]).output();
    }
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    testnet(home).args(arguments).output().expect("the program starts")
}

#[track_caller]
fn ok(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {}\n{stdout}\n{stderr}", output.status);
    stdout
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn last_json(text: &str) -> Value {
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

fn state(home: &Path, name: &str) -> NetState {
    let text = std::fs::read_to_string(home.join(name).join("state.json")).expect("a state file");
    serde_json::from_str(&text).expect("a state")
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("a signal");
}

/// A foreground owner, killed when its test ends early.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A foreground owner that has said that its net is ready.
fn foreground(home: &Path, name: &str) -> Owner {
    let mut command = testnet(home);
    command.args(["--name", name, "up", "--foreground", "--nodes", "3"]).stdout(Stdio::piped());
    let mut owner = Owner(command.spawn().expect("the program starts"));
    let lines = BufReader::new(owner.0.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
    loop {
        let line = receiver.recv_timeout(DEADLINE).expect("the net becomes ready");
        if line.starts_with("Ready in ") {
            return owner;
        }
    }
}

#[test]
fn a_net_goes_up_talks_survives_a_kill_and_goes_down() {
    let home = Home::new();
    let home = home.path();
    let up = ok(home, &["up", "--nodes", "4", "--seed", "7"]);
    assert!(up.contains("seed 7 (repeat: --seed 7)") && up.contains("Ready in"), "{up}");
    let marks: Vec<ProcessMark> = state(home, "default").nodes.iter().filter_map(|node| node.process).collect();
    assert_eq!(marks.len(), 4);

    let second = run(home, &["up", "--nodes", "4"]);
    assert_eq!(second.status.code(), Some(6));
    assert!(text(&second.stderr).contains("Testnet 'default' runs since"), "{}", text(&second.stderr));

    let ps = last_json(&ok(home, &["ps", "--json"]));
    let nodes = ps["nodes"].as_array().unwrap();
    assert_eq!(
        nodes.iter().map(|node| node["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["alice", "bob", "carol", "dave"]
    );
    assert!(nodes.iter().all(|node| node["state"] == "online"), "{ps}");
    assert_eq!(last_json(&ok(home, &["status", "--json"]))["online"], 4);

    let env = ok(home, &["env"]);
    assert!(env.contains("export STARLING_NODE_2_DATA=") && env.contains("export STARLING_NODE_1_TOKEN="), "{env}");

    assert_eq!(last_json(&ok(home, &["send", "alice", "bob", "good morning", "--json"]))["delivered"], true);
    assert_eq!(run(home, &["send", "alice", "nobody", "x"]).status.code(), Some(5));

    ok(home, &["kill", "bob"]);
    assert_eq!(last_json(&ok(home, &["status", "--json"]))["up"], 3);
    let late = run(home, &["send", "alice", "bob", "are you there", "--timeout", "1"]);
    assert_eq!(late.status.code(), Some(7), "{}", text(&late.stderr));
    ok(home, &["restart", "bob"]);
    assert_eq!(last_json(&ok(home, &["send", "alice", "bob", "welcome back", "--json"]))["delivered"], true);
    assert!(ok(home, &["logs", "bob"]).lines().all(|line| line.starts_with("bob ")));

    let down = ok(home, &["down"]);
    assert!(down.starts_with("4 stopped, 0 left"), "{down}");
    assert!(marks.iter().all(|mark| !mark.is_alive()));
    assert_eq!(run(home, &["ps"]).status.code(), Some(3));
}

#[test]
fn when_the_owner_is_killed_its_nodes_end_and_the_next_up_clears_up() {
    let home = Home::new();
    let home = home.path();
    let mut owner = foreground(home, "gone");
    let marks: Vec<ProcessMark> = state(home, "gone").nodes.iter().filter_map(|node| node.process).collect();
    assert_eq!(marks.len(), 3);
    owner.0.kill().unwrap();
    owner.0.wait().unwrap();
    wait_for("the end of all nodes", || marks.iter().all(|mark| !mark.is_alive()));
    assert!(home.join("gone").exists(), "the leftovers are there");
    let up = run(home, &["--name", "gone", "up", "--nodes", "2"]);
    assert!(up.status.success() && text(&up.stderr).contains("Cleared what an earlier run"), "{}", text(&up.stderr));
    ok(home, &["--name", "gone", "down"]);
    assert!(!home.join("gone").exists());
}

#[test]
fn ctrl_c_takes_a_foreground_net_down() {
    let home = Home::new();
    let home = home.path();
    let mut owner = foreground(home, "front");
    let marks: Vec<ProcessMark> = state(home, "front").nodes.iter().filter_map(|node| node.process).collect();
    signal(&owner.0, rustix::process::Signal::INT);
    assert!(owner.0.wait().unwrap().success());
    assert!(marks.iter().all(|mark| !mark.is_alive()));
    assert!(!home.join("front").exists());
}

#[test]
fn the_demo_holds_on_the_smallest_net_and_skips_loudly_below_it() {
    let home = Home::new();
    let home = home.path();
    let demo = ok(home, &["demo", "--nodes", "4", "--json", "--seed", "3"]);
    let summary = last_json(&demo);
    assert_eq!((&summary["step"], &summary["ok"], &summary["seed"]), (&"summary".into(), &true.into(), &3.into()));
    assert_eq!(summary["sent"], summary["delivered"]);
    assert_eq!((&summary["duplicates"], &summary["sealed"]["hits"]), (&0.into(), &0.into()));
    assert_eq!((&summary["offline"]["recovered"], &summary["founder"]["ok"]), (&5.into(), &true.into()));
    let steps: Vec<_> = demo.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].clone()).collect();
    assert_eq!(steps, ["start", "find", "first", "round", "sealed", "offline", "founder", "summary"]);
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 0, "nothing is left");

    let small = run(home, &["demo", "--nodes", "2", "--json"]);
    assert_eq!(small.status.code(), Some(77));
    assert_eq!(last_json(&text(&small.stdout))["ok"], Value::Null);
}

#[test]
fn bad_input_gets_a_clear_error() {
    let home = Home::new();
    let home = home.path();
    assert_eq!(run(home, &["--name", "../x", "ps"]).status.code(), Some(2));
    assert_eq!(run(home, &["up", "--nodes", "0"]).status.code(), Some(2));
    let missing = run(home, &["kill", "bob"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("starling-testnet up"), "{}", text(&missing.stderr));
}

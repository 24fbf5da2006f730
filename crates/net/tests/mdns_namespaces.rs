//! Two nodes that know nobody find each other by mDNS: each in a network namespace of its own, joined by
//! a veth pair, since mDNS does not speak on loopback.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

/// Two namespaces joined by a cable; gone when dropped, whatever happened.
struct Lan {
    names: [String; 2],
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("the command ip (package iproute2)");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Lan {
    fn new() -> Self {
        let process = std::process::id();
        let lan = Self { names: [format!("starling-{process}-a"), format!("starling-{process}-b")] };
        let [a, b] = &lan.names;
        ip(&format!("netns add {a}"));
        ip(&format!("netns add {b}"));
        ip(&format!("-n {a} link add cable type veth peer name cable netns {b}"));
        for (number, name) in lan.names.iter().enumerate() {
            ip(&format!("-n {name} address add 10.83.7.{}/24 dev cable", number + 1));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} link set cable up"));
        }
        lan
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

/// A running node; stopped when dropped.
struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    fn start(namespace: &str, seed: u8) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(example())
            .arg(seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip netns exec");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    fn linked(&self) -> bool {
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            if line == "linked" {
                return true;
            }
            said.push(line);
        }
        println!("the node said {said:?}");
        false
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example `lan_node`, which cargo builds beside the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let built = test.ancestors().nth(2).expect("the target folder").join("examples/lan_node");
    assert!(built.exists(), "{} is missing: run cargo build -p starling-net --examples", built.display());
    built
}

#[test]
#[ignore = "needs root: it makes network namespaces, which .ci/run does"]
fn two_nodes_that_know_nobody_find_each_other() {
    let lan = Lan::new();
    let [a, b] = &lan.names;
    let one = Node::start(a, 1);
    let two = Node::start(b, 2);
    assert!(one.linked() && two.linked());
}

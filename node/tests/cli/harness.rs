//! Runs the real binary: commands to their end, and nodes that live as long as their test. Loopback only, every port
//! chosen by the system, every wait with a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longest that anything may take here; far more than it needs, so that a slow machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A network name that no other test uses.
pub(crate) fn network() -> String {
    format!("cli-{}-{}", std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed))
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Stdout of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// The one JSON object on stdout of a command that must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        assert_eq!(out.lines().count(), 1, "{out}");
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["v"], 1, "{out}");
        value
    }

    /// A command that must have failed: nothing on stdout, this exit code, and these words on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.err.contains(words), "wanted {words:?}: {self:#?}");
        assert!(!self.err.contains("panicked"), "{self:#?}");
        self
    }

    /// The error object of a command with `--json` that must have failed.
    #[track_caller]
    pub(crate) fn error(self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.out, "", "stdout is empty when a command fails");
        assert_eq!(self.err.lines().count(), 1, "{self:#?}");
        let value: Value = serde_json::from_str(&self.err).unwrap();
        assert_eq!(value["v"], 1);
        value["error"].clone()
    }
}

/// A person: a home directory with a data directory in it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    /// What a node keeps outside of its data directory.
    state: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file beside the data directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The binary, with nothing of this machine's environment that could change what it does.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starling"));
        for variable in ["STARLING_LOG", "NO_COLOR", "XDG_DATA_HOME", "COLUMNS"] {
            command.env_remove(variable);
        }
        command.env("XDG_STATE_HOME", self.state.path());
        command.env("HOME", self.folder.path()).env("STARLING_DATA", self.data()).env("TZ", "UTC");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments).spawn().unwrap(), arguments)
    }

    /// Runs a command with `input` on its stdin.
    #[track_caller]
    pub(crate) fn pipe(&self, arguments: &[&str], input: &str) -> Done {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A command that does not read all of it is no failure of this test.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        finish(child, arguments)
    }

    /// Starts a node of `network` and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self, network: &str) -> Node {
        self.start_with(network, &[], &[])
    }

    /// The same with more arguments and variables.
    #[track_caller]
    pub(crate) fn start_with(&self, network: &str, more: &[&str], variables: &[(&str, &str)]) -> Node {
        let mut arguments = vec!["up", "--json", "--exit-with-stdin", "--no-mdns", "--api-port", "0"];
        arguments.extend(["--listen", "127.0.0.1:0", "--network", network]);
        arguments.extend(more);
        let mut node = Node::spawn(self.command(&arguments).envs(variables.iter().copied()));
        node.ready = node.event("ready");
        node
    }
}

/// Waits for a child's end, its output read meanwhile.
#[track_caller]
pub(crate) fn finish(child: Child, arguments: &[&str]) -> Done {
    let pid = child.id();
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(child.wait_with_output());
    });
    let Ok(output) = end.recv_timeout(DEADLINE) else {
        signal(pid, Signal::KILL);
        panic!("{arguments:?} did not end within {DEADLINE:?}");
    };
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}

/// A command that goes on until it is told to stop: most often a node.
pub(crate) struct Node {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    err: Receiver<String>,
    pub(crate) said: Vec<String>,
    pub(crate) ready: Value,
}

impl Node {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let (sender, err) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            let _ = sender.send(text);
        });
        Self { child, stdin, lines, err, said: Vec::new(), ready: Value::Null }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout that fits; those before it are kept in `said`.
    #[track_caller]
    pub(crate) fn line(&mut self, fits: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if fits(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    let _ = self.child.kill();
                    let err = self.err.recv_timeout(DEADLINE).unwrap_or_default();
                    panic!("{error}; it said {:#?} and {err}", self.said);
                }
            }
        }
    }

    /// The next line of `up --json` about `event`.
    #[track_caller]
    pub(crate) fn event(&mut self, event: &str) -> Value {
        let is_it = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value["event"] == event);
        let line = self.line(is_it);
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until the node says that it is in this state.
    #[track_caller]
    pub(crate) fn state(&mut self, state: &str) {
        let is_it = |line: &str| {
            serde_json::from_str::<Value>(line).is_ok_and(|value| value["event"] == "state" && value["state"] == state)
        };
        self.line(is_it);
    }

    pub(crate) fn interrupt(&self) {
        signal(self.child.id(), Signal::INT);
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its stdin, by which a node with an owner stops, and waits for its end.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Done {
        drop(self.stdin.take());
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Done {
        let end = Instant::now() + DEADLINE;
        let left = || end.saturating_duration_since(Instant::now());
        // Stdout ends with the process.
        while let Ok(line) = self.lines.recv_timeout(left()) {
            self.said.push(line);
        }
        let err = self.err.recv_timeout(left()).unwrap_or_default();
        if left().is_zero() {
            let _ = self.child.kill();
            panic!("it did not end within {DEADLINE:?}; it said {:#?} and {err}", self.said);
        }
        let code = self.child.wait().unwrap().code();
        Done { code, out: self.said.join("\n"), err }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

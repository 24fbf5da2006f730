//! One node: a `starling` process that lives no longer than its owner.
//!
//! The owner keeps the write end of the child's stdin. Its end, by whatever cause, ends the node, so
//! that no crash of the owner leaves nodes behind.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Lines of a dead node's log that its error shows.
const LOG_TAIL_LINES: usize = 20;
/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// How a node is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// Number, from 1.
    pub number: usize,
    /// Name; also its owner's name in hellos.
    pub name: String,
    /// Its folder: config, data and output lie in it.
    pub folder: PathBuf,
    /// Network name.
    pub network: String,
    /// The one address it knows, if any: a multiaddr with `/p2p/`.
    pub seed: Option<String>,
    /// The `starling` binary.
    pub binary: PathBuf,
}

/// What a node says when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Process id.
    pub pid: u32,
    /// Address of its API.
    pub url: String,
    /// Its libp2p peer id.
    pub peer: String,
    /// Its multiaddrs, with `/p2p/`.
    pub addresses: Vec<String>,
}

impl NodePlan {
    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What it prints.
    pub fn output(&self) -> PathBuf {
        self.folder.join("output.log")
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.data().join("starling.log")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("starling.toml")
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let seeds = self.seed.iter().map(|seed| format!("{seed:?}")).collect::<Vec<_>>().join(", ");
        let text = format!(
            "# Written by starling-testnet.\n[network]\nname = {:?}\n\n[peers]\nlisten = [\"/ip4/127.0.0.1/udp/0/quic-v1\", \
             \"/ip4/127.0.0.1/tcp/0\"]\nseeds = [{seeds}]\nmdns = false\n\n[api]\nport = 0\n\n[log]\nlevel = \"debug\"\n",
            self.network
        );
        fs::write(self.config(), text).with_context(|| format!("writing {}", self.config().display()))
    }

    /// Starts the node without waiting for it.
    ///
    /// # Errors
    /// When its folder cannot be written or the process not started.
    pub fn spawn(&self) -> anyhow::Result<Starting> {
        fs::create_dir_all(&self.folder).with_context(|| format!("making {}", self.folder.display()))?;
        self.write_config()?;
        let output = File::options().create(true).append(true).open(self.output())?;
        let mut child = Command::new(&self.binary)
            .arg("up")
            .args(["--json", "--exit-with-stdin"])
            .arg("--data")
            .arg(self.data())
            .arg("--config")
            .arg(self.config())
            .env_remove("STARLING_DATA")
            .env("XDG_STATE_HOME", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the child's stdout")?;
        let (sender, lines) = mpsc::channel();
        // Reads to the end, so that the node never waits for a full pipe; ends with the node.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Starting { plan: self.clone(), child, stdin, lines, since: Instant::now() })
    }
}

/// A node that was started and has not said that it is ready.
pub struct Starting {
    plan: NodePlan,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    since: Instant,
}

impl Starting {
    /// Waits until the node is ready.
    ///
    /// # Errors
    /// When it dies or is not ready in time; the message carries the end of its log.
    pub fn wait_ready(mut self, deadline: Duration) -> anyhow::Result<NodeProcess> {
        loop {
            let left = deadline.saturating_sub(self.since.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(ready) = parse_ready(&line) {
                        return Ok(NodeProcess { plan: self.plan, child: self.child, stdin: self.stdin, ready });
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    bail!("{} was not ready after {deadline:?}\n{}", self.plan.name, tail(&self.plan));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    bail!(
                        "{} ended while starting ({status}); its folder is {}\n{}",
                        self.plan.name,
                        self.plan.folder.display(),
                        tail(&self.plan)
                    );
                }
            }
        }
    }
}

fn parse_ready(line: &str) -> Option<Ready> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    if value.get("event")?.as_str()? != "ready" {
        return None;
    }
    serde_json::from_value(value).ok()
}

fn tail(plan: &NodePlan) -> String {
    let mut text = String::new();
    for path in [plan.output(), plan.log()] {
        let content = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = content.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        text.push_str(&format!("--- end of {}\n{}\n", path.display(), lines[from..].join("\n")));
    }
    text
}

/// A node that runs.
pub struct NodeProcess {
    /// How it was started.
    pub plan: NodePlan,
    /// What it said when it was ready.
    pub ready: Ready,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl NodeProcess {
    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it as a power cut would: SIGKILL, no time to save.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<NodePlan> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.plan.clone())
    }

    /// Ends its stdin, which asks it to stop, and waits; kills it after `deadline`.
    ///
    /// # Errors
    /// When it had to be killed, or ended with an error.
    pub fn stop(mut self, deadline: Duration) -> anyhow::Result<NodePlan> {
        drop(self.stdin.take());
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status}\n{}", self.plan.name, tail(&self.plan));
                }
                return Ok(self.plan.clone());
            }
            if since.elapsed() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} did not stop within {deadline:?} and was killed", self.plan.name);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Resident memory of a process in bytes; absent where the system does not tell.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(3) {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When a process started, in clock ticks since boot: with its id, it tells a process from a later one
/// of the same id.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command may hold spaces and brackets: fields are counted after its closing one.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Total of the regular files below `folder`, in bytes.
pub fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |metadata| metadata.len()),
            _ => 0,
        })
        .sum()
}

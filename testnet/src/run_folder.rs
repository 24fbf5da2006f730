//! Where running testnets are written down, so that other commands find them and the next `up` can
//! clear away what a crash left.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::process::start_ticks;

/// Version of the state file.
const STATE_VERSION: u32 = 1;

/// A process, told from a later one with the same id by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// Process id.
    pub pid: u32,
    /// Clock ticks since boot at its start.
    pub start_ticks: u64,
}

impl ProcessMark {
    /// The mark of a running process.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_ticks: start_ticks(pid)? })
    }

    /// Whether this very process still runs.
    pub fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// Kills it, if it is still this very process.
    pub fn kill(self) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// A node in the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Number, from 1.
    pub number: usize,
    /// Name.
    pub name: String,
    /// Its process; absent while it is down.
    pub process: Option<ProcessMark>,
    /// Address of its API.
    pub url: Option<String>,
    /// Its data directory.
    pub data: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// What it printed.
    pub output: PathBuf,
}

/// A running testnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetState {
    /// Version of this file.
    pub v: u32,
    /// Name of the testnet.
    pub name: String,
    /// Network name of its nodes.
    pub network: String,
    /// Seed of what is random in it.
    pub seed: u64,
    /// The process that owns it.
    pub owner: ProcessMark,
    /// When it was started, ms since 1970.
    pub started_unix_ms: u64,
    /// Whether all nodes are up and know each other.
    pub ready: bool,
    /// Its nodes.
    pub nodes: Vec<NodeState>,
}

/// The folder of one testnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// The folder that holds all testnets of this user.
///
/// # Errors
/// When it cannot be made, or belongs to somebody else.
pub fn home() -> anyhow::Result<PathBuf> {
    let home = match std::env::var_os("STARLING_TESTNET_HOME") {
        Some(named) => PathBuf::from(named),
        None => {
            let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
            base.join(format!("starling-testnet-{}", rustix::process::getuid().as_raw()))
        }
    };
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&home)?);
    if owner != rustix::process::getuid().as_raw() {
        bail!("{} belongs to another user; set STARLING_TESTNET_HOME", home.display());
    }
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(home)
}

/// Names of all testnets that have a folder.
///
/// # Errors
/// When the folder of testnets cannot be read.
pub fn all() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(home()?)?.flatten() {
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl RunFolder {
    /// The folder of the testnet `name`; it need not exist.
    ///
    /// # Errors
    /// A name that is no plain file name.
    pub fn of(name: &str) -> anyhow::Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 24 || !name.bytes().all(plain) {
            bail!("a testnet's name is 1 to 24 of a-z, 0-9 and '-'");
        }
        Ok(Self { path: home()?.join(name) })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The control socket of its owner.
    pub fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// What its owner prints when it runs in the background.
    pub fn owner_output(&self) -> PathBuf {
        self.path.join("owner.log")
    }

    fn state_path(&self) -> PathBuf {
        self.path.join("state.json")
    }

    /// Its state, if a state file is there.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self) -> anyhow::Result<Option<NetState>> {
        let text = match fs::read_to_string(self.state_path()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", self.state_path().display())),
        };
        let state: NetState =
            serde_json::from_str(&text).with_context(|| format!("reading {}", self.state_path().display()))?;
        if state.v != STATE_VERSION {
            bail!("{} is of another version of starling-testnet", self.state_path().display());
        }
        Ok(Some(state))
    }

    /// The state of a testnet whose owner runs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn running(&self) -> anyhow::Result<Option<NetState>> {
        Ok(self.read()?.filter(|state| state.owner.is_alive()))
    }

    /// Replaces the state file in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, state: &NetState) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        file.write_all(&serde_json::to_vec_pretty(state)?)?;
        file.persist(self.state_path())?;
        Ok(())
    }

    /// Clears away what a dead owner left: its nodes, if they are still those very processes, and the
    /// folder. How many processes were ended; `None` when nothing was left.
    ///
    /// # Errors
    /// When the folder cannot be removed, or the owner lives.
    pub fn clear_leftovers(&self) -> anyhow::Result<Option<usize>> {
        // Without a state file no node was started; what lies there may be the output of an owner in the making.
        if !self.state_path().exists() {
            return Ok(None);
        }
        let state = self.read().unwrap_or(None);
        if state.as_ref().is_some_and(|state| state.owner.is_alive()) {
            bail!("its owner still runs");
        }
        let alive: Vec<_> = state
            .iter()
            .flat_map(|state| &state.nodes)
            .filter_map(|node| node.process)
            .filter(|mark| mark.is_alive())
            .collect();
        alive.iter().for_each(|mark| mark.kill());
        fs::remove_dir_all(&self.path).with_context(|| format!("removing {}", self.path.display()))?;
        Ok(Some(alive.len()))
    }

    /// Makes the folder, readable by this user alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.path).with_context(|| format!("making {}", self.path.display()))?;
        fs::set_permissions(&self.path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(())
    }

    /// The first state file's version.
    pub const fn state_version() -> u32 {
        STATE_VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_of_the_same_id_is_not_taken_for_the_first() {
        let own = ProcessMark::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let other = ProcessMark { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive());
        other.kill(); // and so this test goes on
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", "..", "a/b", "A", "x y", "0123456789012345678901234"] {
            assert!(RunFolder::of(name).is_err(), "{name:?}");
        }
    }
}

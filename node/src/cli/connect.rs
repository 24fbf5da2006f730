//! From a command to the running node: which data directory, its `api.json`, its client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use starling_api::{ApiFile, Client, ClientError, Code};

use super::Global;
use super::failure::{Exit, Failure};
use super::terminal::Terminal;
use crate::core::starts;

/// How long one call may take, where `--timeout` does not say.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What every command has.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// How to speak.
    pub(crate) terminal: Terminal,
    /// Data directory, absolute; need not exist.
    pub(crate) data: PathBuf,
    /// `--timeout`
    timeout: Option<Duration>,
}

impl Context {
    /// From the flags of every command.
    ///
    /// # Errors
    /// There is no data directory: neither `--data` nor a home; or no testnet has that node.
    pub(crate) fn new(terminal: Terminal, global: &Global) -> Result<Self, Failure> {
        let data = match (global.node, &global.data) {
            (Some(node), _) => testnet_data(node)?,
            (None, Some(data)) => data.clone(),
            (None, None) => default_data()?,
        };
        let data = std::path::absolute(&data)
            .map_err(|error| Failure::bad_input(format!("{} is no directory: {error}", data.display())))?;
        Ok(Self { terminal, data, timeout: global.timeout })
    }

    /// `--timeout`, if it was given: how long a command without an end goes on.
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// `--timeout`, or `default`.
    pub(crate) fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }

    /// The process that wrote `api.json`, if it still exists.
    pub(crate) fn running_pid(&self) -> Option<u32> {
        ApiFile::load(&self.data).ok().map(|file| file.pid).filter(|pid| process_exists(*pid))
    }

    /// A client of the node of this data directory.
    ///
    /// # Errors
    /// No node runs.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let client = Client::open(&self.data)?;
        // After kill -9 the file stays, and its port may by now be another program's.
        if client.pid().is_some_and(|pid| !process_exists(pid)) {
            return Err(ClientError::NoNode { data: self.data.clone() }.into());
        }
        Ok(client.with_timeout(self.timeout_or(CALL_TIMEOUT)))
    }
}

fn process_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // Somebody else's process may not be signalled, but it is there.
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Where starts of the node in `data` are counted: below `$XDG_STATE_HOME`, or `~/.local/state`.
pub(crate) fn starts_file(data: &Path) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local").join("state"));
    Some(starts::file_of(&absolute("XDG_STATE_HOME").or_else(home)?, data))
}

/// Data directory of node `number` of the testnet whose variables are set.
fn testnet_data(number: u16) -> Result<PathBuf, Failure> {
    let variable = format!("STARLING_NODE_{number}_DATA");
    if let Some(data) = std::env::var_os(&variable).filter(|data| !data.is_empty()) {
        return Ok(PathBuf::from(data));
    }
    let message = match std::env::var("STARLING_TESTNET") {
        Ok(name) => format!("Testnet '{name}' has no node {number} in this shell's variables."),
        Err(_) => "This shell has the variables of no testnet.".to_owned(),
    };
    let help = "Take them over with: eval \"$(starling-testnet env)\"";
    Err(Failure::new(Exit::NotFound, "no_such_node", format!("{message} {help}")))
}

/// `$XDG_DATA_HOME/starling`, or `~/.local/share/starling`.
fn default_data() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local").join("share"));
    let base = absolute("XDG_DATA_HOME").or_else(home);
    base.map(|base| base.join("starling"))
        .ok_or_else(|| Failure::bad_input("There is no home directory to keep data in; name one with --data DIR"))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = error.exit_code();
        let code = match &error {
            ClientError::Api(refused) => return Self::from(refused.clone()),
            ClientError::NoNode { .. } | ClientError::NoNodeAt { .. } => "no_node".to_owned(),
            ClientError::Disconnected(_) => "disconnected".to_owned(),
            ClientError::TimedOut => Code::TimedOut.to_string(),
            ClientError::NotUnderstood { version: Some(_), .. } => Code::VersionTooNew.to_string(),
            ClientError::ApiFile { .. } | ClientError::NotUnderstood { .. } => Code::Internal.to_string(),
        };
        Self::new(exit, &code, error.to_string())
    }
}

/// The failure of a directory or file that cannot be made.
pub(crate) fn disk_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Disk, "disk", format!("{} cannot be written: {error}", path.display()))
}

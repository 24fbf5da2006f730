//! `starling unlock`: opens a node that waits for its passphrase, and waits until it is on the network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use starling_api::node::{NodeState, Unlock};
use starling_api::{Client, ClientError, Code, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::secret::Source;
use super::spans;

/// Between two looks at the state. There are no events to follow before the vault is open.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait for the network.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File whose first line is the passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    if client.health()?.state == NodeState::Locked {
        open(context, &client, Source::choose(arguments.passphrase_file.as_deref()))?;
    } else {
        context.terminal.note("It is not locked.");
    }
    let state = print_states(context, &client)?;
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "state": state })))?;
    }
    Ok(Exit::Ok)
}

/// Tries until the passphrase is right: at a prompt again and again, with the wait that the node asks for; from a
/// file or a pipe once.
///
/// # Errors
/// The passphrase is wrong and cannot be given again, or the node is gone.
pub(crate) fn open(context: &Context, client: &Client, source: Source<'_>) -> Result<(), Failure> {
    loop {
        let passphrase = source.read("Passphrase: ")?;
        let error = match client.unlock(&Unlock { passphrase }) {
            Ok(()) => return Ok(()),
            Err(ClientError::Api(error)) if error.code == Code::WrongPassphrase && source.can_repeat() => error,
            Err(error) => return Err(error.into()),
        };
        context.terminal.note(&error.message);
        let retry_after =
            error.details.as_ref().and_then(|details| details.get("retry_after_ms")).and_then(|ms| ms.as_u64());
        let wait = Duration::from_millis(retry_after.unwrap_or(0));
        if wait >= Duration::from_secs(1) {
            context.terminal.note(&format!("Next try in {}.", spans::rough(wait)));
        }
        std::thread::sleep(wait);
    }
}

/// `starting... joining... online (3 s)`. Alone is an end too: the node is open, and keeps looking.
fn print_states(context: &Context, client: &Client) -> Result<NodeState, Failure> {
    let terminal = &context.terminal;
    let silent = terminal.json || terminal.quiet;
    let started = Instant::now();
    let deadline = started + context.timeout_or(TIMEOUT);
    let mut shown = None;
    loop {
        let state = client.health()?.state;
        let settled = matches!(state, NodeState::Online | NodeState::Alone | NodeState::Stopping);
        let over = settled || Instant::now() >= deadline;
        // For a moment after the right passphrase it is still locked.
        if !silent && shown != Some(state) && !over && state != NodeState::Locked {
            terminal.part(&format!("{}... ", state.as_str()))?;
        }
        if over {
            if !silent {
                terminal.line(&format!("{} ({})", state.as_str(), spans::precise(started.elapsed())))?;
            }
            return Ok(state);
        }
        shown = Some(state);
        std::thread::sleep(LOOK_INTERVAL);
    }
}

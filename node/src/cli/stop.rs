//! `starling stop`: asks the node to save and leave, and waits until it has.

use std::time::{Duration, Instant};

use clap::Args;
use starling_api::Versioned;

use super::connect::Context;
use super::failure::{Exit, Failure};

/// Between two looks at whether the node is gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long saving may take, where `--timeout` does not say.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Do not wait until it has stopped.
    #[arg(long)]
    now: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    client.stop()?;
    if !arguments.now {
        wait_until_gone(context, client.pid())?;
    }
    let state = if arguments.now { "stopping" } else { "stopped" };
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "state": state })))?;
    } else {
        context.terminal.line(if arguments.now { "Stopping." } else { "Stopped." })?;
    }
    Ok(Exit::Ok)
}

/// The node removes `api.json` when it has saved; another process id in it is another node.
fn wait_until_gone(context: &Context, pid: Option<u32>) -> Result<(), Failure> {
    let deadline = Instant::now() + context.timeout_or(TIMEOUT);
    while context.running_pid().is_some_and(|running| Some(running) == pid) {
        if Instant::now() >= deadline {
            let message = "The node was asked to stop and is still saving.";
            return Err(Failure::new(Exit::NotInTime, "timed_out", message));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

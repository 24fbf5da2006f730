//! `starling stop`: asks the node to save and leave, and waits until it has.

use std::time::{Duration, Instant};

use clap::Args;
use starling_api::{ApiFile, Versioned};

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
    let running = ApiFile::load(&context.data).ok();
    client.stop()?;
    let deadline = Instant::now() + context.timeout_or(TIMEOUT);
    // The node removes its file as the last thing it does; another pid in it is another node.
    while !arguments.now
        && running.is_some()
        && ApiFile::load(&context.data).ok().map(|file| file.pid) == running.as_ref().map(|file| file.pid)
    {
        if client.health().is_err() && !context.is_running() {
            break;
        }
        if Instant::now() >= deadline {
            let message = "The node was asked to stop and still saves.";
            return Err(Failure::new(Exit::NotInTime, "timed_out", message));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    let state = if arguments.now { "stopping" } else { "stopped" };
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "state": state })))?;
    } else {
        context.terminal.line(if arguments.now { "Stopping." } else { "Stopped." })?;
    }
    Ok(Exit::Ok)
}

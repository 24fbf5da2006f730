//! `starling lock`: closes the vault until its passphrase is given again. The network goes off.

use clap::Args;
use starling_api::Versioned;

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::hints;

#[derive(Debug, Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(context: &Context, _: &Arguments) -> Result<Exit, Failure> {
    context.client()?.lock()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "state": "locked" })))?;
    } else {
        terminal.line("Locked. Nothing comes or goes until it is opened again.")?;
        terminal.note(&format!("Open it: {}", hints::UNLOCK));
    }
    Ok(Exit::Ok)
}

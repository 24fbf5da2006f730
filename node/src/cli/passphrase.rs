//! `starling passphrase`: protects this computer's copy, changes the passphrase, or removes it.

use std::path::PathBuf;

use clap::Args;
use starling_api::node::{ChangePassphrase, ChangeSettings, Protected};
use starling_api::{Client, Passphrase, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::secret::Source;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File whose first line is the new passphrase (with --remove: the present one).
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File whose first line is the present passphrase, when one is set and another is wanted.
    #[arg(long, value_name = "FILE", conflicts_with = "remove")]
    present_passphrase_file: Option<PathBuf>,
    /// Remove the passphrase: whoever has this disk can then read your messages.
    #[arg(long)]
    remove: bool,
    /// Do without: nothing reminds you any more.
    #[arg(long, conflicts_with_all = ["remove", "passphrase_file", "present_passphrase_file"])]
    none: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    if arguments.none {
        return do_without(context, &client);
    }
    let is_set = client.status()?.protected == Protected::Passphrase;
    let present_file = if arguments.remove { &arguments.passphrase_file } else { &arguments.present_passphrase_file };
    let old = match is_set {
        true => Some(Source::choose(present_file.as_deref()).read("Present passphrase: ")?),
        false => None,
    };
    let new = if arguments.remove { None } else { Some(new_passphrase(arguments)?) };
    client.change_passphrase(&ChangePassphrase { old, new })?;
    let terminal = &context.terminal;
    let protected = if arguments.remove { Protected::Keyfile } else { Protected::Passphrase };
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "protected": protected })))?;
    } else if arguments.remove {
        terminal.line("Removed. Whoever has this disk can read your messages.")?;
    } else {
        terminal.line("Protected. From the next start on, the passphrase is asked for.")?;
        terminal.note("Nobody can reset it: if you forget it, your messages are lost.");
    }
    Ok(Exit::Ok)
}

/// To do without is a choice, once it was made.
fn do_without(context: &Context, client: &Client) -> Result<Exit, Failure> {
    if client.status()?.protected == Protected::Passphrase {
        let message = "A passphrase is set.";
        return Err(Failure::new(Exit::Refused, "conflict", message.to_owned()).hint("starling passphrase --remove"));
    }
    client.change_settings(&ChangeSettings { no_passphrase_accepted: Some(true), ..ChangeSettings::default() })?;
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "protected": Protected::Keyfile })))?;
    } else {
        context.terminal.line("No passphrase. Whoever has this disk can read your messages.")?;
    }
    Ok(Exit::Ok)
}

/// Typed twice; from a file or a pipe, once.
fn new_passphrase(arguments: &Arguments) -> Result<Passphrase, Failure> {
    let source = Source::choose(arguments.passphrase_file.as_deref());
    let new = source.read("New passphrase: ")?;
    if source.can_repeat() && source.read("Once more: ")? != new {
        return Err(Failure::bad_input("The two are not the same. Nothing was changed."));
    }
    Ok(new)
}

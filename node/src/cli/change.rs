//! `starling react MESSAGE EMOJI|none`, `starling edit MESSAGE TEXT|-`, `starling delete MESSAGE`

use clap::{Args, ValueEnum};
use starling_api::message::{DeleteFor, EditMessage, Message, React};
use starling_api::{MessageId, Versioned};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::send;

/// The word that takes a reaction back.
const NONE: &str = "none";

#[derive(Debug, Args)]
pub(crate) struct ReactArguments {
    /// Id of the message, as `starling log` prints it.
    message: MessageId,
    /// An emoji, in the place of the one before; 'none' takes it back.
    emoji: String,
}

#[derive(Debug, Args)]
pub(crate) struct EditArguments {
    /// Id of your message, as `starling send` and `starling log` print it.
    message: MessageId,
    /// What it is to say; without it, or for '-', from stdin.
    text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Id of the message, as `starling log` prints it.
    message: MessageId,
    /// For whom [default: both, where you wrote it; else me].
    #[arg(long = "for", value_name = "WHOM")]
    whom: Option<Whom>,
}

/// For whom something is deleted.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Whom {
    /// On this computer alone.
    Me,
    /// Here and where its recipient has it.
    Both,
}

pub(crate) fn react(context: &Context, arguments: &ReactArguments) -> Result<Exit, Failure> {
    let emoji = (arguments.emoji != NONE).then(|| arguments.emoji.clone());
    let words = if emoji.is_some() { "reacted to" } else { "reaction taken back from" };
    let message = context.client()?.react(arguments.message, &React { emoji })?;
    told(context, &message, words)
}

pub(crate) fn edit(context: &Context, arguments: &EditArguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let text = send::text(arguments.text.as_deref(), "What should it say? Write the text behind the message's id")?;
    let message = client.edit(arguments.message, &EditMessage { text })?;
    told(context, &message, "edited")
}

pub(crate) fn delete(context: &Context, arguments: &DeleteArguments) -> Result<Exit, Failure> {
    let whom = arguments.whom.map(|whom| match whom {
        Whom::Me => DeleteFor::Me,
        Whom::Both => DeleteFor::Both,
    });
    let message = context.client()?.delete_message(arguments.message, whom)?;
    told(context, &message, "deleted")
}

/// What was done is on the disk, and on its way.
fn told(context: &Context, message: &Message, words: &str) -> Result<Exit, Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "message": message })))?;
    } else {
        terminal.line(&format!("{words} {}", message.id))?;
    }
    Ok(Exit::Ok)
}

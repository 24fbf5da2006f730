//! `starling receipts [on|off|show]`: whether contacts are told what was read here, and what they tell is shown.

use clap::{Args, ValueEnum};
use starling_api::Versioned;
use starling_api::node::ChangeSettings;

use super::connect::Context;
use super::failure::{Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Turn them on or off; without it they are shown as they are.
    #[arg(value_enum, default_value_t = Choice::Show)]
    choice: Choice,
}

/// What is to become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Tell contacts what you read, and see what they read.
    On,
    /// Neither tell nor see.
    Off,
    /// Say how it is.
    Show,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let set =
        |on: bool| client.change_settings(&ChangeSettings { read_receipts: Some(on), ..ChangeSettings::default() });
    let settings = match arguments.choice {
        Choice::On => set(true)?,
        Choice::Off => set(false)?,
        Choice::Show => client.settings()?,
    };
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "read_receipts": settings.read_receipts })))?;
    } else {
        terminal.line(words(settings.read_receipts))?;
    }
    Ok(Exit::Ok)
}

fn words(on: bool) -> &'static str {
    match on {
        true => "On: contacts who have them on too see what you read, and you see what they read.",
        false => "Off: nobody is told what you read, and you do not see what others read.",
    }
}

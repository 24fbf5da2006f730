//! `starling id`: the reusable address of this account, and its name.

use clap::Args;
use starling_api::Versioned;
use starling_api::node::ChangeSettings;

use super::clean;
use super::connect::Context;
use super::failure::{Exit, Failure};
use super::{qr, status};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print the address as a QR code too.
    #[arg(long)]
    qr: bool,
    /// Set the name that friends see.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    if let Some(name) = &arguments.name {
        client.change_settings(&ChangeSettings { name: Some(name.clone()), ..ChangeSettings::default() })?;
    }
    let identity = client.id()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&identity))?;
        return Ok(Exit::Ok);
    }
    if arguments.qr {
        qr::print(terminal, &identity.link)?;
    }
    let name =
        if identity.name.is_empty() { "(none; set it with --name)".to_owned() } else { clean::line(&identity.name) };
    terminal.line(&format!("Name     {name}"))?;
    terminal.line(&format!("Address  {}", clean::line(&identity.link)))?;
    terminal.line(&format!("Account  {}", clean::line(&identity.account)))?;
    terminal.line(&format!("Device   {}", clean::line(&identity.device)))?;
    terminal.line(&format!("Peer     {}", clean::line(&identity.peer)))?;
    terminal.line(&format!("Reach    {}", status::reach(identity.reach)))?;
    terminal.note("Whoever has the address can ask to become a contact. An invite brings somebody in at once.");
    Ok(Exit::Ok)
}

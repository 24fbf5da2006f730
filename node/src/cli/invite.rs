//! `starling invite`: an invite for one person; the list of them; withdrawing one.

use std::time::Duration;

use clap::{Args, Subcommand};
use starling_api::Versioned;
use starling_api::node::Reach;
use starling_api::people::{CreateInvite, Invite, InviteState};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::names::{self, Candidate};
use super::terminal::table;
use super::{clean, hints, qr, spans, times};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// For whom: the guest becomes a contact of this name.
    #[arg(long = "for", value_name = "NAME")]
    for_name: Option<String>,
    /// How long it can be used [default: 7d].
    #[arg(long, value_name = "TIME", value_parser = spans::parse)]
    expires: Option<Duration>,
    /// Print a QR code even where the output is no terminal.
    #[arg(long)]
    qr: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All invites made here.
    List,
    /// Withdraw an invite.
    Revoke {
        /// Its id, or the name it is for.
        id: String,
    },
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        None => create(context, arguments),
        Some(Action::List) => list(context),
        Some(Action::Revoke { id }) => revoke(context, id),
    }
}

fn create(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let expires_s = match arguments.expires.map(|span| u32::try_from(span.as_secs())) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return Err(Failure::bad_input("--expires is too long for an invite")),
    };
    let body = CreateInvite { for_name: arguments.for_name.clone(), expires_s };
    let invite = context.client()?.create_invite(&body)?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&invite))?;
        return Ok(Exit::Ok);
    }
    if arguments.qr || (terminal.rewrites && !terminal.quiet) {
        qr::print(terminal, &invite.link)?;
    }
    terminal.line(&clean::line(&invite.link))?;
    remarks(&invite).iter().for_each(|remark| terminal.note(remark));
    Ok(Exit::Ok)
}

/// What is to be known of an invite that was just made.
pub(crate) fn remarks(invite: &Invite) -> Vec<String> {
    // To the nearest second: the invite was made a moment ago.
    let valid = spans::rough(times::until(invite.expires) + Duration::from_secs(1));
    let becomes = match &invite.for_name {
        Some(name) => format!("whoever uses it first becomes '{}'", clean::line(name)),
        None => "whoever uses it first becomes your contact".to_owned(),
    };
    let mut remarks =
        vec![format!("For one person. Valid {valid}. Send it by a way you trust: {becomes}."), reach(invite.reach)];
    if invite.names_own_address == Some(true) {
        remarks.push("It names this node's own address, as fewer than two other nodes are known.".to_owned());
    }
    remarks
}

/// Said with every invite: two people whom nobody can reach cannot meet, and must hear it now.
fn reach(reach: Reach) -> String {
    let see = hints::DOCTOR;
    match reach {
        Reach::Direct => "Others can reach this node directly.".to_owned(),
        Reach::Punchable => "Others can reach this node through a hole in your router.".to_owned(),
        Reach::Relayed => "Others can reach this node through another node.".to_owned(),
        Reach::OutgoingOnly => {
            format!("Nobody outside your network can reach this node yet: it works on this Wi-Fi only. See: {see}")
        }
        Reach::Unknown => format!(
            "It is not known yet whether anybody outside your network can reach this node: be sure of this Wi-Fi only. \
             See: {see}"
        ),
    }
}

fn state(invite: &Invite) -> String {
    match invite.state {
        InviteState::Open => format!("open until {}", times::clock(invite.expires)),
        InviteState::Used => match invite.used_by {
            Some(contact) => format!("used by {contact}"),
            None => "used".to_owned(),
        },
        InviteState::Revoked => "withdrawn".to_owned(),
        InviteState::Expired => format!("expired {}", times::clock(invite.expires)),
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let invites = context.client()?.invites()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&invites))?;
        return Ok(Exit::Ok);
    }
    let label = |invite: &Invite| clean::line(invite.for_name.as_deref().unwrap_or("-"));
    let rows: Vec<Vec<String>> =
        invites.invites.iter().map(|invite| vec![invite.id.to_string(), label(invite), state(invite)]).collect();
    for line in table(&rows) {
        terminal.line(&line)?;
    }
    if rows.is_empty() {
        terminal.note(&format!("No invites yet. Make one: {}", hints::INVITE));
    }
    Ok(Exit::Ok)
}

fn revoke(context: &Context, typed: &str) -> Result<Exit, Failure> {
    let client = context.client()?;
    let invites = client.invites()?.invites;
    let candidates: Vec<Candidate> = invites
        .iter()
        .map(|invite| Candidate { id: invite.id.to_string(), name: invite.for_name.clone().unwrap_or_default() })
        .collect();
    let place = names::pick(names::INVITE, typed, &candidates)?;
    let Some(invite) = invites.get(place) else { return Err(Failure::unexpected("The list of invites changed.")) };
    client.revoke_invite(invite.id)?;
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "id": invite.id, "state": "revoked" })))?;
    } else {
        context.terminal.line(&format!("Withdrawn: {}. It lets nobody in any more.", invite.id))?;
    }
    Ok(Exit::Ok)
}

//! `starling peers`: the nodes that this one is connected to. They carry sealed messages; they are not contacts.

use clap::{Args, Subcommand};
use starling_api::Versioned;
use starling_api::node::{AddPeer, Peer};

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::table;
use super::{clean, hints};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Connected nodes (the default).
    List,
    /// Connect to a node whose address you know.
    Add {
        /// Multiaddr that ends in /p2p/PEER, as `starling id --json` prints it.
        address: String,
    },
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        None | Some(Action::List) => list(context),
        Some(Action::Add { address }) => add(context, address),
    }
}

fn row(peer: &Peer) -> Vec<String> {
    let direction = if peer.outbound { "out" } else { "in" };
    let role = match (peer.held, peer.in_shard) {
        (true, true) => "neighbour",
        (true, false) => "neighbour of another shard",
        (false, true) => "in your shard",
        (false, false) => "passing",
    };
    let ping = peer.ping_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    vec![clean::line(&peer.peer), direction.to_owned(), role.to_owned(), ping, clean::line(&peer.address)]
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let peers = context.client()?.peers()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&peers))?;
        return Ok(Exit::Ok);
    }
    for line in table(&peers.peers.iter().map(row).collect::<Vec<_>>()) {
        terminal.line(&line)?;
    }
    if peers.peers.is_empty() {
        terminal.note(&format!("No peers. An address you know: {}", hints::PEERS_ADD));
    }
    Ok(Exit::Ok)
}

fn add(context: &Context, address: &str) -> Result<Exit, Failure> {
    context.client()?.add_peer(&AddPeer { address: address.to_owned() })?;
    if context.terminal.json {
        context.terminal.object(&Versioned::new(serde_json::json!({ "address": address })))?;
    } else {
        context.terminal.line("Connecting...")?;
    }
    Ok(Exit::Ok)
}

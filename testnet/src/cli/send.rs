//! `send`: a text from one node to another, through their APIs, until its state is what was asked for.

use std::time::Duration;

use clap::Args;
use starling_testnet::run_folder::{NetState, NodeState};
use starling_testnet::talk::Party;

use super::{EXIT_NOT_FOUND, EXIT_OK, EXIT_TIMEOUT, Failure, Outcome};

#[derive(Args)]
pub(crate) struct SendArgs {
    /// Number or name of the node that sends
    from: String,
    /// Number or name of the node that receives; the sender must have it as a contact
    to: String,
    /// What to send
    text: String,
    /// Seconds to wait for the delivery
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

/// Sends and waits until it is delivered.
pub(crate) fn send(state: &NetState, args: &SendArgs, json: bool) -> Outcome {
    let from = node(state, &args.from)?;
    let to = node(state, &args.to)?;
    let party = Party::at(&from.name, &from.data)?;
    let Some(contact) = party.contact(&to.name)? else {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("{} has no contact '{}'", from.name, to.name)));
    };
    let sent = party.send(&contact, &args.text)?;
    let delivered = party.wait_delivered(&sent, Duration::from_secs(args.timeout))?;
    let ms = sent.since.elapsed().as_millis();
    if json {
        println!("{}", serde_json::json!({ "v": 1, "id": sent.id, "delivered": delivered, "ms": ms }));
    } else if delivered {
        println!("{} {} -> {} delivered after {ms} ms", sent.id, from.name, to.name);
    } else {
        println!("{} {} -> {} not delivered yet; see: starling-testnet logs", sent.id, from.name, to.name);
    }
    Ok(if delivered { EXIT_OK } else { EXIT_TIMEOUT })
}

fn node<'a>(state: &'a NetState, wanted: &str) -> Result<&'a NodeState, Failure> {
    let found = state.nodes.iter().find(|node| node.name == wanted || node.number.to_string() == wanted);
    found
        .ok_or_else(|| Failure::new(EXIT_NOT_FOUND, format!("there is no node '{wanted}' in testnet '{}'", state.name)))
}

//! `starling status`: what the node does right now, and what a person should know about it.

use std::time::Duration;

use clap::Args;
use starling_api::node::{NodeState, Protected, Reach, Status};

use super::clean;
use super::connect::Context;
use super::failure::{Exit, Failure};
use super::terminal::Paint;
use super::{hints, spans};
use crate::core::handle::tried_words;

/// Between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Exit with 9 when something is not as it should be.
    #[arg(long)]
    check: bool,
    /// Print it again whenever it changed, until Ctrl-C.
    #[arg(long, conflicts_with = "check")]
    watch: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let mut status = client.status()?;
    show(context, &status)?;
    if arguments.watch {
        loop {
            std::thread::sleep(WATCH_INTERVAL);
            let next = client.status()?;
            if lasting(&next) != lasting(&status) {
                show(context, &next)?;
            }
            status = next;
        }
    }
    Ok(if arguments.check && is_degraded(&status) { Exit::Degraded } else { Exit::Ok })
}

/// Without what changes all the time.
fn lasting(status: &Status) -> Status {
    let mut lasting = Status { uptime_s: 0, clock: None, traffic: None, ..status.clone() };
    if let Some(store) = &mut lasting.store {
        store.disk_free_bytes = 0;
    }
    lasting
}

fn is_degraded(status: &Status) -> bool {
    status.state != NodeState::Online || status.warnings.iter().any(|warning| warning.degraded)
}

fn show(context: &Context, status: &Status) -> Result<(), Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        return terminal.object(&starling_api::Versioned::new(status));
    }
    let paint = if status.state == NodeState::Online { Paint::Good } else { Paint::Attention };
    let state = terminal.paint(paint, &format!("{:<7}", status.state.as_str()));
    let up = spans::rough(Duration::from_secs(status.uptime_s));
    terminal.line(&format!(
        "{state}  {} · {} · up {up}",
        clean::line(&status.network),
        clean::line(&status.version)
    ))?;
    for line in lines(status) {
        terminal.line(&line)?;
    }
    for warning in &status.warnings {
        let message = clean::line(&warning.message);
        let hint = warning.hint.as_deref().map(|hint| format!("    {}", clean::line(hint))).unwrap_or_default();
        terminal.line(&terminal.paint(Paint::Attention, &format!("! {message}{hint}")))?;
    }
    Ok(())
}

/// The lines between the state and the warnings; what is not known has none.
fn lines(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    if status.state == NodeState::Locked {
        lines.push(format!("Vault    waits for its passphrase: {}", hints::UNLOCK));
    }
    if let Some(peers) = &status.peers {
        lines.push(format!("Peers    {} connected, {} in your shard", peers.connected, peers.in_shard));
    }
    if let (NodeState::Alone, Some(tried)) = (status.state, &status.tried) {
        let counts = [tried.remembered, tried.invited, tried.named];
        lines.push(format!("Tried    {}", tried_words(tried.mdns, counts)));
        lines.push(format!("Ways in  an invite from a friend: {}", hints::ADD));
        let by_itself = if tried.mdns { "found by itself" } else { "not looked for, as mDNS is off" };
        lines.push(format!("         someone on this network: {by_itself}"));
        lines.push(format!("         an address you know: {}", hints::PEERS_ADD));
    }
    if status.peers.is_some() {
        let blocked = if status.udp_blocked { " (UDP blocked)" } else { "" };
        lines.push(format!("Reach    {}{blocked}", reach(status.reach)));
        let sender =
            if status.sender_hidden { "hidden" } else { "not hidden: the node that publishes for you knows it" };
        lines.push(format!("Sender   {sender}"));
    }
    if let Some(outbox) = &status.outbox {
        lines.push(format!("Outbox   {} waiting, {} not yet delivered", outbox.queued, outbox.undelivered));
    }
    if let Some(store) = &status.store {
        let (envelopes, used) = (spans::thousands(store.envelopes), spans::bytes(store.bytes));
        lines.push(format!("Store    {envelopes} envelopes, {used} of {}", spans::bytes(store.limit_bytes)));
    }
    if let Some(clock) = &status.clock {
        lines.push(format!(
            "Clock    {} ({})",
            spans::offset(clock.offset_ms),
            super::counted(u64::from(clock.samples), "peer")
        ));
    }
    if let Some(requests @ 1..) = status.requests {
        lines.push(format!("Requests {} wait for your answer", requests));
    }
    if status.protected == Protected::Passphrase && status.state != NodeState::Locked {
        lines.push("Vault    protected by a passphrase".to_owned());
    }
    lines
}

/// Reach in a few words.
pub(crate) fn reach(reach: Reach) -> &'static str {
    match reach {
        Reach::Direct => "direct",
        Reach::Punchable => "through a hole in your router",
        Reach::Relayed => "through another node",
        Reach::OutgoingOnly => "outgoing only",
        Reach::Unknown => "not known yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Status {
        serde_json::from_value(serde_json::json!({
            "state": "online", "version": "0.1.0", "network": "main", "uptime_s": 11_520, "page": null,
            "peers": {"connected": 9, "in_shard": 9, "known": 41}, "reach": "direct", "sender_hidden": true,
            "outbox": {"queued": 0, "undelivered": 2},
            "store": {"envelopes": 1204, "bytes": 4_299_161, "limit_bytes": 6_442_450_944_u64, "disk_free_bytes": 81_234_567_168_u64},
            "clock": {"offset_ms": 104, "samples": 9}, "protected": "keyfile", "warnings": [],
            "api": "http://127.0.0.1:7827", "name": "Ana", "peer": null, "addresses": [], "tried": null, "requests": 0,
            "recovered": 0, "pid": 4121,
        }))
        .unwrap()
    }

    #[test]
    fn it_reads_as_specified() {
        assert_eq!(
            lines(&example()),
            [
                "Peers    9 connected, 9 in your shard",
                "Reach    direct",
                "Sender   hidden",
                "Outbox   0 waiting, 2 not yet delivered",
                "Store    1,204 envelopes, 4.1 MB of 6 GB",
                "Clock    +0.1 s (9 peers)",
            ]
        );
    }

    #[test]
    fn who_is_alone_reads_what_was_tried_and_the_three_ways_in_and_who_is_locked_how_to_unlock() {
        let tried = starling_api::node::Tried { mdns: true, remembered: 0, invited: 1, named: 2 };
        let status = Status { state: NodeState::Alone, tried: Some(tried), ..example() };
        assert_eq!(
            lines(&status)[1..5],
            [
                "Tried    this network (mDNS), 0 remembered peers, 1 invite, 2 nodes that you named",
                "Ways in  an invite from a friend: starling add <invite>",
                "         someone on this network: found by itself",
                "         an address you know: starling peers add <address>",
            ]
        );
        let locked =
            Status { state: NodeState::Locked, peers: None, outbox: None, store: None, clock: None, ..example() };
        assert_eq!(lines(&locked), ["Vault    waits for its passphrase: starling unlock"]);
    }

    #[test]
    fn blocked_udp_stands_beside_the_reach() {
        let status = Status { reach: Reach::OutgoingOnly, udp_blocked: true, ..example() };
        assert_eq!(lines(&status)[1], "Reach    outgoing only (UDP blocked)");
    }

    #[test]
    fn a_missing_passphrase_is_a_warning_and_not_a_fault() {
        let mut status = example();
        let warning = |degraded| starling_api::node::Warning {
            code: "w".to_owned(),
            message: "m".to_owned(),
            hint: None,
            degraded,
        };
        assert!(!is_degraded(&status));
        status.warnings.push(warning(false));
        assert!(!is_degraded(&status));
        status.warnings.push(warning(true));
        assert!(is_degraded(&status));
        assert!(is_degraded(&Status { state: NodeState::Alone, ..example() }));
    }
}

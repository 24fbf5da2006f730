//! `GET /v1/status`, and the warnings in it. SPEC: product 2.1 and 3.

use std::sync::Arc;

use axum::extract::State;
use starling_api::node::{Clock, Outbox, PeerCounts, Reach, Status, StoreUse, Tried, Warning};
use starling_messenger::view::StatusView;

use super::node::core_status;
use crate::core::handle::{NetworkView, Protection, Unavailable};
use crate::server::answer::{Answer, Fault, ok};
use crate::server::app::App;
use crate::server::convert;
use crate::server::fault::MEGABYTE;

/// Below this the node stops storing for strangers.
const LOW_DISK_BYTES: u64 = 256 * MEGABYTE;
/// Below this it accepts no message.
const FULL_DISK_BYTES: u64 = 32 * MEGABYTE;
/// Peers of which a word about the clock needs an opinion.
const CLOCK_SAMPLES_MIN: u32 = 3;
/// Contacts for whom one kind of warning is said; the list of contacts shows all.
const NAMED_MAX: usize = 8;
/// A clock that is off by more is told of.
pub(crate) const CLOCK_WARN_MS: u64 = 120_000;

pub(crate) async fn status(State(app): State<Arc<App>>) -> Answer {
    ok(present(&app).await?)
}

/// The state of the node, and all that a person should know of it.
pub(super) async fn present(app: &App) -> Result<Status, Fault> {
    let state = app.node.state();
    // A node that is locked, starting or stopping still says so, with `null` for what is in the vault.
    let core = match app.node.reader() {
        Ok(_) => Some(core_status(app).await?),
        Err(Unavailable::Locked | Unavailable::Starting | Unavailable::Stopping | Unavailable::Busy) => None,
    };
    let network = app.node.network();
    let free_bytes = app.node.free_bytes();
    let protected = convert::protected(app.node.protection());
    let clock = core.as_ref().and_then(clock);
    Ok(Status {
        state: convert::node_state(state),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network: app.network.name.clone(),
        uptime_s: app.started.elapsed().as_secs(),
        page: Some(app.url.clone()),
        peers: network.as_ref().map(|view| PeerCounts {
            connected: view.connected,
            in_shard: view.in_shard,
            known: view.known,
        }),
        reach: network.as_ref().map_or(Reach::Unknown, |view| convert::reach(view.reach)),
        // Every path of this version has one node, the exit, and it knows who gave it the message.
        sender_hidden: false,
        outbox: core.as_ref().map(|view| Outbox { queued: view.outbox_queued, undelivered: view.outbox_undelivered }),
        store: core.as_ref().map(|view| StoreUse {
            envelopes: view.envelopes,
            bytes: view.envelope_bytes,
            limit_bytes: app.storage_limit_bytes,
            disk_free_bytes: free_bytes,
        }),
        clock,
        protected,
        warnings: warnings(asks_for_passphrase(app), free_bytes, network.as_ref(), core.as_ref()),
        api: app.url.clone(),
        name: core.as_ref().map(|view| view.name.clone()),
        peer: network.as_ref().map(|view| view.peer.clone()),
        addresses: network.as_ref().map(|view| view.addresses.clone()).unwrap_or_default(),
        tried: network.as_ref().map(|view| Tried {
            mdns: view.tried.mdns,
            remembered: view.tried.remembered,
            invited: view.tried.invited,
            named: view.tried.named,
        }),
        requests: core.as_ref().map(|view| view.requests),
        recovered: core.as_ref().map(|view| view.recovered),
        pid: std::process::id(),
        traffic: app.node.traffic().map(|day| convert::traffic(day, &app.network)),
        udp_blocked: network.as_ref().is_some_and(|view| view.calls.udp_is_blocked()),
    })
}

/// The core counts from the peers' side, people from their own.
pub(crate) fn clock(view: &StatusView) -> Option<Clock> {
    view.clock_offset_ms.map(|(offset_ms, samples)| Clock { offset_ms: offset_ms.saturating_neg(), samples })
}

/// Whether the person has neither set a passphrase nor chosen to do without.
fn asks_for_passphrase(app: &App) -> bool {
    let accepted = app.node.preferences().is_ok_and(|preferences| preferences.no_passphrase_accepted);
    app.node.protection() == Protection::Keyfile && !accepted
}

fn warnings(
    unprotected: bool,
    free_bytes: u64,
    network: Option<&NetworkView>,
    core: Option<&StatusView>,
) -> Vec<Warning> {
    let passphrase = unprotected.then(|| Warning {
        code: "no_passphrase".to_owned(),
        message: "Not protected by a passphrase: anyone with this disk can read your messages.".to_owned(),
        hint: Some("starling passphrase".to_owned()),
        degraded: false,
    });
    let clock = core.and_then(clock_warning);
    let problem = network.and_then(|view| view.problem.as_ref()).map(|problem| Warning {
        code: "network".to_owned(),
        message: sentence(problem),
        hint: Some("starling peers".to_owned()),
        degraded: true,
    });
    let replaced = core.filter(|view| view.replaced).map(|_| Warning {
        code: "replaced".to_owned(),
        message:
            "This account was restored from a backup elsewhere: contacts write to that device, and no longer hear \
                  this one."
                .to_owned(),
        hint: Some("starling wipe".to_owned()),
        degraded: true,
    });
    let copied_back = network.filter(|view| view.copied_back).map(|_| Warning {
        code: "copied_back".to_owned(),
        message: "This data directory was older than what ran here last: messages since then are missing, and the \
                  node went on as a new device. To move or keep an account, make a backup."
            .to_owned(),
        hint: Some("starling backup create FILE".to_owned()),
        degraded: false,
    });
    let mut warnings: Vec<Warning> =
        [passphrase, clock, disk_warning(free_bytes), problem, replaced, copied_back].into_iter().flatten().collect();
    if let Some(view) = core {
        warnings.extend(told(&view.forked, forked));
        warnings.extend(told(&view.marks_lost, mark_lost));
    }
    warnings
}

/// A warning for each of the first contacts of a list.
fn told(names: &[String], warning: fn(&str) -> Warning) -> impl Iterator<Item = Warning> {
    names.iter().take(NAMED_MAX).map(move |name| warning(name))
}

/// Literal, as in the failure table.
pub(crate) fn forked(name: &str) -> Warning {
    Warning {
        code: "devices_forked".to_owned(),
        message: format!(
            "Two device lists carry {name}'s signature: their keys may be copied. Nothing is sent until you decide."
        ),
        hint: Some("Ask which device is theirs, then: starling contacts trust NAME".to_owned()),
        degraded: true,
    }
}

fn mark_lost(name: &str) -> Warning {
    Warning {
        code: "mark_lost".to_owned(),
        message: format!("{name} was verified, and has a new account since."),
        hint: Some("Compare again: starling verify NAME".to_owned()),
        degraded: false,
    }
}

pub(crate) fn disk_warning(free_bytes: u64) -> Option<Warning> {
    let (code, message) = match free_bytes {
        ..FULL_DISK_BYTES => {
            let free = free_bytes / MEGABYTE;
            ("disk_full", format!("Only {free} MB are free; no message is accepted."))
        }
        FULL_DISK_BYTES..LOW_DISK_BYTES => ("low_disk", "Low disk: relaying paused.".to_owned()),
        _ => return None,
    };
    Some(Warning { code: code.to_owned(), message, hint: Some("Free some space.".to_owned()), degraded: true })
}

/// Literal, as in the failure table.
pub(crate) fn clock_warning(view: &StatusView) -> Option<Warning> {
    let clock = clock(view)?;
    let off_ms = clock.offset_ms.unsigned_abs();
    if clock.samples < CLOCK_SAMPLES_MIN || off_ms <= CLOCK_WARN_MS {
        return None;
    }
    let side = if clock.offset_ms > 0 { "ahead of" } else { "behind" };
    let (agreeing, peers) = (view.clock_agreeing, clock.samples);
    let off = span(off_ms);
    let mut message = format!("This computer's clock is {off} {side} {agreeing} of {peers} peers");
    message.push_str(if view.clock_holds_sends { "; the network refuses its messages." } else { "." });
    let hint = Some("Set it, e.g. timedatectl set-ntp true".to_owned());
    Some(Warning { code: "clock".to_owned(), message, hint, degraded: true })
}

/// `3 h 12 min`, `4 min`, `2 d 5 h`
fn span(ms: u64) -> String {
    let minutes = ms / 60_000;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The first letter large, a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_of_when_three_peers_say_so() {
        // The core counts from the peers' side: where they are behind, this computer is ahead.
        let told = |offset_ms: i64, samples, holds| {
            let mut view = crate::server::samples::status();
            view.clock_offset_ms = Some((offset_ms.saturating_neg(), samples));
            (view.clock_agreeing, view.clock_holds_sends) = (samples, holds);
            clock_warning(&view).map(|warning| warning.message)
        };
        assert_eq!(
            told(11_520_000, 5, true).as_deref(),
            Some("This computer's clock is 3 h 12 min ahead of 5 of 5 peers; the network refuses its messages.")
        );
        assert_eq!(told(-180_000, 3, false).as_deref(), Some("This computer's clock is 3 min behind 3 of 3 peers."));
        assert_eq!(told(120_000, 9, false), None);
        assert_eq!(told(11_520_000, 2, false), None);
        assert!(told(i64::MIN, 3, true).is_some());
    }

    #[test]
    fn little_room_is_told_of_before_none() {
        let told = |megabytes| disk_warning(megabytes * MEGABYTE).map(|warning| (warning.code, warning.message));
        assert_eq!(told(256), None);
        assert_eq!(told(255).unwrap().1, "Low disk: relaying paused.");
        assert_eq!(told(32).unwrap().0, "low_disk");
        assert_eq!(
            told(31).unwrap(),
            ("disk_full".to_owned(), "Only 31 MB are free; no message is accepted.".to_owned())
        );
    }

    #[test]
    fn a_forked_device_list_is_told_as_specified_and_a_crowd_of_them_is_cut() {
        let names = vec!["Ana".to_owned(); 20];
        let warnings: Vec<Warning> = told(&names, forked).collect();
        assert_eq!(
            warnings[0].message,
            "Two device lists carry Ana's signature: their keys may be copied. Nothing is sent until you decide."
        );
        assert!(warnings[0].degraded && warnings.len() == NAMED_MAX);
        assert!(!mark_lost("Ana").degraded);
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in [(180_000, "3 min"), (11_520_000, "3 h 12 min"), (190_800_000, "2 d 5 h")] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn a_problem_becomes_a_sentence() {
        assert_eq!(sentence("cannot listen on /ip4/127.0.0.1"), "Cannot listen on /ip4/127.0.0.1.");
        assert_eq!(sentence("It is off."), "It is off.");
    }
}

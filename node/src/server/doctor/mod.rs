//! What the node finds when it looks at itself: plain facts in, findings out. SPEC: product 3.
//!
//! Each finding says what was measured and why it matters, in a phrase, and what to do next. What the node cannot know
//! it does not claim: nobody is asked to call back, so whether others reach it shows only when somebody does.

mod network;
mod people;
mod state;

use std::time::Duration;

use starling_api::doctor::{Check, CheckName, Doctor, Verdict};
use starling_messenger::turn::ContactNumber;
use starling_messenger::view::{ContactView, StatusView, UndeliveredView};
use starling_wire::invite::InvitePeer;
use starling_wire::network::Scope;

use crate::core::handle::{NetworkView, NodeState, PeerView, Protection};

/// All that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Wall clock, ms since 1970.
    pub(crate) now_unix_ms: u64,
    /// State of the node.
    pub(crate) state: NodeState,
    /// Since its start.
    pub(crate) uptime: Duration,
    /// What its network spans.
    pub(crate) scope: Scope,
    /// How the key to the vault is protected.
    pub(crate) protection: Protection,
    /// To do without a passphrase was a choice.
    pub(crate) no_passphrase_accepted: bool,
    /// Bytes free on the disk.
    pub(crate) free_bytes: u64,
    /// The network; absent while it is off.
    pub(crate) network: Option<NetworkView>,
    /// Connected peers.
    pub(crate) peers: Vec<PeerView>,
    /// What lies in the vault; absent while it is locked.
    pub(crate) core: Option<CoreFacts>,
    /// The contact who is asked about.
    pub(crate) about: Option<ContactNumber>,
}

/// What lies in the vault.
#[derive(Debug, Clone)]
pub(crate) struct CoreFacts {
    /// The core's state.
    pub(crate) status: StatusView,
    /// All contacts.
    pub(crate) contacts: Vec<ContactView>,
    /// Own messages that nobody confirmed, the oldest first.
    pub(crate) undelivered: Vec<UndeliveredView>,
    /// Invites that can still be used.
    pub(crate) open_invites: Vec<OpenInvite>,
}

/// An invite that can still be used.
#[derive(Debug, Clone)]
pub(crate) struct OpenInvite {
    /// For whom.
    pub(crate) label: Option<String>,
    /// The nodes that it names.
    pub(crate) peers: Vec<InvitePeer>,
}

/// Looks at everything.
pub(crate) fn examine(facts: &Facts) -> Doctor {
    let mut checks = state::checks(facts);
    if let Some(network) = &facts.network {
        checks.extend(network::checks(facts, network));
    }
    if let Some(core) = &facts.core {
        checks.extend(people::checks(facts, core));
    }
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    Doctor { verdict, checks }
}

fn check(name: CheckName, verdict: Verdict, message: impl Into<String>) -> Check {
    Check { name, verdict, message: message.into(), next: Vec::new() }
}

fn ok(name: CheckName, message: impl Into<String>) -> Check {
    check(name, Verdict::Ok, message)
}

/// With what to do next.
fn then<T: Into<String>>(check: Check, next: impl IntoIterator<Item = T>) -> Check {
    Check { next: next.into_iter().map(Into::into).collect(), ..check }
}

/// A sentence as a phrase: a small letter first, no full stop.
fn phrase(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}

#[cfg(test)]
mod tests;

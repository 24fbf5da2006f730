//! People: invites, contacts, and messages that are not there yet.

use std::collections::BTreeMap;
use std::time::Duration;

use starling_api::doctor::{Check, CheckName, Verdict};
use starling_api::{ContactId, MessageId};
use starling_messenger::turn::ContactNumber;
use starling_messenger::view::{
    ContactState, ContactView, DeliveryStage, DeliveryState, QueuedReason, UndeliveredView,
};
use starling_net::NodeKey;

use super::{CoreFacts, Facts, OpenInvite, check, ok, phrase, then};
use crate::core::handle::Reach;
use crate::server::fault::day;
use crate::server::routes::status::forked;
use crate::spans::{self, counted};

/// Findings of one kind that are told one by one; the rest is counted.
const TOLD_MAX: usize = 8;
/// A message that was written no longer ago than this is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(120);
/// Keys that have not come for so long may never come.
const KEYS_LATE: Duration = Duration::from_secs(86_400);

pub(super) fn checks(facts: &Facts, core: &CoreFacts) -> Vec<Check> {
    let mut checks = invites(facts, core);
    match facts.about.and_then(|number| core.contacts.iter().find(|contact| contact.number == number)) {
        Some(contact) => {
            checks.push(about(facts, core, contact));
            checks.extend(messages_to(facts, core, contact));
        }
        None => {
            checks.extend(contacts(facts, core));
            checks.extend(messages(facts, core));
        }
    }
    checks
}

fn since(facts: &Facts, at_unix_ms: u64) -> Duration {
    Duration::from_millis(facts.now_unix_ms.saturating_sub(at_unix_ms))
}

fn invites(facts: &Facts, core: &CoreFacts) -> Vec<Check> {
    let open = &core.open_invites;
    if open.is_empty() {
        return vec![ok(CheckName::Invites, "no open invites")];
    }
    let own = facts.network.as_ref().map(|network| network.peer.as_str()).unwrap_or_default();
    let reached = facts.network.as_ref().is_some_and(|network| network.reach == Reach::Direct);
    let lame: Vec<Check> = open.iter().filter_map(|invite| lame(invite, own, reached)).collect();
    if lame.is_empty() {
        return vec![ok(CheckName::Invites, counted(open.len() as u64, "open invite"))];
    }
    told(CheckName::Invites, lame)
}

/// An invite by which a guest elsewhere could hardly join.
fn lame(invite: &OpenInvite, own: &str, reached: bool) -> Option<Check> {
    let name = invite.label.as_deref().unwrap_or("one person");
    let is_own = |key: &[u8; 32]| NodeKey(*key).peer_id().to_string() == own;
    let message = if invite.peers.is_empty() {
        format!("the invite for {name} names no node, as none was known: it works on this Wi-Fi only")
    } else if !reached && invite.peers.iter().all(|peer| is_own(&peer.node_key)) {
        format!("the invite for {name} names this node alone, and it is not known whether others reach it")
    } else {
        return None;
    };
    Some(then(
        check(CheckName::Invites, Verdict::Warn, message),
        ["Make another one when peers are there: starling invite"],
    ))
}

/// The first findings; the others are counted.
fn told(name: CheckName, mut checks: Vec<Check>) -> Vec<Check> {
    let more = checks.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        let worst = checks.iter().skip(TOLD_MAX).map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        checks.truncate(TOLD_MAX);
        checks.push(check(name, worst, format!("and {more} more of the kind")));
    }
    checks
}

/// What is wrong with a contact.
fn trouble(facts: &Facts, core: &CoreFacts, contact: &ContactView) -> Option<Check> {
    let id = ContactId::new(contact.number.0);
    let name = &contact.name;
    let found =
        |verdict, message: String, next: String| Some(then(check(CheckName::Contacts, verdict, message), [next]));
    match contact.state {
        ContactState::Forked => found(
            Verdict::Fail,
            phrase_of_a_fork(name),
            format!("ask which device is theirs, then: starling contacts trust {id}"),
        ),
        ContactState::WaitingForKeys => {
            let check = check(CheckName::Contacts, Verdict::Warn, keys(core, name));
            Some(then(check, late_keys(facts, contact)))
        }
        _ if contact.mark_lost => found(
            Verdict::Warn,
            format!("{name} was verified, and has a new account since"),
            format!("compare again: starling verify {id}"),
        ),
        ContactState::Ready | ContactState::Blocked => None,
    }
}

fn phrase_of_a_fork(name: &str) -> String {
    phrase(&forked(name).message)
}

/// `waiting for Ana's keys: asked 6 nodes. Ana's node must come online once`
fn keys(core: &CoreFacts, name: &str) -> String {
    let asked = match core.status.neighbours {
        0 => "no peers yet".to_owned(),
        nodes => format!("asked {}", counted(u64::from(nodes), "node")),
    };
    format!("waiting for {name}'s keys: {asked}. {name}'s node must come online once")
}

/// Keys that do not come for long may be those of an invite that somebody else used.
fn late_keys(facts: &Facts, contact: &ContactView) -> Option<String> {
    let is_late = since(facts, contact.added_unix_ms) > KEYS_LATE;
    is_late.then(|| format!("or ask {} for a new invite", contact.name))
}

fn contacts(facts: &Facts, core: &CoreFacts) -> Vec<Check> {
    let mut checks: Vec<Check> = core.contacts.iter().filter_map(|contact| trouble(facts, core, contact)).collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    if core.status.requests > 0 {
        let wait = if core.status.requests == 1 { "waits" } else { "wait" };
        let message = format!("{} {wait} for your answer", counted(u64::from(core.status.requests), "request"));
        checks.push(then(check(CheckName::Contacts, Verdict::Warn, message), ["starling requests"]));
    }
    if checks.is_empty() {
        let message = match core.contacts.len() as u64 {
            0 => "no contacts yet".to_owned(),
            known => format!("the keys of {} are here", counted(known, "contact")),
        };
        return vec![ok(CheckName::Contacts, message)];
    }
    told(CheckName::Contacts, checks)
}

/// One contact, in full.
fn about(facts: &Facts, core: &CoreFacts, contact: &ContactView) -> Check {
    let (id, name) = (ContactId::new(contact.number.0), &contact.name);
    if contact.state == ContactState::Blocked {
        let message = format!("{name} is blocked: nothing of theirs is shown, and nothing goes to them");
        return then(check(CheckName::Contacts, Verdict::Warn, message), [format!("starling contacts unblock {id}")]);
    }
    trouble(facts, core, contact).unwrap_or_else(|| {
        let verified = if contact.verified_unix_ms.is_some() { "verified" } else { "not verified" };
        ok(CheckName::Contacts, format!("{name}'s keys are here, {}, {verified}", heard(facts, contact)))
    })
}

/// `Bob's device was last heard 2 days ago`
fn heard(facts: &Facts, contact: &ContactView) -> String {
    let name = &contact.name;
    match contact.last_heard_unix_ms {
        Some(at) => format!("{name}'s device was last heard {} ago", spans::rough(since(facts, at))),
        None => format!("{name}'s device was not heard yet"),
    }
}

/// Messages that are not delivered, contact by contact.
fn messages(facts: &Facts, core: &CoreFacts) -> Vec<Check> {
    let mut waiting: BTreeMap<ContactNumber, Vec<&UndeliveredView>> = BTreeMap::new();
    let mut on_their_way = 0;
    for message in core.undelivered.iter().filter(|message| message.state.stage != DeliveryStage::Expired) {
        if is_young(facts, message) {
            on_their_way += 1;
        } else {
            waiting.entry(message.contact).or_default().push(message);
        }
    }
    let checks: Vec<Check> = waiting
        .iter()
        .filter_map(|(number, messages)| {
            let contact = core.contacts.iter().find(|contact| contact.number == *number)?;
            let oldest = messages.first()?;
            let are = if messages.len() == 1 { "is" } else { "are" };
            let count = counted(messages.len() as u64, "message");
            let (cause, next) = cause(facts, core, contact, oldest);
            let message = format!("{count} to {} {are} not delivered: {cause}", contact.name);
            Some(then(check(CheckName::Messages, Verdict::Warn, message), next))
        })
        .collect();
    match (checks.is_empty(), on_their_way) {
        (true, 0) => vec![ok(CheckName::Messages, "no message waits")],
        (true, young) => vec![ok(CheckName::Messages, format!("{} on the way", counted(young, "message")))],
        _ => told(CheckName::Messages, checks),
    }
}

/// Nothing is wrong yet with a message that just left, or is being sealed.
fn is_young(facts: &Facts, message: &UndeliveredView) -> bool {
    let moving = matches!(message.state.reason, Some(QueuedReason::Stamping | QueuedReason::Pushing));
    let moves = message.state.stage != DeliveryStage::Queued || moving;
    moves && since(facts, message.created_unix_ms) <= ON_ITS_WAY
}

/// Every message to one contact that is not delivered.
fn messages_to(facts: &Facts, core: &CoreFacts, contact: &ContactView) -> Vec<Check> {
    let checks: Vec<Check> = core
        .undelivered
        .iter()
        .filter(|message| message.contact == contact.number)
        .map(|message| {
            let id = MessageId::new(message.number.0);
            let (cause, mut next) = cause(facts, core, contact, message);
            next.push(format!("starling trace {id}"));
            let written = spans::rough(since(facts, message.created_unix_ms));
            let message = format!("{id}, written {written} ago, is not delivered: {cause}");
            then(check(CheckName::Messages, Verdict::Warn, message), next)
        })
        .collect();
    if checks.is_empty() {
        return vec![ok(CheckName::Messages, format!("no message to {} waits", contact.name))];
    }
    told(CheckName::Messages, checks)
}

/// Why a message is not delivered, and what to do.
fn cause(facts: &Facts, core: &CoreFacts, contact: &ContactView, message: &UndeliveredView) -> (String, Vec<String>) {
    let DeliveryState { stage, reason, .. } = message.state;
    let (name, id) = (&contact.name, ContactId::new(contact.number.0));
    let next_try = message.next_try_unix_ms.map(|at| at.saturating_sub(facts.now_unix_ms));
    let again =
        next_try.map(|ms| format!("; next try in {}", spans::rough(Duration::from_millis(ms)))).unwrap_or_default();
    if contact.state == ContactState::Blocked {
        return (format!("{name} is blocked"), vec![format!("starling contacts unblock {id}")]);
    }
    match (stage, reason) {
        (DeliveryStage::Queued, Some(QueuedReason::NoPeers)) => {
            ("it waits on this computer: no peers yet".to_owned(), vec!["starling peers add <address>".to_owned()])
        }
        (DeliveryStage::Queued, Some(QueuedReason::WaitingForKeys)) => {
            (keys(core, name), late_keys(facts, contact).into_iter().collect())
        }
        (DeliveryStage::Queued, Some(QueuedReason::Clock)) => (
            "it waits on this computer: the clock is wrong".to_owned(),
            vec!["Set it, e.g. timedatectl set-ntp true".to_owned()],
        ),
        (DeliveryStage::Queued, Some(QueuedReason::DevicesForked)) => {
            (phrase_of_a_fork(name), vec![format!("starling contacts trust {id}")])
        }
        (DeliveryStage::Queued, Some(QueuedReason::Unanswered)) => {
            (format!("too many wait for {name}'s answer; it goes on when that comes"), Vec::new())
        }
        (DeliveryStage::Queued, Some(QueuedReason::Pushing)) => {
            ("neighbours are asked to take it".to_owned(), vec!["starling peers".to_owned()])
        }
        (DeliveryStage::Queued, _) => ("its stamp is being made".to_owned(), Vec::new()),
        (DeliveryStage::Sent, _) => {
            (format!("a neighbour took it, and it is not back from the network yet{again}"), Vec::new())
        }
        (DeliveryStage::Expired, _) => ("no node keeps it any more".to_owned(), vec!["Send it again".to_owned()]),
        _ => (held(facts, contact, &message.state), Vec::new()),
    }
}

/// `held by 7 nodes until 7 Dec, Bob's device was last heard 2 days ago; nothing to fix here`
fn held(facts: &Facts, contact: &ContactView, state: &DeliveryState) -> String {
    let until = state.until_unix_ms.map(|at| format!(" until {}", day(at))).unwrap_or_default();
    let nodes = counted(u64::from(state.held_by), "node");
    format!("held by {nodes}{until}, {}; nothing to fix here", heard(facts, contact))
}

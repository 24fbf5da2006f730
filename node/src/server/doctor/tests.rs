//! What is found, of facts that are made up here. Real ones are in the tests of the command line.

use starling_api::doctor::CheckName::{
    self, Clock, Contacts, Disk, Invites, Messages, Node, Outgoing, Peers, Ports, Reach,
};
use starling_messenger::turn::MessageNumber;
use starling_messenger::view::{ContactState, DeliveryStage, DeliveryState, QueuedReason};
use starling_net::Calls;
use starling_wire::invite::InvitePeerKind;

use super::*;
use crate::core::handle::{self, Tried};
use crate::server::samples;

const DAY_MS: u64 = 86_400_000;
const NOW: u64 = 1_795_442_531_208;

/// A node with which all is well.
fn well() -> Facts {
    let peer = |name: &str| PeerView {
        peer: name.to_owned(),
        address: "/ip4/192.0.2.1/udp/7828/quic-v1".to_owned(),
        outbound: true,
        held: true,
        in_shard: true,
        ping_ms: Some(20),
        answered_ms_ago: Some(9_000),
    };
    let network = NetworkView {
        peer: "12D3own".to_owned(),
        addresses: ["udp/7828/quic-v1", "tcp/7828"].map(|at| format!("/ip4/192.168.1.20/{at}")).to_vec(),
        connected: 2,
        in_shard: 2,
        known: 9,
        reach: handle::Reach::Direct,
        problem: None,
        listen_failed: None,
        mismatches: 0,
        calls: Calls { quic_answered: 2, tcp_answered: 1, outside_networks: 3, ..Calls::default() },
        has_external: false,
        tried: Tried { mdns: true, remembered: 0, invited: 0, named: 0 },
        copied_back: false,
    };
    Facts {
        now_unix_ms: NOW,
        state: NodeState::Online,
        uptime: Duration::from_secs(11_520),
        scope: Scope::Internet,
        protection: Protection::Passphrase,
        no_passphrase_accepted: false,
        free_bytes: 76 << 30,
        network: Some(network),
        peers: vec![peer("12D3a"), peer("12D3b")],
        core: Some(CoreFacts {
            status: samples::status(),
            contacts: vec![samples::contact(1, "Bob")],
            undelivered: Vec::new(),
            open_invites: Vec::new(),
        }),
        about: None,
    }
}

fn core(facts: &mut Facts) -> &mut CoreFacts {
    facts.core.as_mut().unwrap()
}

fn network(facts: &mut Facts) -> &mut NetworkView {
    facts.network.as_mut().unwrap()
}

fn found(facts: &Facts, name: CheckName) -> Vec<(Verdict, String)> {
    let of = examine(facts).checks.into_iter().filter(|check| check.name == name);
    of.map(|check| (check.verdict, check.message)).collect()
}

#[track_caller]
fn one(facts: &Facts, name: CheckName, verdict: Verdict, words: &str) {
    assert_eq!(found(facts, name), [(verdict, words.to_owned())]);
}

/// A message to Bob.
fn message(number: u64, stage: DeliveryStage, reason: Option<QueuedReason>, ago_ms: u64) -> UndeliveredView {
    let created_unix_ms = NOW - ago_ms;
    let state = DeliveryState { reason, held_by: 7, neighbours: 9, ..DeliveryState::new(stage, created_unix_ms) };
    UndeliveredView {
        number: MessageNumber(number),
        contact: ContactNumber(1),
        created_unix_ms,
        state,
        next_try_unix_ms: Some(NOW + 6_600_000),
    }
}

#[test]
fn a_node_with_which_all_is_well_has_twelve_findings_and_none_is_bad() {
    let doctor = examine(&well());
    assert_eq!((doctor.verdict, doctor.checks.len()), (Verdict::Ok, 12), "{doctor:#?}");
    assert!(doctor.checks.iter().all(|check| check.next.is_empty() && !check.message.ends_with('.')), "{doctor:#?}");
    let said: Vec<&str> = doctor.checks.iter().map(|check| check.message.as_str()).collect();
    for words in ["clock +0.1 s (9 peers)", "76 GB free", "2 peers answered in the last minute"] {
        assert!(said.contains(&words), "{said:#?}");
    }
    one(&well(), Outgoing, Verdict::Ok, "outgoing QUIC and TCP work");
    one(&well(), Ports, Verdict::Ok, "listens on UDP+TCP 7828");
    one(&well(), Reach, Verdict::Ok, "others reach it: called from 3 other networks");
}

#[test]
fn who_is_alone_hears_what_was_tried_and_three_ways_in() {
    let mut facts = well();
    (facts.state, facts.peers) = (NodeState::Alone, Vec::new());
    core(&mut facts).status.clock_offset_ms = None;
    one(
        &facts,
        Peers,
        Verdict::Fail,
        "not connected to anyone; tried: this network (mDNS), 0 remembered peers, 0 invites",
    );
    let doctor = examine(&facts);
    let ways = &doctor.checks.iter().find(|check| check.name == Peers).unwrap().next;
    assert_eq!(ways.len(), 3, "{ways:?}");
    for way in ["starling add <invite>", "found by itself", "starling peers add <address>"] {
        assert!(ways.iter().any(|said| said.contains(way)), "{ways:?}");
    }
    assert_eq!(doctor.verdict, Verdict::Fail);
    assert_eq!(found(&facts, Clock)[0].0, Verdict::Warn);
}

#[test]
fn peers_that_do_not_answer_or_do_not_carry_are_told_apart() {
    let mut facts = well();
    facts.peers.iter_mut().for_each(|peer| peer.answered_ms_ago = Some(61_000));
    let words = "none of 2 connected peers answered in the last minute: this computer may have lost its network";
    one(&facts, Peers, Verdict::Fail, words);
    facts.peers[0].answered_ms_ago = None;
    one(&facts, Peers, Verdict::Ok, "1 peer answered in the last minute");
    let mut facts = well();
    facts.peers.iter_mut().for_each(|peer| peer.held = false);
    one(&facts, Peers, Verdict::Fail, "2 peers, but none is a neighbour yet: messages cannot leave");
    let mut facts = well();
    network(&mut facts).mismatches = 1;
    assert_eq!(found(&facts, Peers).len(), 2, "that some others are there helps those two nothing");
    assert_eq!(examine(&facts).verdict, Verdict::Warn, "a stranger's node is no fault of this one");
    facts.peers.clear();
    assert_eq!(examine(&facts).verdict, Verdict::Fail);
}

#[test]
fn what_is_not_known_of_the_reach_is_not_claimed() {
    let mut facts = well();
    network(&mut facts).reach = handle::Reach::Unknown;
    network(&mut facts).calls.outside_networks = 0;
    let words = "not known whether others can reach this node: nobody from outside has called in 3 h 12 min, and no \
                 router is asked for a port";
    one(&facts, Reach, Verdict::Warn, words);
    let doctor = examine(&facts);
    let next = &doctor.checks.iter().find(|check| check.name == Reach).unwrap().next;
    assert!(next[0].starts_with("forward UDP+TCP 7828 to 192.168.1.20 in your router"), "{next:?}");
    network(&mut facts).addresses = vec!["/ip6/2001:db8::7/udp/7828/quic-v1".to_owned()];
    let doctor = examine(&facts);
    let next = &doctor.checks.iter().find(|check| check.name == Reach).unwrap().next;
    assert!(next[0].contains("public address 2001:db8::7"), "{next:?}");
    network(&mut facts).calls = Calls { tcp_answered: 2, quic_unanswered: 2, ..Calls::default() };
    one(&facts, Reach, Verdict::Warn, "nobody outside your network can reach this node yet: UDP is blocked here");
    let words = "UDP is blocked here: 2 peers answered over TCP, and none over QUIC; everything goes over TCP";
    one(&facts, Outgoing, Verdict::Warn, words);
    network(&mut facts).has_external = true;
    assert_eq!(found(&facts, Reach)[0].0, Verdict::Ok);
}

#[test]
fn a_port_that_is_taken_fails() {
    let mut facts = well();
    network(&mut facts).listen_failed = Some("/ip4/0.0.0.0/tcp/7828: address in use".to_owned());
    one(&facts, Ports, Verdict::Fail, "cannot listen on /ip4/0.0.0.0/tcp/7828: address in use");
    let mut facts = well();
    network(&mut facts).addresses.clear();
    one(&facts, Ports, Verdict::Fail, "this node listens nowhere: nobody can connect to it");
    network(&mut facts).addresses = vec!["/ip4/192.168.1.20/tcp/7829".to_owned()];
    one(&facts, Ports, Verdict::Warn, "listens on TCP 7829 alone, without UDP: no QUIC");
}

#[test]
fn clocks_and_disks_are_told_as_in_the_failure_table() {
    let mut facts = well();
    core(&mut facts).status.clock_offset_ms = Some((-11_520_000, 5));
    (core(&mut facts).status.clock_agreeing, core(&mut facts).status.clock_holds_sends) = (5, true);
    let words = "this computer's clock is 3 h 12 min ahead of 5 of 5 peers; the network refuses its messages";
    one(&facts, Clock, Verdict::Fail, words);
    core(&mut facts).status.clock_offset_ms = Some((180_000, 1));
    core(&mut facts).status.clock_holds_sends = false;
    one(&facts, Clock, Verdict::Warn, "this computer's clock and that of 1 peer differ by -3 min");
    facts.free_bytes = 200 << 20;
    one(&facts, Disk, Verdict::Warn, "low disk: relaying paused (200 MB free)");
    facts.free_bytes = 21 << 20;
    one(&facts, Disk, Verdict::Fail, "only 21 MB are free; no message is accepted");
}

#[test]
fn messages_are_told_contact_by_contact_with_their_cause() {
    let mut facts = well();
    core(&mut facts).contacts[0].last_heard_unix_ms = Some(NOW - 2 * DAY_MS);
    core(&mut facts).undelivered = vec![message(1, DeliveryStage::Held, None, 5_000)];
    one(&facts, Messages, Verdict::Ok, "1 message on the way");
    core(&mut facts).undelivered =
        vec![message(1, DeliveryStage::Held, None, DAY_MS), message(2, DeliveryStage::Held, None, DAY_MS)];
    let words = "2 messages to Bob are not delivered: held by 7 nodes, Bob's device was last heard 2 days ago; nothing \
                 to fix here";
    one(&facts, Messages, Verdict::Warn, words);
    for (reason, words) in [
        (QueuedReason::NoPeers, "it waits on this computer: no peers yet"),
        (QueuedReason::WaitingForKeys, "waiting for Bob's keys: asked 6 nodes. Bob's node must come online once"),
        (QueuedReason::Clock, "it waits on this computer: the clock is wrong"),
        (QueuedReason::Unanswered, "too many wait for Bob's answer; it goes on when that comes"),
    ] {
        core(&mut facts).undelivered = vec![message(1, DeliveryStage::Queued, Some(reason), 1_000)];
        one(&facts, Messages, Verdict::Warn, &format!("1 message to Bob is not delivered: {words}"));
    }
    facts.about = Some(ContactNumber(1));
    core(&mut facts).undelivered = vec![message(1, DeliveryStage::Sent, None, 5_000)];
    let words = "m_1, written 5 s ago, is not delivered: a neighbour took it, and it is not back from the network yet; \
                 next try in 1 h 50 min";
    one(&facts, Messages, Verdict::Warn, words);
}

#[test]
fn contacts_who_cannot_be_written_to_are_named() {
    let mut facts = well();
    core(&mut facts).contacts[0].state = ContactState::WaitingForKeys;
    core(&mut facts).contacts[0].added_unix_ms = NOW - 2 * DAY_MS;
    one(&facts, Contacts, Verdict::Warn, "waiting for Bob's keys: asked 6 nodes. Bob's node must come online once");
    let doctor = examine(&facts);
    let contacts = doctor.checks.iter().find(|check| check.name == Contacts).unwrap();
    assert_eq!(contacts.next, ["or ask Bob for a new invite"]);
    core(&mut facts).contacts[0].state = ContactState::Forked;
    let words = "two device lists carry Bob's signature: their keys may be copied. Nothing is sent until you decide";
    one(&facts, Contacts, Verdict::Fail, words);
    core(&mut facts).contacts = (1..=20).map(|number| samples::contact(number, "Ana")).collect();
    core(&mut facts).contacts.iter_mut().for_each(|contact| contact.mark_lost = true);
    let told = found(&facts, Contacts);
    assert_eq!((told.len(), told[8].1.as_str()), (9, "and 12 more of the kind"));
    facts.about = Some(ContactNumber(3));
    assert_eq!(found(&facts, Contacts).len(), 1);
    core(&mut facts).contacts[2].state = ContactState::Blocked;
    let words = "Ana is blocked: nothing of theirs is shown, and nothing goes to them";
    one(&facts, Contacts, Verdict::Warn, words);
}

#[test]
fn an_invite_by_which_nobody_could_join_is_found() {
    let mut facts = well();
    let invite = |peers| OpenInvite { label: Some("Bob".to_owned()), peers };
    core(&mut facts).open_invites = vec![invite(Vec::new())];
    let words = "the invite for Bob names no node, as none was known: it works on this Wi-Fi only";
    one(&facts, Invites, Verdict::Warn, words);
    let own = InvitePeer { kind: InvitePeerKind::Quic, port: 7828, ip: [192, 0, 2, 1].into(), node_key: [7; 32] };
    core(&mut facts).open_invites = vec![invite(vec![own])];
    network(&mut facts).peer = starling_net::NodeKey([7; 32]).peer_id().to_string();
    one(&facts, Invites, Verdict::Ok, "1 open invite");
    network(&mut facts).reach = handle::Reach::Unknown;
    let words = "the invite for Bob names this node alone, and it is not known whether others reach it";
    one(&facts, Invites, Verdict::Warn, words);
}

#[test]
fn a_locked_node_tells_what_can_be_seen_without_its_vault() {
    let mut facts = well();
    (facts.state, facts.network, facts.core, facts.peers) = (NodeState::Locked, None, None, Vec::new());
    let words = "the node is locked: it waits for its passphrase, and nothing comes or goes before";
    one(&facts, Node, Verdict::Fail, words);
    let doctor = examine(&facts);
    assert_eq!(doctor.checks.len(), 3);
    assert_eq!(doctor.checks[0].next[0], "starling unlock");
    assert!(doctor.checks[0].next[1].starts_with("Forgotten? Nobody can reset it. "));
}

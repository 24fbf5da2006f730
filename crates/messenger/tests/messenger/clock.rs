//! A computer whose clock jumps: nothing is lost by it, and what is really over is erased.

use starling_messenger::record::RecordKind;
use starling_messenger::turn::{Command, MessageNumber, Reply};
use starling_messenger::view::{DeliveryStage, InviteState};
use starling_relay::pool::{EnvelopePool, IdSource};
use starling_wire::envelope::{EnvelopeKey, Epoch, EpochRange};

use crate::net::{Net, slow_parameters};

const MINUTE_MS: u64 = 60_000;
const DAYS_60_MS: i64 = 60 * 24 * 3_600_000;

/// Envelopes in a node's pool that are there since before `end`.
fn old_envelopes(net: &Net, node: usize, end: Epoch) -> Vec<EnvelopeKey> {
    let window = EpochRange { first: Epoch(0), last: end };
    net.nodes[node].messenger.as_ref().unwrap().pool().snapshot(window).keys()
}

fn records(net: &Net, node: usize, kinds: &[RecordKind]) -> Vec<Vec<u8>> {
    let vault = net.nodes[node].vault.iter();
    vault.filter(|(key, _)| kinds.contains(&key.kind)).map(|(key, _)| key.parent.clone()).collect()
}

fn invite_states(net: &mut Net, node: usize) -> Vec<InviteState> {
    let Reply::Invites(invites) = net.command(node, Command::Invites) else { panic!() };
    invites.into_iter().map(|invite| invite.state).collect()
}

/// Five nodes; 0 and 1 are friends; 1 has an open invite, and mail from 0 that lies in the pools of the others; a
/// message of its own is under way to 0, who is not there.
fn a_node_that_leaves(net: &mut Net) -> (MessageNumber, MessageNumber) {
    net.link_all();
    net.run(5_000);
    let (bob, ana) = net.friends(0, 1);
    net.invite(1, Some("Carol"));
    let heard = net.send(0, bob, "heard");
    net.run(10_000);
    assert!(net.delivered(0, heard));
    net.isolate(0);
    let mine = net.send(1, ana, "mine");
    net.run(120_000);
    net.stop(1);
    for other in 2..5 {
        net.link(0, other);
    }
    net.run(3_000);
    let theirs = net.send(0, bob, "theirs");
    net.run(120_000);
    assert_eq!(net.stage(0, theirs), Some(DeliveryStage::Held));
    (mine, theirs)
}

#[test]
fn a_clock_60_days_ahead_at_the_start_erases_nothing() {
    let mut net = Net::with(6, slow_parameters());
    let (mine, theirs) = a_node_that_leaves(&mut net);
    let kinds = [RecordKind::Seen, RecordKind::Session, RecordKind::FirstContact, RecordKind::Outbox];
    let now = Epoch::from_unix_ms(net.now().unix_ms);
    net.nodes[1].skew_ms = DAYS_60_MS;
    let kept = records(&net, 1, &kinds);
    net.restart(1, true);
    let envelopes = old_envelopes(&net, 1, now);
    assert!(!envelopes.is_empty());
    // Alone for a while, then with neighbours who know better, for much longer than that.
    net.run(50 * MINUTE_MS);
    for other in 2..5 {
        net.link(1, other);
    }
    net.run(5 * 60 * MINUTE_MS);
    assert_eq!(old_envelopes(&net, 1, now), envelopes);
    assert!(kept.iter().all(|record| records(&net, 1, &kinds).contains(record)));
    assert_eq!(invite_states(&mut net, 1)[0], InviteState::Open);
    // The clock is put right.
    net.nodes[1].skew_ms = 0;
    net.run(20 * MINUTE_MS);
    assert_eq!(net.received(1), ["heard", "theirs"]);
    assert!(net.delivered(0, theirs) && net.delivered(1, mine));
    let Reply::Invites(invites) = net.command(1, Command::Invites) else { panic!() };
    let invite = starling_wire::invite::Invite::parse(&invites[0].link).unwrap();
    net.add(5, invite).unwrap();
    net.link(5, 2);
    net.run(20 * MINUTE_MS);
    assert!(matches!(invite_states(&mut net, 1)[0], InviteState::Used(_)), "the keys of its bundle are there");
    net.check();
}

#[test]
fn after_60_days_away_what_is_over_is_erased_once_the_neighbours_agree_on_the_time() {
    let mut net = Net::with(5, slow_parameters());
    a_node_that_leaves(&mut net);
    let before = Epoch::from_unix_ms(net.now().unix_ms);
    net.sleep_hours(61 * 24);
    net.restart(1, true);
    net.run(30 * MINUTE_MS);
    assert!(!old_envelopes(&net, 1, before).is_empty(), "nobody has said yet that so much time has passed");
    let seen = records(&net, 1, &[RecordKind::Seen]);
    assert!(!seen.is_empty());
    for other in 2..5 {
        net.link(1, other);
    }
    net.run(2 * MINUTE_MS);
    assert!(old_envelopes(&net, 1, before).is_empty());
    assert!(!records(&net, 1, &[RecordKind::Seen]).iter().any(|record| seen.contains(record)));
    assert_eq!(invite_states(&mut net, 1)[0], InviteState::Expired);
}

#[test]
fn after_60_days_away_and_an_hour_alone_what_is_over_is_erased_too() {
    let mut net = Net::with(5, slow_parameters());
    a_node_that_leaves(&mut net);
    let before = Epoch::from_unix_ms(net.now().unix_ms);
    net.sleep_hours(61 * 24);
    net.restart(1, true);
    net.run(50 * MINUTE_MS);
    assert!(!old_envelopes(&net, 1, before).is_empty());
    net.run(20 * MINUTE_MS);
    assert!(old_envelopes(&net, 1, before).is_empty());
}

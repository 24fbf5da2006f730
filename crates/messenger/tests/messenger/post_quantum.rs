//! The post-quantum ratchet under whole messengers: it goes on through loss and restarts, and where nothing but full
//! envelopes is written.

use serde::Deserialize;
use starling_e2ee::session::Session;
use starling_messenger::record::{RecordKind, decode_record};
use starling_messenger::turn::{Command, ContactNumber, Input, Reply, RequestId, RequestNumber};

use crate::net::{Crash, Net};

/// Bytes of the longest text that one envelope takes.
const FULL_TEXT_BYTES: usize = 1_838;

#[derive(Deserialize)]
#[expect(dead_code, reason = "read to get to the session behind it")]
enum Owner {
    Contact(ContactNumber),
    Request(RequestNumber),
}

#[derive(Deserialize)]
struct StoredSession {
    #[expect(dead_code, reason = "read to get to the session behind it")]
    owner: Owner,
    session: Session,
}

/// The epoch that a node's disk has of its only session.
fn epoch(net: &Net, node: usize) -> u32 {
    let mut sessions = net.nodes[node].vault.iter().filter(|(key, _)| key.kind == RecordKind::Session);
    let (Some((_, record)), None) = (sessions.next(), sessions.next()) else { panic!("not one session") };
    decode_record::<StoredSession>(record).unwrap().session.post_quantum_epoch()
}

fn assert_nothing_waits(net: &mut Net, node: usize) {
    let Reply::Status(status) = net.command(node, Command::Status) else { panic!() };
    assert_eq!((status.outbox_queued, status.outbox_undelivered), (0, 0));
    assert_eq!(net.nodes[node].messenger.as_ref().unwrap().memory_use().outbox, 0, "no envelope is left over");
}

#[test]
fn a_long_conversation_passes_epochs_through_loss_and_crashes() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    for round in 0..160_usize {
        // What is published in these rounds reaches nobody until the neighbours reconcile.
        net.publish_lost = round % 8 >= 6;
        let node = usize::from(round % 40 >= 20);
        if round % 20 == 10 {
            let crash = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs][round / 20 % 3];
            net.crash_at(node, 1 + round as u32 % 3, crash);
        }
        for (node, contact) in [(0, bob), (1, ana)] {
            if !net.is_down(node) {
                let command = Command::Send {
                    contact,
                    text: format!("{round}"),
                    file: None,
                    reply_to: None,
                    client_id: None,
                    expires_s: None,
                };
                net.step(node, Input::Command { id: RequestId((1 << 40) + round as u64), command });
            }
        }
        net.run(120);
        if net.is_down(node) {
            net.restart(node, true);
            (0..4).filter(|&other| other != node).for_each(|other| net.link(node, other));
        }
    }
    net.publish_lost = false;
    (0..2).for_each(|node| net.disarm(node));
    net.run(40_000);
    net.sleep_hours(3);
    net.run(30_000);
    assert!(net.received(0).len() > 140 && net.received(1).len() > 140);
    let (first, second) = (epoch(&net, 0), epoch(&net, 1));
    assert!(first >= 3 && second >= 3 && first.abs_diff(second) <= 1, "{first} and {second}");
    (0..2).for_each(|node| assert_nothing_waits(&mut net, node));
    net.check();
}

#[test]
fn a_session_in_which_one_side_writes_only_full_envelopes_and_the_other_nothing_heals() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    let before = net.nodes[0].pushes.len();
    for count in 0..300 {
        let text = format!("{count:>FULL_TEXT_BYTES$}");
        net.send(0, bob, &text);
        net.run(100);
    }
    net.run(60_000);
    assert_eq!(net.received(1).len(), 300);
    let (writer, reader) = (epoch(&net, 0), epoch(&net, 1));
    assert!(writer >= 3 && reader >= 3, "{writer} and {reader}");
    let pushes = net.nodes[0].pushes.len() - before;
    assert!(pushes <= 300 + 300 / 50, "{pushes}: at most one envelope in fifty is for the ratchet alone");
    (0..2).for_each(|node| assert_nothing_waits(&mut net, node));
    net.check();
}

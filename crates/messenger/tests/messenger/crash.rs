//! A crash at every point between turn, commit and release loses nothing and shows nothing twice.

use starling_messenger::turn::{Command, Reply};

use crate::net::{Crash, Net};

const POINTS: [Crash; 3] = [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs];

/// Two friends and two others; the one told to crash comes back at once and is linked anew.
fn talk(victim: usize, nth: u32, crash: Crash) {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    net.crash_at(victim, nth, crash);
    let mut sent: Vec<(usize, [u8; 16], String)> = Vec::new();
    for round in 0..6u8 {
        for (node, contact) in [(0, bob), (1, ana)] {
            let (id, text) = ([round * 2 + node as u8; 16], format!("{node}:{round}"));
            sent.push((node, id, text.clone()));
            let command =
                Command::Send { contact, text, file: None, reply_to: None, client_id: Some(id), expires_s: None };
            send_until_answered(&mut net, node, command);
        }
        net.run(300);
        revive(&mut net, victim);
    }
    net.run(5_000);
    revive(&mut net, victim);
    net.run(5_000);
    for node in [0, 1] {
        let mut got = net.received(1 - node);
        got.sort();
        let want: Vec<String> = sent.iter().filter(|(by, ..)| *by == node).map(|(.., text)| text.clone()).collect();
        assert_eq!(got, want, "victim {victim}, turn {nth}, {crash:?}");
        let Reply::Status(status) = net.command(node, Command::Status) else { panic!() };
        assert_eq!(status.outbox_undelivered, 0, "victim {victim}, turn {nth}, {crash:?}");
    }
    net.check();
}

/// A caller whose answer was lost asks again under the same id.
fn send_until_answered(net: &mut Net, node: usize, command: Command) {
    for _ in 0..3 {
        revive(net, node);
        let id = starling_messenger::turn::RequestId(1_000_000);
        net.step(node, starling_messenger::turn::Input::Command { id, command: command.clone() });
        if net.nodes[node].replies.remove(&id).is_some() {
            return;
        }
    }
    panic!("never answered");
}

fn revive(net: &mut Net, node: usize) {
    if net.is_down(node) {
        net.restart(node, true);
        for other in (0..net.nodes.len()).filter(|&other| other != node) {
            net.link(node, other);
        }
    }
}

#[test]
fn the_sender_crashes_anywhere() {
    for nth in 1..=20 {
        for crash in POINTS {
            talk(0, nth, crash);
        }
    }
}

#[test]
fn the_recipient_crashes_anywhere() {
    for nth in (1..=20).step_by(2) {
        for crash in POINTS {
            talk(1, nth, crash);
        }
    }
}

#[test]
fn a_crash_anywhere_in_the_first_contact_still_makes_two_contacts() {
    for victim in [0, 1] {
        for nth in 1..=10 {
            for crash in POINTS {
                first_contact(victim, nth, crash);
            }
        }
    }
}

fn first_contact(victim: usize, nth: u32, crash: Crash) {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let invite = net.invite(0, Some("Bob"));
    let ana = net.add(1, invite).unwrap();
    let message = net.send(1, ana, "hi");
    net.crash_at(victim, nth, crash);
    net.run(2_000);
    revive(&mut net, victim);
    net.disarm(victim);
    net.run(6_000);
    assert_eq!(net.received(0), ["hi"], "victim {victim}, turn {nth}, {crash:?}");
    assert!(net.delivered(1, message));
    let bob = net.contact(0);
    let answer = net.send(0, bob, "ho");
    net.run(3_000);
    assert!(net.delivered(0, answer));
    net.check();
}

#[test]
fn a_power_cut_that_takes_the_pool_takes_no_message() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.stop(1);
    let message = net.send(0, bob, "kept by others");
    net.run(3_000);
    net.stop(0);
    net.restart(0, false);
    net.restart(1, false);
    net.link_all();
    net.run(10_000);
    assert_eq!(net.received(1), ["kept by others"]);
    assert!(net.delivered(0, message));
}

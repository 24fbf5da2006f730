//! Invites, requests, blocking.

use starling_messenger::turn::{Command, CommandError, ContactNumber, Reply, RequestNumber};
use starling_messenger::view::{Event, InviteState, RequestView};

use starling_wire::network::NetworkParameters;

use crate::net::{Net, parameters, slow_parameters};

fn requests(net: &mut Net, node: usize) -> Vec<RequestView> {
    match net.command(node, Command::Requests) {
        Reply::Requests(views) => views,
        other => panic!("{other:?}"),
    }
}

fn strangers(parameters: NetworkParameters) -> (Net, ContactNumber) {
    let mut net = Net::with(4, parameters);
    net.link_all();
    net.run(1_000);
    let address = net.address(0);
    let ana = net.add(1, address).unwrap();
    (net, ana)
}

#[test]
fn somebody_without_an_invite_waits_in_the_box_until_accepted() {
    let (mut net, ana) = strangers(parameters());
    let message = net.send(1, ana, "may I?");
    net.run(5_000);
    let waiting = requests(&mut net, 0);
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].name.as_str(), waiting[0].text.as_deref()), ("node1", Some("may I?")));
    assert!(net.received(0).is_empty(), "nothing is shown before");
    assert!(!net.delivered(1, message), "nothing is confirmed before");
    net.stop(0);
    net.restart(0, true);
    for other in 1..4 {
        net.link(0, other);
    }
    let accept = Command::AnswerRequest { request: waiting[0].number, accept: true, name: Some("Bob".into()) };
    let Reply::Contact(bob) = net.command(0, accept) else { panic!() };
    assert_eq!(bob.name, "Bob");
    net.run(5_000);
    assert_eq!(net.received(0), ["may I?"]);
    assert!(net.delivered(1, message));
    assert!(requests(&mut net, 0).is_empty());
    let answer = net.send(0, bob.number, "yes");
    net.run(3_000);
    assert!(net.delivered(0, answer));
}

#[test]
fn a_refused_request_is_gone_and_its_copy_makes_no_new_one() {
    let (mut net, ana) = strangers(slow_parameters());
    net.send(1, ana, "may I?");
    net.run(5_000);
    let number = requests(&mut net, 0)[0].number;
    assert_eq!(net.command(0, Command::AnswerRequest { request: number, accept: false, name: None }), Reply::Done);
    // The greeting is sealed again: the same first contact under another number.
    net.sleep_hours(3);
    assert!(requests(&mut net, 0).is_empty());
    let gone = Command::AnswerRequest { request: RequestNumber(77), accept: true, name: None };
    assert_eq!(net.command(0, gone), Reply::Refused(CommandError::NoSuchRequest));
}

#[test]
fn a_spent_or_withdrawn_invite_brings_nobody_in() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let invite = net.invite(0, Some("first"));
    net.add(1, invite.clone()).unwrap();
    net.run(3_000);
    net.add(2, invite).unwrap();
    let withdrawn = net.invite(0, Some("withdrawn"));
    let Reply::Invites(views) = net.command(0, Command::Invites) else { panic!() };
    assert!(matches!(views[0].state, InviteState::Used(_)));
    assert_eq!(net.command(0, Command::RevokeInvite(views[1].number)), Reply::Done);
    net.add(3, withdrawn).unwrap();
    net.run(10_000);
    let Reply::Contacts(contacts) = net.command(0, Command::Contacts) else { panic!() };
    assert_eq!(contacts.iter().map(|contact| contact.name.as_str()).collect::<Vec<_>>(), ["first"]);
    assert!(requests(&mut net, 0).is_empty());
}

#[test]
fn an_invite_tells_what_is_wrong_with_it() {
    let mut net = Net::new(2);
    let own = net.invite(0, None);
    assert_eq!(net.add(0, own.clone()), Err(CommandError::OwnInvite));
    let ana = net.add(1, own.clone()).unwrap();
    assert!(matches!(net.add(1, own.clone()), Err(CommandError::InviteUsed { .. })));
    let second = net.invite(0, None);
    assert_eq!(net.add(1, second), Err(CommandError::AlreadyContact(ana)));
    let mut foreign = own.clone();
    foreign.network = [9; 5];
    assert_eq!(net.add(1, foreign), Err(CommandError::WrongNetwork));
    net.command(1, Command::RemoveContact(ana));
    let mut old = net.invite(0, None);
    old.expiry = starling_wire::envelope::Epoch(1);
    assert!(matches!(net.add(1, old), Err(CommandError::InviteExpired { .. })));
}

#[test]
fn a_blocked_contact_is_not_heard_until_unblocked() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    net.command(0, Command::SetBlocked { contact: bob, blocked: true });
    let message = net.send(1, ana, "hello?");
    net.run(5_000);
    assert!(net.received(0).is_empty() && !net.delivered(1, message));
    let refused = net.command(
        0,
        Command::Send { contact: bob, text: "x".into(), file: None, reply_to: None, client_id: None, expires_s: None },
    );
    assert_eq!(refused, Reply::Refused(CommandError::Blocked));
    net.command(0, Command::SetBlocked { contact: bob, blocked: false });
    net.run(5_000);
    assert_eq!(net.received(0), ["hello?"]);
    assert!(net.delivered(1, message));
}

#[test]
fn a_removed_contact_leaves_nothing_behind_but_history() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.send(0, bob, "bye");
    net.run(2_000);
    net.command(0, Command::RemoveContact(bob));
    use starling_messenger::record::RecordKind;
    let left = |kind| net.nodes[0].vault.keys().filter(|key| key.kind == kind).count();
    for kind in [RecordKind::Contact, RecordKind::Session, RecordKind::Skipped, RecordKind::Acks, RecordKind::Outbox] {
        assert_eq!(left(kind), 0, "{kind:?}");
    }
    assert_eq!(left(RecordKind::History), 1);
    assert!(net.nodes[0].events.contains(&Event::ContactRemoved(bob)));
}

#[test]
fn using_the_invite_of_somebody_in_the_box_accepts_them() {
    let (mut net, ana) = strangers(parameters());
    let message = net.send(1, ana, "may I?");
    net.run(5_000);
    assert_eq!(requests(&mut net, 0).len(), 1);
    let invite = net.invite(1, Some("Ana"));
    let bob = net.add(0, invite).unwrap();
    net.run(5_000);
    assert!(requests(&mut net, 0).is_empty());
    assert_eq!(net.received(0), ["may I?"]);
    assert!(net.delivered(1, message));
    let answer = net.send(0, bob, "yes");
    net.run(3_000);
    assert!(net.delivered(0, answer));
    assert_eq!(net.contact(1), ana);
}

#[test]
fn a_nameless_contact_takes_the_name_it_gives_itself() {
    let mut net = Net::new(3);
    net.add_node("");
    net.link_all();
    net.run(1_000);
    // Neither label nor name: the guest's hello tells, and the host's with the first confirmation.
    let invite = net.invite(3, None);
    net.add(1, invite).unwrap();
    net.run(2_000);
    let name = |net: &mut Net, node| match net.command(node, Command::Contacts) {
        Reply::Contacts(views) => views[0].name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(&mut net, 3), "node1");
    assert_eq!(name(&mut net, 1), "Unnamed");
    net.command(3, Command::SetName { name: "Host".into() });
    let invite = net.invite(3, None);
    assert_eq!(invite.name, "Host");
}

#[test]
fn somebody_removed_and_added_again_is_understood_each_time() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (mut bob, ana) = net.friends(0, 1);
    // Whether an old session outranks the new one was a matter of chance: so several rounds.
    for round in 0..6 {
        let message = net.send(1, ana, "before");
        net.run(2_000);
        assert!(net.delivered(1, message), "round {round}");
        net.command(0, Command::RemoveContact(bob));
        if round == 3 {
            net.stop(0);
            net.restart(0, true);
            net.link(0, 1);
            net.link(0, 2);
        }
        let address = net.address(1);
        bob = net.add(0, address).unwrap();
        net.run(3_000);
        let hello = net.send(0, bob, "again");
        net.run(3_000);
        assert!(net.delivered(0, hello), "round {round}");
    }
    net.check();
}

#[test]
fn a_stranger_who_begins_again_and_again_is_one_request_with_two_sessions() {
    let (mut net, mut ana) = strangers(parameters());
    for round in 0..5 {
        net.send(1, ana, "may I?");
        net.run(3_000);
        net.command(1, Command::RemoveContact(ana));
        let address = net.address(0);
        ana = net.add(1, address).unwrap();
        assert_eq!(requests(&mut net, 0).len(), 1, "round {round}");
    }
    net.run(3_000);
    let asked = net.nodes[0].events.iter().filter(|event| matches!(event, Event::ContactRequested(_)));
    assert_eq!(asked.count(), 1);
    use starling_messenger::record::RecordKind;
    assert_eq!(net.nodes[0].vault.keys().filter(|key| key.kind == RecordKind::Session).count(), 2);
}

#[test]
fn what_a_blocked_contact_writes_first_is_heard_once_they_are_unblocked() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (address, own) = (net.address(1), net.address(0));
    let bob = net.add(0, address).unwrap();
    net.command(0, Command::SetBlocked { contact: bob, blocked: true });
    let ana = net.add(1, own).unwrap();
    let message = net.send(1, ana, "hello?");
    net.run(5_000);
    assert!(net.received(0).is_empty() && !net.delivered(1, message));
    assert!(requests(&mut net, 0).is_empty());
    net.command(0, Command::SetBlocked { contact: bob, blocked: false });
    net.run(5_000);
    assert_eq!(net.received(0), ["hello?"]);
    assert!(net.delivered(1, message));
}

#[test]
fn what_was_lost_before_a_block_is_sealed_again_on_the_session_that_its_end_brings() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (address, own) = (net.address(1), net.address(0));
    // Ana's first contact comes back from the network, and then no node has it any more.
    net.isolate(1);
    let bob = net.add(0, address).unwrap();
    net.run(5_000);
    let lost = net.send(0, bob, "are you there?");
    net.run(3_000);
    net.stop(0);
    net.stop(2);
    net.restart(0, false);
    net.restart(2, false);
    net.command(0, Command::SetBlocked { contact: bob, blocked: true });
    net.link_all();
    let ana = net.add(1, own).unwrap();
    let message = net.send(1, ana, "hello?");
    net.run(5_000);
    assert!(net.received(0).is_empty() && !net.delivered(1, message));
    net.command(0, Command::SetBlocked { contact: bob, blocked: false });
    net.run(20_000);
    assert_eq!(net.received(0), ["hello?"]);
    assert!(net.delivered(1, message));
    assert_eq!(net.received(1), ["are you there?"], "not only after 13 days");
    assert!(net.delivered(0, lost));
}

#[test]
fn whoever_claims_another_contact_s_address_does_not_shut_them_out() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let real = net.address(1);
    let mut liar = net.address(2);
    liar.address = real.address;
    let bob = net.add(0, real).unwrap();
    net.add(0, liar).unwrap();
    let message = net.send(0, bob, "for you");
    net.run(5_000);
    assert_eq!(net.received(1).len() + requests(&mut net, 1).len(), 1, "it came, to a box or a contact");
    assert!(!net.delivered(0, message), "nobody accepted yet");
    let number = requests(&mut net, 1)[0].number;
    net.command(1, Command::AnswerRequest { request: number, accept: true, name: None });
    net.run(5_000);
    assert!(net.delivered(0, message));
}

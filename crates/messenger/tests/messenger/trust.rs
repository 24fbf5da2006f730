//! Verified marks, forked device lists, contacts that start anew.

use starling_e2ee::verification::safety_number;
use starling_messenger::turn::{Command, CommandError, ContactNumber, ListChoice, Reply};
use starling_messenger::view::{ContactState, ContactView, DeliveryStage, Event, QueuedReason, StatusView};
use starling_wire::invite::Invite;

use crate::net::Net;

/// The same account on another device, as somebody has it who copied the account's keys: the device's two keys differ.
fn keys(device: u8) -> Vec<u8> {
    [[0xa1; 32], [device; 32], [device; 32]].concat()
}

fn view(net: &mut Net, node: usize, contact: ContactNumber) -> ContactView {
    match net.command(node, Command::Contacts) {
        Reply::Contacts(views) => views.into_iter().find(|view| view.number == contact).expect("still a contact"),
        other => panic!("{other:?}"),
    }
}

fn status(net: &mut Net, node: usize) -> StatusView {
    match net.command(node, Command::Status) {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn account(net: &mut Net, node: usize) -> [u8; 32] {
    net.address(node).account
}

/// On and off of the warning, in the order in which it came.
fn fork_warnings(net: &Net, node: usize) -> Vec<bool> {
    let warning = |event: &Event| match event {
        Event::Warning { code, active } if code == "devices_forked" => Some(*active),
        _ => None,
    };
    net.nodes[node].events.iter().filter_map(warning).collect()
}

fn reasons(net: &Net, node: usize) -> Vec<QueuedReason> {
    let reason = |event: &Event| match event {
        Event::MessageState { state, .. } => state.reason,
        _ => None,
    };
    net.nodes[node].events.iter().filter_map(reason).collect()
}

fn mark(net: &mut Net, node: usize, contact: ContactNumber, verified: bool) -> ContactView {
    match net.command(node, Command::SetVerified { contact, verified }) {
        Reply::Contact(view) => view,
        other => panic!("{other:?}"),
    }
}

fn trust(net: &mut Net, node: usize, contact: ContactNumber, choice: ListChoice) -> ContactView {
    match net.command(node, Command::TrustList { contact, choice }) {
        Reply::Contact(view) => view,
        other => panic!("{other:?}"),
    }
}

fn replace(net: &mut Net, node: usize, invite: Invite, contact: ContactNumber) -> Reply {
    let invite = Box::new(invite);
    net.command(node, Command::AddContact { invite, name: None, replace: Some(contact) })
}

/// Bob is node 0, Ana node 3, and they are contacts; nodes 1 and 2 carry. A node of the copied account comes later.
fn bob_and_ana(ana: &[u8]) -> (Net, ContactNumber, ContactNumber) {
    let mut net = Net::new(3);
    net.add_scripted("Ana", ana);
    net.link_all();
    net.run(1_000);
    let (ana, bob) = net.friends(0, 3);
    (net, ana, bob)
}

fn link_to_all(net: &mut Net, node: usize) {
    for other in (0..net.nodes.len()).filter(|&other| other != node) {
        net.link(node, other);
    }
}

#[test]
fn both_sides_see_the_same_number_and_the_mark_stays_until_it_is_dropped() {
    let (mut net, ana, bob) = bob_and_ana(&keys(1));
    let (own, theirs) = (account(&mut net, 0), view(&mut net, 0, ana).account);
    let seen_by_ana = safety_number(&account(&mut net, 3), &view(&mut net, 3, bob).account);
    assert_eq!(safety_number(&own, &theirs), seen_by_ana);
    assert_eq!(view(&mut net, 0, ana).verified_unix_ms, None);
    let marked = mark(&mut net, 0, ana, true);
    assert_eq!(marked.verified_unix_ms, Some(net.now().unix_ms));
    assert!(net.nodes[0].events.contains(&Event::ContactChanged(marked.clone())));
    net.stop(0);
    net.restart(0, true);
    assert_eq!(view(&mut net, 0, ana), marked);
    assert_eq!(mark(&mut net, 0, ana, false).verified_unix_ms, None);
    let nobody = Command::SetVerified { contact: ContactNumber(99), verified: true };
    assert_eq!(net.command(0, nobody), Reply::Refused(CommandError::NoSuchContact));
    assert!(status(&mut net, 0).marks_lost.is_empty(), "who drops the mark himself has not lost it");
}

#[test]
fn a_first_contact_of_a_forked_list_holds_what_is_sent_until_the_person_trusts_the_known_one() {
    let (mut net, ana, bob) = bob_and_ana(&keys(1));
    mark(&mut net, 0, ana, true);
    let copy = net.add_scripted("Ana", &keys(2));
    link_to_all(&mut net, copy);
    let address = net.address(0);
    let theirs = net.add(copy, address).unwrap();
    net.send(copy, theirs, "send the money here");
    net.run(3_000);
    let shown = view(&mut net, 0, ana);
    assert_eq!((shown.state, shown.verified_unix_ms.is_some()), (ContactState::Forked, true));
    assert_eq!((status(&mut net, 0).forked, fork_warnings(&net, 0)), (vec!["Guest".to_owned()], vec![true]));
    assert!(net.received(0).is_empty(), "the copy is not heard");

    let held = net.send(0, ana, "is that you?");
    let heard = net.send(3, bob, "it is me");
    net.run(10_000);
    assert!(net.received(3).is_empty() && net.received(copy).is_empty(), "nothing is sent");
    assert_eq!(reasons(&net, 0), [QueuedReason::DevicesForked]);
    assert_eq!(net.received(0), ["it is me"], "the known device is still heard");
    assert!(!net.delivered(3, heard), "not even a confirmation leaves");

    net.stop(0);
    net.restart(0, true);
    link_to_all(&mut net, 0);
    net.run(5_000);
    assert_eq!(view(&mut net, 0, ana).state, ContactState::Forked);
    assert!(net.received(3).is_empty());

    assert_eq!(trust(&mut net, 0, ana, ListChoice::Known).state, ContactState::Ready);
    net.run(5_000);
    assert_eq!(net.received(3), ["is that you?"]);
    assert!(net.delivered(0, held) && net.delivered(3, heard));
    assert!(net.received(copy).is_empty());
    // The same list again is no news.
    net.send(copy, theirs, "it is me, really");
    net.run(5_000);
    assert_eq!((view(&mut net, 0, ana).state, fork_warnings(&net, 0)), (ContactState::Ready, vec![true, false]));
    assert_eq!(trust(&mut net, 0, ana, ListChoice::Other).state, ContactState::Ready, "there is nothing to decide");
    net.run(2_000);
    assert_eq!(net.received(0), ["it is me"]);
}

#[test]
fn a_bundle_of_a_forked_list_holds_what_is_sent_and_the_person_may_trust_the_other_one() {
    let with_address = |device| [keys(device), vec![0xad; 32]].concat();
    let (mut net, ana, bob) = bob_and_ana(&with_address(1));
    let before = net.send(0, ana, "before");
    net.run(2_000);
    assert!(net.delivered(0, before));
    // Ana's computer is gone; what she restored publishes under the address that Bob knows.
    net.stop(3);
    let lost = net.send(0, ana, "on its way");
    net.run(2_000);
    let restored = net.add_scripted("Ana", &with_address(2));
    link_to_all(&mut net, restored);
    net.run(5_000);
    assert_eq!(view(&mut net, 0, ana).state, ContactState::Forked);
    let held = net.send(0, ana, "which is yours?");
    net.run(5_000);
    let Reply::Requests(requests) = net.command(restored, Command::Requests) else { panic!() };
    assert!(requests.is_empty(), "nothing is sent");

    let trusted = trust(&mut net, 0, ana, ListChoice::Other);
    assert_eq!(trusted.devices_changed_unix_ms, Some(net.now().unix_ms));
    net.run(5_000);
    let Reply::Requests(requests) = net.command(restored, Command::Requests) else { panic!() };
    assert_eq!(requests.len(), 1, "the other device is written to");
    net.command(restored, Command::AnswerRequest { request: requests[0].number, accept: true, name: None });
    net.run(5_000);
    assert_eq!(net.received(restored), ["on its way", "which is yours?"]);
    assert!(net.delivered(0, lost) && net.delivered(0, held));
    assert_eq!(fork_warnings(&net, 0), [true, false]);
    // The device that was not trusted is not heard any more, and makes no new alarm.
    net.restart(3, true);
    link_to_all(&mut net, 3);
    net.send(3, bob, "it is me");
    net.run(5_000);
    assert!(net.received(0).is_empty());
    assert_eq!((view(&mut net, 0, ana).state, fork_warnings(&net, 0)), (ContactState::Ready, vec![true, false]));
}

#[test]
fn a_forked_contact_can_be_removed_and_the_warning_ends() {
    let (mut net, ana, _) = bob_and_ana(&keys(1));
    let copy = net.add_scripted("Ana", &keys(2));
    link_to_all(&mut net, copy);
    let address = net.address(0);
    net.add(copy, address).unwrap();
    net.run(3_000);
    assert_eq!(status(&mut net, 0).forked.len(), 1);
    let message = net.send(0, ana, "hello?");
    net.command(0, Command::RemoveContact(ana));
    assert_eq!(fork_warnings(&net, 0), [true, false]);
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Expired));
    assert!(status(&mut net, 0).forked.is_empty());
}

#[test]
fn a_new_account_under_an_old_name_keeps_the_history_and_loses_the_mark() {
    let (mut net, ana, bob) = bob_and_ana(&keys(1));
    net.send(3, bob, "from the old account");
    net.run(2_000);
    mark(&mut net, 0, ana, true);
    net.stop(3);
    let undelivered = net.send(0, ana, "for the old account");
    let new = net.add_node("Ana");
    link_to_all(&mut net, new);
    net.command(0, Command::RenameContact { contact: ana, name: "Ana".into() });
    // The name alone is a question.
    let invite = net.invite(new, None);
    assert_eq!(net.add(0, invite.clone()), Err(CommandError::NameTaken));
    let Reply::Contact(replaced) = replace(&mut net, 0, invite.clone(), ana) else { panic!() };
    assert_eq!((replaced.number, replaced.name.as_str()), (ana, "Ana"));
    assert_eq!((replaced.verified_unix_ms, replaced.mark_lost), (None, true));
    assert_eq!(replaced.account, account(&mut net, new));
    assert!(net.nodes[0].events.contains(&Event::ContactChanged(replaced)));
    assert_eq!(net.stage(0, undelivered), Some(DeliveryStage::Expired));
    assert_eq!(status(&mut net, 0).marks_lost, ["Ana"]);

    net.run(3_000);
    let answer = net.send(0, ana, "is that you?");
    let theirs = net.contact(new);
    net.send(new, theirs, "from the new account");
    net.run(3_000);
    assert!(net.delivered(0, answer));
    assert_eq!(net.received(new), ["is that you?"]);
    // In the conversation the new account's texts stand behind the old one's, though it counts from 0 again.
    let received = |event: &Event| match event {
        Event::MessageReceived(message) => Some((message.contact, message.sequence)),
        _ => None,
    };
    assert_eq!(net.nodes[0].events.iter().filter_map(received).collect::<Vec<_>>(), [(ana, 0), (ana, 1)]);
    net.stop(0);
    net.restart(0, true);
    assert!(view(&mut net, 0, ana).mark_lost, "the loss is told until the person looks");
    assert!(!mark(&mut net, 0, ana, true).mark_lost);
    assert!(status(&mut net, 0).marks_lost.is_empty());
    // Neither a stranger's number nor the same account once more.
    let other = net.invite(1, None);
    assert_eq!(replace(&mut net, 0, other, ContactNumber(99)), Reply::Refused(CommandError::NoSuchContact));
    let again = net.invite(new, None);
    assert_eq!(replace(&mut net, 0, again, ana), Reply::Refused(CommandError::AlreadyContact(ana)));
}

//! What becomes of an envelope on a network that loses, sleeps and refuses.

use starling_messenger::turn::{
    Command, CommandError, ContactNumber, Input, LinkId, MessageNumber, Reply, RequestNumber,
};
use starling_messenger::view::{DeliveryStage, Event, QueuedReason};

use crate::net::{Net, parameters, slow_parameters};

#[test]
fn a_recipient_who_was_away_gets_everything_by_sync_though_the_sender_left() {
    let mut net = Net::new(5);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.stop(1);
    let messages: Vec<_> = (0..5).map(|count| net.send(0, bob, &format!("m{count}"))).collect();
    net.run(5_000);
    assert!(messages.iter().all(|&message| net.stage(0, message) == Some(DeliveryStage::Held)));
    net.stop(0);
    net.run(3_600_000);
    net.restart(1, true);
    net.link(1, 3);
    net.run(3_000);
    let mut got = net.received(1);
    got.sort();
    assert_eq!(got, ["m0", "m1", "m2", "m3", "m4"]);
    net.restart(0, true);
    for other in 2..5 {
        net.link(0, other);
    }
    net.run(5_000);
    assert!(messages.iter().all(|&message| net.delivered(0, message)), "confirmations wait in the pool too");
}

#[test]
fn mail_that_lies_in_the_pool_before_its_tag_exists_is_found() {
    // Everything, the first contact too, comes in one sync, in no order.
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let invite = net.invite(0, None);
    net.stop(0);
    let ana = net.add(1, invite).unwrap();
    for count in 0..400 {
        net.send(1, ana, &format!("{count}"));
        net.run(20);
    }
    net.run(60_000);
    net.stop(1);
    net.restart(0, true);
    net.link(0, 2);
    net.run(30_000);
    // 255 is all that one chain may have under way.
    let got = net.received(0).len();
    assert!(got >= 250, "{got} of 255");
    net.restart(1, true);
    net.link(1, 2);
    net.link(1, 3);
    net.run(60_000);
    assert_eq!(net.received(0).len(), 400);
}

#[test]
fn a_refused_push_goes_to_another_neighbour() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.nodes[2].refuses_cells = true;
    net.nodes[3].refuses_cells = true;
    let before = net.nodes[0].pushes.len();
    let messages: Vec<_> = (0..6).map(|count| net.send(0, bob, &format!("{count}"))).collect();
    net.run(4_000);
    assert!(messages.iter().all(|&message| net.delivered(0, message)));
    assert!(net.nodes[0].pushes.len() > before + 6, "some were refused first");
}

#[test]
fn what_is_not_delivered_is_listed_with_its_reason_until_it_is() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    let listed = |net: &mut Net| {
        let Reply::Undelivered(list) = net.command(0, Command::Undelivered) else { panic!("no list") };
        list
    };
    net.run(5_000);
    assert_eq!(listed(&mut net), []);
    net.stop(1);
    let held = net.send(0, bob, "for somebody who is away");
    net.run(5_000);
    net.isolate(0);
    let waiting = net.send(0, bob, "for whoever comes first");
    let list = listed(&mut net);
    assert_eq!(list.iter().map(|one| (one.number, one.contact)).collect::<Vec<_>>(), [(held, bob), (waiting, bob)]);
    assert_eq!((list[0].state.stage, list[1].state.stage), (DeliveryStage::Held, DeliveryStage::Queued));
    assert_eq!(list[1].state.reason, Some(QueuedReason::NoPeers));
    assert!(list[0].next_try_unix_ms > Some(list[0].created_unix_ms), "{list:?}");
    net.restart(1, true);
    net.link_all();
    net.run(60_000);
    assert_eq!(listed(&mut net), []);
}

#[test]
fn who_is_refused_by_all_is_told_that_neighbours_are_asked() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.run(2_000);
    (1..3).for_each(|node| net.nodes[node].refuses_cells = true);
    let message = net.send(0, bob, "refused");
    net.run(10_000);
    let states = net.nodes[0].events.iter().filter_map(|event| match event {
        Event::MessageState { number, state, .. } if *number == message => Some((state.stage, state.reason)),
        _ => None,
    });
    let told: Vec<_> = states.collect();
    assert_eq!(told.first(), Some(&(DeliveryStage::Queued, Some(QueuedReason::Stamping))));
    assert_eq!(told.last(), Some(&(DeliveryStage::Queued, Some(QueuedReason::Pushing))));
    (1..3).for_each(|node| net.nodes[node].refuses_cells = false);
    net.run(70_000);
    assert!(net.delivered(0, message));
    net.check();
}

#[test]
fn without_a_neighbour_a_text_waits_and_goes_with_the_first_link() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.isolate(0);
    let message = net.send(0, bob, "later");
    net.run(10_000);
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Queued));
    net.link(0, 2);
    net.run(2_000);
    assert!(net.delivered(0, message));
}

#[test]
fn an_own_envelope_enters_the_own_pool_only_from_the_network() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.publish_lost = true;
    for node in 0..3 {
        for other in 0..3 {
            net.cut(node, other);
        }
    }
    net.link(0, 2);
    let before = net.nodes[0].messenger.as_ref().unwrap().pool().len();
    net.send(0, bob, "x");
    net.run(100);
    assert_eq!(net.nodes[0].messenger.as_ref().unwrap().pool().len(), before, "pushed, and not yet back");
    assert!(net.nodes[2].messenger.as_ref().unwrap().pool().len() > before, "the exit keeps what it publishes");
    net.run(2_000);
    assert!(net.nodes[0].messenger.as_ref().unwrap().pool().len() > before, "a sync brought it back");
}

#[test]
fn what_found_nobody_is_published_again_with_the_next_link() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.publish_lost = true;
    let message = net.send(0, bob, "x");
    net.run(150);
    assert!(!net.delivered(0, message));
    net.publish_lost = false;
    net.cut(1, 2);
    net.link(1, 2);
    net.run(2_000);
    assert!(net.delivered(0, message));
}

#[test]
fn an_unheard_message_is_sealed_again_and_expires_after_four_weeks() {
    let mut net = Net::with(3, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.stop(1);
    let message = net.send(0, bob, "anybody?");
    net.sleep_hours(13 * 24 - 1);
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Held));
    let Reply::Trace(lines) = net.command(0, Command::Trace(message)) else { panic!() };
    use starling_messenger::view::TraceStep;
    let again = |lines: &[starling_messenger::view::TraceLine]| {
        lines.iter().filter(|line| line.step == TraceStep::SealedAgain).count()
    };
    assert_eq!(again(&lines), 0, "all neighbours keep it: nothing to do");
    net.sleep_hours(3);
    let Reply::Trace(lines) = net.command(0, Command::Trace(message)) else { panic!() };
    assert_eq!(again(&lines), 1);
    net.sleep_hours(14 * 24);
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Expired));
    let Reply::Status(status) = net.command(0, Command::Status) else { panic!() };
    assert_eq!(status.outbox_undelivered, 0);
}

#[test]
fn a_message_lost_with_everybodys_pool_is_sealed_again_after_two_hours() {
    let mut net = Net::with(3, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.stop(1);
    net.cut(0, 2);
    net.link(0, 2);
    net.run(2_000);
    net.publish_lost = true;
    // The exit takes it, and dies with its pool.
    let message = net.send(0, bob, "lost");
    net.run(20);
    net.stop(2);
    net.run(10_000);
    net.publish_lost = false;
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Sent));
    net.sleep_hours(3);
    net.restart(2, false);
    net.restart(1, true);
    net.link_all();
    net.run(10_000);
    assert_eq!(net.received(1), ["lost"]);
    assert!(net.delivered(0, message));
}

#[test]
fn a_peer_that_lost_its_sessions_is_reached_again_by_a_new_handshake() {
    let mut net = Net::with(3, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    // The recipient's ratchet is set back: it cannot read what is sealed on the chain begun since.
    use starling_messenger::record::RecordKind;
    let old: Vec<_> = net.nodes[1]
        .vault
        .iter()
        .filter(|(key, _)| key.kind == RecordKind::Session)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let warm = net.send(0, bob, "warm");
    net.run(2_000);
    assert!(net.delivered(0, warm));
    net.stop(1);
    for (key, _) in old {
        net.nodes[1].vault.remove(&key);
    }
    net.restart(1, true);
    net.link(1, 0);
    net.link(1, 2);
    let message = net.send(0, bob, "hear me");
    net.sleep_hours(13 * 24);
    assert!(!net.delivered(0, message));
    net.sleep_hours(48);
    assert!(net.delivered(0, message), "after 14 days a new handshake on the newest bundle");
    assert_eq!(net.received(1), ["warm", "hear me"]);
}

/// A guest who has the address of a node that is away writes to it on the sixth day of its bundle.
fn written_to_somebody_away(net: &mut Net) -> MessageNumber {
    net.link_all();
    net.run(5_000);
    let address = net.address(0);
    net.stop(0);
    net.sleep_hours(6 * 24);
    let ana = net.add(1, address).unwrap();
    let message = net.send(1, ana, "hi");
    net.run(120_000);
    assert_eq!(net.stage(1, message), Some(DeliveryStage::Held));
    message
}

fn sealed_again(net: &mut Net, node: usize, message: MessageNumber) -> usize {
    use starling_messenger::view::TraceStep;
    let Reply::Trace(lines) = net.command(node, Command::Trace(message)) else { panic!() };
    lines.iter().filter(|line| line.step == TraceStep::SealedAgain).count()
}

#[test]
fn a_first_contact_is_not_repeated_when_its_keys_may_be_gone_by_the_time_it_is_read() {
    let mut net = Net::with(3, slow_parameters());
    let message = written_to_somebody_away(&mut net);
    // At 13 days the bundle is 19 days old: what is sealed now may be read when it is 33, and its keys are kept for 29.
    net.sleep_hours(13 * 24 + 2);
    assert_eq!(sealed_again(&mut net, 1, message), 0, "there is no newer bundle to make a handshake with");
    let late = net.send(1, ContactNumber(1), "still there?");
    net.run(120_000);
    assert_eq!(net.stage(1, late), Some(DeliveryStage::Queued), "it waits for keys, and says so");
    net.sleep_hours(26);
    assert_eq!(net.stage(1, message), Some(DeliveryStage::Expired), "nobody keeps it any more");
    // Whoever comes back publishes new keys.
    net.restart(0, true);
    net.link(0, 1);
    net.link(0, 2);
    net.sleep_hours(2);
    let accept = Command::AnswerRequest { request: RequestNumber(1), accept: true, name: None };
    assert!(matches!(net.command(0, accept), Reply::Contact(_)));
    net.sleep_hours(2);
    assert!(net.received(0).contains(&"still there?".to_owned()), "{:?}", net.received(0));
    assert!(net.delivered(1, late));
    net.check();
}

#[test]
fn what_was_never_answered_goes_on_a_newer_bundle_before_the_old_one_s_keys_are_gone() {
    let mut net = Net::with(3, slow_parameters());
    let message = written_to_somebody_away(&mut net);
    // On the tenth day it is back for a moment, with its new bundle, on a part of the network that never saw the message.
    net.sleep_hours(4 * 24);
    net.cut(1, 2);
    net.stop(2);
    net.restart(2, false);
    net.restart(0, true);
    net.link(0, 2);
    net.run(120_000);
    net.stop(0);
    net.link(1, 2);
    // On the nineteenth the message is sealed once more, and its writer leaves.
    net.sleep_hours(9 * 24 + 2);
    assert_eq!(sealed_again(&mut net, 1, message), 1);
    net.stop(1);
    // On the thirtieth the first bundle's keys are gone.
    net.sleep_hours(11 * 24);
    net.restart(0, true);
    net.link(0, 2);
    net.sleep_hours(2);
    let accept = Command::AnswerRequest { request: RequestNumber(1), accept: true, name: None };
    assert!(matches!(net.command(0, accept), Reply::Contact(_)));
    net.sleep_hours(1);
    assert_eq!(net.received(0), ["hi"]);
    net.restart(1, true);
    net.link(1, 2);
    net.sleep_hours(2);
    assert!(net.delivered(1, message), "under the same message id");
    net.check();
}

#[test]
fn acknowledgements_leave_in_one_batch() {
    let parameters = starling_wire::network::NetworkParameters { receipt_delay_ms: 20_000, ..parameters() };
    let mut net = Net::with(3, parameters);
    net.link_all();
    net.run(1_000);
    let invite = net.invite(0, None);
    net.add(1, invite).unwrap();
    net.run(400_000);
    let bob = net.contact(0);
    let before = net.nodes[1].pushes.len();
    let messages: Vec<_> = (0..20).map(|count| net.send(0, bob, &format!("{count}"))).collect();
    net.run(400_000);
    assert!(messages.iter().all(|&message| net.delivered(0, message)));
    assert!(net.nodes[1].pushes.len() <= before + 2, "one envelope, at most pushed twice");
}

#[test]
fn a_clock_far_off_holds_sends_and_says_so() {
    let mut net = Net::new(2);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    for link in 0..3 {
        let link = LinkId(900 + link);
        let group = starling_messenger::turn::AddressGroup { narrow: link.0, wide: link.0 };
        let onion_key = [link.0 as u8; 32];
        net.step(0, Input::LinkUp { link, group, outbound: true, onion_key, clock_offset_ms: -4 * 3_600_000 });
    }
    let warned = |event: &Event| matches!(event, Event::Warning { code, active: true } if code == "clock");
    assert!(net.nodes[0].events.iter().any(warned));
    let message = net.send(0, bob, "held");
    net.run(1_000);
    assert_eq!(net.stage(0, message), Some(DeliveryStage::Queued));
    for link in 0..3 {
        net.step(0, Input::LinkDown { link: LinkId(900 + link) });
    }
    net.run(3_000);
    assert!(net.delivered(0, message));
}

#[test]
fn a_full_disk_refuses_sends_and_loses_nothing() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    net.step(0, Input::Disk { free_bytes: 20 << 20 });
    let send = |text: &str| Command::Send {
        contact: bob,
        text: text.into(),
        file: None,
        reply_to: None,
        client_id: None,
        expires_s: None,
    };
    assert_eq!(net.command(0, send("x")), Reply::Refused(CommandError::DiskFull { free_bytes: 20 << 20 }));
    let warned = |event: &Event| matches!(event, Event::Warning { code, active: true } if code == "disk");
    assert!(net.nodes[0].events.iter().any(warned));
    let message = net.send(1, ana, "still heard");
    net.run(3_000);
    assert!(net.delivered(1, message));
    net.step(0, Input::Disk { free_bytes: 1 << 30 });
    assert!(matches!(net.command(0, send("x")), Reply::Message { .. }));
}

#[test]
fn a_pool_without_room_still_lets_own_mail_through() {
    // Node 1 has no room for strangers' mail: an invite, texts and their receipts come to it all the same, from
    // an exit, from itself as the exit, and by sync.
    let mut net = Net::new(3);
    net.nodes[1].messenger.as_mut().unwrap().pool_mut().is_full = true;
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    let there = net.send(0, bob, "there");
    let back = net.send(1, ana, "and back");
    net.run(3_000);
    assert!(net.delivered(0, there) && net.delivered(1, back));
}

#[test]
fn a_burst_through_one_neighbour_keeps_to_its_quota_and_all_of_it_arrives() {
    let mut net = Net::new(3);
    net.link(0, 2);
    net.link(1, 2);
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    for count in 0..200 {
        net.send(0, bob, &format!("a{count}"));
        net.send(1, ana, &format!("b{count}"));
        net.run(5);
    }
    for count in 200..300 {
        net.send(0, bob, &format!("a{count}"));
    }
    net.run(60_000);
    assert_eq!((net.received(1).len(), net.received(0).len()), (300, 200));
    let Reply::Status(status) = net.command(0, Command::Status) else { panic!() };
    assert_eq!(status.outbox_undelivered, 0);
    net.check();
}

#[test]
fn a_pool_that_cannot_be_read_for_a_while_hides_no_message() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    let pool = |net: &mut Net, is_unreadable| {
        let pool = net.nodes[1].messenger.as_mut().unwrap().pool_mut();
        pool.is_unreadable = is_unreadable;
        pool.failed_reads.get()
    };
    pool(&mut net, true);
    let messages: Vec<_> = (0..3).map(|count| net.send(0, bob, &format!("{count}"))).collect();
    net.run(100_000);
    assert!(net.received(1).is_empty());
    assert!(pool(&mut net, false) < 64, "it is not asked in a loop");
    net.run(300_000);
    assert!(messages.into_iter().all(|message| net.delivered(0, message)));
    let warnings = net.nodes[1].events.iter().filter_map(|event| match event {
        Event::Warning { code, active } if code == "disk" => Some(*active),
        _ => None,
    });
    assert_eq!(warnings.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_silent_neighbour_has_no_more_pushes_to_answer_than_it_takes_streams() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.cut(0, 1);
    net.nodes[2].refuses_cells = true;
    let before = net.nodes[0].pushes.len();
    let messages: Vec<_> = (0..40).map(|count| net.send(0, bob, &format!("{count}"))).collect();
    net.run(u64::from(net.parameters.push_timeout_ms) - 100);
    assert_eq!(net.nodes[0].pushes.len() - before, 12);
    net.nodes[2].refuses_cells = false;
    net.run(120_000);
    assert!(messages.into_iter().all(|message| net.delivered(0, message)));
}

//! Texts that need more room than an envelope has: they arrive whole or not at all, in any order, over restarts.

use starling_messenger::command::TEXT_BYTES_MAX;
use starling_messenger::record::RecordKind;
use starling_messenger::turn::{Command, MessageNumber, Reply, Target};
use starling_messenger::view::{DeliveryStage, Event};

use crate::net::{Crash, Net, slow_parameters};

const ANA: usize = 0;
const BOB: usize = 1;

/// Bytes of a text in three large envelopes and seven small ones: more than are stamped at a time, so that the last ones
/// come after the others.
const IN_TEN_PARTS: usize = 61_500;

/// A text of so many bytes in which no two lines are the same.
fn long(bytes: usize) -> String {
    let mut text: String = (0..bytes / 8 + 1).map(|line| format!("{line:07}\n")).collect();
    text.truncate(bytes);
    text
}

#[test]
fn texts_of_all_lengths_arrive_whole_and_in_order_with_short_ones_between() {
    let (mut net, bob, ana) = Net::two_friends();
    let texts = [long(1_838), long(1_839), "short".to_owned(), long(3_707), long(3_708), long(20_000)];
    let numbers: Vec<MessageNumber> = texts.iter().map(|text| net.send(ANA, bob, text)).collect();
    net.run(30_000);
    assert!(numbers.iter().all(|&number| net.delivered(ANA, number)));
    let expected: Vec<(bool, String)> = texts.iter().map(|text| (false, text.clone())).collect();
    assert_eq!(net.conversation(BOB, ana), expected);
    assert_eq!(net.received(BOB).len(), texts.len());
    for node in [ANA, BOB] {
        assert_eq!([RecordKind::Outbox, RecordKind::Part].map(|kind| net.records(node, kind)), [0, 0]);
    }
    net.check();
}

#[test]
fn a_text_is_as_far_as_its_last_part_and_shown_when_all_are_there() {
    let (mut net, bob, _) = Net::two_friends();
    let text = net.send(ANA, bob, &long(6_000));
    net.publish_lost = true;
    net.run(300);
    net.publish_lost = false;
    net.run(1_200);
    let stage = net.stage(ANA, text);
    assert!(stage < Some(DeliveryStage::Delivered), "{stage:?}");
    assert!(net.received(BOB).is_empty());
    assert!(net.delivered_within(ANA, text, 60));
    assert_eq!(net.received(BOB), [long(6_000)]);
    let mut states = net.nodes[ANA].events.iter().filter_map(|event| match event {
        Event::MessageState { number, state, .. } if *number == text => Some(*state),
        _ => None,
    });
    let last = states.next_back().unwrap();
    assert_eq!((last.stage, last.reason), (DeliveryStage::Delivered, None));
    net.check();
}

#[test]
fn parts_that_came_stay_over_restarts_of_both() {
    let (mut net, bob, _) = Net::two_friends();
    net.send(ANA, bob, &long(TEXT_BYTES_MAX));
    net.run_until_some_came(BOB);
    for round in 0..6 {
        let node = if round % 2 == 0 { BOB } else { ANA };
        let came = net.records(BOB, RecordKind::Part);
        net.stop(node);
        net.run(5);
        net.restart(node, true);
        net.link_with_all(node);
        assert!(net.records(BOB, RecordKind::Part) >= came || !net.received(BOB).is_empty());
        net.run(4);
    }
    net.run(60_000);
    assert_eq!(net.received(BOB), [long(TEXT_BYTES_MAX)]);
    assert_eq!(net.records(BOB, RecordKind::Part), 0);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    net.check();
}

#[test]
fn a_crash_anywhere_loses_no_part() {
    for victim in [ANA, BOB] {
        for nth in (1..=16).step_by(3) {
            for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs] {
                let (mut net, bob, _) = Net::two_friends();
                let number = net.send(ANA, bob, &long(7_000));
                net.crash_at(victim, nth, crash);
                net.run(2_000);
                if net.is_down(victim) {
                    net.restart(victim, true);
                    net.link_with_all(victim);
                }
                net.disarm(victim);
                assert!(net.delivered_within(ANA, number, 30), "victim {victim}, turn {nth}, {crash:?}");
                assert_eq!(net.received(BOB), [long(7_000)], "victim {victim}, turn {nth}, {crash:?}");
                net.check();
            }
        }
    }
}

#[test]
fn long_texts_are_edited_and_deleted_like_others() {
    let (mut net, bob, ana) = Net::two_friends();
    let number = net.send(ANA, bob, &long(5_000));
    let target = |net: &Net, node: usize, number: MessageNumber| {
        let record = net.history(node).into_iter().find(|record| record.message.number == number);
        Box::new(Target::from(&record.unwrap()))
    };
    // Between its parts: what is still to be sealed says what the first one said.
    net.run(30);
    let edited = long(9_000).replace('0', "o");
    let command = Command::Edit { target: target(&net, ANA, number), text: edited.clone() };
    assert_eq!(net.command(ANA, command), Reply::Done);
    net.run(20_000);
    assert_eq!(net.conversation(BOB, ana), [(false, edited.clone())]);
    assert_eq!(net.conversation(ANA, bob), [(true, edited)]);
    let command = Command::Delete { target: target(&net, ANA, number), for_both: true };
    net.command(ANA, command);
    net.run(5_000);
    assert_eq!(net.conversation(BOB, ana), [(false, String::new())]);
    for node in [ANA, BOB] {
        assert_eq!(
            [RecordKind::Outbox, RecordKind::Part, RecordKind::Early].map(|kind| net.records(node, kind)),
            [0; 3]
        );
        assert!(!net.nodes[node].vault.values().any(|value| value.windows(7).any(|part| part == b"oooo12\n")));
    }
    // One that is deleted while it is on its way does not come, or comes as nothing.
    let number = net.send(ANA, bob, &long(20_000));
    net.run(100);
    net.command(ANA, Command::Delete { target: target(&net, ANA, number), for_both: true });
    net.run(20_000);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    assert!(net.conversation(BOB, ana).iter().all(|(_, text)| text.is_empty()));
    net.check();
}

#[test]
fn a_backup_goes_on_with_what_is_half_sent_and_half_received() {
    let (mut net, bob, ana) = Net::two_friends();
    let from_ana = net.send(ANA, bob, &long(IN_TEN_PARTS));
    let from_bob = net.send(BOB, ana, &long(IN_TEN_PARTS - 1));
    net.run_until_some_came(BOB);
    net.run_until_some_came(ANA);
    assert!(net.received(ANA).is_empty() && net.received(BOB).is_empty());
    net.isolate(ANA);
    net.run(500);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(60_000);
    assert!(net.delivered(restored, from_ana) && net.delivered(BOB, from_bob));
    assert_eq!(net.received(BOB), [long(IN_TEN_PARTS)]);
    assert_eq!(net.received(restored), [long(IN_TEN_PARTS - 1)]);
    net.check();
}

#[test]
fn a_new_device_gets_the_parts_that_the_lost_one_had_confirmed() {
    let (mut net, bob, ana) = Net::two_friends();
    let backup = net.backup(ANA);
    let number = net.send(BOB, ana, &long(IN_TEN_PARTS));
    // Ana's device confirms the first of them, and is lost before the others come.
    net.run_until_some_came(ANA);
    net.publish_lost = true;
    net.run(60);
    net.publish_lost = false;
    net.run(300);
    assert!(net.records(ANA, RecordKind::Part) > 0 && !net.delivered(BOB, number));
    net.stop(ANA);
    net.run(2_000);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(60_000);
    assert!(net.delivered(BOB, number));
    assert_eq!(net.received(restored), [long(IN_TEN_PARTS)]);
    let _ = bob;
    net.check();
}

#[test]
fn a_stranger_s_long_text_is_there_when_they_are_accepted() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let address = net.address(ANA);
    let ana = net.add(BOB, address).unwrap();
    let number = net.send(BOB, ana, &long(8_000));
    net.run(10_000);
    assert!(!net.delivered(BOB, number), "nothing is confirmed to a stranger");
    let Reply::Requests(requests) = net.command(ANA, Command::Requests) else { panic!() };
    net.command(ANA, Command::AnswerRequest { request: requests[0].number, accept: true, name: None });
    assert!(net.delivered_within(BOB, number, 30));
    assert_eq!(net.received(ANA), [long(8_000)]);
    net.check();
}

#[test]
fn what_nobody_took_expires_as_a_whole() {
    let mut net = Net::with(4, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(ANA, BOB);
    net.run(60_000);
    net.stop(BOB);
    let number = net.send(ANA, bob, &long(5_000));
    net.sleep_hours(3);
    assert_eq!(net.stage(ANA, number), Some(DeliveryStage::Held));
    let mut hours = 3;
    while net.stage(ANA, number) != Some(DeliveryStage::Expired) {
        net.sleep_hours(6);
        hours += 6;
        assert!(hours < 40 * 24, "it is given up some time");
    }
    net.sleep_hours(29 * 24);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    net.check();
}

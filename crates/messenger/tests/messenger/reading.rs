//! What was read, and who is told: exactly that, to those who tell too, at next to no cost.

use starling_messenger::record::{HistoryRecord, RecordKind};
use starling_messenger::turn::{Command, CommandError, ContactNumber, MessageNumber, OutgoingFile, Reply};
use starling_messenger::view::{DeliveryStage, Event};
use starling_wire::network::NetworkParameters;

use crate::net::{Crash, Net, parameters, slow_parameters};

const ANA: usize = 0;
const BOB: usize = 1;
const MINUTE_MS: u64 = 60_000;

fn set(net: &mut Net, node: usize, read_receipts: bool) {
    assert_eq!(net.command(node, Command::SetReadReceipts(read_receipts)), Reply::Done);
}

fn set_both(net: &mut Net) {
    set(net, ANA, true);
    set(net, BOB, true);
}

/// Two friends who both tell.
fn tellers() -> (Net, ContactNumber, ContactNumber) {
    let (mut net, bob, ana) = Net::two_friends();
    set_both(&mut net);
    (net, bob, ana)
}

/// Ana and Bob and two who carry their mail, with so long a delay of confirmations that whatever happens at about one time
/// goes together.
fn patient_tellers() -> (Net, ContactNumber, ContactNumber) {
    let mut net = Net::with(4, NetworkParameters { receipt_delay_ms: 20_000, ..parameters() });
    net.link_all();
    net.run(1_000);
    let invite = net.invite(ANA, Some("Bob"));
    let ana = net.add(BOB, invite).unwrap();
    net.run(600_000);
    let bob = net.contact(ANA);
    set_both(&mut net);
    (net, bob, ana)
}

/// Ana writes, and nothing of hers overtakes it.
fn send_alone(net: &mut Net, bob: ContactNumber, text: &str) -> MessageNumber {
    let number = net.send(ANA, bob, text);
    net.run(1_000);
    number
}

/// The numbers of what a node received from a contact.
fn received(net: &Net, node: usize) -> Vec<MessageNumber> {
    let mut numbers: Vec<_> = net
        .history(node)
        .into_iter()
        .filter(|record| !record.message.own)
        .map(|record| record.message.number)
        .collect();
    numbers.sort();
    numbers
}

fn read(net: &mut Net, node: usize, contact: ContactNumber, after: Option<MessageNumber>, up_to: MessageNumber) {
    assert_eq!(net.command(node, Command::MarkRead { contact, after, up_to }), Reply::Done);
}

/// Reads all that came so far.
fn read_all(net: &mut Net, node: usize, contact: ContactNumber) {
    let newest = received(net, node).pop().expect("something came");
    read(net, node, contact, None, newest);
}

fn record(net: &Net, node: usize, number: MessageNumber) -> HistoryRecord {
    net.history(node).into_iter().find(|record| record.message.number == number).expect("it is in the history")
}

/// Stages of own messages, as the history has them, and as was told of each: the same.
#[track_caller]
fn stages(net: &Net, node: usize, messages: &[MessageNumber]) -> Vec<DeliveryStage> {
    let stages: Vec<_> = messages.iter().map(|&number| record(net, node, number).message.state.stage).collect();
    let told: Vec<_> = messages.iter().filter_map(|&number| net.stage(node, number)).collect();
    assert_eq!(stages, told);
    stages
}

fn envelopes(net: &Net, node: usize) -> usize {
    net.nodes[node].pushes.len()
}

const READ: DeliveryStage = DeliveryStage::Read;
const DELIVERED: DeliveryStage = DeliveryStage::Delivered;

#[test]
fn what_was_read_is_shown_as_that_and_what_was_not_is_not() {
    let (mut net, bob, ana) = tellers();
    let texts = ["one", "two", "three"].map(|text| send_alone(&mut net, bob, text));
    assert_eq!(stages(&net, ANA, &texts), [DELIVERED; 3]);
    let came = received(&net, BOB);
    let at_ms = net.now().unix_ms;
    read(&mut net, BOB, ana, None, came[1]);
    net.run(2_000);
    assert_eq!(stages(&net, ANA, &texts), [READ, READ, DELIVERED]);
    let state = record(&net, ANA, texts[1]).message.state;
    assert!(state.since_unix_ms <= at_ms && state.since_unix_ms > at_ms - MINUTE_MS, "read then, to the minute");
    assert!(state.held_by > 0, "what was known of its way stays known");
    // Twice, and the rest.
    read(&mut net, BOB, ana, Some(came[0]), came[1]);
    read(&mut net, BOB, ana, Some(came[1]), came[2]);
    net.run(2_000);
    assert_eq!(stages(&net, ANA, &texts), [READ; 3]);
    let told = |event: &&Event| matches!(event, Event::MessageRead { .. });
    assert_eq!(net.nodes[ANA].events.iter().filter(told).count(), 3, "of each once");
    assert_eq!([ANA, BOB].map(|node| net.records(node, RecordKind::Outbox)), [0, 0]);
    assert_eq!([ANA, BOB].map(|node| net.records(node, RecordKind::Reads)), [0, 0], "all was told");
    assert_eq!(net.received(ANA).len(), 0, "it is no message");
    net.check();
}

#[test]
fn who_does_not_tell_does_not_hear() {
    for teller in [Some(ANA), Some(BOB), None] {
        let (mut net, bob, ana) = Net::two_friends();
        if let Some(node) = teller {
            set(&mut net, node, true);
        }
        let text = net.send(ANA, bob, "hi");
        net.run(2_000);
        let before = envelopes(&net, BOB);
        read_all(&mut net, BOB, ana);
        net.run(5_000);
        assert_eq!(stages(&net, ANA, &[text]), [DELIVERED], "{teller:?}");
        assert_eq!(envelopes(&net, BOB) > before, teller == Some(BOB), "nothing is sent where it is off: {teller:?}");
        // Not when it is switched on either: that was before.
        set_both(&mut net);
        net.run(5_000);
        assert_eq!(stages(&net, ANA, &[text]), [DELIVERED]);
    }
}

#[test]
fn switched_off_what_was_not_told_yet_never_is_and_what_was_told_stays() {
    let (mut net, bob, ana) = patient_tellers();
    let first = net.send(ANA, bob, "first");
    net.run(1_000);
    read_all(&mut net, BOB, ana);
    net.run(600_000);
    let second = net.send(ANA, bob, "second");
    net.run(1_000);
    read_all(&mut net, BOB, ana);
    set(&mut net, BOB, false);
    assert_eq!(net.records(BOB, RecordKind::Reads), 0);
    net.run(600_000);
    set(&mut net, ANA, false);
    assert_eq!(stages(&net, ANA, &[first, second]), [READ, DELIVERED]);
    let Reply::Status(status) = net.command(ANA, Command::Status) else { panic!() };
    assert!(!status.read_receipts);
}

#[test]
fn word_of_it_rides_with_the_confirmation_or_an_answer_and_costs_no_envelope() {
    let (mut net, bob, ana) = patient_tellers();
    for answers in [false, true] {
        let text = net.send(ANA, bob, "hi");
        net.run(1_000);
        let before = [ANA, BOB].map(|node| envelopes(&net, node));
        read_all(&mut net, BOB, ana);
        if answers {
            net.send(BOB, ana, "hello");
        }
        net.run(1_000_000);
        assert_eq!(stages(&net, ANA, &[text]), [READ]);
        assert_eq!(envelopes(&net, BOB) - before[BOB], 1, "the confirmation, or the answer");
        assert_eq!(envelopes(&net, ANA) - before[ANA], usize::from(answers), "nobody confirms it");
    }
}

#[test]
fn a_hundred_messages_cost_one_envelope() {
    let (mut net, bob, ana) = tellers();
    let texts: Vec<_> = (0..100).map(|count| net.send(ANA, bob, &format!("a{count}"))).collect();
    net.run(30_000);
    assert_eq!(received(&net, BOB).len(), 100);
    let before = envelopes(&net, BOB);
    read_all(&mut net, BOB, ana);
    net.run(10_000);
    assert_eq!(stages(&net, ANA, &texts), [READ; 100]);
    assert_eq!(envelopes(&net, BOB) - before, 1);
    // More than one has room for, go in as many as they need.
    let texts: Vec<_> = (0..250).map(|count| net.send(ANA, bob, &format!("b{count}"))).collect();
    net.run(120_000);
    let before = envelopes(&net, BOB);
    let newest = received(&net, BOB);
    read(&mut net, BOB, ana, Some(newest[99]), newest[349]);
    net.run(30_000);
    assert!(stages(&net, ANA, &texts).iter().all(|&stage| stage == READ));
    assert_eq!(envelopes(&net, BOB) - before, 3);
    net.check();
}

#[test]
fn a_text_that_comes_after_a_later_one_was_read_is_not_read_yet() {
    let (mut net, bob, ana) = tellers();
    net.publish_lost = true;
    let late = net.send(ANA, bob, "late");
    net.run(500);
    net.publish_lost = false;
    let early = net.send(ANA, bob, "early");
    net.run(700);
    assert_eq!(net.received(BOB), ["early"]);
    read_all(&mut net, BOB, ana);
    net.run(500);
    assert_eq!(net.stage(ANA, early), Some(READ));
    assert_ne!(net.stage(ANA, late), Some(READ));
    net.release_withheld();
    net.run(10_000);
    assert_eq!(stages(&net, ANA, &[late, early]), [DELIVERED, READ], "it came, and nobody looked");
    let came = received(&net, BOB);
    read(&mut net, BOB, ana, Some(came[0]), came[1]);
    net.run(2_000);
    assert_eq!(stages(&net, ANA, &[late, early]), [READ, READ]);
}

#[test]
fn word_of_it_stands_for_a_confirmation_that_was_lost() {
    let (mut net, bob, ana) = tellers();
    let long = "x".repeat(9_000);
    // The confirmations are on the disk of nobody: Bob's computer dies with them under way.
    net.publish_lost = true;
    let texts = [long.as_str(), "short"].map(|text| net.send(ANA, bob, text));
    net.run(500);
    net.publish_lost = false;
    net.release_withheld();
    net.isolate(ANA);
    net.run(5_000);
    assert_eq!(net.received(BOB).len(), 2);
    assert!(texts.iter().all(|&text| net.stage(ANA, text) < Some(DELIVERED)));
    read_all(&mut net, BOB, ana);
    net.run(5_000);
    // She hears nothing but what comes last.
    net.link_with_all(ANA);
    net.run(10_000);
    assert_eq!(stages(&net, ANA, &texts), [READ, READ]);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    net.check();
}

#[test]
fn a_file_is_read_like_a_text() {
    let (mut net, bob, ana) = tellers();
    let file = OutgoingFile { name: "notes.bin".into(), voice: None, bytes: vec![7; 50_000] };
    let (text, file) = ("for you".to_owned(), Some(Box::new(file)));
    let send = Command::Send { contact: bob, text, file, reply_to: None, client_id: None, expires_s: None };
    let Reply::Message { message, .. } = net.command(ANA, send) else { panic!("not sent") };
    net.run(3_000);
    assert_eq!(stages(&net, ANA, &[message.number]), [DELIVERED]);
    read_all(&mut net, BOB, ana);
    net.run(2_000);
    assert_eq!(stages(&net, ANA, &[message.number]), [READ]);
    net.check();
}

#[test]
fn what_was_read_while_nobody_was_there_is_told_later_with_the_time_at_which_it_was() {
    let (mut net, bob, ana) = tellers();
    let text = net.send(ANA, bob, "hi");
    net.run(2_000);
    net.isolate(BOB);
    let at_ms = net.now().unix_ms;
    read_all(&mut net, BOB, ana);
    net.run(3 * 60 * MINUTE_MS);
    net.stop(BOB);
    net.restart(BOB, true);
    net.link_with_all(BOB);
    net.run(10_000);
    assert_eq!(stages(&net, ANA, &[text]), [READ]);
    assert!(record(&net, ANA, text).message.state.since_unix_ms <= at_ms);
}

#[test]
fn an_envelope_that_never_got_into_the_network_is_made_good() {
    let mut net = Net::with(4, slow_parameters());
    net.link_all();
    net.run(60_000);
    let (bob, ana) = net.friends(ANA, BOB);
    net.run(120_000);
    set_both(&mut net);
    let text = net.send(ANA, bob, "hi");
    net.run(120_000);
    assert_eq!(net.stage(ANA, text), Some(DELIVERED));
    net.publish_lost = true;
    read_all(&mut net, BOB, ana);
    net.run(MINUTE_MS);
    // Longer than an envelope of confirmations is sealed again for.
    net.isolate(BOB);
    net.sleep_hours(30);
    net.publish_lost = false;
    net.link_with_all(BOB);
    net.run(10 * MINUTE_MS);
    assert_eq!(stages(&net, ANA, &[text]), [READ]);
    net.check();
}

#[test]
fn a_crash_at_any_point_loses_nothing_and_tells_nothing_else() {
    for victim in [ANA, BOB] {
        for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs] {
            for nth in 1..12 {
                let (mut net, bob, ana) = tellers();
                let texts = ["one", "two"].map(|text| send_alone(&mut net, bob, text));
                net.crash_at(victim, nth, crash);
                for _ in 0..4 {
                    if !net.is_down(BOB) {
                        // A program that got no answer asks again.
                        let came = received(&net, BOB)[0];
                        let id = starling_messenger::turn::RequestId(1_000_000);
                        let command = Command::MarkRead { contact: ana, after: None, up_to: came };
                        net.step(BOB, starling_messenger::turn::Input::Command { id, command });
                        net.nodes[BOB].replies.remove(&id);
                    }
                    net.run(700);
                    if net.is_down(victim) {
                        net.restart(victim, true);
                        net.link_with_all(victim);
                    }
                }
                net.disarm(victim);
                net.run(10_000);
                let what = format!("victim {victim}, turn {nth}, {crash:?}");
                let stage = |number| record(&net, ANA, number).message.state.stage;
                assert_eq!(texts.map(stage), [READ, DELIVERED], "{what}");
                net.check();
            }
        }
    }
}

#[test]
fn whoever_is_blocked_is_told_nothing_and_what_came_before_when_it_ends() {
    let (mut net, bob, ana) = patient_tellers();
    let texts = ["one", "two"].map(|text| send_alone(&mut net, bob, text));
    let came = received(&net, BOB);
    read(&mut net, BOB, ana, None, came[0]);
    let block = |blocked| Command::SetBlocked { contact: ana, blocked };
    assert!(matches!(net.command(BOB, block(true)), Reply::Contact(_)));
    read(&mut net, BOB, ana, Some(came[0]), came[1]);
    net.run(1_000_000);
    assert!(texts.iter().all(|&text| net.stage(ANA, text) != Some(READ)));
    net.command(BOB, block(false));
    net.run(1_000_000);
    assert_eq!(stages(&net, ANA, &texts), [READ, DELIVERED]);
    let nobody = Command::MarkRead { contact: ContactNumber(99), after: None, up_to: came[0] };
    assert_eq!(net.command(BOB, nobody), Reply::Refused(CommandError::NoSuchContact));
}

#[test]
fn a_restored_device_knows_what_was_read_and_goes_on_telling() {
    let (mut net, bob, ana) = tellers();
    let text = net.send(ANA, bob, "hi");
    net.run(2_000);
    read_all(&mut net, BOB, ana);
    net.run(2_000);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(20_000);
    assert_eq!(record(&net, restored, text).message.state.stage, READ);
    let newer = net.send(restored, bob, "new here");
    let theirs = net.send(BOB, ana, "I see");
    net.run(10_000);
    let newest = received(&net, BOB);
    read(&mut net, BOB, ana, Some(newest[0]), newest[1]);
    read_all(&mut net, restored, bob);
    net.run(10_000);
    assert_eq!(stages(&net, restored, &[newer]), [READ]);
    assert_eq!(stages(&net, BOB, &[theirs]), [READ]);
    // It was off before: so it is after.
    set(&mut net, restored, false);
    let backup = net.backup(restored);
    net.stop(restored);
    let again = net.add_restored(&backup);
    let Reply::Status(status) = net.command(again, Command::Status) else { panic!() };
    assert!(!status.read_receipts);
}

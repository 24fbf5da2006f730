//! Files: they arrive whole, byte by byte, in envelopes of both sizes; and what is to be forgotten of them is.

use std::collections::BTreeSet;

use starling_messenger::FILE_BYTES_MAX;
use starling_messenger::backup::{BackupRecord, Import};
use starling_messenger::record::RecordKind;
use starling_messenger::turn::{Command, CommandError, ContactNumber, MessageNumber, OutgoingFile, Reply, Target};
use starling_messenger::view::{DeliveryStage, Event, FileKind, MessageBody, PartsState, Voice};
use starling_wire::limits::CELL_LARGE_BYTES;

use crate::net::{Crash, Net};

const ANA: usize = 0;
const BOB: usize = 1;

/// Bytes of which no eight in a row come twice.
fn bytes(count: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=(count / 8) as u64).flat_map(|at| (at | 0xABCD << 48).to_le_bytes()).collect();
    bytes.truncate(count);
    bytes
}

fn file(name: &str, bytes: Vec<u8>) -> OutgoingFile {
    OutgoingFile { name: name.into(), voice: None, bytes }
}

fn command(contact: ContactNumber, text: &str, file: OutgoingFile) -> Command {
    let (text, file) = (text.into(), Some(Box::new(file)));
    Command::Send { contact, text, file, reply_to: None, client_id: None, expires_s: None }
}

fn send(net: &mut Net, node: usize, contact: ContactNumber, text: &str, file: OutgoingFile) -> MessageNumber {
    match net.command(node, command(contact, text, file)) {
        Reply::Message { message, known: false } => message.number,
        other => panic!("{other:?}"),
    }
}

/// What of a message's bytes lies anywhere in a node's vault.
fn knows(net: &Net, node: usize, bytes: &[u8]) -> bool {
    let probe = &bytes[bytes.len() / 2..][..16];
    net.nodes[node].vault.values().any(|value| value.windows(probe.len()).any(|part| part == probe))
}

fn target(net: &Net, node: usize, number: MessageNumber) -> Box<Target> {
    let record = net.history(node).into_iter().find(|record| record.message.number == number);
    Box::new(Target::from(&record.expect("it is in the history")))
}

/// The files that a node has in a conversation: name, text, bytes; in the order of their numbers.
fn files(net: &Net, node: usize, contact: ContactNumber) -> Vec<(String, String, Vec<u8>)> {
    let mut all: Vec<_> = net.history(node).into_iter().map(|record| record.message).collect();
    all.sort_by_key(|message| message.number);
    let of = |message: &MessageBody| message.file().cloned();
    let bytes = |number| net.file(node, contact, number).expect("its bytes are there");
    let shown = all.iter().filter_map(|message| Some((message.number, of(&message.body)?)));
    shown.map(|(number, file)| (file.name, file.text, bytes(number))).collect()
}

#[test]
fn files_of_all_sizes_arrive_byte_by_byte_among_texts() {
    let (mut net, bob, ana) = Net::two_friends();
    let sizes = [1, 1_700, 1_900, 13_000, 13_200, 16_205, 20_000, FILE_BYTES_MAX];
    let mut numbers = Vec::new();
    for (at, size) in sizes.into_iter().enumerate() {
        numbers.push(send(&mut net, ANA, bob, &format!("number {at}"), file(&format!("{at}.bin"), bytes(size))));
        numbers.push(net.send(ANA, bob, "between"));
    }
    net.run(60_000);
    let large = net.nodes[ANA].pushes.iter().filter(|(_, bytes)| *bytes == CELL_LARGE_BYTES).count();
    assert!(numbers.iter().all(|&number| net.delivered(ANA, number)));
    let expected: Vec<_> = sizes
        .into_iter()
        .enumerate()
        .map(|(at, size)| (format!("{at}.bin"), format!("number {at}"), bytes(size)))
        .collect();
    assert_eq!(files(&net, BOB, ana), expected);
    assert_eq!(files(&net, ANA, bob), expected);
    assert_eq!(large, 2 + 1 + 4, "in large envelopes what costs less so");
    for node in [ANA, BOB] {
        let left = [RecordKind::Outbox, RecordKind::Part, RecordKind::WaitingFile];
        assert_eq!(left.map(|kind| net.records(node, kind)), [0; 3]);
    }
    net.check();
}

#[test]
fn its_writer_sees_how_far_its_parts_came() {
    let (mut net, bob, _) = Net::two_friends();
    let Reply::Message { message, .. } = net.command(ANA, command(bob, "", file("a", bytes(FILE_BYTES_MAX)))) else {
        panic!("it is taken");
    };
    let (number, first) = (message.number, PartsState { of: 4, stamped: 0, held: 0, delivered: 0 });
    assert_eq!(message.state.parts, Some(first), "from the start");
    assert!(net.delivered_within(ANA, number, 60));
    let states = net.nodes[ANA].events.iter().filter_map(|event| match event {
        Event::MessageState { number: of, state, .. } if *of == number => Some(state.parts),
        _ => None,
    });
    let states: Vec<PartsState> = states.flatten().collect();
    let rises = |count: fn(&PartsState) -> u8| states.windows(2).all(|two| count(&two[0]) <= count(&two[1]));
    assert!(rises(|parts| parts.stamped) && rises(|parts| parts.held) && rises(|parts| parts.delivered));
    assert!(states.iter().any(|parts| parts.stamped > 0 && parts.delivered == 0));
    assert_eq!(states.first(), Some(&first));
    assert_eq!(states.last(), Some(&PartsState { of: 4, stamped: 4, held: 4, delivered: 4 }));
    net.check();
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_limit() {
    let (mut net, bob, _) = Net::two_friends();
    let too_large = CommandError::TooLarge { bytes: FILE_BYTES_MAX + 1, limit_bytes: FILE_BYTES_MAX };
    let long_text = CommandError::TooLarge { bytes: 1_025, limit_bytes: 1_024 };
    let note = |duration_ms, bytes| OutgoingFile {
        name: String::new(),
        voice: Some(Voice { duration_ms, peaks: Vec::new() }),
        bytes,
    };
    let mut opus = b"OggS".to_vec();
    opus.resize(28, 0);
    opus.extend(b"OpusHead");
    let text = "x".repeat(1_025);
    for (text, file, expected) in [
        ("", file("a", Vec::new()), CommandError::EmptyFile),
        ("", file("a", bytes(FILE_BYTES_MAX + 1)), too_large),
        (text.as_str(), file("a", bytes(5)), long_text),
        ("", note(5, bytes(100)), CommandError::BadVoice),
        ("", note(30_001, opus.clone()), CommandError::BadVoice),
    ] {
        assert_eq!(net.command(ANA, command(bob, text, file)), Reply::Refused(expected));
    }
    let number = send(&mut net, ANA, bob, "", note(30_000, opus));
    let body = target_body(&net, ANA, number);
    assert!(matches!(body.file().unwrap().kind, FileKind::Voice(_)));
    // A file has no wordings.
    let target = target(&net, ANA, number);
    let edit = Command::Edit { target, text: "x".into() };
    assert_eq!(net.command(ANA, edit), Reply::Refused(CommandError::NoText));
}

fn target_body(net: &Net, node: usize, number: MessageNumber) -> MessageBody {
    let record = net.history(node).into_iter().find(|record| record.message.number == number);
    record.expect("it is in the history").message.body
}

#[test]
fn restarts_and_crashes_of_both_lose_no_byte() {
    for victim in [ANA, BOB] {
        for nth in (1..=14).step_by(3) {
            for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs] {
                let (mut net, bob, ana) = Net::two_friends();
                let number = send(&mut net, ANA, bob, "t", file("a", bytes(30_000)));
                net.crash_at(victim, nth, crash);
                net.run(2_000);
                if net.is_down(victim) {
                    net.restart(victim, true);
                    net.link_with_all(victim);
                }
                net.disarm(victim);
                assert!(net.delivered_within(ANA, number, 30), "victim {victim}, turn {nth}, {crash:?}");
                assert_eq!(files(&net, BOB, ana), [("a".into(), "t".into(), bytes(30_000))]);
                net.check();
            }
        }
    }
}

#[test]
fn nothing_of_a_deleted_file_stays_on_either_side() {
    let (mut net, bob, ana) = Net::two_friends();
    let number = send(&mut net, ANA, bob, "look", file("a", bytes(5_000)));
    let other = send(&mut net, ANA, bob, "", file("b", vec![7; 6_000]));
    net.run(10_000);
    assert!(knows(&net, ANA, &bytes(5_000)) && knows(&net, BOB, &bytes(5_000)));
    // Reactions go to files as well.
    let theirs = net.history(BOB).into_iter().find(|record| record.message.body.file().unwrap().name == "a").unwrap();
    let react = Command::React { target: Box::new(Target::from(&theirs)), emoji: Some("👍".into()) };
    assert_eq!(net.command(BOB, react), Reply::Done);
    net.run(3_000);
    let record = net.history(ANA).into_iter().find(|record| record.message.number == number).unwrap();
    assert_eq!(record.message.shown_reactions().count(), 1);
    assert_eq!(net.command(ANA, Command::Delete { target: target(&net, ANA, number), for_both: true }), Reply::Done);
    net.run(5_000);
    for (node, contact) in [(ANA, bob), (BOB, ana)] {
        assert!(!knows(&net, node, &bytes(5_000)));
        assert_eq!((files(&net, node, contact).len(), net.records(node, RecordKind::File)), (1, 1));
    }
    // Only here.
    net.command(ANA, Command::Delete { target: target(&net, ANA, other), for_both: false });
    assert_eq!((net.records(ANA, RecordKind::File), net.records(BOB, RecordKind::File)), (0, 1));
    // And one that is on its way.
    let number = send(&mut net, ANA, bob, "", file("c", bytes(40_000)));
    net.run(100);
    net.command(ANA, Command::Delete { target: target(&net, ANA, number), for_both: true });
    net.run(20_000);
    assert!(!knows(&net, ANA, &bytes(40_000)) && !knows(&net, BOB, &bytes(40_000)));
    assert_eq!((net.records(ANA, RecordKind::WaitingFile), net.records(ANA, RecordKind::Outbox)), (0, 0));
    net.check();
}

#[test]
fn a_backup_has_the_files_that_came_and_those_on_their_way() {
    let (mut net, bob, ana) = Net::two_friends();
    send(&mut net, BOB, ana, "from Bob", file("came", bytes(10_000)));
    send(&mut net, ANA, bob, "from Ana", file("went", bytes(9_000)));
    net.run(20_000);
    let number = send(&mut net, ANA, bob, "half", file("half", bytes(60_000)));
    net.run_until_some_came(BOB);
    net.isolate(ANA);
    net.run(500);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    assert!(net.delivered_within(restored, number, 60));
    let all: Vec<_> = files(&net, restored, bob).into_iter().map(|(name, _, bytes)| (name, bytes.len())).collect();
    let sizes = [("came", 10_000), ("went", 9_000), ("half", 60_000)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(BTreeSet::from_iter(all), BTreeSet::from(sizes));
    let at_bob: Vec<_> =
        files(&net, BOB, ana).into_iter().map(|(name, text, bytes)| (name, text, bytes.len())).collect();
    assert_eq!(at_bob.last(), Some(&("half".to_owned(), "half".to_owned(), 60_000)));
    // A file that does not stand before its message is damage, and so is a waiting one without its file.
    let taken = |records: &[&BackupRecord]| {
        let mut import = Import::new();
        let take = |record: &&BackupRecord| import.take(record.kind, &record.bytes).is_err();
        records.iter().position(take)
    };
    let (file, waiting) = (22, 10);
    let all: Vec<&BackupRecord> = backup.iter().collect();
    let at =
        backup.iter().position(|record| record.kind == file && record.bytes.len() < 50_000).expect("one that came");
    let mut moved = all.clone();
    moved.swap(at, at + 1);
    assert_eq!((taken(&all), taken(&moved)), (None, Some(at + 2)));
    let at = backup.iter().position(|record| record.kind == waiting).expect("one on its way");
    let mut without = all.clone();
    without.remove(at - 1);
    assert_eq!((all[at - 1].kind, taken(&without)), (file, Some(at - 1)));
    net.check();
}

#[test]
fn a_file_that_disappears_leaves_nothing() {
    let (mut net, bob, ana) = Net::two_friends();
    let (text, file) = (String::new(), Some(Box::new(file("a", bytes(5_000)))));
    let send = Command::Send { contact: bob, text, file, reply_to: None, client_id: None, expires_s: Some(60) };
    net.command(ANA, send);
    net.run(10_000);
    assert_eq!(files(&net, BOB, ana).len(), 1);
    let kept = net.backup(BOB);
    assert!(kept.iter().all(|record| record.kind != 22), "no backup keeps it");
    net.run(120_000);
    for node in [ANA, BOB] {
        assert!(!knows(&net, node, &bytes(5_000)) && net.records(node, RecordKind::File) == 0);
    }
    net.check();
}

#[test]
fn many_that_were_sent_to_somebody_away_all_come_when_they_are_back() {
    let (mut net, bob, ana) = Net::two_friends();
    net.stop(BOB);
    let numbers: Vec<_> =
        (0..60u8).map(|at| send(&mut net, ANA, bob, "", file(&format!("{at}"), vec![at; 17_000]))).collect();
    net.run(60_000);
    net.restart(BOB, true);
    net.link_with_all(BOB);
    net.run(120_000);
    assert_eq!(files(&net, BOB, ana).len(), 60);
    assert!(numbers.iter().all(|&number| net.delivered(ANA, number)));
    net.check();
}

#[test]
fn all_that_a_stranger_sent_comes_when_they_are_accepted() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let address = net.address(ANA);
    let ana = net.add(BOB, address).unwrap();
    let numbers: Vec<_> =
        (0..12u8).map(|at| send(&mut net, BOB, ana, "", file(&format!("{at}"), vec![at; 30_000]))).collect();
    net.run(30_000);
    let kept = net.nodes[ANA].vault.iter().filter(|(key, _)| key.kind == RecordKind::Part);
    assert!(kept.map(|(_, value)| value.len()).sum::<usize>() < 200_000, "of a stranger little is kept");
    let Reply::Requests(requests) = net.command(ANA, Command::Requests) else { panic!() };
    net.command(ANA, Command::AnswerRequest { request: requests[0].number, accept: true, name: None });
    net.run(60_000);
    assert!(numbers.iter().all(|&number| net.delivered(BOB, number)));
    let bob = net.contact(ANA);
    assert_eq!(files(&net, ANA, bob).len(), 12);
    net.check();
}

#[test]
fn a_file_whose_bytes_are_lost_is_given_up_and_nothing_else() {
    let (mut net, bob, ana) = Net::two_friends();
    net.stop(BOB);
    let number = send(&mut net, ANA, bob, "lost", file("a", bytes(20_000)));
    let text = net.send(ANA, bob, "not lost");
    net.run(2_000);
    net.stop(ANA);
    net.nodes[ANA].vault.retain(|key, _| key.kind != RecordKind::WaitingFile);
    net.restart(ANA, true);
    net.restart(BOB, true);
    for node in [ANA, BOB] {
        net.link_with_all(node);
    }
    net.run(30_000);
    assert!(net.delivered(ANA, text) && !net.delivered(ANA, number));
    assert_eq!(net.stage(ANA, number), Some(DeliveryStage::Expired));
    assert_eq!(net.received(BOB), ["not lost"]);
    assert_eq!(files(&net, ANA, bob).len(), 1, "what the history has of it stays");
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    let _ = ana;
}

#[test]
fn a_full_load_of_files_keeps_no_text_and_no_deletion_back() {
    let (mut net, bob, _) = Net::two_friends();
    net.isolate(ANA);
    let mut sent = Vec::new();
    let full = loop {
        match net.command(ANA, command(bob, "", file("a", vec![7; FILE_BYTES_MAX]))) {
            Reply::Message { message, .. } => sent.push(message.number),
            other => break other,
        }
        assert!(sent.len() < 300);
    };
    assert_eq!((full, sent.len()), (Reply::Refused(CommandError::OutboxFull), 263));
    net.send(ANA, bob, "a text goes on");
    let delete = Command::Delete { target: target(&net, ANA, sent[0]), for_both: true };
    assert_eq!(net.command(ANA, delete), Reply::Done);
    send(&mut net, ANA, bob, "", file("a", vec![7; FILE_BYTES_MAX]));
}

//! Messages that are reacted to, edited and deleted: both sides see the same in the end, whatever came first.

use starling_messenger::CHANGEABLE_MS;
use starling_messenger::record::{HistoryRecord, RecordKind};
use starling_messenger::turn::{Command, CommandError, ContactNumber, MessageNumber, Reply, Target};
use starling_messenger::view::{Event, MessageBody};

use crate::net::{Crash, Net, slow_parameters};

const ANA: usize = 0;
const BOB: usize = 1;

fn record(net: &Net, node: usize, number: MessageNumber) -> HistoryRecord {
    net.history(node).into_iter().find(|record| record.message.number == number).expect("it is in the history")
}

fn target(net: &Net, node: usize, number: MessageNumber) -> Box<Target> {
    Box::new(Target::from(&record(net, node, number)))
}

/// The message that says `text` to a node.
fn number_of(net: &Net, node: usize, text: &str) -> MessageNumber {
    let says = |record: &HistoryRecord| record.message.body == MessageBody::Text(text.into());
    net.history(node).into_iter().find(says).expect("it came").message.number
}

fn react(net: &mut Net, node: usize, number: MessageNumber, emoji: Option<&str>) -> Reply {
    let command = Command::React { target: target(net, node, number), emoji: emoji.map(str::to_owned) };
    net.command(node, command)
}

fn edit(net: &mut Net, node: usize, number: MessageNumber, text: &str) -> Reply {
    let command = Command::Edit { target: target(net, node, number), text: text.into() };
    net.command(node, command)
}

fn delete(net: &mut Net, node: usize, number: MessageNumber, for_both: bool) -> Reply {
    let command = Command::Delete { target: target(net, node, number), for_both };
    net.command(node, command)
}

/// A message as its people see it: whose, what it says, whether it was edited, what is felt about it.
type Shown = (bool, Option<String>, bool, Vec<(bool, String)>);

/// A conversation as people see it, in the order of the texts.
fn shown(net: &Net, node: usize, contact: ContactNumber) -> Vec<Shown> {
    let mut all: Vec<Shown> = net
        .history(node)
        .into_iter()
        .map(|record| record.message)
        .filter(|message| message.contact == contact)
        .map(|message| {
            let MessageBody::Text(text) = &message.body else { panic!("nobody sent such a thing") };
            let text = (!message.deleted).then(|| text.clone());
            let reactions = message.shown_reactions().map(|one| (one.own, one.emoji.clone()));
            let mut reactions: Vec<_> = reactions.collect();
            reactions.sort();
            (message.own, text, message.edited_unix_ms.is_some(), reactions)
        })
        .collect();
    all.sort();
    all
}

/// The same as the other side would say it.
fn mirrored(shown: Vec<Shown>) -> Vec<Shown> {
    let turn = |reactions: Vec<(bool, String)>| {
        let mut turned: Vec<_> = reactions.into_iter().map(|(own, emoji)| (!own, emoji)).collect();
        turned.sort();
        turned
    };
    let mut all: Vec<Shown> =
        shown.into_iter().map(|(own, text, edited, reactions)| (!own, text, edited, turn(reactions))).collect();
    all.sort();
    all
}

fn assert_same(net: &Net, bob: ContactNumber, ana: ContactNumber) {
    assert_eq!(shown(net, ANA, bob), mirrored(shown(net, BOB, ana)));
}

fn knows(net: &Net, node: usize, text: &str) -> bool {
    net.nodes[node].vault.values().any(|value| value.windows(text.len()).any(|part| part == text.as_bytes()))
}

fn changes_told(net: &Net, node: usize) -> usize {
    net.nodes[node].events.iter().filter(|event| matches!(event, Event::MessageChanged { .. })).count()
}

#[test]
fn both_sides_see_reactions_wordings_and_ends() {
    let (mut net, bob, ana) = Net::two_friends();
    let texts = ["to like", "to reword", "to regret"].map(|text| net.send(ANA, bob, text));
    net.run(2_000);
    let [liked, _, _] = ["to like", "to reword", "to regret"].map(|text| number_of(&net, BOB, text));
    assert_eq!(react(&mut net, BOB, liked, Some("👍")), Reply::Done);
    assert_eq!(react(&mut net, ANA, texts[0], Some("🎉")), Reply::Done);
    assert_eq!(edit(&mut net, ANA, texts[1], "reworded"), Reply::Done);
    assert_eq!(delete(&mut net, ANA, texts[2], true), Reply::Done);
    net.run(3_000);
    let both = vec![(false, "👍".to_owned()), (true, "🎉".to_owned())];
    let expected: Vec<Shown> = vec![
        (true, None, false, vec![]),
        (true, Some("reworded".to_owned()), true, vec![]),
        (true, Some("to like".to_owned()), false, both),
    ];
    assert_eq!(shown(&net, ANA, bob), expected);
    assert_same(&net, bob, ana);
    assert_eq!(net.received(BOB).len(), 3, "none of it is a message of its own");
    assert_eq!(changes_told(&net, BOB), 4, "his own, and three of hers");
    for node in [ANA, BOB] {
        assert!(!knows(&net, node, "to regret") && !knows(&net, node, "to reword"));
        assert_eq!(net.records(node, RecordKind::Outbox), 0, "all was confirmed");
    }
    // Another one in its place, and none.
    react(&mut net, BOB, liked, Some("😀"));
    react(&mut net, ANA, texts[0], None);
    net.run(3_000);
    assert_eq!(shown(&net, ANA, bob)[2].3, [(false, "😀".to_owned())]);
    assert_same(&net, bob, ana);
    net.check();
}

/// Sends a text whose envelope is held up until `change` was done and had its time.
fn overtaken(change: impl FnOnce(&mut Net, MessageNumber)) -> (Net, ContactNumber, ContactNumber) {
    let (mut net, bob, ana) = Net::two_friends();
    net.publish_lost = true;
    let text = net.send(ANA, bob, "late");
    net.run(500);
    net.publish_lost = false;
    change(&mut net, text);
    net.run(700);
    assert!(net.received(BOB).is_empty(), "it is still held up");
    (net, bob, ana)
}

#[test]
fn an_edit_and_a_reaction_that_overtake_their_text_wait_for_it() {
    let (mut net, bob, ana) = overtaken(|net, text| {
        edit(net, ANA, text, "second wording");
        net.run(300);
        edit(net, ANA, text, "third wording");
        react(net, ANA, text, Some("❤️"));
    });
    assert_eq!(net.records(BOB, RecordKind::Early), 1);
    // And over a restart.
    net.stop(BOB);
    net.restart(BOB, true);
    for other in [ANA, 2, 3] {
        net.link(BOB, other);
    }
    net.run(60_000);
    assert_eq!(net.received(BOB), ["third wording"]);
    assert_eq!(shown(&net, BOB, ana), [(false, Some("third wording".into()), true, vec![(false, "❤️".to_owned())])]);
    assert_same(&net, bob, ana);
    assert_eq!(net.records(BOB, RecordKind::Early), 0);
    net.check();
}

#[test]
fn a_text_that_comes_after_its_end_says_nothing_and_nobody_is_told_that_one_came() {
    let (mut net, bob, ana) = overtaken(|net, text| {
        edit(net, ANA, text, "still late");
        net.run(200);
        assert_eq!(delete(net, ANA, text, true), Reply::Done);
    });
    assert_eq!(net.records(BOB, RecordKind::Early), 1);
    // Ana's node does not send it any more, but what left it before comes in the end.
    net.release_withheld();
    net.run(10_000);
    assert!(net.received(BOB).is_empty());
    assert_eq!(changes_told(&net, BOB), 1);
    assert_eq!(shown(&net, ANA, bob), [(true, None, false, vec![])]);
    assert_same(&net, bob, ana);
    assert!(!knows(&net, BOB, "late") && !knows(&net, ANA, "late"));
    assert_eq!(net.records(BOB, RecordKind::Early), 0);
    net.check();
}

#[test]
fn the_highest_wording_counts_whichever_came_last() {
    let (mut net, bob, ana) = Net::two_friends();
    let text = net.send(ANA, bob, "one");
    net.run(2_000);
    net.publish_lost = true;
    edit(&mut net, ANA, text, "two");
    net.run(500);
    net.publish_lost = false;
    edit(&mut net, ANA, text, "three");
    net.run(700);
    assert_eq!(shown(&net, BOB, ana), [(false, Some("three".into()), true, vec![])]);
    net.run(60_000);
    assert_eq!(shown(&net, BOB, ana), [(false, Some("three".into()), true, vec![])]);
    assert_same(&net, bob, ana);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0, "the older one was confirmed too");
    net.check();
}

#[test]
fn two_edits_asked_for_by_the_same_reading_are_one_after_the_other() {
    let (mut net, bob, ana) = Net::two_friends();
    let text = net.send(ANA, bob, "zero");
    net.run(2_000);
    let read = target(&net, ANA, text);
    for wording in ["b", "a"] {
        net.command(ANA, Command::Edit { target: read.clone(), text: wording.into() });
    }
    net.run(3_000);
    assert_eq!(shown(&net, BOB, ana), [(false, Some("a".into()), true, vec![])]);
    assert_same(&net, bob, ana);
}

#[test]
fn nobody_changes_what_another_wrote() {
    let (mut net, bob, ana) = Net::two_friends();
    let carol_for_bob = {
        let invite = net.invite(BOB, Some("Carol"));
        let theirs = net.add(2, invite).unwrap();
        net.run(3_000);
        theirs
    };
    let text = net.send(ANA, bob, "mine");
    net.run(2_000);
    let came = number_of(&net, BOB, "mine");
    for command in [
        Command::Edit { target: target(&net, BOB, came), text: "yours".into() },
        Command::Delete { target: target(&net, BOB, came), for_both: true },
    ] {
        assert_eq!(net.command(BOB, command), Reply::Refused(CommandError::NotYours));
    }
    // A program of Bob's that says otherwise, and Carol's, who was told the message's id.
    let forged = |net: &Net, contact| Target { contact, own: true, ..*target(net, BOB, came) };
    let mut before = shown(&net, BOB, ana);
    for (node, contact) in [(BOB, ana), (2, carol_for_bob)] {
        let target = Box::new(forged(&net, contact));
        net.command(node, Command::Edit { target: target.clone(), text: "forged".into() });
        net.command(node, Command::React { target: target.clone(), emoji: Some("👎".into()) });
        net.command(node, Command::Delete { target, for_both: true });
        net.run(3_000);
        assert_eq!(net.records(node, RecordKind::Outbox), 0, "it was confirmed all the same");
        if node == BOB {
            // What he did to his own copy is his own affair.
            assert_eq!(shown(&net, ANA, bob)[0].1.as_deref(), Some("mine"));
            before = shown(&net, BOB, ana);
        }
    }
    assert_eq!(shown(&net, BOB, ana), before);
    assert_eq!(record(&net, ANA, text).message.body, MessageBody::Text("mine".into()));
    net.check();
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let mut net = Net::with(3, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(ANA, BOB);
    let text = net.send(ANA, bob, "here");
    net.run(60_000);
    let refused = |reply| match reply {
        Reply::Refused(error) => error,
        other => panic!("{other:?}"),
    };
    for emoji in [&"x".repeat(33), "\u{202e}", "a b"] {
        assert_eq!(refused(react(&mut net, ANA, text, Some(emoji))), CommandError::BadEmoji);
    }
    assert_eq!(refused(edit(&mut net, ANA, text, "")), CommandError::EmptyText);
    let long = "x".repeat(64_001);
    assert!(matches!(refused(edit(&mut net, ANA, text, &long)), CommandError::TooLarge { bytes: 64_001, .. }));
    net.command(ANA, Command::SetBlocked { contact: bob, blocked: true });
    assert_eq!(refused(react(&mut net, ANA, text, Some("👍"))), CommandError::Blocked);
    net.command(ANA, Command::SetBlocked { contact: bob, blocked: false });
    net.sleep_hours(CHANGEABLE_MS / 3_600_000 + 1);
    for reply in [edit(&mut net, ANA, text, "too late"), delete(&mut net, ANA, text, true)] {
        assert_eq!(refused(reply), CommandError::TooOld { limit_ms: CHANGEABLE_MS });
    }
    assert_eq!(shown(&net, ANA, bob), [(true, Some("here".into()), false, vec![])]);
    let late = net.send(ANA, bob, "soon gone");
    delete(&mut net, ANA, late, true);
    assert_eq!(refused(react(&mut net, ANA, late, Some("👍"))), CommandError::Deleted);
    assert_eq!(delete(&mut net, ANA, late, true), Reply::Done, "it is what was asked for");
}

#[test]
fn deleted_here_alone_it_stays_with_the_other() {
    let (mut net, bob, ana) = Net::two_friends();
    let kept = net.send(ANA, bob, "kept by Bob");
    net.run(2_000);
    net.send(BOB, ana, "kept by Bob too");
    net.run(2_000);
    let received = number_of(&net, ANA, "kept by Bob too");
    for number in [kept, received] {
        assert_eq!(delete(&mut net, ANA, number, false), Reply::Done);
    }
    net.run(3_000);
    assert!(!knows(&net, ANA, "kept by Bob") && net.history(ANA).is_empty());
    assert_eq!(net.history(BOB).len(), 2);
    // What Bob does about it finds nothing here, and brings nothing back.
    let text = number_of(&net, BOB, "kept by Bob");
    react(&mut net, BOB, text, Some("👍"));
    let own = number_of(&net, BOB, "kept by Bob too");
    edit(&mut net, BOB, own, "reworded");
    net.run(3_000);
    assert!(net.history(ANA).is_empty());
    assert_eq!(net.records(BOB, RecordKind::Outbox), 0);
    net.check();
}

#[test]
fn what_never_left_is_never_heard_of() {
    let (mut net, bob, ana) = Net::two_friends();
    net.isolate(ANA);
    let text = net.send(ANA, bob, "on second thought");
    edit(&mut net, ANA, text, "on third thought");
    react(&mut net, ANA, text, Some("🤔"));
    delete(&mut net, ANA, text, true);
    assert_eq!(net.records(ANA, RecordKind::Outbox), 0);
    assert!(!knows(&net, ANA, "thought"));
    for other in [BOB, 2, 3] {
        net.link(ANA, other);
    }
    net.run(10_000);
    assert_eq!(shown(&net, ANA, bob), [(true, None, false, vec![])]);
    assert!(shown(&net, BOB, ana).is_empty());
}

#[test]
fn an_edited_text_disappears_when_the_first_one_would_have() {
    let mut net = Net::with(4, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(ANA, BOB);
    net.run(60_000);
    let command = |text: &str| Command::Send {
        contact: bob,
        text: text.into(),
        file: None,
        reply_to: None,
        client_id: None,
        expires_s: Some(3_600),
    };
    let numbers = ["for an hour", "not even that"].map(|text| match net.command(ANA, command(text)) {
        Reply::Message { message, .. } => message.number,
        other => panic!("{other:?}"),
    });
    net.run(1_800_000);
    edit(&mut net, ANA, numbers[0], "for half of one");
    delete(&mut net, ANA, numbers[1], true);
    net.run(300_000);
    for (node, contact) in [(ANA, bob), (BOB, ana)] {
        let texts: Vec<_> = shown(&net, node, contact).into_iter().map(|(_, text, ..)| text).collect();
        assert_eq!(texts, [None, Some("for half of one".into())]);
    }
    net.run(1_800_000);
    assert!(net.history(ANA).is_empty() && net.history(BOB).is_empty(), "what is left of the deleted one too");
    net.check();
}

#[test]
fn a_crash_anywhere_loses_no_change_and_does_none_twice() {
    for victim in [ANA, BOB] {
        for nth in 1..=12 {
            for crash in [Crash::BeforeCommit, Crash::AfterCommit, Crash::AmongOutputs] {
                crashed(victim, nth, crash);
            }
        }
    }
}

fn revive(net: &mut Net, node: usize) {
    if net.is_down(node) {
        net.restart(node, true);
        for other in (0..net.nodes.len()).filter(|&other| other != node) {
            net.link(node, other);
        }
    }
}

/// A command that is asked for again until it is answered, as a person would.
fn insist(net: &mut Net, node: usize, command: Command) {
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

fn crashed(victim: usize, nth: u32, crash: Crash) {
    let (mut net, bob, ana) = Net::two_friends();
    let texts = ["one", "two"].map(|text| net.send(ANA, bob, text));
    net.run(2_000);
    let liked = number_of(&net, BOB, "one");
    net.crash_at(victim, nth, crash);
    for round in 0..5 {
        let (node, number) = [(ANA, texts[0]), (BOB, liked), (ANA, texts[1]), (BOB, liked), (ANA, texts[0])][round];
        let target = target(&net, node, number);
        let command = match round {
            0 => Command::Edit { target, text: "uno".into() },
            1 => Command::React { target, emoji: Some("👍".into()) },
            2 => Command::Delete { target, for_both: true },
            3 => Command::React { target, emoji: Some("🎉".into()) },
            _ => Command::Edit { target, text: "eins".into() },
        };
        insist(&mut net, node, command);
        net.run(300);
        revive(&mut net, victim);
    }
    net.run(5_000);
    revive(&mut net, victim);
    net.disarm(victim);
    net.run(5_000);
    let eins = (true, Some("eins".to_owned()), true, vec![(false, "🎉".to_owned())]);
    let label = format!("victim {victim}, turn {nth}, {crash:?}");
    assert_eq!(shown(&net, ANA, bob), [(true, None, false, vec![]), eins], "{label}");
    assert_eq!(shown(&net, ANA, bob), mirrored(shown(&net, BOB, ana)), "{label}");
    net.check();
}

#[test]
fn a_backup_carries_what_has_changed_and_what_is_still_to_be_told() {
    let (mut net, bob, ana) = Net::two_friends();
    let texts = ["edited before", "edited after", "deleted after", "liked"].map(|text| net.send(ANA, bob, text));
    net.run(2_000);
    edit(&mut net, ANA, texts[0], "edited");
    let liked = number_of(&net, BOB, "liked");
    react(&mut net, BOB, liked, Some("👍"));
    net.run(3_000);
    // Bob hears nothing of the rest from this computer; and one of his own changes is too early.
    net.isolate(ANA);
    edit(&mut net, ANA, texts[1], "edited later");
    delete(&mut net, ANA, texts[2], true);
    react(&mut net, ANA, texts[3], Some("🎉"));
    let waiting = net.send(ANA, bob, "on its way");
    edit(&mut net, ANA, waiting, "on its way, edited");
    let before = shown(&net, ANA, bob);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    assert_eq!(shown(&net, restored, bob), before);
    for other in [BOB, 2, 3] {
        net.link(restored, other);
    }
    net.run(20_000);
    assert_eq!(shown(&net, restored, bob), before);
    assert_eq!(mirrored(shown(&net, BOB, ana)), before);
    assert_eq!(net.records(restored, RecordKind::Outbox), 0);
    // The new device goes on above what the old one said.
    edit(&mut net, restored, texts[1], "edited anew");
    react(&mut net, restored, texts[3], Some("❤️"));
    net.run(5_000);
    assert_eq!(shown(&net, restored, bob), mirrored(shown(&net, BOB, ana)));
    assert!(knows(&net, BOB, "edited anew") && knows(&net, BOB, "❤️"));
    net.check();
}

#[test]
fn a_backup_keeps_what_came_too_early() {
    let (mut net, _, ana) = overtaken(|net, text| {
        edit(net, ANA, text, "worded in time");
    });
    let backup = net.backup(BOB);
    net.stop(BOB);
    let restored = net.add_restored(&backup);
    for other in [ANA, 2, 3] {
        net.link(restored, other);
    }
    net.run(60_000);
    assert_eq!(shown(&net, restored, ana), [(false, Some("worded in time".into()), true, vec![])]);
    net.check();
}

//! A computer is lost, and its owner goes on from a backup: on a new device, with old contacts.

use starling_messenger::backup::{BackupRecord, Import, ImportError};
use starling_messenger::record::RecordKind;
use starling_messenger::turn::{Command, ContactNumber, MessageNumber, Reply};
use starling_messenger::view::{ContactState, ContactView, Event, InviteState};

use crate::net::{Net, slow_parameters};

const ANA: usize = 0;
const BOB: usize = 1;

/// Ana and Bob, who have talked, and two who carry their mail.
fn friends() -> (Net, ContactNumber, ContactNumber) {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(ANA, BOB);
    for round in 0..3 {
        net.send(ANA, bob, &format!("a{round}"));
        net.run(2_000);
        net.send(BOB, ana, &format!("b{round}"));
        net.run(2_000);
    }
    (net, bob, ana)
}

fn mark(net: &mut Net, node: usize, contact: ContactNumber) -> ContactView {
    match net.command(node, Command::SetVerified { contact, verified: true }) {
        Reply::Contact(view) => view,
        other => panic!("{other:?}"),
    }
}

fn contact_view(net: &mut Net, node: usize, contact: ContactNumber) -> ContactView {
    let Reply::Contacts(views) = net.command(node, Command::Contacts) else { panic!("no contacts") };
    views.into_iter().find(|view| view.number == contact).expect("still a contact")
}

#[test]
fn a_restored_device_knows_who_was_verified_and_keeps_their_mark_on_the_other_side() {
    let (mut net, bob, ana) = friends();
    let verified = mark(&mut net, ANA, bob).verified_unix_ms;
    assert!(verified.is_some());
    mark(&mut net, BOB, ana);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(20_000);
    assert_eq!(contact_view(&mut net, restored, bob).verified_unix_ms, verified);
    let seen_by_bob = contact_view(&mut net, BOB, ana);
    assert!(seen_by_bob.verified_unix_ms.is_some(), "the account is the same, so the number is");
    assert!(seen_by_bob.devices_changed_unix_ms.is_some(), "and Bob is told of the new device");
    assert_eq!(seen_by_bob.state, ContactState::Ready);
}

fn texts(net: &Net, node: usize, contact: ContactNumber, own: bool) -> Vec<String> {
    let said = net.conversation(node, contact).into_iter();
    said.filter(|(of, _)| *of == own).map(|(_, text)| text).collect()
}

fn numbered(letter: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{letter}{number}")).collect()
}

#[test]
fn a_conversation_goes_on_without_a_lost_or_doubled_text() {
    let (mut net, bob, ana) = friends();
    // Both write while Bob is away: nothing of it is confirmed when the backup is made.
    net.isolate(BOB);
    let from_ana: Vec<MessageNumber> = (3..6).map(|n| net.send(ANA, bob, &format!("a{n}"))).collect();
    let mut from_bob: Vec<MessageNumber> = (3..6).map(|n| net.send(BOB, ana, &format!("b{n}"))).collect();
    net.run(2_000);
    let backup = net.backup(ANA);
    // Written after it, and on its way when the computer is lost: Bob gets it all the same.
    net.send(ANA, bob, "a6");
    net.run(2_000);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    assert_eq!(texts(&net, restored, bob, true), numbered('a', 6), "the history is there at once");
    net.link_with_all(restored);
    net.run(3_000);
    net.link_with_all(BOB);
    net.run(20_000);
    assert!(from_ana.iter().all(|&message| net.delivered(restored, message)));
    assert!(from_bob.iter().all(|&message| net.delivered(BOB, message)));
    for number in 6..9 {
        from_bob.push(net.send(BOB, ana, &format!("b{number}")));
        net.run(2_000);
        let message = net.send(restored, bob, &format!("a{}", number + 1));
        net.run(3_000);
        assert!(net.delivered(restored, message) && from_bob.iter().all(|&message| net.delivered(BOB, message)));
    }
    assert_eq!(texts(&net, BOB, ana, false), numbered('a', 10));
    assert_eq!(texts(&net, BOB, ana, true), numbered('b', 9));
    assert_eq!(texts(&net, restored, bob, false), numbered('b', 9));
    let expected: Vec<String> = numbered('a', 10).into_iter().filter(|text| text != "a6").collect();
    assert_eq!(texts(&net, restored, bob, true), expected, "all but what was written after the backup");
    assert!(
        net.nodes[BOB].events.iter().any(|event| matches!(event, Event::ContactChanged(view) if view.number == ana))
    );
    assert_eq!(net.contact(BOB), ana, "no second Ana, and no request");
    net.check();
}

#[test]
fn what_was_sent_to_the_lost_device_arrives_at_the_new_one() {
    let (mut net, bob, ana) = friends();
    let backup = net.backup(ANA);
    net.stop(ANA);
    let sent: Vec<MessageNumber> = (3..8).map(|n| net.send(BOB, ana, &format!("b{n}"))).collect();
    net.run(10_000);
    assert!(!sent.iter().any(|&message| net.delivered(BOB, message)));
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(20_000);
    assert!(sent.iter().all(|&message| net.delivered(BOB, message)));
    assert_eq!(texts(&net, restored, bob, false), numbered('b', 8));
    net.check();
}

#[test]
fn an_answer_to_an_old_message_finds_it_and_new_ones_are_never_taken_for_old_ones() {
    let (mut net, bob, ana) = friends();
    let asked = net.send(ANA, bob, "question");
    net.run(3_000);
    let backup = net.backup(ANA);
    // What the lost device writes from here on uses the numbers that come next.
    for number in 0..5 {
        net.send(ANA, bob, &format!("lost {number}"));
    }
    net.run(5_000);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(5_000);
    let found = net.received(BOB).len();
    let new: Vec<MessageNumber> = (0..5).map(|n| net.send(restored, bob, &format!("new {n}"))).collect();
    net.run(10_000);
    assert!(new.iter().all(|&message| net.delivered(restored, message)));
    // In whatever order they came: people see them by their numbers.
    let mut came = net.received(BOB)[found..].to_vec();
    came.sort();
    assert_eq!(came, ["new 0", "new 1", "new 2", "new 3", "new 4"]);
    let Some(Event::MessageReceived(question)) = net.nodes[BOB].events.iter().rfind(
        |event| matches!(event, Event::MessageReceived(view) if format!("{:?}", view.body).contains("question")),
    ) else {
        panic!("it came")
    };
    let reply_to = Some(question.number);
    net.command(
        BOB,
        Command::Send { contact: ana, text: "answer".into(), file: None, reply_to, client_id: None, expires_s: None },
    );
    net.run(5_000);
    let answer = net.nodes[restored].events.iter().rev().find_map(|event| match event {
        Event::MessageReceived(view) => Some(view.reply_to),
        _ => None,
    });
    assert_eq!(answer, Some(Some(asked)));
    net.check();
}

#[test]
fn the_lost_device_is_revoked_and_is_told() {
    let mut net = Net::with(4, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(ANA, BOB);
    net.run(60_000);
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(300_000);
    let message = net.send(restored, bob, "it is me");
    net.run(120_000);
    assert!(net.delivered(restored, message));
    net.sleep_hours(3);
    // Somebody starts the lost computer again.
    net.restart(ANA, true);
    net.link_with_all(ANA);
    let forged = net.send(ANA, bob, "do not believe me");
    net.run(300_000);
    assert!(!net.delivered(ANA, forged));
    assert!(!net.received(BOB).contains(&"do not believe me".to_owned()));
    let Reply::Status(status) = net.command(ANA, Command::Status) else { panic!() };
    assert!(status.replaced);
    let warned = |event: &Event| matches!(event, Event::Warning { code, active: true } if code == "replaced");
    assert!(net.nodes[ANA].events.iter().any(warned));
    // Bob writes to the new device alone.
    let answer = net.send(BOB, ana, "hello you");
    net.run(300_000);
    assert!(net.delivered(BOB, answer));
    assert_eq!(net.received(restored), ["hello you"]);
    assert!(net.received(ANA).is_empty());
    let Reply::Status(status) = net.command(restored, Command::Status) else { panic!() };
    assert!(!status.replaced);
}

#[test]
fn a_backup_that_is_restored_twice_is_no_copied_key() {
    let (mut net, bob, ana) = friends();
    let backup = net.backup(ANA);
    net.stop(ANA);
    let first = net.add_restored(&backup);
    net.link_with_all(first);
    net.run(10_000);
    net.send(first, bob, "first");
    net.run(5_000);
    net.stop(first);
    let second = net.add_restored(&backup);
    net.link_with_all(second);
    net.run(10_000);
    let message = net.send(second, bob, "second");
    net.run(5_000);
    assert!(net.delivered(second, message), "its list follows that of the first");
    let answer = net.send(BOB, ana, "which of you?");
    net.run(5_000);
    assert!(net.delivered(BOB, answer));
    assert_eq!(texts(&net, second, bob, false).last().map(String::as_str), Some("which of you?"));
    let heard = texts(&net, BOB, ana, false);
    assert_eq!(heard[heard.len() - 2..], ["first", "second"]);
    net.check();
}

#[test]
fn both_sides_may_lose_their_computers() {
    let (mut net, bob, ana) = friends();
    let (of_ana, of_bob) = (net.backup(ANA), net.backup(BOB));
    net.stop(ANA);
    net.stop(BOB);
    let new_ana = net.add_restored(&of_ana);
    net.link_with_all(new_ana);
    net.run(5_000);
    let message = net.send(new_ana, bob, "a3");
    net.run(5_000);
    let new_bob = net.add_restored(&of_bob);
    net.link_with_all(new_bob);
    net.run(20_000);
    let answer = net.send(new_bob, ana, "b3");
    net.run(5_000);
    assert!(net.delivered(new_ana, message) && net.delivered(new_bob, answer));
    assert_eq!(texts(&net, new_bob, ana, false), numbered('a', 4));
    assert_eq!(texts(&net, new_ana, bob, false), numbered('b', 4));
    net.check();
}

#[test]
fn who_became_a_contact_after_the_backup_asks_the_new_device() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let backup = net.backup(ANA);
    let (_, ana) = net.friends(ANA, BOB);
    net.stop(ANA);
    let message = net.send(BOB, ana, "do you know me?");
    let restored = net.add_restored(&backup);
    net.link_with_all(restored);
    net.run(20_000);
    let Reply::Requests(views) = net.command(restored, Command::Requests) else { panic!() };
    assert_eq!(views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["node1"]);
    let accept = Command::AnswerRequest { request: views[0].number, accept: true, name: None };
    let Reply::Contact(bob) = net.command(restored, accept) else { panic!() };
    assert_eq!(bob.state, ContactState::Ready);
    net.run(10_000);
    assert!(net.delivered(BOB, message));
    assert_eq!(texts(&net, restored, bob.number, false), ["do you know me?"]);
    net.check();
}

#[test]
fn people_invites_and_requests_come_back_and_keys_do_not() {
    let mut net = Net::new(6);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(ANA, BOB);
    let open = net.invite(ANA, Some("Open"));
    let address = net.address(2);
    let carol = net.add(ANA, address).unwrap();
    net.command(ANA, Command::SetBlocked { contact: carol, blocked: true });
    let own = net.address(ANA);
    let stranger = net.add(3, own).unwrap();
    net.send(3, stranger, "may I?");
    let removed = net.invite(4, None);
    let removed = net.add(ANA, removed).unwrap();
    net.run(5_000);
    net.command(ANA, Command::RemoveContact(removed));
    let backup = net.backup(ANA);
    net.stop(ANA);
    let restored = net.add_restored(&backup);
    let kinds: Vec<RecordKind> = net.nodes[restored].vault.keys().map(|key| key.kind).collect();
    for kind in [RecordKind::Session, RecordKind::Skipped, RecordKind::FirstContact, RecordKind::Prekeys] {
        assert!(!kinds.contains(&kind), "{kind:?}");
    }
    assert_eq!(kinds.iter().filter(|&&kind| kind == RecordKind::PastList).count(), 1);
    net.link_with_all(restored);
    let Reply::Contacts(views) = net.command(restored, Command::Contacts) else { panic!() };
    let mut known: Vec<_> = views.iter().map(|view| (view.number, view.name.clone(), view.state)).collect();
    known.sort_by_key(|(number, ..)| *number);
    assert_eq!(known[0], (bob, "Guest".to_owned(), ContactState::WaitingForKeys));
    assert_eq!((known[1].0, known[1].2), (carol, ContactState::Blocked));
    let Reply::Invites(invites) = net.command(restored, Command::Invites) else { panic!() };
    assert!(matches!(invites[0].state, InviteState::Used(contact) if contact == bob));
    assert_eq!(invites[1].state, InviteState::Revoked, "its key is in no backup");
    let Reply::Requests(requests) = net.command(restored, Command::Requests) else { panic!() };
    assert_eq!(requests[0].text.as_deref(), Some("may I?"));
    net.run(10_000);
    // The stranger, accepted on the new device, is heard and answered.
    let accept = Command::AnswerRequest { request: requests[0].number, accept: true, name: None };
    let Reply::Contact(accepted) = net.command(restored, accept) else { panic!() };
    let hello = net.send(restored, accepted.number, "yes");
    net.run(10_000);
    assert!(net.delivered(restored, hello));
    assert_eq!(net.received(3), ["yes"]);
    // The withdrawn invite brings nobody in.
    net.add(5, open).unwrap();
    net.run(10_000);
    let Reply::Contacts(views) = net.command(restored, Command::Contacts) else { panic!() };
    assert_eq!(views.len(), 3);
}

#[test]
fn records_that_are_no_whole_backup_are_refused() {
    let (mut net, ..) = friends();
    let backup = net.backup(ANA);
    let import = |records: &[BackupRecord]| -> Result<(), ImportError> {
        let mut import = Import::new();
        for record in records {
            import.take(record.kind, &record.bytes)?;
        }
        let mut rng = <rand_chacha::ChaCha20Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(1);
        import.finish(1, &mut rng).map(drop)
    };
    assert_eq!(import(&backup), Ok(()));
    for cut in 0..backup.len() {
        assert_eq!(import(&backup[..cut]), Err(ImportError::Damaged), "cut at {cut}");
        let mut without = backup.clone();
        without.remove(cut);
        assert_eq!(import(&without), Err(ImportError::Damaged), "without {cut}");
    }
    let mut longer = backup.clone();
    longer.push(backup[1].clone());
    assert_eq!(import(&longer), Err(ImportError::Damaged));
    let mut newer = backup.clone();
    newer[0].bytes[0] = 6;
    assert_eq!(import(&newer), Err(ImportError::Newer { found: 6, supported: 5 }));
    let mut unknown = backup.clone();
    unknown[5].kind = 99;
    assert_eq!(import(&unknown), Err(ImportError::Damaged));
    // Another account's key in the place of the own one.
    let other = net.backup(BOB);
    let mut mixed = backup;
    mixed[1] = other[1].clone();
    assert_eq!(import(&mixed), Err(ImportError::Damaged));
}

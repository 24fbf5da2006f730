//! Messages that disappear: on both sides, in time, with all that was stored of them, and not one too early.

use starling_messenger::EXPIRES_S_MAX;
use starling_messenger::record::RecordKind;
use starling_messenger::turn::{Command, CommandError, ContactNumber, MessageNumber, Reply};
use starling_messenger::view::{DeliveryStage, Event, MessageView};

use crate::net::{Net, slow_parameters};

const HOUR_MS: u64 = 3_600_000;
const DAYS_60_MS: i64 = 60 * 24 * 3_600_000;

fn net() -> (Net, ContactNumber, ContactNumber) {
    let mut net = Net::with(5, slow_parameters());
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    net.run(60_000);
    (net, bob, ana)
}

fn send(net: &mut Net, node: usize, contact: ContactNumber, text: &str, expires_s: Option<u32>) -> MessageView {
    let command = Command::Send { contact, text: text.into(), file: None, reply_to: None, client_id: None, expires_s };
    match net.command(node, command) {
        Reply::Message { message, .. } => *message,
        other => panic!("{other:?}"),
    }
}

/// Whether any record of a node's vault holds the text.
fn knows(net: &Net, node: usize, text: &str) -> bool {
    net.nodes[node].vault.values().any(|value| value.windows(text.len()).any(|part| part == text.as_bytes()))
}

fn deleted(net: &Net, node: usize) -> Vec<MessageNumber> {
    let number = |event: &Event| match event {
        Event::MessageDeleted { number, .. } => Some(*number),
        _ => None,
    };
    net.nodes[node].events.iter().filter_map(number).collect()
}

#[test]
fn both_sides_delete_it_when_its_time_is_over_and_nothing_else() {
    let (mut net, bob, ana) = net();
    let kept = net.send(0, bob, "this one stays");
    let message = send(&mut net, 0, bob, "for an hour only", Some(3_600));
    net.run(60_000);
    assert!(net.delivered(0, message.number) && net.delivered(0, kept));
    assert!(knows(&net, 0, "for an hour only") && knows(&net, 1, "for an hour only"));
    net.run(HOUR_MS - 120_000);
    assert!(knows(&net, 0, "for an hour only") && knows(&net, 1, "for an hour only"), "not too early");
    net.run(120_000);
    for node in [0, 1] {
        assert!(!knows(&net, node, "for an hour only"), "{node}");
        assert!(knows(&net, node, "this one stays"));
        assert_eq!(deleted(&net, node).len(), 1);
        let kinds = |kind| net.nodes[node].vault.keys().filter(|key| key.kind == kind).count();
        assert_eq!([RecordKind::Expiry, RecordKind::Outbox].map(kinds), [0, 0]);
    }
    assert_eq!(deleted(&net, 0), [message.number]);
    assert_eq!(net.conversation(1, ana), [(false, "this one stays".to_owned())]);
    net.check();
}

#[test]
fn a_timer_that_ends_while_the_node_is_down_is_kept_at_its_start() {
    let (mut net, bob, _) = net();
    send(&mut net, 0, bob, "read and burn", Some(7_200));
    net.run(60_000);
    net.stop(1);
    net.restart(1, true);
    for node in [0, 1] {
        net.stop(node);
    }
    net.run(3 * HOUR_MS);
    for node in [0, 1] {
        assert!(knows(&net, node, "read and burn"));
        net.restart(node, true);
        net.run(1);
        assert!(!knows(&net, node, "read and burn"));
    }
    // It comes again from the pools of the others, and is not shown again.
    net.link(0, 2);
    net.link(1, 3);
    net.run(2 * HOUR_MS);
    assert_eq!(net.received(1), ["read and burn"]);
    assert!(!knows(&net, 1, "read and burn"));
    net.check();
}

#[test]
fn what_was_not_delivered_yet_stays_until_it_was() {
    let (mut net, bob, _) = net();
    net.stop(1);
    let message = send(&mut net, 0, bob, "patience", Some(60));
    net.sleep_hours(40);
    assert_eq!(net.stage(0, message.number), Some(DeliveryStage::Held));
    assert!(knows(&net, 0, "patience"), "it may have to be sealed again");
    net.restart(1, true);
    for other in [0, 2, 3, 4] {
        net.link(1, other);
    }
    net.run(50_000);
    assert_eq!(net.received(1), ["patience"]);
    net.run(180_000);
    assert!(net.delivered(0, message.number));
    assert!(!knows(&net, 0, "patience") && !knows(&net, 1, "patience"));
    net.check();
}

#[test]
fn what_nobody_ever_took_disappears_after_it_was_given_up() {
    let (mut net, bob, _) = net();
    net.stop(1);
    let message = send(&mut net, 0, bob, "too late", Some(86_400));
    let mut hours = 0;
    while net.stage(0, message.number) != Some(DeliveryStage::Expired) {
        net.sleep_hours(1);
        hours += 1;
        assert!(hours < 40 * 24, "it is given up some time");
    }
    assert!(knows(&net, 0, "too late"), "the writer sees that it was not delivered");
    net.sleep_hours(25);
    assert!(!knows(&net, 0, "too late"));
    net.check();
}

#[test]
fn a_conversation_has_a_time_of_its_own_and_a_message_may_have_another() {
    let (mut net, bob, ana) = net();
    let set = |net: &mut Net, expires_s| net.command(0, Command::SetExpiry { contact: bob, expires_s });
    let Reply::Contact(view) = set(&mut net, 3_600) else { panic!() };
    assert_eq!(view.expires_s, 3_600);
    assert_eq!(
        set(&mut net, EXPIRES_S_MAX + 1),
        Reply::Refused(CommandError::ExpiryTooLong { limit_s: EXPIRES_S_MAX })
    );
    net.stop(0);
    net.restart(0, true);
    (1..5).for_each(|other| net.link(0, other));
    let times = [None, Some(0), Some(60)].map(|expires_s| send(&mut net, 0, bob, "x", expires_s).expires_s);
    assert_eq!(times, [3_600, 0, 60]);
    let too_long = Command::Send {
        contact: bob,
        text: "x".into(),
        file: None,
        reply_to: None,
        client_id: None,
        expires_s: Some(EXPIRES_S_MAX + 1),
    };
    assert!(matches!(net.command(0, too_long), Reply::Refused(CommandError::ExpiryTooLong { .. })));
    // It is ours alone: what Bob writes stays.
    assert_eq!(send(&mut net, 1, ana, "y", None).expires_s, 0);
    net.run(2 * HOUR_MS);
    assert_eq!(net.conversation(1, ana), [(true, "y".to_owned()), (false, "x".to_owned())]);
    assert_eq!(net.conversation(0, bob).len(), 2);
}

#[test]
fn a_send_repeated_after_its_message_disappeared_sends_nothing() {
    let (mut net, bob, _) = net();
    let send = |net: &mut Net| {
        let command = Command::Send {
            contact: bob,
            text: "once".into(),
            file: None,
            reply_to: None,
            client_id: Some([7; 16]),
            expires_s: Some(60),
        };
        match net.command(0, command) {
            Reply::Message { message, known } => (message.number, known),
            other => panic!("{other:?}"),
        }
    };
    let (number, known) = send(&mut net);
    assert!(!known);
    net.run(300_000);
    assert!(!knows(&net, 0, "once"));
    assert_eq!(send(&mut net), (number, true));
    net.run(300_000);
    assert_eq!(net.received(1), ["once"]);
}

#[test]
fn a_clock_that_jumps_deletes_nothing_and_holds_nothing_back_once_it_is_right() {
    let (mut net, bob, _) = net();
    send(&mut net, 0, bob, "in due time", Some(6 * 3_600));
    net.run(60_000);
    net.nodes[1].skew_ms = DAYS_60_MS;
    net.run(HOUR_MS);
    assert!(knows(&net, 1, "in due time"), "the others' clocks speak against it");
    net.nodes[1].skew_ms = 0;
    net.sleep_hours(6);
    assert!(!knows(&net, 1, "in due time"));
    // A clock that is ahead, but not so far that nothing comes, puts the end of a time off; that does not last.
    net.nodes[1].skew_ms = 90 * 60_000;
    send(&mut net, 0, bob, "by a wrong clock", Some(1_800));
    net.run(60_000);
    assert!(knows(&net, 1, "by a wrong clock"));
    net.nodes[1].skew_ms = 0;
    net.run(100 * 60_000);
    assert!(!knows(&net, 1, "by a wrong clock"));
}

#[test]
fn a_backup_keeps_no_message_that_disappears_but_those_that_must_still_arrive() {
    let (mut net, bob, ana) = net();
    net.command(0, Command::SetExpiry { contact: bob, expires_s: 86_400 });
    net.send(0, bob, "arrived and disappears");
    send(&mut net, 0, bob, "arrived and stays", Some(0));
    net.run(120_000);
    net.stop(1);
    let waiting = net.send(0, bob, "still under way");
    let backup = net.backup(0);
    let holds = |text: &str| backup.iter().any(|record| record.bytes.windows(text.len()).any(|p| p == text.as_bytes()));
    assert!(!holds("arrived and disappears") && holds("arrived and stays") && holds("still under way"));
    net.stop(0);
    let restored = net.add_restored(&backup);
    net.restart(1, true);
    for other in [2, 3, 4] {
        net.link(restored, other);
        net.link(1, other);
    }
    net.run(600_000);
    assert!(net.delivered(restored, waiting));
    let Reply::Contacts(contacts) = net.command(restored, Command::Contacts) else { panic!() };
    assert_eq!(contacts[0].expires_s, 86_400);
    net.sleep_hours(25);
    assert!(!knows(&net, restored, "still under way") && !knows(&net, 1, "still under way"));
    assert_eq!(net.conversation(1, ana), [(false, "arrived and stays".to_owned())]);
}

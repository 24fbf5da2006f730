//! From an invite to a delivered text.

use starling_messenger::turn::{Command, CommandError, Reply};
use starling_messenger::view::{
    ContactState, ContactView, DeliveryStage, Event, InviteState, InviteView, MessageBody, MessageView, QueuedReason,
    TraceStep,
};

use crate::net::Net;

#[test]
fn an_invite_makes_two_contacts_and_a_text_is_delivered() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(2_000);
    let invite = net.invite(0, Some("Bob"));
    let ana = net.add(1, invite).unwrap();
    let hello = net.send(1, ana, "hello Ana");
    net.run(3_000);
    assert!(net.nodes[1].events.iter().any(|event| matches!(event, Event::ContactReady(_))));
    let used = |event: &Event| matches!(event, Event::InviteUsed(InviteView { state: InviteState::Used(_), .. }));
    assert!(net.nodes[0].events.iter().any(used));
    let added = |event: &Event| matches!(event, Event::ContactAdded(ContactView { name, state: ContactState::Ready, .. }) if name == "Bob");
    assert!(net.nodes[0].events.iter().any(added));
    assert_eq!(net.received(0), ["hello Ana"]);
    assert!(net.delivered(1, hello));
    let bob = net.contact(0);
    let answer = net.send(0, bob, "hello Bob");
    net.run(2_000);
    assert_eq!(net.received(1), ["hello Bob"]);
    assert!(net.delivered(0, answer));
    net.check();
}

#[test]
fn many_texts_both_ways_arrive_once_in_order_and_the_outbox_ends_empty() {
    let mut net = Net::new(5);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    for round in 0..40 {
        net.send(0, bob, &format!("a{round}"));
        net.send(1, ana, &format!("b{round}"));
        net.run(30);
    }
    net.run(5_000);
    for (node, letter) in [(0, 'b'), (1, 'a')] {
        let mut got = net.received(node);
        got.sort_by_key(|text| text[1..].parse::<u32>().unwrap());
        let want: Vec<String> = (0..40).map(|round| format!("{letter}{round}")).collect();
        assert_eq!(got, want);
        let Reply::Status(status) = net.command(node, Command::Status) else { panic!() };
        assert_eq!((status.outbox_queued, status.outbox_undelivered), (0, 0));
    }
    net.check();
}

#[test]
fn more_than_a_chain_without_an_answer_waits_and_goes_on() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    net.stop(1);
    let messages: Vec<_> = (0..300).map(|count| net.send(0, bob, &format!("{count}"))).collect();
    net.run(60_000);
    let waits = |event: &Event| matches!(event, Event::MessageState { state, .. } if state.reason == Some(QueuedReason::Unanswered));
    assert!(net.nodes[0].events.iter().any(waits));
    net.restart(1, true);
    net.link(1, 0);
    net.link(1, 2);
    net.run(60_000);
    let mut got: Vec<u32> = net.received(1).iter().map(|text| text.parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, (0..300).collect::<Vec<_>>());
    assert!(messages.iter().all(|&message| net.delivered(0, message)));
}

#[test]
fn contacts_that_add_each_other_at_once_converge() {
    let mut net = Net::new(4);
    net.link_all();
    net.run(1_000);
    let (first, second) = (net.invite(0, None), net.invite(1, None));
    let bob = net.add(0, second).unwrap();
    let ana = net.add(1, first).unwrap();
    let to_bob = net.send(0, bob, "from Ana");
    let to_ana = net.send(1, ana, "from Bob");
    net.run(5_000);
    assert_eq!((net.received(0), net.received(1)), (vec!["from Bob".to_owned()], vec!["from Ana".to_owned()]));
    assert!(net.delivered(0, to_bob) && net.delivered(1, to_ana));
    let again = net.send(0, bob, "again");
    net.run(3_000);
    assert!(net.delivered(0, again));
    assert_eq!(net.contact(0), bob);
    assert_eq!(net.contact(1), ana);
}

#[test]
fn a_repeated_client_id_sends_once_and_tells_the_first_message() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    let (first, known) = net.send_as(0, bob, "once", Some([7; 16]));
    assert!(!known);
    let (second, known) = net.send_as(0, bob, "once", Some([7; 16]));
    assert!(known);
    assert_eq!(second.number, first.number);
    net.run(3_000);
    let (third, known) = net.send_as(0, bob, "once", Some([7; 16]));
    assert!(known);
    assert_eq!((third.number, third.state.stage), (first.number, DeliveryStage::Delivered));
    net.stop(0);
    net.restart(0, true);
    let (fourth, known) = net.send_as(0, bob, "once", Some([7; 16]));
    assert!(known && fourth.number == first.number);
    assert_eq!(net.received(1), ["once"]);
}

#[test]
fn an_answer_names_the_message_it_answers_on_both_sides() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, ana) = net.friends(0, 1);
    let question = net.send(0, bob, "question");
    net.run(2_000);
    let asked = net.nodes[1].events.iter().find_map(|event| match event {
        Event::MessageReceived(message) => Some(message.number),
        _ => None,
    });
    let command = |reply_to| Command::Send {
        contact: ana,
        text: "answer".into(),
        file: None,
        reply_to,
        client_id: None,
        expires_s: None,
    };
    let Reply::Message { message, .. } = net.command(1, command(asked)) else { panic!() };
    assert_eq!(message.reply_to, asked);
    net.run(2_000);
    let answered = net.nodes[0].events.iter().find_map(|event| match event {
        Event::MessageReceived(message) => message.reply_to,
        _ => None,
    });
    assert_eq!(answered, Some(question));
    let unknown = net.command(1, command(Some(starling_messenger::turn::MessageNumber(9_999))));
    assert_eq!(unknown, Reply::Refused(CommandError::NoSuchMessage));
}

#[test]
fn the_longest_text_arrives_and_not_a_byte_more_is_taken() {
    let mut net = Net::new(3);
    net.link_all();
    net.run(1_000);
    let (bob, _) = net.friends(0, 1);
    let limit_bytes = starling_messenger::command::TEXT_BYTES_MAX;
    let longest = "x".repeat(limit_bytes);
    let message = net.send(0, bob, &longest);
    net.run(20_000);
    assert!(net.delivered(0, message));
    assert_eq!(net.received(1), [longest]);
    let send = |text: String| Command::Send {
        contact: bob,
        text,
        file: None,
        reply_to: None,
        client_id: None,
        expires_s: None,
    };
    let error = CommandError::TooLarge { bytes: limit_bytes + 1, limit_bytes };
    assert_eq!(net.command(0, send("x".repeat(limit_bytes + 1))), Reply::Refused(error));
    assert_eq!(net.command(0, send(String::new())), Reply::Refused(CommandError::EmptyText));
}

#[test]
fn a_message_tells_its_life() {
    let mut net = Net::new(4);
    net.run(1_000);
    let invite = net.invite(0, None);
    let ana = net.add(1, invite).unwrap();
    let message = net.send(1, ana, "hi");
    let Reply::Trace(lines) = net.command(1, Command::Trace(message)) else { panic!() };
    let steps: Vec<TraceStep> = lines.iter().map(|line| line.step).collect();
    assert_eq!(steps, [TraceStep::Queued, TraceStep::Waiting(QueuedReason::NoPeers)]);
    net.link_all();
    net.run(5_000);
    let key = starling_messenger::record::trace_key(message);
    let record: starling_messenger::record::TraceRecord =
        starling_messenger::record::decode_record(&net.nodes[1].vault[&key]).unwrap();
    let steps: Vec<TraceStep> = record.lines.iter().map(|line| line.step).collect();
    for step in [TraceStep::Sealed { bytes: 2_048 }, TraceStep::Pushed, TraceStep::Taken, TraceStep::CameBack] {
        assert!(steps.contains(&step), "{step:?} in {steps:?}");
    }
    assert_eq!(steps.last(), Some(&TraceStep::Delivered));
    let key = starling_messenger::record::history_key(ana, message);
    let history: starling_messenger::record::HistoryRecord =
        starling_messenger::record::decode_record(&net.nodes[1].vault[&key]).unwrap();
    let MessageView { own: true, body: MessageBody::Text(text), state, .. } = history.message else { panic!() };
    assert_eq!((text.as_str(), state.stage), ("hi", DeliveryStage::Delivered));
    assert_eq!(net.command(1, Command::Trace(message)), Reply::Refused(CommandError::NoSuchMessage));
}

//! The JSON of the specification, byte for byte, both ways. SPEC: product 3 and 4.

use serde::Serialize;
use serde::de::DeserializeOwned;
use starling_api::event::{EventsGapData, MessageDeletedData, MessageStateData};
use starling_api::message::{
    DeleteFor, EditMessage, Message, MessageState, QueuedReason, React, Reaction, SendMessage, SenderClock, StateName,
    Trace, TraceLine, TraceStep, Writer,
};
use starling_api::node::{
    ChangePassphrase, Clock, Health, NodeState, Outbox, PeerCounts, Protected, Reach, Status, StoreUse, Traffic, Tried,
    Unlock, Warning,
};
use starling_api::people::{
    Contact, ContactState, CreateInvite, Invite, InviteState, OneContact, Scan, Verification, Verify,
};
use starling_api::{ContactId, Event, EventBody, EventType, InviteId, MessageId, Passphrase, Time, Versioned};

const NOON: Time = Time(1_795_442_531_208);

/// `value` is written as `text`, and read back from it, from the same with a field of a newer version,
/// and not from another version.
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone>(value: &T, text: &str) {
    let versioned = Versioned::new(value.clone());
    assert_eq!(serde_json::to_string(&versioned).unwrap(), text);
    assert!(text.starts_with(r#"{"v":1"#));
    assert_eq!(serde_json::from_str::<Versioned<T>>(text).unwrap(), versioned);
    let newer = text.replacen(r#"{"v":1"#, r#"{"added_later":[{"x":1}],"v":1"#, 1);
    assert_eq!(serde_json::from_str::<Versioned<T>>(&newer).unwrap(), versioned);
    let other = text.replacen(r#"{"v":1"#, r#"{"v":2"#, 1);
    assert!(serde_json::from_str::<Versioned<T>>(&other).is_err());
}

fn contact() -> Contact {
    Contact {
        id: ContactId::new(317),
        name: "Ana".to_owned(),
        state: ContactState::WaitingForKeys,
        conversation: ContactId::new(317).conversation(),
        account: "00".repeat(32),
        added: NOON,
        last_heard: None,
        last_activity: NOON,
        verified_at: Some(NOON),
        mark_lost: false,
        devices_changed: None,
        expires_s: Some(86_400),
    }
}

fn contact_text() -> String {
    let account = "00".repeat(32);
    format!(
        r#"{{"id":"p_9x","name":"Ana","state":"waiting_for_keys","conversation":"c_9x","account":"{account}","added":"2026-11-23T14:02:11.208Z","last_heard":null,"last_activity":"2026-11-23T14:02:11.208Z","verified_at":"2026-11-23T14:02:11.208Z","mark_lost":false,"devices_changed":null,"expires_s":86400}}"#
    )
}

fn held() -> MessageState {
    MessageState {
        name: StateName::Held,
        since: NOON,
        held_by: 7,
        neighbours: 9,
        until: Some(Time(1_796_652_000_000)),
        reason: None,
        attempts: 1,
        parts: None,
    }
}

const HELD_TEXT: &str = r#"{"name":"held","since":"2026-11-23T14:02:11.208Z","held_by":7,"neighbours":9,"until":"2026-12-07T14:00:00.000Z","reason":null,"attempts":1,"parts":null}"#;

fn message() -> Message {
    Message {
        id: "m_7kq2".parse().unwrap(),
        conversation: ContactId::new(317).conversation(),
        client_id: Some("0190163d-8694-739b-aea5-966c26f8ad91".to_owned()),
        from: Writer::Me,
        text: Some("hi".to_owned()),
        created: NOON,
        received: None,
        sender_clock: SenderClock::Ok,
        state: held(),
        reply_to: None,
        attachments: Vec::new(),
        expires: None,
        expires_s: None,
        edited: None,
        deleted: false,
        reactions: Vec::new(),
    }
}

fn message_text() -> String {
    format!(
        r#""id":"m_7kq2","conversation":"c_9x","client_id":"0190163d-8694-739b-aea5-966c26f8ad91","from":"me","text":"hi","created":"2026-11-23T14:02:11.208Z","received":null,"sender_clock":"ok","state":{HELD_TEXT},"reply_to":null,"attachments":[],"expires":null,"expires_s":null,"edited":null,"deleted":false,"reactions":[]}}"#
    )
}

#[test]
fn health() {
    golden(&Health { state: NodeState::Locked }, r#"{"v":1,"state":"locked"}"#);
}

#[test]
fn status() {
    let status = Status {
        state: NodeState::Online,
        version: "0.1.0".to_owned(),
        network: "main".to_owned(),
        uptime_s: 11_520,
        page: None,
        peers: Some(PeerCounts { connected: 9, in_shard: 9, known: 41 }),
        reach: Reach::Direct,
        sender_hidden: true,
        outbox: Some(Outbox { queued: 0, undelivered: 2 }),
        store: Some(StoreUse {
            envelopes: 1_204,
            bytes: 4_299_161,
            limit_bytes: 6_442_450_944,
            disk_free_bytes: 81_234_567_168,
        }),
        clock: Some(Clock { offset_ms: 104, samples: 9 }),
        protected: Protected::Keyfile,
        warnings: vec![Warning {
            code: "no_passphrase".to_owned(),
            message: "...".to_owned(),
            hint: Some("starling passphrase".to_owned()),
            degraded: false,
        }],
        api: "http://127.0.0.1:7827".to_owned(),
        name: Some("Ana".to_owned()),
        peer: Some("12D3".to_owned()),
        addresses: Vec::new(),
        tried: Some(Tried { mdns: true, remembered: 0, invited: 1, named: 0 }),
        requests: Some(0),
        recovered: Some(0),
        pid: 4_121,
        udp_blocked: false,
        traffic: Some(Traffic {
            day: "2026-11-23".to_owned(),
            sent_bytes: 12_000_000,
            received_bytes: 14_000_000,
            budget_day_bytes: 288_000_000,
            budget_hour_bytes: 36_000_000,
        }),
    };
    golden(
        &status,
        concat!(
            r#"{"v":1,"state":"online","version":"0.1.0","network":"main","uptime_s":11520,"page":null,"#,
            r#""peers":{"connected":9,"in_shard":9,"known":41},"reach":"direct","sender_hidden":true,"#,
            r#""outbox":{"queued":0,"undelivered":2},"store":{"envelopes":1204,"bytes":4299161,"#,
            r#""limit_bytes":6442450944,"disk_free_bytes":81234567168},"clock":{"offset_ms":104,"samples":9},"#,
            r#""protected":"keyfile","warnings":[{"code":"no_passphrase","message":"...","hint":"starling passphrase","#,
            r#""degraded":false}],"api":"http://127.0.0.1:7827","name":"Ana","peer":"12D3","addresses":[],"#,
            r#""tried":{"mdns":true,"remembered":0,"invited":1,"named":0},"requests":0,"recovered":0,"pid":4121,"udp_blocked":false,"#,
            r#""traffic":{"day":"2026-11-23","sent_bytes":12000000,"received_bytes":14000000,"#,
            r#""budget_day_bytes":288000000,"budget_hour_bytes":36000000}}"#
        ),
    );
}

#[test]
fn an_added_contact() {
    golden(&OneContact { contact: contact() }, &format!(r#"{{"v":1,"contact":{}}}"#, contact_text()));
}

#[test]
fn a_verification() {
    let verification = Verification {
        number: vec!["01234".to_owned()],
        words: vec!["abandon".to_owned()],
        code: "STARLING-VERIFY:AE".to_owned(),
        qr_svg: "<svg/>".to_owned(),
        verified_at: None,
        scan: Some(Scan::OtherContact),
    };
    golden(
        &verification,
        r#"{"v":1,"number":["01234"],"words":["abandon"],"code":"STARLING-VERIFY:AE","qr_svg":"<svg/>","verified_at":null,"scan":"other_contact"}"#,
    );
    let mark: Verify = serde_json::from_str(r#"{"verified":true}"#).unwrap();
    assert_eq!(mark, Verify { verified: Some(true), code: None });
}

#[test]
fn an_invite() {
    let invite = Invite {
        id: InviteId::new(75),
        link: "starling:AE".to_owned(),
        bytes: 263,
        for_name: Some("Bob".to_owned()),
        expires: NOON,
        reach: Reach::OutgoingOnly,
        state: InviteState::Open,
        used_by: None,
        names_own_address: Some(true),
        qr_svg: None,
    };
    golden(
        &invite,
        concat!(
            r#"{"v":1,"id":"i_2b","link":"starling:AE","bytes":263,"for":"Bob","expires":"2026-11-23T14:02:11.208Z","#,
            r#""reach":"outgoing_only","state":"open","used_by":null,"names_own_address":true,"qr_svg":null}"#
        ),
    );
}

#[test]
fn a_message() {
    golden(&message(), &format!(r#"{{"v":1,{}"#, message_text()));
    let received = Message {
        client_id: None,
        from: Writer::Contact(ContactId::new(317)),
        text: None,
        received: Some(NOON),
        sender_clock: SenderClock::Ahead,
        reply_to: Some(MessageId::new(1)),
        ..message()
    };
    let text = serde_json::to_string(&received).unwrap();
    for part in [
        r#""client_id":null"#,
        r#""from":"p_9x""#,
        r#""text":null"#,
        r#""sender_clock":"ahead""#,
        r#""reply_to":"m_1""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), received);
}

#[test]
fn a_message_that_was_changed() {
    let contact = Writer::Contact(ContactId::new(317));
    let reaction = |from, emoji: &str| Reaction { from, emoji: emoji.to_owned() };
    let changed = Message {
        edited: Some(NOON),
        reactions: vec![reaction(Writer::Me, "👍"), reaction(contact, "❤️")],
        ..message()
    };
    let end = r#""edited":"2026-11-23T14:02:11.208Z","deleted":false,"reactions":[{"from":"me","emoji":"👍"},{"from":"p_9x","emoji":"❤️"}]}"#;
    let text = message_text().replace(r#""edited":null,"deleted":false,"reactions":[]}"#, end);
    golden(&changed, &format!(r#"{{"v":1,{text}"#));
    let event = Event { seq: 7, time: NOON, body: EventBody::MessageChanged(changed) };
    let line = serde_json::to_string(&event).unwrap();
    assert!(line.contains(r#""type":"message.changed","data":{"id":"m_7kq2","#), "{line}");
    assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    // An older node says nothing of all that.
    let older = format!(r#"{{{}"#, message_text().replace(r#","edited":null,"deleted":false,"reactions":[]"#, ""));
    assert_eq!(serde_json::from_str::<Message>(&older).unwrap(), message());
}

#[test]
fn changes_of_a_message_are_asked_for_in_these_words() {
    let react = |text: &str| serde_json::from_str::<React>(text);
    assert_eq!(react(r#"{"emoji":"👍"}"#).unwrap(), React { emoji: Some("👍".to_owned()) });
    assert_eq!(serde_json::to_string(&React { emoji: None }).unwrap(), r#"{"emoji":null}"#);
    assert!(react(r#"{"emoji":"👍","to":1}"#).is_err());
    let edit = EditMessage { text: "ho".to_owned() };
    assert_eq!(serde_json::to_string(&edit).unwrap(), r#"{"text":"ho"}"#);
    for (whom, word) in [(DeleteFor::Both, r#""both""#), (DeleteFor::Me, r#""me""#)] {
        assert_eq!(serde_json::to_string(&whom).unwrap(), word);
    }
}

#[test]
fn a_trace() {
    let line = TraceLine {
        time: NOON,
        step: TraceStep::Sealed,
        reason: None,
        bytes: Some(2_048),
        took_ms: None,
        held_by: None,
        neighbours: None,
        next_try: None,
    };
    let trace = Trace { message: message(), contact: None, lines: vec![line] };
    golden(
        &trace,
        &format!(
            r#"{{"v":1,"message":{{{},"contact":null,"lines":[{{"time":"2026-11-23T14:02:11.208Z","step":"sealed","reason":null,"bytes":2048,"took_ms":null,"held_by":null,"neighbours":null,"next_try":null}}]}}"#,
            message_text()
        ),
    );
}

#[test]
fn an_event_line() {
    let body = EventBody::MessageState(MessageStateData {
        id: "m_7kq2".parse().unwrap(),
        conversation: ContactId::new(317).conversation(),
        state: held(),
    });
    let event = Event { seq: 1_042, time: NOON, body };
    let text = format!(
        r#"{{"v":1,"seq":1042,"time":"2026-11-23T14:02:11.208Z","type":"message.state","data":{{"id":"m_7kq2","conversation":"c_9x","state":{HELD_TEXT}}}}}"#
    );
    assert_eq!(serde_json::to_string(&event).unwrap(), text);
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    assert!(serde_json::from_str::<Event>(&text.replacen(r#""v":1"#, r#""v":2"#, 1)).is_err());
    let data = MessageDeletedData { id: "m_7kq2".parse().unwrap(), conversation: ContactId::new(317).conversation() };
    let text = serde_json::to_string(&Event { body: EventBody::MessageDeleted(data), ..event }).unwrap();
    assert!(text.ends_with(r#""type":"message.deleted","data":{"id":"m_7kq2","conversation":"c_9x"}}"#), "{text}");
}

#[test]
fn a_gap_and_an_event_of_a_newer_node() {
    let gap = r#"{"v":1,"seq":9000,"time":"2026-11-23T14:02:11.208Z","type":"events.gap","data":{"oldest":9001}}"#;
    let event: Event = serde_json::from_str(gap).unwrap();
    assert_eq!(event.body, EventBody::EventsGap(EventsGapData { oldest: 9_001 }));
    assert_eq!(serde_json::to_string(&event).unwrap(), gap);
    let newer = r#"{"v":1,"seq":7,"time":"2026-11-23T14:02:11.208Z","type":"call.rang","data":{"from":"p_1"}}"#;
    let event: Event = serde_json::from_str(newer).unwrap();
    assert_eq!((event.body.type_name(), event.body.event_type()), ("call.rang", None));
    assert_eq!(serde_json::to_string(&event).unwrap(), newer);
}

#[test]
fn every_event_type_has_a_name_of_its_own() {
    for known in EventType::ALL {
        assert_eq!(EventType::parse(known.as_str()), Some(known));
    }
    assert_eq!(EventType::parse("message"), None);
}

#[test]
fn words_of_a_newer_node_do_not_stop_a_reader() {
    assert_eq!(serde_json::from_str::<QueuedReason>(r#""mercury""#).unwrap(), QueuedReason::Other);
    assert_eq!(serde_json::from_str::<TraceStep>(r#""folded""#).unwrap(), TraceStep::Other);
    assert_eq!(serde_json::from_str::<Reach>(r#""tunnelled""#).unwrap(), Reach::Unknown);
    assert_eq!(serde_json::from_str::<SenderClock>(r#""behind""#).unwrap(), SenderClock::Ok);
}

#[test]
fn what_a_node_does_not_know_in_a_request_is_refused() {
    // Ignoring a field would do something else than was asked.
    assert!(serde_json::from_str::<SendMessage>(r#"{"text":"hi","burn_after_reading":true}"#).is_err());
    assert!(serde_json::from_str::<CreateInvite>(r#"{"expires":7}"#).is_err());
    let least: SendMessage = serde_json::from_str(r#"{"text":"hi"}"#).unwrap();
    assert_eq!(least, SendMessage { text: "hi".to_owned(), ..SendMessage::default() });
}

#[test]
fn a_passphrase_is_sent_and_never_shown() {
    let unlock = Unlock { passphrase: Passphrase::new("correct horse".to_owned()) };
    assert_eq!(serde_json::to_string(&unlock).unwrap(), r#"{"passphrase":"correct horse"}"#);
    let change = ChangePassphrase { old: Some(Passphrase::new("correct horse".to_owned())), new: None };
    assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"old":"correct horse","new":null}"#);
    assert!(!format!("{unlock:?} {change:?}").contains("horse"));
}

#[test]
fn states_are_ordered_as_a_message_passes_them() {
    use StateName::{Delivered, Expired, Held, Queued, Read, Sent};
    let order = [Queued, Sent, Held, Delivered, Read, Expired];
    assert!(order.is_sorted());
    let words: Vec<&str> = order.iter().map(|name| name.as_str()).collect();
    assert_eq!(words, ["queued", "sent", "held", "delivered", "read", "expired"]);
}

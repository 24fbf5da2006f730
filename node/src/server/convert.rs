//! The core's views, as the API's types.

use data_encoding::HEXLOWER;
use starling_api::event::{
    ContactRemovedData, EventBody, MessageDeletedData, MessageStateData, NodePeersData, NodeReachData, NodeStateData,
    NodeWarningData,
};
use starling_api::file::{Attachment, AttachmentKind, Voice};
use starling_api::message::{
    ConversationMarks, Message, MessageState, Parts, QueuedReason, Reaction, SenderClock, StateName, TraceLine,
    TraceStep, Writer,
};
use starling_api::people::{Contact, ContactState, Invite, InviteState, Request};
use starling_api::{BlobId, ContactId, Event, InviteId, MessageId, RequestId, Time, node};
use starling_messenger::turn::{ContactNumber, MessageNumber};
use starling_messenger::view;
use starling_wire::envelope::Class;
use starling_wire::network::NetworkParameters;

use crate::core::event_log::{Happening, LoggedEvent};
use crate::core::handle;
use crate::core::preferences::Mark;
use crate::core::traffic::Day;

/// A message that came so long before it was written has a wrong clock behind it, ms.
const CLOCK_SLACK_MS: u64 = 120_000;
const DAY_MS: u64 = 86_400_000;

pub(crate) fn node_state(state: handle::NodeState) -> node::NodeState {
    match state {
        handle::NodeState::Starting => node::NodeState::Starting,
        handle::NodeState::Locked => node::NodeState::Locked,
        handle::NodeState::Joining => node::NodeState::Joining,
        handle::NodeState::Alone => node::NodeState::Alone,
        handle::NodeState::Online => node::NodeState::Online,
        handle::NodeState::Stopping => node::NodeState::Stopping,
    }
}

pub(crate) fn reach(reach: handle::Reach) -> node::Reach {
    match reach {
        handle::Reach::Direct => node::Reach::Direct,
        handle::Reach::OutgoingOnly => node::Reach::OutgoingOnly,
        handle::Reach::Unknown => node::Reach::Unknown,
    }
}

/// A third of the most that the hours of a day may hold: the most of an hour is three times its planned mean. SPEC: B12.
const BUSIEST_HOUR: u64 = 3;

/// What went over the network today, beside what it is planned to carry.
pub(crate) fn traffic(day: Day, network: &NetworkParameters) -> node::Traffic {
    let budget_hour_bytes = network.budget_bytes(Class::Small).saturating_add(network.budget_bytes(Class::Large));
    let date = Time(day.day.saturating_mul(DAY_MS)).to_string();
    node::Traffic {
        day: date.split('T').next().unwrap_or_default().to_owned(),
        sent_bytes: day.sent_bytes,
        received_bytes: day.received_bytes,
        budget_day_bytes: budget_hour_bytes.saturating_mul(24) / BUSIEST_HOUR,
        budget_hour_bytes,
    }
}

pub(crate) fn protected(protection: handle::Protection) -> node::Protected {
    match protection {
        handle::Protection::Keyfile => node::Protected::Keyfile,
        handle::Protection::Passphrase => node::Protected::Passphrase,
    }
}

pub(crate) fn peer(view: handle::PeerView) -> node::Peer {
    let handle::PeerView { peer, address, outbound, held, in_shard, ping_ms, answered_ms_ago: _ } = view;
    node::Peer { peer, address, outbound, held, in_shard, ping_ms }
}

pub(crate) fn contact_id(number: ContactNumber) -> ContactId {
    ContactId::new(number.0)
}

/// A key, as 64 hex digits.
pub(crate) fn key(key: &[u8; 32]) -> String {
    HEXLOWER.encode(key)
}

pub(crate) fn contact(view: &view::ContactView) -> Contact {
    let id = contact_id(view.number);
    Contact {
        id,
        name: view.name.clone(),
        state: match view.state {
            view::ContactState::WaitingForKeys => ContactState::WaitingForKeys,
            view::ContactState::Ready => ContactState::Ready,
            view::ContactState::Blocked => ContactState::Blocked,
            view::ContactState::Forked => ContactState::Forked,
        },
        conversation: id.conversation(),
        account: key(&view.account),
        added: Time(view.added_unix_ms),
        last_heard: view.last_heard_unix_ms.map(Time),
        last_activity: Time(view.last_activity_unix_ms),
        verified_at: view.verified_unix_ms.map(Time),
        mark_lost: view.mark_lost,
        devices_changed: view.devices_changed_unix_ms.map(Time),
        expires_s: seconds(view.expires_s),
    }
}

/// `names_own_address` is known only when the invite is made.
pub(crate) fn invite(view: &view::InviteView, reach: node::Reach, names_own_address: Option<bool>) -> Invite {
    let (state, used_by) = match view.state {
        view::InviteState::Open => (InviteState::Open, None),
        view::InviteState::Used(contact) => (InviteState::Used, Some(contact_id(contact))),
        view::InviteState::Revoked => (InviteState::Revoked, None),
        view::InviteState::Expired => (InviteState::Expired, None),
    };
    Invite {
        id: InviteId::new(view.number.0),
        link: view.link.clone(),
        bytes: view.bytes,
        for_name: view.label.clone(),
        expires: Time(view.expires_unix_ms),
        reach,
        state,
        used_by,
        names_own_address,
        qr_svg: None,
    }
}

pub(crate) fn request(view: &view::RequestView) -> Request {
    Request {
        id: RequestId::new(view.number.0),
        name: view.name.clone(),
        account: key(&view.account),
        text: view.text.clone(),
        received: Time(view.received_unix_ms),
    }
}

pub(crate) fn reason(reason: view::QueuedReason) -> QueuedReason {
    match reason {
        view::QueuedReason::NoPeers => QueuedReason::NoPeers,
        view::QueuedReason::WaitingForKeys => QueuedReason::WaitingForKeys,
        view::QueuedReason::Stamping => QueuedReason::Stamping,
        view::QueuedReason::Clock => QueuedReason::Clock,
        view::QueuedReason::Unanswered => QueuedReason::Unanswered,
        view::QueuedReason::DevicesForked => QueuedReason::DevicesForked,
        view::QueuedReason::Pushing => QueuedReason::Pushing,
    }
}

pub(crate) fn message_state(state: &view::DeliveryState) -> MessageState {
    MessageState {
        name: match state.stage {
            view::DeliveryStage::Queued => StateName::Queued,
            view::DeliveryStage::Sent => StateName::Sent,
            view::DeliveryStage::Held => StateName::Held,
            view::DeliveryStage::Delivered => StateName::Delivered,
            view::DeliveryStage::Read => StateName::Read,
            view::DeliveryStage::Expired => StateName::Expired,
        },
        since: Time(state.since_unix_ms),
        held_by: state.held_by,
        neighbours: state.neighbours,
        until: state.until_unix_ms.map(Time),
        reason: state.reason.map(reason),
        attempts: state.attempts,
        parts: state.parts.map(|parts| Parts {
            of: parts.of.into(),
            stamped: parts.stamped.into(),
            held: parts.held.into(),
            delivered: parts.delivered.into(),
        }),
    }
}

/// What a file's bytes are, in the words of the web (RFC 6838); nothing that a browser would run.
pub(crate) const fn media_type(file: &view::FileView) -> &'static str {
    match &file.kind {
        view::FileKind::Picture { format: view::PictureFormat::Jpeg, .. } => "image/jpeg",
        view::FileKind::Picture { format: view::PictureFormat::Png, .. } => "image/png",
        view::FileKind::Picture { format: view::PictureFormat::Webp, .. } => "image/webp",
        view::FileKind::Voice(_) => "audio/ogg",
        view::FileKind::Other => "application/octet-stream",
    }
}

fn attachment(number: MessageNumber, file: &view::FileView) -> Attachment {
    let (mut width, mut height, mut voice) = (None, None, None);
    let kind = match &file.kind {
        view::FileKind::Picture { width: across, height: down, .. } => {
            (width, height) = (Some(*across), Some(*down));
            AttachmentKind::Picture
        }
        view::FileKind::Voice(note) => {
            voice = Some(Voice { duration_ms: note.duration_ms, peaks: note.peaks.clone() });
            AttachmentKind::Voice
        }
        view::FileKind::Other => AttachmentKind::File,
    };
    Attachment {
        id: BlobId::new(number.0),
        name: file.name.clone(),
        bytes: file.bytes,
        kind,
        media_type: media_type(file).to_owned(),
        width,
        height,
        voice,
    }
}

pub(crate) fn message(view: &view::MessageView) -> Message {
    let contact = contact_id(view.contact);
    let ahead = view.received_unix_ms.is_some_and(|at| view.created_unix_ms > at.saturating_add(CLOCK_SLACK_MS));
    Message {
        id: MessageId::new(view.number.0),
        conversation: contact.conversation(),
        client_id: view.client_id.map(uuid_text),
        from: if view.own { Writer::Me } else { Writer::Contact(contact) },
        text: match &view.body {
            view::MessageBody::Text(text) if !view.deleted => Some(text.clone()),
            view::MessageBody::File(file) => Some(file.text.clone()),
            view::MessageBody::Text(_) | view::MessageBody::Unknown { .. } => None,
        },
        created: Time(view.created_unix_ms),
        received: view.received_unix_ms.map(Time),
        sender_clock: if ahead { SenderClock::Ahead } else { SenderClock::Ok },
        state: message_state(&view.state),
        reply_to: view.reply_to.map(|number| MessageId::new(number.0)),
        attachments: view.body.file().map(|file| attachment(view.number, file)).into_iter().collect(),
        expires: view.expires_unix_ms.map(Time),
        expires_s: seconds(view.expires_s),
        edited: view.edited_unix_ms.map(Time),
        deleted: view.deleted,
        reactions: view.shown_reactions().map(|shown| reaction(shown, contact)).collect(),
    }
}

fn reaction(reaction: &view::Reaction, contact: ContactId) -> Reaction {
    let from = if reaction.own { Writer::Me } else { Writer::Contact(contact) };
    Reaction { from, emoji: reaction.emoji.clone() }
}

/// How long something is kept; nothing for ever.
fn seconds(expires_s: u32) -> Option<u32> {
    (expires_s > 0).then_some(expires_s)
}

pub(crate) fn trace_line(line: &view::TraceLine) -> TraceLine {
    use view::TraceStep as Step;
    let step = match line.step {
        Step::Queued => TraceStep::Queued,
        Step::Waiting(_) => TraceStep::Waiting,
        Step::Sealed { .. } => TraceStep::Sealed,
        Step::Stamped { .. } => TraceStep::Stamped,
        Step::Pushed => TraceStep::Pushed,
        Step::Taken => TraceStep::Taken,
        Step::NotTaken => TraceStep::NotTaken,
        Step::CameBack => TraceStep::CameBack,
        Step::Held { .. } => TraceStep::Held,
        Step::PushedAgain => TraceStep::PushedAgain,
        Step::SealedAgain => TraceStep::SealedAgain,
        Step::Delivered => TraceStep::Delivered,
        Step::Read => TraceStep::Read,
        Step::Expired => TraceStep::Expired,
        Step::NextTry { .. } => TraceStep::NextTry,
    };
    let mut shown = TraceLine {
        time: Time(line.at_unix_ms),
        step,
        reason: None,
        bytes: None,
        took_ms: None,
        held_by: None,
        neighbours: None,
        next_try: None,
    };
    match line.step {
        Step::Waiting(why) => shown.reason = Some(reason(why)),
        Step::Sealed { bytes } => shown.bytes = Some(bytes),
        Step::Stamped { took_ms } => shown.took_ms = Some(took_ms),
        Step::Held { by, of } => (shown.held_by, shown.neighbours) = (Some(by), Some(of)),
        Step::NextTry { at_unix_ms } => shown.next_try = Some(Time(at_unix_ms)),
        _ => {}
    }
    shown
}

/// An event of the log, with its number. `read` is the message that it tells of, without which there is nothing to tell;
/// `now_reach` is shown with invites: it says whether they work now.
pub(crate) fn event(
    seq: u64,
    logged: &LoggedEvent,
    read: Option<&view::MessageView>,
    now_reach: node::Reach,
) -> Option<Event> {
    let body = match &logged.happening {
        Happening::Core(event) => core_event(event, read, now_reach)?,
        Happening::State(state) => EventBody::NodeState(NodeStateData { state: node_state(*state) }),
        Happening::Peers { connected, in_shard } => {
            EventBody::NodePeers(NodePeersData { connected: *connected, in_shard: *in_shard })
        }
        Happening::Marked { contact, mark } => EventBody::ConversationRead(marks(*contact, *mark)),
        Happening::Reach(new) => EventBody::NodeReach(NodeReachData { reach: reach(*new) }),
    };
    Some(Event { seq, time: Time(logged.at_unix_ms), body })
}

/// What is remembered of a conversation.
pub(crate) fn marks(contact: ContactNumber, mark: Mark) -> ConversationMarks {
    ConversationMarks {
        id: contact_id(contact).conversation(),
        read_up_to: mark.read_up_to.map(|number| MessageId::new(number.0)),
        muted: mark.muted,
    }
}

fn core_event(event: &view::Event, read: Option<&view::MessageView>, now_reach: node::Reach) -> Option<EventBody> {
    Some(match event {
        view::Event::ContactAdded(view) => EventBody::ContactAdded(contact(view)),
        view::Event::ContactReady(view) => EventBody::ContactReady(contact(view)),
        view::Event::ContactChanged(view) => EventBody::ContactChanged(contact(view)),
        view::Event::ContactRemoved(number) => {
            EventBody::ContactRemoved(ContactRemovedData { id: contact_id(*number) })
        }
        view::Event::ContactRequested(view) => EventBody::ContactRequested(request(view)),
        view::Event::InviteCreated(view) => EventBody::InviteCreated(invite(view, now_reach, None)),
        view::Event::InviteUsed(view) => EventBody::InviteUsed(invite(view, now_reach, None)),
        view::Event::InviteExpired(view) => EventBody::InviteExpired(invite(view, now_reach, None)),
        view::Event::MessageReceived(_) => EventBody::MessageReceived(message(read?)),
        view::Event::MessageChanged { .. } => EventBody::MessageChanged(message(read?)),
        view::Event::MessageState { number, contact, state } => EventBody::MessageState(MessageStateData {
            id: MessageId::new(number.0),
            conversation: contact_id(*contact).conversation(),
            state: message_state(state),
        }),
        view::Event::MessageRead { number, contact } => EventBody::MessageState(MessageStateData {
            id: MessageId::new(number.0),
            conversation: contact_id(*contact).conversation(),
            state: message_state(&read?.state),
        }),
        view::Event::MessageDeleted { number, contact } => EventBody::MessageDeleted(MessageDeletedData {
            id: MessageId::new(number.0),
            conversation: contact_id(*contact).conversation(),
        }),
        view::Event::Warning { code, active } => {
            EventBody::NodeWarning(NodeWarningData { code: code.clone(), active: *active })
        }
    })
}

/// Sixteen bytes as a UUID. RFC 9562, section 4.
fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = HEXLOWER.encode(&bytes);
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}

/// A UUID as sixteen bytes: 32 hex digits, with or without the four hyphens.
pub(crate) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let plain: String = match text.len() {
        32 => text.to_owned(),
        36 => {
            let hyphens_stand =
                text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == [8, 13, 18, 23].contains(&at));
            hyphens_stand.then(|| text.replace('-', ""))?
        }
        _ => return None,
    };
    data_encoding::HEXLOWER_PERMISSIVE.decode(plain.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use starling_api::ConversationId;
    use starling_messenger::turn::{InviteNumber, MessageNumber, RequestNumber};

    use super::*;

    fn state(stage: view::DeliveryStage) -> view::DeliveryState {
        view::DeliveryState {
            stage,
            since_unix_ms: 1_000,
            held_by: 7,
            neighbours: 9,
            until_unix_ms: Some(3_600_000),
            reason: None,
            attempts: 2,
            parts: None,
        }
    }

    fn own() -> view::MessageView {
        view::MessageView {
            number: MessageNumber(33),
            contact: ContactNumber(5),
            own: true,
            sequence: 0,
            body: view::MessageBody::Text("hi".to_owned()),
            created_unix_ms: 500_000,
            received_unix_ms: None,
            reply_to: Some(MessageNumber(1)),
            client_id: Some([0xAB; 16]),
            state: state(view::DeliveryStage::Held),
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    #[test]
    fn an_own_message_says_where_it_is_and_until_when_it_is_kept() {
        let message = message(&own());
        assert_eq!((message.id.to_string(), message.conversation), ("m_11".to_owned(), ConversationId::new(5)));
        assert_eq!(message.client_id.as_deref(), Some("abababab-abab-abab-abab-abababababab"));
        assert_eq!((message.from, message.text.as_deref(), message.received), (Writer::Me, Some("hi"), None));
        assert_eq!(message.reply_to, Some(MessageId::new(1)));
        let state = message.state;
        assert_eq!((state.name, state.held_by, state.neighbours, state.attempts), (StateName::Held, 7, 9, 2));
        assert_eq!((state.since, state.until, state.reason), (Time(1_000), Some(Time(3_600_000)), None));
    }

    #[test]
    fn a_received_message_tells_of_a_clock_that_is_ahead() {
        let received = |received_unix_ms| view::MessageView {
            own: false,
            client_id: None,
            received_unix_ms: Some(received_unix_ms),
            ..own()
        };
        let late = message(&received(500_000 - CLOCK_SLACK_MS));
        assert_eq!((late.from, late.sender_clock), (Writer::Contact(ContactId::new(5)), SenderClock::Ok));
        assert_eq!(message(&received(499_999 - CLOCK_SLACK_MS)).sender_clock, SenderClock::Ahead);
        assert_eq!(message(&own()).sender_clock, SenderClock::Ok);
    }

    #[test]
    fn content_of_a_newer_version_has_no_text() {
        let body = view::MessageBody::Unknown { kind: 900, bytes: vec![1] };
        assert_eq!(message(&view::MessageView { body, ..own() }).text, None);
    }

    #[test]
    fn a_changed_message_shows_its_wording_and_both_reactions_and_a_deleted_one_nothing() {
        let reaction = |own, emoji: &str| view::Reaction { own, emoji: emoji.to_owned(), counter: 1 };
        let reactions = vec![reaction(true, ""), reaction(false, "👍")];
        let changed = message(&view::MessageView { edited_unix_ms: Some(7), reactions, ..own() });
        assert_eq!((changed.edited, changed.deleted, changed.text.as_deref()), (Some(Time(7)), false, Some("hi")));
        let theirs = Reaction { from: Writer::Contact(ContactId::new(5)), emoji: "👍".to_owned() };
        assert_eq!(changed.reactions, [theirs]);
        let body = view::MessageBody::Text(String::new());
        let deleted = message(&view::MessageView { deleted: true, body, ..own() });
        assert_eq!((deleted.text, deleted.deleted), (None, true));
    }

    #[test]
    fn states_and_reasons_have_the_words_of_the_specification() {
        use view::{DeliveryStage as Stage, QueuedReason as Why};
        let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let stages = [Stage::Queued, Stage::Sent, Stage::Held, Stage::Delivered, Stage::Read, Stage::Expired];
        let names = stages.map(|stage| word(serde_json::to_value(message_state(&state(stage)).name).unwrap()));
        assert_eq!(names, ["queued", "sent", "held", "delivered", "read", "expired"]);
        let reasons =
            [Why::NoPeers, Why::WaitingForKeys, Why::Stamping, Why::Clock, Why::Unanswered, Why::DevicesForked];
        let names = reasons.map(|why| word(serde_json::to_value(reason(why)).unwrap()));
        assert_eq!(names, ["no_peers", "waiting_for_keys", "stamping", "clock", "unanswered", "devices_forked"]);
    }

    #[test]
    fn the_budget_of_main_is_that_of_the_specification() {
        let day = Day { day: 20_780, sent_bytes: 1, received_bytes: 2 };
        let shown = traffic(day, &NetworkParameters::main());
        assert_eq!((shown.budget_day_bytes, shown.budget_hour_bytes), (288_000_000, 36_000_000));
        assert_eq!((shown.day.as_str(), shown.sent_bytes, shown.received_bytes), ("2026-11-23", 1, 2));
    }

    #[test]
    fn every_step_of_a_life_keeps_its_numbers() {
        use view::TraceStep as Step;
        let line = |step| trace_line(&view::TraceLine { at_unix_ms: 7, step });
        let waiting = line(Step::Waiting(view::QueuedReason::NoPeers));
        assert_eq!(
            (waiting.time, waiting.step, waiting.reason),
            (Time(7), TraceStep::Waiting, Some(QueuedReason::NoPeers))
        );
        assert_eq!(line(Step::Sealed { bytes: 2_048 }).bytes, Some(2_048));
        assert_eq!(line(Step::Stamped { took_ms: 210 }).took_ms, Some(210));
        let held = line(Step::Held { by: 7, of: 9 });
        assert_eq!((held.held_by, held.neighbours), (Some(7), Some(9)));
        assert_eq!(line(Step::NextTry { at_unix_ms: 9 }).next_try, Some(Time(9)));
        assert_eq!(line(Step::CameBack).step, TraceStep::CameBack);
    }

    #[test]
    fn events_of_the_core_and_of_the_daemon_get_their_types() {
        let contact = view::ContactView {
            number: ContactNumber(5),
            name: "Ana".to_owned(),
            state: view::ContactState::Ready,
            account: [1; 32],
            added_unix_ms: 0,
            last_heard_unix_ms: None,
            last_activity_unix_ms: 0,
            verified_unix_ms: Some(1),
            mark_lost: false,
            devices_changed_unix_ms: None,
            expires_s: 0,
        };
        let invite = view::InviteView {
            number: InviteNumber(1),
            label: None,
            link: String::new(),
            bytes: 0,
            expires_unix_ms: 0,
            state: view::InviteState::Used(ContactNumber(5)),
        };
        let request = view::RequestView {
            number: RequestNumber(1),
            name: "Zoe".to_owned(),
            account: [2; 32],
            text: None,
            received_unix_ms: 0,
        };
        let delivered = state(view::DeliveryStage::Delivered);
        let core = |event| Happening::Core(Box::new(event));
        let table = [
            (core(view::Event::ContactAdded(contact.clone())), "contact.added"),
            (core(view::Event::ContactReady(contact.clone())), "contact.ready"),
            (core(view::Event::ContactChanged(contact)), "contact.changed"),
            (core(view::Event::ContactRemoved(ContactNumber(5))), "contact.removed"),
            (core(view::Event::ContactRequested(request)), "contact.requested"),
            (core(view::Event::InviteCreated(invite.clone())), "invite.created"),
            (core(view::Event::InviteUsed(invite.clone())), "invite.used"),
            (core(view::Event::InviteExpired(invite)), "invite.expired"),
            (core(view::Event::MessageReceived(own())), "message.received"),
            (
                core(view::Event::MessageState {
                    number: MessageNumber(1),
                    contact: ContactNumber(5),
                    state: delivered,
                }),
                "message.state",
            ),
            (
                core(view::Event::MessageChanged { number: MessageNumber(33), contact: ContactNumber(5) }),
                "message.changed",
            ),
            (core(view::Event::MessageRead { number: MessageNumber(33), contact: ContactNumber(5) }), "message.state"),
            (core(view::Event::Warning { code: "disk".to_owned(), active: true }), "node.warning"),
            (Happening::State(handle::NodeState::Alone), "node.state"),
            (Happening::Peers { connected: 1, in_shard: 1 }, "node.peers"),
            (Happening::Reach(handle::Reach::Direct), "node.reach"),
        ];
        for (happening, name) in table {
            let logged = LoggedEvent { at_unix_ms: 5, happening };
            let event = event(9, &logged, Some(&own()), node::Reach::Direct).unwrap();
            assert_eq!((event.seq, event.time, event.body.type_name()), (9, Time(5), name));
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }

    #[test]
    fn a_client_id_is_a_uuid_with_or_without_hyphens() {
        let bytes = Some([0xAB; 16]);
        for text in ["abababab-abab-abab-abab-abababababab", "ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB", &"ab".repeat(16)] {
            assert_eq!(uuid_bytes(text), bytes, "{text}");
        }
        for text in [
            "",
            "ab",
            "abababab-abab-abab-abab-ababababab",
            "ababababaabab-abab-abab-abababababab",
            &"ag".repeat(16),
            &"-".repeat(36),
            &"ü".repeat(16),
        ] {
            assert_eq!(uuid_bytes(text), None, "{text}");
        }
    }
}

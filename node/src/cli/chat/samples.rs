//! People and messages for the tests of the chat.

use starling_api::message::{Conversation, Message, MessageState, SenderClock, StateName, Writer};
use starling_api::people::{Contact, ContactState};
use starling_api::{ContactId, ConversationId, MessageId, Time};

/// 23 November 2026, 14:02:11 UTC.
pub(crate) const NOW: Time = Time(1_795_442_531_208);

pub(crate) fn contact(number: u64, name: &str) -> Contact {
    Contact {
        id: ContactId::new(number),
        name: name.to_owned(),
        state: ContactState::Ready,
        conversation: ConversationId::new(number),
        account: "00".repeat(32),
        added: NOW,
        last_heard: None,
        last_activity: Time(NOW.0 - number),
        verified_at: None,
        mark_lost: false,
        devices_changed: None,
        expires_s: None,
    }
}

pub(crate) fn state(name: StateName) -> MessageState {
    MessageState { name, since: NOW, held_by: 0, neighbours: 9, until: None, reason: None, attempts: 1, parts: None }
}

pub(crate) fn own(conversation: u64, id: u64, text: &str) -> Message {
    Message {
        id: MessageId::new(id),
        conversation: ConversationId::new(conversation),
        client_id: None,
        from: Writer::Me,
        text: Some(text.to_owned()),
        created: NOW,
        received: None,
        sender_clock: SenderClock::Ok,
        state: state(StateName::Queued),
        reply_to: None,
        attachments: Vec::new(),
        expires: None,
        expires_s: None,
        edited: None,
        deleted: false,
        reactions: Vec::new(),
    }
}

pub(crate) fn theirs(conversation: u64, id: u64, text: &str) -> Message {
    Message {
        from: Writer::Contact(ContactId::new(conversation)),
        received: Some(NOW),
        state: state(StateName::Delivered),
        ..own(conversation, id, text)
    }
}

pub(crate) fn conversation(number: u64, name: &str) -> Conversation {
    Conversation {
        id: ConversationId::new(number),
        contact: contact(number, name),
        last_message: None,
        unread: 0,
        read_up_to: None,
        muted: false,
    }
}

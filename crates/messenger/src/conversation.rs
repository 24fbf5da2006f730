//! The order in which a conversation is shown.
//!
//! A message is shown at once, where it came. But one sender's messages may overtake each other on the way:
//! among the places that they took, they stand in the order in which they were written. SPEC: B15.

use crate::view::MessageView;

/// Sequence of a message whose content this version cannot read: it keeps the place at which it came.
pub const SEQUENCE_UNKNOWN: u64 = u64::MAX;

/// Puts the messages of one conversation into the order in which they are shown: by number, and each
/// sender's among their own places by sequence.
pub fn arrange(messages: &mut [MessageView]) {
    messages.sort_by_key(|message| message.number);
    for own in [true, false] {
        let placed = |message: &MessageView| message.own == own && message.sequence != SEQUENCE_UNKNOWN;
        let places: Vec<usize> = (0..messages.len()).filter(|&place| placed(&messages[place])).collect();
        let mut theirs: Vec<MessageView> = places.iter().map(|&place| messages[place].clone()).collect();
        theirs.sort_by_key(|message| (message.sequence, message.number));
        for (place, message) in places.into_iter().zip(theirs) {
            messages[place] = message;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{ContactNumber, MessageNumber};
    use crate::view::{DeliveryStage, DeliveryState, MessageBody};

    fn message(number: u64, own: bool, sequence: u64) -> MessageView {
        let state = DeliveryState::new(DeliveryStage::Delivered, 0);
        MessageView {
            number: MessageNumber(number),
            contact: ContactNumber(1),
            own,
            sequence,
            body: MessageBody::Text(String::new()),
            created_unix_ms: 0,
            received_unix_ms: None,
            reply_to: None,
            client_id: None,
            state,
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    #[test]
    fn overtaken_messages_change_places_among_their_senders_only() {
        let mut messages = vec![
            message(4, false, 1),
            message(1, false, 2),
            message(2, true, 0),
            message(3, false, SEQUENCE_UNKNOWN),
            message(5, false, 0),
            message(6, true, 1),
        ];
        arrange(&mut messages);
        let order: Vec<u64> = messages.iter().map(|message| message.number.0).collect();
        assert_eq!(order, [5, 2, 3, 4, 1, 6]);
    }
}

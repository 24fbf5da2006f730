//! Which message a person means to change, told to the core by whoever can read the history.

use crate::record::HistoryRecord;
use crate::turn::{ContactNumber, MessageNumber};
use crate::view::MessageBody;

/// A message that is to be changed, as the history has it: the core has none in memory, so whoever asks reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its conversation.
    pub contact: ContactNumber,
    /// Its number.
    pub number: MessageNumber,
    /// The id under which both sides know it.
    pub message_id: [u8; 16],
    /// Whether it is ours.
    pub own: bool,
    /// Whether it is a text: nothing else has wordings.
    pub is_text: bool,
    /// When it was written, ms since 1970.
    pub created_unix_ms: u64,
    /// Which wording it has.
    pub revision: u32,
    /// It was deleted for both.
    pub deleted: bool,
    /// Our reaction to it; empty if there is none.
    pub own_reaction: String,
}

impl From<&HistoryRecord> for Target {
    fn from(HistoryRecord { message, message_id }: &HistoryRecord) -> Self {
        let own_reaction = message.reactions.iter().find(|reaction| reaction.own);
        Self {
            contact: message.contact,
            number: message.number,
            message_id: *message_id,
            own: message.own,
            is_text: matches!(message.body, MessageBody::Text(_)),
            created_unix_ms: message.created_unix_ms,
            revision: message.revision,
            deleted: message.deleted,
            own_reaction: own_reaction.map(|reaction| reaction.emoji.clone()).unwrap_or_default(),
        }
    }
}

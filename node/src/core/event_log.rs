//! The one event log: what the core announces and what the daemon adds, encoded for the vault. Its
//! sequence numbers are given in the commit, so that an event never announces what a crash undoes.

use serde::{Deserialize, Serialize};
use starling_messenger::turn::ContactNumber;
use starling_messenger::view::{Event, MessageBody};
use starling_wire::codec::{self, CodecError};

use super::handle::{NodeState, Reach};
use super::preferences::Mark;

/// Bytes of one logged event: the largest text of a contact request, and room.
const EVENT_BYTES_MAX: u64 = 96 * 1024;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Happening {
    /// In the core.
    Core(Box<Event>),
    /// The daemon's state changed.
    State(NodeState),
    /// The number of neighbours changed.
    Peers {
        /// Connected.
        connected: u32,
        /// In our shard.
        in_shard: u32,
    },
    /// Reach changed.
    Reach(Reach),
    /// Messages were read, or notifications switched.
    Marked {
        /// The conversation's contact.
        contact: ContactNumber,
        /// What is remembered of it now.
        mark: Mark,
    },
}

/// An event as the log holds it: without the text of a message, a file's name included, which its readers find in the history, so that it is
/// nowhere any more once it was deleted there.
pub(crate) fn without_text(event: Event) -> Event {
    match event {
        Event::MessageReceived(mut message) => {
            message.body = MessageBody::Text(String::new());
            message.reactions.clear();
            Event::MessageReceived(message)
        }
        other => other,
    }
}

/// An event as it lies in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggedEvent {
    /// When, ms since 1970.
    pub(crate) at_unix_ms: u64,
    /// What.
    pub(crate) happening: Happening,
}

impl LoggedEvent {
    /// Its bytes in the vault.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self, EVENT_BYTES_MAX)
    }

    /// From its bytes in the vault.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, EVENT_BYTES_MAX)
    }
}

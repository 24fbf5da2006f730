//! What the vault keeps: keys and sealed-at-rest values as data. The messenger never touches a
//! disk; it hands out [`VaultWrite`]s and starts from a [`VaultImage`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use starling_wire::codec;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::change::Change;
use crate::turn::{ContactNumber, MessageNumber};
use crate::view::{DeliveryStage, MessageView, TraceLine};

/// Version that every record begins with. SPEC: B15, `version 2 | bincode`.
pub const RECORD_VERSION: u16 = 1;
/// To which it is told when something was read.
pub(crate) const MINUTE_MS: u64 = 60_000;
/// Bytes of the largest record: a contact request with all its texts, a message with its envelope and life.
pub const RECORD_BYTES_MAX: u64 = 262_144;

/// Kind of a vault record. The number is on the disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum RecordKind {
    /// Account and device keys, device list.
    Identity = 1,
    /// Own prekeys.
    Prekeys = 2,
    /// Own name, shard, address, counters.
    Profile = 3,
    /// An invite made here.
    Invite = 4,
    /// An invite used here.
    UsedInvite = 5,
    /// A contact.
    Contact = 6,
    /// A ratchet session.
    Session = 7,
    /// A skipped message key.
    Skipped = 8,
    /// A first contact that was accepted, remembered against replay.
    FirstContact = 9,
    /// A message on its way. Ordered by message number.
    Outbox = 10,
    /// A message id already received.
    Seen = 11,
    /// Acknowledgements due to a contact.
    Acks = 12,
    /// Arrival cursor of the inbox.
    Cursor = 13,
    /// Somebody who wrote without an invite.
    Request = 14,
    /// A message of a conversation. Ordered by message number; not loaded at start.
    History = 15,
    /// Conversation of a message number; not loaded at start.
    MessageIndex = 16,
    /// Message number of a caller's id.
    ClientId = 17,
    /// An event. Ordered by sequence number; written by the commit thread; not loaded at start.
    Event = 18,
    /// The daemon's own keys and settings; not the messenger's.
    Node = 19,
    /// A message's life. Ordered by message number; not loaded at start.
    Trace = 20,
    /// Own bundle on its way into the network.
    BundlePost = 21,
    /// The highest handshake generation with somebody whose sessions were forgotten.
    Generation = 22,
    /// An earlier device list of this account. Ordered by version.
    PastList = 23,
    /// A wall clock time that was right.
    Time = 24,
    /// Key of a page of history, events or traces; the store's own. Not loaded at start.
    PageKey = 25,
    /// When a message disappears.
    Expiry = 26,
    /// A change of a message that has not come yet.
    Early = 27,
    /// A part of a content whose others have not come yet.
    Part = 28,
    /// Bytes of a file of a conversation. Ordered by message number; not loaded at start.
    File = 29,
    /// Bytes of a file on its way.
    WaitingFile = 30,
    /// What was read of a contact's messages and is to be told to them.
    Reads = 31,
    /// What the person wants of the messenger as a whole.
    Settings = 32,
}

impl RecordKind {
    /// All kinds, for a store that decodes the byte.
    pub const ALL: [Self; 32] = [
        Self::Identity,
        Self::Prekeys,
        Self::Profile,
        Self::Invite,
        Self::UsedInvite,
        Self::Contact,
        Self::Session,
        Self::Skipped,
        Self::FirstContact,
        Self::Outbox,
        Self::Seen,
        Self::Acks,
        Self::Cursor,
        Self::Request,
        Self::History,
        Self::MessageIndex,
        Self::ClientId,
        Self::Event,
        Self::Node,
        Self::Trace,
        Self::BundlePost,
        Self::Generation,
        Self::PastList,
        Self::Time,
        Self::PageKey,
        Self::Expiry,
        Self::Early,
        Self::Part,
        Self::File,
        Self::WaitingFile,
        Self::Reads,
        Self::Settings,
    ];

    /// Whether records of this kind end with the device: a new one of the same account starts from others. What a
    /// program called its messages, times that were right, when messages disappear, and what the person wants go on.
    pub const fn ends_with_device(self) -> bool {
        self.loaded_at_start() && !matches!(self, Self::ClientId | Self::Time | Self::Expiry | Self::Settings)
    }

    /// Whether records of this kind are in the [`VaultImage`] from which a messenger starts.
    pub const fn loaded_at_start(self) -> bool {
        !matches!(
            self,
            Self::History | Self::MessageIndex | Self::Event | Self::Node | Self::Trace | Self::PageKey | Self::File
        )
    }
}

/// Logical key of a record. The store hashes `parent` with a key of its own, so that no name, account or
/// message id stands in clear in a database file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultKey {
    /// Kind.
    pub kind: RecordKind,
    /// What it belongs to or is called; empty for the only one of its kind.
    pub parent: Vec<u8>,
    /// Position under `parent`, for ordered kinds.
    pub order: Option<u64>,
}

impl VaultKey {
    /// The only record of `kind`.
    pub fn single(kind: RecordKind) -> Self {
        Self { kind, parent: Vec::new(), order: None }
    }

    /// The record of `kind` called `name`.
    pub fn named(kind: RecordKind, name: impl Into<Vec<u8>>) -> Self {
        Self { kind, parent: name.into(), order: None }
    }

    /// The record of `kind` at `order` under `parent`.
    pub fn ordered(kind: RecordKind, parent: impl Into<Vec<u8>>, order: u64) -> Self {
        Self { kind, parent: parent.into(), order: Some(order) }
    }
}

/// One change of the vault. All writes of a turn are committed together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultWrite {
    /// Sets a record: `version 2 | bincode`. The store seals it.
    Put {
        /// Where.
        key: VaultKey,
        /// What.
        value: Zeroizing<Vec<u8>>,
    },
    /// Removes a record.
    Delete {
        /// Where.
        key: VaultKey,
    },
    /// Changes a message of the history, if it is there: the messenger has no history in memory. The store reads the
    /// record as it is after the writes before this one, and sets what [`changed_history`] makes of it.
    Change {
        /// Where the message lies.
        key: VaultKey,
        /// What changes.
        change: Box<Change>,
    },
    /// The recipient of an own message has read it: sets what [`read_history`] makes of its record, likewise.
    Read {
        /// Where the message lies.
        key: VaultKey,
        /// The begin of the minute in which they did, as they say, ms since 1970.
        read_unix_ms: u64,
    },
}

impl VaultWrite {
    /// Where it writes.
    pub fn key(&self) -> &VaultKey {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Change { key, .. } | Self::Read { key, .. } => key,
        }
    }
}

/// All records from which a messenger starts, in no promised order. Values carry what they belong to, as
/// keys are hashed.
#[derive(Debug, Clone, Default)]
pub struct VaultImage {
    /// Kind and value of each.
    pub records: Vec<(RecordKind, Zeroizing<Vec<u8>>)>,
}

/// Why a record could not be read: our disk, or a newer Starling, never a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Written by a newer version.
    #[error("record version {0} is newer than this build reads")]
    Newer(u16),
    /// Not a record of this kind.
    #[error("a record is damaged")]
    Damaged,
}

/// Encodes a record: `version 2 | bincode`.
///
/// # Panics
/// Never in practice: every value that goes in is bounded below [`RECORD_BYTES_MAX`] where it grows.
pub fn encode_record<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let body = Zeroizing::new(codec::encode(value, RECORD_BYTES_MAX).expect("every record is bounded where it grows"));
    let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() + 2));
    bytes.extend_from_slice(&RECORD_VERSION.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Decodes a record.
///
/// # Errors
/// [`RecordError`] when it is of a newer version or damaged.
pub fn decode_record<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, body) = bytes.split_first_chunk::<2>().ok_or(RecordError::Damaged)?;
    match u16::from_le_bytes(*version) {
        RECORD_VERSION => codec::decode(body, RECORD_BYTES_MAX).map_err(|_| RecordError::Damaged),
        newer if newer > RECORD_VERSION => Err(RecordError::Newer(newer)),
        _ => Err(RecordError::Damaged),
    }
}

/// A message of a conversation, as it is stored under [`history_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// What people see of it.
    pub message: MessageView,
    /// The id under which both sides know it.
    pub message_id: [u8; 16],
}

/// What becomes of a stored message by a change; `None` when it stays as it is, or cannot be read.
pub fn changed_history(stored: &[u8], change: &Change) -> Option<Zeroizing<Vec<u8>>> {
    let mut record: HistoryRecord = decode_record(stored).ok()?;
    change.apply(&mut record.message).then(|| encode_record(&record))
}

/// What becomes of a stored message when its recipient has read it, in the minute that begins at `read_unix_ms`; `None`
/// when it stays as it is, or cannot be read. By whatever clock they say when, it was not before it was written.
pub fn read_history(stored: &[u8], read_unix_ms: u64) -> Option<Zeroizing<Vec<u8>>> {
    let mut record: HistoryRecord = decode_record(stored).ok()?;
    let message = &mut record.message;
    if !message.own || message.deleted || message.state.stage == DeliveryStage::Read {
        return None;
    }
    // If it was delivered in that minute, then after that.
    let delivered_unix_ms = message.state.since_unix_ms.min(read_unix_ms.saturating_add(MINUTE_MS - 1));
    message.state.stage = DeliveryStage::Read;
    message.state.since_unix_ms = read_unix_ms.max(delivered_unix_ms).max(message.created_unix_ms);
    message.state.reason = None;
    Some(encode_record(&record))
}

/// A message's life, as it is stored under [`trace_key`] once the message is final. Before that the
/// messenger answers [`crate::turn::Command::Trace`] itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// Which message.
    pub number: MessageNumber,
    /// Oldest line first.
    pub lines: Vec<TraceLine>,
}

/// The conversation of a message number, as it is stored under [`message_index_key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageIndexRecord {
    /// Which message.
    pub number: MessageNumber,
    /// Its conversation.
    pub contact: ContactNumber,
}

/// Where the messages of a conversation lie: all under one parent, in the order of their numbers.
pub fn history_parent(contact: ContactNumber) -> Vec<u8> {
    contact.0.to_le_bytes().to_vec()
}

/// Where a message lies.
pub fn history_key(contact: ContactNumber, number: MessageNumber) -> VaultKey {
    VaultKey::ordered(RecordKind::History, history_parent(contact), number.0)
}

/// Bytes of a file, as they are stored under [`file_key`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The message that it came or goes with.
    pub number: MessageNumber,
    /// The file, at most [`crate::FILE_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

/// Where the file of a message lies.
pub fn file_key(contact: ContactNumber, number: MessageNumber) -> VaultKey {
    VaultKey::ordered(RecordKind::File, history_parent(contact), number.0)
}

/// Where the conversation of a message number lies.
pub fn message_index_key(number: MessageNumber) -> VaultKey {
    VaultKey::named(RecordKind::MessageIndex, number.0.to_le_bytes())
}

/// Where a final message's life lies.
pub fn trace_key(number: MessageNumber) -> VaultKey {
    VaultKey::ordered(RecordKind::Trace, Vec::new(), number.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        let record = MessageIndexRecord { number: MessageNumber(3), contact: ContactNumber(4) };
        let bytes = encode_record(&record);
        assert_eq!(decode_record(&bytes), Ok(record));
        assert_eq!(decode_record::<MessageIndexRecord>(&bytes[..bytes.len() - 1]), Err(RecordError::Damaged));
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert_eq!(decode_record::<MessageIndexRecord>(&newer), Err(RecordError::Newer(2)));
        assert_eq!(decode_record::<MessageIndexRecord>(&[1]), Err(RecordError::Damaged));
    }
}

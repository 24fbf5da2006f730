//! What the vault keeps: keys and sealed-at-rest values as data. The messenger never touches a
//! disk; it hands out [`VaultWrite`]s and starts from a [`VaultImage`].

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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
    /// A message's life. Not loaded at start.
    Trace = 20,
    /// Own bundle on its way into the network.
    BundlePost = 21,
}

impl RecordKind {
    /// All kinds, for a store that decodes the byte.
    pub const ALL: [Self; 21] = [
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
    ];

    /// Whether records of this kind are in the [`VaultImage`] from which a messenger starts.
    pub const fn loaded_at_start(self) -> bool {
        !matches!(self, Self::History | Self::MessageIndex | Self::Event | Self::Node | Self::Trace)
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
}

/// All records from which a messenger starts, in no promised order. Values carry what they belong to, as
/// keys are hashed.
#[derive(Debug, Clone, Default)]
pub struct VaultImage {
    /// Kind and value of each.
    pub records: Vec<(RecordKind, Zeroizing<Vec<u8>>)>,
}

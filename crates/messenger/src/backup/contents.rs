//! The records of a backup, one struct a kind: their bytes are those of wire's codec. They are structs of their own,
//! not the vault's: a vault is brought up to date by the Starling that opens it, a backup is read years later.
//!
//! A kind, once released, never changes; a new field is a new kind, and raises [`CONTENTS_VERSION`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use starling_e2ee::identity::{DevicePublic, ListHead};
use starling_wire::codec;
use zeroize::Zeroizing;

use super::{BackupRecord, ImportError};
use crate::contact::PinnedDevice;
use crate::record::{HistoryRecord, RECORD_BYTES_MAX};
use crate::turn::{ContactNumber, InviteNumber, MessageNumber, RequestNumber};
use crate::view::{DeliveryStage, DeliveryState, InviteState, MessageBody, MessageView};

/// Version of a backup's contents.
pub const CONTENTS_VERSION: u16 = 1;
/// Bytes of the largest record in a backup: the largest of the vault, and the room that a name takes beside it.
pub const BACKUP_RECORD_BYTES_MAX: usize = RECORD_BYTES_MAX as usize + 1_024;

/// Kind 1 and first: whose backup it is, and of when. Its version comes first, for readers of other versions.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) version: u16,
    pub(crate) created_unix_ms: u64,
    pub(crate) network: String,
    pub(crate) account: [u8; 32],
}

/// Kind 3: an earlier device list of the account, in its own encoding.
#[derive(Serialize, Deserialize)]
pub(crate) struct PastList {
    pub(crate) list: Vec<u8>,
}

/// Kind 4.
#[derive(Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) shard: u32,
    pub(crate) address: Zeroizing<[u8; 32]>,
    pub(crate) message_key: Zeroizing<[u8; 32]>,
    pub(crate) next_message: u64,
    pub(crate) next_contact: u64,
    pub(crate) next_invite: u64,
    pub(crate) next_request: u64,
}

/// A peer's device and the list it spoke for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Pinned {
    account: [u8; 32],
    signing: [u8; 32],
    agreement: [u8; 32],
    list_version: u32,
    list_head: [u8; 32],
}

impl From<PinnedDevice> for Pinned {
    fn from(PinnedDevice { device, list }: PinnedDevice) -> Self {
        Self {
            account: device.account,
            signing: device.signing,
            agreement: device.agreement,
            list_version: list.version,
            list_head: list.head,
        }
    }
}

impl From<Pinned> for PinnedDevice {
    fn from(pinned: Pinned) -> Self {
        let Pinned { account, signing, agreement, list_version, list_head } = pinned;
        let device = DevicePublic { account, signing, agreement };
        Self { device, list: ListHead { version: list_version, head: list_head } }
    }
}

/// Kind 5.
#[derive(Serialize, Deserialize)]
pub(crate) struct Contact {
    pub(crate) number: ContactNumber,
    pub(crate) name: String,
    pub(crate) unnamed: bool,
    pub(crate) account: [u8; 32],
    pub(crate) added_unix_ms: u64,
    pub(crate) last_heard_unix_ms: Option<u64>,
    pub(crate) last_activity_unix_ms: u64,
    pub(crate) blocked: bool,
    pub(crate) address: Option<[u8; 32]>,
    pub(crate) shard: u32,
    pub(crate) pinned: Option<Pinned>,
    pub(crate) next_sequence: u64,
}

/// Kind 6: how far the handshakes with somebody had come, contact or not.
#[derive(Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) account: [u8; 32],
    pub(crate) generation: u32,
    pub(crate) was_contact: bool,
    pub(crate) known_unix_ms: u64,
}

/// Kind 7: an invite made here, without its key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Invite {
    pub(crate) number: InviteNumber,
    pub(crate) label: Option<String>,
    pub(crate) link: String,
    pub(crate) bytes: u32,
    pub(crate) expires_unix_ms: u64,
    pub(crate) state: InviteState,
}

/// Kind 8: an invite used here.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsedInvite {
    pub(crate) account: [u8; 32],
    pub(crate) key_id: u64,
    pub(crate) used_unix_ms: u64,
}

/// Kind 9: somebody who wrote without an invite.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) number: RequestNumber,
    pub(crate) account: [u8; 32],
    pub(crate) pinned: Pinned,
    pub(crate) name: String,
    pub(crate) received_unix_ms: u64,
    pub(crate) card: Option<([u8; 32], u32)>,
    pub(crate) messages: Vec<([u8; 16], Vec<u8>, u64)>,
    pub(crate) text: Option<String>,
}

/// Kind 10: a text that nobody has confirmed yet.
#[derive(Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) message: Message,
    /// Message id of the message that it answers.
    pub(crate) answers: Option<[u8; 16]>,
    /// When it was given up.
    pub(crate) expired_unix_ms: Option<u64>,
}

/// Kind 11: a message id received in the last 60 days.
#[derive(Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) account: [u8; 32],
    pub(crate) message_id: [u8; 16],
    pub(crate) number: Option<MessageNumber>,
    pub(crate) unix_ms: u64,
}

/// Kind 12: a message of a conversation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Message {
    number: MessageNumber,
    contact: ContactNumber,
    own: bool,
    sequence: u64,
    body: MessageBody,
    created_unix_ms: u64,
    received_unix_ms: Option<u64>,
    reply_to: Option<MessageNumber>,
    client_id: Option<[u8; 16]>,
    stage: DeliveryStage,
    since_unix_ms: u64,
    held_by: u32,
    until_unix_ms: Option<u64>,
    attempts: u32,
    message_id: [u8; 16],
}

impl Message {
    /// Of the history.
    pub(crate) fn new(view: &MessageView, message_id: [u8; 16]) -> Self {
        Self {
            number: view.number,
            contact: view.contact,
            own: view.own,
            sequence: view.sequence,
            body: view.body.clone(),
            created_unix_ms: view.created_unix_ms,
            received_unix_ms: view.received_unix_ms,
            reply_to: view.reply_to,
            client_id: view.client_id,
            stage: view.state.stage,
            since_unix_ms: view.state.since_unix_ms,
            held_by: view.state.held_by,
            until_unix_ms: view.state.until_unix_ms,
            attempts: view.state.attempts,
            message_id,
        }
    }

    /// Its local number.
    pub(crate) fn number(&self) -> MessageNumber {
        self.number
    }

    /// Into the history.
    pub(crate) fn into_record(self) -> HistoryRecord {
        let state = DeliveryState {
            stage: self.stage,
            since_unix_ms: self.since_unix_ms,
            held_by: self.held_by,
            neighbours: 0,
            until_unix_ms: self.until_unix_ms,
            reason: None,
            attempts: self.attempts,
        };
        let message = MessageView {
            number: self.number,
            contact: self.contact,
            own: self.own,
            sequence: self.sequence,
            body: self.body,
            created_unix_ms: self.created_unix_ms,
            received_unix_ms: self.received_unix_ms,
            reply_to: self.reply_to,
            client_id: self.client_id,
            state,
        };
        HistoryRecord { message, message_id: self.message_id }
    }
}

/// Kind 13: peers that the daemon met on a network, in its own encoding.
#[derive(Serialize, Deserialize)]
pub(crate) struct Peers {
    pub(crate) network: String,
    pub(crate) bytes: Vec<u8>,
}

/// Kind 14 and last.
#[derive(Serialize, Deserialize)]
pub(crate) struct End {
    /// Records before this one.
    pub(crate) records: u64,
    /// Messages that could not be read when the backup was made.
    pub(crate) unreadable: u64,
}

/// Numbers of the kinds. Never reuse one.
pub(crate) mod kind {
    pub(crate) const HEAD: u16 = 1;
    pub(crate) const ACCOUNT: u16 = 2;
    pub(crate) const PAST_LIST: u16 = 3;
    pub(crate) const PROFILE: u16 = 4;
    pub(crate) const CONTACT: u16 = 5;
    pub(crate) const GENERATION: u16 = 6;
    pub(crate) const INVITE: u16 = 7;
    pub(crate) const USED_INVITE: u16 = 8;
    pub(crate) const REQUEST: u16 = 9;
    pub(crate) const WAITING: u16 = 10;
    pub(crate) const SEEN: u16 = 11;
    pub(crate) const MESSAGE: u16 = 12;
    pub(crate) const PEERS: u16 = 13;
    pub(crate) const END: u16 = 14;
}

/// One record.
///
/// # Panics
/// Never in practice: every value that goes in came out of a vault record, which is smaller.
pub(crate) fn encode<T: Serialize>(kind: u16, value: &T) -> BackupRecord {
    let bytes = codec::encode(value, BACKUP_RECORD_BYTES_MAX as u64).expect("it came out of a smaller record");
    BackupRecord { kind, bytes: Zeroizing::new(bytes) }
}

/// What a record of a kind says.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    codec::decode(bytes, BACKUP_RECORD_BYTES_MAX as u64).map_err(|_| ImportError::Damaged)
}

//! The records of a backup, one struct a kind: their bytes are those of wire's codec. They are structs of their own,
//! not the vault's: a vault is brought up to date by the Starling that opens it, a backup is read years later.
//!
//! A kind, once released, never changes; a new field is a new kind, and raises [`CONTENTS_VERSION`].

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use starling_e2ee::identity::{DevicePublic, ListHead};
use starling_wire::codec;
use zeroize::Zeroizing;

use super::{BackupRecord, ImportError};
use crate::change::{Change, Wording};
use crate::contact::PinnedDevice;
use crate::early::EarlyRecord;
use crate::record::{HistoryRecord, RECORD_BYTES_MAX};
use crate::turn::{ContactNumber, InviteNumber, MessageNumber, RequestNumber};
use crate::view::{self, DeliveryStage, DeliveryState, InviteState, MessageBody, MessageView};

/// Version of a backup's contents.
pub const CONTENTS_VERSION: u16 = 5;
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
            parts: None,
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
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
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

/// Kind 15, since version 2: what the person found out about a contact's keys, and how far the accounts in that
/// contact's place have counted. Only of contacts about whom there is any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    pub(crate) contact: ContactNumber,
    pub(crate) verified_unix_ms: Option<u64>,
    pub(crate) mark_lost: bool,
    pub(crate) devices_changed_unix_ms: Option<u64>,
    /// Version and head of the device list against which the person decided last.
    pub(crate) settled_list: Option<(u32, [u8; 32])>,
    pub(crate) sequence_base: u64,
    pub(crate) sequences_used: u64,
}

/// Kind 16, since version 3: the text on its way before it disappears after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingExpiry {
    pub(crate) number: MessageNumber,
    pub(crate) expires_s: u32,
}

/// Kind 17, since version 3: how many seconds messages to the contact before it are kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContactExpiry {
    pub(crate) contact: ContactNumber,
    pub(crate) expires_s: u32,
}

/// A reaction in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reaction {
    own: bool,
    emoji: String,
    counter: u64,
}

impl From<&view::Reaction> for Reaction {
    fn from(reaction: &view::Reaction) -> Self {
        Self { own: reaction.own, emoji: reaction.emoji.clone(), counter: reaction.counter }
    }
}

impl From<Reaction> for view::Reaction {
    fn from(reaction: Reaction) -> Self {
        Self { own: reaction.own, emoji: reaction.emoji, counter: reaction.counter }
    }
}

/// Kind 18, since version 4: what has changed about the message before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) number: MessageNumber,
    edited_unix_ms: Option<u64>,
    revision: u32,
    deleted: bool,
    reactions: Vec<Reaction>,
    /// Its present wording, where the message before has the one that is on its way.
    text: Option<String>,
}

impl Changed {
    /// What has changed about a message; `text` is its present wording, if the record of the message has another.
    pub(crate) fn of(view: &MessageView, text: Option<String>) -> Option<Self> {
        let is_changed = view.revision > 0 || view.deleted || !view.reactions.is_empty();
        is_changed.then(|| Self {
            number: view.number,
            edited_unix_ms: view.edited_unix_ms,
            revision: view.revision,
            deleted: view.deleted,
            reactions: view.reactions.iter().map(Reaction::from).collect(),
            text,
        })
    }

    /// Changes the message; the wording that it had before, if it has another now.
    pub(crate) fn apply(self, view: &mut MessageView) -> Option<String> {
        (view.edited_unix_ms, view.revision, view.deleted) = (self.edited_unix_ms, self.revision, self.deleted);
        view.reactions = self.reactions.into_iter().map(view::Reaction::from).collect();
        match std::mem::replace(&mut view.body, MessageBody::Text(self.text?)) {
            MessageBody::Text(before) => Some(before),
            MessageBody::Unknown { .. } | MessageBody::File(_) => None,
        }
    }
}

/// Kind 19, since version 4: a reaction, an edit or the end of a message that nobody has confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingChange {
    pub(crate) number: MessageNumber,
    pub(crate) contact: ContactNumber,
    /// Its own id.
    pub(crate) message_id: [u8; 16],
    /// Id of the message that it is about.
    pub(crate) target: [u8; 16],
    /// Its content.
    pub(crate) content: Vec<u8>,
}

/// Kind 20, since version 4: what has changed about a message that has not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Early {
    pub(crate) account: [u8; 32],
    pub(crate) message_id: [u8; 16],
    reactions: Vec<Reaction>,
    /// Revision, time and text of its newest wording.
    wording: Option<(u32, u64, String)>,
    deletes: bool,
    unix_ms: u64,
}

impl From<&EarlyRecord> for Early {
    fn from(record: &EarlyRecord) -> Self {
        let ((account, message_id), Change { reactions, wording, deletes }) = (record.key, &record.change);
        let wording = wording.as_ref().map(|worded| (worded.revision, worded.edited_unix_ms, worded.text.clone()));
        let reactions = reactions.iter().map(Reaction::from).collect();
        Self { account, message_id, reactions, wording, deletes: *deletes, unix_ms: record.unix_ms }
    }
}

impl From<Early> for EarlyRecord {
    fn from(early: Early) -> Self {
        let worded = |(revision, edited_unix_ms, text)| Wording { revision, edited_unix_ms, text };
        let change = Change {
            reactions: early.reactions.into_iter().map(view::Reaction::from).collect(),
            wording: early.wording.map(worded),
            deletes: early.deletes,
        };
        Self { key: (early.account, early.message_id), change, unix_ms: early.unix_ms }
    }
}

/// Kind 21, since version 4: a part of a content whose others have not come yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) account: [u8; 32],
    pub(crate) message_id: [u8; 16],
    pub(crate) part: u8,
    pub(crate) of: u8,
    pub(crate) bytes: Vec<u8>,
    pub(crate) unix_ms: u64,
}

/// Kind 22, since version 5: the bytes of the file that the message after it is about.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) number: MessageNumber,
    pub(crate) bytes: Vec<u8>,
}

/// Kind 23, since version 5: what the person wants of the messenger as a whole, if it is not what a new one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) read_receipts: bool,
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
    pub(crate) const TRUST: u16 = 15;
    pub(crate) const WAITING_EXPIRY: u16 = 16;
    pub(crate) const CONTACT_EXPIRY: u16 = 17;
    pub(crate) const CHANGED: u16 = 18;
    pub(crate) const WAITING_CHANGE: u16 = 19;
    pub(crate) const EARLY: u16 = 20;
    pub(crate) const PART: u16 = 21;
    pub(crate) const FILE: u16 = 22;
    pub(crate) const SETTINGS: u16 = 23;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let state = DeliveryState {
            stage: DeliveryStage::Held,
            since_unix_ms: 5,
            held_by: 6,
            neighbours: 0,
            until_unix_ms: Some(7),
            reason: None,
            attempts: 8,
            parts: None,
        };
        let view = MessageView {
            number: MessageNumber(1),
            contact: ContactNumber(2),
            own: true,
            sequence: 3,
            body: MessageBody::Text("hi".into()),
            created_unix_ms: 4,
            received_unix_ms: None,
            reply_to: Some(MessageNumber(9)),
            client_id: None,
            state,
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        };
        Message::new(&view, [10; 16])
    }

    fn pinned() -> Pinned {
        Pinned { account: [1; 32], signing: [2; 32], agreement: [3; 32], list_version: 4, list_head: [5; 32] }
    }

    #[test]
    fn a_message_keeps_its_byte_table() {
        let mut expected = Vec::new();
        for number in [1u64, 2] {
            expected.extend(number.to_le_bytes());
        }
        expected.push(1);
        expected.extend(3u64.to_le_bytes());
        expected.extend([0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i']);
        expected.extend(4u64.to_le_bytes());
        expected.extend([0, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]);
        expected.extend([10; 16]);
        let record = encode(kind::MESSAGE, &message());
        assert_eq!((record.kind, record.bytes.as_slice()), (12, expected.as_slice()));
        let back = decode::<Message>(&record.bytes).unwrap().into_record();
        assert_eq!((back.message.state.stage, back.message_id), (DeliveryStage::Held, [10; 16]));
    }

    /// A backup made today is read for ever: whoever changes one of these makes a new kind instead.
    #[test]
    fn no_kind_has_changed() {
        let contact = Contact {
            number: ContactNumber(1),
            name: "Ana".into(),
            unnamed: false,
            account: [1; 32],
            added_unix_ms: 2,
            last_heard_unix_ms: Some(3),
            last_activity_unix_ms: 4,
            blocked: true,
            address: Some([5; 32]),
            shard: 6,
            pinned: Some(pinned()),
            next_sequence: 7,
        };
        let (network, account, name) = ("main".to_owned(), [1; 32], "Ana".to_owned());
        let (address, message_key) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let profile = Profile {
            name: name.clone(),
            shard: 3,
            address,
            message_key,
            next_message: 4,
            next_contact: 5,
            next_invite: 6,
            next_request: 7,
        };
        let request = Request {
            number: RequestNumber(1),
            account,
            pinned: pinned(),
            name,
            received_unix_ms: 2,
            card: Some(([3; 32], 4)),
            messages: vec![([5; 16], vec![6, 7], 8)],
            text: Some("hi".into()),
        };
        let invite = Invite {
            number: InviteNumber(1),
            label: Some("Bob".into()),
            link: "starling:x".into(),
            bytes: 2,
            expires_unix_ms: 3,
            state: InviteState::Used(ContactNumber(4)),
        };
        let records = [
            encode(kind::HEAD, &Head { version: 1, created_unix_ms: 2, network: network.clone(), account }),
            encode(kind::PAST_LIST, &PastList { list: vec![1, 2, 3] }),
            encode(kind::PROFILE, &profile),
            encode(kind::CONTACT, &contact),
            encode(kind::GENERATION, &Generation { account, generation: 2, was_contact: true, known_unix_ms: 3 }),
            encode(kind::INVITE, &invite),
            encode(kind::USED_INVITE, &UsedInvite { account, key_id: 2, used_unix_ms: 3 }),
            encode(kind::REQUEST, &request),
            encode(kind::WAITING, &Waiting { message: message(), answers: Some([1; 16]), expired_unix_ms: Some(2) }),
            encode(kind::SEEN, &Seen { account, message_id: [2; 16], number: Some(MessageNumber(3)), unix_ms: 4 }),
            encode(kind::PEERS, &Peers { network, bytes: vec![1, 2] }),
            encode(kind::END, &End { records: 1, unreadable: 2 }),
        ];
        let sizes: Vec<(u16, usize)> = records.iter().map(|record| (record.kind, record.bytes.len())).collect();
        let expected = [
            (1, 54),
            (3, 11),
            (4, 111),
            (5, 256),
            (6, 45),
            (7, 62),
            (8, 48),
            (9, 281),
            (10, 129),
            (11, 65),
            (13, 22),
            (14, 16),
        ];
        assert_eq!(sizes, expected);
        let mut hasher = blake3::Hasher::new();
        for record in &records {
            hasher.update(&record.bytes);
        }
        assert_eq!(&hasher.finalize().to_hex()[..16], "8474034c181c4254");
    }

    #[test]
    fn no_kind_since_version_four_has_changed() {
        let reactions = vec![Reaction { own: true, emoji: "👍".into(), counter: 5 }];
        let changed = Changed {
            number: MessageNumber(1),
            edited_unix_ms: Some(2),
            revision: 3,
            deleted: true,
            reactions: reactions.clone(),
            text: Some("ho".into()),
        };
        let waiting = WaitingChange {
            number: MessageNumber(1),
            contact: ContactNumber(2),
            message_id: [3; 16],
            target: [4; 16],
            content: vec![5, 0, 6],
        };
        let early = Early {
            account: [1; 32],
            message_id: [2; 16],
            reactions,
            wording: Some((3, 4, "hi".into())),
            deletes: false,
            unix_ms: 5,
        };
        let part = Part { account: [1; 32], message_id: [2; 16], part: 3, of: 4, bytes: vec![5], unix_ms: 6 };
        let records = [
            encode(kind::CHANGED, &changed),
            encode(kind::WAITING_CHANGE, &waiting),
            encode(kind::EARLY, &early),
            encode(kind::PART, &part),
        ];
        let mut expected = 1u64.to_le_bytes().to_vec();
        expected.extend([1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1]);
        let reacted =
            [&1u64.to_le_bytes()[..], &[1], &4u64.to_le_bytes(), "👍".as_bytes(), &5u64.to_le_bytes()].concat();
        expected.extend(&reacted);
        expected.extend([1, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'o']);
        assert_eq!((records[0].kind, records[0].bytes.as_slice()), (18, expected.as_slice()));
        let ids = [&1u64.to_le_bytes()[..], &2u64.to_le_bytes(), &[3; 16], &[4; 16]].concat();
        let expected = [ids, vec![3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 6]].concat();
        assert_eq!((records[1].kind, records[1].bytes.as_slice()), (19, expected.as_slice()));
        let mut expected = [vec![1; 32], vec![2; 16], reacted].concat();
        expected.extend([1, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i', 0]);
        expected.extend(5u64.to_le_bytes());
        assert_eq!((records[2].kind, records[2].bytes.as_slice()), (20, expected.as_slice()));
        let mut expected = [vec![1; 32], vec![2; 16], vec![3, 4, 1, 0, 0, 0, 0, 0, 0, 0, 5]].concat();
        expected.extend(6u64.to_le_bytes());
        assert_eq!((records[3].kind, records[3].bytes.as_slice()), (21, expected.as_slice()));
    }

    #[test]
    fn no_kind_since_version_five_has_changed_and_stages_keep_their_numbers() {
        let settings = encode(kind::SETTINGS, &Settings { read_receipts: true });
        assert_eq!((settings.kind, settings.bytes.as_slice()), (23, [1].as_slice()));
        use DeliveryStage::{Delivered, Expired, Held, Queued, Read, Sent};
        for (number, stage) in [Queued, Sent, Held, Delivered, Expired, Read].into_iter().enumerate() {
            let bytes = codec::encode(&stage, 4).unwrap();
            assert_eq!(bytes, u32::try_from(number).unwrap().to_le_bytes(), "{stage:?}");
        }
        assert!(Delivered < Read && Read < Expired);
    }
}

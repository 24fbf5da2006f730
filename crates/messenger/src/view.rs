//! What people see of the node's state: plain data, made by the core, turned into the local API's
//! types by the daemon.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

pub use crate::file::{FileKind, FileView, PictureFormat, Voice};
use crate::turn::{ContactNumber, InviteNumber, MessageNumber, RequestNumber};

/// Why a message still waits on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueuedReason {
    /// No neighbour is held.
    NoPeers,
    /// The contact's bundle has not come yet.
    WaitingForKeys,
    /// Its stamp is being solved.
    Stamping,
    /// This computer's clock is too far off.
    Clock,
    /// Too many messages wait for the contact's answer; the chain goes on when it comes.
    Unanswered,
    /// Two device lists carry the contact's signature, and the person has not decided between them.
    DevicesForked,
    /// Neighbours are asked to take it.
    Pushing,
}

/// Where a message is. The order is total, and states never go back. What is stored names a stage by its place below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStage {
    /// On our disk.
    Queued,
    /// A neighbour took it.
    Sent,
    /// It came back from the network, and neighbours say they keep it.
    Held,
    /// The recipient's device confirmed it, sealed.
    Delivered,
    /// No node keeps it any more, and nobody confirmed it. A late confirmation still wins.
    Expired,
    /// The recipient read it, and says so. It was delivered before.
    Read,
}

impl DeliveryStage {
    const fn place(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Sent => 1,
            Self::Held => 2,
            Self::Delivered => 3,
            Self::Read => 4,
            Self::Expired => 5,
        }
    }
}

impl Ord for DeliveryStage {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for DeliveryStage {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How far the parts of a message came that goes in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsState {
    /// Parts.
    pub of: u8,
    /// Those that have their stamp, or had it once.
    pub stamped: u8,
    /// Those that came back from the network, or arrived.
    pub held: u8,
    /// Those that the recipient's device confirmed.
    pub delivered: u8,
}

/// State of a message of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryState {
    /// Where it is.
    pub stage: DeliveryStage,
    /// Since when, ms since 1970.
    pub since_unix_ms: u64,
    /// Neighbours that say they keep it.
    pub held_by: u32,
    /// Neighbours held now.
    pub neighbours: u32,
    /// Until when nodes keep it, ms since 1970; absent before it was sealed.
    pub until_unix_ms: Option<u64>,
    /// Why it waits.
    pub reason: Option<QueuedReason>,
    /// How often it was sealed or pushed.
    pub attempts: u32,
    /// Its parts, if it goes in several.
    pub parts: Option<PartsState>,
}

impl DeliveryState {
    /// One of which nothing more is known yet.
    pub const fn new(stage: DeliveryStage, since_unix_ms: u64) -> Self {
        Self {
            stage,
            since_unix_ms,
            held_by: 0,
            neighbours: 0,
            until_unix_ms: None,
            reason: None,
            attempts: 0,
            parts: None,
        }
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageBody {
    /// A text.
    Text(String),
    /// A content kind that this version does not know: shown as "needs a newer Starling".
    Unknown {
        /// Its kind.
        kind: u16,
        /// Its bytes, kept for a newer version.
        bytes: Vec<u8>,
    },
    /// A file, without its bytes, which lie beside the history: [`crate::record::file_key`].
    File(Box<FileView>),
}

impl MessageBody {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&FileView> {
        if let Self::File(file) = self { Some(file) } else { None }
    }
}

/// What one side feels about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Whether it is ours.
    pub own: bool,
    /// What; empty when it was taken back.
    pub emoji: String,
    /// The highest of one side counts.
    pub counter: u64,
}

/// A message, own or received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// Local number.
    pub number: MessageNumber,
    /// Conversation it belongs to.
    pub contact: ContactNumber,
    /// Whether it is ours.
    pub own: bool,
    /// The writer's count in this conversation, from 0.
    pub sequence: u64,
    /// What it says.
    pub body: MessageBody,
    /// When its writer says it was written, ms since 1970.
    pub created_unix_ms: u64,
    /// When it came, ms since 1970; absent on own messages.
    pub received_unix_ms: Option<u64>,
    /// The message it answers, if known here.
    pub reply_to: Option<MessageNumber>,
    /// The caller's id of an own message.
    pub client_id: Option<[u8; 16]>,
    /// State of an own message; of a received one, `Delivered`.
    pub state: DeliveryState,
    /// Seconds that it is kept for once it was delivered; 0 is for ever.
    pub expires_s: u32,
    /// When it disappears, ms since 1970; absent before its time runs.
    pub expires_unix_ms: Option<u64>,
    /// When its writer says that they gave it its present wording, ms since 1970; absent while it has its first.
    pub edited_unix_ms: Option<u64>,
    /// Which wording it has: 0 is the first.
    pub revision: u32,
    /// Its writer deleted it for both: it says nothing any more.
    pub deleted: bool,
    /// At most one a side, with those that were taken back: see [`MessageView::shown_reactions`].
    pub reactions: Vec<Reaction>,
}

impl MessageView {
    /// What is felt about it now: at most one reaction a side.
    pub fn shown_reactions(&self) -> impl Iterator<Item = &Reaction> {
        self.reactions.iter().filter(|reaction| !reaction.emoji.is_empty())
    }
}

/// State of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContactState {
    /// Its bundle has not come yet.
    WaitingForKeys,
    /// Messages can be sealed.
    Ready,
    /// Nothing of theirs is shown.
    Blocked,
    /// Two device lists carry their signature: nothing is sent before the person decides.
    Forked,
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactView {
    /// Local number.
    pub number: ContactNumber,
    /// Local name, unique.
    pub name: String,
    /// State.
    pub state: ContactState,
    /// Their account key.
    pub account: [u8; 32],
    /// When added, ms since 1970.
    pub added_unix_ms: u64,
    /// When their device was last heard, ms since 1970.
    pub last_heard_unix_ms: Option<u64>,
    /// Last message either way, ms since 1970.
    pub last_activity_unix_ms: u64,
    /// When the person last found that the account key is theirs, ms since 1970.
    pub verified_unix_ms: Option<u64>,
    /// They were verified, and have another account since.
    pub mark_lost: bool,
    /// When they last changed their devices, ms since 1970; the account is the same.
    pub devices_changed_unix_ms: Option<u64>,
    /// Seconds that messages to them are kept for after their delivery, unless one says otherwise; 0 is for ever.
    pub expires_s: u32,
}

/// State of an invite made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InviteState {
    /// Not used yet.
    Open,
    /// Used by this contact.
    Used(ContactNumber),
    /// Withdrawn.
    Revoked,
    /// Its time is over.
    Expired,
}

/// An invite made here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// Local number.
    pub number: InviteNumber,
    /// For whom.
    pub label: Option<String>,
    /// `starling:...`
    pub link: String,
    /// Bytes of the invite.
    pub bytes: u32,
    /// When it expires, ms since 1970.
    pub expires_unix_ms: u64,
    /// State.
    pub state: InviteState,
}

/// Somebody who wrote without an invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    /// Local number.
    pub number: RequestNumber,
    /// The name they give to themselves.
    pub name: String,
    /// Their account key.
    pub account: [u8; 32],
    /// Their first text, if one came.
    pub text: Option<String>,
    /// When it came, ms since 1970.
    pub received_unix_ms: u64,
}

/// The reusable address of this account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressView {
    /// `starling:...`
    pub link: String,
    /// Bytes of it.
    pub bytes: u32,
    /// Account key.
    pub account: [u8; 32],
    /// Device signing key.
    pub device: [u8; 32],
    /// Own name.
    pub name: String,
}

/// State of the core, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusView {
    /// Own name.
    pub name: String,
    /// Messages that wait on this computer.
    pub outbox_queued: u32,
    /// Messages not yet confirmed by their recipients, those that wait included.
    pub outbox_undelivered: u32,
    /// Neighbours held.
    pub neighbours: u32,
    /// Envelopes stored for everyone in the last hours that are known in memory.
    pub envelopes: u64,
    /// Bytes of them.
    pub envelope_bytes: u64,
    /// Median of (peer's clock - ours), ms, and how many peers it is of.
    pub clock_offset_ms: Option<(i64, u32)>,
    /// Of these peers, those by whose clocks ours is off to the same side by more than two minutes.
    pub clock_agreeing: u32,
    /// Sends are held because the clock is too far off.
    pub clock_holds_sends: bool,
    /// Open requests.
    pub requests: u32,
    /// Names of contacts to whom nothing is sent because their device list is forked.
    pub forked: Vec<String>,
    /// Names of contacts who were verified, and have another account since.
    pub marks_lost: Vec<String>,
    /// Contacts are told what was read here, and their word of what they read is heard.
    pub read_receipts: bool,
    /// Messages found waiting at the start of this run and taken up again.
    pub recovered: u32,
    /// Another device of this account has taken this one's place: contacts write to that one.
    pub replaced: bool,
    /// Milliseconds since 1970 at which this answer was made.
    pub at_unix_ms: u64,
}

/// A text of one's own that its recipient has not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndeliveredView {
    /// Which.
    pub number: MessageNumber,
    /// To whom.
    pub contact: ContactNumber,
    /// When it was written, ms since 1970.
    pub created_unix_ms: u64,
    /// Where it is, and why.
    pub state: DeliveryState,
    /// When it is sealed again at the earliest, ms since 1970.
    pub next_try_unix_ms: Option<u64>,
}

/// One line of a message's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// When, ms since 1970.
    pub at_unix_ms: u64,
    /// What happened.
    pub step: TraceStep,
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceStep {
    /// Accepted and written to disk.
    Queued,
    /// Waits, and why.
    Waiting(QueuedReason),
    /// Sealed into an envelope of this many bytes.
    Sealed {
        /// Envelope bytes.
        bytes: u32,
    },
    /// Stamped after so many ms.
    Stamped {
        /// Milliseconds from sealing.
        took_ms: u32,
    },
    /// Pushed to a neighbour.
    Pushed,
    /// A neighbour took it.
    Taken,
    /// A neighbour refused it or did not answer.
    NotTaken,
    /// Came back from the network.
    CameBack,
    /// So many of so many neighbours say they keep it.
    Held {
        /// Neighbours that keep it.
        by: u32,
        /// Neighbours held.
        of: u32,
    },
    /// The same bytes were pushed again.
    PushedAgain,
    /// Sealed anew.
    SealedAgain,
    /// The recipient's device confirmed it.
    Delivered,
    /// No node keeps it any more.
    Expired,
    /// The next try is due then.
    NextTry {
        /// ms since 1970.
        at_unix_ms: u64,
    },
    /// The recipient read it, as they say. It is no part of what is stored of a life.
    Read,
}

/// Something a person may want to see. The daemon adds events of its own (node state, peers).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A contact was made here.
    ContactAdded(ContactView),
    /// Messages to it can be sealed now.
    ContactReady(ContactView),
    /// It was renamed, blocked, unblocked, verified; its devices or its account changed.
    ContactChanged(ContactView),
    /// It was removed.
    ContactRemoved(ContactNumber),
    /// Somebody wrote without an invite.
    ContactRequested(RequestView),
    /// An invite was made.
    InviteCreated(InviteView),
    /// Somebody used an invite.
    InviteUsed(InviteView),
    /// An invite's time is over, or it was withdrawn.
    InviteExpired(InviteView),
    /// A message came.
    MessageReceived(MessageView),
    /// An own message's state changed.
    MessageState {
        /// Which.
        number: MessageNumber,
        /// Its conversation.
        contact: ContactNumber,
        /// The new state.
        state: DeliveryState,
    },
    /// A message is gone from here: its time was over, or the person deleted it.
    MessageDeleted {
        /// Which.
        number: MessageNumber,
        /// Its conversation.
        contact: ContactNumber,
    },
    /// The core warns: codes `clock`, `disk`, `bundle_expired`, `replaced`, `devices_forked`.
    Warning {
        /// Stable code.
        code: String,
        /// On, or over.
        active: bool,
    },
    /// A message, own or received, may have another wording or other reactions, or was deleted for both. The history
    /// has it as it is now; nothing when it has disappeared, or never came.
    MessageChanged {
        /// Which.
        number: MessageNumber,
        /// Its conversation.
        contact: ContactNumber,
    },
    /// A contact says that they read an own message. The history has its state, if it has the message.
    MessageRead {
        /// Which.
        number: MessageNumber,
        /// Its conversation.
        contact: ContactNumber,
    },
}

//! Conversations, messages, their delivery state and their life.

use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::file::{Attach, Attachment};
use crate::id::{ContactId, ConversationId, MessageId};
use crate::people::Contact;
use crate::strict;
use crate::time::Time;

/// Where a message is. The order is total and events never go back, but for a late receipt, which turns
/// `expired` into `delivered` or `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// On this computer.
    Queued,
    /// A neighbour took it.
    Sent,
    /// It came back from the network; `held_by` neighbours say they keep it.
    Held,
    /// The recipient's device confirmed it.
    Delivered,
    /// The recipient read it, at the time that their device tells. Only where both sides have `read_receipts` on.
    Read,
    /// No node keeps it any more, and nobody confirmed it.
    Expired,
}

impl StateName {
    /// The word in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Expired => "expired",
        }
    }
}

/// Why a message waits on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueuedReason {
    /// Nobody is there to take it.
    NoPeers,
    /// The contact's keys have not come yet.
    WaitingForKeys,
    /// Its stamp is being solved.
    Stamping,
    /// This computer's clock is too far off.
    Clock,
    /// Two device lists carry the contact's signature.
    DevicesForked,
    /// Too many messages wait for the contact's answer.
    Unanswered,
    /// Neighbours are asked to take it; those asked so far did not.
    Pushing,
    /// A reason that is unknown here.
    #[serde(other)]
    Other,
}

/// State of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageState {
    /// Where it is.
    pub name: StateName,
    /// Since when.
    pub since: Time,
    /// Neighbours that say they keep it. May fall while `held`.
    pub held_by: u32,
    /// Neighbours held now.
    pub neighbours: u32,
    /// Until when nodes keep it; `null` before it was sealed.
    pub until: Option<Time>,
    /// Why it waits.
    pub reason: Option<QueuedReason>,
    /// How often it was sealed or pushed.
    pub attempts: u32,
    /// How far its parts came; `null` of one that goes as a whole.
    #[serde(default)]
    pub parts: Option<Parts>,
}

/// How far the parts of a message came that goes in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// Parts.
    pub of: u32,
    /// Those whose stamps are made.
    pub stamped: u32,
    /// Those that came back from the network, or arrived.
    pub held: u32,
    /// Those that the recipient's device confirmed.
    pub delivered: u32,
}

/// Who wrote a message: `"me"`, or the id of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// This account.
    Me,
    /// A contact.
    Contact(ContactId),
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Me => f.write_str("me"),
            Self::Contact(contact) => contact.fmt(f),
        }
    }
}

impl Serialize for Writer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Writer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "me" => Ok(Self::Me),
            id => id.parse().map(Self::Contact).map_err(D::Error::custom),
        }
    }
}

/// Whether the writer's clock can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderClock {
    /// It came well before it was written: the writer's clock, or this one, is wrong.
    Ahead,
    /// Nothing speaks against it.
    #[serde(other)]
    Ok,
}

/// A message, own or received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The conversation it is in.
    pub conversation: ConversationId,
    /// The UUID that its sender gave on this computer; `null` on received ones.
    pub client_id: Option<String>,
    /// Who wrote it.
    pub from: Writer,
    /// What it says; `null` when it needs a newer Starling to be shown, or was deleted.
    pub text: Option<String>,
    /// When its writer says it was written.
    pub created: Time,
    /// When it came; `null` on own messages.
    pub received: Option<Time>,
    /// Whether the writer's clock can be believed.
    pub sender_clock: SenderClock,
    /// Where it is.
    pub state: MessageState,
    /// The message it answers, if known here.
    pub reply_to: Option<MessageId>,
    /// The file that it is about; none of a text.
    pub attachments: Vec<Attachment>,
    /// When it disappears; `null` if never, and before its time runs.
    pub expires: Option<Time>,
    /// Seconds that each side keeps it for: the reader from when it came, the writer from when that was confirmed or
    /// no node kept it any more; `null` if for ever.
    #[serde(default)]
    pub expires_s: Option<u32>,
    /// When its writer gave it its present wording; `null` while it has its first.
    #[serde(default)]
    pub edited: Option<Time>,
    /// Its writer deleted it for both: `text` is `null`.
    #[serde(default)]
    pub deleted: bool,
    /// At most one a side.
    #[serde(default)]
    pub reactions: Vec<Reaction>,
}

/// What somebody feels about a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    /// Who.
    pub from: Writer,
    /// What.
    pub emoji: String,
}

/// Body of `PUT /v1/messages/{id}/reaction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct React {
    /// At most 32 bytes; `null` takes it back.
    pub emoji: Option<String>,
}

/// Body of `PATCH /v1/messages/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    /// What it is to say.
    pub text: String,
}

/// For whom a message is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeleteFor {
    /// An own message, here and where its recipient has it.
    Both,
    /// Here alone.
    Me,
}

/// Query of `DELETE /v1/messages/{id}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// For whom; an own one for both, if absent, a received one here.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_whom: Option<DeleteFor>,
}

/// `GET /v1/conversations/{id}/messages`, in the order in which they are shown, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Messages {
    /// The conversation.
    pub conversation: ConversationId,
    /// Messages.
    pub messages: Vec<Message>,
    /// What to give as `before` for the messages before these; `null` when there are none.
    pub before: Option<MessageId>,
}

/// Query of `GET /v1/conversations/{id}/messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessagesQuery {
    /// Only messages that came to this node before that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
    /// At most so many, 1 to 500; 50 if absent. The newest ones are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only messages written or received at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// With whom.
    pub contact: Contact,
    /// The newest message.
    pub last_message: Option<Message>,
    /// Received messages after the last one that was read or answered; at most 100 are counted.
    #[serde(default)]
    pub unread: u32,
    /// The last message that was read, if any was.
    #[serde(default)]
    pub read_up_to: Option<MessageId>,
    /// Its new messages raise no notification.
    #[serde(default)]
    pub muted: bool,
}

/// Body of `PUT /v1/conversations/{id}/read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    /// The newest message that was read. An older one than before changes nothing. Who wrote them is told, if
    /// `read_receipts` is on.
    pub up_to: MessageId,
}

/// Body of `PATCH /v1/conversations/{id}`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeConversation {
    /// Whether new messages raise no notification.
    #[serde(default)]
    pub muted: Option<bool>,
}

/// Answer to `PUT /v1/conversations/{id}/read` and to `PATCH /v1/conversations/{id}`; data of `conversation.read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationMarks {
    /// The conversation.
    pub id: ConversationId,
    /// The last message that was read.
    pub read_up_to: Option<MessageId>,
    /// Whether new messages raise no notification.
    pub muted: bool,
}

/// `GET /v1/conversations`, last activity first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Conversations {
    /// All conversations.
    pub conversations: Vec<Conversation>,
}

/// Body of `POST /v1/conversations/{id}/messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// A UUID. A second send under it returns the first message instead of sending again.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What it says; beside a file at most 1,024 bytes, or nothing.
    #[serde(default)]
    pub text: String,
    /// The message it answers.
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    /// Seconds after its delivery at which it disappears, on both sides, up to a year; 0 for never. That of the
    /// conversation if absent.
    #[serde(default)]
    pub expires_s: Option<u32>,
    /// Files: one at the most.
    #[serde(default, deserialize_with = "strict::objects")]
    pub attachments: Vec<Attach>,
}

/// Answer to a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message.
    pub message: Message,
    /// The `client_id` was known (HTTP 200, not 201): nothing new was sent.
    pub known: bool,
}

/// `GET /v1/messages/{id}/trace`: a message's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// The message as it is now.
    pub message: Message,
    /// The contact it is for; `null` when it was removed.
    pub contact: Option<Contact>,
    /// What happened, oldest first.
    pub lines: Vec<TraceLine>,
}

/// One line of a message's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceLine {
    /// When.
    pub time: Time,
    /// What happened.
    pub step: TraceStep,
    /// Why it waits.
    pub reason: Option<QueuedReason>,
    /// Bytes of the envelope.
    pub bytes: Option<u32>,
    /// Milliseconds that the stamp took.
    pub took_ms: Option<u32>,
    /// Neighbours that keep it.
    pub held_by: Option<u32>,
    /// Neighbours held then.
    pub neighbours: Option<u32>,
    /// When the next try is due.
    pub next_try: Option<Time>,
}

/// What happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceStep {
    /// Written to disk.
    Queued,
    /// Waits; `reason` says why.
    Waiting,
    /// Sealed into an envelope of `bytes`.
    Sealed,
    /// Stamped, in `took_ms`.
    Stamped,
    /// Pushed to a neighbour.
    Pushed,
    /// The neighbour took it.
    Taken,
    /// A neighbour refused it or did not answer.
    NotTaken,
    /// Came back from the network.
    CameBack,
    /// Kept by `held_by` of `neighbours`.
    Held,
    /// The same bytes were pushed again.
    PushedAgain,
    /// Sealed anew.
    SealedAgain,
    /// The recipient's device confirmed it.
    Delivered,
    /// The recipient read it, at the time that their device tells.
    Read,
    /// No node keeps it any more.
    Expired,
    /// The next try is due at `next_try`.
    NextTry,
    /// A step that is unknown here.
    #[serde(other)]
    Other,
}

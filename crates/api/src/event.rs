//! Events: one line of NDJSON each, numbered without holes, kept 10,000 or seven days. That a message came is told as
//! long as it is there: one that has disappeared since is left out, and its number with it.
//!
//! ```text
//! {"v":1,"seq":1042,"time":"...","type":"message.state","data":{"id":"m_7kq2","conversation":"c_9x","state":{...}}}
//! ```

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::id::{ContactId, ConversationId, MessageId};
use crate::message::{ConversationMarks, Message, MessageState};
use crate::node::{NodeState, Reach};
use crate::people::{Contact, Invite, Request};
use crate::time::Time;
use crate::version::V1;

/// Name of the answer's header with the newest event's number: read, then subscribe from there.
pub const SEQ_HEADER: &str = "Starling-Seq";

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number. Ask for `since` this one to get the next.
    pub seq: u64,
    /// When.
    pub time: Time,
    /// What.
    pub body: EventBody,
}

/// What happened: `type` and `data` of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum EventBody {
    /// `node.state`
    NodeState(NodeStateData),
    /// `node.peers`
    NodePeers(NodePeersData),
    /// `node.reach`
    NodeReach(NodeReachData),
    /// `node.warning`
    NodeWarning(NodeWarningData),
    /// `contact.added`
    ContactAdded(Contact),
    /// `contact.ready`
    ContactReady(Contact),
    /// `contact.requested`
    ContactRequested(Request),
    /// `contact.changed`
    ContactChanged(Contact),
    /// `contact.removed`
    ContactRemoved(ContactRemovedData),
    /// `invite.created`
    InviteCreated(Invite),
    /// `invite.used`
    InviteUsed(Invite),
    /// `invite.expired`: its time is over, or it was withdrawn.
    InviteExpired(Invite),
    /// `message.received`
    MessageReceived(Message),
    /// `message.state`
    MessageState(MessageStateData),
    /// `message.changed`: it may have another wording or other reactions, or was deleted for both.
    MessageChanged(Message),
    /// `message.deleted`: its time was over, or it was deleted here.
    MessageDeleted(MessageDeletedData),
    /// `conversation.read`: messages were read, or notifications switched.
    ConversationRead(ConversationMarks),
    /// `events.gap`: events are missing before this line.
    EventsGap(EventsGapData),
    /// A type of a newer version.
    Unknown {
        /// Its `type`.
        name: String,
        /// Its `data`.
        data: Value,
    },
}

/// Types of events that this version makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// The daemon's state changed.
    NodeState,
    /// The number of peers changed.
    NodePeers,
    /// Reach changed.
    NodeReach,
    /// A warning began or ended.
    NodeWarning,
    /// A contact was made.
    ContactAdded,
    /// Messages to a contact can be sealed now.
    ContactReady,
    /// Somebody wrote without an invite.
    ContactRequested,
    /// A contact was renamed, blocked, unblocked or verified; its devices or its account changed.
    ContactChanged,
    /// A contact was removed.
    ContactRemoved,
    /// An invite was made.
    InviteCreated,
    /// Somebody used an invite.
    InviteUsed,
    /// An invite ended unused.
    InviteExpired,
    /// A message came.
    MessageReceived,
    /// A message's state changed.
    MessageState,
    /// A message was edited, reacted to, or deleted for both.
    MessageChanged,
    /// A message disappeared.
    MessageDeleted,
    /// `conversation.read`
    ConversationRead,
    /// Events are missing. Never filtered out.
    EventsGap,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 18] = [
        Self::NodeState,
        Self::NodePeers,
        Self::NodeReach,
        Self::NodeWarning,
        Self::ContactAdded,
        Self::ContactReady,
        Self::ContactRequested,
        Self::ContactChanged,
        Self::ContactRemoved,
        Self::InviteCreated,
        Self::InviteUsed,
        Self::InviteExpired,
        Self::MessageReceived,
        Self::MessageState,
        Self::MessageChanged,
        Self::MessageDeleted,
        Self::ConversationRead,
        Self::EventsGap,
    ];

    /// Its name, e.g. `message.state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeState => "node.state",
            Self::NodePeers => "node.peers",
            Self::NodeReach => "node.reach",
            Self::NodeWarning => "node.warning",
            Self::ContactAdded => "contact.added",
            Self::ContactReady => "contact.ready",
            Self::ContactRequested => "contact.requested",
            Self::ContactChanged => "contact.changed",
            Self::ContactRemoved => "contact.removed",
            Self::InviteCreated => "invite.created",
            Self::InviteUsed => "invite.used",
            Self::InviteExpired => "invite.expired",
            Self::MessageReceived => "message.received",
            Self::MessageState => "message.state",
            Self::MessageChanged => "message.changed",
            Self::MessageDeleted => "message.deleted",
            Self::ConversationRead => "conversation.read",
            Self::EventsGap => "events.gap",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Data of `node.state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStateData {
    /// The new state.
    pub state: NodeState,
}

/// Data of `node.peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodePeersData {
    /// Connected.
    pub connected: u32,
    /// Connected and subscribed to our shard.
    pub in_shard: u32,
}

/// Data of `node.reach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReachData {
    /// The new reach.
    pub reach: Reach,
}

/// Data of `node.warning`. The words are in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeWarningData {
    /// For programs.
    pub code: String,
    /// It began, or it is over.
    pub active: bool,
}

/// Data of `contact.removed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactRemovedData {
    /// Which.
    pub id: ContactId,
}

/// Data of `message.state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageStateData {
    /// Which message.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The new state.
    pub state: MessageState,
}

/// Data of `message.deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageDeletedData {
    /// Which message.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
}

/// Data of `events.gap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsGapData {
    /// Number of the oldest event that is still there: the next one.
    pub oldest: u64,
}

impl EventBody {
    /// Its type; absent when it is of a newer version.
    pub const fn event_type(&self) -> Option<EventType> {
        Some(match self {
            Self::NodeState(_) => EventType::NodeState,
            Self::NodePeers(_) => EventType::NodePeers,
            Self::NodeReach(_) => EventType::NodeReach,
            Self::NodeWarning(_) => EventType::NodeWarning,
            Self::ContactAdded(_) => EventType::ContactAdded,
            Self::ContactReady(_) => EventType::ContactReady,
            Self::ContactRequested(_) => EventType::ContactRequested,
            Self::ContactChanged(_) => EventType::ContactChanged,
            Self::ContactRemoved(_) => EventType::ContactRemoved,
            Self::InviteCreated(_) => EventType::InviteCreated,
            Self::InviteUsed(_) => EventType::InviteUsed,
            Self::InviteExpired(_) => EventType::InviteExpired,
            Self::MessageReceived(_) => EventType::MessageReceived,
            Self::MessageState(_) => EventType::MessageState,
            Self::MessageChanged(_) => EventType::MessageChanged,
            Self::MessageDeleted(_) => EventType::MessageDeleted,
            Self::ConversationRead(_) => EventType::ConversationRead,
            Self::EventsGap(_) => EventType::EventsGap,
            Self::Unknown { .. } => return None,
        })
    }

    /// The name of its type.
    pub fn type_name(&self) -> &str {
        match (self, self.event_type()) {
            (Self::Unknown { name, .. }, _) => name,
            (_, Some(known)) => known.as_str(),
            (_, None) => "",
        }
    }

    fn read(name: String, data: Value) -> Result<Self, serde_json::Error> {
        fn of<T: DeserializeOwned>(make: fn(T) -> EventBody, data: Value) -> Result<EventBody, serde_json::Error> {
            serde_json::from_value(data).map(make)
        }
        let Some(known) = EventType::parse(&name) else {
            return Ok(Self::Unknown { name, data });
        };
        match known {
            EventType::NodeState => of(Self::NodeState, data),
            EventType::NodePeers => of(Self::NodePeers, data),
            EventType::NodeReach => of(Self::NodeReach, data),
            EventType::NodeWarning => of(Self::NodeWarning, data),
            EventType::ContactAdded => of(Self::ContactAdded, data),
            EventType::ContactReady => of(Self::ContactReady, data),
            EventType::ContactRequested => of(Self::ContactRequested, data),
            EventType::ContactChanged => of(Self::ContactChanged, data),
            EventType::ContactRemoved => of(Self::ContactRemoved, data),
            EventType::InviteCreated => of(Self::InviteCreated, data),
            EventType::InviteUsed => of(Self::InviteUsed, data),
            EventType::InviteExpired => of(Self::InviteExpired, data),
            EventType::MessageReceived => of(Self::MessageReceived, data),
            EventType::MessageState => of(Self::MessageState, data),
            EventType::MessageChanged => of(Self::MessageChanged, data),
            EventType::MessageDeleted => of(Self::MessageDeleted, data),
            EventType::ConversationRead => of(Self::ConversationRead, data),
            EventType::EventsGap => of(Self::EventsGap, data),
        }
    }
}

/// `data` alone.
struct Data<'a>(&'a EventBody);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            EventBody::NodeState(data) => data.serialize(serializer),
            EventBody::NodePeers(data) => data.serialize(serializer),
            EventBody::NodeReach(data) => data.serialize(serializer),
            EventBody::NodeWarning(data) => data.serialize(serializer),
            EventBody::ContactAdded(data) | EventBody::ContactReady(data) | EventBody::ContactChanged(data) => {
                data.serialize(serializer)
            }
            EventBody::ContactRequested(data) => data.serialize(serializer),
            EventBody::ContactRemoved(data) => data.serialize(serializer),
            EventBody::InviteCreated(data) | EventBody::InviteUsed(data) | EventBody::InviteExpired(data) => {
                data.serialize(serializer)
            }
            EventBody::MessageReceived(data) | EventBody::MessageChanged(data) => data.serialize(serializer),
            EventBody::MessageState(data) => data.serialize(serializer),
            EventBody::MessageDeleted(data) => data.serialize(serializer),
            EventBody::ConversationRead(data) => data.serialize(serializer),
            EventBody::EventsGap(data) => data.serialize(serializer),
            EventBody::Unknown { data, .. } => data.serialize(serializer),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("Event", 5)?;
        event.serialize_field("v", &V1)?;
        event.serialize_field("seq", &self.seq)?;
        event.serialize_field("time", &self.time)?;
        event.serialize_field("type", self.body.type_name())?;
        event.serialize_field("data", &Data(&self.body))?;
        event.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(rename = "v")]
            _version: V1,
            seq: u64,
            time: Time,
            r#type: String,
            data: Value,
        }
        let line = Line::deserialize(deserializer)?;
        let body = EventBody::read(line.r#type, line.data).map_err(serde::de::Error::custom)?;
        Ok(Self { seq: line.seq, time: line.time, body })
    }
}

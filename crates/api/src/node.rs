//! The node itself: health, status, settings, its reusable address, peers, and the vault's passphrase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Passphrase;

/// State of the node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Opening its files.
    Starting,
    /// The vault waits for its passphrase; the network is off.
    Locked,
    /// On the network, looking for a first neighbour.
    Joining,
    /// Looked for a while and found nobody.
    Alone,
    /// At least one neighbour is held.
    Online,
    /// Saving and leaving.
    Stopping,
}

impl NodeState {
    /// The word in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Locked => "locked",
            Self::Joining => "joining",
            Self::Alone => "alone",
            Self::Online => "online",
            Self::Stopping => "stopping",
        }
    }
}

/// Whether others can reach this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// By a confirmed address of its own.
    Direct,
    /// After a hole was punched into its NAT.
    Punchable,
    /// Through another node.
    Relayed,
    /// It reaches others; nobody reaches it.
    OutgoingOnly,
    /// Nothing is known yet. Also read in the place of a word that is unknown here.
    #[serde(other)]
    Unknown,
}

/// How the key to the vault is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protected {
    /// By a file that only its owner can read.
    Keyfile,
    /// By a passphrase.
    Passphrase,
}

/// `GET /v1/health`, the only call without a token: `{"v":1,"state":"locked"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// State.
    pub state: NodeState,
}

/// `GET /v1/status`. While the vault is locked, what is inside it is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// State.
    pub state: NodeState,
    /// Version of the running build.
    pub version: String,
    /// Network name.
    pub network: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Where the page is; `null` in a build that has none.
    pub page: Option<String>,
    /// Peers; `null` while the network is off.
    pub peers: Option<PeerCounts>,
    /// Whether others can reach this node.
    pub reach: Reach,
    /// Whether the writer of a message is hidden from the node that publishes it.
    pub sender_hidden: bool,
    /// Own messages on their way.
    pub outbox: Option<Outbox>,
    /// What is kept for everyone.
    pub store: Option<StoreUse>,
    /// The clock against those of the peers; `null` before any is known.
    pub clock: Option<Clock>,
    /// How the key to the vault is protected.
    pub protected: Protected,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// Where this API is.
    pub api: String,
    /// Own name.
    pub name: Option<String>,
    /// Own libp2p peer id.
    pub peer: Option<String>,
    /// Addresses that the node listens on, with `/p2p/`.
    pub addresses: Vec<String>,
    /// Ways to a first peer that were tried.
    pub tried: Option<Tried>,
    /// Contact requests that wait for an answer.
    pub requests: Option<u32>,
    /// Messages that waited when this run began and were taken up again.
    pub recovered: Option<u32>,
    /// Process id of the node.
    pub pid: u32,
    /// Whether UDP is blocked here: several peers answer over TCP, and nobody over QUIC.
    #[serde(default)]
    pub udp_blocked: bool,
    /// What went over the network today; `null` while the vault is locked.
    #[serde(default)]
    pub traffic: Option<Traffic>,
}

/// What went over the network today, in all streams of all connections; what encryption and packets add is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// The day, UTC: `2026-11-23`.
    pub day: String,
    /// To peers.
    pub sent_bytes: u64,
    /// From peers.
    pub received_bytes: u64,
    /// Sealed messages that the shard is planned to carry a day: about so much comes to a node, and goes on from it.
    pub budget_day_bytes: u64,
    /// The most of them that any hour may hold.
    pub budget_hour_bytes: u64,
}

/// Peers, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerCounts {
    /// Connected.
    pub connected: u32,
    /// Connected and subscribed to our shard.
    pub in_shard: u32,
    /// Nodes whose address is known.
    pub known: u32,
}

/// Own messages on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outbox {
    /// Waiting on this computer.
    pub queued: u32,
    /// Not yet confirmed by their recipients, those that wait included.
    pub undelivered: u32,
}

/// What is kept for everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreUse {
    /// Envelopes.
    pub envelopes: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that they may take.
    pub limit_bytes: u64,
    /// Bytes free where the data directory lies.
    pub disk_free_bytes: u64,
}

/// This computer's clock against those of its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// This clock minus the median of the peers', ms: positive when this computer is ahead.
    pub offset_ms: i64,
    /// Peers it is the median of.
    pub samples: u32,
}

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// For programs: `no_passphrase`, `clock`, `low_disk`, `disk_full`, `network`, `devices_forked`, `mark_lost`.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Whether `status --check` fails because of it.
    pub degraded: bool,
}

/// Ways to a first peer that were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// Whether the node looks on the local network.
    pub mdns: bool,
    /// Peers of earlier runs.
    pub remembered: u32,
    /// Invites and addresses of accounts that were used in this run.
    pub invited: u32,
    /// Addresses of nodes that the configuration or the person named.
    #[serde(default)]
    pub named: u32,
}

/// `GET` and `PATCH /v1/settings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The name that friends see.
    pub name: String,
    /// The person chose to do without a passphrase: nothing reminds them any more.
    #[serde(default)]
    pub no_passphrase_accepted: bool,
    /// Contacts are told which of their messages were read here, and what they tell of one's own is shown: both or
    /// neither.
    #[serde(default)]
    pub read_receipts: bool,
}

/// Body of `PATCH /v1/settings`: what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSettings {
    /// The name that friends see, 1 to 64 bytes.
    #[serde(default)]
    pub name: Option<String>,
    /// To do without a passphrase is a choice, or not one any more.
    #[serde(default)]
    pub no_passphrase_accepted: Option<bool>,
    /// Whether contacts are told what was read here, and what they tell is shown. Off in a new account.
    #[serde(default)]
    pub read_receipts: Option<bool>,
}

/// `GET /v1/id`: the reusable address. Strangers who use it arrive as requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// `starling:...`
    pub link: String,
    /// Bytes of the address.
    pub bytes: u32,
    /// Own name.
    pub name: String,
    /// Account key, 64 hex digits.
    pub account: String,
    /// Device signing key, 64 hex digits.
    pub device: String,
    /// Own libp2p peer id.
    pub peer: String,
    /// Addresses that the node listens on, with `/p2p/`.
    pub addresses: Vec<String>,
    /// Whether others can reach this node.
    pub reach: Reach,
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Its libp2p peer id.
    pub peer: String,
    /// Address of the connection.
    pub address: String,
    /// Whether this node dialed it.
    pub outbound: bool,
    /// Whether it is a neighbour: held on purpose, used for sync and push.
    pub held: bool,
    /// Whether it is subscribed to our shard.
    pub in_shard: bool,
    /// Last ping round trip.
    pub ping_ms: Option<u32>,
}

/// `GET /v1/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peers {
    /// Connected peers.
    pub peers: Vec<Peer>,
}

/// Body of `POST /v1/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPeer {
    /// A multiaddr that ends in `/p2p/...`.
    pub address: String,
}

/// Body of `POST /v1/unlock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// The passphrase.
    pub passphrase: Passphrase,
}

/// Body of `POST /v1/backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeBackup {
    /// The passphrase under which it is sealed, 8 to 1,024 bytes. It need not be the vault's.
    pub passphrase: Passphrase,
}

/// Body of `POST /v1/passphrase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassphrase {
    /// The present one, if there is one.
    #[serde(default)]
    pub old: Option<Passphrase>,
    /// The new one, 8 to 1,024 bytes; `null` removes it.
    pub new: Option<Passphrase>,
}

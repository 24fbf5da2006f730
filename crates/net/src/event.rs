//! What the layers above say to the network and what it says to them. Plain data; a command never
//! waits for another, and every queue has an end.

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use starling_wire::envelope::TopicId;
use starling_wire::invite::InvitePeer;
use thiserror::Error;

use crate::address::{AddressGroup, NodeKey};
use crate::calls::Calls;
use crate::streams::SyncStream;

/// A peer from its first connection to its last; never reused in a run. The peer's link may go down and
/// come up again under the same id while a connection to it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What to do with a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Forward it.
    Accept,
    /// Drop it; nobody is to blame.
    Ignore,
    /// Drop it; its sender's score pays.
    Reject,
}

/// Why the network did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody we are connected to is subscribed to the topic.
    #[error("nobody is subscribed to the topic")]
    NoPeers,
    /// The link is down.
    #[error("the link has gone")]
    LinkGone,
    /// The peer answered no, or the bytes are no message of this network (our mistake).
    #[error("refused")]
    Refused,
    /// The peer did not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// A queue on our side is full.
    #[error("too much is under way")]
    Busy,
}

/// Why no `sync/1` stream could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The link is down.
    #[error("the link has gone")]
    LinkGone,
    /// The peer did not open it in time, or refused.
    #[error("the peer opened no stream")]
    Refused,
    /// The network has stopped or is too busy.
    #[error("the network is too busy")]
    Busy,
}

/// A command was not taken: the queue is full, or the network has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the network takes no commands now")]
pub struct Busy;

/// What the network is asked to do.
#[derive(Debug)]
pub enum NetCommand {
    /// Publish an envelope to a topic; answered by [`NetEvent::Done`]. One that was published or seen
    /// before counts as published.
    Publish {
        /// Repeated in the answer.
        request: u64,
        /// Where.
        topic: TopicId,
        /// A whole envelope.
        bytes: Vec<u8>,
    },
    /// The verdict on a gossip message; a second one, or one that comes later than gossipsub remembers the
    /// message (12 s), is dropped.
    Verdict {
        /// Of [`NetEvent::Gossip`].
        token: u64,
        /// What to do with it.
        verdict: Acceptance,
    },
    /// Push a cell to a linked peer; answered by [`NetEvent::Done`].
    Push {
        /// Repeated in the answer.
        request: u64,
        /// To whom.
        link: LinkId,
        /// 2,560 or 16,896 bytes.
        cell: Vec<u8>,
    },
    /// The answer to a cell that a peer pushed.
    AnswerPush {
        /// Of [`NetEvent::Push`].
        ticket: u64,
        /// Taken, or refused.
        taken: bool,
    },
    /// The peer broke the protocol: it is disconnected and blocked for an hour.
    Penalize {
        /// Who.
        link: LinkId,
    },
    /// Connect to a node that the user names.
    AddPeer {
        /// A QUIC or TCP address that ends in `/p2p/..`.
        address: Multiaddr,
    },
    /// Nodes named by an invite.
    AddSeeds(Vec<InvitePeer>),
    /// Ask the DHT for peers of the topic now.
    FindPeers,
}

impl NetCommand {
    /// Whether a [`NetEvent::Done`] follows.
    pub(crate) fn makes_an_event(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Push { .. })
    }
}

/// What the network tells.
#[derive(Debug)]
pub enum NetEvent {
    /// The addresses that peers can dial on this machine have changed.
    Listening {
        /// All of them, without `/p2p`.
        addresses: Vec<Multiaddr>,
    },
    /// An address of the config cannot be listened on.
    ListenFailed {
        /// Which.
        address: Multiaddr,
        /// The port is taken by another program.
        in_use: bool,
        /// The system's words.
        message: String,
    },
    /// A peer is linked: sync and push may use it.
    LinkUp {
        /// Who.
        link: LinkId,
        /// Where it sits.
        group: AddressGroup,
        /// Whether we opened the link.
        outbound: bool,
        /// Its X25519 key for push cells.
        onion_key: [u8; 32],
        /// Its wall clock minus ours, ms, when its frame came.
        clock_offset_ms: i64,
    },
    /// The link ended.
    LinkDown {
        /// Who.
        link: LinkId,
    },
    /// A gossip message; exactly one [`NetCommand::Verdict`] is due. The peer that brought it need not be
    /// linked.
    Gossip {
        /// For the verdict.
        token: u64,
        /// Who brought it.
        link: LinkId,
        /// At most 20,480 bytes, unchecked.
        bytes: Vec<u8>,
    },
    /// A linked peer pushed a cell; one [`NetCommand::AnswerPush`] is due before the peer's patience ends.
    Push {
        /// Who.
        link: LinkId,
        /// For the answer.
        ticket: u64,
        /// 2,560 or 16,896 bytes.
        cell: Vec<u8>,
    },
    /// A linked peer opened a `sync/1` stream.
    SyncInbound {
        /// Who.
        link: LinkId,
        /// The stream; dropping it closes it.
        stream: SyncStream,
    },
    /// The end of [`NetCommand::Publish`] or [`NetCommand::Push`].
    Done {
        /// Of the command.
        request: u64,
        /// How it went.
        result: Result<(), Refusal>,
    },
    /// The number of peers has changed.
    PeersChanged {
        /// Peers with an open connection.
        connected: usize,
        /// Peers that are linked.
        held: usize,
        /// Connected peers that are subscribed to our topic.
        in_shard: usize,
    },
    /// Peers to remember for the next start; replaces what was remembered.
    PeerCache(Vec<CachedPeer>),
    /// A peer of this network's name has other parameters: one of the two is misconfigured. The connection
    /// was closed without penalty.
    ParametersMismatch {
        /// Who.
        node: NodeKey,
    },
}

/// A peer that worked once, to be tried again at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedPeer {
    /// Its Ed25519 public key.
    pub node_key: [u8; 32],
    /// Its addresses, at most 8, as text.
    pub addresses: Vec<String>,
    /// Among the four longest-held links: dialed first.
    pub anchor: bool,
    /// When it was last connected, seconds since 1970.
    pub last_connected_unix_s: u64,
}

/// A connected peer, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who.
    pub node: NodeKey,
    /// The id that events use.
    pub link: LinkId,
    /// The remote end of its newest connection.
    pub address: Multiaddr,
    /// Whether we dialed that connection.
    pub dialed: bool,
    /// Whether it is linked.
    pub held: bool,
    /// Whether it is subscribed to our topic.
    pub in_shard: bool,
    /// Last measured round trip, ms.
    pub round_trip_ms: Option<u32>,
    /// Milliseconds since it last answered a ping, which goes out every 15 s.
    pub answered_ms_ago: Option<u64>,
    /// Milliseconds since its first connection.
    pub connected_ms: u64,
    /// Its wall clock minus ours, ms, if it was ever linked.
    pub clock_offset_ms: Option<i64>,
    /// What it says its program is.
    pub agent: String,
}

/// The state of the network, for people to look at; the latest one is always at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetStatus {
    /// Addresses listened on, without `/p2p`.
    pub listening: Vec<Multiaddr>,
    /// Addresses known to be reachable from outside.
    pub external: Vec<Multiaddr>,
    /// Peers with an open connection.
    pub connected: usize,
    /// Peers that are linked.
    pub held: usize,
    /// Connected peers that are subscribed to our topic.
    pub in_shard: usize,
    /// Peers known, connected or not.
    pub known: usize,
    /// Whether this node answers others' DHT queries.
    pub dht_server: bool,
    /// Peers found with other parameters than ours since the start.
    pub parameters_mismatches: u64,
    /// Gossip messages dropped because too many waited for a verdict.
    pub gossip_dropped: u64,
    /// What became of connections.
    pub calls: Calls,
}

/// Nodes by which a guest may join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvitePeers {
    /// This node's own addresses, the best first: at most one QUIC and one TCP.
    pub own: Vec<InvitePeer>,
    /// Linked peers, longest-held first, one address each, at most 8.
    pub others: Vec<InvitePeer>,
}

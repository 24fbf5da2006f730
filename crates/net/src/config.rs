//! What the network is started with, and the limits of connections and streams.

use std::fmt;

use libp2p::Multiaddr;
use starling_wire::envelope::TopicId;
use starling_wire::invite::InvitePeer;
use starling_wire::network::{NetworkParameters, ParametersError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::event::CachedPeer;

/// Peers connected at once, however they came.
pub const CONNECTIONS_MAX: u32 = 96;
/// Of these, connections that others opened: the rest is kept for peers of our own choice.
pub const CONNECTIONS_IN_MAX: u32 = 72;
/// Connections to one peer: both may dial at once, over two transports. Beyond that the oldest one is closed: a
/// peer that was killed and started again leaves dead ones behind, which over QUIC show only after ten seconds.
pub const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Connections to one peer for the moment until the oldest is closed; more are refused.
pub const CONNECTIONS_PER_PEER_BURST_MAX: u32 = 2 * CONNECTIONS_PER_PEER_MAX;
/// Connections being opened at once, each way.
pub const CONNECTIONS_PENDING_MAX: u32 = 48;
/// No new connections while the process uses more memory than this.
pub const PROCESS_MEMORY_MAX_BYTES: usize = 1 << 30;
/// Gossip messages that may wait for a verdict.
pub const GOSSIP_CREDITS: usize = 512;
/// Publishes and pushes that may wait.
pub const COMMAND_QUEUE: usize = 256;
/// Verdicts, answers and questions that may wait: more than there are credits.
pub const REQUEST_QUEUE: usize = 1_024;

/// What the network is started with.
pub struct NetConfig {
    /// The network and its parameters.
    pub parameters: NetworkParameters,
    /// Secret seed of the node's Ed25519 key, one per installation and network.
    pub node_key: Zeroizing<[u8; 32]>,
    /// The node's X25519 public key, to which others seal push cells.
    pub onion_public: [u8; 32],
    /// The topic of our shard.
    pub topic: TopicId,
    /// Addresses to listen on; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which the world reaches this node; they count as confirmed.
    pub external_addresses: Vec<Multiaddr>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Peers remembered from earlier runs, anchors among them.
    pub peer_cache: Vec<CachedPeer>,
    /// Peers named by invites.
    pub seeds: Vec<InvitePeer>,
    /// Peers named in the config: addresses that end in `/p2p/..`.
    pub peers: Vec<Multiaddr>,
}

impl fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetConfig").field("network", &self.parameters.name).finish_non_exhaustive()
    }
}

/// Why the network cannot start: the configuration's fault or the system's.
#[derive(Debug, Error)]
pub enum NetError {
    /// The parameters are out of range.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// Not called inside a tokio runtime.
    #[error("the network needs a tokio runtime")]
    NoRuntime,
    /// The transport cannot be built.
    #[error("the transport cannot be set up: {0}")]
    Transport(String),
    /// mDNS cannot use the machine's interfaces.
    #[error("local discovery cannot be set up: {0}")]
    Mdns(String),
}

//! The network: one task owns the libp2p swarm; commands go in, events come out.
//!
//! This is the only crate with libp2p. Everything it hands upward is either unchecked bytes of a bounded
//! size, or a fact about a peer; peer ids and addresses stay below [`LinkId`] and [`AddressGroup`]. It
//! never waits for the layers above: a full queue of theirs costs the peer that fills it, not the swarm.

mod address;
mod behaviour;
mod calls;
mod config;
mod discovery;
mod event;
mod gossip;
mod handle;
pub mod links;
mod metering;
mod peers;
mod quiet;
mod streams;
mod swarm;

pub use address::{AddressGroup, AddressScope, Endpoint, NodeKey, named_peer};
pub use calls::Calls;
pub use config::{
    COMMAND_QUEUE, CONNECTIONS_IN_MAX, CONNECTIONS_MAX, CONNECTIONS_PENDING_MAX, CONNECTIONS_PER_PEER_BURST_MAX,
    CONNECTIONS_PER_PEER_MAX, GOSSIP_CREDITS, NetConfig, NetError, PROCESS_MEMORY_MAX_BYTES, REQUEST_QUEUE,
};
pub use event::{
    Acceptance, Busy, CachedPeer, InvitePeers, LinkId, NetCommand, NetEvent, NetStatus, OpenError, PeerInfo, Refusal,
};
pub use handle::{NetEvents, NetHandle};
pub use libp2p::{Multiaddr, PeerId};
pub use metering::Traffic;
pub use streams::SyncStream;
pub use swarm::start;

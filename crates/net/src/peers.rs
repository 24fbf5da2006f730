//! The peers that are connected now: their connections, their link, and what they may still open.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::address::{AddressScope, NodeKey};
use crate::config::CONNECTIONS_PER_PEER_MAX;
use crate::event::LinkId;
use crate::links::Link;
use crate::streams::Protocol;

/// Inbound streams of one peer that may be open at once: Holds not yet answered, syncs, pushes.
const LINK_STREAMS_MAX: usize = 2;
const SYNC_STREAMS_MAX: usize = 2;
const PUSH_STREAMS_MAX: usize = 16;
/// Streams of a peer that were refused within a minute, after which the peer is at fault.
const REFUSED_STREAMS_MAX: u32 = 256;
const REFUSED_WINDOW_MS: u64 = 60_000;
/// Holds of a peer: one a second, four at once; each costs up to 33 signature checks.
const HOLD_INTERVAL_MS: u64 = 1_000;
const HOLD_BURST: u64 = 4;
/// Ids of peers that have gone and may still be named by the layers above.
const GONE_MAX: usize = 256;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// The remote end.
    pub(crate) address: Multiaddr,
    pub(crate) dialed: bool,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) scope: AddressScope,
}

/// A `link/1` stream that both ends hold; dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) serial: u64,
    pub(crate) since_ms: u64,
    pub(crate) connection: ConnectionId,
    pub(crate) _keep: oneshot::Sender<()>,
}

/// A `link/1` stream of ours on its way.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) serial: u64,
    /// There once the stream is open.
    pub(crate) keep: Option<oneshot::Sender<()>>,
}

/// What a peer may still open.
#[derive(Debug)]
struct Places {
    link: Arc<Semaphore>,
    sync: Arc<Semaphore>,
    push: Arc<Semaphore>,
}

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) link: LinkId,
    pub(crate) since_ms: u64,
    /// Newest last, never empty.
    pub(crate) connections: Vec<Connection>,
    pub(crate) outbound: Option<Held>,
    pub(crate) inbound: Option<Held>,
    pub(crate) opening: Option<Opening>,
    /// The layers above were told that the link is up.
    pub(crate) up: bool,
    /// To which its cells are sealed: drawn anew at each start of its process.
    pub(crate) onion_key: Option<[u8; 32]>,
    pub(crate) subscribed: bool,
    pub(crate) clock_offset_ms: Option<i64>,
    pub(crate) agent: String,
    pub(crate) round_trip_ms: Option<u32>,
    /// When it last answered a ping.
    pub(crate) answered_ms: Option<u64>,
    /// Envelopes that this peer brought first.
    pub(crate) delivered: u64,
    /// When all Holds so far are paid for.
    holds_paid_ms: u64,
    places: Places,
    refused: (u64, u32),
}

impl Peer {
    fn new(link: LinkId, now_ms: u64) -> Self {
        Self {
            link,
            since_ms: now_ms,
            connections: Vec::new(),
            outbound: None,
            inbound: None,
            opening: None,
            up: false,
            onion_key: None,
            subscribed: false,
            clock_offset_ms: None,
            agent: String::new(),
            round_trip_ms: None,
            answered_ms: None,
            delivered: 0,
            holds_paid_ms: 0,
            places: Places {
                link: Arc::new(Semaphore::new(LINK_STREAMS_MAX)),
                sync: Arc::new(Semaphore::new(SYNC_STREAMS_MAX)),
                push: Arc::new(Semaphore::new(PUSH_STREAMS_MAX)),
            },
            refused: (now_ms, 0),
        }
    }

    /// Whether a `link/1` stream is held, in either direction.
    pub(crate) fn is_linked(&self) -> bool {
        self.outbound.is_some() || self.inbound.is_some()
    }

    /// The peer's process is another one than before, and `connection` is with it: forgets links of the one before. Its
    /// connections, which are dead.
    pub(crate) fn restarted(&mut self, connection: ConnectionId) -> Vec<ConnectionId> {
        self.outbound.take_if(|held| held.connection != connection);
        self.inbound.take_if(|held| held.connection != connection);
        self.connections.iter().map(|known| known.id).filter(|id| *id != connection).collect()
    }

    /// The connection for streams of ours: the one that carries the link, else the newest.
    pub(crate) fn best_connection(&self) -> Option<ConnectionId> {
        let lives = |held: &&Held| self.connections.iter().any(|connection| connection.id == held.connection);
        let linked = self.outbound.iter().chain(&self.inbound).find(lives).map(|held| held.connection);
        linked.or_else(|| self.connections.last().map(|connection| connection.id))
    }

    /// The connection to close because there are more than [`CONNECTIONS_PER_PEER_MAX`]: the oldest, which is most
    /// likely dead. Only a peer's own connections make room for it.
    pub(crate) fn connection_too_many(&self) -> Option<ConnectionId> {
        let too_many = self.connections.len() > CONNECTIONS_PER_PEER_MAX as usize;
        self.connections.first().filter(|_| too_many).map(|connection| connection.id)
    }

    /// A place for one more inbound stream.
    pub(crate) fn place(&self, protocol: Protocol) -> Option<OwnedSemaphorePermit> {
        let places = match protocol {
            Protocol::Link => &self.places.link,
            Protocol::Sync => &self.places.sync,
            Protocol::Push => &self.places.push,
        };
        places.clone().try_acquire_owned().ok()
    }

    /// Counts a refused stream; whether there were so many that the peer is at fault.
    pub(crate) fn refuse_stream(&mut self, now_ms: u64) -> bool {
        if now_ms.saturating_sub(self.refused.0) > REFUSED_WINDOW_MS {
            self.refused = (now_ms, 0);
        }
        self.refused.1 = self.refused.1.saturating_add(1);
        self.refused.1 > REFUSED_STREAMS_MAX
    }

    /// Whether a Hold may come now.
    pub(crate) fn may_hold(&mut self, now_ms: u64) -> bool {
        let may = self.holds_paid_ms <= now_ms.saturating_add((HOLD_BURST - 1) * HOLD_INTERVAL_MS);
        if may {
            self.holds_paid_ms = self.holds_paid_ms.max(now_ms).saturating_add(HOLD_INTERVAL_MS);
        }
        may
    }
}

/// All connected peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeKey, Peer>,
    links: BTreeMap<LinkId, NodeKey>,
    gone: VecDeque<(LinkId, NodeKey)>,
    next_link: u64,
}

impl Peers {
    pub(crate) fn get(&self, node: &NodeKey) -> Option<&Peer> {
        self.peers.get(node)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeKey) -> Option<&mut Peer> {
        self.peers.get_mut(node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeKey, &Peer)> {
        self.peers.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whose link this is, if the peer is connected.
    pub(crate) fn by_link(&self, link: LinkId) -> Option<NodeKey> {
        self.links.get(&link).copied()
    }

    /// Whose link this is or was.
    pub(crate) fn ever_by_link(&self, link: LinkId) -> Option<NodeKey> {
        let gone = || self.gone.iter().find(|(known, _)| *known == link).map(|(_, node)| *node);
        self.by_link(link).or_else(gone)
    }

    pub(crate) fn connected(&mut self, node: NodeKey, connection: Connection, now_ms: u64) -> &mut Peer {
        let peer = self.peers.entry(node).or_insert_with(|| {
            self.next_link += 1;
            let link = LinkId(self.next_link);
            self.links.insert(link, node);
            Peer::new(link, now_ms)
        });
        peer.connections.push(connection);
        peer
    }

    /// Takes a closed connection off; the peer itself, if it was the last.
    pub(crate) fn disconnected(&mut self, node: &NodeKey, connection: ConnectionId) -> Option<Peer> {
        let peer = self.peers.get_mut(node)?;
        peer.connections.retain(|known| known.id != connection);
        if !peer.connections.is_empty() {
            return None;
        }
        let peer = self.peers.remove(node)?;
        self.links.remove(&peer.link);
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back((peer.link, *node));
        Some(peer)
    }

    /// The links as the plan sees them.
    pub(crate) fn links(
        &self,
        group: impl Fn(&Peer) -> Option<crate::address::AddressGroup>,
        anchor: impl Fn(&NodeKey) -> bool,
    ) -> Vec<Link> {
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked());
        linked
            .map(|(node, peer)| Link {
                node: *node,
                group: group(peer),
                outbound: peer.outbound.is_some(),
                inbound: peer.inbound.is_some(),
                since_ms: peer.outbound.iter().chain(&peer.inbound).map(|held| held.since_ms).min().unwrap_or(0),
                delivered: peer.delivered,
                anchor: anchor(node),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_come_four_at_once_and_then_one_a_second() {
        let mut peer = Peer::new(LinkId(1), 5_000);
        let allowed = |peer: &mut Peer, now_ms| (0..10).filter(|_| peer.may_hold(now_ms)).count();
        assert_eq!(allowed(&mut peer, 5_000), 4);
        assert_eq!(allowed(&mut peer, 5_999), 0);
        assert_eq!(allowed(&mut peer, 6_000), 1);
        assert_eq!(allowed(&mut peer, 60_000), 4);
    }

    #[test]
    fn refused_streams_are_forgiven_after_a_minute() {
        let mut peer = Peer::new(LinkId(1), 0);
        assert!((0..REFUSED_STREAMS_MAX).all(|_| !peer.refuse_stream(1)));
        assert!(!peer.refuse_stream(REFUSED_WINDOW_MS + 1));
        assert!((1..REFUSED_STREAMS_MAX).all(|_| !peer.refuse_stream(REFUSED_WINDOW_MS + 2)));
        assert!(peer.refuse_stream(REFUSED_WINDOW_MS + 3));
    }
}

//! Connections: listening, dialing, who is there, who is blocked.

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, kad, mdns};

use super::{Task, unix_ms};
use crate::address::{AddressScope, Endpoint, NodeKey, ip_scope, named_peer, remote_ip, usable};
use crate::behaviour::BehaviourEvent;
use crate::discovery::Source;
use crate::event::NetEvent;
use crate::links::{Outcome, PENALTY_MS};
use crate::peers::Connection;

/// Peers blocked at once; the ones due soonest are let go first.
const BLOCKED_MAX: usize = 1_024;
/// A connection that is neither linked nor in the mesh has had its time after this: queries are short.
const TRANSIENT_MS: u64 = 120_000;
/// Bytes of a peer's agent text that are kept.
const AGENT_BYTES_MAX: usize = 64;

impl Task {
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.on_disconnected(&peer_id, connection_id);
            }
            SwarmEvent::Dialing { peer_id: Some(peer_id), .. } => self.on_dialing(&peer_id),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_probe_failed(connection_id, &error);
                if let Some(node) = self.dials.remove(&connection_id) {
                    tracing::debug!(?node, %error, "dial failed");
                    self.on_dial_failed(node);
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                self.listening.push(address);
                self.on_listening();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listening.retain(|known| *known != address);
                self.tally.begin_anew();
                self.on_listening();
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.on_listener_closed(listener_id, &addresses, reason);
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                self.on_identified(peer_id, connection_id, info);
            }
            BehaviourEvent::Ping(event) => {
                let now_ms = self.now_ms();
                let peer = NodeKey::from_peer_id(&event.peer).and_then(|node| self.peers.get_mut(&node));
                if let (Some(peer), Ok(round_trip)) = (peer, event.result) {
                    peer.round_trip_ms = u32::try_from(round_trip.as_millis()).ok();
                    peer.answered_ms = Some(now_ms);
                }
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    if let Some(node) = NodeKey::from_peer_id(&peer) {
                        self.plan_due |= self.book.add(node, [&address], Source::Neighbourhood);
                    }
                }
            }
            BehaviourEvent::Streams(event) => self.on_stream(event),
            _ => {}
        }
    }

    /// Listens on the addresses of the config, telling those that cannot be listened on.
    pub(super) fn listen(&mut self, addresses: &[Multiaddr]) {
        for address in addresses {
            if let Err(error) = self.swarm.listen_on(address.clone()) {
                self.on_listen_failed(address.clone(), explain(&error));
            }
        }
    }

    fn on_listen_failed(&mut self, address: Multiaddr, message: String) {
        let in_use = is_in_use(&address);
        self.outbox.push(NetEvent::ListenFailed { address, in_use, message });
    }

    fn on_listening(&mut self) {
        self.descriptor = None;
        let addresses = self.listening.clone();
        self.status.send_modify(|status| status.listening.clone_from(&addresses));
        self.outbox.push(NetEvent::Listening { addresses });
        self.plan_due = true;
    }

    fn on_listener_closed(&mut self, _: ListenerId, addresses: &[Multiaddr], reason: Result<(), std::io::Error>) {
        self.listening.retain(|known| !addresses.contains(known));
        if let (Err(error), Some(address)) = (reason, addresses.first()) {
            self.on_listen_failed(address.clone(), explain(&error));
        }
        self.on_listening();
    }

    fn on_connected(&mut self, peer_id: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        self.dials.remove(&id);
        let Some(node) = NodeKey::from_peer_id(&peer_id) else {
            // All nodes of a Starling network have Ed25519 keys.
            self.swarm.close_connection(id);
            return;
        };
        let address = endpoint.get_remote_address().clone();
        let dialed = endpoint.is_dialer();
        let ip = remote_ip(&address);
        let scope = ip.and_then(ip_scope).unwrap_or(AddressScope::Global);
        tracing::debug!(?node, dialed, "connected");
        let now_ms = self.now_ms();
        self.note_call(node, id, &address, dialed);
        if dialed {
            self.book.add(node, [&address], Source::Itself(scope));
        }
        let peer = self.peers.connected(node, Connection { id, address, dialed, ip, scope }, now_ms);
        if let Some(oldest) = peer.connection_too_many() {
            self.swarm.close_connection(oldest);
        }
        if self.plan.is_pending(&node) {
            self.begin_link(node, id);
        }
        self.plan_due = true;
    }

    fn on_disconnected(&mut self, peer_id: &PeerId, connection: ConnectionId) {
        let Some(node) = NodeKey::from_peer_id(peer_id) else { return };
        let Some(peer) = self.peers.disconnected(&node, connection) else { return };
        tracing::debug!(?node, "disconnected");
        let now_ms = self.now_ms();
        if let Some(held) = &peer.outbound {
            let held_ms = now_ms.saturating_sub(held.since_ms);
            self.finished(node, Outcome::Lost { held_ms });
        } else if self.plan.is_pending(&node) && peer.opening.is_some() {
            self.finished(node, Outcome::Failed);
        }
        if peer.up {
            self.outbox.push(NetEvent::LinkDown { link: peer.link });
        }
        self.plan_due = true;
    }

    fn on_identified(&mut self, peer_id: PeerId, connection: ConnectionId, info: identify::Info) {
        let Some(node) = NodeKey::from_peer_id(&peer_id) else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(over) = peer.connections.iter().find(|known| known.id == connection) else { return };
        let scope = over.scope;
        peer.agent = info.agent_version.chars().filter(|c| !c.is_control()).take(AGENT_BYTES_MAX).collect();
        let speaks = |name: &str| info.protocols.iter().any(|protocol| protocol.as_ref() == name);
        if !speaks(&self.parameters.protocol("link/1")) {
            return;
        }
        let (address, dialed) = (over.address.clone(), over.dialed);
        self.plan_due |= self.book.add(node, &info.listen_addrs, Source::Itself(scope));
        if dialed {
            self.probe(node, &address);
        }
        if speaks(&self.parameters.protocol("kad/1")) {
            let network = self.parameters.scope;
            for address in info.listen_addrs.iter().filter_map(|address| usable(address, network, Some(scope))) {
                let kad = &mut self.swarm.behaviour_mut().kad;
                kad.trust(address.clone());
                kad.inner.add_address(&peer_id, address);
            }
        }
    }

    pub(super) fn dial(&mut self, node: NodeKey) {
        let addresses = self.book.addresses(&node);
        self.tally.calling(node, addresses.iter().filter_map(remote_ip));
        let dial =
            DialOpts::peer_id(node.peer_id()).condition(PeerCondition::Disconnected).addresses(addresses).build();
        let id = dial.connection_id();
        match self.swarm.dial(dial) {
            Ok(()) => drop(self.dials.insert(id, node)),
            Err(error) => {
                tracing::debug!(?node, %error, "dial refused");
                self.on_dial_failed(node);
            }
        }
    }

    fn on_dial_failed(&mut self, node: NodeKey) {
        if self.plan.is_pending(&node) && self.peers.get(&node).is_none_or(|peer| peer.opening.is_none()) {
            self.finished(node, Outcome::Failed);
        }
        self.book.failed(&node, self.plan.failures(&node));
    }

    /// A peer that the user or the config names.
    pub(super) fn add_peer(&mut self, address: &Multiaddr) {
        if let Some(node) = named_peer(address) {
            self.add_seed(node, address);
        }
    }

    pub(super) fn add_seed(&mut self, node: NodeKey, address: &Multiaddr) {
        self.book.add(node, [address], Source::Seed);
        self.plan.forgive(&node);
        self.plan_due = true;
    }

    /// The peer broke the protocol: it is disconnected and blocked for an hour.
    pub(super) fn penalize(&mut self, node: NodeKey) {
        tracing::debug!(?node, "blocked");
        let now_ms = self.now_ms();
        if self.blocked.len() >= BLOCKED_MAX {
            let soonest = self.blocked.iter().min_by_key(|(_, until)| **until).map(|(node, _)| *node);
            soonest.into_iter().for_each(|node| self.unblock(&node));
        }
        self.blocked.insert(node, now_ms.saturating_add(PENALTY_MS));
        self.plan.penalize(node, now_ms);
        self.book.forget(&node);
        self.swarm.behaviour_mut().blocked.block_peer(node.peer_id());
    }

    fn unblock(&mut self, node: &NodeKey) {
        self.blocked.remove(node);
        self.swarm.behaviour_mut().blocked.unblock_peer(node.peer_id());
    }

    /// Closes what is due to be closed, unblocks whose hour is over.
    pub(super) fn tend_connections(&mut self, now_ms: u64) {
        let over: Vec<NodeKey> =
            self.blocked.iter().filter(|(_, until)| **until <= now_ms).map(|(node, _)| *node).collect();
        over.iter().for_each(|node| self.unblock(node));
        let mesh: Vec<PeerId> = self.swarm.behaviour().gossip.inner.all_mesh_peers().copied().collect();
        let stale = |node: &NodeKey, peer: &crate::peers::Peer| {
            let old = now_ms.saturating_sub(peer.since_ms) > TRANSIENT_MS;
            old && !peer.is_linked() && peer.opening.is_none() && !mesh.contains(&node.peer_id())
        };
        let mut leaving: Vec<NodeKey> =
            self.peers.iter().filter(|(node, peer)| stale(node, peer)).map(|(node, _)| *node).collect();
        self.closing.retain(|(at_ms, node)| {
            let due = *at_ms <= now_ms;
            leaving.extend(due.then_some(*node));
            !due
        });
        for node in leaving {
            let _ = self.swarm.disconnect_peer_id(node.peer_id());
        }
    }

    /// Fills the routing table as soon as it has a first entry: by itself Kademlia waits 500 ms.
    pub(super) fn on_routing_updated(&mut self) {
        if !self.bootstrapped {
            self.bootstrapped = self.swarm.behaviour_mut().kad.inner.bootstrap().is_ok();
        }
    }

    /// Stores a provider record if its limits allow.
    pub(super) fn on_provider(&mut self, record: kad::ProviderRecord) {
        use libp2p::kad::store::RecordStore;
        let provider = record.provider;
        let Some((record, removed)) = self.gate.admit(record, self.parameters.scope) else { return };
        let store = self.swarm.behaviour_mut().kad.inner.store_mut();
        if let Some(key) = removed {
            store.remove_provider(&key, &provider);
        }
        let _ = store.add_provider(record);
    }

    /// Now, seconds since 1970.
    pub(super) fn unix_s(&self) -> u64 {
        unix_ms() / 1_000
    }
}

/// The innermost words of an error: transports wrap each other's.
fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    loop {
        // `source` of an io error skips the error that it wraps.
        let io = innermost.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let wrapped = io.map(|inner| inner as &(dyn std::error::Error + 'static));
        match wrapped.or_else(|| innermost.source()) {
            Some(next) => innermost = next,
            None => return innermost.to_string(),
        }
    }
}

/// Whether another program holds the port. Asked of the system itself: the transports' errors have lost
/// the kind of failure on their way up.
fn is_in_use(address: &Multiaddr) -> bool {
    let Some(at) = Endpoint::parse(address) else { return false };
    let bound = if at.quic {
        std::net::UdpSocket::bind((at.ip, at.port)).map(drop)
    } else {
        std::net::TcpListener::bind((at.ip, at.port)).map(drop)
    };
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

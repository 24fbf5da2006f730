//! What is learnt from calls, of ours and of others: see [`crate::calls`].

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};

use super::Task;
use crate::address::{AddressScope, Endpoint, NodeKey, ip_scope, remote_ip};

impl Task {
    /// Kademlia calls somebody, at addresses that it does not tell. Those that answer come with the connection.
    pub(super) fn on_dialing(&mut self, peer: &PeerId) {
        if let Some(node) = NodeKey::from_peer_id(peer) {
            let addresses = self.book.addresses(&node);
            self.tally.calling(node, addresses.iter().filter_map(remote_ip));
        }
    }

    /// A connection came about.
    pub(super) fn note_call(&mut self, node: NodeKey, id: ConnectionId, address: &Multiaddr, dialed: bool) {
        self.probes.remove(&id);
        let Some(at) = Endpoint::parse(address) else { return };
        if !dialed {
            let outside = (ip_scope(at.ip) == Some(AddressScope::Global)).then(|| self.book.group(at.ip).wide);
            return self.tally.was_called(node, remote_ip(address), outside, at.quic);
        }
        self.tally.calling(node, remote_ip(address));
        self.tally.answered(node, at.quic);
        self.probe(node, address);
    }

    /// `node` answered at `reached`. If that is over TCP, QUIC had a head start, or its addresses were not known: so it
    /// is called over QUIC alone.
    pub(super) fn probe(&mut self, node: NodeKey, reached: &Multiaddr) {
        let Some(reached) = Endpoint::parse(reached).filter(|at| !at.quic) else { return };
        let is_quic = |address: &Multiaddr| Endpoint::parse(address).is_some_and(|at| at.quic && at.ip == reached.ip);
        let addresses: Vec<Multiaddr> = self.book.addresses(&node).into_iter().filter(is_quic).collect();
        if addresses.is_empty() || !self.tally.probe(node) {
            return;
        }
        let dial = DialOpts::peer_id(node.peer_id()).condition(PeerCondition::Always).addresses(addresses).build();
        let id = dial.connection_id();
        if self.swarm.dial(dial).is_ok() {
            self.probes.insert(id, node);
        }
    }

    /// A call over QUIC alone had no answer, unless it was another call, or failed for a reason of our own.
    pub(super) fn on_probe_failed(&mut self, id: ConnectionId, error: &DialError) {
        if let (Some(node), DialError::Transport(_)) = (self.probes.remove(&id), error) {
            self.tally.unanswered(node);
        }
    }
}

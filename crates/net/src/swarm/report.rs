//! What is told to the layers above, and what people may look at.

use std::collections::VecDeque;

use super::Task;
use crate::address::{AddressScope, NodeKey};
use crate::discovery::{invite_peer, own_addresses};
use crate::event::{CachedPeer, InvitePeers, NetEvent, PeerInfo};
use crate::links::ANCHORS;
use crate::peers::Peer;

/// With this many events untold, no more commands are taken.
const OUTBOX_MAX: usize = 512;
/// Least time between two peer caches, but for the first [`ANCHORS`] links.
const CACHE_MS: u64 = 10_000;
/// Peers named for an invite.
const INVITE_OTHERS_MAX: usize = 8;

/// Events on their way into the control lane. It cannot grow without bound: links are limited, what
/// replaces an older event of its kind takes its place, and commands, which make the rest, are not read
/// while it is full.
#[derive(Debug, Default)]
pub(super) struct Outbox(VecDeque<NetEvent>);

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.0.len() < OUTBOX_MAX
    }

    pub(super) fn pop(&mut self) -> Option<NetEvent> {
        self.0.pop_front()
    }

    /// Adds an event. One that tells a state replaces an untold one of its kind; the end of a link that was
    /// not yet told takes its beginning away.
    pub(super) fn push(&mut self, event: NetEvent) {
        use NetEvent::{LinkDown, LinkUp, Listening, ParametersMismatch, PeerCache, PeersChanged};
        if let LinkDown { link } = &event {
            let untold = self.0.iter().position(|waiting| matches!(waiting, LinkUp { link: up, .. } if up == link));
            if let Some(index) = untold {
                self.0.remove(index);
                return;
            }
        }
        let replaces = |waiting: &NetEvent| {
            matches!(
                (waiting, &event),
                (Listening { .. }, Listening { .. })
                    | (PeersChanged { .. }, PeersChanged { .. })
                    | (PeerCache(_), PeerCache(_))
                    | (ParametersMismatch { .. }, ParametersMismatch { .. })
            )
        };
        match self.0.iter_mut().find(|waiting| replaces(waiting)) {
            Some(waiting) => *waiting = event,
            None => self.0.push_back(event),
        }
    }
}

impl Task {
    /// Brings the status up to date and tells when the number of peers changed.
    pub(super) fn report(&mut self) {
        let connected = self.peers.len();
        let held = self.peers.iter().filter(|(_, peer)| peer.up).count();
        let in_shard = self.peers.iter().filter(|(_, peer)| peer.subscribed).count();
        let known = self.book.len();
        let mut changed = false;
        let external = &self.external;
        let calls = self.tally.calls();
        self.status.send_if_modified(|status| {
            changed = (status.connected, status.held, status.in_shard) != (connected, held, in_shard);
            let news = changed || status.known != known || status.external != *external || status.calls != calls;
            status.calls = calls;
            (status.connected, status.held, status.in_shard, status.known) = (connected, held, in_shard, known);
            status.external.clone_from(external);
            news
        });
        if changed {
            self.outbox.push(NetEvent::PeersChanged { connected, held, in_shard });
        }
    }

    /// Tells the peer cache, not too often and only when it changed.
    pub(super) fn remember(&mut self, now_ms: u64) {
        // The first links at once: a node that is killed in its first seconds must find its way back, also when the
        // one through which it joined has gone for good.
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked()).count();
        let more = linked > self.remembered_links && self.remembered_links < ANCHORS;
        if more || now_ms >= self.cache_at_ms {
            self.remembered_links = self.remembered_links.max(linked);
            self.cache_at_ms = now_ms.saturating_add(CACHE_MS);
            self.remember_now();
        }
    }

    pub(super) fn remember_now(&mut self) {
        let now_s = self.unix_s();
        let linked: Vec<NodeKey> =
            self.peers.iter().filter(|(_, peer)| peer.is_linked()).map(|(node, _)| *node).collect();
        linked.iter().for_each(|node| self.book.met(node, now_s));
        let cache = self.book.cache(&self.anchors());
        let same = |a: &CachedPeer, b: &CachedPeer| {
            (a.node_key, &a.addresses, a.anchor) == (b.node_key, &b.addresses, b.anchor)
        };
        let changed =
            cache.len() != self.cached.len() || cache.iter().any(|new| !self.cached.iter().any(|old| same(new, old)));
        // Nobody met yet: what an earlier run remembered is better than nothing.
        if changed && !cache.is_empty() {
            self.cached.clone_from(&cache);
            self.outbox.push(NetEvent::PeerCache(cache));
        }
    }

    /// The longest-held links of ours.
    fn anchors(&self) -> Vec<NodeKey> {
        let mut held: Vec<(u64, NodeKey)> =
            self.peers.iter().filter_map(|(node, peer)| Some((peer.outbound.as_ref()?.since_ms, *node))).collect();
        held.sort_unstable();
        held.into_iter().take(ANCHORS).map(|(_, node)| node).collect()
    }

    pub(super) fn peer_infos(&self) -> Vec<PeerInfo> {
        let now_ms = self.now_ms();
        let info = |(node, peer): (&NodeKey, &Peer)| {
            let connection = peer.connections.last()?;
            Some(PeerInfo {
                node: *node,
                link: peer.link,
                address: connection.address.clone(),
                dialed: connection.dialed,
                held: peer.up,
                in_shard: peer.subscribed,
                round_trip_ms: peer.round_trip_ms,
                answered_ms_ago: peer.answered_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
                connected_ms: now_ms.saturating_sub(peer.since_ms),
                clock_offset_ms: peer.clock_offset_ms,
                agent: peer.agent.clone(),
            })
        };
        self.peers.iter().filter_map(info).collect()
    }

    pub(super) fn invite_peers(&self) -> InvitePeers {
        let mut own = Vec::new();
        for address in own_addresses(&self.external, &self.listening, self.parameters.scope) {
            if let Some(peer) = invite_peer(self.node, &address)
                && own.iter().all(|known: &starling_wire::invite::InvitePeer| known.kind != peer.kind)
            {
                own.push(peer);
            }
        }
        let mut linked: Vec<(u64, &NodeKey)> =
            self.peers.iter().filter(|(_, peer)| peer.up).map(|(node, peer)| (peer.since_ms, node)).collect();
        linked.sort_unstable();
        let others = linked.into_iter().filter_map(|(_, node)| {
            // The widest reach first: the guest may sit anywhere.
            let mut addresses = self.book.addresses(node);
            addresses.sort_by_key(|address| std::cmp::Reverse(reach(address)));
            addresses.first().and_then(|address| invite_peer(*node, address))
        });
        InvitePeers { own, others: others.take(INVITE_OTHERS_MAX).collect() }
    }
}

fn reach(address: &libp2p::Multiaddr) -> Option<(AddressScope, bool)> {
    let at = crate::address::Endpoint::parse(address)?;
    Some((crate::address::ip_scope(at.ip)?, at.quic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressGroup;
    use crate::event::LinkId;

    fn up(link: u64) -> NetEvent {
        NetEvent::LinkUp {
            link: LinkId(link),
            group: AddressGroup { narrow: 0, wide: 0 },
            outbound: true,
            onion_key: [0; 32],
            clock_offset_ms: 0,
        }
    }

    fn peers(connected: usize) -> NetEvent {
        NetEvent::PeersChanged { connected, held: 0, in_shard: 0 }
    }

    #[test]
    fn an_outbox_that_nobody_empties_does_not_grow() {
        let mut outbox = Outbox::default();
        for round in 0..10_000 {
            outbox.push(up(round));
            outbox.push(peers(round as usize));
            outbox.push(NetEvent::PeerCache(Vec::new()));
            outbox.push(NetEvent::LinkDown { link: LinkId(round) });
        }
        assert_eq!(outbox.0.len(), 2);
        assert!(matches!(outbox.pop(), Some(NetEvent::PeersChanged { connected: 9_999, .. })));
    }

    #[test]
    fn the_end_of_a_link_that_was_told_is_told() {
        let mut outbox = Outbox::default();
        outbox.push(up(1));
        outbox.pop();
        outbox.push(NetEvent::LinkDown { link: LinkId(1) });
        outbox.push(up(1));
        assert!(matches!(outbox.pop(), Some(NetEvent::LinkDown { .. })));
        assert!(matches!(outbox.pop(), Some(NetEvent::LinkUp { .. })));
        assert!(outbox.is_empty());
    }
}

//! The DHT at work: announcing ourselves, looking for others, and what its queries bring.

use libp2p::kad::{self, GetProvidersOk, InboundRequest, QueryResult};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::{Task, unix_ms};
use crate::address::NodeKey;
use crate::links::LINKS_OUT;

/// Provider queries under way at once.
const LOOKUPS_MAX: usize = 16;
/// Providers dialed for one answer.
const PROVIDERS_DIALED_MAX: usize = 4;
/// With this many peers known there is no need to dial providers that nobody vouches for.
const ENOUGH_KNOWN: usize = 64;

const DAY_MS: u64 = 86_400_000;

impl Task {
    /// Announces and looks up what is due.
    pub(super) fn discover(&mut self) {
        if !self.bootstrapped {
            return;
        }
        let (now_ms, now_unix_ms) = (self.now_ms(), unix_ms());
        if self.day != now_unix_ms / DAY_MS {
            self.day = now_unix_ms / DAY_MS;
            self.gate.new_day();
        }
        let reachable = self.status.borrow().dht_server;
        if reachable {
            let due = self.schedule.announce(now_unix_ms, &mut self.rng);
            let kad = &mut self.swarm.behaviour_mut().kad.inner;
            due.stop.iter().for_each(|key| kad.stop_providing(key));
            for key in due.start {
                let _ = kad.start_providing(key);
            }
        }
        if self.lookups == 0 {
            let held = self.peers.iter().filter(|(_, peer)| peer.is_linked()).count();
            let keys = self.schedule.lookup(held < LINKS_OUT, now_ms, now_unix_ms);
            for key in keys.into_iter().take(LOOKUPS_MAX) {
                self.swarm.behaviour_mut().kad.inner.get_providers(key);
                self.lookups += 1;
            }
        }
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated { is_new_peer: true, .. } => self.on_routing_updated(),
            kad::Event::InboundRequest { request: InboundRequest::AddProvider { record: Some(record) } } => {
                self.on_provider(record);
            }
            kad::Event::OutboundQueryProgressed { result, step, .. } => self.on_query(result, step.last),
            _ => {}
        }
    }

    fn on_query(&mut self, result: QueryResult, last: bool) {
        match result {
            QueryResult::Bootstrap(Ok(kad::BootstrapOk { num_remaining: 0, .. })) => self.on_bootstrapped(),
            QueryResult::GetProviders(answer) => {
                if let Ok(GetProvidersOk::FoundProviders { providers, .. }) = answer {
                    self.on_providers(providers);
                }
                if last {
                    self.lookups = self.lookups.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// The routing table is filled: what was announced before reached too few.
    fn on_bootstrapped(&mut self) {
        for key in self.schedule.announced() {
            let _ = self.swarm.behaviour_mut().kad.inner.start_providing(key);
        }
        let held = self.peers.iter().filter(|(_, peer)| peer.is_linked()).count();
        if held < LINKS_OUT {
            self.schedule.hurry(self.now_ms());
        }
        self.discover();
    }

    /// Dials providers at once: Kademlia forgets their addresses when this event has been handled. Whoever
    /// answers tells its addresses itself, and then is a candidate.
    fn on_providers(&mut self, providers: std::collections::HashSet<libp2p::PeerId>) {
        if self.book.len() >= ENOUGH_KNOWN {
            return;
        }
        let unknown = providers.into_iter().filter(|peer| {
            NodeKey::from_peer_id(peer).is_some_and(|node| {
                node != self.node && self.peers.get(&node).is_none() && self.book.addresses(&node).is_empty()
            })
        });
        let unknown: Vec<_> = unknown.take(PROVIDERS_DIALED_MAX).collect();
        for peer in unknown {
            let dial = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing).build();
            let _ = self.swarm.dial(dial);
        }
    }
}

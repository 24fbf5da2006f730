//! The address book: whom we know, from whom, and how to reach them. SPEC: B14 (descriptors).
//!
//! It is bounded, and so is what any one peer can put into it: peers that were never reached are the first
//! to go, and a peer that tells of many pushes out only its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use libp2p::Multiaddr;
use rand_core::Rng;
use starling_wire::descriptor::{NodeDescriptor, VerifiedDescriptor};
use starling_wire::limits::DESCRIPTOR_ADDRESSES_MAX;
use starling_wire::network::Scope;

use crate::address::{AddressGroup, AddressScope, Endpoint, GroupHasher, NodeKey, ip_scope, usable};
use crate::event::CachedPeer;
use crate::links::Candidate;

/// Peers in the book.
pub(super) const KNOWN_MAX: usize = 512;
/// Peers in the book of which only one and the same peer has told.
pub(super) const TOLD_BY_ONE_MAX: usize = 64;
/// Failures in a row after which a peer is forgotten that nobody vouches for.
pub(super) const FAILURES_MAX: u32 = 6;
/// Peers remembered for the next start.
pub(super) const CACHE_MAX: usize = 64;

/// Where knowledge of a peer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The user, the config or an invite.
    Seed,
    /// The last run.
    Cache { anchor: bool },
    /// Its own words, over a connection of this scope.
    Itself(AddressScope),
    /// mDNS, on the local network.
    Neighbourhood,
    /// Another peer's words, over a connection of this scope.
    Peer(NodeKey, AddressScope),
}

impl Source {
    fn learnt_over(self) -> Option<AddressScope> {
        match self {
            Self::Seed | Self::Cache { .. } => None,
            Self::Itself(scope) | Self::Peer(_, scope) => Some(scope),
            Self::Neighbourhood => Some(AddressScope::Lan),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// Newest first.
    addresses: Vec<Multiaddr>,
    group: Option<AddressGroup>,
    seed: bool,
    anchor: bool,
    /// It proved its key on a connection in this run or an earlier one: when, seconds since 1970.
    proven_unix_s: Option<u64>,
    /// Proven in this run.
    met: bool,
    descriptor: Option<NodeDescriptor>,
    /// The only peer that has told of it.
    told_by: Option<NodeKey>,
    order: u64,
}

/// Peers of this network and their addresses.
pub(crate) struct Book {
    own: NodeKey,
    network: Scope,
    hasher: GroupHasher,
    known: BTreeMap<NodeKey, Known>,
    order: u64,
}

impl Book {
    pub(crate) fn new(own: NodeKey, network: Scope, hasher: GroupHasher) -> Self {
        Self { own, network, hasher, known: BTreeMap::new(), order: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The groups of an address, as the layers above see them.
    pub(crate) fn group(&self, ip: IpAddr) -> AddressGroup {
        self.hasher.group(ip)
    }

    /// The groups over which the plan spreads links: none for addresses of this machine or a local network,
    /// where all are alike and no stranger can have one.
    pub(crate) fn plan_group(&self, ip: IpAddr) -> Option<AddressGroup> {
        (ip_scope(ip) == Some(AddressScope::Global)).then(|| self.hasher.group(ip))
    }

    /// Notes a peer with those of the addresses that are usable. Whether the peer is news.
    pub(crate) fn add<'a>(
        &mut self,
        node: NodeKey,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
        source: Source,
    ) -> bool {
        if node == self.own {
            return false;
        }
        let usable: Vec<Multiaddr> = addresses
            .into_iter()
            .filter_map(|address| usable(address, self.network, source.learnt_over()))
            .take(DESCRIPTOR_ADDRESSES_MAX)
            .collect();
        let news = !self.known.contains_key(&node);
        if usable.is_empty() && (news || !matches!(source, Source::Seed)) {
            return false;
        }
        if news {
            self.make_room(source);
        }
        self.order += 1;
        let order = self.order;
        let entry = self.known.entry(node).or_insert_with(|| Known { order, ..Known::default() });
        match source {
            Source::Seed => entry.seed = true,
            Source::Cache { anchor } => entry.anchor |= anchor,
            Source::Peer(teller, _) if news => entry.told_by = Some(teller),
            _ => {}
        }
        if !matches!(source, Source::Peer(..)) {
            entry.told_by = None;
        }
        // What others say never displaces what the peer itself was reached at.
        let replace = !(entry.met && matches!(source, Source::Peer(..)));
        entry.merge(usable, replace);
        let at = entry.addresses.first().and_then(Endpoint::parse);
        entry.group = at.filter(|at| ip_scope(at.ip) == Some(AddressScope::Global)).map(|at| self.hasher.group(at.ip));
        news
    }

    /// Notes what a descriptor says, as told by `source`.
    pub(crate) fn add_descriptor(&mut self, descriptor: NodeDescriptor, source: Source) -> bool {
        let node = NodeKey(*descriptor.node_key());
        let addresses: Vec<Multiaddr> =
            descriptor.addresses().iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok()).collect();
        let news = self.add(node, &addresses, source);
        if let Some(entry) = self.known.get_mut(&node) {
            let newer = entry.descriptor.as_ref().is_none_or(|old| old.expiry_unix_s() < descriptor.expiry_unix_s());
            if newer {
                entry.descriptor = Some(descriptor);
            }
        }
        news
    }

    /// Notes descriptors that a peer passed on. Whether any is of a peer that is news.
    pub(crate) fn add_others(&mut self, others: Vec<VerifiedDescriptor>, source: Source) -> bool {
        let added = others.into_iter().map(|other| self.add_descriptor(other.into_descriptor(), source));
        added.fold(false, |any, news| any | news)
    }

    /// The peer proved its key on a connection.
    pub(crate) fn met(&mut self, node: &NodeKey, unix_s: u64) {
        if let Some(entry) = self.known.get_mut(node) {
            (entry.met, entry.proven_unix_s, entry.told_by) = (true, Some(unix_s), None);
        }
    }

    /// The peer could not be reached `failures` times in a row.
    pub(crate) fn failed(&mut self, node: &NodeKey, failures: u32) {
        let vouched = self.known.get(node).is_some_and(|entry| entry.seed || entry.anchor || entry.met);
        if failures >= FAILURES_MAX && !vouched {
            self.known.remove(node);
        }
    }

    /// The peer broke the protocol, or is of no use. One that the user or an invite named stays known: the
    /// plan leaves it alone for as long as it must.
    pub(crate) fn forget(&mut self, node: &NodeKey) {
        if self.known.get(node).is_some_and(|entry| !entry.seed) {
            self.known.remove(node);
        }
    }

    /// Addresses to dial, at most eight.
    pub(crate) fn addresses(&self, node: &NodeKey) -> Vec<Multiaddr> {
        self.known.get(node).map(|entry| entry.addresses.clone()).unwrap_or_default()
    }

    /// Peers that could be linked to; `connected` tells who is, `linked` who needs no link.
    pub(crate) fn candidates(
        &self,
        connected: impl Fn(&NodeKey) -> bool,
        linked: impl Fn(&NodeKey) -> bool,
    ) -> Vec<Candidate> {
        let candidate = |(node, entry): (&NodeKey, &Known)| {
            let connected = connected(node);
            let reachable = connected || !entry.addresses.is_empty();
            (reachable && !linked(node)).then_some(Candidate {
                node: *node,
                group: entry.group,
                connected,
                seed: entry.seed,
                anchor: entry.anchor,
            })
        };
        self.known.iter().filter_map(candidate).collect()
    }

    /// Whether the peer was an anchor of the last run.
    pub(crate) fn is_anchor(&self, node: &NodeKey) -> bool {
        self.known.get(node).is_some_and(|entry| entry.anchor)
    }

    /// At most `max` descriptors of peers met in this run, chosen at random, for another peer. Peers that we
    /// only heard of are not passed on: lies end here.
    pub(crate) fn share(
        &self,
        max: usize,
        except: &NodeKey,
        now_unix_s: u64,
        rng: &mut impl Rng,
    ) -> Vec<NodeDescriptor> {
        let met = self.known.iter().filter(|(node, entry)| entry.met && *node != except);
        let mut ranked: Vec<(u64, &NodeDescriptor)> = met
            .filter_map(|(_, entry)| entry.descriptor.as_ref())
            .filter(|descriptor| descriptor.expiry_unix_s() > now_unix_s)
            .map(|descriptor| (rng.next_u64(), descriptor))
            .collect();
        ranked.sort_unstable_by_key(|(order, _)| *order);
        ranked.into_iter().take(max).map(|(_, descriptor)| descriptor.clone()).collect()
    }

    /// Peers to remember: those that were reached, the latest first, and the given anchors.
    pub(crate) fn cache(&self, anchors: &[NodeKey]) -> Vec<CachedPeer> {
        let mut proven: Vec<(bool, u64, &NodeKey, &Known)> = self
            .known
            .iter()
            .filter(|(_, entry)| !entry.addresses.is_empty())
            .filter_map(|(node, entry)| Some((anchors.contains(node), entry.proven_unix_s?, node, entry)))
            .collect();
        proven.sort_by_key(|(anchor, proven, ..)| std::cmp::Reverse((*anchor, *proven)));
        let cached = proven.into_iter().take(CACHE_MAX).map(|(anchor, proven, node, entry)| CachedPeer {
            node_key: node.0,
            addresses: entry.addresses.iter().map(ToString::to_string).collect(),
            anchor,
            last_connected_unix_s: proven,
        });
        cached.collect()
    }

    /// Takes in what an earlier run remembered.
    pub(crate) fn restore(&mut self, cached: &CachedPeer) {
        let addresses: Vec<Multiaddr> = cached.addresses.iter().filter_map(|text| text.parse().ok()).collect();
        let node = NodeKey(cached.node_key);
        self.add(node, &addresses, Source::Cache { anchor: cached.anchor });
        if let Some(entry) = self.known.get_mut(&node) {
            entry.proven_unix_s = Some(cached.last_connected_unix_s);
        }
    }

    /// Keeps the book, and what one peer told, within their limits.
    fn make_room(&mut self, source: Source) {
        if let Source::Peer(teller, _) = source {
            let told = self.known.iter().filter(|(_, entry)| entry.told_by == Some(teller));
            let (count, oldest) = (told.clone().count(), told.min_by_key(|(_, entry)| entry.order));
            if let (TOLD_BY_ONE_MAX.., Some((node, _))) = (count, oldest) {
                let node = *node;
                self.known.remove(&node);
            }
        }
        if self.known.len() >= KNOWN_MAX {
            let worth = |entry: &Known| (entry.seed || entry.anchor, entry.met, entry.proven_unix_s, entry.order);
            let least = self.known.iter().min_by_key(|(_, entry)| worth(entry)).map(|(node, _)| *node);
            least.and_then(|node| self.known.remove(&node));
        }
    }
}

impl Known {
    fn merge(&mut self, mut fresh: Vec<Multiaddr>, replace: bool) {
        if replace {
            self.addresses.retain(|old| !fresh.contains(old));
            fresh.append(&mut self.addresses);
            self.addresses = fresh;
        } else {
            fresh.retain(|address| !self.addresses.contains(address));
            self.addresses.append(&mut fresh);
        }
        self.addresses.truncate(DESCRIPTOR_ADDRESSES_MAX);
    }
}

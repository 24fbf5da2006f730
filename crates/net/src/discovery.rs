//! Whom we know and how we find more: the address book, the DHT schedule, and the gate before the
//! provider records that others store here. SPEC: B1 (provider keys), B14 (descriptors).
//!
//! The DHT has one job, topic -> peers, and is only a hint: invites' seeds and remembered peers come
//! first. The book is bounded, and so is what any one peer can put into it: peers that were never
//! reached are the first to go, and a peer that tells of many pushes out only its own.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::Multiaddr;
use libp2p::kad::{ProviderRecord, RecordKey};
use rand_core::Rng;
use starling_wire::descriptor::{NodeDescriptor, VerifiedDescriptor};
use starling_wire::envelope::TopicId;
use starling_wire::invite::{InvitePeer, InvitePeerKind};
use starling_wire::limits::DESCRIPTOR_ADDRESSES_MAX;
use starling_wire::network::{NetworkId, Scope, provider_key};

use crate::address::{AddressGroup, AddressScope, Endpoint, GroupHasher, NodeKey, ip_scope, usable};
use crate::event::CachedPeer;
use crate::links::Candidate;

/// Peers in the book.
const KNOWN_MAX: usize = 512;
/// Peers in the book of which only one and the same peer has told.
const TOLD_BY_ONE_MAX: usize = 64;
/// Failures in a row after which a peer is forgotten that nobody vouches for.
const FAILURES_MAX: u32 = 6;
/// Peers remembered for the next start.
const CACHE_MAX: usize = 64;

const DAY_MS: u64 = 86_400_000;
/// Tomorrow's keys are announced from 22:00 UTC on.
const TOMORROW_FROM_MS: u64 = 22 * 3_600_000;
/// Keys of a topic-day.
const KEYS_A_DAY: u8 = 8;
/// Of these, the ones that a node announces itself under.
const KEYS_ANNOUNCED: usize = 2;
/// Wait between look-ups while links are missing: doubles from the first to the second.
const LOOKUP_MISSING_MS: (u64, u64) = (2_000, 300_000);
/// Wait between look-ups when no link is missing.
const LOOKUP_IDLE_MS: u64 = 1_800_000;

/// Provider records that one peer may store here: two keys for each of two days, with room for a second
/// topic.
const RECORDS_A_PROVIDER_MAX: usize = 8;
/// Providers whose records are counted.
const PROVIDERS_MAX: usize = 2_048;

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

    pub(crate) fn group(&self, ip: std::net::IpAddr) -> AddressGroup {
        self.hasher.group(ip)
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
        entry.group = entry.addresses.first().and_then(Endpoint::parse).map(|at| self.hasher.group(at.ip));
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

    /// The peer broke the protocol.
    pub(crate) fn forget(&mut self, node: &NodeKey) {
        self.known.remove(node);
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
        let unlinked = self.known.iter().filter(|(node, _)| !linked(node));
        unlinked
            .map(|(node, entry)| Candidate {
                node: *node,
                group: entry.group,
                connected: connected(node),
                seed: entry.seed,
                anchor: entry.anchor,
            })
            .filter(|candidate| candidate.connected || !self.known[&candidate.node].addresses.is_empty())
            .collect()
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

/// The multiaddr of a node in an invite.
pub(crate) fn seed_address(peer: &InvitePeer) -> Multiaddr {
    Endpoint { ip: peer.ip, port: peer.port, quic: peer.kind == InvitePeerKind::Quic }.multiaddr()
}

/// A node and one address as an invite names it; `None` for an address that cannot be dialed.
pub(crate) fn invite_peer(node: NodeKey, address: &Multiaddr) -> Option<InvitePeer> {
    let at = Endpoint::parse(address)?;
    let kind = if at.quic { InvitePeerKind::Quic } else { InvitePeerKind::Tcp };
    Some(InvitePeer { kind, ip: at.ip, port: at.port, node_key: node.0 })
}

/// Our own addresses in the order in which others should try them, those that the network spans: external
/// ones, then by scope, QUIC before TCP; at most eight.
pub(crate) fn own_addresses(external: &[Multiaddr], listening: &[Multiaddr], network: Scope) -> Vec<Multiaddr> {
    let mut seen = BTreeSet::new();
    let ranked = |list: &[Multiaddr], class: u8| -> Vec<((u8, u8, bool), Multiaddr)> {
        let parsed = list.iter().filter_map(|address| usable(address, network, None));
        parsed
            .filter_map(|address| {
                let at = Endpoint::parse(&address)?;
                let reach = match ip_scope(at.ip)? {
                    AddressScope::Global => 0,
                    AddressScope::Lan => 1,
                    AddressScope::Loopback => 2,
                };
                Some(((class, reach, !at.quic), address))
            })
            .collect()
    };
    let mut all = ranked(external, 0);
    all.extend(ranked(listening, 1));
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter()
        .map(|(_, address)| address)
        .filter(|address| seen.insert(address.clone()))
        .take(DESCRIPTOR_ADDRESSES_MAX)
        .collect()
}

/// When to announce and look up, and under which keys.
#[derive(Debug)]
pub(crate) struct Schedule {
    network: NetworkId,
    topic: TopicId,
    /// The keys announced for a day.
    announced: BTreeMap<u32, Vec<RecordKey>>,
    lookup_at_ms: u64,
    lookup_wait_ms: u64,
    /// The next look-up asks for yesterday.
    yesterday: bool,
}

/// Keys to announce from now on, and keys to drop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Announce {
    pub(crate) start: Vec<RecordKey>,
    pub(crate) stop: Vec<RecordKey>,
}

impl Schedule {
    pub(crate) fn new(network: NetworkId, topic: TopicId) -> Self {
        let lookup_wait_ms = LOOKUP_MISSING_MS.0;
        Self { network, topic, announced: BTreeMap::new(), lookup_at_ms: 0, lookup_wait_ms, yesterday: false }
    }

    /// What has become due: two of today's eight keys, from 22:00 UTC two of tomorrow's, and an end to
    /// those of days gone by.
    pub(crate) fn announce(&mut self, unix_ms: u64, rng: &mut impl Rng) -> Announce {
        let today = day(unix_ms);
        let last = if unix_ms % DAY_MS >= TOMORROW_FROM_MS { today + 1 } else { today };
        let mut due = Announce::default();
        let kept = self.announced.split_off(&today);
        due.stop.extend(std::mem::replace(&mut self.announced, kept).into_values().flatten());
        for day in today..=last {
            if !self.announced.contains_key(&day) {
                let keys = self.pick(day, rng);
                due.start.extend(keys.iter().cloned());
                self.announced.insert(day, keys);
            }
        }
        due
    }

    /// Everything announced now, to be sent again when the routing table has grown.
    pub(crate) fn announced(&self) -> Vec<RecordKey> {
        self.announced.values().flatten().cloned().collect()
    }

    /// The eight keys to ask for now, if it is time: today's, then yesterday's.
    pub(crate) fn lookup(&mut self, links_missing: bool, now_ms: u64, unix_ms: u64) -> Vec<RecordKey> {
        if now_ms < self.lookup_at_ms {
            return Vec::new();
        }
        let day = day(unix_ms).saturating_sub(u32::from(self.yesterday));
        if links_missing && !self.yesterday {
            self.yesterday = true;
            self.lookup_at_ms = now_ms.saturating_add(LOOKUP_MISSING_MS.0);
        } else {
            self.yesterday = false;
            let wait = if links_missing { self.lookup_wait_ms } else { LOOKUP_IDLE_MS };
            self.lookup_at_ms = now_ms.saturating_add(wait);
            self.lookup_wait_ms = self.lookup_wait_ms.saturating_mul(2).min(LOOKUP_MISSING_MS.1);
        }
        (0..KEYS_A_DAY).map(|index| self.key(day, index)).collect()
    }

    /// Somebody asked for peers, or all links are gone: look up at the next occasion.
    pub(crate) fn hurry(&mut self, now_ms: u64) {
        (self.lookup_at_ms, self.lookup_wait_ms, self.yesterday) = (now_ms, LOOKUP_MISSING_MS.0, false);
    }

    fn pick(&self, day: u32, rng: &mut impl Rng) -> Vec<RecordKey> {
        let mut chosen = BTreeSet::new();
        while chosen.len() < KEYS_ANNOUNCED {
            chosen.insert((rng.next_u32() % u32::from(KEYS_A_DAY)) as u8);
        }
        chosen.into_iter().map(|index| self.key(day, index)).collect()
    }

    fn key(&self, day: u32, index: u8) -> RecordKey {
        RecordKey::new(&provider_key(&self.network, self.topic, day, index))
    }
}

fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX - 1)
}

/// The gate before the store of provider records.
#[derive(Debug, Default)]
pub(crate) struct ProviderGate {
    keys: BTreeMap<NodeKey, Vec<RecordKey>>,
}

impl ProviderGate {
    /// The record as it may be stored: of a node key, under a key of the right form, with addresses of the
    /// network's scope, eight of a provider, the oldest pushed out. The second part is a record to remove.
    pub(crate) fn admit(
        &mut self,
        mut record: ProviderRecord,
        network: Scope,
    ) -> Option<(ProviderRecord, Option<RecordKey>)> {
        let provider = NodeKey::from_peer_id(&record.provider)?;
        let key: &[u8] = record.key.as_ref();
        if key.len() != 34 || !key.starts_with(&[0x12, 0x20]) {
            return None;
        }
        record.addresses.retain_mut(|address| match usable(address, network, None) {
            Some(plain) => {
                *address = plain;
                true
            }
            None => false,
        });
        record.addresses.truncate(DESCRIPTOR_ADDRESSES_MAX);
        if !self.keys.contains_key(&provider) && self.keys.len() >= PROVIDERS_MAX {
            return None;
        }
        let keys = self.keys.entry(provider).or_default();
        keys.retain(|known| *known != record.key);
        keys.push(record.key.clone());
        let removed = (keys.len() > RECORDS_A_PROVIDER_MAX).then(|| keys.remove(0));
        Some((record, removed))
    }

    /// Forgets the counts; called once a day, after which all records of before have expired or will soon.
    pub(crate) fn new_day(&mut self) {
        self.keys.clear();
    }
}

//! Whom we know and how we find more: the address book, the DHT's schedule, the gate before what others
//! store here. The DHT has one job, topic -> peers, and is only a hint: invites' seeds and remembered
//! peers come first.

mod book;
mod gate;
mod schedule;

use std::collections::BTreeSet;

use libp2p::Multiaddr;
use starling_wire::invite::{InvitePeer, InvitePeerKind};
use starling_wire::limits::DESCRIPTOR_ADDRESSES_MAX;
use starling_wire::network::Scope;

pub(crate) use book::{Book, Source};
pub(crate) use gate::ProviderGate;
pub(crate) use schedule::Schedule;

use crate::address::{AddressScope, Endpoint, NodeKey, ip_scope, usable};

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

#[cfg(test)]
mod tests;

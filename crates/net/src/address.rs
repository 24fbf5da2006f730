//! Addresses: which of them can be reached from where, whom they name, and how the layers above see
//! them (never as addresses, only as keyed hashes of the networks they lie in).
//!
//! Peers tell each other addresses that mean nothing elsewhere: `127.0.0.1` of another machine,
//! `192.168.1.4` of another home. So an address is kept only if its scope is at least that of the
//! connection over which it was learnt, and only if the network spans it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use starling_wire::limits::ADDRESS_BYTES_MAX;
use starling_wire::network::Scope;

/// The protobuf head of an Ed25519 public key inside a peer id: type 1 (Ed25519), 32 bytes of data.
const ED25519_HEAD: [u8; 4] = [8, 1, 0x12, 0x20];

/// Public half of a node's Ed25519 key: what its libp2p peer id is made of, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub [u8; 32]);

impl NodeKey {
    /// The key inside an Ed25519 peer id; `None` for a peer id of any other kind of key.
    pub fn from_peer_id(peer: &PeerId) -> Option<Self> {
        let multihash = peer.as_ref();
        let key = multihash.digest().strip_prefix(&ED25519_HEAD)?;
        (multihash.code() == 0).then_some(())?;
        Some(Self(key.try_into().ok()?))
    }

    /// The libp2p peer id of the node with this key.
    pub fn peer_id(&self) -> PeerId {
        let mut bytes = vec![0, 36];
        bytes.extend_from_slice(&ED25519_HEAD);
        bytes.extend_from_slice(&self.0);
        PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressScope {
    /// This machine.
    Loopback,
    /// A local network: private, link-local and shared (RFC 6598) ranges.
    Lan,
    /// Everywhere.
    Global,
}

/// Scope of an IP address; `None` for what no node can have (unspecified, multicast, reserved) and for
/// IPv6 link-local ones, which mean nothing without the name of an interface.
pub(crate) fn ip_scope(ip: IpAddr) -> Option<AddressScope> {
    match ip {
        IpAddr::V4(ip) => ipv4_scope(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => ipv4_scope(mapped),
            None => ipv6_scope(ip),
        },
    }
}

fn ipv4_scope(ip: Ipv4Addr) -> Option<AddressScope> {
    let [first, second, ..] = ip.octets();
    match first {
        _ if ip.is_loopback() => Some(AddressScope::Loopback),
        _ if ip.is_private() || ip.is_link_local() => Some(AddressScope::Lan),
        100 if (64..128).contains(&second) => Some(AddressScope::Lan),
        0 | 224.. => None,
        _ => Some(AddressScope::Global),
    }
}

fn ipv6_scope(ip: Ipv6Addr) -> Option<AddressScope> {
    match ip {
        _ if ip.is_loopback() => Some(AddressScope::Loopback),
        _ if ip.is_unique_local() => Some(AddressScope::Lan),
        _ if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() => None,
        _ => Some(AddressScope::Global),
    }
}

/// What of a multiaddr matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub ip: IpAddr,
    /// UDP port for QUIC, TCP port otherwise; not 0.
    pub port: u16,
    /// QUIC version 1 if true, TCP otherwise.
    pub quic: bool,
}

impl Endpoint {
    /// Reads `/ip4|ip6/../udp/../quic-v1` or `/ip4|ip6/../tcp/..`, with or without a `/p2p` part.
    /// Anything else (names, relays, port 0, longer paths) is `None`: this version cannot dial it.
    pub fn parse(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => IpAddr::V6(ip),
            _ => return None,
        };
        let (port, quic) = match parts.next()? {
            Protocol::Udp(port) => (port, matches!(parts.next()?, Protocol::QuicV1)),
            Protocol::Tcp(port) => (port, false),
            _ => return None,
        };
        let udp = address.iter().any(|part| matches!(part, Protocol::Udp(_)));
        let rest = parts.next();
        let fits = matches!(rest, None | Some(Protocol::P2p(_))) && parts.next().is_none();
        (port != 0 && fits && udp == quic).then_some(Self { ip, port, quic })
    }

    /// How far it reaches; `None` for what no node can have.
    pub fn scope(&self) -> Option<AddressScope> {
        ip_scope(self.ip)
    }

    /// The multiaddr, without a `/p2p` part.
    pub fn multiaddr(&self) -> Multiaddr {
        let address = Multiaddr::empty().with(Protocol::from(self.ip));
        if self.quic {
            address.with(Protocol::Udp(self.port)).with(Protocol::QuicV1)
        } else {
            address.with(Protocol::Tcp(self.port))
        }
    }
}

/// The address without its `/p2p` part, if this version can dial it, the network spans it, and its scope
/// is at least that of the connection over which it was learnt (`None`: told by the user, an invite, the
/// cache).
pub(crate) fn usable(address: &Multiaddr, network: Scope, learnt_over: Option<AddressScope>) -> Option<Multiaddr> {
    if address.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let endpoint = Endpoint::parse(address)?;
    let scope = ip_scope(endpoint.ip)?;
    let spanned = match network {
        Scope::Loopback => scope == AddressScope::Loopback,
        Scope::Lan => scope <= AddressScope::Lan,
        Scope::Internet => true,
    };
    (spanned && learnt_over.is_none_or(|over| scope >= over)).then(|| endpoint.multiaddr())
}

/// The peer that the `/p2p` part of an address names.
pub fn named_peer(address: &Multiaddr) -> Option<NodeKey> {
    match address.iter().last()? {
        Protocol::P2p(peer) => NodeKey::from_peer_id(&peer),
        _ => None,
    }
}

/// The IP of a connection's remote end.
pub(crate) fn remote_ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
        _ => None,
    }
}

/// Where a peer sits, as far as diversity needs it: keyed hashes, never the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup {
    /// Hash of the /24 (IPv6: /48).
    pub narrow: u64,
    /// Hash of the /16 (IPv6: /32).
    pub wide: u64,
}

/// Makes [`AddressGroup`]s under a key that lives as long as the process, so that the hashes in a log or a
/// core dump cannot be turned back into addresses by trying all of them.
pub(crate) struct GroupHasher([u8; 32]);

impl GroupHasher {
    /// A hasher under `key`.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The groups of an IP address.
    pub(crate) fn group(&self, ip: IpAddr) -> AddressGroup {
        let (narrow, wide) = match ip {
            IpAddr::V4(ip) => {
                let octets = ip.octets();
                (self.hash(4, &octets[..3]), self.hash(4, &octets[..2]))
            }
            IpAddr::V6(ip) => {
                let octets = ip.octets();
                (self.hash(6, &octets[..6]), self.hash(6, &octets[..4]))
            }
        };
        AddressGroup { narrow, wide }
    }

    fn hash(&self, version: u8, prefix: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[version, prefix.len() as u8]);
        hasher.update(prefix);
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_id_and_its_key_are_the_same_thing() {
        let pair = libp2p::identity::Keypair::generate_ed25519();
        let peer = pair.public().to_peer_id();
        let key = NodeKey::from_peer_id(&peer).unwrap();
        assert_eq!(key.0, pair.public().try_into_ed25519().unwrap().to_bytes());
        assert_eq!(key.peer_id(), peer);
        assert_eq!(NodeKey::from_peer_id(&PeerId::random()), None, "a random peer id is a SHA-256 hash");
    }

    #[test]
    fn only_plain_quic_and_tcp_addresses_can_be_dialed() {
        for good in ["/ip4/10.0.0.1/udp/7828/quic-v1", "/ip6/::1/tcp/9"] {
            let parsed = Endpoint::parse(&address(good)).unwrap();
            assert_eq!(parsed.multiaddr(), address(good));
        }
        let named = address("/ip4/10.0.0.1/tcp/9").with(Protocol::P2p(NodeKey([7; 32]).peer_id()));
        assert_eq!(Endpoint::parse(&named).unwrap().multiaddr(), address("/ip4/10.0.0.1/tcp/9"));
        assert_eq!(named_peer(&named), Some(NodeKey([7; 32])));
        for bad in [
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/10.0.0.1/udp/9",
            "/ip4/10.0.0.1/tcp/9/ws",
            "/ip4/10.0.0.1/udp/9/quic-v1/webtransport",
            "/dns/example.org/tcp/9",
            "/ip4/10.0.0.1",
            "/memory/7",
        ] {
            assert_eq!(Endpoint::parse(&address(bad)), None, "{bad}");
        }
    }

    #[test]
    fn an_address_is_kept_only_where_it_can_be_reached() {
        let keep = |text: &str, network, over| usable(&address(text), network, over).is_some();
        let (home, world, own) = ("/ip4/192.168.1.4/tcp/9", "/ip4/9.9.9.9/tcp/9", "/ip4/127.0.0.1/tcp/9");
        assert!(keep(world, Scope::Internet, Some(AddressScope::Global)));
        assert!(!keep(home, Scope::Internet, Some(AddressScope::Global)), "another home's address");
        assert!(!keep(own, Scope::Internet, Some(AddressScope::Lan)), "another machine's loopback");
        assert!(keep(home, Scope::Internet, Some(AddressScope::Lan)));
        assert!(keep(home, Scope::Internet, None), "an invite may name a neighbour");
        assert!(keep(own, Scope::Loopback, Some(AddressScope::Loopback)));
        assert!(!keep(home, Scope::Loopback, None), "a loopback network leaves the machine for nobody");
        assert!(!keep(world, Scope::Lan, None));
    }

    #[test]
    fn scopes_of_odd_addresses() {
        let scope = |text: &str| ip_scope(text.parse().unwrap());
        assert_eq!(scope("100.64.0.1"), Some(AddressScope::Lan));
        assert_eq!(scope("100.128.0.1"), Some(AddressScope::Global));
        assert_eq!(scope("::ffff:192.168.0.1"), Some(AddressScope::Lan));
        assert_eq!(scope("fd00::1"), Some(AddressScope::Lan));
        assert_eq!(scope("2001:4860::1"), Some(AddressScope::Global));
        for none in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1"] {
            assert_eq!(scope(none), None, "{none}");
        }
    }

    #[test]
    fn groups_tell_networks_apart_and_differ_from_run_to_run() {
        let hasher = GroupHasher::new([1; 32]);
        let group = |text: &str| hasher.group(text.parse().unwrap());
        assert_eq!(group("9.9.9.1"), group("9.9.9.2"));
        assert_ne!(group("9.9.9.1").narrow, group("9.9.8.1").narrow);
        assert_eq!(group("9.9.9.1").wide, group("9.9.8.1").wide);
        assert_eq!(group("2001:db8:1::1"), group("2001:db8:1:ffff::1"));
        assert_ne!(group("9.9.9.1"), GroupHasher::new([2; 32]).group("9.9.9.1".parse().unwrap()));
    }
}

//! Addresses in the configuration: an IP address, a transport and a port, written as `IP:PORT` (both transports) or
//! as a multiaddr. Names are not taken: a node that has to ask a name server tells it that it runs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// How peers speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// QUIC over UDP.
    Quic,
    /// TCP, Noise, Yamux.
    Tcp,
}

/// Where a node listens, or is reached. Shown as a multiaddr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    /// IP address.
    pub(crate) ip: IpAddr,
    /// Transport.
    pub(crate) transport: Transport,
    /// Port; 0 lets the system choose.
    pub(crate) port: u16,
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ip.is_ipv4() { "ip4" } else { "ip6" };
        match self.transport {
            Transport::Quic => write!(formatter, "/{family}/{}/udp/{}/quic-v1", self.ip, self.port),
            Transport::Tcp => write!(formatter, "/{family}/{}/tcp/{}", self.ip, self.port),
        }
    }
}

impl PeerAddress {
    /// Both transports at one IP address and port.
    pub(crate) fn both(ip: IpAddr, port: u16) -> [Self; 2] {
        [Self { ip, transport: Transport::Quic, port }, Self { ip, transport: Transport::Tcp, port }]
    }

    /// Reads `IP:PORT` or a multiaddr. [`None`]: neither.
    pub(crate) fn parse(text: &str) -> Option<Vec<Self>> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Some(Self::both(socket.ip(), socket.port()).to_vec());
        }
        let parts: Vec<&str> = text.strip_prefix('/')?.split('/').collect();
        let (family, ip, protocol, port, rest) = match parts.as_slice() {
            [family, ip, protocol, port, rest @ ..] => (*family, *ip, *protocol, *port, rest),
            _ => return None,
        };
        let ip: IpAddr = ip.parse().ok()?;
        if (family == "ip4") != ip.is_ipv4() || !matches!(family, "ip4" | "ip6") {
            return None;
        }
        let port = port.parse().ok()?;
        let transport = match (protocol, rest) {
            ("udp", ["quic-v1"]) => Transport::Quic,
            ("tcp", []) => Transport::Tcp,
            _ => return None,
        };
        Some(vec![Self { ip, transport, port }])
    }
}

/// Whether `text` names a node: one of the multiaddrs of [`PeerAddress`] with a port and `/p2p/PEER` behind it.
pub(crate) fn names_a_node(text: &str) -> bool {
    let Some((address, peer)) = text.split_once("/p2p/") else { return false };
    let base58 = |byte: u8| byte.is_ascii_alphanumeric() && !matches!(byte, b'0' | b'O' | b'I' | b'l');
    let address_fits = address.starts_with('/')
        && PeerAddress::parse(address).is_some_and(|parsed| parsed.iter().all(|address| address.port != 0));
    address_fits && (32..=64).contains(&peer.len()) && peer.bytes().all(base58)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_notations() {
        let both = PeerAddress::parse("127.0.0.1:7828").unwrap();
        assert_eq!(both[0].to_string(), "/ip4/127.0.0.1/udp/7828/quic-v1");
        assert_eq!(both[1].to_string(), "/ip4/127.0.0.1/tcp/7828");
        for text in ["/ip4/10.0.0.1/udp/1/quic-v1", "/ip6/::1/tcp/0"] {
            assert_eq!(PeerAddress::parse(text).unwrap()[0].to_string(), text);
        }
        assert_eq!(PeerAddress::parse("[::1]:5").unwrap()[1].to_string(), "/ip6/::1/tcp/5");
    }

    #[test]
    fn refuses_what_it_cannot_listen_on() {
        for text in [
            "",
            "/",
            "7828",
            "example.org:7828",
            "/dns4/example.org/tcp/1",
            "/ip4/::1/tcp/1",
            "/ip4/1.2.3.4",
            "/ip4/1.2.3.4/tcp/70000",
            "/ip4/1.2.3.4/udp/1",
            "/ip4/1.2.3.4/tcp/1/p2p/x",
        ] {
            assert_eq!(PeerAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_seed_needs_a_peer_and_a_port() {
        let peer = "12D3KooWGRUFqQ1Qy8NXUbC7tqcMs2Qh6gyGBK5dnDBQSQXRT3Wn";
        assert!(names_a_node(&format!("/ip4/127.0.0.1/udp/4001/quic-v1/p2p/{peer}")));
        assert!(!names_a_node(&format!("/ip4/127.0.0.1/tcp/0/p2p/{peer}")));
        assert!(!names_a_node(&format!("127.0.0.1:1/p2p/{peer}")));
        assert!(!names_a_node("/ip4/127.0.0.1/tcp/4001"));
        assert!(!names_a_node("/ip4/127.0.0.1/tcp/4001/p2p/0OIl"));
    }
}

//! Which ports the node takes. A port that its owner chose and that is taken stops the start; a default one gives
//! way to another, and that is said. SPEC: product, failure table of the first journey.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use starling_wire::network::Scope;

use crate::cli::failure::{Exit, Failure};
use crate::config::{API_PORT, Chosen, Config, PEER_PORT, PeerAddress, Transport};

/// Holds the port for peers that was chosen at random, for later starts: invites name it.
pub(crate) const PEER_PORT_FILE: &str = "peer-port";
/// Ports tried after the default one for the API.
const API_PORT_TRIES: u16 = 100;
/// Ports of the system's choice tried for the API: each must be free on both loopback addresses.
const ANY_PORT_TRIES: usize = 16;
/// Random ports tried for peers: each must be free for UDP and TCP.
const PEER_PORT_TRIES: usize = 64;

/// The local API's sockets, IPv4 first, and what to tell about them.
#[derive(Debug)]
pub(crate) struct ApiSockets {
    /// On 127.0.0.1 and, where the machine has it, on `[::1]`, at the same port.
    pub(crate) listeners: Vec<TcpListener>,
    /// The port.
    pub(crate) port: u16,
    /// That another port than the default one was taken.
    pub(crate) note: Option<String>,
}

/// Binds the local API.
///
/// # Errors
/// The chosen port is taken, or no port can be had.
pub(crate) fn bind_api(chosen: Option<&Chosen<u16>>) -> Result<ApiSockets, Failure> {
    if let Some(Chosen { value, by }) = chosen {
        return bind_both(*value)
            .map(|(listeners, port)| ApiSockets { listeners, port, note: None })
            .map_err(|error| taken(&setting(by, value), &error).detail("port", *value));
    }
    bind_from(API_PORT)
}

/// Binds `preferred`, else the next free port, else any.
fn bind_from(preferred: u16) -> Result<ApiSockets, Failure> {
    let next = preferred.saturating_add(1)..=preferred.saturating_add(API_PORT_TRIES);
    let others = next.filter(|port| *port != PEER_PORT).chain([0]);
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for port in std::iter::once(preferred).chain(others) {
        match bind_both(port) {
            Ok((listeners, port)) => {
                let other =
                    || format!("Port {preferred} is used by another program; page is at http://127.0.0.1:{port}");
                return Ok(ApiSockets { listeners, port, note: (port != preferred).then(other) });
            }
            Err(error) => last = error,
        }
    }
    Err(Failure::new(Exit::Conflict, "port", format!("No port on 127.0.0.1 can be used for the API: {last}")))
}

/// Both loopback addresses at one port; at a port of the system's choice if it is 0.
fn bind_both(port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut outcome = bind_pair(port);
    for _ in 1..ANY_PORT_TRIES {
        if port != 0 || outcome.is_ok() {
            break;
        }
        outcome = bind_pair(port);
    }
    outcome
}

fn bind_pair(port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = four.local_addr()?.port();
    let mut listeners = vec![four];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(six) => listeners.push(six),
        // A stranger at [::1] would be taken for this node by a browser that prefers IPv6.
        Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
        Err(_) => {}
    }
    Ok((listeners, port))
}

/// `api.port = 7827`, `--api-port 7827`
fn setting(by: &str, value: &impl ToString) -> String {
    let value = value.to_string();
    if by.starts_with("--") { format!("{by} {value}") } else { format!("{by} = {value}") }
}

fn taken(setting: &str, error: &io::Error) -> Failure {
    let message = match error.kind() {
        ErrorKind::AddrInUse => format!("{setting} is taken; change it or stop that program"),
        _ => format!("{setting} cannot be used: {error}"),
    };
    Failure::new(Exit::Conflict, "port", message)
}

/// Where to listen for peers, and what to tell about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerSockets {
    /// Multiaddrs.
    pub(crate) listen: Vec<String>,
    /// That another port than the default one is used.
    pub(crate) note: Option<String>,
}

/// Chooses where to listen for peers. The sockets are bound by the network; here it is only seen that they can be.
///
/// # Errors
/// A chosen port is taken, or no port can be had.
pub(crate) fn choose_peer(config: &Config, data: &Path) -> Result<PeerSockets, Failure> {
    if let Some(Chosen { value, by }) = &config.listen {
        for address in value {
            probe(address).map_err(|error| taken(&setting(by, address), &error).detail("port", address.port))?;
        }
        return Ok(PeerSockets { listen: value.iter().map(PeerAddress::to_string).collect(), note: None });
    }
    let ips = default_ips(config.network.scope);
    let kept = kept_port(data);
    let preferred = kept.unwrap_or(PEER_PORT);
    if all_free(&ips, preferred) {
        return Ok(PeerSockets { listen: multiaddrs(&ips, preferred), note: None });
    }
    let port = random_port(&ips)
        .map_err(|error| Failure::new(Exit::Conflict, "port", format!("No port can be used for peers: {error}")))?;
    let path = data.join(PEER_PORT_FILE);
    std::fs::write(&path, format!("{port}\n"))
        .map_err(|error| Failure::new(Exit::Disk, "disk", format!("{} cannot be written: {error}", path.display())))?;
    let note = format!("Port {preferred} is used by another program; peers reach this node at port {port}");
    Ok(PeerSockets { listen: multiaddrs(&ips, port), note: Some(note) })
}

fn default_ips(scope: Scope) -> Vec<IpAddr> {
    if scope == Scope::Loopback {
        return vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    }
    let six = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let mut ips = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    ips.extend(UdpSocket::bind((six, 0)).is_ok().then_some(six));
    ips
}

fn multiaddrs(ips: &[IpAddr], port: u16) -> Vec<String> {
    ips.iter().flat_map(|ip| PeerAddress::both(*ip, port)).map(|address| address.to_string()).collect()
}

fn kept_port(data: &Path) -> Option<u16> {
    std::fs::read_to_string(data.join(PEER_PORT_FILE)).ok()?.trim().parse().ok().filter(|port| *port != 0)
}

fn probe(address: &PeerAddress) -> io::Result<()> {
    let socket = SocketAddr::new(address.ip, address.port);
    match address.transport {
        Transport::Quic => UdpSocket::bind(socket).map(drop),
        Transport::Tcp => TcpListener::bind(socket).map(drop),
    }
}

fn all_free(ips: &[IpAddr], port: u16) -> bool {
    ips.iter().flat_map(|ip| PeerAddress::both(*ip, port)).all(|address| probe(&address).is_ok())
}

fn random_port(ips: &[IpAddr]) -> io::Result<u16> {
    let first = ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for _ in 0..PEER_PORT_TRIES {
        let port = UdpSocket::bind((first, 0))?.local_addr()?.port();
        if all_free(ips, port) {
            return Ok(port);
        }
    }
    Err(io::Error::from(ErrorKind::AddrInUse))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn config(listen: &[&str]) -> Config {
        let overrides = Overrides {
            network: Some("ports".to_owned()),
            listen: listen.iter().map(|text| (*text).to_owned()).collect(),
            ..Overrides::default()
        };
        let folder = tempfile::tempdir().unwrap();
        Config::load(folder.path(), None, &overrides).unwrap()
    }

    #[test]
    fn a_chosen_api_port_that_is_taken_stops_the_start() {
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        for (by, words) in [("api.port", format!("api.port = {port}")), ("--api-port", format!("--api-port {port}"))] {
            let failure = bind_api(Some(&Chosen { value: port, by })).unwrap_err();
            assert_eq!(failure.message, format!("{words} is taken; change it or stop that program"));
            assert_eq!(failure.exit, Exit::Conflict);
        }
        let any = bind_api(Some(&Chosen { value: 0, by: "api.port" })).unwrap();
        assert_ne!(any.port, 0);
    }

    #[test]
    fn a_default_api_port_that_is_taken_gives_way_and_that_is_said() {
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        let other = bind_from(port).unwrap();
        assert_ne!(other.port, port);
        let said = format!("Port {port} is used by another program; page is at http://127.0.0.1:{}", other.port);
        assert_eq!(other.note, Some(said));
    }

    #[test]
    fn a_chosen_peer_port_that_is_taken_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = format!("/ip4/127.0.0.1/udp/{}/quic-v1", occupied.local_addr().unwrap().port());
        let failure = choose_peer(&config(&[&address]), folder.path()).unwrap_err();
        assert_eq!(failure.message, format!("--listen {address} is taken; change it or stop that program"));
        assert_eq!(failure.exit, Exit::Conflict);
        let any = choose_peer(&config(&["127.0.0.1:0"]), folder.path()).unwrap();
        assert_eq!(any.listen, ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"]);
    }

    #[test]
    fn a_random_peer_port_is_kept_for_later_starts() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        std::fs::write(folder.path().join(PEER_PORT_FILE), port.to_string()).unwrap();
        let first = choose_peer(&config(&[]), folder.path()).unwrap();
        assert!(first.note.as_ref().is_some_and(|note| note.starts_with(&format!("Port {port} is used by"))));
        let second = choose_peer(&config(&[]), folder.path()).unwrap();
        assert_eq!(second, PeerSockets { listen: first.listen, note: None });
    }
}

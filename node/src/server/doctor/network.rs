//! The network: peers, ports, calls that go out, and calls that come in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use starling_api::doctor::{Check, CheckName, Verdict};
use starling_net::{AddressScope, Endpoint, Multiaddr};
use starling_wire::network::Scope;

use super::{Facts, check, ok, then};
use crate::core::handle::{NetworkView, NodeState, PeerView};
use crate::spans::{self, counted};

/// A peer that answered no longer ago than this is there.
const ANSWERED_MS: u64 = 60_000;

pub(super) fn checks(facts: &Facts, network: &NetworkView) -> Vec<Check> {
    let mut checks = peers(facts, network);
    let ports = Ports::of(&network.addresses);
    checks.push(listening(network, &ports));
    checks.push(outgoing(network));
    checks.push(reach(facts, network, &ports));
    checks
}

/// The three ways to a first peer.
fn ways_in(network: &NetworkView) -> [String; 3] {
    let by_itself = if network.tried.mdns { "found by itself" } else { "not looked for, as mDNS is off" };
    [
        "an invite from a friend: starling add <invite>".to_owned(),
        format!("someone on this network: {by_itself}"),
        "an address you know: starling peers add <address>".to_owned(),
    ]
}

fn peers(facts: &Facts, network: &NetworkView) -> Vec<Check> {
    let fail = |message: String| check(CheckName::Peers, Verdict::Fail, message);
    let mut checks = Vec::new();
    if network.mismatches > 0 {
        let message = "a node of a network with this name uses other parameters, and the two cannot talk".to_owned();
        // Who has neighbours is well: anybody can start a node of that name.
        let verdict = if facts.peers.iter().any(|peer| peer.held) { Verdict::Warn } else { Verdict::Fail };
        let told = check(CheckName::Peers, verdict, message);
        checks.push(then(told, ["Compare [network] of both configurations: starling up --print-config"]));
    }
    let answered = facts.peers.iter().filter(|peer| has_answered(peer)).count() as u64;
    let connected = facts.peers.len() as u64;
    checks.push(if connected == 0 {
        let yet = if facts.state == NodeState::Alone { "" } else { " yet" };
        let message = format!("not connected to anyone{yet}; tried: {}", network.tried.words());
        then(fail(message), ways_in(network))
    } else if answered == 0 {
        let message = format!(
            "none of {} answered in the last minute: this computer may have lost its network",
            counted(connected, "connected peer")
        );
        then(fail(message), ["starling peers"])
    } else if facts.peers.iter().all(|peer| !peer.held) {
        let message = format!("{}, but none is a neighbour yet: messages cannot leave", counted(connected, "peer"));
        then(fail(message), ["starling peers"])
    } else if network.in_shard == 0 {
        let message = format!("none of {} is in your shard: messages cannot leave", counted(connected, "peer"));
        then(fail(message), ["starling peers"])
    } else {
        ok(CheckName::Peers, format!("{} answered in the last minute", counted(answered, "peer")))
    });
    checks
}

/// A neighbour that was not pinged yet has answered too: by holding the link.
fn has_answered(peer: &PeerView) -> bool {
    peer.answered_ms_ago.map_or(peer.held, |ago_ms| ago_ms <= ANSWERED_MS)
}

/// Where the node listens.
#[derive(Debug, Default)]
struct Ports {
    udp: BTreeSet<u16>,
    tcp: BTreeSet<u16>,
    /// On the local network.
    local: Option<IpAddr>,
    /// On the internet, on this very computer.
    public: Option<IpAddr>,
}

impl Ports {
    fn of(addresses: &[String]) -> Self {
        let mut ports = Self::default();
        let parsed = addresses.iter().filter_map(|text| Endpoint::parse(&text.parse::<Multiaddr>().ok()?));
        for at in parsed {
            if at.quic { &mut ports.udp } else { &mut ports.tcp }.insert(at.port);
            match at.scope() {
                // A router's neighbours most often have IPv4.
                Some(AddressScope::Lan) if ports.local.is_none() || at.ip.is_ipv4() => ports.local = Some(at.ip),
                Some(AddressScope::Global) => ports.public = Some(at.ip),
                _ => {}
            }
        }
        ports
    }

    /// `UDP+TCP 7828`, `UDP 7828 and TCP 7829`
    fn words(&self) -> String {
        let list = |ports: &BTreeSet<u16>| ports.iter().map(u16::to_string).collect::<Vec<_>>().join("/");
        match (self.udp.is_empty(), self.tcp.is_empty()) {
            (false, false) if self.udp == self.tcp => format!("UDP+TCP {}", list(&self.udp)),
            (false, false) => format!("UDP {} and TCP {}", list(&self.udp), list(&self.tcp)),
            (false, true) => format!("UDP {}", list(&self.udp)),
            _ => format!("TCP {}", list(&self.tcp)),
        }
    }
}

fn listening(network: &NetworkView, ports: &Ports) -> Check {
    let elsewhere = "Choose another one: peers.listen in the configuration, or starling up --listen ADDR";
    if let Some(failed) = &network.listen_failed {
        let message = format!("cannot listen on {failed}");
        return then(check(CheckName::Ports, Verdict::Fail, message), [elsewhere]);
    }
    match (ports.udp.is_empty(), ports.tcp.is_empty()) {
        (true, true) => {
            let message = "this node listens nowhere: nobody can connect to it";
            then(check(CheckName::Ports, Verdict::Fail, message), [elsewhere])
        }
        (true, false) => {
            let message = format!("listens on {} alone, without UDP: no QUIC", ports.words());
            then(check(CheckName::Ports, Verdict::Warn, message), [elsewhere])
        }
        _ => ok(CheckName::Ports, format!("listens on {}", ports.words())),
    }
}

fn outgoing(network: &NetworkView) -> Check {
    let calls = network.calls;
    if calls.udp_is_blocked() {
        let message = format!(
            "UDP is blocked here: {} answered over TCP, and none over QUIC; everything goes over TCP",
            counted(u64::from(calls.quic_unanswered), "peer")
        );
        let next = ["Let UDP out in this network's firewall; without it, TCP does"];
        return then(check(CheckName::Outgoing, Verdict::Warn, message), next);
    }
    let works = match (calls.quic_answered > 0, calls.tcp_answered > 0) {
        (true, true) => "outgoing QUIC and TCP work",
        (true, false) => "outgoing QUIC works",
        (false, true) if calls.quic_unanswered > 0 => {
            "outgoing TCP works; the one peer that was called over QUIC did not answer"
        }
        (false, true) => "outgoing TCP works",
        (false, false) if calls.quic_callers > 0 || calls.tcp_callers > 0 => "peers call this node",
        (false, false) => {
            let message = "nobody has answered a call of this node yet: whether calls get out is not known";
            let next = ["starling peers add <address>"];
            return then(check(CheckName::Outgoing, Verdict::Warn, message), next);
        }
    };
    ok(CheckName::Outgoing, works)
}

fn reach(facts: &Facts, network: &NetworkView, ports: &Ports) -> Check {
    let calls = network.calls;
    let from_outside = u64::from(calls.outside_networks);
    match facts.scope {
        Scope::Loopback => {
            return ok(CheckName::Reach, "every node on this computer reaches it");
        }
        Scope::Lan => {
            return ok(CheckName::Reach, "every node on this local network reaches it");
        }
        Scope::Internet => {}
    }
    if network.has_external {
        let seen = match from_outside {
            0 => "nobody from outside has called yet".to_owned(),
            networks => format!("called from {}", counted(networks, "other network")),
        };
        return ok(CheckName::Reach, format!("others can reach it at the address in its configuration ({seen})"));
    }
    if calls.is_reached_from_outside() {
        return ok(
            CheckName::Reach,
            format!("others reach it: called from {}", counted(from_outside, "other network")),
        );
    }
    let cause = if calls.udp_is_blocked() {
        "nobody outside your network can reach this node yet: UDP is blocked here".to_owned()
    } else {
        let since = spans::rough(facts.uptime);
        let called = match from_outside {
            0 => format!("nobody from outside has called in {since}"),
            _ => format!("one other network has called in {since}, and two would show it"),
        };
        format!("not known whether others can reach this node: {called}, and no router is asked for a port")
    };
    then(check(CheckName::Reach, Verdict::Warn, cause), ways_to_be_reached(ports))
}

fn ways_to_be_reached(ports: &Ports) -> Vec<String> {
    let words = ports.words();
    let mut ways = Vec::new();
    if let Some(public) = ports.public {
        ways.push(format!("let {words} in, in the firewall: this computer has the public address {public}"));
    }
    if let Some(local) = ports.local {
        ways.push(format!(
            "forward {words} to {local} in your router, and name its public address in the configuration: \
             peers.external_addresses"
        ));
    }
    let or = if ways.is_empty() { "" } else { "or " };
    ways.push(format!(
        "{or}have one friend whose node can be reached: yours connects to it, and messages go through it"
    ));
    ways
}

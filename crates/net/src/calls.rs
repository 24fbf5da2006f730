//! What became of connections so far: which transports get out of here, and whether others get in.
//!
//! It is evidence and no test: nobody is asked to call back. That a peer of the internet called proves that others reach
//! this node only if this node had not called there before: a router lets in what answers a call, and what comes at the
//! same moment as one. And that UDP is blocked is said only after peers that answered over TCP were called over QUIC
//! alone, and none answered.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::NodeKey;

/// Peers that are remembered of each kind. What comes after them proves nothing.
const REMEMBERED_MAX: usize = 4_096;
/// Peers that are called over QUIC alone to see whether it works.
const PROBES_MAX: usize = 8;
/// Peers without an answer over QUIC that make sure that the fault is on this side.
const UNANSWERED_ENOUGH: u32 = 2;
/// Networks whose calls make sure that others reach this node: one alone may lie near.
const NETWORKS_ENOUGH: u32 = 2;

/// What became of connections since the start, or since this computer was last in another network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Peers that answered a call over QUIC.
    pub quic_answered: u32,
    /// Peers that answered a call over TCP.
    pub tcp_answered: u32,
    /// Peers that answered over TCP, but not when they were called over QUIC alone.
    pub quic_unanswered: u32,
    /// Peers that called over QUIC.
    pub quic_callers: u32,
    /// Peers that called over TCP.
    pub tcp_callers: u32,
    /// Networks of the internet (/16, of IPv6 /32) from which peers called that this node had not called.
    pub outside_networks: u32,
}

impl Calls {
    /// Whether UDP is blocked here.
    pub fn udp_is_blocked(&self) -> bool {
        !self.quic_works() && self.quic_unanswered >= UNANSWERED_ENOUGH
    }

    /// Whether others reach this node from outside.
    pub fn is_reached_from_outside(&self) -> bool {
        self.outside_networks >= NETWORKS_ENOUGH
    }

    fn quic_works(&self) -> bool {
        self.quic_answered > 0 || self.quic_callers > 0
    }
}

/// The evidence.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    quic_answered: BTreeSet<NodeKey>,
    tcp_answered: BTreeSet<NodeKey>,
    quic_unanswered: BTreeSet<NodeKey>,
    quic_callers: BTreeSet<NodeKey>,
    tcp_callers: BTreeSet<NodeKey>,
    outside_networks: BTreeSet<u64>,
    probed: BTreeSet<NodeKey>,
    /// Where this node has called: it stays when the rest begins anew.
    called: BTreeSet<NodeKey>,
    called_ips: BTreeSet<IpAddr>,
}

fn remember<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if set.len() < REMEMBERED_MAX {
        set.insert(value);
    }
}

fn count<T>(set: &BTreeSet<T>) -> u32 {
    u32::try_from(set.len()).unwrap_or(u32::MAX)
}

impl Tally {
    /// This node calls `node`, at these addresses.
    pub(crate) fn calling(&mut self, node: NodeKey, ips: impl IntoIterator<Item = IpAddr>) {
        remember(&mut self.called, node);
        ips.into_iter().for_each(|ip| remember(&mut self.called_ips, ip));
    }

    /// `node` answered a call.
    pub(crate) fn answered(&mut self, node: NodeKey, quic: bool) {
        remember(if quic { &mut self.quic_answered } else { &mut self.tcp_answered }, node);
    }

    /// `node` called; `outside` is the network it called from, if that is one of the internet.
    pub(crate) fn was_called(&mut self, node: NodeKey, ip: Option<IpAddr>, outside: Option<u64>, quic: bool) {
        remember(if quic { &mut self.quic_callers } else { &mut self.tcp_callers }, node);
        // Full, the lists of who was called prove nothing any more.
        let full = self.called.len() >= REMEMBERED_MAX || self.called_ips.len() >= REMEMBERED_MAX;
        let called = full || self.called.contains(&node) || ip.is_none_or(|ip| self.called_ips.contains(&ip));
        if let (Some(network), false) = (outside, called) {
            remember(&mut self.outside_networks, network);
        }
    }

    /// `node` answered over TCP: whether it is worth a call over QUIC alone. At most once for each.
    pub(crate) fn probe(&mut self, node: NodeKey) -> bool {
        !self.calls().quic_works() && self.probed.len() < PROBES_MAX && self.probed.insert(node)
    }

    /// `node` was called over QUIC alone, and did not answer.
    pub(crate) fn unanswered(&mut self, node: NodeKey) {
        remember(&mut self.quic_unanswered, node);
    }

    /// This computer may be in another network now.
    pub(crate) fn begin_anew(&mut self) {
        let called = std::mem::take(&mut self.called);
        let called_ips = std::mem::take(&mut self.called_ips);
        *self = Self { called, called_ips, ..Self::default() };
    }

    /// What the evidence says.
    pub(crate) fn calls(&self) -> Calls {
        Calls {
            quic_answered: count(&self.quic_answered),
            tcp_answered: count(&self.tcp_answered),
            quic_unanswered: count(&self.quic_unanswered),
            quic_callers: count(&self.quic_callers),
            tcp_callers: count(&self.tcp_callers),
            outside_networks: count(&self.outside_networks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeKey {
        NodeKey([number; 32])
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn two_networks_of_strangers_that_call_are_a_proof_and_who_was_called_is_none() {
        let mut tally = Tally::default();
        tally.calling(node(1), [ip(1)]);
        tally.was_called(node(1), Some(ip(9)), Some(1), true);
        tally.was_called(node(2), Some(ip(1)), Some(2), true);
        assert_eq!(tally.calls().outside_networks, 0, "a hole in a router may have let them in");
        tally.was_called(node(3), Some(ip(3)), None, true);
        assert_eq!(tally.calls().outside_networks, 0, "a neighbour of the local network");
        tally.was_called(node(4), Some(ip(4)), Some(4), true);
        tally.was_called(node(5), Some(ip(5)), Some(4), false);
        assert!(!tally.calls().is_reached_from_outside(), "one network");
        tally.was_called(node(6), Some(ip(6)), Some(6), false);
        assert!(tally.calls().is_reached_from_outside());
    }

    #[test]
    fn so_many_were_called_that_nobody_is_a_stranger() {
        let mut tally = Tally::default();
        for number in 0..u32::try_from(REMEMBERED_MAX).unwrap() {
            tally.calling(node(1), [IpAddr::from(number.to_be_bytes())]);
        }
        tally.was_called(node(2), Some(ip(2)), Some(2), true);
        tally.was_called(node(3), Some(ip(3)), Some(3), true);
        assert_eq!(tally.calls().outside_networks, 0);
    }

    #[test]
    fn udp_is_blocked_when_two_that_answer_over_tcp_do_not_over_quic() {
        let mut tally = Tally::default();
        tally.answered(node(1), false);
        assert!(tally.probe(node(1)) && !tally.probe(node(1)), "once");
        tally.unanswered(node(1));
        assert!(!tally.calls().udp_is_blocked(), "it may be that one's own fault");
        tally.answered(node(2), false);
        assert!(tally.probe(node(2)));
        tally.unanswered(node(2));
        assert!(tally.calls().udp_is_blocked());
        tally.was_called(node(3), Some(ip(3)), None, true);
        assert!(!tally.calls().udp_is_blocked() && !tally.probe(node(4)), "it works after all");
        tally.begin_anew();
        assert_eq!(tally.calls(), Calls::default());
        assert!((0..=255).map(node).filter(|node| tally.probe(*node)).count() == PROBES_MAX);
    }
}

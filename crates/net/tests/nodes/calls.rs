//! What a node learns of its own calls and of those of others: real connections, and a port that answers nothing.

use std::net::UdpSocket;

use starling_net::{Multiaddr, NetCommand};

use crate::support::{DEADLINE, Manner, Node, QUIC, TCP, config, named};

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_transport_and_neighbours_are_nobody_from_outside() {
    for (network, listen) in [("calls-quic", QUIC), ("calls-tcp", TCP)] {
        let one = Node::start(config(network, 1, &[listen]), Manner::Takes);
        let mut joining = config(network, 2, &[listen]);
        joining.peers.push(one.address().await);
        let two = Node::start(joining, Manner::Takes);
        let quic = u32::from(listen == QUIC);
        let called = two.status("called", |status| status.held == 1).await.calls;
        assert_eq!((called.quic_answered, called.tcp_answered), (quic, 1 - quic), "{called:?}");
        let was = one.status("was called", |status| status.held == 1).await.calls;
        assert_eq!((was.quic_callers, was.tcp_callers), (quic, 1 - quic), "{was:?}");
        assert_eq!(was.outside_networks, 0, "loopback is not outside");
        assert!(!was.udp_is_blocked() && !called.udp_is_blocked());
        let answered = async {
            while two.handle.peers().await.iter().all(|peer| peer.answered_ms_ago.is_none()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, answered).await.expect("a ping is answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_tcp_alone_to_work_with_two_peers_says_that_udp_is_blocked() {
    // Taken and never read: what is sent there has no answer, as behind a firewall that drops it.
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    let hole: Multiaddr = format!("/ip4/127.0.0.1/udp/{}/quic-v1", hole.local_addr().unwrap().port()).parse().unwrap();
    let mut joining = config("blocked", 9, &[TCP]);
    let mut others = Vec::new();
    for number in 1..=2 {
        let other = Node::start(config("blocked", number, &[TCP]), Manner::Takes);
        joining.peers.extend([named(&hole, other.handle.node()), other.address().await]);
        others.push(other);
    }
    let node = Node::start(joining, Manner::Takes);
    let calls = node.status("UDP is found to be blocked", |status| status.calls.udp_is_blocked()).await.calls;
    assert_eq!((calls.tcp_answered, calls.quic_unanswered, calls.quic_answered), (2, 2, 0));
    assert_eq!(node.status("they are linked", |status| status.held == 2).await.connected, 2);
    let third = Node::start(config("blocked", 3, &[QUIC]), Manner::Takes);
    node.ask(NetCommand::AddPeer { address: third.address().await }).await;
    node.status("one that answers over QUIC disproves it", |status| !status.calls.udp_is_blocked()).await;
}

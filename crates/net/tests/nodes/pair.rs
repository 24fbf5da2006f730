//! Two nodes, and a few: what a link carries, and what the layers above are told.

use std::time::Instant;

use starling_net::{GOSSIP_CREDITS, LinkId, NetCommand, NetConfig, NetEvent, OpenError, Refusal, start};
use starling_wire::envelope::TopicId;
use starling_wire::limits::{CELL_LARGE_BYTES, CELL_SMALL_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{DEADLINE, Manner, Node, QUIC, TCP, config};

async fn pair(network: &str, listen: &str, manner: Manner) -> (Node, Node) {
    let one = Node::start(config(network, 1, &[listen]), manner);
    let joining = joining(config(network, 2, &[listen]), &one).await;
    let two = Node::start(joining, Manner::Takes);
    for node in [&one, &two] {
        node.status("linked", |status| status.held == 1 && status.in_shard == 1).await;
    }
    (one, two)
}

async fn joining(mut config: NetConfig, by: &Node) -> NetConfig {
    config.peers.push(by.address().await);
    config
}

async fn link(node: &mut Node) -> LinkId {
    node.heard("a link is up", |heard| !heard.up.is_empty()).await;
    node.links()[0]
}

async fn result(node: &mut Node, request: u64) -> Result<(), Refusal> {
    node.heard("an answer", |heard| heard.done.iter().any(|(done, _)| *done == request)).await;
    let heard = node.heard.lock().unwrap();
    let answers: Vec<_> = heard.done.iter().filter(|(done, _)| *done == request).collect();
    assert_eq!(answers.len(), 1, "exactly one answer");
    answers[0].1
}

async fn push(node: &mut Node, request: u64, link: LinkId, bytes: usize) -> Result<(), Refusal> {
    node.ask(NetCommand::Push { request, link, cell: vec![request as u8; bytes] }).await;
    result(node, request).await
}

async fn publish(node: &mut Node, request: u64, bytes: Vec<u8>) -> Result<(), Refusal> {
    node.ask(NetCommand::Publish { request, topic: TopicId(0), bytes }).await;
    result(node, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_nodes_that_know_one_address_link_to_everybody() {
    let started = Instant::now();
    let first = Node::start(config("eight", 1, &[QUIC, TCP]), Manner::Takes);
    let mut nodes = vec![first];
    for number in 2..=8 {
        let joining = joining(config("eight", number, &[QUIC, TCP]), &nodes[0]).await;
        nodes.push(Node::start(joining, Manner::Takes));
    }
    for node in &nodes {
        node.status("everybody is linked to everybody", |status| status.held == 7).await;
    }
    println!("8 nodes linked to everybody after {:?}", started.elapsed());
    for node in &nodes {
        assert_eq!(node.heard.lock().unwrap().contradictions, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_is_counted_at_both_ends_over_quic_and_over_tcp() {
    for (network, listen) in [("meter-quic", QUIC), ("meter-tcp", TCP)] {
        let (mut one, mut two) = pair(network, listen, Manner::Takes).await;
        let to_one = link(&mut two).await;
        let before = (one.handle.traffic(), two.handle.traffic());
        assert!(before.0.received_bytes > 0 && before.0.sent_bytes > 0, "joining costs something: {before:?}");
        for request in 1..=4 {
            assert_eq!(push(&mut two, request, to_one, CELL_LARGE_BYTES).await, Ok(()));
        }
        for _ in 1..=4 {
            one.pushes.recv().await.unwrap();
        }
        let cells = 4 * CELL_LARGE_BYTES as u64;
        let received = one.handle.traffic().received_bytes;
        let sent = two.handle.traffic().sent_bytes;
        assert!(received - before.0.received_bytes >= cells, "{received} of {cells}");
        assert!(sent >= received, "nobody receives more than was sent: {sent}, {received}");
        let much = received - before.0.received_bytes;
        assert!(much < cells + cells / 2, "nothing is counted twice: {much} for {cells}");
        two.handle.shutdown().await;
        assert!(two.handle.traffic().sent_bytes >= sent, "what was counted stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_cell_arrives_whole_and_its_answer_comes_back() {
    for (network, listen) in [("push-quic", QUIC), ("push-tcp", TCP)] {
        let (mut one, mut two) = pair(network, listen, Manner::Takes).await;
        let to_one = link(&mut two).await;
        assert_eq!(push(&mut two, 1, to_one, CELL_SMALL_BYTES).await, Ok(()));
        assert_eq!(push(&mut two, 2, to_one, CELL_LARGE_BYTES).await, Ok(()));
        let (from, cell) = one.pushes.recv().await.unwrap();
        assert_eq!((from, cell), (link(&mut one).await, vec![1; CELL_SMALL_BYTES]));
        assert_eq!(one.pushes.recv().await.unwrap().1, vec![2; CELL_LARGE_BYTES]);
        assert_eq!(push(&mut two, 3, to_one, 100).await, Err(Refusal::Refused), "no cell has 100 bytes");
        one.handle.shutdown().await;
        two.heard("the link is down", |heard| heard.up.is_empty()).await;
        assert_eq!(push(&mut two, 4, to_one, CELL_SMALL_BYTES).await, Err(Refusal::LinkGone));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_push_and_one_without_an_answer_are_told_apart() {
    let (_one, mut two) = pair("push-refused", QUIC, Manner::Refuses).await;
    let to_one = link(&mut two).await;
    assert_eq!(push(&mut two, 1, to_one, CELL_SMALL_BYTES).await, Err(Refusal::Refused));
    let (_one, mut two) = pair("push-mute", QUIC, Manner::Mute).await;
    let to_one = link(&mut two).await;
    assert_eq!(push(&mut two, 1, to_one, CELL_SMALL_BYTES).await, Err(Refusal::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_needs_a_subscriber_and_may_be_repeated() {
    let mut alone = Node::start(config("publish", 9, &[QUIC]), Manner::Takes);
    assert_eq!(publish(&mut alone, 1, vec![7; 2_048]).await, Err(Refusal::NoPeers));
    let (mut one, mut two) = pair("publish", QUIC, Manner::Takes).await;
    assert_eq!(publish(&mut two, 1, vec![7; 2_048]).await, Ok(()));
    one.heard("the envelope", |heard| heard.gossip.contains(&vec![7; 2_048])).await;
    assert_eq!(publish(&mut two, 2, vec![7; 2_048]).await, Ok(()), "the same bytes again");
    assert_eq!(publish(&mut one, 3, vec![7; 2_048]).await, Ok(()), "what came by gossip");
    assert_eq!(publish(&mut two, 4, vec![7; 21_000]).await, Err(Refusal::Refused), "over 20 KB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_stream_carries_bytes_both_ways_and_only_two_are_open_at_once() {
    for (network, listen) in [("sync-quic", QUIC), ("sync-tcp", TCP)] {
        let (mut one, mut two) = pair(network, listen, Manner::Takes).await;
        let to_one = link(&mut two).await;
        let mut asker = two.handle.open_sync(to_one).await.unwrap();
        asker.write_all(b"what have you got?").await.unwrap();
        let (from, mut answerer) = one.syncs.recv().await.unwrap();
        assert_eq!(from, link(&mut one).await);
        let mut question = [0; 18];
        answerer.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"what have you got?");
        let bodies = vec![5u8; 600_000];
        let writing = async {
            answerer.write_all(&bodies).await.unwrap();
            answerer.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (read, ()) = tokio::join!(asker.read_to_end(&mut received), writing);
        assert_eq!((read.unwrap(), received), (bodies.len(), bodies));

        // The first one is still held by both; a second has room, a third is closed unread.
        let mut second = two.handle.open_sync(to_one).await.unwrap();
        second.write_all(b"2").await.unwrap();
        let _second = one.syncs.recv().await.unwrap();
        let mut third = two.handle.open_sync(to_one).await.unwrap();
        let _ = third.write_all(b"3").await;
        assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
        drop(answerer);
        drop((asker, second));
        let mut later = two.handle.open_sync(to_one).await.unwrap();
        later.write_all(b"4").await.unwrap();
        assert_eq!(one.syncs.recv().await.unwrap().1.read_u8().await.unwrap(), b'4');
        one.handle.shutdown().await;
        two.heard("the link is down", |heard| heard.up.is_empty()).await;
        assert_eq!(two.handle.open_sync(to_one).await.unwrap_err(), OpenError::LinkGone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_finds_its_peers_from_its_cache_alone() {
    let (one, mut two) = pair("cache", QUIC, Manner::Takes).await;
    two.handle.shutdown().await;
    // The longest-held link of its own is an anchor.
    two.heard("a last peer cache", |heard| heard.cache.iter().any(|cached| cached.anchor)).await;
    let cache = two.heard.lock().unwrap().cache.clone();
    assert_eq!(cache.len(), 1);
    assert_eq!(cache[0].node_key, one.handle.node().0);
    one.status("the link is gone", |status| status.connected == 0).await;
    let mut again = config("cache", 2, &[QUIC]);
    again.peer_cache = cache;
    let two = Node::start(again, Manner::Takes);
    two.status("linked again", |status| status.held == 1).await;
    assert_eq!(one.heard.lock().unwrap().contradictions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_parameters_end_the_link_without_blame() {
    let mut one = Node::start(config("parameters", 1, &[QUIC]), Manner::Takes);
    let mut other = joining(config("parameters", 2, &[QUIC]), &one).await;
    other.parameters.resend_ms += 1;
    let mut two = Node::start(other, Manner::Takes);
    for node in [&mut one, &mut two] {
        node.heard("a mismatch", |heard| heard.mismatches > 0).await;
        let status = node.status("it is counted", |status| status.parameters_mismatches > 0).await;
        assert_eq!(status.held, 0);
    }
    two.handle.shutdown().await;
    // The same node with the right parameters is welcome at once.
    let two = Node::start(joining(config("parameters", 2, &[QUIC]), &one).await, Manner::Takes);
    two.status("linked", |status| status.held == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_penalized_peer_is_disconnected_and_stays_out() {
    let (mut one, two) = pair("penalty", QUIC, Manner::Takes).await;
    let to_two = link(&mut one).await;
    one.ask(NetCommand::Penalize { link: to_two }).await;
    one.heard("the link is down", |heard| heard.up.is_empty()).await;
    one.status("it is gone", |status| status.connected == 0).await;
    // It tries again, and so does a stranger; only the stranger gets in.
    two.ask(NetCommand::AddPeer { address: one.address().await }).await;
    let three = Node::start(joining(config("penalty", 3, &[QUIC]), &one).await, Manner::Takes);
    three.status("linked", |status| status.held >= 1).await;
    let peers = one.handle.peers().await;
    assert!(peers.iter().all(|peer| peer.node != two.handle.node()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told_as_such() {
    for listen in [QUIC, "/ip4/127.0.0.1/tcp/0"] {
        let taken = if listen == QUIC {
            let first = Node::start(config("ports", 1, &[listen]), Manner::Takes);
            let address = first.status("listens", |status| !status.listening.is_empty()).await.listening[0].clone();
            (address, Some(first), None)
        } else {
            // libp2p shares its TCP ports among its own listeners; another program's is not shared.
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("/ip4/127.0.0.1/tcp/{}", socket.local_addr().unwrap().port());
            (address.parse().unwrap(), None, Some(socket))
        };
        let mut second = Node::start(config("ports", 2, &[&taken.0.to_string()]), Manner::Takes);
        second.heard("a failure", |heard| !heard.listen_failed.is_empty()).await;
        let (address, in_use, words) = second.heard.lock().unwrap().listen_failed[0].clone();
        assert_eq!((address, in_use), (taken.0, true), "{words}");
        assert!(words.contains("in use"), "the system's own words: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_beyond_the_credits_is_dropped_and_the_rest_goes_on() {
    const SENT: usize = GOSSIP_CREDITS + 40;
    let (mut mute, mut two) = pair("credits", QUIC, Manner::Mute).await;
    for number in 0..SENT {
        let mut envelope = vec![0; 2_048];
        envelope[..8].copy_from_slice(&(number as u64).to_le_bytes());
        while publish_once(&mut two, number as u64, &envelope).await == Err(Refusal::Busy) {
            tokio::task::yield_now().await;
        }
    }
    mute.heard("all credits are out", |heard| heard.gossip.len() >= GOSSIP_CREDITS).await;
    mute.status("the rest was dropped", |status| status.gossip_dropped > 0).await;
    // Nothing else suffers.
    let to_two = link(&mut mute).await;
    assert_eq!(push(&mut mute, 1, to_two, CELL_SMALL_BYTES).await, Ok(()));
}

async fn publish_once(node: &mut Node, number: u64, envelope: &[u8]) -> Result<(), Refusal> {
    node.heard.lock().unwrap().done.clear();
    publish(node, number, envelope.to_vec()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_events_nobody_reads_lives_on() {
    let (deaf, mut unread) = start(config("deaf", 1, &[QUIC])).unwrap();
    let mut status = deaf.status();
    let address = status.wait_for(|status| !status.listening.is_empty()).await.unwrap().listening[0].clone();
    let mut other = config("deaf", 2, &[QUIC]);
    other.peers.push(crate::support::named(&address, deaf.node()));
    let mut two = Node::start(other, Manner::Takes);
    let to_deaf = link(&mut two).await;
    two.status("in the shard", |status| status.in_shard == 1).await;
    for number in 0..(2 * GOSSIP_CREDITS) as u64 {
        let _ = publish_once(&mut two, number, &[number.to_le_bytes().to_vec(), vec![0; 2_040]].concat()).await;
    }
    for number in 0..100 {
        two.ask(NetCommand::Push { request: 100_000 + number, link: to_deaf, cell: vec![0; CELL_SMALL_BYTES] }).await;
    }
    let reached = timeout(DEADLINE, status.wait_for(|status| status.gossip_dropped > 0)).await;
    assert!(reached.is_ok_and(|status| status.is_ok()), "messages are dropped");
    assert_eq!(timeout(DEADLINE, deaf.peers()).await.unwrap().len(), 1, "it still answers");
    // What was kept is there to be read, links before anything else.
    let mut events = Vec::new();
    while let Ok(Some(event)) = timeout(DEADLINE, unread.next()).await {
        let gossip = matches!(event, NetEvent::Gossip { .. });
        events.push(event);
        if gossip {
            break;
        }
    }
    assert!(events.iter().any(|event| matches!(event, NetEvent::LinkUp { .. })));
    timeout(DEADLINE, deaf.shutdown()).await.expect("it ends although nobody reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_look_at_is_true() {
    let (one, two) = pair("status", TCP, Manner::Takes).await;
    let peers = two.handle.peers().await;
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].node, peers[0].held, peers[0].dialed), (one.handle.node(), true, true));
    assert!(peers[0].clock_offset_ms.is_some_and(|offset| offset.abs() < 3_600_000), "one clock");
    let invite = two.handle.invite_peers().await;
    assert_eq!((invite.own.len(), invite.others.len()), (1, 1));
    assert_eq!(invite.own[0].node_key, two.handle.node().0);
    assert_eq!(invite.others[0].node_key, one.handle.node().0);
    // A third joins by what the invite names, in the inviter's absence.
    two.handle.shutdown().await;
    let mut guest = config("status", 3, &[QUIC, TCP]);
    guest.seeds = invite.others;
    let guest = Node::start(guest, Manner::Takes);
    guest.status("linked", |status| status.held == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_stops_when_nobody_listens_or_nobody_asks() {
    for keep_handle in [true, false] {
        let (handle, events) = start(config("unwanted", 1, &[QUIC])).unwrap();
        let mut status = handle.status();
        let address = status.wait_for(|status| !status.listening.is_empty()).await.unwrap().listening[0].clone();
        let mut other = config("unwanted", 2, &[QUIC]);
        other.peers.push(crate::support::named(&address, handle.node()));
        let two = Node::start(other, Manner::Takes);
        two.status("linked", |status| status.held == 1).await;
        // The status keeps neither end alive.
        let kept = if keep_handle {
            drop(events);
            (Some(handle), None)
        } else {
            drop(handle);
            (None, Some(events))
        };
        two.status("it has left", |status| status.connected == 0).await;
        drop(kept);
    }
}

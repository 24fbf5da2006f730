//! Thirty real nodes in one process, over QUIC and TCP on loopback.
//!
//! This takes tens of seconds: every node opens some 30 connections while it joins (Kademlia's bootstrap
//! visits everybody once), each with a full handshake in a debug build, and what is not needed falls idle
//! only after 10 s.

use std::collections::BTreeSet;

use starling_net::NetCommand;
use starling_wire::envelope::TopicId;

use crate::support::{Manner, Node, QUIC, TCP, config};

const NODES: u8 = 30;
const KILLED: usize = 8;

/// A third each speaks QUIC, TCP, both; everybody dials both.
fn listen(number: u8) -> &'static [&'static str] {
    match number % 3 {
        0 => &[QUIC, TCP],
        1 => &[QUIC],
        _ => &[TCP],
    }
}

fn start_on(runtime: &tokio::runtime::Runtime, config: starling_net::NetConfig) -> Node {
    let _context = runtime.enter();
    Node::start(config, Manner::Takes)
}

async fn gossip_reaches_all(nodes: &mut [Node], mark: u8) {
    let bytes = vec![mark; 2_048];
    let publish = NetCommand::Publish { request: mark.into(), topic: TopicId(0), bytes: bytes.clone() };
    nodes[0].ask(publish).await;
    nodes[0].heard("published", |heard| heard.done.contains(&(mark.into(), Ok(())))).await;
    for node in &mut nodes[1..] {
        node.heard("the envelope", |heard| heard.gossip.contains(&bytes)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_nodes_converge_gossip_and_survive_deaths() {
    let started = std::time::Instant::now();
    let mortal = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = start_on(&mortal, config("converge", 0, listen(0)));
    let seed = first.address().await;
    let mut nodes = vec![first];
    for number in 1..NODES {
        let mut config = config("converge", number, listen(number));
        config.peers.push(seed.clone());
        nodes.push(if usize::from(number) < KILLED {
            start_on(&mortal, config)
        } else {
            Node::start(config, Manner::Takes)
        });
        // Starts are staggered by the time a node needs to know somebody, as a testnet's are.
        nodes[usize::from(number)].status("joined", |status| status.held > 0).await;
    }
    for node in &nodes {
        node.status("eight links", |status| status.held >= 8 && status.in_shard >= 8).await;
    }
    println!("everybody has eight links after {:?}", started.elapsed());
    gossip_reaches_all(&mut nodes, 1).await;
    for node in &nodes {
        // Some may be linked to everybody; what is not linked is in the mesh, ten at most.
        let used = |status: &starling_net::NetStatus| status.held >= 8 && status.connected <= status.held + 10;
        node.status("connections without use fall away", used).await;
    }
    let connected: Vec<usize> = nodes.iter().map(|node| node.handle.status().borrow().connected).collect();
    println!("connections after {:?}: {connected:?}", started.elapsed());

    // Deaths without a farewell, the seed among them: their runtime stops where it stands.
    let dead: Vec<Node> = nodes.drain(..KILLED).collect();
    let killed: BTreeSet<_> = dead.iter().map(|node| node.handle.node()).collect();
    mortal.shutdown_background();
    for node in &mut nodes {
        let node_key = node.handle.node();
        let mut status = node.handle.status();
        loop {
            let peers = node.handle.peers().await;
            let alive = peers.iter().filter(|peer| peer.held && !killed.contains(&peer.node)).count();
            if alive >= 8 && peers.iter().all(|peer| !killed.contains(&peer.node)) {
                break;
            }
            let changed = tokio::time::timeout(crate::support::DEADLINE, status.changed()).await;
            assert!(changed.is_ok(), "{node_key:?} stays with {alive} links");
        }
    }
    println!("recovered after {:?}", started.elapsed());
    gossip_reaches_all(&mut nodes, 2).await;
    for node in &nodes {
        let heard = node.heard.lock().unwrap();
        assert_eq!(heard.contradictions, 0);
        assert!(heard.up.len() >= 8);
    }
}

//! Two nodes, and a few: what a link carries, and what the layers above are told.

use std::time::Instant;

use crate::support::{DEADLINE, Manner, Node, QUIC, TCP, config};
use starling_net::{NetCommand, NetEvent, OpenError, Refusal, start};
use starling_wire::envelope::TopicId;
use starling_wire::limits::{CELL_LARGE_BYTES, CELL_SMALL_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

async fn pair(network: &str, listen: &str, manner: Manner) -> (Node, Node) {
    let one = Node::start(config(network, 1, &[listen]), manner);
    let mut joining = config(network, 2, &[listen]);
    joining.peers.push(one.address().await);
    let two = Node::start(joining, Manner::Takes);
    for node in [&one, &two] {
        node.status("linked", |status| status.held == 1 && status.in_shard == 1).await;
    }
    (one, two)
}

async fn link(node: &mut Node) -> starling_net::LinkId {
    node.heard("a link is up", |heard| !heard.up.is_empty()).await;
    node.links()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_nodes_that_know_one_address_link_to_everybody() {
    let started = Instant::now();
    let first = Node::start(config("eight", 1, &[QUIC, TCP]), Manner::Takes);
    let seed = first.address().await;
    let mut nodes = vec![first];
    for number in 2..=8 {
        let mut config = config("eight", number, &[QUIC, TCP]);
        config.peers.push(seed.clone());
        nodes.push(Node::start(config, Manner::Takes));
    }
    for node in &nodes {
        node.status("everybody is linked to everybody", |status| status.held == 7).await;
    }
    println!("8 nodes linked to everybody after {:?}", started.elapsed());
}

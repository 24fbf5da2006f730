//! Peers that do not keep to the protocol: a bare libp2p swarm against a node of ours. Each time the node
//! must stay alive and useful to others, and the peer must pay.

use std::collections::BTreeSet;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, gossipsub, kad, noise, tcp, yamux};
use starling_net::NetCommand;
use starling_wire::descriptor::NodeDescriptor;
use starling_wire::limits::CELL_SMALL_BYTES;
use starling_wire::link_frame::{Hold, LinkFrame, RefusalReason};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{DEADLINE, Manner, Node, QUIC, TCP, config, parameters};

#[derive(NetworkBehaviour)]
struct Bare {
    streams: libp2p_stream::Behaviour,
    gossip: gossipsub::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

/// A swarm that does as it is told, connected to a node.
struct Peer {
    control: libp2p_stream::Control,
    target: PeerId,
    /// Connections to the target.
    connections: watch::Receiver<usize>,
    /// Whether the target's subscription has come.
    subscribed: watch::Receiver<bool>,
    /// Messages that left.
    published: watch::Receiver<usize>,
    /// Providers that the DHT named.
    providers: watch::Receiver<BTreeSet<PeerId>>,
    /// Values asked for that nobody has.
    missing: watch::Receiver<usize>,
    key: SigningKey,
    network: &'static str,
    orders: tokio::sync::mpsc::UnboundedSender<Order>,
}

enum Order {
    Publish(Vec<u8>),
    Provide(usize),
    /// Ask for the providers of these keys.
    Find(Vec<Vec<u8>>),
    /// Store a value.
    Put(Vec<u8>),
    Get(Vec<u8>),
    Dial,
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Peer {
    async fn connect(network: &'static str, seed: u8, to: &Node) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let gossip = gossipsub::ConfigBuilder::default()
            .validation_mode(gossipsub::ValidationMode::None)
            .max_transmit_size(1 << 20)
            .message_id_fn(|message| gossipsub::MessageId::from(&blake3::hash(&message.data).as_bytes()[..20]))
            .build()
            .unwrap();
        let topic = gossipsub::IdentTopic::new(parameters(network).gossip_topic(starling_wire::envelope::TopicId(0)));
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_quic()
            .with_behaviour(|key| {
                let local = key.public().to_peer_id();
                let name = StreamProtocol::try_from_owned(parameters(network).protocol("kad/1")).unwrap();
                let mut gossip: gossipsub::Behaviour =
                    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, gossip).unwrap();
                gossip.subscribe(&topic).unwrap();
                Bare {
                    streams: libp2p_stream::Behaviour::new(),
                    gossip,
                    kad: kad::Behaviour::with_config(
                        local,
                        kad::store::MemoryStore::new(local),
                        kad::Config::new(name),
                    ),
                }
            })
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let address = to.address().await;
        let target = to.handle.node().peer_id();
        let (count, connections) = watch::channel(0);
        let (heard, subscribed) = watch::channel(false);
        let (sent, published) = watch::channel(0);
        let (found, providers) = watch::channel(BTreeSet::new());
        let (miss, missing) = watch::channel(0);
        let (orders, mut order) = tokio::sync::mpsc::unbounded_channel();
        let control = swarm.behaviour().streams.new_control();
        swarm.behaviour_mut().kad.add_address(&target, address.clone());
        swarm.dial(address.clone()).unwrap();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { .. } => count.send_modify(|count| *count += 1),
                        SwarmEvent::ConnectionClosed { .. } => count.send_modify(|count| *count -= 1),
                        SwarmEvent::Behaviour(BareEvent::Gossip(gossipsub::Event::Subscribed { .. })) => {
                            heard.send_replace(true);
                        }
                        SwarmEvent::Behaviour(BareEvent::Kad(kad::Event::OutboundQueryProgressed { result, .. })) => {
                            match result {
                                kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
                                    providers, ..
                                })) => found.send_modify(|found| found.extend(providers)),
                                kad::QueryResult::GetRecord(Err(_)) => miss.send_modify(|miss| *miss += 1),
                                _ => {}
                            }
                        }
                        _ => {}
                    },
                    order = order.recv() => match order {
                        Some(Order::Publish(bytes)) => {
                            let done = swarm.behaviour_mut().gossip.publish(topic.clone(), bytes).is_ok();
                            sent.send_modify(|sent| *sent += usize::from(done));
                        }
                        Some(order) => obey(&mut swarm, order, &address),
                        None => return,
                    },
                }
            }
        });
        let mut peer =
            Self { control, target, connections, subscribed, published, providers, missing, key, network, orders };
        peer.connections("it is connected", |count| count > 0).await;
        let subscribed = timeout(DEADLINE, peer.subscribed.wait_for(|subscribed| *subscribed)).await;
        assert!(subscribed.is_ok_and(|subscribed| subscribed.is_ok()), "the node's subscription comes");
        peer
    }

    async fn connections(&mut self, what: &str, condition: impl Fn(usize) -> bool) {
        let reached = timeout(DEADLINE, self.connections.wait_for(|count| condition(*count))).await;
        assert!(reached.is_ok_and(|count| count.is_ok()), "{what}");
    }

    async fn open(&mut self, name: &str) -> Result<Stream, libp2p_stream::OpenStreamError> {
        let name = StreamProtocol::try_from_owned(parameters(self.network).protocol(name)).unwrap();
        timeout(DEADLINE, self.control.open_stream(self.target, name)).await.expect("an answer")
    }

    fn descriptor(&self) -> NodeDescriptor {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
        NodeDescriptor::sign(&self.key, [9; 32], now_ms() / 1_000 + 3_600, &[address.to_vec()]).unwrap()
    }

    fn hold(&self) -> Hold {
        Hold {
            parameters_hash: parameters(self.network).hash(),
            unix_ms: now_ms(),
            descriptor: self.descriptor(),
            others: Vec::new(),
        }
    }

    /// Sends bytes on a new `link/1` stream; the stream, and the frame that came back.
    async fn ask(&mut self, bytes: &[u8]) -> (Stream, Option<LinkFrame>) {
        let mut stream = self.open("link/1").await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let mut reader = starling_wire::link_frame::LinkFrameReader::new();
        let mut byte = [0];
        loop {
            match timeout(DEADLINE, stream.read(&mut byte)).await.expect("an answer or an end") {
                Ok(1..) => {}
                _ => return (stream, None),
            }
            if let Some(frame) = reader.read(&mut &byte[..]).unwrap() {
                return (stream, Some(frame));
            }
        }
    }

    /// Publishes, and waits until it has left as the `count`th.
    async fn publish(&mut self, bytes: Vec<u8>, count: usize) {
        self.orders.send(Order::Publish(bytes)).ok().unwrap();
        let sent = timeout(DEADLINE, self.published.wait_for(|published| *published >= count)).await;
        assert!(sent.is_ok_and(|sent| sent.is_ok()), "it leaves");
    }

    /// Asks for a link as it should be done, until it gets one: a Hold a second is the node's limit.
    async fn link(&mut self) -> Stream {
        let hold = LinkFrame::Hold(self.hold()).encode().unwrap();
        loop {
            if let (stream, Some(LinkFrame::Ok(_))) = self.ask(&hold).await {
                return stream;
            }
        }
    }
}

fn obey(swarm: &mut libp2p::Swarm<Bare>, order: Order, address: &Multiaddr) {
    match order {
        Order::Publish(_) => {}
        Order::Find(keys) => {
            for key in keys {
                swarm.behaviour_mut().kad.get_providers(kad::RecordKey::new(&key));
            }
        }
        Order::Put(key) => {
            let record = kad::Record::new(key, b"a value".to_vec());
            let _ = swarm.behaviour_mut().kad.put_record(record, kad::Quorum::One);
        }
        Order::Get(key) => drop(swarm.behaviour_mut().kad.get_record(kad::RecordKey::new(&key))),
        Order::Dial => drop(swarm.dial(address.clone())),
        Order::Provide(keys) => {
            for number in 0..keys as u32 {
                let mut key = vec![0x12, 0x20];
                key.resize(34, 0);
                key[2..6].copy_from_slice(&number.to_le_bytes());
                let _ = swarm.behaviour_mut().kad.start_providing(kad::RecordKey::new(&key));
            }
        }
    }
}

async fn node(network: &str) -> Node {
    Node::start(config(network, 1, &[QUIC]), Manner::Takes)
}

/// A newcomer links to the node and pushes a cell.
async fn still_serves(node: &mut Node, network: &str) {
    let mut newcomer = config(network, 77, &[QUIC]);
    newcomer.peers.push(node.address().await);
    let mut newcomer = Node::start(newcomer, Manner::Takes);
    newcomer.status("a newcomer links", |status| status.held >= 1).await;
    let peers = newcomer.handle.peers().await;
    let to_node = peers.iter().find(|peer| peer.node == node.handle.node()).unwrap().link;
    let cell = vec![3; CELL_SMALL_BYTES];
    // On a busy machine one may take longer than a push may.
    for request in 1.. {
        newcomer.ask(NetCommand::Push { request, link: to_node, cell: cell.clone() }).await;
        newcomer.heard("an answer", |heard| heard.done.last().is_some_and(|(done, _)| *done == request)).await;
        if newcomer.heard.lock().unwrap().done.last() == Some(&(request, Ok(()))) {
            break;
        }
    }
    while timeout(DEADLINE, node.pushes.recv()).await.expect("the cell").unwrap().1 != cell {}
}

#[tokio::test(flavor = "multi_thread")]
async fn link_frames_that_break_the_protocol_cost_the_connection() {
    let good = |peer: &Peer| peer.hold();
    let oversized = |_: &Peer| u32::MAX.to_le_bytes().iter().chain(&[1, 0]).copied().collect::<Vec<u8>>();
    let unknown = |_: &Peer| vec![3, 0, 0, 0, 99, 0, 0];
    let garbage = |_: &Peer| [&[203, 0, 0, 0, 1, 0, 1][..], &[0xff; 200]].concat();
    let stolen = move |peer: &Peer| {
        // Somebody else's descriptor on this connection.
        let other = SigningKey::from_bytes(&[200; 32]);
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
        let descriptor = NodeDescriptor::sign(&other, [9; 32], now_ms() / 1_000 + 60, &[address.to_vec()]).unwrap();
        LinkFrame::Hold(Hold { descriptor, ..good(peer) }).encode().unwrap()
    };
    let forged = move |peer: &Peer| {
        // A member that was never signed by its key.
        let mut bytes = peer.descriptor().as_bytes().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let others = vec![NodeDescriptor::parse(&bytes).unwrap()];
        LinkFrame::Hold(Hold { others, ..good(peer) }).encode().unwrap()
    };
    let attacks: [&dyn Fn(&Peer) -> Vec<u8>; 5] = [&oversized, &unknown, &garbage, &stolen, &forged];
    let mut node = node("frames").await;
    let mut blocked = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        let mut peer = Peer::connect("frames", 100 + number as u8, &node).await;
        let bytes = attack(&peer);
        assert_eq!(peer.ask(&bytes).await.1, None, "attack {number} gets no answer");
        peer.connections("the connection is closed", |count| count == 0).await;
        node.status("on both ends", |status| status.connected == 0).await;
        // It is blocked: a new connection ends at once.
        let _ = peer.orders.send(Order::Dial);
        blocked.push(peer);
    }
    still_serves(&mut node, "frames").await;
    let blocked: Vec<[u8; 32]> = blocked.iter().map(|peer| peer.key.verifying_key().to_bytes()).collect();
    assert!(node.handle.peers().await.iter().all(|peer| !blocked.contains(&peer.node.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_frame_is_no_crime_and_a_hanging_one_ends() {
    let mut node = node("cut").await;
    let mut peer = Peer::connect("cut", 110, &node).await;
    let hold = LinkFrame::Hold(peer.hold()).encode().unwrap();
    let mut stream = peer.open("link/1").await.unwrap();
    stream.write_all(&hold[..hold.len() / 2]).await.unwrap();
    stream.close().await.unwrap();
    assert!(matches!(timeout(DEADLINE, stream.read(&mut [0])).await.expect("an end"), Ok(0) | Err(_)));
    // The same peer may still link; its second stream hangs meanwhile, and is ended by the node.
    let link = peer.link().await;
    let (hanging, ()) = tokio::join!(hang(&mut peer), still_serves(&mut node, "cut"));
    assert!(matches!(hanging, Ok(0) | Err(_)), "the node ends it");
    drop(link);
}

/// Opens streams until one is accepted, says nothing on it, and waits for its end.
async fn hang(peer: &mut Peer) -> std::io::Result<usize> {
    let mut stream = peer.open("link/1").await.unwrap();
    timeout(DEADLINE, stream.read(&mut [0])).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_parameters_get_their_reason_and_no_penalty() {
    let mut node = node("mismatch").await;
    let mut peer = Peer::connect("mismatch", 120, &node).await;
    let mut hold = peer.hold();
    hold.parameters_hash = [0; 32];
    let refused = peer.ask(&LinkFrame::Hold(hold).encode().unwrap()).await.1;
    assert_eq!(refused, Some(LinkFrame::Refused(RefusalReason::WRONG_PARAMETERS)));
    node.heard("it is told", |heard| heard.mismatches == 1).await;
    peer.connections("the connection is closed", |count| count == 0).await;
    let _ = peer.orders.send(Order::Dial);
    peer.connections("and may come back", |count| count > 0).await;
    peer.link().await;
    let other_version = [&[205, 0, 0, 0, 1, 0, 9][..], &[0; 202]].concat();
    let mut second = Peer::connect("mismatch", 121, &node).await;
    let refused = second.ask(&other_version).await.1;
    assert_eq!(refused, Some(LinkFrame::Refused(RefusalReason::WRONG_VERSION)));
    still_serves(&mut node, "mismatch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_of_a_wrong_length_and_streams_without_a_link_get_nothing() {
    let mut node = node("cells").await;
    let mut peer = Peer::connect("cells", 130, &node).await;
    let mut early = peer.open("push/1").await.unwrap();
    let _ = early.write_all(&[1; CELL_SMALL_BYTES]).await;
    let _ = early.close().await;
    assert!(matches!(timeout(DEADLINE, early.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)), "not linked");
    let _link = peer.link().await;
    for bytes in [0, 1, CELL_SMALL_BYTES - 1, CELL_SMALL_BYTES + 1, 100_000] {
        let mut stream = peer.open("push/1").await.unwrap();
        let _ = stream.write_all(&vec![1; bytes]).await;
        let _ = stream.close().await;
        assert!(matches!(timeout(DEADLINE, stream.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)), "{bytes}");
    }
    let mut stream = peer.open("push/1").await.unwrap();
    stream.write_all(&[1; CELL_SMALL_BYTES]).await.unwrap();
    stream.close().await.unwrap();
    let mut answer = [9];
    timeout(DEADLINE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, [0], "a right one is taken");
    still_serves(&mut node, "cells").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_do_no_harm() {
    let mut node = node("streams").await;
    for (number, name) in ["push/1", "sync/1", "link/1"].into_iter().enumerate() {
        // Left hanging, all of them: the transport's own limit is soon reached.
        let mut peer = Peer::connect("streams", 140 + number as u8, &node).await;
        let _link = peer.link().await;
        let mut hanging = Vec::new();
        while hanging.len() < 10_000
            && let Ok(mut stream) = peer.open(name).await
        {
            let _ = stream.write_all(&[1]).await;
            hanging.push(stream);
        }
        assert!(hanging.len() < 1_000, "{name}: {} streams", hanging.len());

        // Opened and dropped: what is refused counts, and what is not is gone at once.
        let mut peer = Peer::connect("streams", 150 + number as u8, &node).await;
        let _link = peer.link().await;
        for _ in 0..10_000 {
            match peer.open(name).await {
                Ok(mut stream) => drop(stream.write_all(&[1]).await),
                Err(_) => break,
            }
        }
    }
    still_serves(&mut node, "streams").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_gossip_goes_nowhere() {
    let mut node = node("gossip").await;
    let mut peer = Peer::connect("gossip", 150, &node).await;
    node.status("the peer subscribes", |status| status.in_shard == 1).await;
    peer.publish(vec![1; 100_000], 1).await;
    still_serves(&mut node, "gossip").await;
    assert!(node.heard.lock().unwrap().gossip.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_of_provider_records_is_survived() {
    let mut node = Node::start(config("providers", 1, &[TCP]), Manner::Takes);
    let peer = Peer::connect("providers", 160, &node).await;
    // What is kept of it is bounded by the gate, which has a test of its own.
    peer.orders.send(Order::Provide(1_000)).ok().unwrap();
    still_serves(&mut node, "providers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_costs_its_sender_alone() {
    let mut node = Node::start(config("rejects", 1, &[QUIC]), Manner::Refuses);
    let mut peer = Peer::connect("rejects", 170, &node).await;
    node.status("the peer subscribes", |status| status.in_shard == 1).await;
    for number in 0..3u8 {
        peer.publish(vec![number; 2_048], 1 + usize::from(number)).await;
        node.heard("it is heard", |heard| heard.gossip.contains(&vec![number; 2_048])).await;
    }
    // After the third invalid one nothing of the peer is read any more; others are.
    for number in 3..60u8 {
        peer.publish(vec![number; 2_048], 1 + usize::from(number)).await;
    }
    let mut newcomer = config("rejects", 77, &[QUIC]);
    newcomer.peers.push(node.address().await);
    let mut newcomer = Node::start(newcomer, Manner::Takes);
    newcomer.status("linked", |status| status.held >= 1 && status.in_shard >= 1).await;
    let publish =
        NetCommand::Publish { request: 1, topic: starling_wire::envelope::TopicId(0), bytes: vec![200; 2_048] };
    newcomer.ask(publish).await;
    node.heard("another's message", |heard| heard.gossip.contains(&vec![200; 2_048])).await;
    newcomer.heard("published", |heard| heard.done == [(1, Ok(()))]).await;
    assert!(node.heard.lock().unwrap().gossip.len() < 60, "of 60 and one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dht_leads_from_a_topic_to_its_nodes_and_stores_no_values() {
    let first = node("dht").await;
    let mut second = config("dht", 2, &[QUIC]);
    second.peers.push(first.address().await);
    let second = Node::start(second, Manner::Takes);
    second.status("linked", |status| status.held == 1).await;
    let mut peer = Peer::connect("dht", 180, &first).await;
    let network = parameters("dht");
    let today = starling_wire::network::day_of(starling_wire::envelope::Epoch::from_unix_ms(now_ms()));
    // The day may turn while the test runs.
    let keys: Vec<Vec<u8>> = (today..=today + 1)
        .flat_map(|day| (0..8).map(move |index| (day, index)))
        .map(|(day, index)| {
            let topic = starling_wire::envelope::TopicId(0);
            starling_wire::network::provider_key(&network.id(), topic, day, index).to_vec()
        })
        .collect();
    let wanted: BTreeSet<PeerId> = [&first, &second].iter().map(|node| node.handle.node().peer_id()).collect();
    let asking = async {
        // Announced once the routing tables are filled; asked again until then.
        let mut again = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                found = peer.providers.wait_for(|found| wanted.is_subset(found)) => return found.is_ok(),
                _ = again.tick() => peer.orders.send(Order::Find(keys.clone())).ok().unwrap(),
            }
        }
    };
    assert_eq!(timeout(DEADLINE, asking).await, Ok(true), "both are announced");

    let mut other = Peer::connect("dht", 181, &first).await;
    peer.orders.send(Order::Put(b"key".to_vec())).ok().unwrap();
    still_serves(&mut node("dht").await, "dht").await;
    other.orders.send(Order::Get(b"key".to_vec())).ok().unwrap();
    let missing = timeout(DEADLINE, other.missing.wait_for(|missing| *missing > 0)).await;
    assert!(missing.is_ok_and(|missing| missing.is_ok()), "nobody kept the value");
}

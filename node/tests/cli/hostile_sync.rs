//! Neighbours that break the reconciliation's protocol, against the real node: it costs them their link, and nobody
//! else anything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use starling_net::{LinkId, NetConfig, NetEvent, NetEvents, NetHandle, PeerInfo, SyncStream, start};
use starling_wire::envelope::{Epoch, EpochRange, TopicId};
use starling_wire::network::NetworkParameters;
use starling_wire::sync_frame::{Body, SyncFrame, SyncHello, SyncId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::harness::{DEADLINE, Home};
use crate::talk::Pair;

/// Resident memory by which a node may have grown when all of them are gone. What they claim to send would be gigabytes.
const GROWTH_MAX_KB: u64 = 32 * 1024;

/// Between two looks at who is linked, when nothing happens.
const LOOK: Duration = Duration::from_millis(500);

/// A node of the network layer alone: what its streams carry is up to the test.
struct Neighbour {
    net: NetHandle,
    events: NetEvents,
    link: LinkId,
}

impl Neighbour {
    /// Links to the node at `address`.
    async fn of(network: &str, address: &str, seed: u8) -> Self {
        let mut node_key = Zeroizing::new([seed; 32]);
        node_key[0] = 0x77;
        let config = NetConfig {
            parameters: NetworkParameters::test(network),
            node_key,
            onion_public: [9; 32],
            topic: TopicId(0),
            listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()],
            external_addresses: Vec::new(),
            mdns: false,
            peer_cache: Vec::new(),
            seeds: Vec::new(),
            peers: vec![address.parse().unwrap()],
        };
        let (net, mut events) = start(config).unwrap();
        let wait = async {
            let mut up = BTreeSet::new();
            loop {
                // Links come up before and after the peers list tells whose they are: both are looked at again.
                match timeout(LOOK, events.next()).await {
                    Ok(Some(NetEvent::LinkUp { link, .. })) => drop(up.insert(link)),
                    Ok(Some(NetEvent::LinkDown { link })) => drop(up.remove(&link)),
                    Ok(None) => panic!("the network ended"),
                    Ok(Some(_)) | Err(_) => {}
                }
                let peers = net.peers().await;
                let is_wanted = |peer: &&PeerInfo| address.ends_with(&peer.node.peer_id().to_string());
                if let Some(peer) = peers.iter().find(is_wanted).filter(|peer| up.contains(&peer.link)) {
                    return peer.link;
                }
            }
        };
        let link = timeout(DEADLINE, wait).await.expect("a link");
        Self { net, events, link }
    }

    /// Opens a reconciliation and sends `bytes`.
    async fn say(&self, bytes: &[u8]) -> SyncStream {
        let mut stream = self.net.open_sync(self.link).await.expect("a stream");
        // The node may have hung up before it was all said.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        stream
    }

    /// Waits until the node has closed the link.
    async fn is_cut_off(&mut self, what: &str) {
        let wait = async {
            loop {
                match self.events.next().await {
                    Some(NetEvent::LinkDown { link }) if link == self.link => return,
                    Some(_) => {}
                    None => panic!("the network ended"),
                }
            }
        };
        assert!(timeout(DEADLINE, wait).await.is_ok(), "{what}: still linked");
    }
}

/// Reads until the node ends the stream.
async fn ends(stream: &mut SyncStream, what: &str) {
    let reading = async {
        let mut buffer = [0; 4_096];
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    };
    assert!(timeout(DEADLINE, reading).await.is_ok(), "{what}: the stream stays open");
}

fn hello() -> Vec<u8> {
    let unix_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let unix_ms = u64::try_from(unix_ms).unwrap();
    let newest = Epoch::from_unix_ms(unix_ms);
    let window = EpochRange { first: newest.minus(2), last: newest };
    SyncFrame::Hello(SyncHello { salt: [3; 16], oldest_hour: newest.minus(2), window, unix_ms }).encode().unwrap()
}

/// What breaks the protocol, each said on a link of its own.
fn crimes() -> Vec<(&'static str, Vec<u8>)> {
    let after_hello = |more: Vec<u8>| [hello(), more].concat();
    let negentropy = SyncFrame::Negentropy(vec![0x61; 40]).encode().unwrap();
    let unasked = SyncFrame::Bodies(vec![Body::Absent(SyncId([7; 20]))]).encode().unwrap();
    vec![
        ("a frame of four gigabytes", [&u32::MAX.to_le_bytes()[..], &[1, 0]].concat()),
        ("an unknown kind", vec![3, 0, 0, 0, 99, 0, 0]),
        ("noise", [&[203, 0, 0, 0, 1, 0, 1][..], &[0xff; 200]].concat()),
        ("a message before the hello", negentropy.clone()),
        ("a second hello", after_hello(hello())),
        ("bodies that nobody asked for", after_hello(unasked)),
        ("a message of no version", after_hello(SyncFrame::Negentropy(vec![0xff; 200]).encode().unwrap())),
    ]
}

fn texts(home: &Home) -> Vec<String> {
    let log = home.run(&["log", "Ana", "--json"]).json();
    log["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_neighbour_that_breaks_the_protocol_of_reconciliations_loses_its_link_and_harms_nobody() {
    let pair = Pair::new(&[]);
    let address = pair.ana_node.ready["addresses"][0].as_str().unwrap().to_owned();
    let before_kb = resident_kb(pair.ana_node.pid());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // These stay for as long as the test: streams left hanging in the middle of a frame.
    let hanging = runtime.block_on(async {
        let neighbour = Neighbour::of(&pair.network, &address, 40).await;
        let streams = [neighbour.say(&hello()[..9]).await, neighbour.say(&hello()).await];
        (neighbour, streams)
    });
    runtime.block_on(async {
        for (seed, (crime, bytes)) in (50..).zip(crimes()) {
            let mut neighbour = Neighbour::of(&pair.network, &address, seed).await;
            let mut stream = neighbour.say(&bytes).await;
            neighbour.is_cut_off(crime).await;
            ends(&mut stream, crime).await;
        }
        // A cut frame is no crime: lines break.
        let neighbour = Neighbour::of(&pair.network, &address, 49).await;
        let mut stream = neighbour.say(&hello()[..20]).await;
        let _ = stream.shutdown().await;
        ends(&mut stream, "a cut frame").await;
        assert!(neighbour.net.peers().await.iter().any(|peer| peer.link == neighbour.link && peer.held));
    });
    // What Bob missed comes by reconciliation, from the same node. Carol carries: Ana's own node is not seen to begin it.
    let carol = Home::new();
    let _carol_node = carol.start(&pair.network);
    carol.run(&["peers", "add", &address]).ok();
    pair.bob_node.stop();
    pair.ana.run(&["send", "Bob", "while you were away", "--wait", "sent"]).ok();
    let _bob_node = pair.bob.start(&pair.network);
    pair.ana.run(&["send", "Bob", "and now", "--wait", "delivered"]).ok();
    let expected = ["the first one", "while you were away", "and now"];
    // Pushed mail may overtake what comes by reconciliation.
    let deadline = Instant::now() + DEADLINE;
    while texts(&pair.bob) != expected {
        assert!(Instant::now() < deadline, "{:?}", texts(&pair.bob));
    }
    let grown_kb = resident_kb(pair.ana_node.pid()).saturating_sub(before_kb);
    assert!(grown_kb <= GROWTH_MAX_KB, "grown by {grown_kb} KB");
    drop(hanging);
    runtime.shutdown_timeout(Duration::from_secs(1));
    let done = pair.ana_node.stop();
    assert!(!done.err.contains("panicked"), "{done:?}");
}

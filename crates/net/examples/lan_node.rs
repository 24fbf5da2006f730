//! A node that knows nobody and looks for others on the local network by mDNS.
//!
//! `lan_node SEED` prints `linked` once it holds a link with a neighbour, and runs until its standard input
//! ends. SEED (0 to 255) makes its keys: this is for trying things out, not for talking.

use std::io::Read;

use starling_net::{NetConfig, NetEvent, start};
use starling_wire::envelope::TopicId;
use starling_wire::network::{NetworkParameters, Scope};
use zeroize::Zeroizing;

fn main() {
    let seed: u8 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("usage: lan_node SEED");
    let config = NetConfig {
        parameters: NetworkParameters { scope: Scope::Lan, ..NetworkParameters::test("lan-example") },
        node_key: Zeroizing::new([seed; 32]),
        onion_public: [seed; 32],
        topic: TopicId(0),
        listen: vec![
            "/ip4/0.0.0.0/udp/0/quic-v1".parse().expect("an address"),
            "/ip4/0.0.0.0/tcp/0".parse().expect("an address"),
        ],
        external_addresses: Vec::new(),
        mdns: true,
        peer_cache: Vec::new(),
        seeds: Vec::new(),
        peers: Vec::new(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.spawn(async move {
        let (_handle, mut events) = start(config).expect("the network starts");
        while let Some(event) = events.next().await {
            match event {
                NetEvent::LinkUp { .. } => println!("linked"),
                NetEvent::ListenFailed { message, .. } => println!("cannot listen: {message}"),
                _ => {}
            }
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

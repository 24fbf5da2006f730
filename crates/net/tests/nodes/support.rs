//! Real nodes on loopback for the tests of this crate: each with a port of the system's choice, each with
//! a task that answers gossip and remembers what came.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use starling_net::{
    Acceptance, CachedPeer, LinkId, Multiaddr, NetCommand, NetConfig, NetEvent, NetHandle, NetStatus, NodeKey,
    SyncStream, start,
};
use starling_wire::envelope::TopicId;
use starling_wire::network::NetworkParameters;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long a test waits for something that must happen. Generous: two busy cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// What a node heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Gossip messages, by content.
    pub(crate) gossip: BTreeSet<Vec<u8>>,
    /// Links that are up now.
    pub(crate) up: BTreeSet<LinkId>,
    /// LinkDown events.
    pub(crate) downs: usize,
    /// LinkUp events that repeated one, or LinkDown events without one.
    pub(crate) contradictions: usize,
    /// Results of publishes and pushes.
    pub(crate) done: Vec<(u64, Result<(), starling_net::Refusal>)>,
    /// Parameter mismatches.
    pub(crate) mismatches: usize,
    /// The latest peer cache.
    pub(crate) cache: Vec<CachedPeer>,
    /// The last LinkUp's clock offset.
    pub(crate) clock_offset_ms: Option<i64>,
    /// Addresses that could not be listened on, whether they were in use, and the system's words.
    pub(crate) listen_failed: Vec<(Multiaddr, bool, String)>,
}

/// What a node does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes everything.
    Takes,
    /// Refuses pushes, rejects gossip.
    Refuses,
    /// Reads all events and answers nothing.
    Mute,
}

/// A running node.
pub(crate) struct Node {
    pub(crate) handle: NetHandle,
    pub(crate) heard: Arc<Mutex<Heard>>,
    changed: watch::Receiver<u64>,
    /// Inbound sync streams and pushes, for tests that look at them.
    pub(crate) syncs: mpsc::Receiver<(LinkId, SyncStream)>,
    pub(crate) pushes: mpsc::Receiver<(LinkId, Vec<u8>)>,
}

/// The parameters of a test's own network. Pushes get the time that they have on `main`: these tests share
/// two busy cores.
pub(crate) fn parameters(network: &str) -> NetworkParameters {
    NetworkParameters { push_timeout_ms: 5_000, ..NetworkParameters::test(network) }
}

/// A config that listens as told and knows nobody.
pub(crate) fn config(network: &str, seed: u8, listen: &[&str]) -> NetConfig {
    let mut node_key = Zeroizing::new([seed; 32]);
    node_key[0] = 0x5a;
    NetConfig {
        parameters: parameters(network),
        node_key,
        onion_public: [seed; 32],
        topic: TopicId(0),
        listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
        external_addresses: Vec::new(),
        mdns: false,
        peer_cache: Vec::new(),
        seeds: Vec::new(),
        peers: Vec::new(),
    }
}

pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";

impl Node {
    /// Starts a node.
    pub(crate) fn start(config: NetConfig, manner: Manner) -> Self {
        let (handle, mut events) = start(config).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (bump, changed) = watch::channel(0);
        let (sync_sender, syncs) = mpsc::channel(64);
        let (push_sender, pushes) = mpsc::channel(1_024);
        let (commands, store) = (handle.clone(), heard.clone());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                answer(event, manner, &commands, &store, &sync_sender, &push_sender).await;
                bump.send_modify(|count| *count += 1);
            }
        });
        Self { handle, heard, changed, syncs, pushes }
    }

    /// Waits until `condition` holds of what was heard.
    pub(crate) async fn heard(&mut self, what: &str, condition: impl Fn(&Heard) -> bool) {
        let heard = self.heard.clone();
        let waiting = self.changed.wait_for(|_| condition(&heard.lock().unwrap()));
        if timeout(DEADLINE, waiting).await.is_err() {
            panic!("{what}: {:?}", self.heard.lock().unwrap());
        }
    }

    /// Waits until `condition` holds of the status.
    pub(crate) async fn status(&self, what: &str, condition: impl Fn(&NetStatus) -> bool) -> NetStatus {
        let mut status = self.handle.status();
        let reached = timeout(DEADLINE, status.wait_for(|now| condition(now))).await.map(|now| now.is_ok());
        assert_eq!(reached, Ok(true), "{what}: {:?}", status.borrow());
        status.borrow().clone()
    }

    /// The first address it listens on, with its peer id.
    pub(crate) async fn address(&self) -> Multiaddr {
        let status = self.status("listens", |status| !status.listening.is_empty()).await;
        named(&status.listening[0], self.handle.node())
    }

    /// Its links.
    pub(crate) fn links(&self) -> Vec<LinkId> {
        self.heard.lock().unwrap().up.iter().copied().collect()
    }

    /// Sends a command.
    pub(crate) async fn ask(&self, command: NetCommand) {
        self.handle.send(command).await.unwrap();
    }
}

/// An address with the peer id of a node.
pub(crate) fn named(address: &Multiaddr, node: NodeKey) -> Multiaddr {
    address.clone().with_p2p(node.peer_id()).unwrap()
}

async fn answer(
    event: NetEvent,
    manner: Manner,
    handle: &NetHandle,
    heard: &Mutex<Heard>,
    syncs: &mpsc::Sender<(LinkId, SyncStream)>,
    pushes: &mpsc::Sender<(LinkId, Vec<u8>)>,
) {
    match event {
        NetEvent::Gossip { token, bytes, .. } => {
            heard.lock().unwrap().gossip.insert(bytes);
            let verdict = match manner {
                Manner::Takes => Acceptance::Accept,
                Manner::Refuses => Acceptance::Reject,
                Manner::Mute => return,
            };
            let _ = handle.send(NetCommand::Verdict { token, verdict }).await;
        }
        NetEvent::Push { link, ticket, cell } => {
            let _ = pushes.try_send((link, cell));
            if manner != Manner::Mute {
                let taken = manner == Manner::Takes;
                let _ = handle.send(NetCommand::AnswerPush { ticket, taken }).await;
            }
        }
        NetEvent::SyncInbound { link, stream } => drop(syncs.try_send((link, stream))),
        NetEvent::LinkUp { link, clock_offset_ms, .. } => {
            let mut heard = heard.lock().unwrap();
            heard.contradictions += usize::from(!heard.up.insert(link));
            heard.clock_offset_ms = Some(clock_offset_ms);
        }
        NetEvent::LinkDown { link } => {
            let mut heard = heard.lock().unwrap();
            heard.contradictions += usize::from(!heard.up.remove(&link));
            heard.downs += 1;
        }
        NetEvent::Done { request, result } => heard.lock().unwrap().done.push((request, result)),
        NetEvent::ParametersMismatch { .. } => heard.lock().unwrap().mismatches += 1,
        NetEvent::PeerCache(cache) => heard.lock().unwrap().cache = cache,
        NetEvent::ListenFailed { address, in_use, message } => {
            heard.lock().unwrap().listen_failed.push((address, in_use, message));
        }
        NetEvent::Listening { .. } | NetEvent::PeersChanged { .. } => {}
    }
}

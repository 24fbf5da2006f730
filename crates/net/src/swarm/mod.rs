//! The task that owns the swarm: it waits for whatever happens next and gives it to the part that knows.
//!
//! It awaits nothing else. What takes time (streams) runs in tasks of its own, and what the layers above
//! do not take in time waits in bounded queues whose overflow costs a peer or a caller, never this loop.

mod calling;
mod connections;
mod discover;
mod linking;
mod report;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, Stream, Swarm};
use rand::rngs::{StdRng, SysRng};
use rand_core::{Rng, SeedableRng};
use starling_wire::descriptor::NodeDescriptor;
use starling_wire::network::{NetworkParameters, Scope};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::sleep_until;
use zeroize::Zeroizing;

use crate::address::{GroupHasher, NodeKey};
use crate::behaviour::{self, Behaviour, BehaviourEvent};
use crate::calls::Tally;
use crate::config::{COMMAND_QUEUE, GOSSIP_CREDITS, NetConfig, NetError, REQUEST_QUEUE};
use crate::discovery::{Book, ProviderGate, Schedule, Source, seed_address};
use crate::event::{NetCommand, NetEvent, NetStatus, Refusal};
use crate::gossip::Tokens;
use crate::handle::{Lanes, NetEvents, NetHandle, Request};
use crate::links::{Plan, TICK_MS};
use crate::metering::Meter;
use crate::peers::Peers;
use crate::streams::link::LinkStream;
use report::Outbox;
use traffic::InboundCell;

/// Events that may wait in each lane.
const CONTROL_LANE: usize = 256;
const PUSH_LANE: usize = 64;
const SYNC_LANE: usize = 16;
/// Messages of stream tasks that may wait.
const STREAM_QUEUE: usize = 256;
/// Inbound streams open at once, of all peers.
const PUSHES_IN_MAX: usize = 256;
const SYNCS_IN_MAX: usize = 16;
/// Our own pushes and syncs under way.
const PUSHES_OUT_MAX: usize = 256;
const SYNCS_OUT_MAX: usize = 32;
/// At the start the plan waits this long for the first listen address, which its Hold is to name.
const LISTEN_GRACE_MS: u64 = 100;
/// How long connections may take to close at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// What a stream was asked for.
enum Purpose {
    /// `link/1` to this peer, on this connection.
    Link(NodeKey, ConnectionId),
    /// A task waits for the stream.
    Task(oneshot::Sender<Stream>),
}

/// Something happened.
enum Happened {
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    Link(LinkStream),
    Cell(InboundCell),
    Pushed(Pushed),
    Work(NetCommand),
    Request(Request),
    Unwanted,
    Told,
    Time,
}

/// How a push ended: its request, and the result.
type Pushed = (u64, Result<(), Refusal>);

struct Task {
    swarm: Swarm<Behaviour>,
    parameters: NetworkParameters,
    parameters_hash: [u8; 32],
    topic: libp2p::gossipsub::TopicHash,
    signing: SigningKey,
    onion_public: [u8; 32],
    node: NodeKey,
    rng: StdRng,
    started: Instant,

    peers: Peers,
    plan: Plan,
    plan_due: bool,
    book: Book,
    schedule: Schedule,
    gate: ProviderGate,
    dials: BTreeMap<ConnectionId, NodeKey>,
    /// Calls over QUIC alone, by which it is seen whether UDP is blocked.
    probes: BTreeMap<ConnectionId, NodeKey>,
    tally: Tally,
    blocked: BTreeMap<NodeKey, u64>,
    /// Peers to disconnect, and when.
    closing: Vec<(u64, NodeKey)>,
    bootstrapped: bool,
    lookups: usize,
    day: u64,

    listening: Vec<Multiaddr>,
    external: Vec<Multiaddr>,
    descriptor: Option<(NodeDescriptor, u64)>,

    tokens: Tokens,
    tickets: BTreeMap<u64, oneshot::Sender<bool>>,
    next_ticket: u64,
    purposes: BTreeMap<u64, Purpose>,
    next_stream: u64,

    pushes_in: Arc<Semaphore>,
    syncs_in: Arc<Semaphore>,
    pushes_out: Arc<Semaphore>,
    syncs_out: Arc<Semaphore>,

    lanes: Lanes,
    outbox: Outbox,
    work: mpsc::Receiver<NetCommand>,
    requests: mpsc::Receiver<Request>,
    link_streams: (mpsc::Sender<LinkStream>, mpsc::Receiver<LinkStream>),
    cells: (mpsc::Sender<InboundCell>, mpsc::Receiver<InboundCell>),
    pushed: (mpsc::Sender<Pushed>, mpsc::Receiver<Pushed>),
    status: watch::Sender<NetStatus>,
    next_tick_ms: u64,
    cache_at_ms: u64,
    /// Most links held at once, as far as the cache knows.
    remembered_links: usize,
    cached: Vec<crate::event::CachedPeer>,
}

/// Starts the network on the current tokio runtime: one task, which ends at [`NetHandle::shutdown`], or
/// when all handles or the events are dropped. An address that cannot be listened on is told as
/// [`NetEvent::ListenFailed`].
///
/// # Errors
/// [`NetError`] when the configuration or the system does not allow it.
pub fn start(config: NetConfig) -> Result<(NetHandle, NetEvents), NetError> {
    config.parameters.validate()?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| NetError::NoRuntime)?;
    let (work_sender, work) = mpsc::channel(COMMAND_QUEUE);
    let (requests_sender, requests) = mpsc::channel(REQUEST_QUEUE);
    let (status, status_receiver) = watch::channel(NetStatus::default());
    let (control, control_receiver) = mpsc::channel(CONTROL_LANE);
    let (pushes, pushes_receiver) = mpsc::channel(PUSH_LANE);
    let (syncs, syncs_receiver) = mpsc::channel(SYNC_LANE);
    let (gossip, gossip_receiver) = mpsc::channel(GOSSIP_CREDITS);
    let lanes = Lanes { control, pushes, syncs, gossip };
    let meter = Arc::new(Meter::default());
    let task = Task::new(config, lanes, (work, requests), status, &meter)?;
    let (requests, node) = (requests_sender, task.node);
    let handle = NetHandle { work: work_sender, requests, status: status_receiver, node, meter };
    let events = NetEvents {
        control: control_receiver,
        pushes: pushes_receiver,
        syncs: syncs_receiver,
        gossip: gossip_receiver,
    };
    runtime.spawn(task.run());
    Ok((handle, events))
}

impl Task {
    fn new(
        config: NetConfig,
        lanes: Lanes,
        (work, requests): (mpsc::Receiver<NetCommand>, mpsc::Receiver<Request>),
        status: watch::Sender<NetStatus>,
        meter: &Arc<Meter>,
    ) -> Result<Self, NetError> {
        let random = |error: rand::rngs::SysError| NetError::Transport(error.to_string());
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(random)?;
        let mut group_key = [0; 32];
        rng.fill_bytes(&mut group_key);
        let scope = config.parameters.scope;
        let signing = SigningKey::from_bytes(&config.node_key);
        let mut seed = Zeroizing::new(*config.node_key);
        let keypair =
            Keypair::ed25519_from_bytes(&mut seed[..]).map_err(|error| NetError::Transport(error.to_string()))?;
        let node = NodeKey(signing.verifying_key().to_bytes());
        let dht_server = scope != Scope::Internet || !config.external_addresses.is_empty();
        let mut task = Self {
            swarm: behaviour::build(&config, keypair, dht_server, meter)?,
            parameters_hash: config.parameters.hash(),
            topic: behaviour::gossip_topic(&config.parameters, config.topic).hash(),
            signing,
            onion_public: config.onion_public,
            node,
            started: Instant::now(),
            peers: Peers::default(),
            plan: Plan::new(scope == Scope::Internet, 0, &mut rng),
            plan_due: true,
            book: Book::new(node, scope, GroupHasher::new(group_key)),
            schedule: Schedule::new(config.parameters.id(), config.topic),
            gate: ProviderGate::default(),
            dials: BTreeMap::new(),
            probes: BTreeMap::new(),
            tally: Tally::default(),
            blocked: BTreeMap::new(),
            closing: Vec::new(),
            bootstrapped: false,
            lookups: 0,
            day: 0,
            listening: Vec::new(),
            external: config.external_addresses.clone(),
            descriptor: None,
            tokens: Tokens::default(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            purposes: BTreeMap::new(),
            next_stream: 0,
            pushes_in: Arc::new(Semaphore::new(PUSHES_IN_MAX)),
            syncs_in: Arc::new(Semaphore::new(SYNCS_IN_MAX)),
            pushes_out: Arc::new(Semaphore::new(PUSHES_OUT_MAX)),
            syncs_out: Arc::new(Semaphore::new(SYNCS_OUT_MAX)),
            lanes,
            outbox: Outbox::default(),
            work,
            requests,
            link_streams: mpsc::channel(STREAM_QUEUE),
            cells: mpsc::channel(PUSH_LANE),
            pushed: mpsc::channel(PUSHES_OUT_MAX),
            status,
            next_tick_ms: 0,
            cache_at_ms: 0,
            remembered_links: 0,
            cached: Vec::new(),
            rng,
            parameters: config.parameters.clone(),
        };
        task.status.send_modify(|status| status.dht_server = dht_server);
        task.know(&config);
        task.listen(&config.listen);
        Ok(task)
    }

    /// Takes in everybody that the config names.
    fn know(&mut self, config: &NetConfig) {
        for address in &config.external_addresses {
            self.swarm.add_external_address(address.clone());
        }
        config.peer_cache.iter().for_each(|cached| self.book.restore(cached));
        for seed in &config.seeds {
            self.book.add(NodeKey(seed.node_key), [&seed_address(seed)], Source::Seed);
        }
        for address in &config.peers {
            self.add_peer(address);
        }
    }

    async fn run(mut self) {
        loop {
            let deadline = self.started + Duration::from_millis(self.next_tick_ms);
            let idle = self.outbox.is_empty();
            let happened = tokio::select! {
                event = self.swarm.select_next_some() => Happened::Swarm(Box::new(event)),
                Some(event) = self.link_streams.1.recv() => Happened::Link(event),
                Some(pushed) = self.pushed.1.recv() => Happened::Pushed(pushed),
                // A cell is taken only when there is room to tell it, after all that was said before it.
                Some(cell) = traffic::next_cell(&self.lanes.pushes, &mut self.cells.1), if idle => Happened::Cell(cell),
                Some(command) = self.work.recv(), if self.outbox.has_room() => Happened::Work(command),
                request = self.requests.recv() => request.map_or(Happened::Unwanted, Happened::Request),
                () = self.lanes.control.closed() => Happened::Unwanted,
                Ok(permit) = self.lanes.control.reserve(), if !idle => {
                    if let Some(event) = self.outbox.pop() {
                        permit.send(event);
                    }
                    Happened::Told
                }
                () = sleep_until(deadline.into()) => Happened::Time,
            };
            match happened {
                Happened::Swarm(event) => self.on_swarm(*event),
                Happened::Link(event) => self.on_link_stream(event),
                Happened::Cell(cell) => self.on_cell(cell),
                Happened::Pushed((request, result)) => self.outbox.push(NetEvent::Done { request, result }),
                Happened::Work(command) => self.on_command(command),
                Happened::Request(Request::Shutdown(answer)) => {
                    self.farewell().await;
                    let _ = answer.send(());
                    return;
                }
                Happened::Request(request) => self.on_request(request),
                // Nobody asks or listens any more.
                Happened::Unwanted => return self.farewell().await,
                Happened::Told => {}
                Happened::Time => self.tick(),
            }
            self.run_plan();
            self.report();
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Command(command) => self.on_command(command),
            Request::OpenSync { link, answer } => self.open_sync(link, answer),
            Request::Peers(answer) => drop(answer.send(self.peer_infos())),
            Request::InvitePeers(answer) => drop(answer.send(self.invite_peers())),
            Request::Shutdown(_) => {}
        }
    }

    fn on_command(&mut self, command: NetCommand) {
        match command {
            NetCommand::Publish { request, topic, bytes } => self.publish(request, topic, bytes),
            NetCommand::Verdict { token, verdict } => self.verdict(token, verdict),
            NetCommand::Push { request, link, cell } => self.push(request, link, cell),
            NetCommand::AnswerPush { ticket, taken } => {
                self.tickets.remove(&ticket).map(|answer| answer.send(taken));
            }
            NetCommand::Penalize { link } => {
                if let Some(node) = self.peers.ever_by_link(link) {
                    self.penalize(node);
                }
            }
            NetCommand::AddPeer { address } => self.add_peer(&address),
            NetCommand::AddSeeds(seeds) => {
                for seed in seeds {
                    self.add_seed(NodeKey(seed.node_key), &seed_address(&seed));
                }
            }
            NetCommand::FindPeers => {
                self.schedule.hurry(self.now_ms());
                self.discover();
            }
        }
    }

    /// Once a second, and whenever the plan asked for it.
    fn tick(&mut self) {
        let now_ms = self.now_ms();
        self.tokens.expire(now_ms);
        self.tickets.retain(|_, answer| !answer.is_closed());
        self.tend_connections(now_ms);
        self.discover();
        self.remember(now_ms);
        self.plan_due = true;
        self.next_tick_ms = now_ms.saturating_add(TICK_MS);
    }

    /// Milliseconds since the start.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says what is left to say, closes all connections and waits a moment for them.
    async fn farewell(mut self) {
        self.remember_now();
        let telling = async {
            while let Some(event) = self.outbox.pop() {
                if self.lanes.control.send(event).await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, telling).await;
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in connected {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, closing).await;
    }
}

/// The wall clock, ms since 1970.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

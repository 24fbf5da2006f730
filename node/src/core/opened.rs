//! Everything that exists while the vault is open: opened in order, closed in the reverse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use anyhow::Context;
use rand::RngExt as _;
use rand::rngs::StdRng;
use starling_messenger::messenger::{Messenger, Setup};
use starling_messenger::record::VaultWrite;
use starling_messenger::turn::{Input, Turn};
use starling_net::NetCommand;
use starling_net::{NetConfig, NetHandle, NetStatus, Traffic};
use starling_relay::push::OnionSecret;
use starling_store::pool_files::PoolOptions;
use starling_store::reader::Reader;
use starling_store::seal_at_rest::MasterKey;
use starling_store::vault::{Vault, VaultHealth};
use starling_wire::envelope::TopicId;
use starling_wire::invite::InvitePeer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::bridge::{Bridge, Clock, Notice, judge};
use super::commit_thread::{self, Batch};
use super::core_thread::{self, Core};
use super::event_log::Happening;
use super::handle::{InvitePeers, Open, PeerView, Shared};
use super::keeper_thread;
use super::lanes::{Control, Lanes, NodePool, Stopped, lanes};
use super::lifecycle::Settings;
use super::node_records::{load_or_make_key, peer_cache_key, remember_peers, remembered_peers};
use super::preferences::{Preference, Preferences};
use super::release::Release;
use super::starts::Starts;
use super::sync_driver::SyncDriver;
use super::traffic::Day;
use super::workers::Workers;

/// Other nodes by which a guest may join: with so many, the own address stays out of an invite.
const OTHERS_ENOUGH: usize = 2;
/// Notices to the lifecycle task that may wait.
const NOTICES_MAX: usize = 64;
/// Reconciliations that may wait to be started.
const SYNC_ORDERS_MAX: usize = 32;

/// Some of the vault's records fail their check.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{}", words(.0))]
pub(crate) struct DamagedRecords(pub(crate) VaultHealth);

/// `Vault record 3 of 14 fails its check`
fn words(health: &VaultHealth) -> String {
    let &VaultHealth { records, damaged, first_damaged } = health;
    match damaged {
        1 => format!("Vault record {first_damaged} of {records} fails its check"),
        _ => format!("{damaged} of {records} vault records fail their check"),
    }
}

/// A node whose vault is open.
pub(crate) struct Opened {
    net: NetHandle,
    lanes: Lanes,
    reader: Reader,
    commits: SyncSender<Batch>,
    workers: Workers,
    threads: Vec<JoinHandle<()>>,
    network: String,
    peer: String,
    stopping: Arc<AtomicBool>,
    keeper: JoinHandle<()>,
    /// Peers of earlier runs.
    pub(crate) remembered: u32,
    starts: Starts,
    preferences: watch::Sender<Preferences>,
    /// Cancelled when the vault is to be closed.
    pub(crate) closing: CancellationToken,
    /// The data directory was older than what ran here last.
    pub(crate) copied_back: bool,
    /// What earlier runs counted.
    pub(crate) traffic_before: Day,
    /// The clock of this run.
    pub(crate) clock: Clock,
}

/// The vault's contents that the network and the messenger start from.
struct Start {
    starts: Starts,
    preferences: Preferences,
    copied_back: bool,
    traffic: Day,
    vault: Vault,
    messenger: Messenger<NodePool>,
    first: Turn,
    network_key: Zeroizing<[u8; 32]>,
    onion_public: [u8; 32],
    peers: Vec<starling_net::CachedPeer>,
    topic: TopicId,
    rng: StdRng,
    clock: Clock,
}

impl Opened {
    /// Opens vault, pool, network and threads.
    pub(crate) async fn open(
        settings: &Settings,
        key: &MasterKey,
        shared: &Shared,
    ) -> anyhow::Result<(Self, mpsc::Receiver<Notice>)> {
        let start = open_files(settings, key)?;
        let reader = start.vault.reader();
        let net_config = net_config(settings, &start)?;
        let remembered = u32::try_from(start.peers.len()).unwrap_or(u32::MAX);
        let (net, events) = starling_net::start(net_config).context("the network")?;
        let (lanes, ends) = lanes();
        let workers = Workers::new();
        let (syncs, sync_orders) = mpsc::channel(SYNC_ORDERS_MAX);
        let release = Arc::new(Release {
            net: net.clone(),
            workers: workers.clone(),
            syncs,
            control: lanes.control.clone(),
            replies: std::sync::Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        });
        let newest_event = shared.newest_event.clone();
        newest_event.send_replace(reader.newest_event());
        let (commits, commit_thread) = commit_thread::start(start.vault, release.clone(), newest_event)?;
        let judge = judge(&lanes, &release);
        let mut threads = workers.start(&settings.parameters, start.topic, lanes.control.clone(), judge)?;
        let (to_core, parameters) = (lanes.clone(), &settings.parameters);
        let driver = SyncDriver::new(net.clone(), to_core, workers.clone(), release.clone(), parameters);
        tokio::spawn(driver.clone().run(sync_orders));
        let (notices, notices_end) = mpsc::channel(NOTICES_MAX);
        let bridge =
            Bridge { lanes: lanes.clone(), workers: workers.clone(), release: release.clone(), syncs: driver, notices };
        tokio::spawn(bridge.run(events));
        let stopping = Arc::new(AtomicBool::new(false));
        let keeper = keeper_thread::start(start.messenger.pool().keeper(), stopping.clone())?;
        let core = Core {
            messenger: start.messenger,
            clock: start.clock,
            rng: start.rng,
            commits: commits.clone(),
            release,
            next_request: 0,
        };
        threads.push(core_thread::start(core, ends, start.first)?);
        threads.push(commit_thread);
        let opened = Self {
            starts: start.starts,
            preferences: watch::Sender::new(start.preferences),
            closing: CancellationToken::new(),
            copied_back: start.copied_back,
            traffic_before: start.traffic,
            clock: start.clock,
            peer: net.node().peer_id().to_string(),
            net,
            lanes,
            reader,
            commits,
            workers,
            threads,
            network: settings.parameters.name.clone(),
            stopping,
            keeper,
            remembered,
        };
        Ok((opened, notices_end))
    }

    /// What askers need.
    pub(crate) fn handle(&self) -> Open {
        Open {
            commands: self.lanes.commands.clone(),
            reader: self.reader.clone(),
            preferences: self.preferences.subscribe(),
            closing: self.closing.clone(),
        }
    }

    /// A reader of its vault.
    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Own libp2p peer id.
    pub(crate) fn peer(&self) -> String {
        self.peer.clone()
    }

    /// Writes an event of the daemon itself to the log.
    pub(crate) fn log(&self, happening: Happening) {
        self.batch(Vec::new(), vec![happening], None);
    }

    /// What went over the network in this run.
    pub(crate) fn traffic(&self) -> Traffic {
        self.net.traffic()
    }

    /// Keeps a record of the daemon's own.
    pub(crate) fn keep(&self, write: VaultWrite) {
        self.batch(vec![write], Vec::new(), None);
    }

    /// Remembers the peers for the next start.
    pub(crate) fn remember(&self, peers: &[starling_net::CachedPeer]) {
        if let Some(write) = remember_peers(&self.network, peers) {
            self.keep(write);
        }
    }

    /// Changes a preference; `done` is told when it is on the disk, and dropped when it cannot be kept.
    pub(crate) fn prefer(&self, change: Preference, done: oneshot::Sender<()>) {
        let mut changed = None;
        let mut happening = None;
        self.preferences.send_if_modified(|preferences| {
            let Some(contact) = preferences.apply(change) else { return false };
            happening = contact.map(|contact| Happening::Marked { contact, mark: preferences.mark(contact) });
            changed = preferences.write();
            true
        });
        // Written again when nothing changed, so that no answer overtakes the commit of an earlier one.
        let write = changed.or_else(|| self.preferences.borrow().write());
        if let Some(write) = write {
            self.batch(vec![write], happening.into_iter().collect(), Some(done));
        }
    }

    fn batch(&self, writes: Vec<VaultWrite>, happenings: Vec<Happening>, done: Option<oneshot::Sender<()>>) {
        let batch = Batch { at_unix_ms: Clock::unix_ms_now(), writes, happenings, outputs: Vec::new(), done };
        // Dropped when the disk is far behind: a count of peers is no loss, and the cache comes again.
        if self.commits.try_send(batch).is_err() {
            tracing::debug!("the commit thread is behind");
        }
    }

    /// Connected peers.
    pub(crate) async fn peers(&self) -> Vec<PeerView> {
        let view = |peer: starling_net::PeerInfo| PeerView {
            peer: peer.node.peer_id().to_string(),
            address: peer.address.to_string(),
            outbound: peer.dialed,
            held: peer.held,
            in_shard: peer.in_shard,
            ping_ms: peer.round_trip_ms,
            answered_ms_ago: peer.answered_ms_ago,
        };
        self.net.peers().await.into_iter().map(view).collect()
    }

    /// Nodes to name in an invite: others first, as the inviter need not be online; the own address is
    /// added only when fewer than two others are known.
    pub(crate) async fn invite_peers(&self) -> InvitePeers {
        let found = self.net.invite_peers().await;
        let mut peers = found.others;
        let own = peers.len() < OTHERS_ENOUGH && !found.own.is_empty();
        if own {
            peers.extend(found.own);
        }
        InvitePeers { peers, own }
    }

    /// Dials an address.
    pub(crate) async fn add_peer(&self, address: &str) -> Result<(), String> {
        let address = parse_peer(address)?;
        self.net.send(NetCommand::AddPeer { address }).await.map_err(|error| error.to_string())
    }

    /// Gives the network the nodes of an invite.
    pub(crate) async fn add_seeds(&self, peers: Vec<InvitePeer>) {
        if self.net.send(NetCommand::AddSeeds(peers)).await.is_err() {
            tracing::warn!("the network takes no commands");
        }
    }

    /// What the network says of itself now.
    pub(crate) fn net_status(&self) -> NetStatus {
        self.net.status().borrow().clone()
    }

    /// Tells the core how much room the disk has.
    pub(crate) fn disk(&self, free_bytes: u64) {
        // Measured again in two seconds.
        let _ = self.lanes.control.try_send(Control::Input(Input::Disk { free_bytes }));
    }

    /// Closes all connections. The network ends before the core, so that nothing new comes.
    pub(crate) async fn shut_network(&self) {
        self.net.shutdown().await;
    }

    /// Stops the core, commits what is left, ends the threads; with `again`, all of them, as the files are to be opened
    /// again.
    pub(crate) async fn close(mut self, again: bool) -> anyhow::Result<Stopped> {
        let (answer, stopped) = oneshot::channel();
        self.lanes.control.send(Control::Stop(answer)).await.ok().context("the core ended early")?;
        let stopped = stopped.await.context("the core ended early")?;
        self.workers.stop();
        self.stopping.store(true, Ordering::Relaxed);
        let counted = Batch {
            at_unix_ms: Clock::unix_ms_now(),
            writes: vec![self.starts.end()],
            happenings: Vec::new(),
            outputs: Vec::new(),
            done: None,
        };
        let counting = self.commits.try_send(counted).is_ok();
        let Self { commits, mut threads, starts, keeper, .. } = self;
        drop(commits);
        if again {
            threads.push(keeper);
        }
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())))
            .await
            .context("ending the threads")?;
        // The commit thread has ended, so all that it was given is on the disk.
        if counting {
            starts.write();
        }
        Ok(stopped)
    }
}

fn parse_peer(address: &str) -> Result<starling_net::Multiaddr, String> {
    let address: starling_net::Multiaddr = address.parse().map_err(|error| format!("not a multiaddr: {error}"))?;
    if starling_net::named_peer(&address).is_none() {
        return Err("the address must end in /p2p/ and the peer id".to_owned());
    }
    Ok(address)
}

fn open_files(settings: &Settings, key: &MasterKey) -> anyhow::Result<Start> {
    let clock = Clock::new();
    let now = clock.now();
    let mut rng: StdRng = rand::make_rng();
    let (vault, image) = Vault::open(&settings.data, key)?;
    let health = vault.health();
    if health.damaged > 0 {
        // A session that is missing would be taken up from nothing, and seal with keys that were used.
        return Err(DamagedRecords(health).into());
    }
    let reader = vault.reader();
    let network = settings.parameters.name.as_str();
    let get = |key: &_| -> anyhow::Result<_> { Ok(reader.get(key)?) };
    let (network_key, write) = load_or_make_key(network, get, &mut rng)?;
    if let Some(write) = write {
        vault.commit(&[write], Vec::new()).context("the node's key")?;
    }
    let peers = get(&peer_cache_key(network))?.map(|bytes| remembered_peers(&bytes)).unwrap_or_default();
    let preferences = get(&Preferences::key())?.map(|bytes| Preferences::decode(&bytes)).unwrap_or_default();
    let traffic = get(&Day::key())?.map(|bytes| Day::decode(&bytes)).unwrap_or_default();
    let options = PoolOptions { cap_bytes: settings.disk_limit_bytes, ..PoolOptions::default() };
    let pool = || NodePool::open(&settings.data, &settings.parameters, options).context("the pool");
    // A new one at each start: what was pushed through this node earlier can no longer be opened, and no cell
    // of an earlier run can be played again.
    let onion_secret: Zeroizing<[u8; 32]> = Zeroizing::new(rng.random());
    let onion_public = OnionSecret::from_bytes(*onion_secret).public_key();
    let setup = Setup { parameters: settings.parameters.clone(), onion_secret: *onion_secret, name: String::new() };
    let fresh = image.records.is_empty();
    let (mut starts, is_older) = Starts::look(&vault, settings.starts.clone(), &mut rng)?;
    let copied_back = is_older && !fresh;
    let (messenger, first) = match image {
        _ if fresh => Messenger::create(setup, pool()?, now, &mut rng),
        image if copied_back => {
            tracing::warn!(
                "This data directory is older than what ran here last, as when a copy is put back. Messages since \
                 then are missing; the node goes on as a new device of your account."
            );
            let (mut older, _) =
                Messenger::restore(setup.clone(), image, pool()?, now, &mut rng).context("the account")?;
            let writes = older.records_of_a_new_device(&mut rng).context("a new device")?;
            drop(older);
            let image = vault.begin_anew(&writes)?;
            Messenger::restore(setup, image, pool()?, now, &mut rng).context("the account")?
        }
        image => Messenger::restore(setup, image, pool()?, now, &mut rng).context("the account")?,
    };
    starts.begin(&vault)?;
    let topic = messenger.topic();
    Ok(Start {
        starts,
        preferences,
        copied_back,
        traffic,
        vault,
        messenger,
        first,
        network_key,
        onion_public,
        peers,
        topic,
        rng,
        clock,
    })
}

fn net_config(settings: &Settings, start: &Start) -> anyhow::Result<NetConfig> {
    let parse = |addresses: &[String]| -> anyhow::Result<Vec<starling_net::Multiaddr>> {
        let one = |text: &String| text.parse().with_context(|| format!("'{text}' is not a multiaddr"));
        addresses.iter().map(one).collect()
    };
    Ok(NetConfig {
        parameters: settings.parameters.clone(),
        node_key: start.network_key.clone(),
        onion_public: start.onion_public,
        topic: start.topic,
        listen: parse(&settings.listen)?,
        external_addresses: parse(&settings.external_addresses)?,
        mdns: settings.mdns,
        peer_cache: start.peers.clone(),
        seeds: Vec::new(),
        peers: parse(&settings.seeds)?,
    })
}

//! Opens and closes everything: the key, the vault, the pool, the network and the threads. Locked is a
//! state of its own in which the API answers and the network is off.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use starling_net::Calls;
use starling_store::disk::{Ballast, OWN_FREE_BYTES_MIN, STRANGERS_FREE_BYTES_MIN};
use starling_store::lock::DirectoryLock;
use starling_store::reader::Reader;
use starling_store::seal_at_rest::{KeyError, KeyFile, KeyProtection, MasterKey, PassphraseCost};
use starling_wire::network::{NetworkParameters, Scope};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::bridge::Notice;
use super::event_log::Happening;
use super::handle::{
    Control, NetworkView, Node, NodeState, PassphraseError, Protection, Reach, Shared, Tried, Unavailable,
};
use super::lanes::Stopped;
use super::opened::Opened;
use super::traffic::DayCount;

/// How long a node looks for its first neighbour before it says that it is alone.
const ALONE_AFTER: Duration = Duration::from_secs(30);
/// How often the disk is measured, hours are sealed if due, and the network's numbers are refreshed.
const HOUSEKEEPING: Duration = Duration::from_secs(2);
/// How long the end waits for what the network still has to say.
const LAST_WORD_MAX: Duration = Duration::from_secs(2);
/// How long reads under way may take when the vault is locked, and between two looks at them.
const LET_GO_MAX: Duration = Duration::from_secs(10);
const LET_GO_LOOK: Duration = Duration::from_millis(5);
/// Requests to the lifecycle task that may wait.
const CONTROL_MAX: usize = 64;
/// Waits after wrong passphrases, seconds: 0, 1, 2, 4, ... and never more than this.
const PASSPHRASE_WAIT_S_MAX: u64 = 30;
/// Bytes of a passphrase.
pub(crate) const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 8..=1_024;

/// What a node needs to start.
pub(crate) struct Settings {
    /// Data directory; exists.
    pub(crate) data: PathBuf,
    /// Network.
    pub(crate) parameters: NetworkParameters,
    /// Multiaddrs to listen on.
    pub(crate) listen: Vec<String>,
    /// Multiaddrs by which others reach this node.
    pub(crate) external_addresses: Vec<String>,
    /// Whether to look on the local network.
    pub(crate) mdns: bool,
    /// Multiaddrs with `/p2p/` of known nodes.
    pub(crate) seeds: Vec<String>,
    /// Bytes that strangers' mail may take.
    pub(crate) disk_limit_bytes: u64,
    /// Where starts are counted outside the data directory, if there is a place.
    pub(crate) starts: Option<PathBuf>,
    /// Proof that no other process uses the directory.
    pub(crate) lock: DirectoryLock,
}

/// Starts the node; the task ends when it has stopped, with what is left waiting.
///
/// # Errors
/// When the key file cannot be read or made.
pub(crate) fn start(settings: Settings) -> anyhow::Result<(Node, JoinHandle<anyhow::Result<Stopped>>)> {
    let keys = KeyFile::of(&settings.data);
    if !keys.exists() {
        if settings.data.join("vault").exists() {
            return Err(KeyError::Missing.into());
        }
        keys.create(&mut rand::rng())?;
    }
    let protection = protection(keys.protection()?);
    let (control, requests) = mpsc::channel(CONTROL_MAX);
    let free = starling_store::disk::free_bytes(&settings.data).unwrap_or(u64::MAX);
    let shared = Arc::new(Shared {
        state: watch::Sender::new(NodeState::Starting),
        network: watch::Sender::new(None),
        protection: watch::Sender::new(protection),
        newest_event: watch::Sender::new(0),
        free_bytes: watch::Sender::new(free),
        traffic: watch::Sender::new(None),
        control,
        open: Mutex::new(None),
    });
    let node = Node { shared: shared.clone() };
    let lifecycle =
        Lifecycle { settings, keys, master: None, shared, requests, wrong_tries: 0, next_try: Instant::now() };
    Ok((node, tokio::spawn(lifecycle.run())))
}

/// Why the opened node ended.
enum Ended {
    Stopped,
    /// Who asked waits until the vault is closed.
    Locked(oneshot::Sender<Result<(), PassphraseError>>),
}

struct Lifecycle {
    settings: Settings,
    keys: KeyFile,
    /// Once the vault is open.
    master: Option<MasterKey>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Control>,
    wrong_tries: u32,
    next_try: Instant,
}

impl Lifecycle {
    async fn run(mut self) -> anyhow::Result<Stopped> {
        loop {
            let key = match self.keys.open_keyfile() {
                Ok(key) => key,
                Err(KeyError::NeedsPassphrase) => match self.wait_for_passphrase().await {
                    Some(key) => key,
                    None => return Ok(Stopped { undelivered: 0 }),
                },
                Err(error) => return Err(error.into()),
            };
            self.shared.state.send_replace(NodeState::Starting);
            let (opened, notices) = Opened::open(&self.settings, &key, &self.shared).await?;
            self.master = Some(key);
            *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.handle());
            let (stopped, ended) = self.serve(opened, notices).await?;
            match ended {
                Ended::Stopped => {
                    // Only now may another process use the directory.
                    drop(self.settings.lock);
                    return Ok(stopped);
                }
                Ended::Locked(answer) => {
                    self.master = None;
                    self.shared.network.send_replace(None);
                    self.shared.traffic.send_replace(None);
                    self.shared.state.send_replace(NodeState::Locked);
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    /// Answers what can be answered while locked; `None` when the node is to stop.
    async fn wait_for_passphrase(&mut self) -> Option<MasterKey> {
        self.shared.state.send_replace(NodeState::Locked);
        while let Some(request) = self.requests.recv().await {
            match request {
                Control::Unlock(passphrase, answer) => {
                    let tried = self.try_passphrase(passphrase).await;
                    let (key, result) = match tried {
                        Ok(key) => (Some(key), Ok(())),
                        Err(error) => (None, Err(error)),
                    };
                    let _ = answer.send(result);
                    if key.is_some() {
                        return key;
                    }
                }
                Control::SetPassphrase { answer, .. } => {
                    let _ = answer.send(Err(Unavailable::Locked.into()));
                }
                Control::AddPeer(_, answer) => {
                    let _ = answer.send(Err("the node is locked".to_owned()));
                }
                // Dropping the answers tells the askers.
                Control::Peers(_) | Control::InvitePeers(_) | Control::AddSeeds(_) | Control::Prefer(..) => {}
                Control::Lock(answer) => {
                    let _ = answer.send(Ok(()));
                }
                Control::Stop => {
                    self.shared.state.send_replace(NodeState::Stopping);
                    return None;
                }
            }
        }
        None
    }

    /// One try; wrong ones make the next wait longer, and nothing ever locks anybody out.
    async fn try_passphrase(&mut self, passphrase: zeroize::Zeroizing<Vec<u8>>) -> Result<MasterKey, PassphraseError> {
        let now = Instant::now();
        if now < self.next_try {
            let retry_after_ms = u64::try_from((self.next_try - now).as_millis()).unwrap_or(u64::MAX);
            return Err(PassphraseError::TooEarly { retry_after_ms });
        }
        let keys = self.keys.clone();
        let Ok(passphrase) = String::from_utf8(passphrase.to_vec()).map(zeroize::Zeroizing::new) else {
            return Err(PassphraseError::Wrong { retry_after_ms: 0 });
        };
        // Argon2id takes half a second of a core: not on the runtime's threads.
        let opened = tokio::task::spawn_blocking(move || keys.unlock(&passphrase)).await;
        match opened {
            Ok(Ok(key)) => {
                self.wrong_tries = 0;
                Ok(key)
            }
            Ok(Err(KeyError::WrongPassphrase)) => {
                let wait_s = match self.wrong_tries {
                    0 => 0,
                    tries => (1 << (tries - 1).min(5)).min(PASSPHRASE_WAIT_S_MAX),
                };
                self.wrong_tries = self.wrong_tries.saturating_add(1);
                self.next_try = Instant::now() + Duration::from_secs(wait_s);
                Err(PassphraseError::Wrong { retry_after_ms: wait_s * 1_000 })
            }
            Ok(Err(error)) => Err(PassphraseError::Disk(error.to_string())),
            Err(_) => Err(Unavailable::Stopping.into()),
        }
    }

    /// Runs the opened node until it is told to stop or to lock itself.
    async fn serve(&mut self, opened: Opened, mut notices: mpsc::Receiver<Notice>) -> anyhow::Result<(Stopped, Ended)> {
        let mut view = self.first_view(&opened);
        let mut traffic = DayCount::new(opened.traffic_before);
        self.set_state(&opened, NodeState::Joining);
        self.shared.network.send_replace(Some(view.clone()));
        let alone_at = tokio::time::sleep(ALONE_AFTER);
        tokio::pin!(alone_at);
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ended = loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Control::Stop) | None => break Ended::Stopped,
                    Some(Control::Lock(answer)) if self.protection() == Protection::Passphrase => {
                        break Ended::Locked(answer);
                    }
                    Some(request) => self.answer(&opened, request, &mut view).await,
                },
                Some(notice) = notices.recv() => {
                    let held_before = self.state() == NodeState::Online;
                    self.note(&opened, notice, &mut view);
                    if held_before && self.state() != NodeState::Online {
                        alone_at.as_mut().reset(Instant::now() + ALONE_AFTER);
                    }
                }
                () = &mut alone_at, if self.state() == NodeState::Joining => {
                    self.set_state(&opened, NodeState::Alone);
                }
                _ = housekeeping.tick() => {
                    self.housekeeping(&opened);
                    self.look_at_network(&opened, &mut view);
                    self.count_traffic(&opened, &mut traffic, false);
                }
            }
        };
        match ended {
            Ended::Stopped => self.set_state(&opened, NodeState::Stopping),
            Ended::Locked(_) => self.set_state(&opened, NodeState::Locked),
        }
        *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        opened.closing.cancel();
        opened.shut_network().await;
        // The network's last word is whom it met; its events end with it.
        while let Ok(Some(notice)) = tokio::time::timeout(LAST_WORD_MAX, notices.recv()).await {
            if let Notice::Cache(peers) = notice {
                opened.remember(&peers);
            }
        }
        self.count_traffic(&opened, &mut traffic, true);
        let reader = opened.reader();
        let locked = matches!(ended, Ended::Locked(_));
        let stopped = opened.close(locked).await?;
        if locked {
            self.let_go(&reader).await?;
        }
        Ok((stopped, ended))
    }

    /// Takes the vault from everybody who still reads, so that it is closed, and may be opened again.
    async fn let_go(&self, reader: &Reader) -> anyhow::Result<()> {
        reader.close();
        let end = Instant::now() + LET_GO_MAX;
        while !reader.is_gone() {
            anyhow::ensure!(Instant::now() < end, "the vault is still being read and could not be closed");
            tokio::time::sleep(LET_GO_LOOK).await;
        }
        Ok(())
    }

    fn state(&self) -> NodeState {
        *self.shared.state.borrow()
    }

    fn set_state(&self, opened: &Opened, state: NodeState) {
        if self.shared.state.send_replace(state) != state {
            opened.log(Happening::State(state));
        }
    }

    fn first_view(&self, opened: &Opened) -> NetworkView {
        NetworkView {
            peer: opened.peer(),
            addresses: Vec::new(),
            connected: 0,
            in_shard: 0,
            known: 0,
            reach: self.reach(&Calls::default()),
            problem: None,
            listen_failed: None,
            mismatches: 0,
            calls: Calls::default(),
            has_external: !self.settings.external_addresses.is_empty(),
            tried: Tried {
                mdns: self.settings.mdns,
                remembered: opened.remembered,
                invited: 0,
                named: count(self.settings.seeds.len()),
            },
            copied_back: opened.copied_back,
        }
    }

    /// What the configuration and the scope say, and what connections have shown: nobody is asked to call back.
    fn reach(&self, calls: &Calls) -> Reach {
        let told = !self.settings.external_addresses.is_empty() || self.settings.parameters.scope != Scope::Internet;
        if told || calls.is_reached_from_outside() {
            Reach::Direct
        } else if calls.udp_is_blocked() {
            Reach::OutgoingOnly
        } else {
            Reach::Unknown
        }
    }

    /// Takes up what the network says of itself, and tells it if it is news.
    fn look_at_network(&self, opened: &Opened, view: &mut NetworkView) {
        let status = opened.net_status();
        let before = view.clone();
        (view.known, view.mismatches, view.calls) = (count(status.known), status.parameters_mismatches, status.calls);
        view.reach = self.reach(&view.calls);
        if view.reach != before.reach {
            opened.log(Happening::Reach(view.reach));
        }
        if *view != before {
            self.shared.network.send_replace(Some(view.clone()));
        }
    }

    async fn answer(&mut self, opened: &Opened, request: Control, view: &mut NetworkView) {
        match request {
            Control::Unlock(_, answer) => {
                let _ = answer.send(Err(PassphraseError::AlreadyOpen));
            }
            Control::SetPassphrase { old, new, answer } => {
                let result = self.set_passphrase(old, new).await;
                let _ = answer.send(result);
            }
            Control::Peers(answer) => {
                let _ = answer.send(opened.peers().await);
            }
            Control::InvitePeers(answer) => {
                let _ = answer.send(opened.invite_peers().await);
            }
            Control::AddPeer(address, answer) => {
                let added = opened.add_peer(&address).await;
                view.tried.named = view.tried.named.saturating_add(u32::from(added.is_ok()));
                self.shared.network.send_replace(Some(view.clone()));
                let _ = answer.send(added);
            }
            Control::AddSeeds(peers) => {
                view.tried.invited = view.tried.invited.saturating_add(1);
                self.shared.network.send_replace(Some(view.clone()));
                opened.add_seeds(peers).await;
            }
            Control::Prefer(change, answer) => opened.prefer(change, answer),
            // With a passphrase it ends the loop of `serve`; without one there is nothing to be locked by.
            Control::Lock(answer) => {
                let _ = answer.send(Err(PassphraseError::NotSet));
            }
            Control::Stop => {}
        }
    }

    async fn set_passphrase(
        &mut self,
        old: Option<zeroize::Zeroizing<Vec<u8>>>,
        new: Option<zeroize::Zeroizing<Vec<u8>>>,
    ) -> Result<(), PassphraseError> {
        if new.as_ref().is_some_and(|new| !PASSPHRASE_BYTES.contains(&new.len())) {
            return Err(PassphraseError::Length);
        }
        let Some(master) = self.master.clone() else { return Err(Unavailable::Locked.into()) };
        if self.protection() == Protection::Passphrase {
            let old = old.ok_or(PassphraseError::Wrong { retry_after_ms: 0 })?;
            self.try_passphrase(old).await?;
        } else if new.is_none() {
            return Err(PassphraseError::NotSet);
        }
        let new = match new.map(|new| String::from_utf8(new.to_vec()).map(zeroize::Zeroizing::new)).transpose() {
            Ok(new) => new,
            Err(_) => return Err(PassphraseError::Length),
        };
        let set = if new.is_some() { Protection::Passphrase } else { Protection::Keyfile };
        let keys = self.keys.clone();
        let changed = tokio::task::spawn_blocking(move || match new {
            Some(new) => keys.set_passphrase(&master, &new, PassphraseCost::STANDARD, &mut rand::rng()),
            None => keys.remove_passphrase(&master),
        });
        let changed = changed.await.map_err(|_| Unavailable::Stopping)?;
        changed.map_err(|error| PassphraseError::Disk(error.to_string()))?;
        self.shared.protection.send_replace(set);
        Ok(())
    }

    fn protection(&self) -> Protection {
        *self.shared.protection.borrow()
    }

    fn note(&self, opened: &Opened, notice: Notice, view: &mut NetworkView) {
        match notice {
            Notice::Listening(addresses) => {
                view.addresses = addresses.iter().map(|address| format!("{address}/p2p/{}", view.peer)).collect();
                // One that is listened on again did not fail.
                let failed = view.listen_failed.take();
                view.listen_failed =
                    failed.filter(|failed| !addresses.iter().any(|it| failed.starts_with(&it.to_string())));
            }
            Notice::ListenFailed(address) => {
                view.problem = Some(format!("cannot listen on {address}"));
                view.listen_failed = Some(address);
            }
            Notice::OtherParameters => {
                view.problem = Some(
                    "a node of a network with this name uses other parameters; compare [network] of both configs"
                        .into(),
                );
            }
            Notice::Cache(peers) => {
                // Asked again when nobody is there any more.
                view.tried.remembered = count(peers.len());
                opened.remember(&peers);
            }
            Notice::Peers { connected, held, in_shard } => {
                let (connected, in_shard) = (count(connected), count(in_shard));
                if (view.connected, view.in_shard) != (connected, in_shard) {
                    (view.connected, view.in_shard) = (connected, in_shard);
                    opened.log(Happening::Peers { connected, in_shard });
                }
                match (held > 0, self.state()) {
                    (true, NodeState::Joining | NodeState::Alone) => self.set_state(opened, NodeState::Online),
                    (false, NodeState::Online) => self.set_state(opened, NodeState::Joining),
                    _ => {}
                }
            }
        }
        self.shared.network.send_replace(Some(view.clone()));
        self.look_at_network(opened, view);
    }

    /// Adds to what went over the network today.
    fn count_traffic(&self, opened: &Opened, traffic: &mut DayCount, last: bool) {
        let now = opened.clock.now();
        let day = traffic.look(opened.traffic(), now.unix_ms);
        self.shared.traffic.send_replace(Some(day));
        if let Some(write) = traffic.write(now.monotonic_ms, last) {
            opened.keep(write);
        }
    }

    fn housekeeping(&self, opened: &Opened) {
        match starling_store::disk::free_bytes(&self.settings.data) {
            Ok(free) => {
                self.shared.free_bytes.send_replace(free);
                self.ballast(free);
                opened.disk(free);
            }
            Err(error) => tracing::warn!(%error, "the free room of the disk could not be read"),
        }
    }

    /// Gives the ballast up when the disk is nearly full, and takes it again when there is room.
    fn ballast(&self, free_bytes: u64) {
        // With less room than that, it makes none and only finds the one that is there.
        let ballast = Ballast::ensure(&self.settings.data, STRANGERS_FREE_BYTES_MIN);
        let result = match ballast {
            Ok(ballast) if free_bytes < OWN_FREE_BYTES_MIN => ballast.release(),
            other => other.map(drop),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "the ballast file");
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn protection(protection: KeyProtection) -> Protection {
    match protection {
        KeyProtection::KeyFile => Protection::Keyfile,
        KeyProtection::Passphrase => Protection::Passphrase,
    }
}

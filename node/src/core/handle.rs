//! What the server and the command line may ask of the running node. All of it is cheap to clone,
//! and nothing here blocks: a full queue is answered `Busy`, a locked vault `Locked`.

use std::sync::{Arc, Mutex, PoisonError};

use starling_messenger::turn::{Command, Reply};
use starling_net::Calls;
use starling_store::reader::Reader;
use starling_wire::invite::InvitePeer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::preferences::{Preference, Preferences};
use super::traffic::Day;
use crate::spans::counted;

/// State of the daemon as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum NodeState {
    /// Opening its files.
    Starting,
    /// The vault waits for its passphrase; the network is off.
    Locked,
    /// On the network, looking for its first neighbour.
    Joining,
    /// Looked for a while and found nobody.
    Alone,
    /// At least one neighbour is held.
    Online,
    /// Saving and leaving.
    Stopping,
}

/// Whether others can reach this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Reach {
    /// By a confirmed address of its own.
    Direct,
    /// It reaches others; nobody reaches it.
    OutgoingOnly,
    /// Nothing is known yet.
    Unknown,
}

/// A connected peer, for `peers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerView {
    /// libp2p peer id in base58.
    pub(crate) peer: String,
    /// Address of the connection.
    pub(crate) address: String,
    /// Whether we dialed it.
    pub(crate) outbound: bool,
    /// Whether a link is held with it.
    pub(crate) held: bool,
    /// Whether it is subscribed to our shard.
    pub(crate) in_shard: bool,
    /// Last ping round trip, ms.
    pub(crate) ping_ms: Option<u32>,
    /// Milliseconds since it last answered a ping.
    pub(crate) answered_ms_ago: Option<u64>,
}

/// The network side of `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkView {
    /// Own libp2p peer id in base58.
    pub(crate) peer: String,
    /// Addresses that this node listens on, with `/p2p/`.
    pub(crate) addresses: Vec<String>,
    /// Connected peers.
    pub(crate) connected: u32,
    /// Those subscribed to our shard.
    pub(crate) in_shard: u32,
    /// Addresses of nodes that are known.
    pub(crate) known: u32,
    /// Reach.
    pub(crate) reach: Reach,
    /// Something is wrong with the network that a person must know, e.g. other parameters.
    pub(crate) problem: Option<String>,
    /// An address that could not be listened on, and why.
    pub(crate) listen_failed: Option<String>,
    /// Peers found with other parameters than ours.
    pub(crate) mismatches: u64,
    /// What became of connections.
    pub(crate) calls: Calls,
    /// The configuration names an address at which others reach this node.
    pub(crate) has_external: bool,
    /// Ways to peers that were tried without success: `mdns`, remembered peers, invites.
    pub(crate) tried: Tried,
    /// The data directory was older than what ran here last: the node went on as a new device.
    pub(crate) copied_back: bool,
}

/// Nodes to name in an invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvitePeers {
    /// Best first.
    pub(crate) peers: Vec<InvitePeer>,
    /// Whether this node is among them: whoever sees the invite learns its address.
    pub(crate) own: bool,
}

/// What a node that is alone has tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Whether it looks on the local network.
    pub(crate) mdns: bool,
    /// Peers of earlier runs.
    pub(crate) remembered: u32,
    /// Invites and addresses of accounts that were used in this run.
    pub(crate) invited: u32,
    /// Addresses of nodes that the configuration or the person named.
    pub(crate) named: u32,
}

impl Tried {
    /// `this network (mDNS), 0 remembered peers, 0 invites`
    pub(crate) fn words(&self) -> String {
        tried_words(self.mdns, [self.remembered, self.invited, self.named])
    }

    /// Nodes that can be asked.
    pub(crate) fn known(&self) -> u32 {
        self.remembered.saturating_add(self.invited).saturating_add(self.named)
    }
}

/// What was tried, in words: whether the local network, and so many remembered peers, invites and named addresses.
pub(crate) fn tried_words(mdns: bool, [remembered, invited, named]: [u32; 3]) -> String {
    let mut parts = vec![counted(u64::from(remembered), "remembered peer"), counted(u64::from(invited), "invite")];
    if mdns {
        parts.insert(0, "this network (mDNS)".to_owned());
    }
    if named > 0 {
        parts.push(format!("{} that you named", counted(u64::from(named), "node")));
    }
    parts.join(", ")
}

/// How the master key is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// A 0600 file.
    Keyfile,
    /// A passphrase.
    Passphrase,
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    /// Files are being opened.
    #[error("the node is starting")]
    Starting,
    /// A passphrase is wanted.
    #[error("the node is locked")]
    Locked,
    /// The node is going down.
    #[error("the node is stopping")]
    Stopping,
    /// Too much is waiting.
    #[error("too many requests wait")]
    Busy,
}

/// Why a passphrase was not accepted or set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PassphraseError {
    /// Wrong; after so many ms another try is heard.
    #[error("that passphrase does not open this vault")]
    Wrong {
        /// Milliseconds until the next try.
        retry_after_ms: u64,
    },
    /// Asked too early.
    #[error("wait before the next try")]
    TooEarly {
        /// Milliseconds until the next try.
        retry_after_ms: u64,
    },
    /// The vault has no passphrase.
    #[error("no passphrase is set")]
    NotSet,
    /// It is open already.
    #[error("the vault is open")]
    AlreadyOpen,
    /// Too short or too long.
    #[error("a passphrase is 8 to 1,024 bytes")]
    Length,
    /// The key file could not be written.
    #[error("{0}")]
    Disk(String),
    /// Not in this state.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A request to the lifecycle task.
pub(crate) enum Control {
    /// Opens the vault.
    Unlock(zeroize::Zeroizing<Vec<u8>>, oneshot::Sender<Result<(), PassphraseError>>),
    /// Sets, changes or (with `None`) removes the passphrase; the old one is needed if there is one.
    SetPassphrase {
        /// Present passphrase.
        old: Option<zeroize::Zeroizing<Vec<u8>>>,
        /// New passphrase.
        new: Option<zeroize::Zeroizing<Vec<u8>>>,
        /// The answer.
        answer: oneshot::Sender<Result<(), PassphraseError>>,
    },
    /// Peers, for `peers`.
    Peers(oneshot::Sender<Vec<PeerView>>),
    /// Nodes to name in an invite.
    InvitePeers(oneshot::Sender<InvitePeers>),
    /// Dials an address.
    AddPeer(String, oneshot::Sender<Result<(), String>>),
    /// Nodes named in an invite or address that was just used.
    AddSeeds(Vec<InvitePeer>),
    /// Changes a preference; dropped when it could not be kept.
    Prefer(Preference, oneshot::Sender<()>),
    /// Closes the vault until its passphrase is given again.
    Lock(oneshot::Sender<Result<(), PassphraseError>>),
    /// Stops the node.
    Stop,
}

/// A command on its way to the core, with where its answer goes.
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Reply>,
}

/// What exists only while the vault is open.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) commands: mpsc::Sender<Asked>,
    pub(crate) reader: Reader,
    pub(crate) preferences: watch::Receiver<Preferences>,
    /// Cancelled when the vault is to be closed.
    pub(crate) closing: CancellationToken,
}

pub(crate) struct Shared {
    pub(crate) state: watch::Sender<NodeState>,
    pub(crate) network: watch::Sender<Option<NetworkView>>,
    pub(crate) protection: watch::Sender<Protection>,
    pub(crate) newest_event: watch::Sender<u64>,
    pub(crate) free_bytes: watch::Sender<u64>,
    pub(crate) traffic: watch::Sender<Option<Day>>,
    pub(crate) control: mpsc::Sender<Control>,
    pub(crate) open: Mutex<Option<Open>>,
}

/// The running node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) shared: Arc<Shared>,
}

impl Node {
    /// State now.
    pub(crate) fn state(&self) -> NodeState {
        *self.shared.state.borrow()
    }

    /// Follows the state.
    pub(crate) fn watch_state(&self) -> watch::Receiver<NodeState> {
        self.shared.state.subscribe()
    }

    /// The network side of the status; absent while locked.
    pub(crate) fn network(&self) -> Option<NetworkView> {
        self.shared.network.borrow().clone()
    }

    /// How the master key is protected.
    pub(crate) fn protection(&self) -> Protection {
        *self.shared.protection.borrow()
    }

    /// Bytes free where the data directory lies, as last measured.
    pub(crate) fn free_bytes(&self) -> u64 {
        *self.shared.free_bytes.borrow()
    }

    /// What went over the network today, as last measured; absent while locked.
    pub(crate) fn traffic(&self) -> Option<Day> {
        *self.shared.traffic.borrow()
    }

    /// Sequence number of the newest committed event; changes wake its followers.
    pub(crate) fn watch_events(&self) -> watch::Receiver<u64> {
        self.shared.newest_event.subscribe()
    }

    fn open(&self) -> Result<Open, Unavailable> {
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        open.ok_or(match self.state() {
            NodeState::Locked => Unavailable::Locked,
            NodeState::Stopping => Unavailable::Stopping,
            _ => Unavailable::Starting,
        })
    }

    /// Reads beside the core: history, conversations, events.
    pub(crate) fn reader(&self) -> Result<Reader, Unavailable> {
        Ok(self.open()?.reader)
    }

    /// Cancelled when the vault is to be closed: long reads end then.
    pub(crate) fn closing(&self) -> Result<CancellationToken, Unavailable> {
        Ok(self.open()?.closing)
    }

    /// What was read and muted, and what was chosen.
    pub(crate) fn preferences(&self) -> Result<Preferences, Unavailable> {
        Ok(self.open()?.preferences.borrow().clone())
    }

    /// Changes a preference, and returns when the change is on the disk.
    pub(crate) async fn prefer(&self, change: Preference) -> Result<(), Unavailable> {
        self.open()?;
        self.control(|answer| Control::Prefer(change, answer)).await.map_err(|_| Unavailable::Busy)
    }

    /// Closes the vault: the network goes off, and what is in the vault cannot be read before it is unlocked.
    pub(crate) async fn lock(&self) -> Result<(), PassphraseError> {
        self.control(Control::Lock).await?
    }

    /// Asks the core and waits for its answer, which comes after its commit.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, Unavailable> {
        let (answer, reply) = oneshot::channel();
        self.open()?.commands.try_send(Asked { command, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopping,
        })?;
        reply.await.map_err(|_| Unavailable::Stopping)
    }

    async fn control<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Control) -> Result<T, Unavailable> {
        let (answer, reply) = oneshot::channel();
        self.shared.control.send(make(answer)).await.map_err(|_| Unavailable::Stopping)?;
        reply.await.map_err(|_| Unavailable::Stopping)
    }

    /// Opens a locked vault.
    pub(crate) async fn unlock(&self, passphrase: zeroize::Zeroizing<Vec<u8>>) -> Result<(), PassphraseError> {
        self.control(|answer| Control::Unlock(passphrase, answer)).await?
    }

    /// Sets, changes or removes the passphrase.
    pub(crate) async fn set_passphrase(
        &self,
        old: Option<zeroize::Zeroizing<Vec<u8>>>,
        new: Option<zeroize::Zeroizing<Vec<u8>>>,
    ) -> Result<(), PassphraseError> {
        self.control(|answer| Control::SetPassphrase { old, new, answer }).await?
    }

    /// Connected peers.
    pub(crate) async fn peers(&self) -> Result<Vec<PeerView>, Unavailable> {
        self.control(Control::Peers).await
    }

    /// Nodes to name in an invite: those that others can reach, best first.
    pub(crate) async fn invite_peers(&self) -> Result<InvitePeers, Unavailable> {
        self.control(Control::InvitePeers).await
    }

    /// Dials `address`, a multiaddr with `/p2p/`; an error says what is wrong with it.
    pub(crate) async fn add_peer(&self, address: String) -> Result<Result<(), String>, Unavailable> {
        self.control(|answer| Control::AddPeer(address, answer)).await
    }

    /// Gives the network the nodes that an invite names.
    pub(crate) async fn add_seeds(&self, peers: Vec<InvitePeer>) -> Result<(), Unavailable> {
        self.shared.control.send(Control::AddSeeds(peers)).await.map_err(|_| Unavailable::Stopping)
    }

    /// Asks the node to stop; [`Node::watch_state`] tells when it does.
    pub(crate) async fn stop(&self) {
        // A closed channel means that it stops already.
        let _ = self.shared.control.send(Control::Stop).await;
    }
}

//! The two ends that the layers above hold: a handle to ask with, and the events.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::address::NodeKey;
use crate::event::{Busy, InvitePeers, LinkId, NetCommand, NetEvent, NetStatus, OpenError, PeerInfo};
use crate::metering::{Meter, Traffic};
use crate::streams::SyncStream;

/// What travels to the task that owns the swarm.
#[derive(Debug)]
pub(crate) enum Request {
    Command(NetCommand),
    OpenSync { link: LinkId, answer: oneshot::Sender<Result<SyncStream, OpenError>> },
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    InvitePeers(oneshot::Sender<InvitePeers>),
    Shutdown(oneshot::Sender<()>),
}

/// Asks the network for things. Cheap to clone; when the last clone is dropped the network stops.
///
/// Publishes and pushes make an event each and therefore wait while too many events are unread; all else is
/// always taken. So a task that reads the events may await a verdict, but uses [`NetHandle::try_send`] for
/// publishes and pushes, lest the two wait for each other.
#[derive(Debug, Clone)]
pub struct NetHandle {
    /// Publishes and pushes.
    pub(crate) work: mpsc::Sender<NetCommand>,
    /// Everything else.
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) status: watch::Receiver<NetStatus>,
    pub(crate) node: NodeKey,
    pub(crate) meter: Arc<Meter>,
}

impl NetHandle {
    /// This node's public key.
    pub fn node(&self) -> NodeKey {
        self.node
    }

    /// Gives a command without waiting.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full or the network has stopped; try again in a second.
    pub fn try_send(&self, command: NetCommand) -> Result<(), Busy> {
        if command.makes_an_event() {
            self.work.try_send(command).map_err(|_| Busy)
        } else {
            self.requests.try_send(Request::Command(command)).map_err(|_| Busy)
        }
    }

    /// Gives a command, waiting for room in the queue.
    ///
    /// # Errors
    /// [`Busy`] when the network has stopped.
    pub async fn send(&self, command: NetCommand) -> Result<(), Busy> {
        if command.makes_an_event() {
            self.work.send(command).await.map_err(|_| Busy)
        } else {
            self.requests.send(Request::Command(command)).await.map_err(|_| Busy)
        }
    }

    /// Opens a `sync/1` stream to a linked peer.
    ///
    /// # Errors
    /// [`OpenError`] when the link is down, the peer does not open it within 10 s, or too many are open.
    pub async fn open_sync(&self, link: LinkId) -> Result<SyncStream, OpenError> {
        let (answer, result) = oneshot::channel();
        self.requests.send(Request::OpenSync { link, answer }).await.map_err(|_| OpenError::Busy)?;
        result.await.unwrap_or(Err(OpenError::LinkGone))
    }

    /// The state of the network, always the latest.
    pub fn status(&self) -> watch::Receiver<NetStatus> {
        self.status.clone()
    }

    /// What went over all connections since the start, those that have ended included.
    pub fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }

    /// All connected peers; none when the network has stopped.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        let (answer, peers) = oneshot::channel();
        let _ = self.requests.send(Request::Peers(answer)).await;
        peers.await.unwrap_or_default()
    }

    /// Nodes by which a guest may join, for an invite.
    pub async fn invite_peers(&self) -> InvitePeers {
        let (answer, peers) = oneshot::channel();
        let _ = self.requests.send(Request::InvitePeers(answer)).await;
        peers.await.unwrap_or_default()
    }

    /// Closes all connections, says a last [`NetEvent::PeerCache`], and returns when the task has ended.
    pub async fn shutdown(&self) {
        let (answer, ended) = oneshot::channel();
        let _ = self.requests.send(Request::Shutdown(answer)).await;
        let _ = ended.await;
    }
}

/// What the network tells, in four bounded lanes, read in this order: links and results, pushes, sync
/// streams, gossip.
#[derive(Debug)]
pub struct NetEvents {
    pub(crate) control: mpsc::Receiver<NetEvent>,
    pub(crate) pushes: mpsc::Receiver<NetEvent>,
    pub(crate) syncs: mpsc::Receiver<NetEvent>,
    pub(crate) gossip: mpsc::Receiver<NetEvent>,
}

impl NetEvents {
    /// The next event; `None` when the network has stopped and everything was read. Cancel safe.
    pub async fn next(&mut self) -> Option<NetEvent> {
        tokio::select! {
            biased;
            Some(event) = self.control.recv() => Some(event),
            Some(event) = self.pushes.recv() => Some(event),
            Some(event) = self.syncs.recv() => Some(event),
            Some(event) = self.gossip.recv() => Some(event),
            else => None,
        }
    }
}

/// The network's ends of the lanes.
pub(crate) struct Lanes {
    pub(crate) control: mpsc::Sender<NetEvent>,
    pub(crate) pushes: mpsc::Sender<NetEvent>,
    pub(crate) syncs: mpsc::Sender<NetEvent>,
    pub(crate) gossip: mpsc::Sender<NetEvent>,
}

//! What links carry: gossip with its verdicts, pushes, syncs.

use std::time::Duration;

use libp2p::Stream;
use libp2p::gossipsub::{self, MessageAcceptance, PublishError};
use libp2p::swarm::ConnectionId;
use starling_wire::envelope::TopicId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Purpose, Task};
use crate::address::NodeKey;
use crate::event::{Acceptance, LinkId, NetEvent, OpenError, Refusal};
use crate::peers::Peer;
use crate::streams::push::{answer_push, is_cell, read_cell, send_cell};
use crate::streams::{self, Protocol, SyncStream};

/// Time to open a `sync/1` stream, and time for an inbound one to be taken from the lane.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// A cell that a peer pushed, and where its answer goes.
pub(super) struct InboundCell {
    from: NodeKey,
    cell: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

/// The next cell, once there is room in the lane to tell it. Cancel safe.
pub(super) async fn next_cell(
    lane: &mpsc::Sender<NetEvent>,
    cells: &mut mpsc::Receiver<InboundCell>,
) -> Option<InboundCell> {
    // The permit is given back: only this task sends into the lane, so the room stays.
    let room = lane.reserve().await;
    match room {
        Ok(_) => cells.recv().await,
        Err(_) => None,
    }
}

impl Task {
    pub(super) fn publish(&mut self, request: u64, topic: TopicId, bytes: Vec<u8>) {
        let topic = crate::behaviour::gossip_topic(&self.parameters, topic);
        let result = match self.swarm.behaviour_mut().gossip.inner.publish(topic, bytes) {
            Ok(_) | Err(PublishError::Duplicate) => Ok(()),
            Err(PublishError::NoPeersSubscribedToTopic) => Err(Refusal::NoPeers),
            Err(PublishError::AllQueuesFull(_)) => Err(Refusal::Busy),
            Err(_) => Err(Refusal::Refused),
        };
        self.outbox.push(NetEvent::Done { request, result });
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                let Some(node) = NodeKey::from_peer_id(&propagation_source) else { return };
                self.on_message(node, message_id, message.data);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => self.on_subscription(&peer_id, &topic, true),
            gossipsub::Event::Unsubscribed { peer_id, topic } => self.on_subscription(&peer_id, &topic, false),
            _ => {}
        }
    }

    fn on_subscription(&mut self, peer_id: &libp2p::PeerId, topic: &gossipsub::TopicHash, subscribed: bool) {
        let peer = NodeKey::from_peer_id(peer_id).and_then(|node| self.peers.get_mut(&node));
        if let (Some(peer), true) = (peer, *topic == self.topic) {
            peer.subscribed = subscribed;
        }
    }

    /// Takes a credit and tells the message; without credit or room it is ignored, and sync brings it later.
    fn on_message(&mut self, node: NodeKey, message: gossipsub::MessageId, bytes: Vec<u8>) {
        let now_ms = self.now_ms();
        let link = self.peers.get(&node).map(|peer| peer.link);
        let token = link.and_then(|_| self.tokens.take(message.clone(), node, now_ms));
        if let (Some(link), Some(token)) = (link, token) {
            match self.lanes.gossip.try_send(NetEvent::Gossip { token, link, bytes }) {
                Ok(()) => return,
                Err(_) => drop(self.tokens.answer(token)),
            }
        }
        self.status.send_modify(|status| status.gossip_dropped += 1);
        self.settle_message(&message, &node, MessageAcceptance::Ignore);
    }

    pub(super) fn verdict(&mut self, token: u64, verdict: Acceptance) {
        let Some(waiting) = self.tokens.answer(token) else { return };
        let acceptance = match verdict {
            Acceptance::Accept => MessageAcceptance::Accept,
            Acceptance::Ignore => MessageAcceptance::Ignore,
            Acceptance::Reject => MessageAcceptance::Reject,
        };
        if let (Acceptance::Accept, Some(peer)) = (verdict, self.peers.get_mut(&waiting.peer)) {
            peer.delivered = peer.delivered.saturating_add(1);
        }
        self.settle_message(&waiting.message, &waiting.peer, acceptance);
    }

    fn settle_message(&mut self, message: &gossipsub::MessageId, from: &NodeKey, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gossip.inner;
        gossip.report_message_validation_result(message, &from.peer_id(), acceptance);
    }

    pub(super) fn on_stream(&mut self, event: streams::Event) {
        match event {
            streams::Event::Opened { request, stream } => match self.purposes.remove(&request) {
                Some(Purpose::Link(node, connection)) => self.on_link_opened(node, connection, request, stream),
                Some(Purpose::Task(task)) => drop(task.send(stream)),
                None => {}
            },
            streams::Event::Failed { request } => {
                if let Some(Purpose::Link(node, _)) = self.purposes.remove(&request) {
                    self.on_link_failed(node, request);
                }
            }
            streams::Event::Inbound { peer, connection, protocol, stream } => {
                if let Some(node) = NodeKey::from_peer_id(&peer) {
                    self.on_inbound(node, connection, protocol, stream);
                }
            }
        }
    }

    fn on_inbound(&mut self, node: NodeKey, connection: ConnectionId, protocol: Protocol, stream: Stream) {
        match protocol {
            Protocol::Link => self.on_link_inbound(node, connection, stream),
            Protocol::Sync => self.on_sync_inbound(node, stream),
            Protocol::Push => self.on_push_inbound(node, stream),
        }
    }

    /// Counts a refused stream against its peer.
    pub(super) fn refuse_stream(&mut self, node: NodeKey) {
        let now_ms = self.now_ms();
        if self.peers.get_mut(&node).is_some_and(|peer| peer.refuse_stream(now_ms)) {
            self.penalize(node);
        }
    }

    fn linked(&self, link: LinkId) -> Option<(NodeKey, ConnectionId)> {
        let node = self.peers.by_link(link)?;
        let peer = self.peers.get(&node).filter(|peer| peer.up)?;
        Some((node, peer.best_connection()?))
    }

    /// Asks for a stream of ours; the receiver gets it, or an end when there will be none.
    fn open(&mut self, node: NodeKey, connection: ConnectionId, protocol: Protocol) -> oneshot::Receiver<Stream> {
        let (sender, receiver) = oneshot::channel();
        self.next_stream += 1;
        self.purposes.insert(self.next_stream, Purpose::Task(sender));
        self.swarm.behaviour_mut().streams.open(node.peer_id(), connection, protocol, self.next_stream);
        receiver
    }

    pub(super) fn push(&mut self, request: u64, link: LinkId, cell: Vec<u8>) {
        let ready = match (self.linked(link), self.pushes_out.clone().try_acquire_owned()) {
            _ if !is_cell(cell.len()) => Err(Refusal::Refused),
            (None, _) => Err(Refusal::LinkGone),
            (_, Err(_)) => Err(Refusal::Busy),
            (Some(target), Ok(place)) => Ok((target, place)),
        };
        let ((node, connection), place) = match ready {
            Ok(ready) => ready,
            Err(refusal) => return self.outbox.push(NetEvent::Done { request, result: Err(refusal) }),
        };
        let opened = self.open(node, connection, Protocol::Push);
        let patience = Duration::from_millis(self.parameters.push_timeout_ms.into());
        let pushed = self.pushed.0.clone();
        tokio::spawn(async move {
            let exchange = async {
                let stream = opened.await.map_err(|_| Refusal::LinkGone)?;
                send_cell(stream, &cell, patience).await
            };
            let result = timeout(patience, exchange).await.unwrap_or(Err(Refusal::TimedOut));
            let _ = pushed.send((request, result)).await;
            drop(place);
        });
    }

    fn on_push_inbound(&mut self, node: NodeKey, mut stream: Stream) {
        let place = self.peers.get(&node).filter(|peer| peer.up).and_then(|peer| peer.place(Protocol::Push));
        let (Some(place), Ok(total)) = (place, self.pushes_in.clone().try_acquire_owned()) else {
            return self.refuse_stream(node);
        };
        let cells = self.cells.0.clone();
        // The peer gives up after the same time, so an answer later than this is for nobody.
        let patience = Duration::from_millis(self.parameters.push_timeout_ms.into());
        tokio::spawn(async move {
            let _places = (place, total);
            let Some(cell) = read_cell(&mut stream).await else { return };
            let (answer, answered) = oneshot::channel();
            let answered = async {
                cells.send(InboundCell { from: node, cell, answer }).await.ok()?;
                answered.await.ok()
            };
            if let Ok(Some(taken)) = timeout(patience, answered).await {
                answer_push(stream, taken).await;
            }
        });
    }

    pub(super) fn on_cell(&mut self, inbound: InboundCell) {
        let InboundCell { from, cell, answer } = inbound;
        let Some(link) = self.peers.get(&from).filter(|peer| peer.up).map(|peer| peer.link) else { return };
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        if self.lanes.pushes.try_send(NetEvent::Push { link, ticket, cell }).is_ok() {
            self.tickets.insert(ticket, answer);
        }
    }

    pub(super) fn open_sync(&mut self, link: LinkId, answer: oneshot::Sender<Result<SyncStream, OpenError>>) {
        let ready = match (self.linked(link), self.syncs_out.clone().try_acquire_owned()) {
            (None, _) => Err(OpenError::LinkGone),
            (_, Err(_)) => Err(OpenError::Busy),
            (Some(target), Ok(place)) => Ok((target, place)),
        };
        let ((node, connection), place) = match ready {
            Ok(ready) => ready,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let opened = self.open(node, connection, Protocol::Sync);
        tokio::spawn(async move {
            let result = match timeout(SYNC_TIMEOUT, opened).await {
                Ok(Ok(stream)) => Ok(SyncStream::new(stream, vec![place])),
                Ok(Err(_)) | Err(_) => Err(OpenError::Refused),
            };
            let _ = answer.send(result);
        });
    }

    fn on_sync_inbound(&mut self, node: NodeKey, stream: Stream) {
        let ready = self.peers.get(&node).filter(|peer| peer.up).and_then(|peer: &Peer| {
            Some((peer.link, vec![peer.place(Protocol::Sync)?, self.syncs_in.clone().try_acquire_owned().ok()?]))
        });
        let Some((link, places)) = ready else { return self.refuse_stream(node) };
        let event = NetEvent::SyncInbound { link, stream: SyncStream::new(stream, places) };
        let lane = self.lanes.syncs.clone();
        // Waits for room in the lane for as long as the peer may wait for a first byte; nothing of the
        // peer's is read meanwhile.
        tokio::spawn(async move { timeout(SYNC_TIMEOUT, lane.send(event)).await });
    }
}

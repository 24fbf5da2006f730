//! The link plan put into practice: what it sees, what it wants done, and the `link/1` streams by which
//! both ends know that a link is held. SPEC: B14, B15.

use libp2p::swarm::ConnectionId;
use starling_wire::descriptor::NodeDescriptor;
use starling_wire::limits::{DESCRIPTOR_LIFETIME_S, LINK_FULL_OTHERS_MAX, LINK_OTHERS_MAX};
use starling_wire::link_frame::{Hold, HoldFull, HoldOk, LinkFrame, RefusalReason};
use tokio::sync::oneshot;

use super::{LISTEN_GRACE_MS, Purpose, Task, unix_ms};
use crate::address::NodeKey;
use crate::discovery::{Source, own_addresses};
use crate::event::NetEvent;
use crate::links::{Action, Link, Outcome, View};
use crate::peers::{Held, Opening, Peer};
use crate::streams::Protocol;
use crate::streams::link::{Asked, Context, Hello, LinkAnswer, LinkStream, Reply, answer_link, open_link};

/// Our descriptor is signed anew when it is this old.
const RESIGN_S: u64 = DESCRIPTOR_LIFETIME_S / 4;
/// A connection whose link was refused is closed once the refusal had time to arrive.
const REFUSAL_MS: u64 = 1_000;

impl Task {
    /// Runs the plan, if anything happened that it cares about.
    pub(super) fn run_plan(&mut self) {
        let now_ms = self.now_ms();
        if !self.plan_due || (self.listening.is_empty() && now_ms < LISTEN_GRACE_MS) {
            if self.plan_due {
                self.next_tick_ms = self.next_tick_ms.min(LISTEN_GRACE_MS);
            }
            return;
        }
        self.plan_due = false;
        let links = self.links();
        let peers = &self.peers;
        let candidates =
            self.book.candidates(|node| peers.get(node).is_some(), |node| peers.get(node).is_some_and(Peer::is_linked));
        let view = View { candidates: &candidates, links: &links };
        let actions = self.plan.tick(&view, now_ms, &mut self.rng);
        for action in actions {
            self.act(action);
        }
        let next_ms = self.plan.next_tick_ms(!links.is_empty(), now_ms);
        self.next_tick_ms = self.next_tick_ms.min(next_ms);
    }

    fn links(&self) -> Vec<Link> {
        let group = |peer: &Peer| self.book.plan_group(peer.connections.last()?.ip?);
        self.peers.links(group, |node| self.book.is_anchor(node))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open(node) => match self.peers.get(&node).and_then(Peer::best_connection) {
                Some(connection) => self.begin_link(node, connection),
                None => self.dial(node),
            },
            Action::Release(node) => {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.outbound = None;
                    self.settle(node);
                }
            }
        }
    }

    /// Tells the plan how an attempt ended.
    pub(super) fn finished(&mut self, node: NodeKey, outcome: Outcome) {
        let now_ms = self.now_ms();
        if let Some(release) = self.plan.finished(node, outcome, now_ms) {
            self.act(release);
        }
        self.plan_due = true;
    }

    /// Opens `link/1` on a connection, unless that is under way.
    pub(super) fn begin_link(&mut self, node: NodeKey, connection: ConnectionId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.opening.is_some() {
            return;
        }
        self.next_stream += 1;
        let serial = self.next_stream;
        peer.opening = Some(Opening { serial, keep: None });
        self.purposes.insert(serial, Purpose::Link(node, connection));
        self.swarm.behaviour_mut().streams.open(node.peer_id(), connection, Protocol::Link, serial);
    }

    /// The stream is open: our Hold goes out.
    pub(super) fn on_link_opened(
        &mut self,
        node: NodeKey,
        connection: ConnectionId,
        serial: u64,
        stream: libp2p::Stream,
    ) {
        let hold = self.hold_frame(&node);
        let context = self.context(node, connection, serial);
        let opening = self.peers.get_mut(&node).and_then(|peer| peer.opening.as_mut());
        let (Some(opening), Some(hold)) = (opening.filter(|opening| opening.serial == serial), hold) else { return };
        let (keep, kept) = oneshot::channel();
        opening.keep = Some(keep);
        tokio::spawn(open_link(context, stream, hold, kept));
    }

    /// The stream did not open.
    pub(super) fn on_link_failed(&mut self, node: NodeKey, serial: u64) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.opening.as_ref().is_some_and(|opening| opening.serial == serial)
        {
            peer.opening = None;
            self.finished(node, Outcome::Failed);
        }
    }

    /// A peer opened `link/1`.
    pub(super) fn on_link_inbound(&mut self, node: NodeKey, connection: ConnectionId, stream: libp2p::Stream) {
        let now_ms = self.now_ms();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let place = if peer.may_hold(now_ms) { peer.place(Protocol::Link) } else { None };
        match place {
            Some(place) => {
                self.next_stream += 1;
                let context = self.context(node, connection, self.next_stream);
                tokio::spawn(answer_link(context, stream, place));
            }
            None => self.refuse_stream(node),
        }
    }

    pub(super) fn on_link_stream(&mut self, event: LinkStream) {
        match event {
            LinkStream::Asked { peer, connection, serial, asked, reply } => {
                self.on_asked(peer, connection, serial, asked, reply);
            }
            LinkStream::Answered { peer, connection, serial, answer } => {
                self.on_answered(peer, connection, serial, answer);
            }
            LinkStream::Ended { peer, serial } => self.on_ended(peer, serial),
        }
    }

    fn on_asked(
        &mut self,
        node: NodeKey,
        connection: ConnectionId,
        serial: u64,
        asked: Asked,
        reply: oneshot::Sender<Reply>,
    ) {
        let answer = |frame: LinkFrame| Reply { frame: frame.encode().unwrap_or_default(), keep: None };
        match asked {
            Asked::Hold(hello) => self.on_hold(node, connection, serial, hello, reply),
            Asked::WrongParameters => {
                let _ = reply.send(answer(LinkFrame::Refused(RefusalReason::WRONG_PARAMETERS)));
                self.mismatch(node);
            }
            Asked::WrongVersion => {
                let _ = reply.send(answer(LinkFrame::Refused(RefusalReason::WRONG_VERSION)));
                self.closing.push((self.now_ms().saturating_add(REFUSAL_MS), node));
            }
            Asked::Fault => self.penalize(node),
        }
    }

    fn on_hold(
        &mut self,
        node: NodeKey,
        connection: ConnectionId,
        serial: u64,
        hello: Hello,
        reply: oneshot::Sender<Reply>,
    ) {
        let now_ms = self.now_ms();
        let links = self.links();
        let Some(peer) = self.peers.get(&node) else { return };
        let Some(over) = peer.connections.iter().find(|known| known.id == connection) else { return };
        let (scope, group) = (over.scope, over.ip.and_then(|ip| self.book.plan_group(ip)));
        if !self.plan.accepts(&node, group, &links, now_ms) {
            let _ = reply.send(Reply { frame: self.full_frame(&node), keep: None });
            // We may want a link with it ourselves: a node whose links were all chosen by others is easily
            // surrounded.
            self.plan_due |= self.book.add_descriptor(hello.descriptor, Source::Itself(scope));
            self.learn(node, hello.others, scope);
            return;
        }
        let Some(frame) = self.ok_frame(&node) else { return };
        let (keep, kept) = oneshot::channel();
        let told = reply.send(Reply { frame, keep: Some(kept) });
        if let (Ok(()), Some(peer)) = (told, self.peers.get_mut(&node)) {
            // A newer Hold takes the place of an older one, whose connection may be dead without our knowing.
            peer.inbound = Some(Held { serial, since_ms: now_ms, connection, _keep: keep });
            self.greet(node, connection, scope, hello);
        }
    }

    fn on_answered(&mut self, node: NodeKey, connection: ConnectionId, serial: u64, answer: LinkAnswer) {
        let now_ms = self.now_ms();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let Some(opening) = peer.opening.take_if(|opening| opening.serial == serial) else { return };
        let over = peer.connections.iter().find(|known| known.id == connection);
        let Some(scope) = over.map(|over| over.scope) else {
            return self.finished(node, Outcome::Failed);
        };
        match answer {
            LinkAnswer::Held(hello) => {
                let Some(keep) = opening.keep else { return self.finished(node, Outcome::Failed) };
                peer.outbound = Some(Held { serial, since_ms: now_ms, connection, _keep: keep });
                self.finished(node, Outcome::Held);
                self.greet(node, connection, scope, hello);
            }
            LinkAnswer::Full(others) => {
                self.finished(node, Outcome::Full);
                self.learn(node, others, scope);
            }
            LinkAnswer::Refused(RefusalReason::WRONG_PARAMETERS) => {
                self.finished(node, Outcome::Failed);
                self.mismatch(node);
            }
            LinkAnswer::Refused(reason) => {
                tracing::debug!(?node, %reason, "link refused");
                self.finished(node, Outcome::Failed);
            }
            LinkAnswer::Broken => self.finished(node, Outcome::Failed),
            LinkAnswer::Fault => {
                self.finished(node, Outcome::Failed);
                self.penalize(node);
            }
        }
    }

    fn on_ended(&mut self, node: NodeKey, serial: u64) {
        let now_ms = self.now_ms();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.inbound.take_if(|held| held.serial == serial).is_some() {
            self.settle(node);
        } else if let Some(held) = peer.outbound.take_if(|held| held.serial == serial) {
            let held_ms = now_ms.saturating_sub(held.since_ms);
            self.settle(node);
            self.finished(node, Outcome::Lost { held_ms });
        }
    }

    /// The link is held: takes in what the peer said of itself and of others, and tells.
    fn greet(&mut self, node: NodeKey, connection: ConnectionId, scope: crate::address::AddressScope, hello: Hello) {
        let now_unix_ms = unix_ms();
        let clock_offset_ms = i64::try_from(i128::from(hello.unix_ms) - i128::from(now_unix_ms)).unwrap_or(i64::MAX);
        let onion_key = *hello.descriptor.onion_key();
        self.book.add_descriptor(hello.descriptor, Source::Itself(scope));
        self.book.met(&node, now_unix_ms / 1_000);
        self.learn(node, hello.others, scope);
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.clock_offset_ms = Some(clock_offset_ms);
        let known = peer.onion_key.replace(onion_key);
        if peer.up && known == Some(onion_key) {
            return;
        }
        if peer.up {
            // Another process of the same node: what is sealed to the key before, nobody opens.
            let dead = peer.restarted(connection);
            self.outbox.push(NetEvent::LinkDown { link: peer.link });
            for dead in dead {
                self.swarm.close_connection(dead);
            }
        }
        peer.up = true;
        let (link, outbound) = (peer.link, peer.outbound.is_some());
        let ip = peer.connections.last().and_then(|connection| connection.ip);
        let group = self.book.group(ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()));
        self.outbox.push(NetEvent::LinkUp { link, group, outbound, onion_key, clock_offset_ms });
        let now_ms = self.now_ms();
        self.remember(now_ms);
        self.plan_due = true;
    }

    /// Tells the end of a link that is held in neither direction any more.
    fn settle(&mut self, node: NodeKey) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.up
            && !peer.is_linked()
        {
            peer.up = false;
            self.outbox.push(NetEvent::LinkDown { link: peer.link });
        }
        self.plan_due = true;
    }

    fn learn(
        &mut self,
        teller: NodeKey,
        others: Vec<starling_wire::descriptor::VerifiedDescriptor>,
        scope: crate::address::AddressScope,
    ) {
        self.plan_due |= self.book.add_others(others, Source::Peer(teller, scope));
    }

    /// A peer of this network's name has other parameters: nobody's fault, but nothing can come of it.
    fn mismatch(&mut self, node: NodeKey) {
        self.status.send_modify(|status| status.parameters_mismatches += 1);
        self.outbox.push(NetEvent::ParametersMismatch { node });
        let now_ms = self.now_ms();
        if !self.plan.is_pending(&node) && now_ms >= self.plan.left_alone_until_ms(&node) {
            self.finished(node, Outcome::Failed);
        }
        self.closing.push((now_ms.saturating_add(REFUSAL_MS), node));
        // Else the DHT's queries would bring it back, to gossip what does not fit here.
        self.book.forget(&node);
        self.swarm.behaviour_mut().kad.inner.remove_peer(&node.peer_id());
    }

    fn context(&self, peer: NodeKey, connection: ConnectionId, serial: u64) -> Context {
        Context {
            peer,
            connection,
            serial,
            parameters_hash: self.parameters_hash,
            now_unix_s: self.unix_s(),
            events: self.link_streams.0.clone(),
        }
    }

    fn hold_frame(&mut self, to: &NodeKey) -> Option<Vec<u8>> {
        let descriptor = self.own_descriptor()?;
        let others = self.book.share(LINK_OTHERS_MAX, to, self.unix_s(), &mut self.rng);
        let hold = Hold { parameters_hash: self.parameters_hash, unix_ms: unix_ms(), descriptor, others };
        LinkFrame::Hold(hold).encode().ok()
    }

    fn ok_frame(&mut self, to: &NodeKey) -> Option<Vec<u8>> {
        let descriptor = self.own_descriptor()?;
        let others = self.book.share(LINK_OTHERS_MAX, to, self.unix_s(), &mut self.rng);
        LinkFrame::Ok(HoldOk { unix_ms: unix_ms(), descriptor, others }).encode().ok()
    }

    fn full_frame(&mut self, to: &NodeKey) -> Vec<u8> {
        let others = self.book.share(LINK_FULL_OTHERS_MAX, to, self.unix_s(), &mut self.rng);
        LinkFrame::Full(HoldFull { unix_ms: unix_ms(), others }).encode().unwrap_or_default()
    }

    /// Our descriptor, signed anew when our addresses changed or it grew old. A node without any address
    /// names the unspecified one, which nobody dials.
    fn own_descriptor(&mut self) -> Option<NodeDescriptor> {
        let now_s = self.unix_s();
        if let Some((descriptor, signed_s)) = &self.descriptor
            && (*signed_s..signed_s.saturating_add(RESIGN_S)).contains(&now_s)
        {
            return Some(descriptor.clone());
        }
        let mut addresses = own_addresses(&self.external, &self.listening, self.parameters.scope);
        if addresses.is_empty() {
            addresses.push(libp2p::multiaddr::multiaddr!(Ip4([0, 0, 0, 0]), Tcp(0u16)));
        }
        let bytes: Vec<Vec<u8>> = addresses.iter().map(libp2p::Multiaddr::to_vec).collect();
        let expiry_s = now_s.saturating_add(DESCRIPTOR_LIFETIME_S);
        let descriptor = NodeDescriptor::sign(&self.signing, self.onion_public, expiry_s, &bytes).ok()?;
        self.descriptor = Some((descriptor.clone(), now_s));
        Some(descriptor)
    }
}

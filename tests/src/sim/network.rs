//! Links and gossip between machines: who is linked with whom, and how envelopes spread.
//!
//! As in the daemon a node keeps up to eight links that it dialed and takes up to 24; gossip goes over a
//! mesh of about six of them, and every node hears an envelope once until its cache forgets. What a hop
//! does to a message is drawn: it is late, lost, doubled or overtaken.

use rand_core::Rng;
use starling_messenger::turn::{AddressGroup, GossipToken, Input, LinkId, RequestId, Verdict};
use starling_relay::admit::Route;
use starling_relay::penalty::{Fault, Penalty};
use starling_wire::envelope::Envelope;

use super::check::Rule;
use super::event::{Event, Place};
use super::node::Pending;
use super::plan::{HOUR_MS, SECOND_MS, Span, below, chance};
use super::world::World;

/// Links that a node dials.
const LINKS_OUT: usize = 8;
/// Links that a node takes.
const LINKS_IN_MAX: usize = 24;
/// Links of a node that carry gossip, when it makes one.
const MESH_MAX: usize = 8;
/// Below this many, links that do not carry gossip begin to.
const MESH_MIN: usize = 5;
/// How long gossip remembers what came.
const GOSSIP_CACHE_MS: u64 = 2 * HOUR_MS;

/// A connection of two nodes. Its ends are numbered `2 * link` (who dialed) and `2 * link + 1`.
#[derive(Debug)]
pub(super) struct Link {
    /// Who dialed, and who was dialed.
    pub(super) ends: [Place; 2],
    /// Which ends still believe in it.
    pub(super) up: [bool; 2],
    /// Whether it carries gossip.
    pub(super) mesh: bool,
    /// Time a message takes at least.
    pub(super) latency_ms: u64,
}

/// The other end.
pub(super) fn other_end(end: LinkId) -> LinkId {
    LinkId(end.0 ^ 1)
}

fn side(end: LinkId) -> usize {
    (end.0 & 1) as usize
}

impl World {
    /// The node at an end, if that end still believes in the link.
    pub(super) fn node_at(&self, end: LinkId) -> Option<Place> {
        let link = self.links.get(&(end.0 / 2))?;
        link.up[side(end)].then_some(link.ends[side(end)])
    }

    /// The node at an end whether or not it still believes in the link.
    pub(super) fn place_of(&self, end: LinkId) -> Option<Place> {
        self.links.get(&(end.0 / 2)).map(|link| link.ends[side(end)])
    }

    /// Whether something that arrives at `end` arrives at all: both ends stand, the receiver listens, and
    /// the network has not fallen apart between them.
    pub(super) fn arrives(&self, end: LinkId) -> Option<Place> {
        let (to, from) = (self.node_at(end)?, self.node_at(other_end(end))?);
        let (receiver, sender) = (&self.nodes[to], &self.nodes[from]);
        (receiver.is_online() && sender.is_online() && receiver.island == sender.island).then_some(to)
    }

    /// The time of a hop over a link; none if the message is lost.
    pub(super) fn hop_ms(&mut self, end: LinkId) -> Option<u64> {
        let latency_ms = self.links.get(&(end.0 / 2))?.latency_ms;
        if self.calm {
            return Some(latency_ms + below(&mut self.rng, 5));
        }
        if chance(&mut self.rng, self.plan.bad.loss_percent) {
            return None;
        }
        // Two draws make long delays rare.
        let jitter_ms =
            below(&mut self.rng, self.plan.bad.jitter_ms + 1).min(below(&mut self.rng, self.plan.bad.jitter_ms + 1));
        let very_late = chance(&mut self.rng, 2);
        Some(latency_ms + if very_late { jitter_ms * 8 } else { jitter_ms })
    }

    fn mesh_of(&self, place: Place) -> usize {
        self.nodes[place].links.iter().filter(|end| self.links.get(&(end.0 / 2)).is_some_and(|link| link.mesh)).count()
    }

    fn links_of_side(&self, place: Place, of: usize) -> usize {
        self.nodes[place].links.iter().filter(|&&end| side(end) == of).count()
    }

    /// Lets a node look for neighbours in a while.
    pub(super) fn dial_soon(&mut self, place: Place, in_ms: u64) {
        let node = &mut self.nodes[place];
        if !node.dialing {
            node.dialing = true;
            let life = node.life;
            self.queue.put(self.at_ms + in_ms, Event::Dial { node: place, life });
        }
    }

    /// A node looks for neighbours, two at a time.
    pub(super) fn on_dial(&mut self, place: Place, life: u32) {
        if self.nodes[place].life != life {
            return;
        }
        self.nodes[place].dialing = false;
        if !self.nodes[place].is_online() {
            return;
        }
        let out = self.links_of_side(place, 0);
        if out >= LINKS_OUT {
            return;
        }
        let mut candidates = self.candidates(place);
        let found = !candidates.is_empty();
        for _ in 0..2.min(LINKS_OUT - out) {
            if candidates.is_empty() {
                break;
            }
            let peer = candidates.swap_remove(below(&mut self.rng, candidates.len() as u64) as usize);
            self.dial(place, peer);
        }
        let patience_ms = match self.plan.span {
            Span::Minutes => 10 * SECOND_MS,
            Span::Days | Span::Weeks => 300 * SECOND_MS,
        };
        self.dial_soon(place, if found { SECOND_MS } else { patience_ms });
    }

    /// How often a node replaces a neighbour. The daemon does it every 20 minutes; in long runs less often will do.
    pub(super) fn rotation_ms(&self) -> u64 {
        match self.plan.span {
            Span::Minutes => HOUR_MS / 3,
            Span::Days => HOUR_MS,
            Span::Weeks => 4 * HOUR_MS,
        }
    }

    /// A node replaces one of its neighbours by another one, the new one first.
    pub(super) fn on_rotate(&mut self, place: Place) {
        self.queue.put(self.at_ms + self.rotation_ms(), Event::Rotate { node: place });
        if !self.nodes[place].is_online() {
            return;
        }
        let candidates = self.candidates(place);
        let dialed: Vec<LinkId> = self.nodes[place].links.iter().copied().filter(|&end| side(end) == 0).collect();
        if candidates.is_empty() || dialed.len() < LINKS_OUT {
            return;
        }
        let new = candidates[below(&mut self.rng, candidates.len() as u64) as usize];
        let old = dialed[below(&mut self.rng, dialed.len() as u64) as usize];
        self.dial(place, new);
        self.close(old);
    }

    fn candidates(&self, place: Place) -> Vec<Place> {
        let node = &self.nodes[place];
        let linked: Vec<Place> = node.links.iter().filter_map(|&end| self.place_of(other_end(end))).collect();
        let reachable = |&peer: &Place| {
            let other = &self.nodes[peer];
            peer != place
                && other.is_online()
                && other.island == node.island
                && !linked.contains(&peer)
                && self.links_of_side(peer, 1) < LINKS_IN_MAX
        };
        (0..self.nodes.len()).filter(reachable).collect()
    }

    fn dial(&mut self, from: Place, to: Place) {
        let link = self.next_link;
        self.next_link += 1;
        let latency_ms = 3 + below(&mut self.rng, 60);
        self.links.insert(link, Link { ends: [from, to], up: [false, false], mesh: false, latency_ms });
        self.queue.put(self.at_ms + 3 * latency_ms, Event::Linked { link });
    }

    /// Two nodes have shaken hands.
    pub(super) fn on_linked(&mut self, number: u64) {
        let Some(link) = self.links.get(&number) else { return };
        let [a, b] = link.ends;
        let both = self.nodes[a].is_online() && self.nodes[b].is_online();
        let twice = self.nodes[a].links.iter().any(|&end| self.place_of(other_end(end)) == Some(b));
        if !both || twice || self.nodes[a].island != self.nodes[b].island {
            self.links.remove(&number);
            return;
        }
        let mesh = self.mesh_of(a) < MESH_MAX && self.mesh_of(b) < MESH_MAX;
        if let Some(link) = self.links.get_mut(&number) {
            (link.up, link.mesh) = ([true, true], mesh);
        }
        for (place, end) in [(a, LinkId(number * 2)), (b, LinkId(number * 2 + 1))] {
            self.nodes[place].links.insert(end);
        }
        for (place, peer, end) in [(a, b, LinkId(number * 2)), (b, a, LinkId(number * 2 + 1))] {
            let clock_offset_ms = self.nodes[peer].skew_ms - self.nodes[place].skew_ms;
            let group = AddressGroup { narrow: peer as u64, wide: peer as u64 };
            let onion_key = self.nodes[peer].onion_key();
            let outbound = side(end) == 0;
            let name = self.nodes[peer].name.clone();
            self.note(place, || format!("links with {name}"));
            self.step(place, Input::LinkUp { link: end, group, outbound, onion_key, clock_offset_ms });
        }
    }

    /// A node is gone at once; its neighbours notice after a while.
    pub(super) fn leave_links(&mut self, place: Place) {
        for end in std::mem::take(&mut self.nodes[place].links) {
            self.end_fell(end);
            let notice_ms = 50 + below(&mut self.rng, 20 * SECOND_MS);
            self.queue.put(self.at_ms + notice_ms, Event::Lost { link: other_end(end) });
        }
    }

    fn end_fell(&mut self, end: LinkId) {
        if let Some(link) = self.links.get_mut(&(end.0 / 2)) {
            link.up[side(end)] = false;
            if link.up == [false, false] {
                self.links.remove(&(end.0 / 2));
            }
        }
    }

    /// The neighbours of a node that fell asleep notice after a while.
    pub(super) fn links_go_silent(&mut self, place: Place) {
        for end in self.nodes[place].links.clone() {
            let notice_ms = 10 * SECOND_MS + below(&mut self.rng, 20 * SECOND_MS);
            self.queue.put(self.at_ms + notice_ms, Event::Lost { link: other_end(end) });
        }
    }

    /// A node that woke finds all of its links gone, one after another.
    pub(super) fn links_were_lost(&mut self, place: Place) {
        for end in self.nodes[place].links.clone() {
            let notice_ms = below(&mut self.rng, 3 * SECOND_MS);
            self.queue.put(self.at_ms + notice_ms, Event::Lost { link: end });
            self.queue.put(self.at_ms + notice_ms, Event::Lost { link: other_end(end) });
        }
    }

    /// An end notices that the link is gone.
    pub(super) fn on_lost(&mut self, end: LinkId) {
        let Some(place) = self.node_at(end) else { return };
        if self.nodes[place].asleep_until_ms.is_some() {
            return;
        }
        let peer = self.place_of(other_end(end)).map(|peer| self.nodes[peer].name.clone()).unwrap_or_default();
        self.note(place, || format!("loses {peer}"));
        self.end_fell(end);
        self.nodes[place].links.remove(&end);
        self.fail_over(place, end);
        self.step(place, Input::LinkDown { link: end });
        self.mend_mesh(place);
        self.dial_soon(place, 200);
    }

    /// Closes a link from one side; the other notices soon.
    pub(super) fn close(&mut self, end: LinkId) {
        self.queue.put(self.at_ms + 1, Event::Lost { link: end });
        self.queue.put(self.at_ms + 100, Event::Lost { link: other_end(end) });
    }

    fn mend_mesh(&mut self, place: Place) {
        let missing = MESH_MIN.saturating_sub(self.mesh_of(place));
        let idle = self.nodes[place].links.iter().map(|end| end.0 / 2);
        let idle: Vec<u64> = idle.filter(|link| self.links.get(link).is_some_and(|link| !link.mesh)).collect();
        for link in idle.into_iter().take(missing) {
            if let Some(link) = self.links.get_mut(&link) {
                link.mesh = true;
            }
        }
    }

    /// Sends an envelope on to all mesh neighbours but the one it came from.
    pub(super) fn spread(&mut self, place: Place, envelope: &Envelope, except: Option<LinkId>) {
        let ends: Vec<LinkId> = self.nodes[place].links.iter().copied().filter(|&end| Some(end) != except).collect();
        for end in ends {
            if self.links.get(&(end.0 / 2)).is_none_or(|link| !link.mesh) {
                continue;
            }
            self.send_gossip(end, envelope);
        }
    }

    fn send_gossip(&mut self, end: LinkId, envelope: &Envelope) {
        let copies = if !self.calm && chance(&mut self.rng, self.plan.bad.duplicate_percent) { 2 } else { 1 };
        for copy in 0..copies {
            let Some(hop_ms) = self.hop_ms(end) else { continue };
            let past_cache = copy > 0 && chance(&mut self.rng, 20);
            let (link, envelope) = (other_end(end), envelope.clone());
            self.queue.put(self.at_ms + hop_ms, Event::Gossip { link, envelope, past_cache });
        }
    }

    /// An envelope comes by gossip.
    pub(super) fn on_gossip(&mut self, end: LinkId, envelope: Envelope, past_cache: bool) {
        let Some(place) = self.arrives(end) else { return };
        if self.nodes[place].hostile {
            return self.captures(place, envelope);
        }
        if !self.remember_gossip(place, &envelope) && !past_cache {
            return;
        }
        self.counts.gossip += 1;
        let epoch = self.epoch_of(place);
        match self.gate.check(envelope.as_bytes(), epoch, Route::Gossip) {
            Ok(checked) => {
                let token = GossipToken(self.fresh_number());
                let pending = Pending { since_ms: self.at_ms, link: end, envelope };
                self.nodes[place].tokens.insert(token, pending);
                self.step(place, Input::Gossip { token, link: end, envelope: checked });
            }
            Err(fault) => self.on_penalize(place, end, fault),
        }
    }

    /// Whether gossip has not carried it to this node yet.
    fn remember_gossip(&mut self, place: Place, envelope: &Envelope) -> bool {
        let (at_ms, cache) = (self.at_ms, &mut self.nodes[place].gossip_cache);
        if cache.len() > 4_096 {
            cache.retain(|_, since_ms| *since_ms + GOSSIP_CACHE_MS > at_ms);
        }
        let known = cache.get(&envelope.id()).is_some_and(|since_ms| since_ms + GOSSIP_CACHE_MS > at_ms);
        cache.insert(envelope.id(), at_ms);
        !known
    }

    /// A node's verdict: what it accepts goes on.
    pub(super) fn on_verdict(&mut self, place: Place, token: GossipToken, verdict: Verdict) {
        let Some(pending) = self.nodes[place].tokens.remove(&token) else {
            let name = self.nodes[place].name.clone();
            return self.violated(Rule::OneVerdict, &name, format!("a second verdict on token {}", token.0));
        };
        match verdict {
            Verdict::Accept => self.spread(place, &pending.envelope, Some(pending.link)),
            Verdict::Ignore => {}
            Verdict::Reject(fault) => self.on_penalize(place, pending.link, fault),
        }
    }

    /// A node publishes, as the exit of somebody's push.
    pub(super) fn on_publish(&mut self, place: Place, id: RequestId, envelope: &Envelope) {
        if self.plan.hostile == 0 {
            // A hostile neighbour may push anything to its own writer.
            self.checks.publishes(self.at_ms, &self.nodes[place].name, envelope);
        }
        let alone = self.nodes[place].links.is_empty();
        let new = alone || self.remember_gossip(place, envelope);
        self.note(place, || format!("publishes {:?}{}", envelope.id(), if alone { " to nobody" } else { "" }));
        if new && !alone {
            self.spread(place, envelope, None);
        }
        let result = if alone { Err(starling_messenger::turn::Refusal::NoPeers) } else { Ok(()) };
        self.nodes[place].asked.insert(id, None);
        let life = self.nodes[place].life;
        self.queue.put(self.at_ms + 1, Event::Done { node: place, life, id, result });
    }

    /// A node accuses a neighbour. An honest neighbour never deserves to be blocked.
    pub(super) fn on_penalize(&mut self, place: Place, end: LinkId, fault: Fault) {
        if fault.penalty() != Penalty::Block {
            return;
        }
        let Some(accused) = self.place_of(other_end(end)) else { return };
        if !self.nodes[accused].hostile {
            let (who, whom) = (self.nodes[place].name.clone(), self.nodes[accused].name.clone());
            self.violated(Rule::HonestUnharmed, &who, format!("accuses {whom}: {fault}"));
        }
        self.close(end);
    }

    /// Draws an island for each node.
    pub(super) fn fall_apart(&mut self, islands: u64) {
        for place in 0..self.nodes.len() {
            self.nodes[place].island = self.rng.next_u64() % islands;
        }
        let torn = |link: &Link| self.nodes[link.ends[0]].island != self.nodes[link.ends[1]].island;
        let torn: Vec<u64> = self.links.iter().filter(|(_, link)| torn(link)).map(|(&number, _)| number).collect();
        for number in torn {
            for end in [LinkId(number * 2), LinkId(number * 2 + 1)] {
                let notice_ms = 5 * SECOND_MS + below(&mut self.rng, 20 * SECOND_MS);
                self.queue.put(self.at_ms + notice_ms, Event::Lost { link: end });
            }
        }
    }

    /// All nodes reach each other again.
    pub(super) fn grow_together(&mut self) {
        for place in 0..self.nodes.len() {
            self.nodes[place].island = 0;
            let in_ms = below(&mut self.rng, 10 * SECOND_MS);
            self.dial_soon(place, in_ms);
        }
    }
}

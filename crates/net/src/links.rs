//! The link plan: which peers to link to, when, and which links to give up. Pure: no clock, no
//! sockets, no randomness of its own, so that a test can run it with a thousand nodes in virtual time.
//!
//! Why a plan and not a trimmer: gossipsub's never-ending streams hold every connection open, and
//! Kademlia's bootstrap makes everybody dial everybody. A node that closes what it has too much of
//! cuts what its neighbour counts on, and the network never settles. So nothing is trimmed here:
//! a link is wanted by the one that opened it, known to both ends (a `link/1` stream), and whatever
//! carries no link, mesh or work falls idle by itself. SPEC: B14, and "The links" of ARCHITECTURE.md.

use std::collections::BTreeMap;

use rand_core::Rng;

use crate::address::{AddressGroup, NodeKey};

/// Links that a node opens and keeps.
pub const LINKS_OUT: usize = 8;
/// Links that a node accepts.
pub const LINKS_IN_MAX: usize = 24;
/// The longest-held links of the last run, dialed first: an attacker who fills the peer cache does not
/// replace them.
pub const ANCHORS: usize = 4;
/// Below this number of links all missing ones are opened at once; above it, few at a time.
const LINKS_HURRY: usize = 4;
/// Links opened in one tick once there are some.
const OPENS_PER_TICK: usize = 2;
/// Attempts under way at once, once there are some links.
const PENDING_MAX: usize = 4;
/// Links in one /24 (IPv6: /48), opened by us.
const NARROW_OUT_MAX: usize = 3;
/// Links in one /16 (IPv6: /32), opened by us.
const WIDE_OUT_MAX: usize = 8;
/// Accepted links in one /24: a household or a provider's gateway may hold a few nodes, but one network
/// cannot fill all slots.
const NARROW_IN_MAX: usize = 6;
/// Accepted links in one /16.
const WIDE_IN_MAX: usize = 12;

/// Between two plans when nothing happens.
pub const TICK_MS: u64 = 1_000;
/// Wait after a peer answered that it is full.
const FULL_MS: u64 = 60_000;
/// First wait after a failure; doubles up to [`FAILED_MAX_MS`].
const FAILED_MS: u64 = 30_000;
/// Longest wait after failures.
const FAILED_MAX_MS: u64 = 3_600_000;
/// Wait before a link is opened again that had lived well and broke.
const LOST_MS: u64 = 1_000;
/// A link that lived this long clears the failures of its peer.
const LIVED_MS: u64 = 60_000;
/// How long a peer that broke the protocol is left alone.
pub const PENALTY_MS: u64 = 3_600_000;
/// Age at which the worst outbound link may be replaced, and the time between two replacements. Without
/// turnover an attacker who once surrounded a node would surround it for ever.
const REPLACE_MS: u64 = 20 * 60_000;
/// Longest wait, after failures and refusals alike, while there is no link at all: whoever is alone may find that
/// a peer is back, or that it was its own network that had gone.
const ALONE_MS: u64 = 10_000;
/// Wait between two rounds of dialing seeds while there is no link: doubles from the first to the second.
const SEEDS_MS: (u64, u64) = (100, 2_000);
/// An attempt of which nothing was heard for this long has failed; each of its steps has a shorter deadline
/// of its own, so this is only for what was forgotten below.
const PENDING_MS: u64 = 60_000;
/// Peers whose failures are remembered; the ones due soonest are forgotten first.
const BACKOFFS_MAX: usize = 1_024;

/// A peer that could be linked to: known, not linked, not ourselves.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Who.
    pub node: NodeKey,
    /// Where, if an address or a connection is known.
    pub group: Option<AddressGroup>,
    /// A connection is open already.
    pub connected: bool,
    /// Named by an invite, the config or the user.
    pub seed: bool,
    /// Among the longest-held links of the last run.
    pub anchor: bool,
}

/// A link that is held now.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// With whom.
    pub node: NodeKey,
    /// Where.
    pub group: Option<AddressGroup>,
    /// We opened a `link/1` stream to it.
    pub outbound: bool,
    /// It opened one to us.
    pub inbound: bool,
    /// Since when, on the clock of `now_ms`.
    pub since_ms: u64,
    /// Envelopes that it was the first to bring.
    pub delivered: u64,
    /// Never replaced.
    pub anchor: bool,
}

/// What the plan looks at. Built anew for each tick.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Peers that could be linked to.
    pub candidates: &'a [Candidate],
    /// Links held.
    pub links: &'a [Link],
}

/// What the plan wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Dial the peer unless connected, then open `link/1`; the end is told by [`Plan::finished`].
    Open(NodeKey),
    /// Close our `link/1` stream to the peer; the connection is left to fall idle.
    Release(NodeKey),
}

/// How an attempt to link, or a link, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The peer answered Ok.
    Held,
    /// The peer answered Full, or a link was given up: leave it alone for a while.
    Full,
    /// No connection, no answer, a wrong answer, other parameters.
    Failed,
    /// A link of ours broke after this long.
    Lost {
        /// How long it was held.
        held_ms: u64,
    },
}

/// An attempt under way. It remembers where its peer is: the peer may leave the candidates meanwhile, by
/// linking to us or by being forgotten, and still counts in its group.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    since_ms: u64,
    group: Option<AddressGroup>,
}

#[derive(Debug, Clone, Copy)]
struct Backoff {
    since_ms: u64,
    until_ms: u64,
    failures: u32,
    /// It broke the protocol: no seed rule shortens this.
    penalty: bool,
}

/// The plan's memory: attempts under way, peers to leave alone, the turn of the seeds.
#[derive(Debug)]
pub struct Plan {
    group_caps: bool,
    pending: BTreeMap<NodeKey, Attempt>,
    backoffs: BTreeMap<NodeKey, Backoff>,
    replace_at_ms: u64,
    /// The candidate being opened, and the link it is to replace.
    replacing: Option<(NodeKey, NodeKey)>,
    seeds_at_ms: u64,
    seeds_wait_ms: u64,
}

impl Plan {
    /// A plan that starts at `now_ms`. `group_caps`: whether links are spread over address groups; off where
    /// all addresses are of one machine or one local network.
    pub fn new(group_caps: bool, now_ms: u64, rng: &mut impl Rng) -> Self {
        Self {
            group_caps,
            pending: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            replace_at_ms: replace_time(now_ms, rng),
            replacing: None,
            seeds_at_ms: now_ms,
            seeds_wait_ms: SEEDS_MS.0,
        }
    }

    /// What to do now. Called every [`TICK_MS`], at [`Plan::next_tick_ms`], and whenever a candidate
    /// appeared or an attempt ended.
    pub fn tick(&mut self, view: &View<'_>, now_ms: u64, rng: &mut impl Rng) -> Vec<Action> {
        self.give_up_pending(now_ms);
        self.place_pending(view);
        let outbound = view.links.iter().filter(|link| link.outbound).count();
        let (opens_max, pending_max) =
            if view.links.len() < LINKS_HURRY { (LINKS_OUT, LINKS_OUT) } else { (OPENS_PER_TICK, PENDING_MAX) };
        let missing = LINKS_OUT.saturating_sub(outbound + self.pending.len());
        let opens = missing.min(opens_max).min(pending_max.saturating_sub(self.pending.len()));
        let seeds_now = self.seeds_turn(view, now_ms);
        let mut actions = Vec::new();
        if opens > 0 {
            let ranked = self.ranked(view, seeds_now, now_ms, rng);
            let mut groups = GroupCount::outbound(view, &self.pending);
            for candidate in ranked {
                if actions.len() == opens {
                    break;
                }
                if !self.group_caps || groups.take(candidate.group, NARROW_OUT_MAX, WIDE_OUT_MAX) {
                    self.begin(&candidate, now_ms);
                    actions.push(Action::Open(candidate.node));
                }
            }
        }
        if actions.is_empty() {
            actions.extend(self.replacement(view, outbound, now_ms, rng));
        }
        actions
    }

    /// When the plan wants to be asked again, at the latest.
    pub fn next_tick_ms(&self, linked: bool, now_ms: u64) -> u64 {
        let tick = now_ms.saturating_add(TICK_MS);
        if linked { tick } else { tick.min(self.seeds_at_ms.max(now_ms.saturating_add(1))) }
    }

    /// Whether `node` is being opened.
    pub fn is_pending(&self, node: &NodeKey) -> bool {
        self.pending.contains_key(node)
    }

    /// Failures of `node` in a row.
    pub fn failures(&self, node: &NodeKey) -> u32 {
        self.backoffs.get(node).map_or(0, |backoff| backoff.failures)
    }

    /// Until when `node` is left alone; 0 if it is not.
    pub fn left_alone_until_ms(&self, node: &NodeKey) -> u64 {
        self.backoffs.get(node).map_or(0, |backoff| backoff.until_ms)
    }

    /// Tells how an attempt or a link ended. The answer is the release that a successful replacement makes
    /// due.
    pub fn finished(&mut self, node: NodeKey, outcome: Outcome, now_ms: u64) -> Option<Action> {
        self.pending.remove(&node);
        let replaced = self.replacing.filter(|(candidate, _)| *candidate == node && outcome == Outcome::Held);
        self.end_replacement(&node);
        let failures = self.failures(&node);
        match outcome {
            Outcome::Held => {}
            Outcome::Full => self.leave_alone(node, now_ms, FULL_MS, failures),
            Outcome::Lost { held_ms } if held_ms >= LIVED_MS => {
                self.leave_alone(node, now_ms, LOST_MS, 0);
            }
            Outcome::Failed | Outcome::Lost { .. } => {
                let wait = FAILED_MS.saturating_mul(1 << failures.min(10)).min(FAILED_MAX_MS);
                self.leave_alone(node, now_ms, wait, failures.saturating_add(1));
            }
        }
        replaced.map(|(_, old)| {
            self.leave_alone(old, now_ms, FULL_MS, 0);
            Action::Release(old)
        })
    }

    /// What becomes of `node` ends a replacement that it is one side of: the successor has come, or will not; or the old
    /// link is gone already, and there is nothing to release.
    fn end_replacement(&mut self, node: &NodeKey) {
        self.replacing = self.replacing.take().filter(|(candidate, old)| candidate != node && old != node);
    }

    /// Leaves a peer alone that broke the protocol.
    pub fn penalize(&mut self, node: NodeKey, now_ms: u64) {
        self.pending.remove(&node);
        self.end_replacement(&node);
        let until_ms = now_ms.saturating_add(PENALTY_MS);
        self.remember(node, Backoff { since_ms: now_ms, until_ms, failures: 0, penalty: true });
    }

    /// The user named `node`: whatever happened before, it may be tried now.
    pub fn forgive(&mut self, node: &NodeKey) {
        if self.backoffs.get(node).is_some_and(|backoff| !backoff.penalty) {
            self.backoffs.remove(node);
        }
    }

    /// Whether a peer that asks for a link gets one.
    pub fn accepts(&self, node: &NodeKey, group: Option<AddressGroup>, links: &[Link], now_ms: u64) -> bool {
        let others = links.iter().filter(|link| link.inbound && link.node != *node);
        let blocked = self.backoffs.get(node).is_some_and(|backoff| backoff.penalty && now_ms < backoff.until_ms);
        let mut groups = GroupCount::default();
        let mut count = 0;
        for link in others {
            count += 1;
            groups.add(link.group);
        }
        let spread = !self.group_caps || groups.take(group, NARROW_IN_MAX, WIDE_IN_MAX);
        !blocked && count < LINKS_IN_MAX && spread
    }

    fn begin(&mut self, candidate: &Candidate, now_ms: u64) {
        self.pending.insert(candidate.node, Attempt { since_ms: now_ms, group: candidate.group });
    }

    /// Learns where the peers being opened are, as far as it shows by now.
    fn place_pending(&mut self, view: &View<'_>) {
        let candidates = view.candidates.iter().map(|candidate| (candidate.node, candidate.group));
        let places = candidates.chain(view.links.iter().map(|link| (link.node, link.group)));
        for (node, group) in places.filter(|(_, group)| group.is_some()) {
            if let Some(attempt) = self.pending.get_mut(&node) {
                attempt.group = group;
            }
        }
    }

    fn give_up_pending(&mut self, now_ms: u64) {
        let old = |attempt: &Attempt| now_ms.saturating_sub(attempt.since_ms) >= PENDING_MS;
        let lost = self.pending.iter().filter(|(_, attempt)| old(attempt));
        let lost: Vec<NodeKey> = lost.map(|(node, _)| *node).collect();
        for node in lost {
            self.finished(node, Outcome::Failed, now_ms);
        }
    }

    /// Whether seeds may be dialed now in spite of earlier failures: only while there is no link at all.
    fn seeds_turn(&mut self, view: &View<'_>, now_ms: u64) -> bool {
        if !view.links.is_empty() {
            (self.seeds_at_ms, self.seeds_wait_ms) = (now_ms, SEEDS_MS.0);
            return false;
        }
        if now_ms < self.seeds_at_ms {
            return false;
        }
        self.seeds_at_ms = now_ms.saturating_add(self.seeds_wait_ms);
        self.seeds_wait_ms = self.seeds_wait_ms.saturating_mul(2).min(SEEDS_MS.1);
        true
    }

    fn may_open(&self, candidate: &Candidate, alone: bool, seeds_now: bool, now_ms: u64) -> bool {
        if self.pending.contains_key(&candidate.node) {
            return false;
        }
        match self.backoffs.get(&candidate.node) {
            Some(backoff) if now_ms < backoff.until_ms => {
                let again = alone && now_ms >= backoff.since_ms.saturating_add(ALONE_MS);
                !backoff.penalty && (again || (seeds_now && candidate.seed))
            }
            _ => true,
        }
    }

    /// Candidates that may be opened: anchors, seeds, connected ones, others; each class in random order.
    fn ranked(&self, view: &View<'_>, seeds_now: bool, now_ms: u64, rng: &mut impl Rng) -> Vec<Candidate> {
        let mut ranked: Vec<(u8, u64, Candidate)> = view
            .candidates
            .iter()
            .filter(|candidate| self.may_open(candidate, view.links.is_empty(), seeds_now, now_ms))
            .map(|candidate| {
                let class = match candidate {
                    Candidate { anchor: true, .. } => 0,
                    Candidate { seed: true, .. } => 1,
                    Candidate { connected: true, .. } => 2,
                    _ => 3,
                };
                (class, rng.next_u64(), *candidate)
            })
            .collect();
        ranked.sort_unstable_by_key(|(class, order, _)| (*class, *order));
        ranked.into_iter().map(|(.., candidate)| candidate).collect()
    }

    /// Once in a while: opens a link to somebody else, to give up the worst one when it is there.
    fn replacement(&mut self, view: &View<'_>, outbound: usize, now_ms: u64, rng: &mut impl Rng) -> Option<Action> {
        if now_ms < self.replace_at_ms || outbound < LINKS_OUT || !self.pending.is_empty() {
            return None;
        }
        self.replace_at_ms = replace_time(now_ms, rng);
        let worst = worst_link(view.links, now_ms)?;
        let mut groups = GroupCount::default();
        view.links.iter().filter(|link| link.outbound && link.node != worst).for_each(|link| groups.add(link.group));
        let fits = |candidate: &Candidate| {
            !self.group_caps || groups.clone().take(candidate.group, NARROW_OUT_MAX, WIDE_OUT_MAX)
        };
        let chosen = self.ranked(view, false, now_ms, rng).into_iter().find(fits)?;
        self.begin(&chosen, now_ms);
        self.replacing = Some((chosen.node, worst));
        Some(Action::Open(chosen.node))
    }

    /// Leaves a peer alone for a while; a penalty that lasts longer stands.
    fn leave_alone(&mut self, node: NodeKey, now_ms: u64, wait_ms: u64, failures: u32) {
        let mut backoff =
            Backoff { since_ms: now_ms, until_ms: now_ms.saturating_add(wait_ms), failures, penalty: false };
        if let Some(old) = self.backoffs.get(&node).filter(|old| old.penalty && old.until_ms > backoff.until_ms) {
            (backoff.until_ms, backoff.penalty) = (old.until_ms, true);
        }
        self.remember(node, backoff);
    }

    fn remember(&mut self, node: NodeKey, backoff: Backoff) {
        if self.backoffs.len() >= BACKOFFS_MAX && !self.backoffs.contains_key(&node) {
            let soonest = self.backoffs.iter().min_by_key(|(_, backoff)| (backoff.penalty, backoff.until_ms));
            if let Some(forgotten) = soonest.map(|(node, _)| *node) {
                self.backoffs.remove(&forgotten);
            }
        }
        self.backoffs.insert(node, backoff);
    }
}

fn replace_time(now_ms: u64, rng: &mut impl Rng) -> u64 {
    let spread = REPLACE_MS / 4;
    now_ms.saturating_add(REPLACE_MS - spread).saturating_add(rng.next_u64() % (2 * spread))
}

/// The outbound link, no anchor, that brought the fewest new envelopes for its age; of equals, the
/// youngest. A link younger than [`REPLACE_MS`] is not judged.
fn worst_link(links: &[Link], now_ms: u64) -> Option<NodeKey> {
    let age = |link: &Link| u128::from(now_ms.saturating_sub(link.since_ms).max(1));
    links
        .iter()
        .filter(|link| link.outbound && !link.anchor && age(link) >= u128::from(REPLACE_MS / 2))
        .min_by(|a, b| {
            let (left, right) = (u128::from(a.delivered) * age(b), u128::from(b.delivered) * age(a));
            left.cmp(&right).then(b.since_ms.cmp(&a.since_ms))
        })
        .map(|link| link.node)
}

/// How many links lie in each address group.
#[derive(Debug, Default, Clone)]
struct GroupCount {
    narrow: BTreeMap<u64, usize>,
    wide: BTreeMap<u64, usize>,
}

impl GroupCount {
    fn outbound(view: &View<'_>, pending: &BTreeMap<NodeKey, Attempt>) -> Self {
        let mut count = Self::default();
        let held = view.links.iter().filter(|link| link.outbound && !pending.contains_key(&link.node));
        held.for_each(|link| count.add(link.group));
        pending.values().for_each(|attempt| count.add(attempt.group));
        count
    }

    fn add(&mut self, group: Option<AddressGroup>) {
        if let Some(group) = group {
            *self.narrow.entry(group.narrow).or_default() += 1;
            *self.wide.entry(group.wide).or_default() += 1;
        }
    }

    /// Counts `group` if both of its caps leave room. A peer of unknown place is let through: it is
    /// counted once it is connected.
    fn take(&mut self, group: Option<AddressGroup>, narrow_max: usize, wide_max: usize) -> bool {
        let Some(place) = group else { return true };
        let narrow = self.narrow.get(&place.narrow).copied().unwrap_or(0);
        let wide = self.wide.get(&place.wide).copied().unwrap_or(0);
        let room = narrow < narrow_max && wide < wide_max;
        if room {
            self.add(group);
        }
        room
    }
}

#[cfg(test)]
mod tests;

//! The plan alone, and up to a thousand plans in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;

fn key(number: usize) -> NodeKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    NodeKey(bytes)
}

fn number(node: NodeKey) -> usize {
    u64::from_be_bytes(node.0[..8].try_into().unwrap()) as usize
}

fn candidate(number: usize) -> Candidate {
    Candidate { node: key(number), group: None, connected: false, seed: false, anchor: false }
}

fn link(number: usize, since_ms: u64, delivered: u64) -> Link {
    Link { node: key(number), group: None, outbound: true, inbound: false, since_ms, delivered, anchor: false }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn opened(actions: &[Action]) -> Vec<usize> {
    let open = |action: &Action| match action {
        Action::Open(node) => Some(number(*node)),
        Action::Release(_) => None,
    };
    actions.iter().filter_map(open).collect()
}

#[test]
fn a_node_without_links_opens_eight_at_once_and_two_at_a_time_later() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates: Vec<Candidate> = (0..20).map(candidate).collect();
    let view = View { candidates: &candidates, links: &[] };
    assert_eq!(plan.tick(&view, 0, rng).len(), LINKS_OUT);
    assert_eq!(plan.tick(&view, 0, rng), [], "all are under way");

    let mut plan = Plan::new(false, 0, rng);
    let links: Vec<Link> = (20..25).map(|number| link(number, 0, 0)).collect();
    let view = View { candidates: &candidates, links: &links };
    assert_eq!(plan.tick(&view, 0, rng).len(), 2);
    assert_eq!(plan.tick(&view, 0, rng).len(), 1, "five held and three under way");
}

#[test]
fn anchors_come_before_seeds_before_connected_ones_before_strangers() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let mut candidates: Vec<Candidate> = (0..5).map(candidate).collect();
    candidates[1].connected = true;
    candidates[2].seed = true;
    candidates[4].anchor = true;
    let actions = plan.tick(&View { candidates: &candidates, links: &[] }, 0, rng);
    assert_eq!(opened(&actions)[..3], [4, 2, 1]);
}

#[test]
fn a_refusal_waits_a_minute_and_failures_wait_longer_each_time() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1)];
    // One link elsewhere, so that this is not the hurry of a node without any.
    let links = [link(9, 0, 0)];
    let view = View { candidates: &candidates, links: &links };
    let mut now = 0;
    for wait in [30_000, 60_000, 120_000, 240_000] {
        assert_eq!(opened(&plan.tick(&view, now, rng)), [1]);
        plan.finished(key(1), Outcome::Failed, now);
        assert_eq!(plan.tick(&view, now + wait - 1, rng), []);
        now += wait;
    }
    for _ in 0..20 {
        plan.finished(key(1), Outcome::Failed, now);
    }
    assert_eq!(plan.left_alone_until_ms(&key(1)), now + FAILED_MAX_MS, "no longer than an hour");
    plan.forgive(&key(1));
    assert_eq!(opened(&plan.tick(&view, now, rng)), [1], "the user named it");
    plan.finished(key(1), Outcome::Full, now);
    assert_eq!(plan.tick(&view, now + FULL_MS - 1, rng), []);
    assert_eq!(opened(&plan.tick(&view, now + FULL_MS, rng)), [1]);
}

#[test]
fn a_link_that_lived_is_opened_again_soon_and_one_that_did_not_is_not() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    plan.finished(key(1), Outcome::Lost { held_ms: LIVED_MS }, 0);
    assert_eq!(plan.left_alone_until_ms(&key(1)), LOST_MS);
    plan.finished(key(1), Outcome::Lost { held_ms: LIVED_MS - 1 }, 0);
    assert_eq!(plan.left_alone_until_ms(&key(1)), FAILED_MS);
}

#[test]
fn seeds_are_dialed_again_quickly_while_there_is_no_link() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [Candidate { seed: true, ..candidate(1) }, candidate(2)];
    let view = View { candidates: &candidates, links: &[] };
    let mut dials = Vec::new();
    let mut now = 0;
    while now < 10_000 {
        if opened(&plan.tick(&view, now, rng)).contains(&1) {
            dials.push(now);
        }
        plan.finished(key(1), Outcome::Failed, now);
        plan.finished(key(2), Outcome::Failed, now);
        now = plan.next_tick_ms(false, now);
    }
    assert_eq!(dials, [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100, 9_100]);
    plan.penalize(key(1), now);
    assert_eq!(plan.tick(&view, now + SEEDS_MS.1, rng), [], "a seed that broke the protocol is left alone");
}

#[test]
fn whoever_is_alone_asks_everybody_again_after_ten_seconds() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1), candidate(2), candidate(3)];
    let alone = View { candidates: &candidates, links: &[] };
    for _ in 0..5 {
        plan.finished(key(1), Outcome::Failed, 0);
    }
    plan.finished(key(2), Outcome::Full, 0);
    plan.penalize(key(3), 0);
    assert_eq!(plan.tick(&alone, ALONE_MS - 1, rng), []);
    let linked = View { links: &[link(9, 0, 0)], ..alone };
    assert_eq!(plan.tick(&linked, ALONE_MS, rng), [], "whoever has a link has time");
    let mut again = opened(&plan.tick(&alone, ALONE_MS, rng));
    again.sort_unstable();
    assert_eq!(again, [1, 2], "but nobody who broke the protocol");
}

#[test]
fn a_forgotten_attempt_is_given_up() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1)];
    let view = View { candidates: &candidates, links: &[link(9, 0, 0)] };
    assert_eq!(plan.tick(&view, 0, rng).len(), 1);
    plan.tick(&view, PENDING_MS, rng);
    assert!(!plan.is_pending(&key(1)));
    assert_eq!(plan.left_alone_until_ms(&key(1)), PENDING_MS + FAILED_MS);
}

#[test]
fn the_worst_link_is_replaced_only_once_its_successor_is_there() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    // Number 0 brought nothing but is an anchor; 3 brought least; 7 is too young to be judged.
    let mut links: Vec<Link> = (0..8).map(|number| link(number, 0, 10 + number as u64)).collect();
    (links[0].delivered, links[0].anchor) = (0, true);
    links[3].delivered = 1;
    let candidates = [candidate(20)];
    let view = View { candidates: &candidates, links: &links };
    let due = 2 * REPLACE_MS;
    assert_eq!(plan.tick(&view, REPLACE_MS / 2, rng), [], "not yet");
    (links[7].delivered, links[7].since_ms) = (0, due - 1);
    let view = View { candidates: &candidates, links: &links };
    assert_eq!(opened(&plan.tick(&view, due, rng)), [20]);
    assert_eq!(plan.tick(&view, due + 1, rng), [], "one at a time");
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), Some(Action::Release(key(3))));
    assert!(plan.left_alone_until_ms(&key(3)) > due, "and is not opened again at once");
    assert_eq!(plan.tick(&view, due + 3, rng), [], "the next one in twenty minutes");
}

#[test]
fn a_replacement_that_fails_releases_nothing() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let links: Vec<Link> = (0..8).map(|number| link(number, 0, 0)).collect();
    let view = View { candidates: &[candidate(20)], links: &links };
    assert_eq!(opened(&plan.tick(&view, 2 * REPLACE_MS, rng)), [20]);
    assert_eq!(plan.finished(key(20), Outcome::Full, 2 * REPLACE_MS), None);
}

#[test]
fn a_link_that_ended_by_itself_is_not_released_for_its_successor() {
    let links: Vec<Link> = (0..8).map(|number| link(number, 0, if number == 3 { 1 } else { 10 })).collect();
    let view = View { candidates: &[candidate(20)], links: &links };
    let due = 2 * REPLACE_MS;
    let replacing = || {
        let rng = &mut rng();
        let mut plan = Plan::new(false, 0, rng);
        assert_eq!(opened(&plan.tick(&view, due, rng)), [20]);
        plan
    };
    let mut plan = replacing();
    assert_eq!(plan.finished(key(3), Outcome::Lost { held_ms: due }, due + 1), None);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "3 may have come back meanwhile");
    let mut plan = replacing();
    plan.penalize(key(3), due + 1);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "it is gone already");
    assert!(plan.left_alone_until_ms(&key(3)) >= due + PENALTY_MS, "and its penalty stands");
    let mut plan = replacing();
    plan.penalize(key(20), due + 1);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "a peer that broke the protocol succeeds nobody");
}

#[test]
fn links_are_spread_over_address_groups() {
    let rng = &mut rng();
    let group = |number: u64| Some(AddressGroup { narrow: number / 4, wide: number / 16 });
    let candidates: Vec<Candidate> =
        (0..8).map(|number| Candidate { group: group(number as u64), ..candidate(number) }).collect();
    let view = View { candidates: &candidates, links: &[] };
    let mut plan = Plan::new(true, 0, rng);
    assert_eq!(plan.tick(&view, 0, rng).len(), 2 * NARROW_OUT_MAX, "two /24, three links each");
    assert_eq!(plan.tick(&view, 0, rng), [], "those under way count too");
    let mut local = Plan::new(false, 0, rng);
    assert_eq!(local.tick(&view, 0, rng).len(), 8, "on one machine all addresses are alike");
}

#[test]
fn an_attempt_counts_in_its_group_wherever_its_peer_went_meanwhile() {
    let rng = &mut rng();
    let here = Some(AddressGroup { narrow: 1, wide: 1 });
    let candidates: Vec<Candidate> = (0..5).map(|number| Candidate { group: here, ..candidate(number) }).collect();
    let mut plan = Plan::new(true, 0, rng);
    let tried = opened(&plan.tick(&View { candidates: &candidates[..3], links: &[] }, 0, rng));
    assert_eq!(tried.len(), NARROW_OUT_MAX);
    // One of the three links to us by itself, another one is forgotten; all are still being opened.
    let inbound = [Link { outbound: false, inbound: true, group: here, ..link(0, 0, 0) }];
    let view = View { candidates: &candidates[2..], links: &inbound };
    assert_eq!(plan.tick(&view, 1, rng), [], "this /24 has its three");
    plan.finished(key(1), Outcome::Failed, 2);
    assert_eq!(plan.tick(&view, 3, rng).len(), 1, "one of them failed");
}

#[test]
fn a_place_that_shows_during_the_attempt_counts() {
    let rng = &mut rng();
    let here = Some(AddressGroup { narrow: 1, wide: 1 });
    let mut plan = Plan::new(true, 0, rng);
    let unknown: Vec<Candidate> = (0..3).map(candidate).collect();
    assert_eq!(plan.tick(&View { candidates: &unknown, links: &[] }, 0, rng).len(), 3);
    let placed: Vec<Candidate> = (0..5).map(|number| Candidate { group: here, ..candidate(number) }).collect();
    assert_eq!(plan.tick(&View { candidates: &placed, links: &[] }, 1, rng), []);
}

#[test]
fn a_network_whose_attempts_crossed() {
    settles(57, 8_077_622_230_365_485_917, true, 57 / 5, 60_000);
}

#[test]
fn accepted_links_have_an_end_in_all_and_in_each_group() {
    let rng = &mut rng();
    let inbound = |number: u64, wide: u64| Link {
        outbound: false,
        inbound: true,
        group: Some(AddressGroup { narrow: number, wide }),
        ..link(number as usize, 0, 0)
    };
    let mut plan = Plan::new(true, 0, rng);
    let full: Vec<Link> = (0..LINKS_IN_MAX as u64).map(|number| inbound(number, number)).collect();
    let elsewhere = Some(AddressGroup { narrow: 99, wide: 99 });
    assert!(!plan.accepts(&key(99), elsewhere, &full, 0));
    assert!(plan.accepts(&key(3), elsewhere, &full, 0), "whoever is linked may link anew");
    assert!(plan.accepts(&key(99), elsewhere, &full[1..], 0));
    let crowd: Vec<Link> = (0..WIDE_IN_MAX as u64).map(|number| inbound(number, 5)).collect();
    assert!(!plan.accepts(&key(99), Some(AddressGroup { narrow: 99, wide: 5 }), &crowd, 0));
    plan.penalize(key(99), 0);
    assert!(!plan.accepts(&key(99), elsewhere, &[], PENALTY_MS - 1));
    assert!(plan.accepts(&key(99), elsewhere, &[], PENALTY_MS));
}

#[test]
fn memory_of_failures_is_bounded_and_keeps_the_blocked() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    plan.penalize(key(0), 0);
    for number in 1..3 * BACKOFFS_MAX {
        plan.finished(key(number), Outcome::Failed, number as u64);
    }
    assert_eq!(plan.backoffs.len(), BACKOFFS_MAX);
    assert!(plan.left_alone_until_ms(&key(0)) >= PENALTY_MS);
}

// ---- Many plans in virtual time.

/// What is on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Tick {
        at: usize,
    },
    Hold {
        from: usize,
        to: usize,
    },
    Ok {
        from: usize,
        to: usize,
    },
    Full {
        from: usize,
        to: usize,
    },
    /// Nobody answered the dial.
    Silence {
        at: usize,
        dialed: usize,
    },
    /// `at` notices that `gone` died.
    Dead {
        at: usize,
        gone: usize,
    },
}

struct Member {
    plan: Plan,
    alive: bool,
    group: AddressGroup,
    known: BTreeSet<usize>,
    met: BTreeSet<usize>,
    outbound: BTreeMap<usize, u64>,
    inbound: BTreeMap<usize, u64>,
    /// When each peer may be opened again, by the rules as a stranger would write them down.
    quiet_until: BTreeMap<usize, u64>,
    failures: BTreeMap<usize, u32>,
    /// When each peer's last attempt or link ended.
    ended: BTreeMap<usize, u64>,
}

struct World {
    members: Vec<Member>,
    queue: BinaryHeap<Reverse<(u64, u64, Message)>>,
    sent: u64,
    now: u64,
    rng: ChaCha8Rng,
    group_caps: bool,
    closes: u64,
}

const KNOWN_MAX: usize = 48;
/// Member 0 is everybody's only seed.
const SEED: usize = 0;

impl World {
    fn new(count: usize, seed: u64, group_caps: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut members = Vec::new();
        for at in 0..count {
            members.push(Member {
                plan: Plan::new(group_caps, 0, &mut rng),
                alive: true,
                // 4 members a /24, 16 a /16: caps bite, and leave enough.
                group: AddressGroup { narrow: at as u64 / 4, wide: at as u64 / 16 },
                known: if at == SEED { BTreeSet::new() } else { [SEED].into() },
                met: BTreeSet::new(),
                outbound: BTreeMap::new(),
                inbound: BTreeMap::new(),
                quiet_until: BTreeMap::new(),
                failures: BTreeMap::new(),
                ended: BTreeMap::new(),
            });
        }
        let queue = BinaryHeap::new();
        let mut world = Self { members, queue, sent: 0, now: 0, rng, group_caps, closes: 0 };
        for at in 0..count {
            // Starts are spread over a second, as those of a testnet are.
            let start = world.rng.next_u64() % 1_000;
            world.send(start, Message::Tick { at });
        }
        world
    }

    fn send(&mut self, delay: u64, message: Message) {
        self.sent += 1;
        self.queue.push(Reverse((self.now + delay, self.sent, message)));
    }

    fn delay(&mut self) -> u64 {
        5 + self.rng.next_u64() % 100
    }

    fn run(&mut self, until: u64) {
        while let Some(Reverse((time, ..))) = self.queue.peek()
            && *time <= until
        {
            let Some(Reverse((time, _, message))) = self.queue.pop() else { return };
            self.now = time;
            self.handle(message);
        }
        self.now = until;
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Tick { at } if self.members[at].alive => {
                let linked = !(self.members[at].outbound.is_empty() && self.members[at].inbound.is_empty());
                let next = self.members[at].plan.next_tick_ms(linked, self.now);
                self.send(next - self.now, Message::Tick { at });
                self.plan(at);
            }
            Message::Hold { from, to } if self.members[to].alive => self.hold(from, to),
            Message::Hold { from, to } => self.send(300, Message::Silence { at: from, dialed: to }),
            Message::Ok { from, to } if self.members[to].alive => {
                // The acceptor may have died since: then its death is noticed like any other.
                self.members[to].outbound.insert(from, self.now);
                self.learn(to, from);
                self.finish(to, from, Outcome::Held);
                if !self.members[from].alive {
                    self.send(1_000, Message::Dead { at: to, gone: from });
                }
            }
            Message::Full { from, to } if self.members[to].alive => {
                self.learn(to, from);
                self.finish(to, from, Outcome::Full);
            }
            Message::Silence { at, dialed } if self.members[at].alive => self.finish(at, dialed, Outcome::Failed),
            Message::Dead { at, gone } if self.members[at].alive => {
                self.members[at].inbound.remove(&gone);
                if let Some(since) = self.members[at].outbound.remove(&gone) {
                    let held_ms = self.now - since;
                    self.finish(at, gone, Outcome::Lost { held_ms });
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, from: usize, to: usize) {
        let links = self.links(to);
        let group = Some(self.members[from].group);
        let accepts = self.members[to].plan.accepts(&key(from), group, &links, self.now);
        let delay = self.delay();
        if accepts {
            self.members[to].inbound.insert(from, self.now);
            assert!(self.members[to].inbound.len() <= LINKS_IN_MAX);
            self.learn(to, from);
            self.send(delay, Message::Ok { from: to, to: from });
            if !self.members[from].alive {
                self.send(1_000, Message::Dead { at: to, gone: from });
            }
        } else {
            self.members[to].known.insert(from);
            self.send(delay, Message::Full { from: to, to: from });
        }
        self.plan(to);
    }

    /// `at` met `other`, and hears of some of those that `other` met.
    fn learn(&mut self, at: usize, other: usize) {
        let mut heard: Vec<usize> = self.members[other].met.iter().copied().filter(|node| *node != at).collect();
        for index in 0..heard.len() {
            let swap = index + self.rng.next_u64() as usize % (heard.len() - index);
            heard.swap(index, swap);
        }
        let member = &mut self.members[at];
        member.met.insert(other);
        member.known.insert(other);
        for node in heard.into_iter().take(8) {
            if member.known.len() >= KNOWN_MAX {
                // Somebody makes room, as in the book: whoever is neither linked nor the seed.
                let linked = |known: &usize| {
                    member.outbound.contains_key(known) || member.inbound.contains_key(known) || *known == SEED
                };
                let free: Vec<usize> = member.known.iter().filter(|known| !linked(known)).copied().collect();
                let Some(index) = (self.rng.next_u64() as usize).checked_rem(free.len()) else { break };
                member.known.remove(&free[index]);
            }
            member.known.insert(node);
        }
    }

    fn finish(&mut self, at: usize, other: usize, outcome: Outcome) {
        let member = &mut self.members[at];
        let failures = member.failures.entry(other).or_default();
        let wait = match outcome {
            Outcome::Held => 0,
            Outcome::Full => 60_000,
            Outcome::Lost { held_ms } if held_ms >= 60_000 => {
                *failures = 0;
                1_000
            }
            Outcome::Failed | Outcome::Lost { .. } => {
                *failures += 1;
                (30_000u64 << (*failures - 1).min(10)).min(3_600_000)
            }
        };
        member.quiet_until.insert(other, self.now + wait);
        member.ended.insert(other, self.now);
        if let Some(Action::Release(old)) = member.plan.finished(key(other), outcome, self.now) {
            let old = number(old);
            member.outbound.remove(&old);
            member.quiet_until.insert(old, self.now + 60_000);
            self.members[old].inbound.remove(&at);
            self.closes += 1;
        }
        self.plan(at);
    }

    fn links(&self, at: usize) -> Vec<Link> {
        let member = &self.members[at];
        let peers: BTreeSet<usize> = member.outbound.keys().chain(member.inbound.keys()).copied().collect();
        let as_link = |peer: &usize| Link {
            group: Some(self.members[*peer].group),
            outbound: member.outbound.contains_key(peer),
            inbound: member.inbound.contains_key(peer),
            ..link(*peer, 0, 0)
        };
        peers.iter().map(as_link).collect()
    }

    fn plan(&mut self, at: usize) {
        let links = self.links(at);
        let linked: BTreeSet<usize> = links.iter().map(|link| number(link.node)).collect();
        let free = self.members[at].known.iter().filter(|node| **node != at && !linked.contains(node));
        let candidates: Vec<Candidate> = free
            .map(|node| Candidate { group: Some(self.members[*node].group), seed: *node == SEED, ..candidate(*node) })
            .collect();
        let view = View { candidates: &candidates, links: &links };
        let actions = self.members[at].plan.tick(&view, self.now, &mut self.rng);
        for action in actions {
            let Action::Open(node) = action else { panic!("a tick releases nothing by itself") };
            let to = number(node);
            let quiet = self.members[at].quiet_until.get(&to).is_some_and(|until| self.now < *until);
            // Whoever is alone asks its seed quickly, and everybody again after ten seconds.
            let waited = self.members[at].ended.get(&to).is_none_or(|ended| self.now >= ended + 10_000);
            let alone = links.is_empty() && (to == SEED || waited);
            assert!(!quiet || alone, "back-off: {at} opened {to} at {}", self.now);
            let delay = self.delay();
            self.send(delay, Message::Hold { from: at, to });
        }
    }

    fn kill(&mut self, gone: usize) {
        self.members[gone].alive = false;
        let neighbours: Vec<usize> = self.links(gone).iter().map(|link| number(link.node)).collect();
        for at in neighbours {
            let notice = self.rng.next_u64() % 10_000;
            self.send(notice, Message::Dead { at, gone });
        }
    }

    fn alive(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].alive).collect()
    }

    /// Everybody alive has the links it wants or is linked to everybody, and all hang together.
    fn check(&self) {
        let alive = self.alive();
        for at in &alive {
            let member = &self.members[*at];
            let links = self.links(*at).len();
            assert!(links >= LINKS_OUT.min(alive.len() - 1), "{at} has {links} of {} links", alive.len() - 1);
            assert!(member.outbound.len() <= LINKS_OUT);
            for peer in member.outbound.keys() {
                assert!(self.members[*peer].inbound.contains_key(at), "both ends know: {at} {peer}");
            }
            if self.group_caps {
                self.check_groups(member);
            }
        }
        let mut reached = BTreeSet::from([alive[0]]);
        let mut next = vec![alive[0]];
        while let Some(at) = next.pop() {
            let neighbours = self.links(at);
            next.extend(neighbours.iter().map(|link| number(link.node)).filter(|peer| reached.insert(*peer)));
        }
        assert_eq!(reached.len(), alive.len(), "the network hangs together");
    }

    fn check_groups(&self, member: &Member) {
        let mut narrow: BTreeMap<u64, usize> = BTreeMap::new();
        let mut wide: BTreeMap<u64, usize> = BTreeMap::new();
        for peer in member.outbound.keys() {
            let group = self.members[*peer].group;
            *narrow.entry(group.narrow).or_default() += 1;
            *wide.entry(group.wide).or_default() += 1;
        }
        assert!(narrow.values().all(|count| *count <= 3), "a /24 has at most three of our links");
        assert!(wide.values().all(|count| *count <= 8), "a /16 has at most eight of our links");
    }
}

/// Converges within 90 seconds, closes nothing for `calm_ms` (the first replacements are due after 15
/// minutes), and recovers from `killed` deaths at once.
fn settles(count: usize, seed: u64, group_caps: bool, killed: usize, calm_ms: u64) {
    let mut world = World::new(count, seed, group_caps);
    world.run(90_000);
    world.check();
    world.run(90_000 + calm_ms);
    assert_eq!(world.closes, 0);
    world.check();
    // Never the seed: after its death nobody new could join, and nobody tries.
    for gone in (1..count).step_by((count / killed.max(1)).max(1)).take(killed) {
        world.kill(gone);
    }
    // Those who dialed the dead wait 30 s and longer; the others fill up from who they know.
    world.run(world.now + 90_000);
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_network_converges_stays_and_survives_kills(
        count in 2usize..80, seed: u64, killed_percent in 0usize..40,
    ) {
        settles(count, seed, false, count * killed_percent / 100, 5 * 60_000);
    }

    #[test]
    fn group_caps_hold_at_all_times(count in 48usize..120, seed: u64) {
        settles(count, seed, true, count / 5, 60_000);
    }
}

#[test]
fn a_thousand_nodes_converge() {
    settles(1_000, 42, false, 300, 10_000);
}

//! Up to a thousand plans in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;

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

#[test]
fn a_network_whose_attempts_crossed() {
    settles(57, 8_077_622_230_365_485_917, true, 57 / 5, 60_000);
}

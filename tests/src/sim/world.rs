//! The world: virtual time, what is in it, and the order in which things happen.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use starling_messenger::turn::Input;
use starling_relay::admit::Gate;
use starling_wire::envelope::TopicId;

use super::check::{Check, Rule, Violation};
use super::event::{Event, Place, Queue};
use super::network::Link;
use super::node::Node;
use super::plan::{HOUR_MS, MINUTE_MS, Plan, SECOND_MS, Span};
use super::sabotage::Sabotage;
use super::trace::Trace;

/// Ids whose stamps were checked once for all nodes.
const GOOD_IDS_MAX: usize = 1 << 20;
/// Events of one moment after which a node is taken to turn in a circle.
const MOMENT_EVENTS_MAX: u32 = 200_000;

/// What a run consisted of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps of all messengers.
    pub steps: u64,
    /// Envelopes sealed.
    pub sealed: u64,
    /// Gossip messages that asked a node for its verdict.
    pub gossip: u64,
    /// Pushes.
    pub pushes: u64,
    /// Reconciliations.
    pub syncs: u64,
    /// Envelopes that came by reconciliation.
    pub pulled: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Those that died in a commit.
    pub commit_crashes: u64,
    /// Texts that people were told are safe with their node.
    pub sent: u64,
    /// Those that were confirmed.
    pub delivered: u64,
    /// Texts given up after their time.
    pub expired: u64,
    /// Harmful things done to nodes.
    pub harm: u64,
}

/// The end of a run.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: usize,
    /// What the run consisted of.
    pub counts: Counts,
    /// Virtual time from the end of trouble to the last confirmation.
    pub settled_ms: u64,
    /// All virtual time.
    pub virtual_ms: u64,
    /// What went wrong; empty in a good run.
    pub violations: Vec<Violation>,
    /// What happened, if it was kept.
    pub trace: Vec<String>,
}

impl Report {
    /// Nothing, when all was well; else says what was not.
    ///
    /// # Panics
    /// When a rule was broken, with the command that shows how.
    pub fn assert_good(&self) {
        let (seed, nodes) = (self.seed, self.nodes);
        assert!(self.violations.is_empty(), "replay with: just sim {seed} {nodes}\n{}", lines(&self.violations));
    }
}

/// Violations, one a line.
pub(super) fn lines(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Everything.
pub struct World {
    pub(super) plan: Plan,
    pub(super) rng: ChaCha8Rng,
    pub(super) at_ms: u64,
    pub(super) queue: Queue,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) next_link: u64,
    pub(super) next_number: u64,
    pub(super) gate: Gate,
    pub(super) accounts: BTreeMap<[u8; 32], Place>,
    pub(super) trace: Trace,
    pub(super) checks: Check,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) sabotaged: bool,
    /// Trouble is over.
    pub(super) calm: bool,
    pub(super) counts: Counts,
    pub(super) captured: Vec<starling_wire::envelope::Envelope>,
    pub(super) harm_stamps: u64,
    /// Invites that lie about.
    pub(super) invites: BTreeMap<Place, String>,
    moment_events: u32,
}

impl World {
    /// A world in which everything that `plan` says is going to happen.
    pub fn new(plan: Plan, sabotage: Option<Sabotage>, keep_trace: bool) -> Self {
        let mut world = Self::empty(plan, sabotage, keep_trace);
        world.plan_faults();
        world.plan_people();
        world
    }

    /// A world in which nothing is going to happen but that nodes start.
    pub fn empty(plan: Plan, sabotage: Option<Sabotage>, keep_trace: bool) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let all = plan.nodes + plan.hostile;
        let nodes = (0..all).map(|place| Node::new(place, place >= plan.nodes, &mut rng)).collect();
        Self {
            gate: Gate::new(&plan.parameters, TopicId(0), GOOD_IDS_MAX),
            plan,
            rng,
            at_ms: 0,
            queue: Queue::default(),
            nodes,
            links: BTreeMap::new(),
            next_link: 0,
            next_number: 0,
            accounts: BTreeMap::new(),
            trace: Trace::new(keep_trace),
            checks: Check::default(),
            sabotage,
            sabotaged: false,
            calm: false,
            counts: Counts::default(),
            captured: Vec::new(),
            harm_stamps: 0,
            invites: BTreeMap::new(),
            moment_events: 0,
        }
    }

    /// Lives through the whole plan, until all is delivered or a rule is broken.
    pub fn run(mut self) -> Report {
        self.run_until(self.plan.trouble_ms);
        self.end_trouble();
        let settled_ms = self.settle();
        self.converge();
        self.final_checks();
        self.report(settled_ms)
    }

    fn report(self, settled_ms: u64) -> Report {
        let mut counts = self.counts;
        (counts.sent, counts.delivered, counts.expired) = self.checks.totals();
        Report {
            seed: self.plan.seed,
            nodes: self.plan.nodes,
            counts,
            settled_ms,
            virtual_ms: self.at_ms,
            violations: self.checks.violations,
            trace: self.trace.into_lines(),
        }
    }

    /// Runs until everything that was sent is confirmed; how long that took.
    fn settle(&mut self) -> u64 {
        let (from_ms, until_ms) = (self.at_ms, self.at_ms + self.plan.settle_ms);
        while self.checks.violations.is_empty() {
            let done = self.queue.acts().next().is_none() && self.open_deliveries().is_empty();
            if done && self.disagreements().is_empty() {
                return self.at_ms - from_ms;
            }
            if self.at_ms >= until_ms {
                self.report_open_deliveries();
                break;
            }
            let look_ms = if self.at_ms < from_ms + 10 * MINUTE_MS { 5 * SECOND_MS } else { 5 * MINUTE_MS };
            self.run_until(self.at_ms + look_ms);
        }
        self.at_ms - from_ms
    }

    /// Runs until all pools hold the same.
    fn converge(&mut self) {
        let patience_ms = match self.plan.span {
            Span::Minutes => 2 * HOUR_MS,
            Span::Days | Span::Weeks => 50 * HOUR_MS,
        };
        let until_ms = self.at_ms + patience_ms;
        while self.checks.violations.is_empty() {
            let Some(difference) = self.pool_difference() else { return };
            if self.at_ms >= until_ms {
                return self.violated(Rule::PoolsConverge, "world", difference);
            }
            self.run_until(self.at_ms + u64::from(self.plan.parameters.sync_interval_ms).max(SECOND_MS));
        }
    }

    /// Lets everything happen that is due by `until_ms`.
    pub fn run_until(&mut self, until_ms: u64) {
        while self.checks.violations.is_empty()
            && let Some((at_ms, event)) = self.queue.take(until_ms)
        {
            self.moment_events = if at_ms == self.at_ms { self.moment_events + 1 } else { 0 };
            if self.moment_events > MOMENT_EVENTS_MAX {
                return self.violated(Rule::TimeMoves, "world", format!("{event:?}"));
            }
            self.at_ms = at_ms;
            self.happen(event);
        }
        self.at_ms = self.at_ms.max(until_ms);
    }

    /// Whether an event of a process's life still concerns anybody; if that sleeps, it is put off.
    fn concerns(&mut self, node: Place, life: u32, event: Event) -> Option<Event> {
        let machine = &self.nodes[node];
        if machine.life != life || machine.core.is_none() {
            return None;
        }
        match machine.asleep_until_ms {
            Some(until_ms) => {
                self.queue.put(until_ms.max(self.at_ms + 1), event);
                None
            }
            None => Some(event),
        }
    }

    fn happen(&mut self, event: Event) {
        let of_life = match &event {
            Event::Wake { node, life }
            | Event::Committed { node, life }
            | Event::Computed { node, life, .. }
            | Event::Done { node, life, .. }
            | Event::Local { node, life, .. } => Some((*node, *life)),
            _ => None,
        };
        let event = match of_life {
            Some((node, life)) => match self.concerns(node, life, event) {
                Some(event) => event,
                None => return,
            },
            None => event,
        };
        match event {
            Event::Wake { node, .. } => {
                if self.nodes[node].wake_at_ms == Some(self.at_ms) {
                    self.nodes[node].wake_at_ms = None;
                    self.step(node, Input::Wake);
                }
            }
            Event::Committed { node, .. } => self.on_committed(node),
            Event::Computed { node, id, result, .. } => self.on_computed(node, id, result),
            Event::Done { node, id, result, .. } => self.on_done(node, id, result),
            Event::Local { node, input, .. } => self.on_local(node, input),
            Event::Dial { node, life } => self.on_dial(node, life),
            Event::Rotate { node } => self.on_rotate(node),
            Event::Linked { link } => self.on_linked(link),
            Event::Lost { link } => self.on_lost(link),
            Event::Gossip { link, envelope, past_cache } => self.on_gossip(link, envelope, past_cache),
            Event::Cell { link, cell, request, life } => self.on_cell(link, cell, request, life),
            Event::SyncOpen { link, life, window, watch } => self.on_sync_open(link, life, window, watch),
            Event::Pulled { link, life, bodies } => self.on_pulled(link, life, bodies),
            Event::Act { node, act } => self.on_act(node, act),
            Event::Fault(fault) => self.on_fault(fault),
            Event::Harm { node } => self.on_harm(node),
        }
    }

    /// Writes a line of the trace.
    pub(super) fn note(&mut self, place: Place, what: impl FnOnce() -> String) {
        if self.trace.is_kept() {
            self.trace.line(self.at_ms, &self.nodes[place].name, what);
        }
    }

    /// A rule was broken.
    pub(super) fn violated(&mut self, rule: Rule, who: &str, what: String) {
        self.checks.violated(self.at_ms, rule, who, what);
        if let Some(violation) = self.checks.violations.last() {
            let text = violation.to_string();
            self.trace.line(self.at_ms, who, || text);
        }
    }

    /// A number used nowhere else.
    pub(super) fn fresh_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

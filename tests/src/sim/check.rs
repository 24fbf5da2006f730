//! The rules of a run, and those who look on.
//!
//! What a node's disk has is what counts: letters, history and events are taken from committed turns, what
//! leaves a node is held against its disk at the moment at which it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use starling_messenger::MemoryUse;
use starling_messenger::job::{Job, StampJob};
use starling_messenger::record::{HistoryRecord, RecordKind, VaultWrite, decode_record};
use starling_messenger::turn::{MessageNumber, Output, Turn};
use starling_messenger::view::{DeliveryStage, MessageView};
use starling_wire::envelope::{Class, Envelope, Head, Tag};

use super::changes::text_of;
use super::event::Place;
use super::node::Node;
use super::people::Act;
use super::plan::DAY_MS;
use super::reading::{Reading, tells};
use super::trace::clock;
use super::world::World;

/// Violations after which nothing more is written down.
const VIOLATIONS_MAX: usize = 20;
/// What a node of a run may have in memory at most: watched tags (some sessions with each of some dozen contacts, at
/// most 1,536 tags each), outbox items (its own limits), timers, stamps being solved, tags to be looked up,
/// envelopes found under them (a batch beyond its limit).
const MEMORY_MAX: [usize; 6] = [262_144, 4_648, 8_192, 8, 262_144, 2_048];
/// Days before which no message may be given up. SPEC: B9.
const EXPIRY_DAYS_MIN: u64 = 13;

/// A rule that a run must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What people were told is safe with their node arrives.
    AllDelivered,
    /// What is shown as delivered is in the recipient's history.
    DeliveredIsThere,
    /// Nothing is shown twice.
    ShownOnce,
    /// At the end a sender's messages stand in the order in which they were written.
    InOrder,
    /// No key and number of a ratchet seals two texts.
    KeyUsedOnce,
    /// Nothing leaves a node before its disk has it.
    CommittedFirst,
    /// In the end all nodes store the same.
    PoolsConverge,
    /// Every gossip message gets exactly one verdict.
    OneVerdict,
    /// No verdict waits for a disk: a neighbour would see for whom an envelope was.
    VerdictAtOnce,
    /// No node publishes what it wrote itself.
    OthersPublish,
    /// Every push cell gets exactly one answer.
    OneAnswer,
    /// The state of a message never goes back.
    StatesForward,
    /// What is in memory stays within its limits.
    MemoryBounded,
    /// A repeated send is one message.
    SentOnce,
    /// In the end both sides of a conversation see the same text, the same reactions, and what was read, if both tell.
    SidesAgree,
    /// What is shown as read was read, by somebody who tells that to somebody who tells, too.
    ReadIsTrue,
    /// No honest node is blocked.
    HonestUnharmed,
    /// A node starts from whatever its disk has.
    Restarts,
    /// Nobody is refused a reasonable wish.
    Reasonable,
    /// No node turns in a circle.
    TimeMoves,
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, ms of virtual time.
    pub at_ms: u64,
    /// Which.
    pub rule: Rule,
    /// By whom.
    pub who: String,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:>5}  VIOLATION {:?}: {}", clock(self.at_ms), self.who, self.rule, self.what)
    }
}

/// A text from the plan to its delivery.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) from: Place,
    pub(super) to: Place,
    /// A person has tried to send it.
    tried: bool,
    /// Its number at its sender, once committed.
    pub(super) number: Option<MessageNumber>,
    /// Its writer's node has deleted it for both.
    pub(super) deleted: bool,
    /// Its person was told that it is safe.
    told: bool,
    committed_ms: u64,
    created_unix_ms: u64,
    stage: DeliveryStage,
}

/// What is known of a run.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Rules broken so far.
    pub(super) violations: Vec<Violation>,
    pub(super) letters: BTreeMap<String, Letter>,
    pub(super) by_number: BTreeMap<(Place, MessageNumber), String>,
    pub(super) received: BTreeMap<(Place, String), MessageNumber>,
    /// Messages that came after their end.
    pub(super) late: BTreeSet<(Place, MessageNumber)>,
    /// Received messages that have disappeared.
    pub(super) gone: BTreeSet<(Place, MessageNumber)>,
    shown: BTreeSet<(Place, String)>,
    /// Pairs of whom one has removed or refused the other, and since when they are friends again.
    pub(super) severed: BTreeMap<(Place, Place), Option<u64>>,
    client_ids: BTreeMap<(String, [u8; 16]), MessageNumber>,
    /// Who read what.
    pub(super) reading: Reading,
    /// Envelopes whose sealing was committed, by node and tag.
    committed_seals: BTreeSet<(Place, Tag)>,
    /// What left under a tag, and as which of all.
    left: BTreeMap<(String, Tag), (usize, Vec<u8>)>,
    /// The same with its stamp.
    pushed: BTreeMap<(String, Tag), Envelope>,
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    let mut from = 0;
    while let Some(found) = haystack[from..].iter().position(|&byte| byte == first) {
        from += found;
        if haystack[from..].starts_with(needle) {
            return true;
        }
        from += 1;
    }
    false
}

/// The kind of the record on a node's disk that holds these bytes of an own envelope.
fn holder(node: &Node, bytes: &[u8]) -> Option<RecordKind> {
    let kinds = [RecordKind::Outbox, RecordKind::BundlePost];
    let records = node.vault.iter().filter(|(key, _)| kinds.contains(&key.kind));
    records.into_iter().find(|(_, value)| contains(value, bytes)).map(|(key, _)| key.kind)
}

fn short(text: &str) -> &str {
    text.get(..text.len().min(16)).unwrap_or_default()
}

impl Check {
    /// A rule was broken.
    pub(super) fn violated(&mut self, at_ms: u64, rule: Rule, who: &str, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { at_ms, rule, who: who.to_owned(), what });
        }
    }

    /// Somebody is going to write this.
    pub(super) fn will_write(&mut self, from: Place, to: Place, text: &str) {
        let letter = Letter {
            from,
            to,
            tried: false,
            number: None,
            deleted: false,
            told: false,
            committed_ms: 0,
            created_unix_ms: 0,
            stage: DeliveryStage::Queued,
        };
        self.letters.insert(text.to_owned(), letter);
    }

    /// They press the button.
    pub(super) fn tries(&mut self, text: &str) {
        if let Some(letter) = self.letters.get_mut(text) {
            letter.tried = true;
        }
    }

    /// It was refused: nothing was sent.
    pub(super) fn untries(&mut self, act: &Act) {
        if let Act::Write { text, .. } = act
            && let Some(letter) = self.letters.get_mut(text).filter(|letter| letter.number.is_none())
        {
            letter.tried = false;
        }
    }

    /// One of two people removes or refuses the other: what is between them need not arrive.
    pub(super) fn sever(&mut self, one: Place, other: Place) {
        self.severed.insert((one.min(other), one.max(other)), None);
    }

    /// They added each other again: what is written from now on arrives.
    pub(super) fn mend(&mut self, at_ms: u64, one: Place, other: Place) {
        if let Some(since_ms) = self.severed.get_mut(&(one.min(other), one.max(other))) {
            since_ms.get_or_insert(at_ms);
        }
    }

    /// Whether one of them has removed the other and not added again.
    pub(super) fn is_severed(&self, one: Place, other: Place) -> bool {
        self.severed.get(&(one.min(other), one.max(other))) == Some(&None)
    }

    /// Whether it was written before its writer and its reader were friends for good.
    fn need_not_arrive(&self, letter: &Letter) -> bool {
        let pair = (letter.from.min(letter.to), letter.from.max(letter.to));
        self.severed.get(&pair).is_some_and(|since| since.is_none_or(|since_ms| letter.committed_ms < since_ms))
    }

    /// Whether they did.
    pub(super) fn was_tried(&self, text: &str) -> bool {
        self.letters.get(text).is_some_and(|letter| letter.tried)
    }

    /// Their node says that it is safe: then it is committed, and every repetition names the same message.
    pub(super) fn told(
        &mut self,
        at_ms: u64,
        node: &Node,
        number: MessageNumber,
        text: &str,
        client_id: Option<[u8; 16]>,
    ) {
        let Some(letter) = self.letters.get_mut(text) else { return };
        letter.told = true;
        if letter.number != Some(number) {
            let what = format!("m{} was acknowledged, the disk has {:?}", number.0, letter.number);
            self.violated(at_ms, Rule::CommittedFirst, &node.name, what);
        }
        let Some(id) = client_id else { return };
        let first = *self.client_ids.entry((node.name.clone(), id)).or_insert(number);
        if first != number {
            let what = format!("one client id gave m{} and m{}", first.0, number.0);
            self.violated(at_ms, Rule::SentOnce, &node.name, what);
        }
    }

    /// A message comes into a history, or changes there.
    fn history(&mut self, at_ms: u64, name: &str, place: Place, record: &HistoryRecord) {
        let view = &record.message;
        if view.deleted && !view.own {
            self.late.insert((place, view.number));
        }
        let Some(text) = text_of(view).map(str::to_owned) else { return };
        if !view.own {
            let first = *self.received.entry((place, text.clone())).or_insert(view.number);
            if first != view.number {
                let what = format!("{:?} is m{} and m{}", short(&text), first.0, view.number.0);
                self.violated(at_ms, Rule::ShownOnce, name, what);
            }
            return;
        }
        let Some(letter) = self.letters.get_mut(&text) else { return };
        letter.created_unix_ms = view.created_unix_ms;
        if letter.number.is_none() {
            letter.committed_ms = at_ms;
        }
        let first = *letter.number.get_or_insert(view.number);
        if first != view.number {
            let what = format!("{:?} was sent as m{} and m{}", short(&text), first.0, view.number.0);
            return self.violated(at_ms, Rule::SentOnce, name, what);
        }
        self.by_number.insert((place, view.number), text);
    }

    /// What a turn left in a history tells the same state as the events of that turn.
    fn history_state(&mut self, at_ms: u64, name: &str, record: &HistoryRecord) {
        let view = &record.message;
        let letter = text_of(view).filter(|_| view.own).and_then(|text| self.letters.get(text));
        if let Some(told) = letter.map(|letter| letter.stage).filter(|&told| told != view.state.stage) {
            let what = format!("m{} is {:?} on the disk, told was {told:?}", view.number.0, view.state.stage);
            self.violated(at_ms, Rule::StatesForward, name, what);
        }
    }

    /// A message is shown.
    pub(super) fn shown(&mut self, at_ms: u64, name: &str, place: Place, view: &MessageView) {
        let Some(text) = text_of(view) else { return };
        if !self.shown.insert((place, text.to_owned())) {
            self.violated(at_ms, Rule::ShownOnce, name, format!("{:?} is shown again", short(text)));
        }
    }

    /// The state of an own message.
    pub(super) fn state(
        &mut self,
        at_ms: u64,
        name: &str,
        place: Place,
        number: MessageNumber,
        stage: DeliveryStage,
        unix_ms: u64,
    ) {
        use DeliveryStage::{Delivered, Expired, Read};
        let Some(text) = self.by_number.get(&(place, number)) else { return };
        let Some(letter) = self.letters.get_mut(text) else { return };
        let before = std::mem::replace(&mut letter.stage, stage);
        let forward = match (before, stage) {
            (Read, after) => after == Read,
            (Delivered, after) => after == Delivered || after == Read,
            (Expired, after) => matches!(after, Expired | Delivered | Read),
            (before, after) => after >= before,
        };
        let pair = (letter.from.min(letter.to), letter.from.max(letter.to));
        let early = stage == Expired
            && !self.severed.contains_key(&pair)
            && unix_ms < letter.created_unix_ms + EXPIRY_DAYS_MIN * DAY_MS;
        let missing = matches!(stage, Delivered | Read) && !self.received.contains_key(&(letter.to, text.clone()));
        let label = format!("m{} {:?}", number.0, short(text));
        if !forward {
            self.violated(at_ms, Rule::StatesForward, name, format!("{label} goes from {before:?} to {stage:?}"));
        }
        if early {
            self.violated(at_ms, Rule::AllDelivered, name, format!("{label} was given up too early"));
        }
        if missing {
            self.violated(at_ms, Rule::DeliveredIsThere, name, format!("{label} is not in the recipient's history"));
        }
    }

    /// A sealed envelope leaves the core for its stamp: its bytes are on the disk, and its key sealed nothing
    /// else. The tag of a ratchet message names key and number; that of a bundle is meant to repeat.
    pub(super) fn leaves_sealed(&mut self, at_ms: u64, node: &Node, head: &Head, body: &[u8]) {
        let Some(kind) = holder(node, body) else {
            let what = format!("seals {:?} and the disk does not have it", head.tag);
            return self.violated(at_ms, Rule::CommittedFirst, &node.name, what);
        };
        if kind == RecordKind::BundlePost {
            return;
        }
        let sealed = [head.ephemeral.as_slice(), body].concat();
        let order = self.left.len();
        let (_, first) = self.left.entry((node.name.clone(), head.tag)).or_insert_with(|| (order, sealed.clone()));
        if *first != sealed {
            self.violated(at_ms, Rule::KeyUsedOnce, &node.name, format!("two texts under {:?}", head.tag));
        }
    }

    /// A whole envelope leaves in a push cell.
    pub(super) fn leaves_stamped(&mut self, at_ms: u64, node: &Node, bytes: &[u8]) {
        if holder(node, bytes).is_none() {
            self.violated(at_ms, Rule::CommittedFirst, &node.name, "pushes what the disk does not have".to_owned());
        }
        if let Ok(envelope) = Envelope::parse(bytes) {
            self.pushed.insert((node.name.clone(), envelope.tag()), envelope);
        }
    }

    /// A node publishes an envelope: not one of its own, which goes out through others.
    pub(super) fn publishes(&mut self, at_ms: u64, name: &str, envelope: &Envelope) {
        let own = self.pushed.get(&(name.to_owned(), envelope.tag())).is_some_and(|own| own.id() == envelope.id());
        if own {
            self.violated(at_ms, Rule::OthersPublish, name, format!("publishes its own {:?}", envelope.id()));
        }
    }

    /// Messages of a node that left it, in the order in which they were sealed; bundles are none.
    pub(super) fn sealed_by(&self, name: &str) -> Vec<Envelope> {
        let mut sealed: Vec<(usize, Envelope)> = self
            .left
            .iter()
            .filter(|((who, _), _)| who == name)
            .filter_map(|(key, (order, _))| Some((*order, self.pushed.get(key)?.clone())))
            .collect();
        sealed.sort_by_key(|(order, _)| *order);
        sealed.into_iter().map(|(_, envelope)| envelope).collect()
    }

    /// A turn that has to wait for the disk.
    pub(super) fn waits(&mut self, at_ms: u64, name: &str, turn: &Turn) {
        if turn.outputs.iter().any(|output| matches!(output, Output::Verdict { .. })) {
            self.violated(at_ms, Rule::VerdictAtOnce, name, "a verdict waits for a commit".to_owned());
        }
    }

    /// Memory after a step.
    pub(super) fn memory(&mut self, at_ms: u64, node: &Node, nothing_allowed: bool) {
        let Some(core) = &node.core else { return };
        let MemoryUse { tags, outbox, timers, jobs, late_tags, found } = core.memory_use();
        let used = [tags, outbox, timers, jobs, late_tags, found];
        let limits = if nothing_allowed { [0; 6] } else { MEMORY_MAX };
        if used.iter().zip(limits).any(|(&used, limit)| used > limit) {
            let what = format!("{used:?} of tags, outbox, timers, jobs, late tags, found; limits {limits:?}");
            self.violated(at_ms, Rule::MemoryBounded, &node.name, what);
        }
    }

    /// A node could not start.
    pub(super) fn restore_failed(&mut self, at_ms: u64, name: &str, error: &str) {
        self.violated(at_ms, Rule::Restarts, name, error.to_owned());
    }

    /// Texts that people were told are safe, those confirmed, those given up.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let count = |test: &dyn Fn(&Letter) -> bool| self.letters.values().filter(|letter| test(letter)).count() as u64;
        (
            count(&|letter| letter.told),
            count(&|letter| matches!(letter.stage, DeliveryStage::Delivered | DeliveryStage::Read)),
            count(&|letter| letter.stage == DeliveryStage::Expired),
        )
    }

    /// The number of one's own of a text, and who wrote it.
    pub(super) fn origin(&self, text: &str) -> Option<(Place, MessageNumber)> {
        let letter = self.letters.get(text)?;
        Some((letter.from, letter.number?))
    }

    /// Texts that `to` has, as committed.
    pub(super) fn received_by(&self, to: Place) -> Vec<&str> {
        self.received.keys().filter(|(place, _)| *place == to).map(|(_, text)| text.as_str()).collect()
    }
}

impl World {
    /// Looks at a turn that the disk has just taken.
    pub(super) fn check_commit(&mut self, place: Place, turn: &Turn) {
        let name = self.nodes[place].name.clone();
        let puts = || {
            turn.writes.iter().filter_map(|write| match write {
                VaultWrite::Put { key, value } => Some((key.kind, value)),
                VaultWrite::Delete { .. } | VaultWrite::Change { .. } | VaultWrite::Read { .. } => None,
            })
        };
        for write in &turn.writes {
            if let VaultWrite::Change { key, change } = write {
                self.checks.changed(place, key, change);
            }
        }
        if puts().any(|(kind, _)| kind == RecordKind::Reads) && !tells(place) {
            self.violated(Rule::ReadIsTrue, &name, "notes what is to be told of reading, and tells nothing".to_owned());
        }
        let mut histories = BTreeMap::new();
        for (_, value) in puts().filter(|(kind, _)| *kind == RecordKind::History) {
            if let Ok(record) = decode_record::<HistoryRecord>(value) {
                self.checks.history(self.at_ms, &name, place, &record);
                histories.insert(record.message.number, record);
            }
        }
        for output in &turn.outputs {
            match output {
                Output::Event(told) => self.on_told(place, told),
                Output::Compute { job: Job::Stamp(StampJob { head, body, .. }), .. } => {
                    if !self.checks.committed_seals.insert((place, head.tag)) {
                        continue;
                    }
                    let session = puts().any(|(kind, _)| kind == RecordKind::Session);
                    let mut holders = puts().filter(|(_, value)| contains(value, body)).map(|(kind, _)| kind);
                    let whole = holders.any(|kind| kind == RecordKind::BundlePost || session);
                    if !whole {
                        let what = format!("{:?} was sealed without its session's state", head.tag);
                        self.checks.violated(self.at_ms, Rule::CommittedFirst, &name, what);
                    }
                }
                _ => {}
            }
        }
        for write in &turn.writes {
            if let VaultWrite::Read { key, .. } = write
                && let Some(record) = histories.get_mut(&MessageNumber(key.order.unwrap_or(0)))
            {
                record.message.state.stage = DeliveryStage::Read;
            }
        }
        for record in histories.values() {
            self.checks.history_state(self.at_ms, &name, record);
        }
    }

    /// What is still on its way, of what is committed.
    pub(super) fn open_deliveries(&self) -> Vec<String> {
        let open = |letter: &Letter| {
            let on_its_way = letter.number.is_some() && letter.stage < DeliveryStage::Delivered;
            on_its_way && !letter.deleted && !self.checks.need_not_arrive(letter)
        };
        let letters = self.checks.letters.iter().filter(|(_, letter)| open(letter));
        let mut open: Vec<String> = letters
            .map(|(text, letter)| {
                let there = self.checks.received.contains_key(&(letter.to, text.clone()));
                let number = letter.number.map_or(0, |number| number.0);
                format!("m{number} {:?} is {:?}, arrived: {there}", short(text), letter.stage)
            })
            .collect();
        let down = (0..self.plan.nodes).filter(|&place| !self.nodes[place].is_online());
        open.extend(down.map(|place| format!("{} is away", self.nodes[place].name)));
        open
    }

    pub(super) fn report_open_deliveries(&mut self) {
        for what in self.open_deliveries() {
            self.violated(Rule::AllDelivered, "world", what);
        }
        for what in self.disagreements() {
            self.violated(Rule::SidesAgree, "world", what);
        }
        if self.checks.violations.is_empty() {
            let acts: Vec<String> =
                self.queue.acts().map(|(place, act)| format!("n{place:02} waits for {act:?}")).collect();
            self.violated(Rule::Reasonable, "world", acts.join("; "));
        }
    }

    /// How the pools of two nodes differ, in the hours that all of them reconcile.
    pub(super) fn pool_difference(&self) -> Option<String> {
        use starling_relay::expire;
        use starling_relay::pool::{EnvelopePool, IdSource};
        let mut first: Option<(String, BTreeSet<_>)> = None;
        for place in 0..self.plan.nodes {
            let node = &self.nodes[place];
            let Some(core) = node.core.as_ref().filter(|_| node.is_online()) else { continue };
            let mut window = expire::reconciled_hours(self.epoch_of(place), self.plan.parameters.lifetime_hours);
            // Clocks differ by seconds: the oldest hour may just be leaving.
            window.first = window.first.plus(1);
            let ids: BTreeSet<_> =
                core.pool().snapshot(window).keys().into_iter().map(|key| (key.epoch, key.id)).collect();
            match &first {
                None => first = Some((node.name.clone(), ids)),
                Some((name, other)) if *other != ids => {
                    let (more, less) = (ids.difference(other).count(), other.difference(&ids).count());
                    let example = ids.symmetric_difference(other).next();
                    let of = (ids.len(), other.len());
                    return Some(format!(
                        "{} has {more} more and {less} less than {name}, of {of:?}: {example:?}",
                        node.name
                    ));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// What must hold at the very end.
    pub(super) fn final_checks(&mut self) {
        for place in 0..self.plan.nodes {
            self.check_waiting(place);
            self.check_budget(place);
            self.check_conversations(place);
        }
    }

    fn check_waiting(&mut self, place: Place) {
        let node = &self.nodes[place];
        let (name, tokens, tickets) = (node.name.clone(), node.tokens.len(), node.tickets.len());
        let stale = node.tokens.values().any(|pending| pending.since_ms + 5_000 < self.at_ms);
        if stale {
            self.violated(Rule::OneVerdict, &name, format!("{tokens} gossip messages wait for a verdict"));
        }
        if tickets > 16 {
            self.violated(Rule::OneAnswer, &name, format!("{tickets} cells wait for an answer"));
        }
    }

    fn check_budget(&mut self, place: Place) {
        use starling_relay::pool::EnvelopePool;
        let Some(core) = &self.nodes[place].core else { return };
        let (topic, newest) = (core.topic(), self.epoch_of(place).plus(1));
        let hours = self.plan.parameters.lifetime_hours + 3;
        let over = (0..hours).map(|hour| newest.minus(hour)).find(|&epoch| {
            [Class::Small, Class::Large]
                .into_iter()
                .any(|class| core.pool().fill_bytes(topic, epoch, class) > self.plan.parameters.budget_bytes(class))
        });
        if let Some(epoch) = over {
            let name = self.nodes[place].name.clone();
            self.violated(Rule::MemoryBounded, &name, format!("hour {} is over its budget", epoch.0));
        }
    }
}

//! A little network in memory: messengers, virtual time, links that can be cut, vaults that can be crashed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::AtomicBool;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use starling_e2ee::prekey::{bundle_tag, weeks_to_read};
use starling_messenger::backup::{BackupRecord, Export, Import, end_record, message_records};
use starling_messenger::record::{
    FileRecord, HistoryRecord, RecordKind, VaultImage, VaultKey, VaultWrite, changed_history, decode_record, file_key,
    read_history,
};
use starling_messenger::turn::{
    AddressGroup, Command, CommandError, ContactNumber, GossipToken, Input, LinkId, MessageNumber, Now, Output,
    PushTicket, Refusal, Reply, RequestId, SyncBroken, SyncStats, Turn, Verdict,
};
use starling_messenger::view::{DeliveryStage, Event, MessageBody, MessageView};
use starling_messenger::{Messenger, Setup, arrange};
use starling_relay::admit::{Route, check};
use starling_relay::pool::{EnvelopePool, IdSource};
use starling_wire::envelope::{Envelope, EnvelopeId, Epoch, Tag};
use starling_wire::invite::Invite;
use starling_wire::network::NetworkParameters;
use zeroize::Zeroizing;

use crate::full_pool::TestPool;

/// Where a node dies when it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The turn is lost.
    BeforeCommit,
    /// The writes are there, no output is.
    AfterCommit,
    /// The writes and the first output are there.
    AmongOutputs,
}

pub(crate) struct Node {
    pub(crate) messenger: Option<Messenger<TestPool>>,
    pub(crate) vault: BTreeMap<VaultKey, Zeroizing<Vec<u8>>>,
    pool: Option<TestPool>,
    pub(crate) events: Vec<Event>,
    pub(crate) replies: BTreeMap<RequestId, Reply>,
    setup: Setup,
    /// Turns with writes committed so far.
    pub(crate) commits: u32,
    crash: Option<(u32, Crash)>,
    /// Pushes by cells that are to be refused.
    pub(crate) refuses_cells: bool,
    seen: BTreeSet<EnvelopeId>,
    /// Cells pushed: to whom, and their bytes.
    pub(crate) pushes: Vec<(LinkId, usize)>,
    verdicts: BTreeMap<GossipToken, u32>,
    answers: BTreeMap<PushTicket, u32>,
    links: BTreeMap<LinkId, usize>,
    /// Its wall clock minus the true time, ms.
    pub(crate) skew_ms: i64,
}

enum Delivery {
    Input(Input),
    Gossip { from: usize, envelope: Envelope },
}

pub(crate) struct Net {
    pub(crate) parameters: NetworkParameters,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now_ms: u64,
    pub(crate) unix_base_ms: u64,
    queue: BTreeMap<(u64, u64), (usize, Delivery)>,
    rng: ChaCha20Rng,
    counter: u64,
    tickets: BTreeMap<PushTicket, (usize, RequestId)>,
    tokens: BTreeMap<GossipToken, (usize, Envelope)>,
    /// What was ever published under each tag.
    published: BTreeMap<Tag, BTreeSet<EnvelopeId>>,
    /// Published envelopes are withheld from the network.
    pub(crate) publish_lost: bool,
    /// Those envelopes, and who was to publish them.
    withheld: Vec<(usize, Envelope)>,
}

const LATENCY_MS: u64 = 5;

pub(crate) fn parameters() -> NetworkParameters {
    NetworkParameters { sync_interval_ms: 1_000, ..NetworkParameters::test("memory") }
}

/// For tests that span days: a reconciliation a minute.
pub(crate) fn slow_parameters() -> NetworkParameters {
    NetworkParameters { sync_interval_ms: 60_000, ..parameters() }
}

impl Net {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, parameters())
    }

    pub(crate) fn with(nodes: usize, parameters: NetworkParameters) -> Self {
        let mut net = Self {
            parameters,
            nodes: Vec::new(),
            now_ms: 1_000,
            unix_base_ms: 1_800_000_000_000,
            queue: BTreeMap::new(),
            rng: ChaCha20Rng::seed_from_u64(42),
            counter: 0,
            tickets: BTreeMap::new(),
            tokens: BTreeMap::new(),
            published: BTreeMap::new(),
            publish_lost: false,
            withheld: Vec::new(),
        };
        for number in 0..nodes {
            net.add_node(&format!("node{number}"));
        }
        net
    }

    pub(crate) fn add_node(&mut self, name: &str) -> usize {
        self.add_scripted(name, &[])
    }

    /// A node that draws `first` before anything random: its account key, device keys and address, 32 bytes each.
    pub(crate) fn add_scripted(&mut self, name: &str, first: &[u8]) -> usize {
        let mut rng = Scripted { first: first.iter().copied().collect(), rest: &mut self.rng };
        let index = self.nodes.len();
        let onion_secret = [u8::try_from(index).unwrap() + 1; 32];
        let setup = Setup { parameters: self.parameters.clone(), onion_secret, name: name.to_owned() };
        let pool = TestPool::new(&self.parameters);
        let now = Now { unix_ms: self.unix_base_ms + self.now_ms, monotonic_ms: self.now_ms };
        let (messenger, turn) = Messenger::create(setup.clone(), pool, now, &mut rng);
        self.push_node(setup, BTreeMap::new(), Some(messenger));
        self.release(index, turn);
        index
    }

    fn push_node(
        &mut self,
        setup: Setup,
        vault: BTreeMap<VaultKey, Zeroizing<Vec<u8>>>,
        messenger: Option<Messenger<TestPool>>,
    ) {
        self.nodes.push(Node {
            messenger,
            vault,
            pool: None,
            events: Vec::new(),
            replies: BTreeMap::new(),
            setup,
            commits: 0,
            crash: None,
            refuses_cells: false,
            seen: BTreeSet::new(),
            pushes: Vec::new(),
            verdicts: BTreeMap::new(),
            answers: BTreeMap::new(),
            links: BTreeMap::new(),
            skew_ms: 0,
        });
    }

    /// What a backup of a node holds now, as its daemon would write it.
    pub(crate) fn backup(&mut self, node: usize) -> Vec<BackupRecord> {
        let Reply::Export(export) = self.command(node, Command::Export) else { panic!("no export") };
        let Export { mut records, before } = *export;
        let history = self.history(node).into_iter().filter(|record| record.message.number < before);
        records.extend(history.flat_map(|record| {
            let file = self.file(node, record.message.contact, record.message.number);
            message_records(&record, file.map(|bytes| FileRecord { number: record.message.number, bytes }))
        }));
        records.push(end_record(records.len() as u64, 0));
        records
    }

    /// A node with nothing but a backup, on another computer.
    pub(crate) fn add_restored(&mut self, backup: &[BackupRecord]) -> usize {
        let mut import = Import::new();
        let mut writes = Vec::new();
        for record in backup {
            writes.extend(import.take(record.kind, &record.bytes).unwrap());
        }
        writes.extend(import.finish(self.now().unix_ms, &mut self.rng).unwrap().writes);
        let put = |write| match write {
            VaultWrite::Put { key, value } => (key, value),
            VaultWrite::Delete { .. } | VaultWrite::Change { .. } | VaultWrite::Read { .. } => {
                panic!("a new vault has nothing to delete or to change")
            }
        };
        let index = self.nodes.len();
        let onion_secret = [u8::try_from(index).unwrap() + 1; 32];
        let setup = Setup { parameters: self.parameters.clone(), onion_secret, name: String::new() };
        self.push_node(setup, writes.into_iter().map(put).collect(), None);
        self.restart(index, false);
        index
    }

    /// Messages in a node's vault, in no order.
    pub(crate) fn history(&self, node: usize) -> Vec<HistoryRecord> {
        let vault = self.nodes[node].vault.iter();
        vault
            .filter(|(key, _)| key.kind == RecordKind::History)
            .map(|(_, value)| decode_record(value).unwrap())
            .collect()
    }

    /// The bytes of a file that lie beside a node's history.
    pub(crate) fn file(&self, node: usize, contact: ContactNumber, number: MessageNumber) -> Option<Vec<u8>> {
        let value = self.nodes[node].vault.get(&file_key(contact, number))?;
        let record: FileRecord = decode_record(value).unwrap();
        assert_eq!(record.number, number);
        Some(record.bytes)
    }

    /// A conversation as a person sees it: whether each text is one's own, and what it says.
    pub(crate) fn conversation(&self, node: usize, contact: ContactNumber) -> Vec<(bool, String)> {
        let of_contact = self.history(node).into_iter().map(|record| record.message).filter(|m| m.contact == contact);
        let mut messages: Vec<MessageView> = of_contact.collect();
        arrange(&mut messages);
        let text = |message: MessageView| match message.body {
            MessageBody::Text(text) => (message.own, text),
            MessageBody::File(file) => (message.own, format!("file {}", file.name)),
            MessageBody::Unknown { .. } => panic!("nobody sent such a thing"),
        };
        messages.into_iter().map(text).collect()
    }

    pub(crate) fn now(&self) -> Now {
        Now { unix_ms: self.unix_base_ms + self.now_ms, monotonic_ms: self.now_ms }
    }

    fn now_of(&self, node: usize) -> Now {
        let now = self.now();
        Now { unix_ms: now.unix_ms.saturating_add_signed(self.nodes[node].skew_ms), ..now }
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn deliver(&mut self, node: usize, wait_ms: u64, delivery: Delivery) {
        let key = (self.now_ms + wait_ms, self.count());
        self.queue.insert(key, (node, delivery));
    }

    /// Links two nodes.
    pub(crate) fn link(&mut self, a: usize, b: usize) {
        let ends = [(a, b, LinkId(self.count())), (b, a, LinkId(self.count()))];
        for (from, to, link) in ends {
            self.nodes[from].links.insert(link, to);
        }
        for (from, to, link) in ends {
            let onion_key = onion_key(self.nodes[to].setup.onion_secret);
            let group = AddressGroup { narrow: to as u64, wide: to as u64 };
            let clock_offset_ms = self.nodes[to].skew_ms - self.nodes[from].skew_ms;
            self.step(from, Input::LinkUp { link, group, outbound: from == a, onion_key, clock_offset_ms });
        }
    }

    /// Cuts all links between two nodes.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let links: Vec<LinkId> =
                self.nodes[from].links.iter().filter(|&(_, &other)| other == to).map(|(&link, _)| link).collect();
            for link in links {
                self.nodes[from].links.remove(&link);
                self.step(from, Input::LinkDown { link });
            }
        }
    }

    pub(crate) fn isolate(&mut self, node: usize) {
        for other in 0..self.nodes.len() {
            self.cut(node, other);
        }
    }

    pub(crate) fn link_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.link(a, b);
            }
        }
    }

    /// The node dies with its `nth` next turn that writes.
    pub(crate) fn crash_at(&mut self, node: usize, nth: u32, crash: Crash) {
        self.nodes[node].crash = Some((self.nodes[node].commits + nth, crash));
    }

    /// The node dies no more.
    pub(crate) fn disarm(&mut self, node: usize) {
        self.nodes[node].crash = None;
    }

    pub(crate) fn is_down(&self, node: usize) -> bool {
        self.nodes[node].messenger.is_none()
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].crash = None;
        if let Some(messenger) = self.nodes[node].messenger.take() {
            self.nodes[node].pool = Some(messenger.pool().clone());
        }
        for other in 0..self.nodes.len() {
            self.cut(node, other);
        }
    }

    /// Kills a node as it is.
    pub(crate) fn stop(&mut self, node: usize) {
        self.kill(node);
    }

    /// Starts a dead node from its vault, with the pool that it had or an empty one.
    pub(crate) fn restart(&mut self, node: usize, keep_pool: bool) {
        let image = VaultImage {
            records: self.nodes[node].vault.iter().map(|(key, value)| (key.kind, value.clone())).collect(),
        };
        let kept = self.nodes[node].pool.take().filter(|_| keep_pool);
        let pool = kept.unwrap_or_else(|| TestPool::new(&self.parameters));
        let (setup, now) = (self.nodes[node].setup.clone(), self.now_of(node));
        let (messenger, turn) = Messenger::restore(setup, image, pool, now, &mut self.rng).unwrap();
        self.nodes[node].messenger = Some(messenger);
        self.nodes[node].seen.clear();
        self.release(node, turn);
    }

    pub(crate) fn step(&mut self, node: usize, input: Input) {
        let now = self.now_of(node);
        let Some(messenger) = &mut self.nodes[node].messenger else { return };
        let gossip = matches!(input, Input::Gossip { .. });
        let turn = messenger.step(input, now, &mut self.rng);
        assert!(!gossip || turn.writes.is_empty(), "a verdict never waits for a commit");
        self.release(node, turn);
    }

    fn release(&mut self, node: usize, turn: Turn) {
        let Turn { writes, mut outputs } = turn;
        let commits = !writes.is_empty() || outputs.iter().any(|output| matches!(output, Output::Event(_)));
        if commits {
            self.nodes[node].commits += 1;
            let dies = self.nodes[node].crash.filter(|&(at, _)| at == self.nodes[node].commits).map(|(_, crash)| crash);
            if dies == Some(Crash::BeforeCommit) {
                return self.kill(node);
            }
            for write in writes {
                match write {
                    VaultWrite::Put { key, value } => {
                        self.nodes[node].vault.insert(key, value);
                    }
                    VaultWrite::Delete { key } => {
                        self.nodes[node].vault.remove(&key);
                    }
                    VaultWrite::Change { key, change } => {
                        if let Some(stored) = self.nodes[node].vault.get_mut(&key)
                            && let Some(changed) = changed_history(stored, &change)
                        {
                            *stored = changed;
                        }
                    }
                    VaultWrite::Read { key, read_unix_ms } => {
                        if let Some(stored) = self.nodes[node].vault.get_mut(&key)
                            && let Some(read) = read_history(stored, read_unix_ms)
                        {
                            *stored = read;
                        }
                    }
                }
            }
            let events: Vec<Event> = outputs
                .extract_if(.., |output| matches!(output, Output::Event(_)))
                .filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None })
                .collect();
            self.nodes[node].events.extend(events);
            match dies {
                Some(Crash::AfterCommit) => return self.kill(node),
                Some(Crash::AmongOutputs) => {
                    outputs.truncate(1);
                    for output in outputs {
                        self.output(node, output);
                    }
                    return self.kill(node);
                }
                _ => {}
            }
        }
        for output in outputs {
            self.output(node, output);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Verdict { token, verdict } => {
                *self.nodes[node].verdicts.entry(token).or_default() += 1;
                let (from, envelope) = self.tokens.remove(&token).expect("one verdict a token");
                if verdict == Verdict::Accept {
                    self.spread(node, Some(from), &envelope);
                }
            }
            Output::Publish { id, envelope, .. } => {
                self.published.entry(envelope.tag()).or_default().insert(envelope.id());
                if self.publish_lost {
                    self.withheld.push((node, envelope.clone()));
                }
                let reached = !self.publish_lost && self.spread(node, None, &envelope);
                let result = if reached { Ok(()) } else { Err(Refusal::NoPeers) };
                self.deliver(node, 0, Delivery::Input(Input::Done { id, result }));
            }
            Output::Push { id, link, cell } => self.push(node, id, link, cell),
            Output::CellAnswer { ticket, taken } => {
                *self.nodes[node].answers.entry(ticket).or_default() += 1;
                let (from, id) = self.tickets.remove(&ticket).expect("one answer a ticket");
                let result = if taken { Ok(()) } else { Err(Refusal::Refused) };
                self.deliver(from, LATENCY_MS, Delivery::Input(Input::Done { id, result }));
            }
            Output::StartSync { link, window, watch } => {
                let Some(&other) = self.nodes[node].links.get(&link) else { return };
                let (Some(ours), Some(theirs)) = (&self.nodes[node].messenger, &self.nodes[other].messenger) else {
                    return self.deliver(
                        node,
                        LATENCY_MS,
                        Delivery::Input(Input::SyncEnded {
                            link,
                            window,
                            held: vec![],
                            result: Err(SyncBroken::Stream),
                        }),
                    );
                };
                let snapshot = theirs.pool().snapshot(window);
                let keys = snapshot.keys();
                let held = watch.into_iter().filter(|id| keys.iter().any(|key| key.id == *id)).collect();
                let epoch = Epoch::from_unix_ms(self.now_of(node).unix_ms);
                let envelopes: Vec<_> = keys
                    .iter()
                    .filter(|key| !ours.pool().contains(key))
                    .filter_map(|key| snapshot.read(key).unwrap())
                    .filter_map(|e| check(e.as_bytes(), &self.parameters, ours.topic(), epoch, Route::Sync).ok())
                    .collect();
                let result = Ok(SyncStats { received: envelopes.len() as u32, ..SyncStats::default() });
                if !envelopes.is_empty() {
                    self.deliver(node, LATENCY_MS, Delivery::Input(Input::Pulled { link, envelopes }));
                }
                self.deliver(node, 2 * LATENCY_MS, Delivery::Input(Input::SyncEnded { link, window, held, result }));
            }
            Output::Compute { id, job } => {
                let result = job.run(&AtomicBool::new(false), &mut self.rng);
                self.deliver(node, 1, Delivery::Input(Input::Computed { id, result }));
            }
            Output::Reply { id, reply } => {
                self.nodes[node].replies.insert(id, reply);
            }
            Output::Event(event) => self.nodes[node].events.push(event),
            Output::CancelCompute { .. } => {}
            Output::Penalize { link, fault } => panic!("honest nodes are not penalised: {link:?} {fault:?}"),
        }
    }

    fn push(&mut self, node: usize, id: RequestId, link: LinkId, cell: starling_wire::push_cell::PushCell) {
        let Some(&other) = self.nodes[node].links.get(&link) else {
            return self.deliver(node, 0, Delivery::Input(Input::Done { id, result: Err(Refusal::LinkGone) }));
        };
        let back = self.nodes[other].links.iter().find(|&(_, &to)| to == node).map(|(&link, _)| link);
        self.nodes[node].pushes.push((link, cell.as_bytes().len()));
        if self.is_down(other) || self.nodes[other].refuses_cells {
            let wait_ms = u64::from(self.parameters.push_timeout_ms);
            return self.deliver(node, wait_ms, Delivery::Input(Input::Done { id, result: Err(Refusal::TimedOut) }));
        }
        let ticket = PushTicket(self.count());
        self.tickets.insert(ticket, (node, id));
        let link = back.expect("links have two ends");
        self.deliver(other, LATENCY_MS, Delivery::Input(Input::Cell { link, ticket, cell }));
    }

    /// Gossip to all neighbours but the one it came from; whether there is any.
    fn spread(&mut self, node: usize, from: Option<usize>, envelope: &Envelope) -> bool {
        self.nodes[node].seen.insert(envelope.id());
        let others: BTreeSet<usize> = self.nodes[node].links.values().copied().collect();
        for &other in others.iter().filter(|&&other| Some(other) != from) {
            self.deliver(other, LATENCY_MS, Delivery::Gossip { from: node, envelope: envelope.clone() });
        }
        !others.is_empty()
    }

    /// What was withheld comes in the end.
    pub(crate) fn release_withheld(&mut self) {
        for (node, envelope) in std::mem::take(&mut self.withheld) {
            self.spread(node, None, &envelope);
        }
    }

    fn gossip(&mut self, node: usize, from: usize, envelope: Envelope) {
        let link = self.nodes[node].links.iter().find(|&(_, &other)| other == from).map(|(&link, _)| link);
        let topic = self.nodes[node].messenger.as_ref().map(Messenger::topic);
        let (Some(link), Some(topic)) = (link, topic) else { return };
        if !self.nodes[node].seen.insert(envelope.id()) {
            return;
        }
        let epoch = Epoch::from_unix_ms(self.now_of(node).unix_ms);
        let Ok(checked) = check(envelope.as_bytes(), &self.parameters, topic, epoch, Route::Gossip) else {
            return;
        };
        let token = GossipToken(self.count());
        self.tokens.insert(token, (from, envelope));
        self.step(node, Input::Gossip { token, link, envelope: checked });
    }

    /// Lets `ms` of virtual time pass.
    pub(crate) fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        loop {
            let wake = (0..self.nodes.len())
                .filter_map(|node| Some((self.nodes[node].messenger.as_ref()?.next_wake()?, node)))
                .min();
            let message = self.queue.first_key_value().map(|(&(at_ms, _), _)| at_ms);
            match (wake, message) {
                (Some((at_ms, node)), message) if at_ms <= end_ms && message.is_none_or(|other| at_ms < other) => {
                    self.now_ms = self.now_ms.max(at_ms);
                    self.step(node, Input::Wake);
                }
                (_, Some(at_ms)) if at_ms <= end_ms => {
                    self.now_ms = self.now_ms.max(at_ms);
                    let Some((_, (node, delivery))) = self.queue.pop_first() else { return };
                    match delivery {
                        Delivery::Input(Input::Done { .. } | Input::Computed { .. }) if self.is_down(node) => {}
                        Delivery::Input(input) => self.step(node, input),
                        Delivery::Gossip { from, envelope } => self.gossip(node, from, envelope),
                    }
                }
                _ => break,
            }
        }
        self.now_ms = end_ms;
    }

    /// Lets hours pass; for networks that reconcile rarely ([`slow_parameters`]).
    pub(crate) fn sleep_hours(&mut self, hours: u64) {
        for _ in 0..hours {
            self.run(3_600_000);
        }
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) -> Reply {
        let id = RequestId(self.count());
        self.step(node, Input::Command { id, command });
        self.nodes[node].replies.remove(&id).expect("every command is answered in its step")
    }

    pub(crate) fn invite(&mut self, node: usize, label: Option<&str>) -> Invite {
        let label = label.map(str::to_owned);
        match self.command(node, Command::CreateInvite { label, expires_s: 7 * 86_400, peers: vec![] }) {
            Reply::Invite(view) => Invite::parse(&view.link).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn address(&mut self, node: usize) -> Invite {
        match self.command(node, Command::Address { peers: vec![] }) {
            Reply::Address(view) => Invite::parse(&view.link).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn add(&mut self, node: usize, invite: Invite) -> Result<ContactNumber, CommandError> {
        match self.command(node, Command::AddContact { invite: Box::new(invite), name: None, replace: None }) {
            Reply::Contact(view) => Ok(view.number),
            Reply::Refused(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn send(&mut self, node: usize, contact: ContactNumber, text: &str) -> MessageNumber {
        self.send_as(node, contact, text, None).0.number
    }

    pub(crate) fn send_as(
        &mut self,
        node: usize,
        contact: ContactNumber,
        text: &str,
        client_id: Option<[u8; 16]>,
    ) -> (MessageView, bool) {
        let command =
            Command::Send { contact, text: text.to_owned(), file: None, reply_to: None, client_id, expires_s: None };
        match self.command(node, command) {
            Reply::Message { message, known } => (*message, known),
            other => panic!("{other:?}"),
        }
    }

    /// The only contact of a node.
    pub(crate) fn contact(&mut self, node: usize) -> ContactNumber {
        match self.command(node, Command::Contacts) {
            Reply::Contacts(views) if views.len() == 1 => views[0].number,
            other => panic!("{other:?}"),
        }
    }

    /// Texts that a node received, in the order of arrival.
    pub(crate) fn received(&self, node: usize) -> Vec<String> {
        self.nodes[node]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::MessageReceived(MessageView { body: MessageBody::Text(text), .. }) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// The last state that a node told of a message; states never go back.
    pub(crate) fn stage(&self, node: usize, message: MessageNumber) -> Option<DeliveryStage> {
        let stages: Vec<DeliveryStage> = self.nodes[node]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::MessageState { number, state, .. } if *number == message => Some(state.stage),
                Event::MessageRead { number, .. } if *number == message => Some(DeliveryStage::Read),
                _ => None,
            })
            .collect();
        let late = |pair: &[DeliveryStage]| pair == [DeliveryStage::Expired, DeliveryStage::Delivered];
        assert!(stages.windows(2).all(|pair| pair[0] <= pair[1] || late(pair)), "{stages:?}");
        stages.last().copied()
    }

    pub(crate) fn delivered(&self, node: usize, message: MessageNumber) -> bool {
        self.stage(node, message) == Some(DeliveryStage::Delivered)
    }

    /// How many records of a kind a node has stored.
    pub(crate) fn records(&self, node: usize, kind: RecordKind) -> usize {
        self.nodes[node].vault.keys().filter(|key| key.kind == kind).count()
    }

    /// Runs until a message is delivered; whether it is within `seconds`.
    pub(crate) fn delivered_within(&mut self, node: usize, number: MessageNumber, seconds: u64) -> bool {
        (0..seconds).any(|_| {
            self.run(1_000);
            self.delivered(node, number)
        })
    }

    /// Runs until a node has some parts of a content, and not all.
    pub(crate) fn run_until_some_came(&mut self, node: usize) {
        let came = (0..2_000).any(|_| {
            self.run(1);
            self.records(node, RecordKind::Part) > 0
        });
        assert!(came, "some parts come before the others");
    }

    /// Everything that must hold at the end.
    pub(crate) fn check(&mut self) {
        for node in &self.nodes {
            assert!(node.verdicts.values().all(|&count| count == 1));
            assert!(node.answers.values().all(|&count| count == 1));
        }
        let hour = Epoch::from_unix_ms(self.now().unix_ms).0;
        let mut bundles = BTreeSet::new();
        for node in (0..self.nodes.len()).filter(|&node| !self.is_down(node)).collect::<Vec<_>>() {
            let address = self.address(node).address;
            bundles.extend(weeks_to_read(hour).map(|week| Tag(bundle_tag(&address, week).0)));
        }
        // A tag names key and number: two envelopes under one would be two ciphertexts under one key.
        let twice = self.published.iter().find(|(tag, ids)| ids.len() > 1 && !bundles.contains(tag));
        assert_eq!(twice, None, "nothing is sealed twice under one key");
    }

    /// Two nodes that know each other, linked with all others, with bundles and greetings exchanged.
    pub(crate) fn friends(&mut self, inviter: usize, guest: usize) -> (ContactNumber, ContactNumber) {
        let invite = self.invite(inviter, Some("Guest"));
        let theirs = self.add(guest, invite).unwrap();
        self.run(3_000);
        (self.contact(inviter), theirs)
    }

    /// Nodes 0 and 1 that know each other, and two that carry their mail; the first one's contact with the second, and
    /// the other way round.
    pub(crate) fn two_friends() -> (Self, ContactNumber, ContactNumber) {
        let mut net = Self::new(4);
        net.link_all();
        net.run(1_000);
        let (second, first) = net.friends(0, 1);
        net.run(3_000);
        (net, second, first)
    }

    /// Links a node with all that run.
    pub(crate) fn link_with_all(&mut self, node: usize) {
        for other in 0..self.nodes.len() {
            if other != node && !self.is_down(other) {
                self.link(node, other);
            }
        }
    }
}

/// Bytes that are given, then random ones.
struct Scripted<'a> {
    first: VecDeque<u8>,
    rest: &'a mut ChaCha20Rng,
}

impl rand_core::TryRng for Scripted<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.rest.try_fill_bytes(out)?;
        out.iter_mut().for_each(|byte| *byte = self.first.pop_front().unwrap_or(*byte));
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Scripted<'_> {}

fn onion_key(secret: [u8; 32]) -> [u8; 32] {
    starling_relay::push::OnionSecret::from_bytes(secret).public_key()
}

//! Whole conversations over a network that loses, delays, reorders and repeats.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use crate::handshake::{FIRST_GENERATION, accept, initiate, recognise};
use crate::identity::Identity;
use crate::prekey::{Bundle, Prekeys};
use crate::record::Record;
use crate::seal::{Class, Ephemeral, Tag};
use crate::session::{ChainId, Opened, Position, Session, SessionId, SkippedKey};

use super::world::{ADDR, Envelope, NETWORK, NOW_HOUR, NOW_MS, World, open, prefix, rng, stored, text};

type MessageId = [u8; 16];

/// One side of a conversation, with what a messenger would keep.
struct Node {
    identity: Identity,
    prekeys: Prekeys,
    sessions: BTreeMap<SessionId, Session>,
    index: BTreeMap<Tag, (SessionId, Position)>,
    skipped: BTreeMap<Tag, SkippedKey>,
    known: BTreeMap<[u8; 32], SessionId>,
    pool: Vec<Envelope>,
    received: BTreeSet<MessageId>,
    acks: Vec<MessageId>,
    unacknowledged: BTreeMap<MessageId, Waiting>,
    sealed: BTreeSet<(SessionId, ChainId, u32)>,
}

/// A message without an acknowledgement.
struct Waiting {
    since: u32,
    first: (SessionId, ChainId, u32),
}

impl Node {
    fn new(rng: &mut ChaCha20Rng) -> Self {
        let identity = Identity::generate(rng);
        let mut prekeys = Prekeys::new();
        prekeys.renew(&identity, 0, NOW_HOUR, rng);
        Self {
            identity,
            prekeys,
            sessions: BTreeMap::new(),
            index: BTreeMap::new(),
            skipped: BTreeMap::new(),
            known: BTreeMap::new(),
            pool: Vec::new(),
            received: BTreeSet::new(),
            acks: Vec::new(),
            unacknowledged: BTreeMap::new(),
            sealed: BTreeSet::new(),
        }
    }

    fn best(&self) -> Option<SessionId> {
        self.sessions.values().max_by_key(|session| session.rank()).map(Session::id)
    }

    fn add(&mut self, session: Session) {
        let id = session.id();
        self.index.extend(session.watched().map(|(tag, position)| (tag, (id, position))));
        self.sessions.insert(id, session);
    }

    fn initiate(&mut self, other: &Self, rng: &mut ChaCha20Rng) {
        let ephemeral = Ephemeral::generate(rng);
        let hour = prefix(Class::Small, NOW_HOUR);
        let envelope = Envelope::small(other.prekeys.seal_bundle(&hour, &ADDR, &ephemeral).expect("renewed"));
        let bundle = Bundle::open(&envelope.parts(), &ADDR, None, None, NOW_HOUR).expect("valid");
        let session = initiate(&self.identity, &bundle, None, FIRST_GENERATION, &NETWORK, NOW_MS, rng);
        self.add(session.expect("usable keys"));
    }

    /// Seals a message, or only acknowledgements; `None` if nothing can be sent now.
    fn send(&mut self, message: Option<MessageId>, now: u32, rng: &mut ChaCha20Rng) -> Option<Envelope> {
        let id = self.best()?;
        let session = self.sessions.get_mut(&id)?;
        if !session.can_send() {
            return None;
        }
        let acks = self.acks.iter().rev().take(20).copied().collect::<Vec<_>>();
        let mut records = Vec::from_iter((!acks.is_empty()).then_some(Record::Acks(acks)));
        let is_first = session.first_contact_pending() && (self.sealed.is_empty() || rng.random_bool(0.3));
        // Now and then a text leaves the post-quantum ratchet no room.
        let length = if !is_first && rng.random_bool(0.3) { 1_200 } else { 20 };
        records.extend(message.map(|message_id| Record::Content {
            message_id,
            part: 0,
            of: 1,
            bytes: vec![7; length],
        }));
        let (prefix, ephemeral) = (prefix(Class::Small, NOW_HOUR), Ephemeral::generate(rng));
        let result = match is_first {
            true => session.seal_first_contact(&prefix, &records, &ephemeral, rng),
            false => session.seal(Class::Small, &prefix, &records, &ephemeral, NOW_MS, rng),
        };
        let sealed = result.expect("can_send said so");
        let place = (id, sealed.chain, sealed.number);
        assert!(self.sealed.insert(place), "a number is sealed once");
        if let Some(message_id) = message {
            let waiting = self.unacknowledged.entry(message_id).or_insert(Waiting { since: now, first: place });
            waiting.since = now;
        }
        Some(Envelope::small(sealed.sealed))
    }

    /// Takes an envelope in; opens it and all that it makes recognisable. What nobody claims stays in the pool, for its
    /// tag may come later.
    fn deliver(&mut self, envelope: Envelope) {
        match self.open_watched(&envelope).or_else(|| self.open_first_contact(&envelope)) {
            Some(records) => records.into_iter().for_each(|record| self.take(record)),
            None => self.pool.push(envelope),
        }
        while let Some(at) = self.pool.iter().position(|envelope| self.index.contains_key(&envelope.tag())) {
            let envelope = self.pool.remove(at);
            let records = self.open_watched(&envelope).expect("nobody forges in here");
            records.into_iter().for_each(|record| self.take(record));
        }
    }

    fn open_watched(&mut self, envelope: &Envelope) -> Option<Vec<Record>> {
        let (id, position) = *self.index.get(&envelope.tag())?;
        let session = self.sessions.get_mut(&id).expect("indexed");
        let opened = session.open(position, &envelope.parts(), NOW_MS).ok()?;
        Some(self.apply(id, opened))
    }

    fn open_first_contact(&mut self, envelope: &Envelope) -> Option<Vec<Record>> {
        let outer = recognise(self.prekeys.inbox_keys(), &envelope.parts())?;
        if let Some(id) = self.known.get(&outer.digest()).copied() {
            let opened = self.sessions.get_mut(&id)?.open_repeated(&outer, NOW_MS).ok()?;
            return Some(self.apply(id, opened));
        }
        let accepted = accept(&self.identity, &self.prekeys, None, &outer, None, &NETWORK, NOW_MS).ok()?;
        self.known.insert(outer.digest(), accepted.session.id());
        self.skipped.extend(accepted.skipped_added.into_iter().map(|key| (key.tag(), key)));
        self.add(accepted.session);
        Some(accepted.records)
    }

    /// Keeps index and stored keys up to date, and checks that they are what the session itself would say.
    fn apply(&mut self, id: SessionId, opened: Opened) -> Vec<Record> {
        self.skipped.extend(opened.skipped_added.into_iter().map(|key| (key.tag(), key)));
        for tag in &opened.skipped_removed {
            assert!(self.skipped.remove(tag).is_some(), "it was stored");
        }
        for tag in &opened.unwatch {
            assert!(self.index.remove(tag).is_some(), "it was watched");
        }
        for (tag, position) in opened.watch {
            assert!(self.index.insert(tag, (id, position)).is_none(), "watched once");
        }
        opened.records
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Content { message_id, .. } => {
                self.received.insert(message_id);
                self.acks.retain(|id| *id != message_id);
                self.acks.push(message_id);
            }
            Record::Acks(ids) => {
                for id in ids {
                    let Some(Waiting { first: (session, chain, number), .. }) = self.unacknowledged.remove(&id) else {
                        continue;
                    };
                    if let Some(session) = self.sessions.get_mut(&session) {
                        session.note_acked(chain, number);
                    }
                }
            }
            Record::Card { .. } => {}
        }
    }

    /// As after a crash: everything from what is stored. The tags must be those that were kept up to date.
    fn restart(&mut self) {
        let watched = std::mem::take(&mut self.index);
        for session in std::mem::take(&mut self.sessions).into_values() {
            let id = session.id();
            let mut restored: Session = serde_json::from_slice(&stored(&session)).expect("it decodes");
            let keys = self.skipped.values().filter(|key| key.session() == id).cloned().collect();
            restored.restore_skipped(keys);
            assert_eq!(restored.skipped_len(), session.skipped_len());
            self.add(restored);
        }
        assert_eq!(watched, self.index);
    }
}

/// What a run came to.
struct Outcome {
    sent: usize,
    lost: usize,
    waiting: usize,
    is_same_session: bool,
    sessions: usize,
    /// Post-quantum epochs of the session on which both send.
    epochs: [u32; 2],
}

/// The schedule of the reference model: bursts in both directions for `busy` steps, then quiet until everything
/// should have arrived.
fn run(seed: u64, busy: u32, steps: u32, loss: f64, delay_max: u32, crossing: bool) -> Outcome {
    let mut rng = rng(seed);
    let mut nodes = [Node::new(&mut rng), Node::new(&mut rng)];
    let [alice, bob] = &mut nodes;
    alice.initiate(bob, &mut rng);
    if crossing {
        bob.initiate(alice, &mut rng);
    }
    let mut network: Vec<(u32, usize, Envelope)> = Vec::new();
    let mut sent = 0;
    for now in 0..steps {
        let from = usize::from(rng.random_bool(0.5));
        let burst = if now < busy { [0, 1, 1, 2, 12][rng.random_range(0..5)] } else { 0 };
        for _ in 0..burst {
            let message_id = rng.random();
            if let Some(envelope) = nodes[from].send(Some(message_id), now, &mut rng) {
                sent += 1;
                carry(&mut network, envelope, (now, 1 - from), loss, delay_max, &mut rng);
            }
        }
        for (from, node) in nodes.iter_mut().enumerate() {
            for envelope in repeats(node, now, delay_max * 2 + 20, &mut rng) {
                carry(&mut network, envelope, (now, 1 - from), loss, delay_max, &mut rng);
            }
            if rng.random_bool(0.02) {
                node.restart();
            }
        }
        for (_, to, envelope) in network.extract_if(.., |(due, ..)| *due <= now) {
            nodes[to].deliver(envelope);
        }
    }
    let [alice, bob] = &nodes;
    Outcome {
        sent,
        lost: sent - alice.received.len() - bob.received.len(),
        waiting: alice.unacknowledged.len() + bob.unacknowledged.len(),
        is_same_session: alice.best() == bob.best(),
        sessions: alice.sessions.len(),
        epochs: [alice, bob].map(|node| {
            let best = node.best().and_then(|id| node.sessions.get(&id));
            best.expect("they have a session").post_quantum_epoch()
        }),
    }
}

/// What is due to be sealed again, and now and then only acknowledgements.
fn repeats(node: &mut Node, now: u32, patience: u32, rng: &mut ChaCha20Rng) -> Vec<Envelope> {
    let due: Vec<_> =
        node.unacknowledged.iter().filter(|(_, waiting)| now - waiting.since > patience).map(|(id, _)| *id).collect();
    let mut again = Vec::new();
    for id in due {
        if rng.random_bool(0.3) {
            again.extend(node.send(Some(id), now, rng));
        }
    }
    if !node.acks.is_empty() && rng.random_bool(0.3) {
        again.extend(node.send(None, now, rng));
    }
    again
}

/// Loses, delays and repeats.
fn carry(
    network: &mut Vec<(u32, usize, Envelope)>,
    envelope: Envelope,
    (now, to): (u32, usize),
    loss: f64,
    delay_max: u32,
    rng: &mut ChaCha20Rng,
) {
    let copies = if rng.random_bool(0.1) { 2 } else { 1 };
    for _ in 0..copies {
        if !rng.random_bool(loss) {
            network.push((now + rng.random_range(0..=delay_max), to, envelope.clone()));
        }
    }
}

#[test]
fn nothing_is_lost_over_a_bad_network() {
    for (seed, (loss, delay_max)) in (1..).zip([(0.1, 30), (0.3, 60), (0.5, 20)]) {
        let outcome = run(seed, 150, 1_100, loss, delay_max, seed % 2 == 0);
        assert!(outcome.sent > 200, "loss {loss}: only {} were sent", outcome.sent);
        assert_eq!((outcome.lost, outcome.waiting), (0, 0), "loss {loss}");
        assert!(outcome.is_same_session, "loss {loss}");
        let [alice, bob] = outcome.epochs;
        assert!(alice >= 3 && alice.abs_diff(bob) <= 1, "loss {loss}: post-quantum epochs {alice} and {bob}");
    }
}

#[test]
fn crossing_first_contacts_converge_on_one_session() {
    for seed in 100..200 {
        let outcome = run(seed, 8, 260, 0.2, 10, true);
        assert_eq!((outcome.lost, outcome.waiting), (0, 0), "seed {seed}");
        assert!(outcome.is_same_session, "seed {seed}");
        assert!(outcome.sessions <= 2, "seed {seed}");
    }
}

#[test]
fn a_large_envelope_carries_a_large_message() {
    let mut world = World::new(1);
    let (mut alice, mut bob) = world.established();
    let long = Record::Content { message_id: [1; 16], part: 0, of: 1, bytes: vec![b'x'; 16_226 - 21] };
    let (prefix, ephemeral) = (prefix(Class::Large, NOW_HOUR), world.ephemeral());
    let message = alice.seal(Class::Large, &prefix, std::slice::from_ref(&long), &ephemeral, NOW_MS, &mut world.rng);
    let envelope = Envelope { prefix, sealed: message.expect("it fits exactly").sealed };
    assert_eq!(envelope.sealed.body.len(), 16_298);
    assert_eq!(open(&mut bob, &envelope).expect("genuine").records, [long]);
}

#[test]
fn a_message_that_does_not_fit_uses_up_nothing() {
    let mut world = World::new(1);
    let (mut alice, _) = world.established();
    let before = stored(&alice);
    let long = Record::Content { message_id: [1; 16], part: 0, of: 1, bytes: vec![b'x'; 1_890 - 20] };
    let (prefix, ephemeral) = (prefix(Class::Small, NOW_HOUR), world.ephemeral());
    assert!(alice.seal(Class::Small, &prefix, &[long], &ephemeral, NOW_MS, &mut world.rng).is_err());
    assert_eq!(before, stored(&alice));
}

#[test]
fn a_sender_stops_where_the_receiver_would_no_longer_follow() {
    let mut world = World::new(2);
    let (mut alice, mut bob) = world.established();
    let mut last = None;
    let mut count = 0;
    while alice.can_send() {
        last = Some(world.seal_message(&mut alice, &[]));
        count += 1;
    }
    assert_eq!(count, 255);
    assert!(alice.chain_exhausted());
    let last = last.expect("some were sealed");
    let opened = open(&mut bob, &Envelope::small(last.sealed)).expect("the receiver follows to the very last");
    assert_eq!(opened.skipped_added.len(), 254);
    alice.note_acked(last.chain, last.number);
    assert!(alice.can_send(), "an acknowledgement makes room");
    let beyond = world.seal(&mut alice, &[text("beyond")]);
    assert_eq!(open(&mut bob, &beyond).expect("genuine").records, [text("beyond")]);
}

#[test]
fn a_reply_makes_room_in_a_full_chain() {
    let mut world = World::new(2);
    let (mut alice, mut bob) = world.established();
    let mut first = None;
    while alice.can_send() {
        let envelope = world.seal(&mut alice, &[]);
        first.get_or_insert(envelope);
    }
    open(&mut bob, &first.expect("some were sealed")).expect("genuine");
    let reply = world.seal(&mut bob, &[]);
    open(&mut alice, &reply).expect("genuine");
    assert!(alice.can_send());
}

#[test]
fn overtaken_messages_of_older_chains_still_open_and_only_once() {
    let mut world = World::new(3);
    let (mut alice, mut bob) = world.established();
    let late: Vec<_> = (0..5).map(|i| world.seal(&mut alice, &[text(&format!("late {i}"))])).collect();
    let overtaking = world.seal(&mut alice, &[]);
    open(&mut bob, &overtaking).expect("genuine");
    for _ in 0..3 {
        let ping = world.seal(&mut bob, &[]);
        open(&mut alice, &ping).expect("genuine");
        let pong = world.seal(&mut alice, &[]);
        open(&mut bob, &pong).expect("genuine");
    }
    for (i, envelope) in late.iter().enumerate().rev() {
        let position = super::world::position(&bob, envelope.tag()).expect("still watched");
        let opened = bob.open(position, &envelope.parts(), NOW_MS).expect("genuine");
        assert_eq!(opened.records, [text(&format!("late {i}"))]);
        assert_eq!((opened.unwatch, opened.skipped_removed), (vec![envelope.tag()], vec![envelope.tag()]));
        assert!(bob.open(position, &envelope.parts(), NOW_MS).is_err(), "its key is gone");
    }
}

#[test]
fn a_message_from_before_a_step_opens_after_it() {
    let mut world = World::new(4);
    let (mut alice, mut bob) = world.established();
    let (first, second) = (world.seal(&mut alice, &[]), world.seal(&mut alice, &[text("second")]));
    open(&mut bob, &first).expect("genuine");
    let reply = world.seal(&mut bob, &[]);
    open(&mut alice, &reply).expect("genuine");
    let of_next_chain = world.seal(&mut alice, &[text("next")]);
    assert_eq!(open(&mut bob, &of_next_chain).expect("genuine").records, [text("next")]);
    assert_eq!(open(&mut bob, &second).expect("the step kept its key").records, [text("second")]);
}

#[test]
fn skipped_keys_are_limited_and_the_oldest_go_first() {
    let mut world = World::new(5);
    let (mut alice, mut bob) = world.established();
    let mut overtaken = Vec::new();
    let mut dropped = Vec::new();
    for _ in 0..5 {
        overtaken.extend((0..254).map(|_| world.seal(&mut alice, &[]).tag()));
        let last = world.seal(&mut alice, &[]);
        dropped.extend(open(&mut bob, &last).expect("genuine").skipped_removed);
        let reply = world.seal(&mut bob, &[]);
        open(&mut alice, &reply).expect("genuine");
    }
    assert_eq!(bob.skipped_len(), 1_024);
    assert_eq!(dropped, overtaken[..5 * 254 - 1_024]);
    assert!(bob.watched().all(|(tag, _)| !dropped.contains(&tag)));
}

#[test]
fn skipped_keys_expire_after_15_days() {
    let mut world = World::new(6);
    let (mut alice, mut bob) = world.established();
    let late = world.seal(&mut alice, &[]);
    let overtaking = world.seal(&mut alice, &[]);
    open(&mut bob, &overtaking).expect("genuine");
    let expiry_unix_s = NOW_MS / 1_000 + 15 * 86_400;
    assert!(bob.expire_skipped(expiry_unix_s - 1).is_empty());
    assert_eq!(bob.expire_skipped(expiry_unix_s), [late.tag()]);
    assert!(open(&mut bob, &late).is_none());
}

#[test]
fn skipped_keys_of_another_session_are_not_taken_in() {
    let mut world = World::new(7);
    let (mut alice, mut bob) = world.established();
    world.seal(&mut alice, &[]);
    let overtaking = world.seal(&mut alice, &[]);
    let keys = open(&mut bob, &overtaking).expect("genuine").skipped_added;
    assert_eq!(keys.len(), 1);
    let (_, mut stranger) = World::new(8).established();
    stranger.restore_skipped(keys);
    assert_eq!(stranger.skipped_len(), 0);
}

#[test]
fn a_session_that_is_only_received_on_ends_29_days_after_its_last_message() {
    let mut world = World::new(9);
    let (alice, _) = world.established();
    let end = NOW_MS + 29 * 86_400_000;
    assert!(!alice.receive_only_is_over(end - 1));
    assert!(alice.receive_only_is_over(end));
}

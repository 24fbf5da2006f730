//! Makes traces from a seed: who says what, and what a bad network does to it. The seed serves this file alone: a
//! trace carries every byte that was drawn.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;
use starling_e2ee::record::{self, Record};

use crate::document::{
    Delivered, Document, EphemeralInput, Event, FORMAT, Flip, Hex, IdentityInput, OneTimeInput, Operation, PartyInput,
    PrekeysInput, Seal, VERSION,
};
use crate::draws::Draws;
use crate::world::{World, encoded};

const START_S: u64 = 494_000 * 3_600;
const DAY_S: u64 = 86_400;
const BUNDLES_PER_INBOX_KEY: u32 = 4;

/// Writes one conversation.
pub(crate) fn produce(seed: u64) -> Document {
    let mut producer = Producer::new(seed);
    producer.run();
    producer.document
}

/// An envelope on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    arrival_s: u64,
    order: usize,
    envelope: usize,
    flip: Option<Flip>,
    to: usize,
}

/// Where a message was sealed first, which is what its acknowledgement counts for.
struct FirstSealing {
    by: usize,
    session: Hex,
    chain: u32,
    number: u32,
}

struct Producer {
    rng: ChaCha20Rng,
    document: Document,
    world: World,
    now_s: u64,
    loss: f64,
    delay_s: u64,
    under_way: BTreeSet<UnderWay>,
    order: usize,
    /// What did not open: B11.6 looks there for tags that become watched.
    pools: [Vec<(usize, Option<Flip>)>; 2],
    acks_due: [Vec<[u8; 16]>; 2],
    sealed: BTreeMap<[u8; 16], FirstSealing>,
    seqs: [u32; 2],
    inbox_secrets: [Option<Hex>; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

impl Producer {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let loss = [0.0, 0.1, 0.3, 0.5][rng.random_range(0..4)];
        let delay_s = [60, 5 * 3_600, 2 * DAY_S][rng.random_range(0..3)];
        let parties = NAMES.iter().map(|name| party(&mut rng, name)).collect();
        let document = Document {
            format: FORMAT.into(),
            version: VERSION,
            made_by: "rust".into(),
            comment: format!("seed {seed}, loss {loss}, mean delay {delay_s} s"),
            post_quantum: true,
            network: secret(&mut rng, 32),
            parties,
            events: Vec::new(),
        };
        Self {
            world: World::new(&document).expect("the document is of this version"),
            rng,
            document,
            now_s: START_S,
            loss,
            delay_s,
            under_way: BTreeSet::new(),
            order: 0,
            pools: Default::default(),
            acks_due: Default::default(),
            sealed: BTreeMap::new(),
            seqs: [0; 2],
            inbox_secrets: [None, None],
        }
    }

    fn run(&mut self) {
        self.publish(0);
        self.publish(1);
        let one_time = self.rng.random_bool(0.6).then(|| self.document.parties[1].one_time[0].id.clone());
        self.begin(0, one_time);
        if self.rng.random_bool(0.4) {
            self.begin(1, None);
        }
        for turn in 0..self.rng.random_range(15..40) {
            let by = self.rng.random_range(0..2);
            for _ in 0..[1, 1, 2, 5][self.rng.random_range(0..4)] {
                self.say(by, false);
            }
            let wait_s = self.rng.random_range(0..=self.delay_s);
            self.deliver_due(self.now_s + wait_s);
            if turn % 10 == 9 {
                self.state();
            }
        }
        if self.rng.random_bool(0.1) {
            self.fill();
        }
        if self.rng.random_bool(0.5) {
            let by = self.rng.random_range(0..2);
            self.publish(1 - by);
            self.begin(by, None);
            for by in [by, 1 - by, by, 1 - by] {
                self.say(by, false);
            }
        }
        self.deliver_due(self.now_s + 20 * DAY_S);
        for by in [0, 1, 0, 1] {
            self.exchange(by);
        }
        self.state();
    }

    /// Over a network that loses nothing a message must arrive, whatever was lost before it.
    fn exchange(&mut self, by: usize) {
        let before = self.document.events.len();
        self.say(by, true);
        self.deliver_due(self.now_s + DAY_S);
        let later = self.document.events.iter().enumerate().skip(before);
        let (mut sealed, mut opened) = (BTreeSet::new(), BTreeSet::new());
        for (at, event) in later {
            match &event.operation {
                Operation::Seal(_) => sealed.insert(at),
                Operation::Deliver { envelope: Delivered::Sealed(envelope), .. }
                    if !event.expect["opened"].is_null() =>
                {
                    opened.insert(*envelope)
                }
                _ => false,
            };
        }
        assert!(sealed.is_subset(&opened), "{}: a message that was delivered does not open", self.document.comment);
    }

    /// Does an event whose randomness is given in it.
    fn event(&mut self, operation: Operation) -> Value {
        let at = self.document.events.len();
        let expect = self.world.replay(at, &operation).expect("the producer keeps to the rules");
        self.document.events.push(Event { operation, expect: expect.clone() });
        expect
    }

    fn publish(&mut self, by: usize) {
        self.seqs[by] += 1;
        let has_none = self.world.party(NAMES[by]).is_ok_and(|party| party.has_no_inbox_key(self.now_s));
        if has_none || self.seqs[by] % BUNDLES_PER_INBOX_KEY == 1 {
            self.inbox_secrets[by] = Some(secret(&mut self.rng, 32));
        }
        let prekeys = PrekeysInput {
            seq: self.seqs[by],
            created_hour: hour_of(self.now_s),
            shard: self.rng.random(),
            signed_prekey_secret: secret(&mut self.rng, 32),
            inbox_secret: self.inbox_secrets[by].clone().expect("the first bundle brings one"),
            kem_seed: secret(&mut self.rng, 64),
        };
        let (prefix, ephemeral, now_s) = (self.prefix(false), ephemeral(&mut self.rng), self.now_s);
        let at = self.document.events.len();
        self.event(Operation::Bundle { by: name(by), now_s, prekeys, prefix, ephemeral });
        self.event(Operation::ReadBundle { by: name(1 - by), now_s, bundle: at });
    }

    fn begin(&mut self, by: usize, one_time: Option<Hex>) {
        let peer = self.world.parties[NAMES[1 - by]].identity.public();
        let highest = self.world.parties[NAMES[by]].generations.get(&peer.account).copied().unwrap_or(0);
        let (ephemeral_secret, kem_randomness) = (secret(&mut self.rng, 32), secret(&mut self.rng, 32));
        self.event(Operation::Begin {
            by: name(by),
            to: name(1 - by),
            now_s: self.now_s,
            generation: highest + 1,
            one_time,
            ephemeral_secret,
            kem_randomness,
        });
        self.event(Operation::Choose { by: name(by), to: name(1 - by) });
    }

    /// One message on the best session, and its way.
    fn say(&mut self, by: usize, is_safe: bool) {
        let peer = self.world.parties[NAMES[1 - by]].identity.public();
        let party = &self.world.parties[NAMES[by]];
        let Some(id) = party.best(&peer) else { return };
        let (session, list) = (&party.sessions[&id], party.identity.list_head());
        let session_name = Hex(id.0.to_vec());
        if session.chain_exhausted() {
            self.event(Operation::Full { by: name(by), session: session_name });
            return;
        }
        let is_new = !self.sealed.values().any(|first| first.by == by && first.session == session_name);
        let first = session.first_contact_pending() && (is_safe || is_new || self.rng.random_bool(0.7));
        let message_id: [u8; 16] = self.rng.random();
        let bytes = (0..self.rng.random_range(0..120)).map(|_| self.rng.random()).collect();
        let mut records = vec![Record::Content { message_id, part: 0, of: 1, bytes }];
        if !self.acks_due[by].is_empty() {
            let keep = self.acks_due[by].len().saturating_sub(8);
            records.push(Record::Acks(self.acks_due[by].split_off(keep)));
        }
        if self.rng.random_bool(0.2) {
            let (shard, addr) = (self.rng.random(), self.rng.random());
            records.push(Record::Card { shard, addr, list_version: list.version, list_head: list.head });
        }
        let is_large = !first && self.rng.random_bool(0.1);
        let seal = Seal {
            by: name(by),
            now_s: self.now_s,
            session: session_name.clone(),
            first,
            prefix: self.prefix(is_large),
            ephemeral: ephemeral(&mut self.rng),
            ratchet_secret: None,
            kem_seed: None,
            kem_randomness: None,
            records: encoded(&records),
        };
        let (at, chain, number) = self.seal(seal);
        self.sealed.insert(message_id, FirstSealing { by, session: session_name, chain, number });
        self.send(at, 1 - by, is_safe);
    }

    /// What it draws depends on where the session stands; it is noted in the event.
    fn seal(&mut self, mut seal: Seal) -> (usize, u32, u32) {
        let at = self.document.events.len();
        let mut draws = Draws::from(&mut self.rng);
        let expect = self.world.perform(at, &Operation::Seal(seal.clone()), &mut draws).expect("there is room");
        let drawn = draws.finish().expect("nothing was given");
        let number = |field: &str| expect[field].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number");
        let (chain, number) = (number("chain"), number("number"));
        for secret in drawn {
            // The first message of a chain draws own_dh before anything else.
            let field = match secret.len() {
                64 => &mut seal.kem_seed,
                _ if number == 0 && seal.ratchet_secret.is_none() => &mut seal.ratchet_secret,
                _ => &mut seal.kem_randomness,
            };
            *field = Some(Hex(secret));
        }
        self.document.events.push(Event { operation: Operation::Seal(seal), expect });
        (at, chain, number)
    }

    fn send(&mut self, envelope: usize, to: usize, is_safe: bool) {
        if self.rng.random_bool(0.1) {
            let length = 58 + self.world.envelopes[&envelope].body.0.len();
            let length = if self.rng.random_bool(0.5) { length } else { 58 };
            let flip = (self.rng.random_range(0..length), 1 << self.rng.random_range(0..8));
            self.arrive(envelope, to, Some(flip), is_safe);
        }
        if !is_safe && self.rng.random_bool(self.loss) {
            self.event(Operation::Lost { envelope });
            return;
        }
        for _ in 0..if self.rng.random_bool(0.15) { 2 } else { 1 } {
            self.arrive(envelope, to, None, is_safe);
        }
    }

    fn arrive(&mut self, envelope: usize, to: usize, flip: Option<Flip>, is_soon: bool) {
        let mut delay_s = self.rng.random_range(0..=2 * self.delay_s);
        if is_soon {
            delay_s = delay_s.min(DAY_S);
        } else if self.rng.random_bool(0.05) {
            delay_s += self.rng.random_range(8 * DAY_S..18 * DAY_S);
        }
        self.order += 1;
        let arrival_s = self.now_s + delay_s;
        self.under_way.insert(UnderWay { arrival_s, order: self.order, envelope, flip, to });
    }

    fn deliver_due(&mut self, until_s: u64) {
        while self.under_way.first().is_some_and(|next| next.arrival_s <= until_s) {
            let Some(UnderWay { arrival_s, envelope, flip, to, .. }) = self.under_way.pop_first() else { break };
            self.now_s = self.now_s.max(arrival_s);
            if !self.deliver(to, envelope, flip) {
                self.pools[to].push((envelope, flip));
                continue;
            }
            while let Some(early) = self.watched_in_pool(to) {
                let (envelope, flip) = self.pools[to].remove(early);
                self.deliver(to, envelope, flip);
            }
        }
        self.now_s = self.now_s.max(until_s);
    }

    /// An envelope that came before its tag was watched. One that was tried and does not open is not kept.
    fn watched_in_pool(&self, by: usize) -> Option<usize> {
        let sessions = self.world.parties[NAMES[by]].sessions.values();
        let watched: BTreeSet<_> =
            sessions.flat_map(|session| session.watched().map(|(tag, _)| tag.0.to_vec())).collect();
        self.pools[by].iter().position(|(envelope, flip)| {
            let mut tag = self.world.envelopes[envelope].tag.0.clone();
            if let Some((offset @ 10..26, mask)) = flip {
                tag[offset - 10] ^= mask;
            }
            watched.contains(&tag)
        })
    }

    fn deliver(&mut self, to: usize, envelope: usize, flip: Option<Flip>) -> bool {
        let operation =
            Operation::Deliver { by: name(to), now_s: self.now_s, envelope: Delivered::Sealed(envelope), flip };
        let result = self.event(operation);
        let Some(records) = result["opened"]["records"].as_str() else { return false };
        let records = data_encoding::HEXLOWER.decode(records.as_bytes()).ok().and_then(|bytes| record::decode(&bytes));
        for record in records.expect("they were opened") {
            match record {
                Record::Content { message_id, .. } => self.acks_due[to].push(message_id),
                Record::Acks(ids) => ids.iter().for_each(|id| self.acknowledged(id)),
                Record::Card { .. } => {}
            }
        }
        true
    }

    fn acknowledged(&mut self, message_id: &[u8; 16]) {
        let Some(FirstSealing { by, session, chain, number }) = self.sealed.get(message_id) else { return };
        let is_there = self.world.parties[NAMES[*by]].sessions.keys().any(|id| id.0.as_slice() == session.0.as_slice());
        if is_there {
            let (by, session, chain, number) = (name(*by), session.clone(), *chain, *number);
            self.event(Operation::Acknowledged { by, session, chain, number });
        }
    }

    /// A whole chain without an acknowledgement; most of it is lost.
    fn fill(&mut self) {
        let loss = core::mem::replace(&mut self.loss, 0.95);
        for _ in 0..260 {
            self.say(0, false);
        }
        self.loss = loss;
    }

    fn state(&mut self) {
        for by in [0, 1] {
            self.event(Operation::State { by: name(by), now_s: self.now_s });
        }
    }

    fn prefix(&self, is_large: bool) -> Hex {
        let mut prefix = vec![1, u8::from(is_large), 0, 0, 0, 0];
        prefix.extend_from_slice(&hour_of(self.now_s).to_le_bytes());
        Hex(prefix)
    }
}

fn name(party: usize) -> String {
    NAMES[party].to_owned()
}

fn hour_of(now_s: u64) -> u32 {
    u32::try_from(now_s / 3_600).expect("a trace begins in this century")
}

fn secret(rng: &mut ChaCha20Rng, length: usize) -> Hex {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    Hex(bytes)
}

fn ephemeral(rng: &mut ChaCha20Rng) -> EphemeralInput {
    EphemeralInput { secret: secret(rng, 32), top_bit: rng.random_range(0..2) }
}

fn party(rng: &mut ChaCha20Rng, name: &str) -> PartyInput {
    let identity = IdentityInput {
        account_seed: secret(rng, 32),
        signing_seed: secret(rng, 32),
        agreement_secret: secret(rng, 32),
    };
    let one_time = (0..2).map(|_| OneTimeInput { id: secret(rng, 8), secret: secret(rng, 32) }).collect();
    PartyInput { name: name.into(), identity, addr: secret(rng, 32), one_time }
}

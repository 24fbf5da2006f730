//! A whole session with the fuzzer as its network: the input says who writes, and what becomes of each envelope.
//!
//! Whatever it does, what opens was written, by the other side, and opens once; what was damaged opens never and changes
//! nothing; and when the network is good again, both hear each other.
//!
//! A file of its own, because the package's tests replay the corpus through it without a fuzzer.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use starling_e2ee::handshake::{FIRST_GENERATION, accept, initiate, recognise};
use starling_e2ee::identity::Identity;
use starling_e2ee::prekey::{Bundle, Prekeys};
use starling_e2ee::record::Record;
use starling_e2ee::seal::{Class, Ephemeral, HeadPrefix, Parts, Sealed, Tag};
use starling_e2ee::session::{Opened, Position, Session};

const ADDRESS: [u8; 32] = [0xad; 32];
const NETWORK: [u8; 32] = [0x4e; 32];
const HOUR: u32 = 494_000;
const START_MS: u64 = HOUR as u64 * 3_600_000;
/// Envelopes on their way at a time, and steps of a play: each costs a scalar multiplication or two.
const FLIGHT_MAX: usize = 64;
const STEPS_MAX: usize = 256;

#[derive(Clone)]
struct Envelope {
    sealed: Sealed,
    /// Damaged on its way.
    damaged: bool,
}

fn prefix() -> HeadPrefix {
    let [a, b, c, d] = HOUR.to_le_bytes();
    HeadPrefix([1, 0, 0, 0, 0, 0, a, b, c, d])
}

impl Envelope {
    fn parts(&self) -> Parts<'_> {
        let Sealed { tag, ephemeral, body } = &self.sealed;
        Parts { prefix: prefix(), tag: *tag, ephemeral: *ephemeral, body }
    }

    /// One bit of E or the body: a changed tag is only another envelope.
    fn damage(&mut self, at: usize) {
        let at = at % (32 + self.sealed.body.len());
        let byte = if at < 32 { &mut self.sealed.ephemeral[at] } else { &mut self.sealed.body[at - 32] };
        *byte ^= 1 << (at % 8);
        self.damaged = true;
    }
}

/// One end.
struct End {
    session: Session,
    index: BTreeMap<Tag, Position>,
    written: BTreeSet<[u8; 16]>,
    heard: BTreeSet<[u8; 16]>,
}

impl End {
    fn new(session: Session) -> Self {
        let index = session.watched().collect();
        Self { session, index, written: BTreeSet::new(), heard: BTreeSet::new() }
    }

    fn keep(&mut self, opened: &Opened) {
        for tag in &opened.unwatch {
            assert!(self.index.remove(tag).is_some(), "it was watched");
        }
        for (tag, position) in &opened.watch {
            assert!(self.index.insert(*tag, *position).is_none(), "watched once");
        }
    }
}

struct Play<'a> {
    input: std::slice::Iter<'a, u8>,
    rng: ChaCha20Rng,
    ends: [End; 2],
    /// For end 0 and for end 1.
    flight: [Vec<Envelope>; 2],
    now_ms: u64,
    count: u32,
}

impl Play<'_> {
    fn byte(&mut self) -> usize {
        self.input.next().copied().unwrap_or_default().into()
    }

    /// `from` writes, if the chain has room; a long text leaves the post-quantum ratchet no room.
    fn write(&mut self, from: usize, long: bool) -> bool {
        let end = &mut self.ends[from];
        if !end.session.can_send() {
            return false;
        }
        self.count += 1;
        let mut message_id = [0; 16];
        message_id[..4].copy_from_slice(&self.count.to_le_bytes());
        let bytes = vec![7; if long { 1_800 } else { 20 }];
        let records = [Record::Content { message_id, part: 0, of: 1, bytes }];
        let ephemeral = Ephemeral::generate(&mut self.rng);
        let sealed = end.session.seal(Class::Small, &prefix(), &records, &ephemeral, self.now_ms, &mut self.rng);
        let sealed = sealed.expect("there is room").sealed;
        end.written.insert(message_id);
        let flight = &mut self.flight[1 - from];
        if flight.len() < FLIGHT_MAX {
            flight.push(Envelope { sealed, damaged: false });
        }
        true
    }

    /// `envelope` reaches `to`.
    fn arrive(&mut self, to: usize, envelope: &Envelope) {
        let (end, other) = match &mut self.ends {
            [first, second] if to == 0 => (first, second),
            [first, second] => (second, first),
        };
        let Some(&position) = end.index.get(&envelope.sealed.tag) else { return };
        let before = stored(&end.session);
        let Ok(opened) = end.session.open(position, &envelope.parts(), self.now_ms) else {
            assert!(envelope.damaged, "what was sealed for a watched tag opens");
            assert_eq!(before, stored(&end.session), "what does not open changes nothing");
            return;
        };
        assert!(!envelope.damaged, "damaged, and opened");
        end.keep(&opened);
        for record in opened.records {
            let Record::Content { message_id, .. } = record else { continue };
            assert!(other.written.contains(&message_id), "nobody wrote it");
            assert!(end.heard.insert(message_id), "heard twice");
        }
    }

    /// One step of the network, or of time.
    fn step(&mut self) {
        let (operation, choice) = (self.byte(), self.byte());
        let to = operation >> 7;
        match operation & 7 {
            0 => drop(self.write(to, choice & 1 == 1)),
            1 => self.now_ms += 3_600_000 * (choice as u64 + 1),
            _ if self.flight[to].is_empty() => {}
            kind => {
                let at = choice % self.flight[to].len();
                match kind {
                    2 | 3 => {
                        let envelope = self.flight[to].remove(at);
                        self.arrive(to, &envelope);
                    }
                    // It stays on its way: a copy has arrived.
                    4 => {
                        let envelope = self.flight[to][at].clone();
                        self.arrive(to, &envelope);
                    }
                    5 => drop(self.flight[to].remove(at)),
                    6 => {
                        let place = (self.byte() << 8) | self.byte();
                        let mut envelope = self.flight[to][at].clone();
                        envelope.damage(place);
                        self.arrive(to, &envelope);
                    }
                    _ => drop(self.write(to, true)),
                }
            }
        }
    }

    /// The network is good again: everything arrives, and two messages in turn are heard on both sides.
    fn heal(&mut self) {
        for to in [0, 1] {
            for envelope in std::mem::take(&mut self.flight[to]) {
                self.arrive(to, &envelope);
            }
        }
        for _ in 0..2 {
            for from in [0, 1] {
                let before = self.ends[1 - from].heard.len();
                if !self.write(from, false) {
                    // 255 unconfirmed: the messenger would make a new handshake.
                    continue;
                }
                let envelope = self.flight[1 - from].pop().expect("just written");
                self.arrive(1 - from, &envelope);
                assert_eq!(self.ends[1 - from].heard.len(), before + 1, "both hear each other");
            }
        }
    }
}

fn stored(session: &Session) -> Vec<u8> {
    serde_json::to_vec(session).expect("a session is stored")
}

/// Two ends of one session, both of which have written.
fn meet(rng: &mut ChaCha20Rng) -> [End; 2] {
    let (ana, bob) = (Identity::generate(rng), Identity::generate(rng));
    let mut prekeys = Prekeys::new();
    prekeys.renew(&bob, 0, HOUR, rng);
    let sealed = prekeys.seal_bundle(&prefix(), &ADDRESS, &Ephemeral::generate(rng)).expect("renewed");
    let envelope = Envelope { sealed, damaged: false };
    let bundle = Bundle::open(&envelope.parts(), &ADDRESS, None, None, HOUR).expect("valid");
    let mut first = initiate(&ana, &bundle, None, FIRST_GENERATION, &NETWORK, START_MS, rng).expect("usable keys");
    let ephemeral = Ephemeral::generate(rng);
    let sealed = first.seal_first_contact(&prefix(), &[], &ephemeral, rng).expect("not answered yet").sealed;
    let envelope = Envelope { sealed, damaged: false };
    let outer = recognise(prekeys.inbox_keys(), &envelope.parts()).expect("for Bob");
    let mut second = accept(&bob, &prekeys, None, &outer, None, &NETWORK, START_MS).expect("genuine").session;
    let ephemeral = Ephemeral::generate(rng);
    let sealed = second.seal(Class::Small, &prefix(), &[], &ephemeral, START_MS, rng).expect("room").sealed;
    let answer = Envelope { sealed, damaged: false };
    let mut ends = [End::new(first), End::new(second)];
    let position = *ends[0].index.get(&answer.sealed.tag).expect("watched");
    let opened = ends[0].session.open(position, &answer.parts(), START_MS).expect("genuine");
    ends[0].keep(&opened);
    ends
}

/// Plays `data`: its first byte seeds the keys, two or four bytes are a step.
pub(crate) fn play(data: &[u8]) {
    let Some((seed, steps)) = data.split_first() else { return };
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(*seed));
    let ends = meet(&mut rng);
    let mut play =
        Play { input: steps.iter(), rng, ends, flight: [Vec::new(), Vec::new()], now_ms: START_MS, count: 0 };
    for _ in 0..STEPS_MAX {
        if play.input.as_slice().is_empty() {
            break;
        }
        play.step();
    }
    play.heal();
}

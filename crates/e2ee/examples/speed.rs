//! How fast this crate is, beside vodozemac in the same run: `cargo run --release -p starling-e2ee --example speed`,
//! with `--json` for one line of JSON. All figures are medians; microseconds, the tag look-up nanoseconds.
//!
//! What is timed: a text of 1,024 bytes as the one content record of a small envelope, E from a pool; for the
//! receiver everything from the position found to the records and the changed tag windows. A ping-pong is a whole
//! conversation of 100 messages, of which every fifth is short, so that the post-quantum ratchet runs in the room that it
//! leaves; its figure is the mean a message, and so has the cost of all epochs in it. Set-up out is: open and
//! check the bundle, handshake with the invite's key, seal the first contact. Set-up in is: recognise, check, accept,
//! open. vodozemac's set-ups are its own outbound (with its first message) and inbound session, which check no
//! signature and have no post-quantum part.

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::hint::black_box;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use starling_e2ee::handshake::{Accepted, accept, initiate, recognise};
use starling_e2ee::identity::Identity;
use starling_e2ee::prekey::{Bundle, OneTimePrekey, Prekeys};
use starling_e2ee::record::Record;
use starling_e2ee::seal::{Class, Ephemeral, HeadPrefix, Parts, Sealed, Tag};
use starling_e2ee::session::{Position, SealedMessage, Session, TagIndex};

const ROUNDS: usize = 40;
const BLOCK: usize = 50;
/// Messages timed at once: long against the clock's resolution, short against a time slice.
const SAMPLE: usize = 10;
const TEXT_BYTES: usize = 1_024;
/// One in so many messages of a ping-pong is short.
const SHORT_EVERY: usize = 5;
const SHORT_TEXT_BYTES: usize = 80;
/// Post-quantum epochs that a ping-pong passes at the least.
const EPOCHS_MIN: u32 = 3;
const NOW_HOUR: u32 = 480_000;
const NOW_MS: u64 = NOW_HOUR as u64 * 3_600_000;
const NETWORK: [u8; 32] = [7; 32];
const INDEXED_TAGS: usize = 1_000_000;

fn main() {
    let is_json = std::env::args().any(|argument| argument == "--json");
    let (mut ours, mut theirs) = (Ours::new(), Theirs::new());
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        ours.round(&mut figures.ours);
        theirs.round(&mut figures.vodozemac);
    }
    let tag_lookup_ns = tag_lookup_ns(&mut ours.rng);
    figures.print(tag_lookup_ns, is_json);
}

/// Microseconds of one operation, once for each block or call.
#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    /// Times `count` operations that `run` makes.
    fn take<T>(&mut self, count: usize, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = black_box(run());
        self.0.push(start.elapsed().as_secs_f64() * 1e6 / count as f64);
        result
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// The median with two digits after the point.
    fn figure(&self) -> f64 {
        rounded(self.median())
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[derive(Default)]
struct Side {
    encrypt: Samples,
    decrypt: Samples,
    ping_pong: Samples,
    setup_out: Samples,
    setup_in: Samples,
    reject: Samples,
}

impl Side {
    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "encrypt_us": self.encrypt.figure(),
            "decrypt_us": self.decrypt.figure(),
            "ping_pong_us": self.ping_pong.figure(),
            "setup_out_us": self.setup_out.figure(),
            "setup_in_us": self.setup_in.figure(),
        })
    }
}

#[derive(Default)]
struct Figures {
    ours: Side,
    vodozemac: Side,
}

impl Figures {
    fn print(&self, tag_lookup_ns: f64, is_json: bool) {
        let mut ours = self.ours.json();
        ours["tag_lookup_ns"] = tag_lookup_ns.into();
        ours["reject_us"] = self.ours.reject.figure().into();
        let vodozemac = self.vodozemac.json();
        if is_json {
            println!("{}", serde_json::json!({ "v": 1, "ours": ours, "vodozemac": vodozemac }));
            return;
        }
        println!("{:<16}{:>10}{:>12}{:>8}", "", "ours", "vodozemac", "ratio");
        for (name, value) in ours.as_object().into_iter().flatten() {
            let value = value.as_f64().unwrap_or(f64::NAN);
            match vodozemac[name].as_f64() {
                Some(other) => println!("{name:<16}{value:>10.2}{other:>12.2}{:>8.2}", value / other),
                None => println!("{name:<16}{value:>10.2}"),
            }
        }
    }
}

/// An envelope without its carrier.
struct Envelope {
    prefix: HeadPrefix,
    sealed: Sealed,
}

impl Envelope {
    fn parts(&self) -> Parts<'_> {
        let Sealed { tag, ephemeral, body } = &self.sealed;
        Parts { prefix: self.prefix, tag: *tag, ephemeral: *ephemeral, body }
    }
}

struct Ours {
    rng: ChaCha20Rng,
    prefix: HeadPrefix,
    alice: Identity,
    bob: Identity,
    bob_prekeys: Prekeys,
    one_time: OneTimePrekey,
    bundle: Envelope,
    foreign: Envelope,
}

impl Ours {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let prefix = HeadPrefix([1, 0, 0, 0, 0, 0, 0, 83, 7, 0]);
        let (alice, bob) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
        let mut bob_prekeys = Prekeys::new();
        bob_prekeys.renew(&bob, 0, NOW_HOUR, &mut rng);
        let sealed = bob_prekeys.seal_bundle(&prefix, &[9; 32], &Ephemeral::generate(&mut rng));
        let bundle = Envelope { prefix, sealed: sealed.expect("a bundle was made") };
        let mut noise = Sealed { tag: Tag([0; 16]), ephemeral: [0; 32], body: vec![0; 1_962] };
        noise.ephemeral = *Ephemeral::generate(&mut rng).public_raw();
        rng.fill_bytes(&mut noise.tag.0);
        rng.fill_bytes(&mut noise.body);
        let one_time = OneTimePrekey::generate(&mut rng);
        Self { one_time, rng, prefix, alice, bob, bob_prekeys, bundle, foreign: Envelope { prefix, sealed: noise } }
    }

    fn round(&mut self, side: &mut Side) {
        let mut first = None;
        for _ in 0..4 {
            first = Some(self.set_up(side));
        }
        let (mut alice, mut bob) = first.expect("made in the loop");
        self.ping_pong(&mut alice, &mut bob, side);
        self.one_way(&mut alice, &mut bob, side);
        for _ in 0..BLOCK {
            let inbox_keys = self.bob_prekeys.inbox_keys();
            let found = side.reject.take(1, || recognise(inbox_keys, &black_box(&self.foreign).parts()));
            assert!(found.is_none(), "noise is not a first contact");
        }
    }

    fn set_up(&mut self, side: &mut Side) -> (Session, Session) {
        let ephemeral = Ephemeral::generate(&mut self.rng);
        let (rng, one_time) = (&mut self.rng, (self.one_time.id(), self.one_time.public()));
        let (alice, sealed) = side.setup_out.take(1, || {
            let account = self.bob.public().account;
            let bundle = Bundle::open(&self.bundle.parts(), &[9; 32], Some(&account), None, NOW_HOUR).expect("valid");
            let mut alice =
                initiate(&self.alice, &bundle, Some(one_time), 1, &NETWORK, NOW_MS, rng).expect("valid keys");
            let sealed = alice.seal_first_contact(&self.prefix, &[], &ephemeral, rng).expect("pending");
            (alice, sealed)
        });
        let envelope = Envelope { prefix: self.prefix, sealed: sealed.sealed };
        let Accepted { session: bob, .. } = side.setup_in.take(1, || {
            let outer = recognise(self.bob_prekeys.inbox_keys(), &envelope.parts()).expect("for us");
            accept(&self.bob, &self.bob_prekeys, Some(&self.one_time), &outer, None, &NETWORK, NOW_MS).expect("genuine")
        });
        (alice, bob)
    }

    /// Every message begins a chain: each side has received before it sends.
    fn ping_pong(&mut self, alice: &mut Session, bob: &mut Session, side: &mut Side) {
        let (long, short) = ([text(TEXT_BYTES)], [text(SHORT_TEXT_BYTES)]);
        let pool: Vec<_> = (0..BLOCK * 2).map(|_| Ephemeral::generate(&mut self.rng)).collect();
        let (mut to_alice, mut to_bob) = (next_chain(alice), next_chain(bob));
        side.ping_pong.take(pool.len(), || {
            for (number, ephemeral) in pool.iter().enumerate() {
                let records = if number % SHORT_EVERY == 0 { &short } else { &long };
                match number % 2 {
                    0 => self.one_message(bob, alice, &mut to_alice, records, ephemeral),
                    _ => self.one_message(alice, bob, &mut to_bob, records, ephemeral),
                }
            }
        });
        let epochs = alice.post_quantum_epoch().min(bob.post_quantum_epoch());
        assert!(epochs >= EPOCHS_MIN, "the post-quantum ratchet passed {epochs} epochs");
    }

    /// Seals and opens a message that begins a chain.
    fn one_message(
        &mut self,
        from: &mut Session,
        to: &mut Session,
        position: &mut Position,
        records: &[Record],
        ephemeral: &Ephemeral,
    ) {
        let message = from.seal(Class::Small, &self.prefix, records, ephemeral, NOW_MS, &mut self.rng).expect("room");
        let envelope = Envelope { prefix: self.prefix, sealed: message.sealed };
        assert_eq!(envelope.sealed.body.len(), Class::Small.body_bytes(), "the ratchet adds no byte");
        black_box(to.open(*position, &envelope.parts(), NOW_MS).expect("genuine"));
        position.chain += 1;
    }

    /// Many messages on one chain of Alice's.
    fn one_way(&mut self, alice: &mut Session, bob: &mut Session, side: &mut Side) {
        let records = [text(TEXT_BYTES)];
        let pool: Vec<_> = (0..BLOCK).map(|_| Ephemeral::generate(&mut self.rng)).collect();
        let (mut to_alice, mut to_bob) = (next_chain(alice), next_chain(bob));
        let [there, back] = [Ephemeral::generate(&mut self.rng), Ephemeral::generate(&mut self.rng)];
        self.one_message(bob, alice, &mut to_alice, &records, &there);
        self.one_message(alice, bob, &mut to_bob, &records, &back);
        let chain = next_chain(bob).chain - 1;
        let mut sealed: Vec<SealedMessage> = Vec::with_capacity(BLOCK);
        for ephemerals in pool.chunks(SAMPLE) {
            side.encrypt.take(SAMPLE, || {
                let mut seal =
                    |ephemeral| alice.seal(Class::Small, &self.prefix, &records, ephemeral, NOW_MS, &mut self.rng);
                sealed.extend(ephemerals.iter().map(|ephemeral| seal(ephemeral).expect("room")));
            });
        }
        let envelopes: Vec<_> = sealed
            .into_iter()
            .map(|message| (message.number, Envelope { prefix: self.prefix, sealed: message.sealed }))
            .collect();
        for envelopes in envelopes.chunks(SAMPLE) {
            side.decrypt.take(SAMPLE, || {
                for (number, envelope) in envelopes {
                    let position = Position { chain, number: *number };
                    black_box(bob.open(position, &envelope.parts(), NOW_MS).expect("genuine"));
                }
            });
        }
    }
}

/// Where the peer's next chain begins: of the tags watched, those of the latest chain are of it.
fn next_chain(session: &Session) -> Position {
    let chain = session.watched().map(|(_, position)| position.chain).max().expect("a session watches tags");
    Position { chain, number: 0 }
}

fn text(bytes: usize) -> Record {
    Record::Content { message_id: [5; 16], part: 0, of: 1, bytes: vec![b'a'; bytes] }
}

/// Nanoseconds of one look-up in an index of a million tags, each tag looked up in an order that no cache foresees.
fn tag_lookup_ns(rng: &mut ChaCha20Rng) -> f64 {
    let mut index = TagIndex::new();
    let tags: Vec<Tag> = (0..INDEXED_TAGS)
        .map(|number| {
            let mut tag = Tag([0; 16]);
            rng.fill_bytes(&mut tag.0);
            index.insert(tag, (number as u32, Position { chain: 0, number: 0 }));
            tag
        })
        .collect();
    let mut samples = Samples::default();
    for _ in 0..20 {
        let start = rng.next_u64() as usize;
        let order: Vec<Tag> = (0..20_000).map(|i| tags[(start.wrapping_add(i * 7_919_003)) % INDEXED_TAGS]).collect();
        let found = samples.take(order.len(), || order.iter().filter(|tag| index.get(tag).is_some()).count());
        assert_eq!(found, order.len(), "every tag was inserted");
    }
    rounded(samples.median() * 1e3)
}

struct Theirs {
    alice: vodozemac::olm::Account,
    bob: vodozemac::olm::Account,
}

impl Theirs {
    fn new() -> Self {
        Self { alice: vodozemac::olm::Account::new(), bob: vodozemac::olm::Account::new() }
    }

    fn round(&mut self, side: &mut Side) {
        let mut sessions = None;
        for _ in 0..4 {
            sessions = Some(self.set_up(side));
        }
        let (mut alice, mut bob) = sessions.expect("made in the loop");
        let text = [b'a'; TEXT_BYTES];
        side.ping_pong.take(BLOCK * 2, || {
            for number in 0..BLOCK * 2 {
                let bytes = if number % SHORT_EVERY == 0 { SHORT_TEXT_BYTES } else { TEXT_BYTES };
                core::mem::swap(&mut alice, &mut bob);
                let message = alice.encrypt(&text[..bytes]).expect("small enough");
                black_box(bob.decrypt(&message).expect("genuine"));
            }
        });
        let opening = alice.encrypt(text).expect("small enough");
        bob.decrypt(&opening).expect("genuine");
        let mut messages = Vec::with_capacity(BLOCK);
        for _ in 0..BLOCK / SAMPLE {
            side.encrypt.take(SAMPLE, || {
                messages.extend((0..SAMPLE).map(|_| alice.encrypt(text).expect("small enough")));
            });
        }
        for messages in messages.chunks(SAMPLE) {
            side.decrypt.take(SAMPLE, || {
                for message in messages {
                    black_box(bob.decrypt(message).expect("genuine"));
                }
            });
        }
    }

    fn set_up(&mut self, side: &mut Side) -> (vodozemac::olm::Session, vodozemac::olm::Session) {
        use vodozemac::olm::{OlmMessage, SessionConfig};
        self.bob.generate_one_time_keys(1);
        let key = *self.bob.one_time_keys().values().next().expect("just made");
        self.bob.mark_keys_as_published();
        let config = SessionConfig::version_1();
        let (alice, message) = side.setup_out.take(1, || {
            let mut alice = self.alice.create_outbound_session(config, self.bob.curve25519_key(), key).expect("keys");
            let message = alice.encrypt("").expect("small enough");
            (alice, message)
        });
        let OlmMessage::PreKey(message) = message else { unreachable!("the first message of a session") };
        let identity_key = self.alice.curve25519_key();
        let result =
            side.setup_in.take(1, || self.bob.create_inbound_session(config, identity_key, &message).expect("genuine"));
        (alice, result.session)
    }
}

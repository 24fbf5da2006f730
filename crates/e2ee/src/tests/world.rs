//! Two people, their keys and the envelopes between them.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::handshake::{Accepted, FIRST_GENERATION, accept, initiate, recognise};
use crate::identity::Identity;
use crate::prekey::{Bundle, OneTimePrekey, Prekeys};
use crate::record::Record;
use crate::seal::{Class, Ephemeral, HeadPrefix, Parts, Sealed, Tag};
use crate::session::{Opened, Position, SealedMessage, Session};

pub(crate) const NETWORK: [u8; 32] = [0x4e; 32];
pub(crate) const ADDR: [u8; 32] = [0xad; 32];
pub(crate) const NOW_HOUR: u32 = 494_000;
pub(crate) const NOW_MS: u64 = NOW_HOUR as u64 * 3_600_000;

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// `version 1 | class | topic 0 | hour`.
pub(crate) fn prefix(class: Class, hour: u32) -> HeadPrefix {
    let [a, b, c, d] = hour.to_le_bytes();
    HeadPrefix([1, u8::from(class == Class::Large), 0, 0, 0, 0, a, b, c, d])
}

/// An envelope as it lies in a pool, without its stamp.
#[derive(Clone)]
pub(crate) struct Envelope {
    pub(crate) prefix: HeadPrefix,
    pub(crate) sealed: Sealed,
}

impl Envelope {
    pub(crate) fn small(sealed: Sealed) -> Self {
        Self { prefix: prefix(Class::Small, NOW_HOUR), sealed }
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts { prefix: self.prefix, tag: self.sealed.tag, ephemeral: self.sealed.ephemeral, body: &self.sealed.body }
    }

    pub(crate) fn tag(&self) -> Tag {
        self.sealed.tag
    }

    /// The same with one bit of byte `index` flipped, counted over prefix, tag, E and body.
    pub(crate) fn flipped(&self, index: usize) -> Self {
        let mut flipped = self.clone();
        let sealed = &mut flipped.sealed;
        let byte = match index {
            0..10 => &mut flipped.prefix.0[index],
            10..26 => &mut sealed.tag.0[index - 10],
            26..58 => &mut sealed.ephemeral[index - 26],
            _ => &mut sealed.body[index - 58],
        };
        *byte ^= 1 << (index % 8);
        flipped
    }

    pub(crate) fn len(&self) -> usize {
        58 + self.sealed.body.len()
    }
}

/// Alice, who writes first, and Bob, whose bundle she has.
pub(crate) struct World {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) alice: Identity,
    pub(crate) bob: Identity,
    pub(crate) bob_prekeys: Prekeys,
    pub(crate) one_time: OneTimePrekey,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let (alice, bob) = (Identity::generate(&mut rng), Identity::generate(&mut rng));
        let mut bob_prekeys = Prekeys::new();
        bob_prekeys.renew(&bob, 0, NOW_HOUR, &mut rng);
        let one_time = OneTimePrekey::generate(&mut rng);
        Self { rng, alice, bob, bob_prekeys, one_time }
    }

    pub(crate) fn ephemeral(&mut self) -> Ephemeral {
        Ephemeral::generate(&mut self.rng)
    }

    /// Bob's bundle in an envelope.
    pub(crate) fn bundle_envelope(&mut self) -> Envelope {
        let ephemeral = self.ephemeral();
        let prefix = prefix(Class::Small, NOW_HOUR);
        Envelope::small(self.bob_prekeys.seal_bundle(&prefix, &ADDR, &ephemeral).expect("Bob has a bundle"))
    }

    /// Bob's bundle as Alice reads it.
    pub(crate) fn bundle(&mut self) -> Bundle {
        let account = self.bob.public().account;
        let envelope = self.bundle_envelope();
        Bundle::open(&envelope.parts(), &ADDR, Some(&account), None, NOW_HOUR).expect("Bob's bundle is valid")
    }

    /// A session of Alice's towards Bob, with the invite's prekey.
    pub(crate) fn initiated(&mut self) -> Session {
        let bundle = self.bundle();
        let one_time = (self.one_time.id(), self.one_time.public());
        initiate(&self.alice, &bundle, Some(one_time), FIRST_GENERATION, &NETWORK, NOW_MS, &mut self.rng)
            .expect("Bob's keys are usable")
    }

    pub(crate) fn seal_first(&mut self, session: &mut Session, records: &[Record]) -> Envelope {
        let ephemeral = self.ephemeral();
        let prefix = prefix(Class::Small, NOW_HOUR);
        let message = session.seal_first_contact(&prefix, records, &ephemeral, &mut self.rng).expect("not answered");
        Envelope::small(message.sealed)
    }

    pub(crate) fn accept(&self, envelope: &Envelope) -> Option<Accepted> {
        let outer = recognise(self.bob_prekeys.inbox_keys(), &envelope.parts())?;
        let one_time = outer.one_time_id().map(|_| &self.one_time);
        accept(&self.bob, &self.bob_prekeys, one_time, &outer, None, &NETWORK, NOW_MS).ok()
    }

    /// Both ends of a session, Bob having answered.
    pub(crate) fn established(&mut self) -> (Session, Session) {
        let mut alice = self.initiated();
        let first = self.seal_first(&mut alice, &[text("hello")]);
        let mut bob = self.accept(&first).expect("genuine").session;
        let answer = self.seal(&mut bob, &[text("hello yourself")]);
        open(&mut alice, &answer).expect("genuine");
        let _ = bob.watched().count();
        (alice, bob)
    }

    pub(crate) fn seal(&mut self, session: &mut Session, records: &[Record]) -> Envelope {
        Envelope::small(self.seal_message(session, records).sealed)
    }

    pub(crate) fn seal_message(&mut self, session: &mut Session, records: &[Record]) -> SealedMessage {
        let ephemeral = self.ephemeral();
        let prefix = prefix(Class::Small, NOW_HOUR);
        session.seal(Class::Small, &prefix, records, &ephemeral, NOW_MS, &mut self.rng).expect("there is room")
    }
}

pub(crate) fn text(text: &str) -> Record {
    Record::Content {
        message_id: *blake3::hash(text.as_bytes()).as_bytes().first_chunk().expect("32 bytes"),
        part: 0,
        of: 1,
        bytes: text.into(),
    }
}

/// Where the session watches the envelope's tag.
pub(crate) fn position(session: &Session, tag: Tag) -> Option<Position> {
    session.watched().find(|(watched, _)| *watched == tag).map(|(_, position)| position)
}

/// Looks the envelope up as a node would, and opens it.
pub(crate) fn open(session: &mut Session, envelope: &Envelope) -> Option<Opened> {
    let position = position(session, envelope.tag())?;
    session.open(position, &envelope.parts(), NOW_MS).ok()
}

/// What would be stored: the session's record, and its skipped keys by tag.
pub(crate) fn stored(session: &Session) -> Vec<u8> {
    serde_json::to_vec(session).expect("a session encodes")
}

/// Randomness that was written down: gives out `bytes` in order and panics when they do not suffice.
pub(crate) struct Scripted {
    bytes: std::collections::VecDeque<u8>,
}

impl Scripted {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.iter().copied().collect() }
    }
}

impl rand_core::TryRng for Scripted {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        assert!(self.bytes.len() >= out.len(), "the script is too short");
        let taken: Vec<u8> = self.bytes.drain(..out.len()).collect();
        out.copy_from_slice(&taken);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Scripted {}

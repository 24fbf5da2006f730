//! The parties of a trace and the envelopes under way in it: does one event at a time, by the public interface alone.
//!
//! A party here is what a node's inbox and outbox make of the crate, at its smallest: sessions by name, the digests
//! of first contacts, one-time prekeys, what is known of peers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use starling_e2ee::handshake::{OuterFirstContact, accept, generation_allowed, initiate, recognise};
use starling_e2ee::identity::{DevicePublic, Identity, ListHead};
use starling_e2ee::prekey::{Bundle, OneTimePrekey, Pinned, Prekeys};
use starling_e2ee::record::{self, Record};
use starling_e2ee::seal::{Class, Ephemeral, HeadPrefix, Parts, Tag};
use starling_e2ee::session::{ChainId, Position, Session, SessionId};

use crate::document::{
    Delivered, Document, EnvelopeOutput, EphemeralInput, FORMAT, Flip, Hex, Mismatch, Operation, PartyInput,
    PrekeysInput, Seal, VERSION, mismatch,
};
use crate::draws::Draws;

pub(crate) struct Party {
    pub(crate) identity: Identity,
    addr: [u8; 32],
    one_time: BTreeMap<u64, OneTimePrekey>,
    prekeys: Prekeys,
    inbox_secret: Option<Hex>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Digest of a first contact to its session and our bundle.
    known: BTreeMap<[u8; 32], (SessionId, u32)>,
    /// What is known of an account's device list.
    lists: BTreeMap<[u8; 32], ListHead>,
    /// The highest generation with an account.
    pub(crate) generations: BTreeMap<[u8; 32], u32>,
}

/// What a delivery that opens says.
struct Opened {
    session: SessionId,
    position: Position,
    records: Vec<Record>,
    one_time: Option<u64>,
}

impl Party {
    fn new(input: &PartyInput) -> Result<Self, Mismatch> {
        let IdentityInputs(secrets) = IdentityInputs::of(input);
        let mut draws = Draws::given(secrets);
        let identity = Identity::generate(&mut draws);
        draws.finish()?;
        let mut one_time = BTreeMap::new();
        for prekey in &input.one_time {
            let mut draws = Draws::given([&prekey.secret, &prekey.id]);
            let prekey = OneTimePrekey::generate(&mut draws);
            draws.finish()?;
            one_time.insert(prekey.id(), prekey);
        }
        Ok(Self {
            identity,
            addr: input.addr.array()?,
            one_time,
            prekeys: Prekeys::new(),
            inbox_secret: None,
            sessions: BTreeMap::new(),
            known: BTreeMap::new(),
            lists: BTreeMap::new(),
            generations: BTreeMap::new(),
        })
    }

    /// The session to send on.
    pub(crate) fn best(&self, peer: &DevicePublic) -> Option<SessionId> {
        let sessions = self.sessions.values().filter(|session| session.peer() == peer);
        sessions.max_by_key(|session| session.rank()).map(Session::id)
    }

    fn session(&mut self, name: &Hex) -> Result<&mut Session, Mismatch> {
        let id = SessionId(name.array()?);
        self.sessions.get_mut(&id).ok_or_else(|| Mismatch("no such session".into()))
    }

    /// Whether no inbox key is alive, so that the next bundle brings one whatever its number.
    pub(crate) fn has_no_inbox_key(&mut self, now_s: u64) -> bool {
        self.expire(now_s);
        self.prekeys.inbox_keys().is_empty()
    }

    fn expire(&mut self, now_s: u64) {
        let erased = self.prekeys.erase(hour_of(now_s));
        self.known.retain(|_, (_, seq)| !erased.contains(seq));
        for session in self.sessions.values_mut() {
            session.expire_skipped(now_s);
        }
        let best: Vec<_> = self.sessions.values().filter_map(|session| self.best(session.peer())).collect();
        self.sessions.retain(|id, session| best.contains(id) || !session.receive_only_is_over(now_s * 1_000));
    }

    fn add(&mut self, session: Session, list: ListHead) {
        let (account, generation) = (session.peer().account, session.generation());
        self.learn(account, list);
        let highest = self.generations.entry(account).or_insert(generation);
        *highest = generation.max(*highest);
        self.sessions.insert(session.id(), session);
    }

    /// A bundle or a first contact that was taken speaks for this list.
    fn learn(&mut self, account: [u8; 32], list: ListHead) {
        let known = self.lists.entry(account).or_insert(list);
        if known.version < list.version {
            *known = list;
        }
    }

    /// B11.
    fn receive(&mut self, parts: &Parts<'_>, network: &[u8; 32], now_s: u64) -> Option<Opened> {
        let mut is_watched = false;
        for (id, session) in &mut self.sessions {
            let positions: Vec<_> =
                session.watched().filter(|(tag, _)| *tag == parts.tag).map(|(_, position)| position).collect();
            for position in positions {
                is_watched = true;
                if let Ok(opened) = session.open(position, parts, now_s * 1_000) {
                    return Some(Opened { session: *id, position, records: opened.records, one_time: None });
                }
            }
        }
        if is_watched {
            return None;
        }
        let outer = recognise(self.prekeys.inbox_keys(), parts)?;
        self.first_contact(&outer, network, now_s)
    }

    fn first_contact(&mut self, outer: &OuterFirstContact, network: &[u8; 32], now_s: u64) -> Option<Opened> {
        let (session, position) = (outer.session_id(), Position { chain: 0, number: outer.number() });
        if let Some((known, _)) = self.known.get(&outer.digest()) {
            let opened = self.sessions.get_mut(known)?.open_repeated(outer, now_s * 1_000).ok()?;
            return Some(Opened { session, position, records: opened.records, one_time: None });
        }
        let account = &outer.device().account;
        if !generation_allowed(self.generations.get(account).copied(), outer.generation())
            || self.sessions.contains_key(&session)
        {
            return None;
        }
        let one_time = match outer.one_time_id() {
            Some(id) => Some(self.one_time.get(&id)?),
            None => None,
        };
        let known_list = self.lists.get(account);
        let accepted =
            accept(&self.identity, &self.prekeys, one_time, outer, known_list, network, now_s * 1_000).ok()?;
        let one_time = outer.one_time_id();
        self.one_time.retain(|id, _| Some(*id) != one_time);
        self.known.insert(outer.digest(), (session, outer.bundle_seq()));
        self.add(accepted.session, accepted.list);
        Some(Opened { session, position, records: accepted.records, one_time })
    }
}

struct IdentityInputs<'a>([&'a Hex; 3]);

impl<'a> IdentityInputs<'a> {
    fn of(input: &'a PartyInput) -> Self {
        let keys = &input.identity;
        Self([&keys.account_seed, &keys.signing_seed, &keys.agreement_secret])
    }
}

pub(crate) struct World {
    network: [u8; 32],
    pub(crate) parties: BTreeMap<String, Party>,
    /// Public one-time prekeys, by id: what invites would carry.
    one_time: BTreeMap<u64, [u8; 32]>,
    /// By the event that sealed it.
    pub(crate) envelopes: BTreeMap<usize, EnvelopeOutput>,
    /// Who published the bundle of an event.
    owners: BTreeMap<usize, String>,
    /// Reader and owner of a bundle that was taken.
    pinned: BTreeMap<(String, String), Bundle>,
}

impl World {
    pub(crate) fn new(document: &Document) -> Result<Self, Mismatch> {
        if document.format != FORMAT || document.version != VERSION {
            return mismatch(format!("not a trace of version {VERSION}"));
        }
        let mut parties = BTreeMap::new();
        for input in &document.parties {
            parties.insert(input.name.clone(), Party::new(input)?);
        }
        let prekeys = parties.values().flat_map(|party| party.one_time.values());
        Ok(Self {
            network: document.network.array()?,
            one_time: prekeys.map(|prekey| (prekey.id(), *prekey.public())).collect(),
            parties,
            envelopes: BTreeMap::new(),
            owners: BTreeMap::new(),
            pinned: BTreeMap::new(),
        })
    }

    pub(crate) fn party(&mut self, name: &str) -> Result<&mut Party, Mismatch> {
        self.parties.get_mut(name).ok_or_else(|| Mismatch(format!("no party {name}")))
    }

    /// What comes of event `at`, with the randomness that it gives.
    pub(crate) fn replay(&mut self, at: usize, operation: &Operation) -> Result<Value, Mismatch> {
        let mut draws = match operation {
            Operation::Begin { ephemeral_secret, kem_randomness, .. } => {
                Draws::given([ephemeral_secret, kem_randomness])
            }
            Operation::Seal(Seal { ratchet_secret, kem_seed, kem_randomness, .. }) => {
                Draws::given(ratchet_secret.iter().chain(kem_seed).chain(kem_randomness))
            }
            _ => Draws::given([]),
        };
        let result = self.perform(at, operation, &mut draws)?;
        draws.finish()?;
        Ok(result)
    }

    /// What comes of event `at`. Randomness that depends on the state of a session is taken from `draws`.
    pub(crate) fn perform(
        &mut self,
        at: usize,
        operation: &Operation,
        draws: &mut Draws<'_>,
    ) -> Result<Value, Mismatch> {
        if let Some((by, now_s)) = operation.moment() {
            self.party(by)?.expire(now_s);
        }
        match operation {
            Operation::Bundle { by, prekeys, prefix, ephemeral, .. } => {
                self.publish(at, by, prekeys, prefix, ephemeral)
            }
            Operation::ReadBundle { by, now_s, bundle } => self.read_bundle(by, *now_s, *bundle),
            Operation::Begin { by, to, now_s, generation, one_time, .. } => {
                self.begin((by, to), *now_s, *generation, one_time.as_ref(), draws)
            }
            Operation::Seal(seal) => self.seal(at, seal, draws),
            Operation::Deliver { by, now_s, envelope, flip, .. } => self.deliver(by, *now_s, envelope, *flip),
            Operation::Lost { envelope } => match self.envelopes.contains_key(envelope) {
                true => Ok(json!({})),
                false => mismatch("no such envelope"),
            },
            Operation::Acknowledged { by, session, chain, number } => {
                self.party(by)?.session(session)?.note_acked(ChainId(*chain), *number);
                Ok(json!({}))
            }
            Operation::Full { by, session } => {
                Ok(json!({ "full": self.party(by)?.session(session)?.chain_exhausted() }))
            }
            Operation::Choose { by, to } => {
                let peer = self.party(to)?.identity.public();
                Ok(json!({ "session": self.party(by)?.best(&peer).map(|id| Hex(id.0.to_vec())) }))
            }
            Operation::State { by, .. } => Ok(state(self.party(by)?)),
        }
    }

    fn publish(
        &mut self,
        at: usize,
        by: &str,
        input: &PrekeysInput,
        prefix: &Hex,
        ephemeral: &EphemeralInput,
    ) -> Result<Value, Mismatch> {
        let (prefix, ephemeral) = (HeadPrefix(prefix.array()?), ephemeral_of(ephemeral)?);
        let party = self.party(by)?;
        let mut secrets = vec![&input.signed_prekey_secret, &input.kem_seed];
        if party.inbox_secret.as_ref() != Some(&input.inbox_secret) {
            secrets.push(&input.inbox_secret);
        }
        let mut draws = Draws::given(secrets);
        let seq = party.prekeys.renew(&party.identity, input.shard, input.created_hour, &mut draws);
        draws.finish()?;
        if seq != input.seq {
            return mismatch(format!("the bundle would be number {seq}"));
        }
        party.inbox_secret = Some(input.inbox_secret.clone());
        let sealed = party.prekeys.seal_bundle(&prefix, &party.addr, &ephemeral);
        let sealed = sealed.ok_or_else(|| Mismatch("no bundle".into()))?;
        let envelope = envelope_of(&prefix, sealed);
        self.owners.insert(at, by.to_owned());
        self.envelopes.insert(at, envelope.clone());
        Ok(json!({ "envelope": envelope }))
    }

    fn read_bundle(&mut self, by: &str, now_s: u64, at: usize) -> Result<Value, Mismatch> {
        let (Some(owner), Some(envelope)) = (self.owners.get(&at).cloned(), self.envelopes.get(&at).cloned()) else {
            return mismatch("no such bundle");
        };
        let (account, addr) = {
            let party = self.party(&owner)?;
            (party.identity.public().account, party.addr)
        };
        let key = (by.to_owned(), owner);
        let before = self.pinned.get(&key).map(Bundle::pinned);
        let known = self.party(by)?.lists.get(&account).copied();
        let pinned = known.map(|list| {
            let seq = before.filter(|before| before.list == list).map_or(0, |before| before.seq);
            Pinned { list, seq }
        });
        let bundle = Bundle::open(&parts_of(&envelope)?, &addr, Some(&account), pinned.as_ref(), hour_of(now_s));
        let seq = bundle.as_ref().ok().map(|bundle| bundle.seq);
        if let Ok(bundle) = bundle {
            self.party(by)?.learn(account, bundle.list);
            self.pinned.insert(key, bundle);
        }
        Ok(json!({ "seq": seq }))
    }

    fn begin(
        &mut self,
        (by, to): (&str, &str),
        now_s: u64,
        generation: u32,
        one_time: Option<&Hex>,
        draws: &mut Draws<'_>,
    ) -> Result<Value, Mismatch> {
        let network = self.network;
        let one_time = match one_time {
            None => None,
            Some(id) => {
                let id = u64::from_le_bytes(id.array()?);
                let public = self.one_time.get(&id).copied();
                Some((id, public.ok_or_else(|| Mismatch("no such one-time prekey".into()))?))
            }
        };
        let bundle = self.pinned.get(&(by.to_owned(), to.to_owned())).cloned();
        let bundle = bundle.ok_or_else(|| Mismatch("no bundle was read".into()))?;
        let party = self.party(by)?;
        let named = one_time.as_ref().map(|(id, public)| (*id, public));
        let session = initiate(&party.identity, &bundle, named, generation, &network, now_s * 1_000, draws)
            .map_err(|error| Mismatch(error.to_string()))?;
        let id = session.id();
        party.add(session, bundle.list);
        Ok(json!({ "session": Hex(id.0.to_vec()) }))
    }

    fn seal(&mut self, at: usize, seal: &Seal, draws: &mut Draws<'_>) -> Result<Value, Mismatch> {
        let (prefix, ephemeral) = (HeadPrefix(seal.prefix.array()?), ephemeral_of(&seal.ephemeral)?);
        let records = record::decode(&seal.records.0).ok_or_else(|| Mismatch("malformed records".into()))?;
        let class = if prefix.0[1] == 0 { Class::Small } else { Class::Large };
        let session = self.party(&seal.by)?.session(&seal.session)?;
        let sealed = match seal.first {
            true => session.seal_first_contact(&prefix, &records, &ephemeral, draws),
            false => session.seal(class, &prefix, &records, &ephemeral, seal.now_s * 1_000, draws),
        };
        let message = sealed.map_err(|error| Mismatch(error.to_string()))?;
        let envelope = envelope_of(&prefix, message.sealed);
        self.envelopes.insert(at, envelope.clone());
        Ok(json!({ "chain": message.chain.0, "number": message.number, "envelope": envelope }))
    }

    fn deliver(&mut self, by: &str, now_s: u64, envelope: &Delivered, flip: Option<Flip>) -> Result<Value, Mismatch> {
        let envelope = match envelope {
            Delivered::Sealed(at) => self.envelopes.get(at).ok_or_else(|| Mismatch("no such envelope".into()))?,
            Delivered::Foreign(envelope) => envelope,
        };
        let envelope = flip.map_or_else(|| Ok(envelope.clone()), |flip| flipped(envelope, flip))?;
        let network = self.network;
        let opened = self.party(by)?.receive(&parts_of(&envelope)?, &network, now_s);
        let opened = opened.map(|opened| {
            json!({
                "session": Hex(opened.session.0.to_vec()),
                "chain": opened.position.chain,
                "number": opened.position.number,
                "records": encoded(&opened.records),
                "one_time": opened.one_time.map(|id| Hex(id.to_le_bytes().to_vec())),
            })
        });
        Ok(json!({ "opened": opened }))
    }
}

fn hour_of(now_s: u64) -> u32 {
    u32::try_from(now_s / 3_600).unwrap_or(u32::MAX)
}

pub(crate) fn encoded(records: &[Record]) -> Hex {
    let mut bytes = Vec::new();
    let length = records.iter().map(Record::encoded_len).sum();
    record::encode_into(&mut bytes, length, records).expect("they have just been decoded");
    Hex(bytes)
}

fn state(party: &Party) -> Value {
    let sessions: serde_json::Map<_, _> = party
        .sessions
        .values()
        .map(|session| {
            let mut tags: Vec<_> = session.watched().map(|(tag, _)| tag.0).collect();
            tags.sort_unstable();
            let digest = Hex(blake3::hash(&tags.concat()).as_bytes().to_vec());
            let watched = json!({ "count": tags.len(), "blake3": digest });
            let name = data_encoding::HEXLOWER.encode(&session.id().0);
            (name, json!({ "skipped": session.skipped_len(), "watched": watched }))
        })
        .collect();
    json!({ "sessions": sessions })
}

fn ephemeral_of(input: &EphemeralInput) -> Result<Ephemeral, Mismatch> {
    let coin = Hex(vec![input.top_bit]);
    let mut draws = Draws::given([&input.secret, &coin]);
    let ephemeral = Ephemeral::generate(&mut draws);
    draws.finish()?;
    Ok(ephemeral)
}

fn envelope_of(prefix: &HeadPrefix, sealed: starling_e2ee::seal::Sealed) -> EnvelopeOutput {
    EnvelopeOutput {
        prefix: Hex(prefix.0.to_vec()),
        tag: Hex(sealed.tag.0.to_vec()),
        ephemeral: Hex(sealed.ephemeral.to_vec()),
        body: Hex(sealed.body),
    }
}

fn parts_of(envelope: &EnvelopeOutput) -> Result<Parts<'_>, Mismatch> {
    Ok(Parts {
        prefix: HeadPrefix(envelope.prefix.array()?),
        tag: Tag(envelope.tag.array()?),
        ephemeral: envelope.ephemeral.array()?,
        body: &envelope.body.0,
    })
}

/// A copy with one byte of prefix, tag, E and body changed.
fn flipped(envelope: &EnvelopeOutput, (offset, mask): Flip) -> Result<EnvelopeOutput, Mismatch> {
    let mut copy = envelope.clone();
    let mut parts = [&mut copy.prefix, &mut copy.tag, &mut copy.ephemeral, &mut copy.body];
    let byte = parts.iter_mut().flat_map(|part| part.0.iter_mut()).nth(offset);
    *byte.ok_or_else(|| Mismatch("no such byte".into()))? ^= mask;
    Ok(copy)
}

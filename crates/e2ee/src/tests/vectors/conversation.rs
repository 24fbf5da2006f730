//! A whole conversation as a replay: who seals what with which randomness, what is lost, what comes late, twice or out
//! of order, and what opens. SPEC: B4, B5, B7, B8, B10, B11.
//!
//! Operations: `first` and `seal` make envelope number i (bodies as BLAKE3, they are in the other files); `open` gives an
//! envelope to the other side and says what comes out; `fails` is an envelope that does not open. Who looks up tags
//! derives them; `position` is what must be found. Watched tags at the end, in the order of their bytes, are hashed.
//! A message that begins a chain uses `ratchet_secret`; one that asks for a post-quantum epoch all of `kem_seed`, one that
//! answers its first 32 bytes.

use serde_json::{Value, json};

use super::first_contact::{bundle, one_time};
use super::identity::{bob_prekeys_input, ephemeral, ephemeral_input, identity, identity_input, prekeys};
use super::message::{prefix_hex, unpadded};
use super::{Case, Family, Outcome, array, bytes, hex, number, sample, sample_hex};
use crate::handshake::{accept, initiate, recognise};
use crate::record::{self, Record};
use crate::seal::{Class, HeadPrefix};
use crate::session::{Opened, SealError, SealedMessage, Session};
use crate::tests::world::{Envelope, Scripted};

pub(super) const TRANSCRIPT: Family = Family { name: "conversation", section: "B11", cases, run };

const NOW_MS: u64 = 494_001 * 3_600_000;

/// Writes operations down; randomness is taken from names that count up.
#[derive(Default)]
struct Script {
    operations: Vec<Value>,
    sealed: u32,
}

impl Script {
    fn seal(&mut self, by: &str, kind: &str) -> u32 {
        let index = self.sealed;
        self.sealed += 1;
        let content = Record::Content {
            message_id: sample(&format!("message {index}")),
            part: 0,
            of: 1,
            bytes: format!("message {index}").into_bytes(),
        };
        self.operations.push(json!({
            "op": kind, "by": by,
            "ephemeral": ephemeral_input(&format!("E {index}"), (index % 2) as u8),
            "ratchet_secret": sample_hex::<32>(&format!("ratchet {index}")),
            "kem_seed": sample_hex::<64>(&format!("KEM {index}")),
            "records": hex(unpadded(&[content])),
        }));
        index
    }

    fn open(&mut self, index: u32) {
        self.operations.push(json!({ "op": "open", "envelope": index }));
    }

    fn fails(&mut self, index: u32) {
        self.operations.push(json!({ "op": "fails", "envelope": index }));
    }

    fn input(self) -> Value {
        json!({
            "network": sample_hex::<32>("network"),
            "initiator": identity_input("Alice"),
            "responder": identity_input("Bob"),
            "prekeys": bob_prekeys_input(),
            "one_time": { "secret": sample_hex::<32>("one-time prekey"), "id": "0123456789abcdef" },
            "ephemeral_secret": sample_hex::<32>("EK"),
            "kem_randomness": sample_hex::<32>("m"),
            "prefix": prefix_hex(0),
            "operations": self.operations,
        })
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::valid("in order", in_order().input()),
        Case::valid("first contacts out of order, late and twice", first_contacts().input()),
        Case::valid("loss, reordering and long delay over several chains", over_chains().input()),
        Case::valid("255 unacknowledged, only the last arrives", far_ahead().input()),
        Case::valid("post-quantum epochs, their records lost, overtaken and late", epochs().input()),
    ]
}

fn in_order() -> Script {
    let mut script = Script::default();
    let first = script.seal("initiator", "first");
    script.open(first);
    for by in ["responder", "initiator", "initiator", "responder", "responder", "initiator"] {
        let index = script.seal(by, "seal");
        script.open(index);
        script.fails(index);
    }
    script
}

fn first_contacts() -> Script {
    let mut script = Script::default();
    let copies: Vec<u32> = (0..4).map(|_| script.seal("initiator", "first")).collect();
    let ordinary = script.seal("initiator", "seal");
    script.open(copies[2]);
    script.open(copies[3]);
    script.open(copies[0]);
    script.fails(copies[0]);
    let reply = script.seal("responder", "seal");
    script.open(reply);
    let next = script.seal("initiator", "seal");
    script.open(next);
    script.open(copies[1]);
    script.open(ordinary);
    script
}

fn over_chains() -> Script {
    let mut script = Script::default();
    let first = script.seal("initiator", "first");
    script.open(first);
    let mut late = Vec::new();
    for round in 0..4 {
        for by in ["responder", "initiator"] {
            let sealed: Vec<u32> = (0..4).map(|_| script.seal(by, "seal")).collect();
            script.open(sealed[2]);
            script.open(sealed[0]);
            late.push(sealed[(round % 2) * 2 + 1]);
        }
    }
    late.into_iter().rev().for_each(|index| script.open(index));
    script
}

fn far_ahead() -> Script {
    let mut script = Script::default();
    let first = script.seal("initiator", "first");
    script.open(first);
    let all: Vec<u32> = (0..255).map(|_| script.seal("responder", "seal")).collect();
    script.operations.push(json!({ "op": "full", "by": "responder" }));
    script.open(all[254]);
    script.open(all[0]);
    script.open(all[253]);
    script
}

/// The first message of each chain is overtaken by the last and comes some chains later; now and then one is lost.
fn epochs() -> Script {
    let mut script = Script::default();
    let first = script.seal("initiator", "first");
    script.open(first);
    let mut late = Vec::new();
    for round in 0..24 {
        for by in ["responder", "initiator"] {
            let overtaken = script.seal(by, "seal");
            if round % 8 == 5 {
                script.seal(by, "seal");
            }
            let next = script.seal(by, "seal");
            script.open(next);
            late.push(overtaken);
            if late.len() == 5 {
                late.drain(..).rev().for_each(|index| script.open(index));
            }
        }
    }
    script
}

/// Both ends while the script is replayed.
struct Replay {
    input: Value,
    initiator: Session,
    responder: Option<Session>,
    envelopes: Vec<(bool, Envelope)>,
    results: Vec<Value>,
}

fn run(input: &Value) -> Option<Outcome> {
    let bundle = bundle(&input["responder"], &input["prekeys"]);
    let prekey = one_time(&input["one_time"]).expect("given");
    let mut script = Scripted::new(&[bytes(&input["ephemeral_secret"]), bytes(&input["kem_randomness"])].concat());
    let (alice, network) = (identity(&input["initiator"]), array(&input["network"]));
    let named = Some((prekey.id(), prekey.public()));
    let initiator = initiate(&alice, &bundle, named, 1, &network, NOW_MS, &mut script).ok()?;
    let session = hex(initiator.id().0);
    let mut replay =
        Replay { input: input.clone(), initiator, responder: None, envelopes: Vec::new(), results: Vec::new() };
    for operation in input["operations"].as_array()? {
        let result = replay.step(operation);
        replay.results.push(result);
    }
    let responder = replay.responder.as_ref()?;
    Some(Outcome {
        steps: json!({ "session": session, "results": replay.results }),
        expect: json!({
            "initiator": end(&replay.initiator),
            "responder": end(responder),
        }),
    })
}

fn end(session: &Session) -> Value {
    json!({
        "watched": watched(session), "skipped": session.skipped_len(),
        "post_quantum_epoch": session.post_quantum_epoch(),
    })
}

fn watched(session: &Session) -> Value {
    let mut tags: Vec<[u8; 16]> = session.watched().map(|(tag, _)| tag.0).collect();
    tags.sort_unstable();
    json!({ "count": tags.len(), "blake3": hex(blake3::hash(tags.as_flattened()).as_bytes()) })
}

impl Replay {
    fn step(&mut self, operation: &Value) -> Value {
        match operation["op"].as_str().expect("an operation") {
            "open" => {
                let records = self.open(number(&operation["envelope"])).expect("it opens");
                json!({ "records": hex(unpadded(&records)) })
            }
            "fails" => {
                assert!(self.open(number(&operation["envelope"])).is_none(), "it must not open");
                json!({})
            }
            "full" => {
                let session = self.responder.as_mut().expect("accepted");
                assert!(session.chain_exhausted());
                json!({})
            }
            kind => self.seal(kind == "first", operation),
        }
    }

    fn seal(&mut self, is_first: bool, operation: &Value) -> Value {
        let by_initiator = operation["by"] == "initiator";
        let SealedMessage { sealed, chain, number } =
            self.try_seal(is_first, by_initiator, operation).expect("there is room");
        let result = json!({
            "tag": hex(sealed.tag.0), "ephemeral": hex(sealed.ephemeral), "body_blake3": hex(blake3::hash(&sealed.body).as_bytes()),
            "chain": chain.0, "number": number,
        });
        let prefix = HeadPrefix(array(&self.input["prefix"]));
        self.envelopes.push((by_initiator, Envelope { prefix, sealed }));
        result
    }

    fn try_seal(&mut self, is_first: bool, by_initiator: bool, operation: &Value) -> Result<SealedMessage, SealError> {
        let prefix = HeadPrefix(array(&self.input["prefix"]));
        let ephemeral = ephemeral(&operation["ephemeral"]);
        let records = record::decode(&bytes(&operation["records"])).expect("well formed");
        let session = match by_initiator {
            true => &mut self.initiator,
            false => self.responder.as_mut().expect("accepted"),
        };
        let ratchet_secret = if session.needs_step() { bytes(&operation["ratchet_secret"]) } else { Vec::new() };
        let mut script = Scripted::new(&[ratchet_secret, bytes(&operation["kem_seed"])].concat());
        match is_first {
            true => session.seal_first_contact(&prefix, &records, &ephemeral, &mut script),
            false => session.seal(Class::Small, &prefix, &records, &ephemeral, NOW_MS, &mut script),
        }
    }

    fn open(&mut self, index: u32) -> Option<Vec<Record>> {
        let (by_initiator, envelope) = self.envelopes[index as usize].clone();
        if by_initiator {
            return self.open_at_responder(&envelope);
        }
        open_watched(&mut self.initiator, &envelope).map(|opened| opened.records)
    }

    fn open_at_responder(&mut self, envelope: &Envelope) -> Option<Vec<Record>> {
        if let Some(opened) = self.responder.as_mut().and_then(|session| open_watched(session, envelope)) {
            return Some(opened.records);
        }
        let bob = identity(&self.input["responder"]);
        let prekeys = prekeys(&self.input["prekeys"], &bob);
        let outer = recognise(prekeys.inbox_keys(), &envelope.parts())?;
        if let Some(session) = &mut self.responder {
            return session.open_repeated(&outer, NOW_MS).ok().map(|opened| opened.records);
        }
        let (one_time, network) = (one_time(&self.input["one_time"]), array(&self.input["network"]));
        let accepted = accept(&bob, &prekeys, one_time.as_ref(), &outer, None, &network, NOW_MS).ok()?;
        self.responder = Some(accepted.session);
        Some(accepted.records)
    }
}

fn open_watched(session: &mut Session, envelope: &Envelope) -> Option<Opened> {
    let (_, position) = session.watched().find(|(tag, _)| *tag == envelope.tag())?;
    session.open(position, &envelope.parts(), NOW_MS).ok()
}

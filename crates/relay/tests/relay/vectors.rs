//! Reads the golden vectors of `tests/vectors/relay` and holds the crate to every case of them. Expected
//! negentropy messages were made by another author's implementation.

use std::collections::BTreeSet;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;
use starling_relay::admit::{self, Route};
use starling_relay::penalty::Fault;
use starling_relay::stamp;
use starling_relay::sync::negentropy::{Excluded, advance, answer, initial};
use starling_relay::sync::{Item, ItemSet, NegentropyError};
use starling_wire::envelope::{Envelope, Epoch, TopicId};
use starling_wire::network::{MAIN, NetworkParameters};

/// Runs every case of a file. `run` checks a valid case by assertions and gives `Err(reason)` when the crate
/// refused the input. The reasons that occur must be exactly `reasons`.
fn check(name: &str, reasons: &[&str], run: impl Fn(&Value) -> Result<(), &'static str>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/relay").join(format!("{name}.json"));
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&file["v"], &file["spec"], &file["name"]), (&1.into(), &"0.1".into(), &name.into()));
    let (mut ids, mut occurred) = (BTreeSet::new(), BTreeSet::new());
    for case in file["cases"].as_array().unwrap() {
        let label = format!("{}: {}", case["id"], case["comment"]);
        assert!(ids.insert(case["id"].to_string()), "{label} occurs twice");
        match (run(case), case["result"].as_str().unwrap()) {
            (outcome, "valid") => assert_eq!(outcome, Ok(()), "{label}"),
            (outcome, result) => {
                assert_eq!(result, "invalid", "{label}");
                assert_eq!(outcome, Err(case["reason"].as_str().unwrap()), "{label}");
                occurred.insert(outcome.unwrap_err());
            }
        }
    }
    assert_eq!(occurred, reasons.iter().copied().collect(), "reasons of {name}");
}

/// The bytes of a hex string, or of an array of parts: hex or `{xof, bytes}`.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(hex) => HEXLOWER.decode(hex.as_bytes()).unwrap(),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        part => xof(part, number(&part["bytes"])),
    }
}

fn xof(part: &Value, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(part["xof"].as_str().unwrap().as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    T::try_from(value.as_u64().unwrap()).unwrap()
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::MalformedEnvelope => "malformed",
        Fault::EpochOutOfWindow => "epoch",
        Fault::WrongTopic => "topic",
        Fault::WrongEffort => "effort",
        Fault::BadStamp => "stamp",
        fault => panic!("admission gives {fault:?}"),
    }
}

#[test]
fn stamps_and_admission() {
    check("stamp", &["malformed", "epoch", "topic", "effort", "stamp"], |case| {
        let input = &case["input"];
        let parameters = match input["network"].as_str().unwrap() {
            MAIN => NetworkParameters::main(),
            name => NetworkParameters::test(name),
        };
        let route = match input["route"].as_str().unwrap() {
            "gossip" => Route::Gossip,
            "push" => Route::Push,
            route => {
                assert_eq!(route, "sync");
                Route::Sync
            }
        };
        let envelope = bytes(&input["envelope"]);
        if let Ok(envelope) = Envelope::parse(envelope.clone()) {
            let challenge = stamp::challenge(&parameters.id(), &envelope.head(), envelope.effort(), envelope.body());
            assert_eq!(HEXLOWER.encode(challenge.as_bytes()), case["steps"]["challenge"]);
            let hash = blake3::hash(&[&challenge.as_bytes()[..], &envelope.stamp()].concat());
            let [a, b, c, d, ..] = *hash.as_bytes();
            assert_eq!(u32::from_le_bytes([a, b, c, d]), number::<u32>(&case["steps"]["r"]));
        }
        let (topic, now) = (TopicId(number(&input["topic"])), Epoch(number(&input["now_hour"])));
        let checked = admit::check(envelope, &parameters, topic, now, route).map_err(fault)?;
        assert_eq!(HEXLOWER.encode(&checked.envelope().id().0), case["expect"]["id"]);
        assert_eq!(checked.envelope().effort(), number::<u32>(&case["expect"]["effort"]));
        Ok(())
    });
}

/// A set is a list of `{xof, items, timestamps}`: ids are 32 bytes each of the output of BLAKE3 over the
/// string, and the timestamp is 480,000 plus the id's last byte modulo `timestamps`.
fn set(value: &Value) -> ItemSet {
    let part = |part: &Value| {
        let timestamps: u64 = number(&part["timestamps"]);
        let ids = xof(part, 32 * number::<usize>(&part["items"]));
        let item = move |id: &[u8; 32]| Item { timestamp: 480_000 + u64::from(id[31]) % timestamps, id: *id };
        ids.as_chunks().0.iter().map(item).collect::<Vec<_>>()
    };
    ItemSet::new(value.as_array().unwrap().iter().flat_map(part).collect())
}

fn malformed(error: NegentropyError) -> &'static str {
    match error {
        NegentropyError::Version(_) => "version",
        NegentropyError::Truncated => "truncated",
        NegentropyError::Varint => "varint",
        NegentropyError::Timestamp => "timestamp",
        NegentropyError::Prefix(_) => "prefix",
        NegentropyError::Order => "order",
        NegentropyError::Mode(_) => "mode",
    }
}

/// A set that is asked for with a wrong fingerprint and found right shows its own: none is public.
fn has_fingerprint(set: &ItemSet, fingerprint: &[u8]) -> bool {
    let query = [&[0x61, 0x00, 0x00, 0x01], fingerprint].concat();
    answer(set, &query, 65_536).unwrap() == [0x61]
}

#[test]
fn negentropy_messages() {
    let reasons = ["version", "truncated", "varint", "timestamp", "prefix", "order", "mode"];
    check("negentropy", &reasons, |case| {
        let (set, expect) = (set(&case["input"]["set"]), &case["expect"]);
        let message = || bytes(&case["input"]["message"]);
        let nothing = Excluded::default();
        match case["input"]["kind"].as_str().unwrap() {
            "fingerprint" => assert!(has_fingerprint(&set, &bytes(&expect["fingerprint"]))),
            "initial" => assert_eq!(initial(&set, &nothing).message, bytes(&expect["message"])),
            "answer" => {
                let given = answer(&set, &message(), 65_536).map_err(malformed);
                // Nobody may be told more than the other: an initiator refuses what a responder refuses.
                assert_eq!(
                    advance(&set, &message(), &nothing, 65_536).map(|_| ()).map_err(malformed),
                    given.clone().map(|_| ())
                );
                assert_eq!(given?, bytes(&expect["message"]));
            }
            kind => {
                assert_eq!(kind, "advance");
                let step = advance(&set, &message(), &nothing, 65_536).map_err(malformed)?;
                let sorted =
                    |ids: BTreeSet<[u8; 32]>| ids.iter().map(|id| Value::String(HEXLOWER.encode(id))).collect();
                let have: Value = sorted(step.have.iter().map(|index| set.items()[*index].id).collect());
                let need: Value = sorted(step.need.into_iter().collect());
                assert_eq!((&have, &need), (&expect["have"], &expect["need"]));
                let next = step.next.map(|query| HEXLOWER.encode(&query.message));
                assert_eq!(next.as_deref(), expect["next"].as_str());
            }
        }
        Ok(())
    });
}

//! Golden vectors: what every implementation must compute and refuse, with the values in between.
//!
//! A family is one file under `tests/vectors/e2ee/`. Its `run` computes steps and results from a case's input alone;
//! its `cases` make the inputs. `cargo test -p starling-e2ee write_vectors -- --ignored` writes the files anew; the
//! ordinary test reads them and computes everything again. Randomness is always an explicit input: secret keys and
//! the KEM's seeds, never the seed of a generator.

mod conversation;
mod ed25519;
mod first_contact;
mod identity;
mod keys;
mod message;
mod verification;

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::primitives::secret::Secret;

/// What a valid case comes to.
struct Outcome {
    /// Intermediate values.
    steps: Value,
    expect: Value,
}

/// One file of vectors.
struct Family {
    name: &'static str,
    section: &'static str,
    cases: fn() -> Vec<Case>,
    /// `None`: refused.
    run: fn(&Value) -> Option<Outcome>,
}

/// One input, and why it is refused if it is.
struct Case {
    comment: String,
    reason: Option<&'static str>,
    input: Value,
}

impl Case {
    fn valid(comment: impl Into<String>, input: Value) -> Self {
        Self { comment: comment.into(), reason: None, input }
    }

    fn invalid(reason: &'static str, comment: impl Into<String>, input: Value) -> Self {
        Self { comment: comment.into(), reason: Some(reason), input }
    }
}

const FAMILIES: [Family; 17] = [
    ed25519::STRICT,
    keys::TAGS,
    keys::ROOT_STEP,
    keys::CHAIN,
    keys::HANDSHAKE,
    keys::POST_QUANTUM,
    message::RECORDS,
    message::SEAL,
    message::OPEN,
    identity::DEVICE_LIST,
    identity::BUNDLE_SEAL,
    identity::BUNDLE_OPEN,
    first_contact::SEAL,
    first_contact::OPEN,
    conversation::TRANSCRIPT,
    verification::NUMBER,
    verification::CODE,
];

impl Family {
    fn path(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/e2ee").join(format!("{}.json", self.name))
    }

    fn write(&self) {
        let cases: Vec<Value> = (self.cases)()
            .into_iter()
            .enumerate()
            .map(|(index, Case { comment, reason, input })| {
                let id = format!("{}-{:03}", self.name.replace('_', "-"), index + 1);
                match (reason, (self.run)(&input)) {
                    (None, Some(Outcome { steps, expect })) => json!({
                        "id": id, "comment": comment, "result": "valid", "input": input, "steps": steps, "expect": expect,
                    }),
                    (Some(reason), None) => json!({
                        "id": id, "comment": comment, "result": "invalid", "reason": reason, "input": input,
                        "steps": {}, "expect": { "state_unchanged": true },
                    }),
                    (None, None) => panic!("{id} ({comment}) should be valid"),
                    (Some(_), Some(_)) => panic!("{id} ({comment}) should be refused"),
                }
            })
            .collect();
        let file = json!({ "v": 1, "spec": "0.1", "section": self.section, "name": self.name, "cases": cases });
        let text = serde_json::to_string_pretty(&file).expect("it encodes") + "\n";
        std::fs::create_dir_all(self.path().parent().expect("it has a parent")).expect("the directory can be made");
        std::fs::write(self.path(), text).expect("the file can be written");
    }

    fn check(&self) {
        let text = std::fs::read_to_string(self.path()).expect("the vectors are in the repository");
        let file: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((&file["v"], &file["name"]), (&json!(1), &json!(self.name)));
        let cases = file["cases"].as_array().expect("cases");
        let mut reasons = BTreeSet::new();
        for case in cases {
            let (id, outcome) = (&case["id"], (self.run)(&case["input"]));
            if case["result"] == "valid" {
                let Outcome { steps, expect } = outcome.unwrap_or_else(|| panic!("{id} is refused"));
                assert_eq!(steps, case["steps"], "{id}");
                assert_eq!(expect, case["expect"], "{id}");
            } else {
                assert!(outcome.is_none(), "{id} must be refused: {}", case["reason"]);
                reasons.insert(case["reason"].as_str().expect("a reason").to_owned());
            }
        }
        let made = (self.cases)();
        let expected: BTreeSet<String> = made.iter().filter_map(|case| case.reason).map(str::to_owned).collect();
        assert_eq!((cases.len(), reasons), (made.len(), expected), "{}: the file is out of date", self.name);
    }
}

#[test]
fn vectors_hold() {
    FAMILIES.iter().for_each(Family::check);
}

#[test]
#[ignore = "writes tests/vectors/e2ee/*.json anew; for a change of the protocol"]
fn write_vectors() {
    FAMILIES.iter().for_each(Family::write);
}

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    HEXLOWER.encode(bytes.as_ref()).into()
}

fn secret_hex<const N: usize>(secret: &Secret<N>) -> Value {
    hex(secret.as_bytes())
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("a hex string").as_bytes()).expect("hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap_or_else(|_| panic!("{N} bytes: {value}"))
}

fn secret<const N: usize>(value: &Value) -> Secret<N> {
    Secret::new(array(value))
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a number of 32 bits")
}

/// Bytes for an input, different for every name.
fn sample<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn sample_hex<const N: usize>(name: &str) -> Value {
    hex(sample::<N>(name))
}

/// `value` with the byte `index` of the hex string at `pointer` changed.
fn flipped(value: &Value, pointer: &str, index: usize) -> Value {
    changed(value, pointer, |bytes| bytes[index] ^= 0x01)
}

fn changed(value: &Value, pointer: &str, change: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut value = value.clone();
    let place = value.pointer_mut(pointer).expect("it is there");
    let mut content = bytes(place);
    change(&mut content);
    *place = hex(content);
    value
}

/// `value` with another value at `pointer`.
fn with(value: &Value, pointer: &str, new: Value) -> Value {
    let mut value = value.clone();
    *value.pointer_mut(pointer).expect("it is there") = new;
    value
}

//! Reads the golden vectors of `tests/vectors/wire` and holds the crate to every case of them.

mod carrier;
mod frames;
mod invite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde_json::Value;

/// One case of a file.
struct Case {
    id: String,
    input: Value,
    steps: Value,
    expect: Value,
}

/// Runs every case of a file. `run` checks a valid case by assertions and gives `Err(reason)` when the crate
/// refused the input. The reasons that occur must be exactly `reasons`.
fn check(name: &str, reasons: &[&str], run: impl Fn(&Case) -> Result<(), &'static str>) {
    let path = folder().join(format!("{name}.json"));
    let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&file["v"], &file["spec"], &file["name"]), (&1.into(), &"0.1".into(), &name.into()));
    assert!(file["section"].is_string());
    let (mut ids, mut occurred) = (BTreeSet::new(), BTreeSet::new());
    let mut valid = 0;
    for case in file["cases"].as_array().unwrap() {
        let field = |name: &str| case[name].clone();
        let case_id = case["id"].as_str().unwrap().to_owned();
        assert!(ids.insert(case_id.clone()), "{case_id} occurs twice");
        assert!(case["comment"].is_string(), "{case_id}");
        let outcome =
            run(&Case { id: case_id.clone(), input: field("input"), steps: field("steps"), expect: field("expect") });
        match case["result"].as_str().unwrap() {
            "valid" => {
                assert_eq!(outcome, Ok(()), "{case_id}: {}", case["comment"]);
                valid += 1;
            }
            "invalid" => {
                let reason = case["reason"].as_str().unwrap();
                assert_eq!(outcome, Err(reason), "{case_id}: {}", case["comment"]);
                occurred.insert(reason.to_owned());
            }
            result => panic!("{case_id} is neither valid nor invalid but {result}"),
        }
    }
    assert!(valid > 0, "{name} has no valid case");
    assert_eq!(occurred, reasons.iter().map(|reason| (*reason).to_owned()).collect(), "reasons of {name}");
}

/// The bytes of a hex string, or of an array of parts: hex, `{xof, bytes}`, `{repeat, times}`.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(hex) => HEXLOWER.decode(hex.as_bytes()).unwrap(),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        part if part["xof"].is_string() => xof(part["xof"].as_str().unwrap(), number(&part["bytes"])),
        part => bytes(&part["repeat"]).repeat(number(&part["times"])),
    }
}

fn xof(seed: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    T::try_from(value.as_u64().unwrap()).unwrap()
}

/// Every limit by its name in `limits.json`, and every `pub const` of `limits.rs` among them.
#[test]
fn limits() {
    macro_rules! limits {
        ($($name:ident),* $(,)?) => {
            Value::from_iter([$((stringify!($name), Value::from(starling_wire::limits::$name.to_owned()))),*])
        };
    }
    let ours = limits![
        ENVELOPE_VERSION,
        ENVELOPE_SMALL_BYTES,
        ENVELOPE_LARGE_BYTES,
        ENVELOPE_HEAD_BYTES,
        ENVELOPE_AD_BYTES,
        BODY_SMALL_BYTES,
        BODY_LARGE_BYTES,
        SHARD_BITS_MAX,
        EPOCH_MS,
        GOSSIP_EPOCHS_EITHER_WAY,
        EXPIRY_SLACK_HOURS,
        EFFORT_STEPS,
        EFFORT_LARGE_FACTOR,
        STAMP_BYTES,
        MESSAGE_BYTES_MAX,
        CAPTION_BYTES_MAX,
        FILE_NAME_BYTES_MAX,
        VOICE_MS_MAX,
        VOICE_PEAKS_MAX,
        NAME_BYTES_MAX,
        INVITE_NAME_BYTES_MAX,
        INVITE_BYTES_MAX,
        INVITE_TEXT_BYTES_MAX,
        SYNC_MESSAGE_BYTES_MAX,
        SYNC_PULL_MAX,
        SYNC_BODIES_BYTES_MAX,
        SYNC_ROUNDS_MAX,
        SYNC_ID_BYTES,
        CELL_SMALL_BYTES,
        CELL_LARGE_BYTES,
        DESCRIPTOR_ADDRESSES_MAX,
        ADDRESS_BYTES_MAX,
        DESCRIPTOR_LIFETIME_S,
        DESCRIPTOR_CLOCK_SLACK_S,
        LINK_OTHERS_MAX,
        LINK_FULL_OTHERS_MAX,
        LINK_FRAME_BYTES_MAX,
        GOSSIP_BYTES_MAX,
        REFUSED_IDS_PER_HOUR_MAX,
    ];
    let file: Value = serde_json::from_slice(&std::fs::read(folder().join("limits.json")).unwrap()).unwrap();
    assert_eq!(file["limits"], ours);
    let source = include_str!("../../../src/limits.rs");
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let named: BTreeSet<&str> = ours.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(named, declared.collect());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/wire")
}

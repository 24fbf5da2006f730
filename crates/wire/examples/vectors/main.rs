//! Writes the golden vectors of this crate: `cargo run -p starling-wire --example vectors`.
//!
//! The bytes are put together here by hand, field after field, and not by the crate's own encoders, so
//! that the test that reads the files compares two authors. Nothing is random: what must look random is
//! the output of BLAKE3 in XOF mode over a named seed.

mod descriptor;
mod envelope;
mod invite;
mod link_frame;
mod network;
mod push_cell;
mod sync_frame;

use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

/// Version of the spec that the vectors belong to.
const SPEC: &str = "0.1";

/// The cases of one file.
struct Vectors {
    section: &'static str,
    name: &'static str,
    cases: Vec<Value>,
}

impl Vectors {
    fn new(section: &'static str, name: &'static str) -> Self {
        Self { section, name, cases: Vec::new() }
    }

    fn id(&self) -> String {
        format!("{}-{:03}", self.name, self.cases.len() + 1)
    }

    fn valid(&mut self, comment: &str, input: Value, steps: Value, expect: Value) {
        let case = json!({
            "id": self.id(), "comment": comment, "result": "valid",
            "input": input, "steps": steps, "expect": expect,
        });
        self.cases.push(case);
    }

    fn invalid(&mut self, comment: &str, reason: &str, input: Value) {
        let case = json!({
            "id": self.id(), "comment": comment, "result": "invalid", "reason": reason,
            "input": input, "steps": {}, "expect": {},
        });
        self.cases.push(case);
    }

    fn write(self, folder: &Path) {
        let file = json!({
            "v": 1, "spec": SPEC, "section": self.section, "name": self.name, "cases": self.cases,
        });
        let path = folder.join(format!("{}.json", self.name));
        let mut text = serde_json::to_string_pretty(&file).expect("vectors are plain JSON");
        text.push('\n');
        std::fs::write(&path, text).expect("the vectors' folder can be written");
        println!("{} cases in {}", file["cases"].as_array().map_or(0, Vec::len), path.display());
    }
}

/// A byte string that is written as its parts, so that 16 KiB of filler take one line of JSON.
#[derive(Clone, Default)]
struct Parts {
    bytes: Vec<u8>,
    json: Vec<Value>,
}

impl Parts {
    /// `bytes`, written as hex.
    fn hex(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self.json.push(json!(hex(bytes)));
        self
    }

    /// The first `count` bytes of BLAKE3's XOF over `seed`.
    fn xof(mut self, seed: &str, count: usize) -> Self {
        self.bytes.extend(xof(seed, count));
        self.json.push(json!({ "xof": seed, "bytes": count }));
        self
    }

    /// `count` times the same byte.
    fn repeat(self, byte: u8, count: usize) -> Self {
        self.times(&[byte], count)
    }

    /// `times` times the same bytes.
    fn times(mut self, bytes: &[u8], times: usize) -> Self {
        self.bytes.extend(bytes.repeat(times));
        self.json.push(json!({ "repeat": hex(bytes), "times": times }));
        self
    }

    /// These bytes and then those.
    fn then(mut self, other: &Self) -> Self {
        self.bytes.extend(&other.bytes);
        self.json.extend(other.json.clone());
        self
    }

    fn json(&self) -> Value {
        Value::Array(self.json.clone())
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn xof(seed: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn array<const N: usize>(seed: &str) -> [u8; N] {
    xof(seed, N).try_into().expect("the XOF gives as many bytes as asked for")
}

/// `L("x")` by hand: the ASCII text and a zero byte.
fn label(name: &str) -> Vec<u8> {
    format!("starling/1 {name}\0").into_bytes()
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/wire");
    std::fs::create_dir_all(&folder).expect("the vectors' folder can be made");
    let files = [
        envelope::vectors(),
        network::vectors(),
        sync_frame::vectors(),
        sync_frame::id_vectors(),
        link_frame::vectors(),
        push_cell::vectors(),
        descriptor::vectors(),
        invite::vectors(),
    ];
    files.into_iter().for_each(|vectors| vectors.write(&folder));
}

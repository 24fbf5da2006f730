//! Writes the golden vectors of `tests/vectors/relay`: `cargo run -p starling-relay --example vectors`.
//!
//! Expected negentropy messages are made by another author's implementation, so that the file does not
//! merely repeat ours. Stamps have no second implementation here: their steps (challenge, R) let anybody
//! check them with BLAKE3 alone.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use data_encoding::HEXLOWER;
use equix::EquiXBuilder;
use negentropy::{Id, Negentropy, NegentropyStorageBase, NegentropyStorageVector};
use serde_json::{Value, json};
use starling_relay::stamp;
use starling_wire::envelope::{Class, Envelope, Epoch, Head, Tag, TopicId};
use starling_wire::network::{MAIN, NetworkParameters};

const HOUR: u32 = 480_000;
const NET: &str = "vectors";

fn main() -> Result<()> {
    write("stamp", "2 and 3", stamps()?)?;
    write("negentropy", "5", messages()?)
}

fn write(name: &str, section: &str, cases: Vec<Value>) -> Result<()> {
    let numbered = cases.into_iter().enumerate().map(|(index, mut case)| {
        case["id"] = format!("{name}-{:03}", index + 1).into();
        case
    });
    let file = json!({"v": 1, "spec": "0.1", "name": name, "section": section, "cases": numbered.collect::<Vec<_>>()});
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/relay").join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(&file)? + "\n").with_context(|| path.display().to_string())
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn xof(text: &str, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn parameters(network: &str) -> NetworkParameters {
    if network == MAIN { NetworkParameters::main() } else { NetworkParameters::test(network) }
}

/// An envelope by its parts; the body is the XOF of `text`.
#[derive(Clone)]
struct Made {
    head: Head,
    effort: u32,
    stamp: [u8; 24],
    text: String,
}

impl Made {
    fn unstamped(class: Class, effort: u32, text: &str) -> Result<Self> {
        let bytes = xof(&format!("{text} head"), 48);
        let (tag, ephemeral) = bytes.split_at(16);
        let (tag, ephemeral) = (Tag(tag.try_into()?), ephemeral.try_into()?);
        let head = Head { class, topic: TopicId(0), epoch: Epoch(HOUR), tag, ephemeral };
        Ok(Self { head, effort, stamp: [0; 24], text: text.to_owned() })
    }

    fn stamped(network: &str, class: Class, effort: u32, text: &str) -> Result<Self> {
        Self::unstamped(class, effort, text)?.restamped(network)
    }

    fn restamped(mut self, network: &str) -> Result<Self> {
        self.stamp = stamp::solve(self.challenge(network), self.effort, 0, || false).context("cancelled")?.0;
        Ok(self)
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn body(&self) -> Vec<u8> {
        xof(&self.text, self.head.class.body_bytes())
    }

    fn challenge(&self, network: &str) -> stamp::Challenge {
        stamp::challenge(&parameters(network).id(), &self.head, self.effort, &self.body())
    }

    /// R, computed apart from the crate.
    fn r(&self, network: &str) -> u32 {
        let hash = blake3::hash(&[&self.challenge(network).as_bytes()[..], &self.stamp].concat());
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn is_met(&self, network: &str) -> bool {
        u64::from(self.r(network)) * u64::from(self.effort) <= u64::from(u32::MAX)
    }

    fn envelope(&self) -> Result<Envelope> {
        Ok(Envelope::assemble(&self.head, &self.stamp, self.effort, &self.body())?)
    }

    fn valid(&self, comment: &str, network: &str, now: u32, route: &str) -> Result<Value> {
        let mut case = self.case(comment, network, now, route)?;
        case["expect"] = json!({"id": hex(&self.envelope()?.id().0), "effort": self.effort});
        case["result"] = "valid".into();
        Ok(case)
    }

    fn invalid(&self, comment: &str, network: &str, now: u32, route: &str, reason: &str) -> Result<Value> {
        let mut case = self.case(comment, network, now, route)?;
        (case["result"], case["reason"]) = ("invalid".into(), reason.into());
        Ok(case)
    }

    fn case(&self, comment: &str, network: &str, now: u32, route: &str) -> Result<Value> {
        let envelope = self.envelope()?;
        let parts = json!([hex(&envelope.as_bytes()[..86]), {"xof": self.text, "bytes": self.body().len()}]);
        Ok(json!({
            "comment": comment,
            "input": {"network": network, "topic": 0, "now_hour": now, "route": route, "envelope": parts},
            "steps": {"challenge": hex(self.challenge(network).as_bytes()), "r": self.r(network)},
        }))
    }
}

fn stamps() -> Result<Vec<Value>> {
    let small = Made::stamped(NET, Class::Small, 1, "small")?;
    let large = Made::stamped(NET, Class::Large, 8, "large")?;
    let main = |class, effort, text| Made::stamped(MAIN, class, effort, text);
    let mut cases = vec![
        small.valid("a small envelope of a test network", NET, HOUR, "gossip")?,
        large.valid("a large envelope: eight times the effort", NET, HOUR, "push")?,
        main(Class::Small, 64, "main small")?.valid("main, lowest effort", MAIN, HOUR, "gossip")?,
        main(Class::Small, 256, "main second step")?.valid("main, second step", MAIN, HOUR, "gossip")?,
        main(Class::Large, 512, "main large")?.valid("main, large", MAIN, HOUR, "gossip")?,
        small.valid("an hour ahead of us", NET, HOUR - 1, "gossip")?,
        small.valid("an hour behind us", NET, HOUR + 1, "push")?,
        small.invalid("two hours ahead of us", NET, HOUR - 2, "gossip", "epoch")?,
        small.invalid("two hours behind us, by gossip", NET, HOUR + 2, "gossip", "epoch")?,
        small.valid("two hours behind us, by sync", NET, HOUR + 2, "sync")?,
        small.valid("the last hour of its lifetime and of the slack", NET, HOUR + 337, "sync")?,
        small.invalid("an hour after that", NET, HOUR + 338, "sync", "epoch")?,
        small.invalid("stamped for another network", "other", HOUR, "gossip", "stamp")?,
    ];
    for (comment, changed) in changes(&small) {
        cases.push(changed.invalid(comment, NET, HOUR, "gossip", "stamp")?);
    }
    let poor = true_but_poor()?;
    cases.push(poor.invalid("a true solution whose R is too large", NET, HOUR, "gossip", "stamp")?);
    let mut zeros = Made::unstamped(Class::Small, 64, "zeros")?;
    for nonce in 0u64.. {
        zeros.stamp[..8].copy_from_slice(&nonce.to_le_bytes());
        if zeros.is_met(NET) {
            break;
        }
    }
    cases.push(zeros.invalid("R is small enough, the solution is all zeros", NET, HOUR, "gossip", "stamp")?);
    for (effort, comment) in [(0, "effort 0"), (2, "no step"), (65, "no step"), (1_024, "above the highest step")] {
        cases.push(small.with(|made| made.effort = effort).invalid(comment, NET, HOUR, "gossip", "effort")?);
    }
    let cheap = Made::stamped(NET, Class::Large, 1, "cheap large")?;
    cases.push(cheap.invalid("large, with the effort of a small one", NET, HOUR, "gossip", "effort")?);
    let cheap = main(Class::Small, 1, "cheap main")?;
    cases.push(cheap.invalid("the lowest effort of a test network, in main", MAIN, HOUR, "gossip", "effort")?);
    let elsewhere = small.with(|made| made.head.topic = TopicId(0x8000_0001)).restamped(NET)?;
    cases.push(elsewhere.invalid("another topic", NET, HOUR, "gossip", "topic")?);
    cases.extend(malformed(&small)?);
    Ok(cases)
}

fn changes(small: &Made) -> [(&'static str, Made); 7] {
    [
        ("another tag", small.with(|made| made.head.tag.0[0] ^= 1)),
        ("bit 255 of the ephemeral key flipped", small.with(|made| made.head.ephemeral[31] ^= 0x80)),
        ("another body", small.with(|made| made.text = "another body".to_owned())),
        ("another hour", small.with(|made| made.head.epoch.0 += 1)),
        ("another nonce", small.with(|made| made.stamp[0] ^= 1)),
        ("another solution", small.with(|made| made.stamp[8] ^= 1)),
        (
            "halves of the solution swapped: the sums hold, the order does not",
            small.with(|made| {
                let (left, right) = made.stamp[8..].split_at_mut(8);
                left.swap_with_slice(right);
            }),
        ),
    ]
}

/// Solves Equi-X, but R is too large for the effort claimed.
fn true_but_poor() -> Result<Made> {
    let mut made = Made::unstamped(Class::Small, 64, "poor")?;
    for nonce in 0u64.. {
        let puzzle = [&made.challenge(NET).as_bytes()[..], &nonce.to_le_bytes()].concat();
        for solution in EquiXBuilder::new().solve(&puzzle).unwrap_or_default() {
            made.stamp = [&nonce.to_le_bytes()[..], &solution.to_bytes()].concat().as_slice().try_into()?;
            if !made.is_met(NET) {
                return Ok(made);
            }
        }
    }
    anyhow::bail!("no nonce has a poor solution")
}

fn malformed(small: &Made) -> Result<Vec<Value>> {
    let envelope = small.envelope()?;
    let head = &envelope.as_bytes()[..86];
    let changed = |offset: usize, byte| {
        let mut head = head.to_vec();
        head[offset] = byte;
        (hex(&head), 1_962)
    };
    let cases = [
        ("version 2", changed(0, 2)),
        ("class 2", changed(1, 2)),
        ("class 1 in 2,048 bytes", changed(1, 1)),
        ("depth 28", changed(2, 28)),
        ("a byte too many", (hex(head), 1_963)),
    ];
    let case = |(comment, (head, count)): (&str, (String, usize))| {
        let envelope = json!([head, {"xof": small.text, "bytes": count}]);
        json!({
            "comment": comment, "result": "invalid", "reason": "malformed",
            "input": {"network": NET, "topic": 0, "now_hour": HOUR, "route": "gossip", "envelope": envelope},
        })
    };
    Ok(cases.into_iter().map(case).collect())
}

/// A part of a set: see SPEC.md, 5.
fn part(text: &str, items: usize, timestamps: u64) -> Value {
    json!({"xof": text, "items": items, "timestamps": timestamps})
}

fn storage(set: &[Value]) -> Result<NegentropyStorageVector> {
    let mut storage = NegentropyStorageVector::new();
    for part in set {
        let number = |name: &str| part[name].as_u64().context("a number");
        let (items, timestamps) = (usize::try_from(number("items")?)?, number("timestamps")?);
        for id in xof(part["xof"].as_str().context("a text")?, 32 * items).as_chunks::<32>().0 {
            storage.insert(u64::from(HOUR) + u64::from(id[31]) % timestamps, Id::from_byte_array(*id))?;
        }
    }
    storage.seal()?;
    Ok(storage)
}

fn messages() -> Result<Vec<Value>> {
    let mut cases = Vec::new();
    for (comment, set) in [("nothing", vec![]), ("one item", vec![part("a", 1, 1)]), ("100", vec![part("a", 100, 3)])] {
        let storage = storage(&set)?;
        let fingerprint = hex(&storage.fingerprint(0, storage.size()?)?.to_bytes());
        cases.push(json!({
            "comment": format!("fingerprint of {comment}"), "result": "valid",
            "input": {"kind": "fingerprint", "set": set}, "expect": {"fingerprint": fingerprint},
        }));
    }
    let with = |set: &str, timestamps| part(set, 2, timestamps);
    let conversations = [
        ("nothing on either side", vec![], vec![]),
        ("the initiator has nothing", vec![], vec![part("a", 40, 2)]),
        ("the responder has nothing", vec![part("a", 40, 2)], vec![]),
        ("31 items are listed", vec![part("a", 31, 2)], vec![part("a", 30, 2)]),
        ("32 items are fingerprinted", vec![part("a", 32, 2)], vec![part("a", 33, 2)]),
        ("one timestamp, id prefixes", vec![part("a", 200, 1), with("b", 1)], vec![part("a", 200, 1), with("c", 1)]),
        ("24 timestamps", vec![part("a", 900, 24), with("b", 24)], vec![part("a", 900, 24), with("c", 24)]),
        ("equal sets", vec![part("a", 500, 5)], vec![part("a", 500, 5)]),
    ];
    for (comment, initiator, responder) in conversations {
        converse(&mut cases, comment, &initiator, &responder)?;
    }
    cases.extend(damaged().map(|(comment, reason, message)| {
        json!({
            "comment": comment, "result": "invalid", "reason": reason,
            "input": {"kind": "answer", "set": [part("a", 100, 3)], "message": message},
        })
    }));
    Ok(cases)
}

/// Every message of a reconciliation, and what the initiator learns from each answer.
fn converse(cases: &mut Vec<Value>, comment: &str, initiator: &[Value], responder: &[Value]) -> Result<()> {
    let (mine, theirs) = (storage(initiator)?, storage(responder)?);
    let mut client = Negentropy::borrowed(&mine, 0)?;
    let mut query = Some(client.initiate()?);
    cases.push(json!({
        "comment": format!("{comment}: the first message"), "result": "valid",
        "input": {"kind": "initial", "set": initiator}, "expect": {"message": query.as_deref().map(hex)},
    }));
    for round in 1.. {
        let Some(message) = query else { return Ok(()) };
        let answer = Negentropy::borrowed(&theirs, 0)?.reconcile(&message)?;
        cases.push(json!({
            "comment": format!("{comment}: answer {round}"), "result": "valid",
            "input": {"kind": "answer", "set": responder, "message": hex(&message)},
            "expect": {"message": hex(&answer)},
        }));
        let (mut have, mut need) = (Vec::new(), Vec::new());
        query = client.reconcile_with_ids(&answer, &mut have, &mut need)?;
        ensure!(round < 20, "{comment} does not end");
        let sorted = |mut ids: Vec<Id>| {
            ids.sort();
            ids.iter().map(|id| hex(id.as_bytes())).collect::<Vec<_>>()
        };
        cases.push(json!({
            "comment": format!("{comment}: what answer {round} tells the initiator"), "result": "valid",
            "input": {"kind": "advance", "set": initiator, "message": hex(&answer)},
            "expect": {"have": sorted(have), "need": sorted(need), "next": query.as_deref().map(hex)},
        }));
    }
    Ok(())
}

fn damaged() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let repeated = |before: &str, times: usize, after: &str| format!("{before}{}{after}", "ab".repeat(times));
    let cases = [
        ("no byte", "truncated", String::new()),
        ("version 2", "version", "62".to_owned()),
        ("version 0", "version", "60000000".to_owned()),
        ("a bound without a length", "truncated", "6100".to_owned()),
        ("a bound without a mode", "truncated", "610000".to_owned()),
        ("mode 3", "mode", "61000003".to_owned()),
        ("a fingerprint of 15 bytes", "truncated", repeated("61000001", 15, "")),
        ("2^31 ids in nine bytes", "truncated", "610000028880808000".to_owned()),
        ("one id more than there is", "truncated", repeated("6100000202", 32, "")),
        ("2^64 - 1 ids", "truncated", "6100000281ffffffffffffffff7f".to_owned()),
        ("an id prefix of 2^63 bytes", "prefix", "610181808080808080808000".to_owned()),
        ("an id prefix of 33 bytes", "prefix", repeated("610121", 33, "00")),
        ("a number with a leading zero digit", "varint", "618001".to_owned()),
        ("a number of 70 bits", "varint", "61ffffffffffffffffff7f".to_owned()),
        ("bounds that descend within a timestamp", "order", "610301bb000101aa00".to_owned()),
        ("a timestamp beyond infinity", "timestamp", "61000000030000".to_owned()),
        ("a number that does not end", "truncated", "6182".to_owned()),
    ];
    cases.into_iter()
}

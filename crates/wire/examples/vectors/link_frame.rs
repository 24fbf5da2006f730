//! Frames of `link/1`, as bytes: what bincode makes of them is spelled out here.

use serde_json::{Value, json};

use crate::descriptor::Descriptor;
use crate::{Parts, Vectors, array, hex};

const UNIX_MS: u64 = 1_732_687_200_123;

fn frame(kind: u16, payload: &Parts) -> Parts {
    let length = u32::try_from(payload.bytes.len() + 2).expect("vectors are short");
    Parts::default().hex([length.to_le_bytes().as_slice(), &kind.to_le_bytes()].concat()).then(payload)
}

fn raw(bytes: &[u8]) -> Parts {
    Parts::default().hex(bytes)
}

fn byte_string(bytes: &[u8]) -> Vec<u8> {
    [(bytes.len() as u64).to_le_bytes().as_slice(), bytes].concat()
}

/// A list that holds `count` times the same descriptor.
fn list_of(descriptor: &[u8], count: usize) -> Parts {
    raw(&(count as u64).to_le_bytes()).times(&byte_string(descriptor), count)
}

fn hold(version: u8, own: &[u8], others: &Parts) -> Parts {
    let hash = array::<32>("parameters hash");
    raw(&[&[version], hash.as_slice(), &UNIX_MS.to_le_bytes(), &byte_string(own)].concat()).then(others)
}

fn ok(own: &[u8], others: &Parts) -> Parts {
    raw(&[UNIX_MS.to_le_bytes().as_slice(), &byte_string(own)].concat()).then(others)
}

fn full(others: &Parts) -> Parts {
    raw(&UNIX_MS.to_le_bytes()).then(others)
}

fn add(v: &mut Vectors, comment: &str, frame: &Parts, expect: Value) {
    v.valid(comment, json!({ "bytes": frame.json() }), json!({}), expect);
}

/// A hold and an ok; `names` are the others as the file lists them.
fn add_valid(v: &mut Vectors, comment: &str, own: &[u8], others: &Parts, names: &Value) {
    let hash = hex(array::<32>("parameters hash"));
    let expect = json!({
        "kind": "hold", "parameters_hash": hash, "unix_ms": UNIX_MS, "descriptor": hex(own), "others": names,
    });
    add(v, &format!("hold, {comment}"), &frame(1, &hold(1, own, others)), expect);
    let expect = json!({ "kind": "ok", "unix_ms": UNIX_MS, "descriptor": hex(own), "others": names });
    add(v, &format!("ok, {comment}"), &frame(2, &ok(own, others)), expect);
}

fn add_invalid_encodings(v: &mut Vectors, own: &[u8]) {
    let none = list_of(own, 0);
    let mut bad = |comment: &str, kind: u16, payload: &Parts| {
        v.invalid(comment, "encoding", json!({ "bytes": frame(kind, payload).json() }));
    };
    let whole = hold(1, own, &none);
    bad("hold one byte short", 1, &raw(&whole.bytes[..whole.bytes.len() - 1]));
    bad("hold one byte long", 1, &whole.clone().hex([0]));
    bad("hold cut in the parameters hash", 1, &raw(&whole.bytes[..20]));
    bad("a descriptor without its last byte", 1, &hold(1, &own[..own.len() - 1], &none));
    bad("a descriptor with another byte", 2, &ok(&[own, &[0]].concat(), &none));
    bad("an empty descriptor", 2, &ok(&[], &none));
    bad("33 others in a hold", 1, &hold(1, own, &list_of(own, 33)));
    bad("33 others in an ok", 2, &ok(own, &list_of(own, 33)));
    bad("9 others in a full", 3, &full(&list_of(own, 9)));
    bad("a list that claims 2^64-1 others", 3, &full(&raw(&u64::MAX.to_le_bytes())));
    bad("a list that claims one and holds none", 3, &full(&raw(&1u64.to_le_bytes())));
    let huge = [1u64.to_le_bytes(), u64::MAX.to_le_bytes()].concat();
    bad("a descriptor that claims 2^64-1 bytes", 3, &full(&raw(&huge)));
    let malformed = [&own[..72], &[9], &own[73..]].concat();
    bad("an other with nine addresses", 3, &full(&list_of(&malformed, 1)));
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("7.3", "link_frame");
    let v = &mut vectors;
    let own = Descriptor::new("alice").bytes();
    let longest = Descriptor { addresses: vec![vec![0xA5; 128]; 8], ..Descriptor::new("bob") }.bytes();
    let carol = Descriptor::new("carol").bytes();
    add_valid(v, "no others", &own, &list_of(&own, 0), &json!([]));
    let two = raw(&2u64.to_le_bytes()).hex(byte_string(&carol)).hex(byte_string(&longest));
    add_valid(v, "two others", &own, &two, &json!([hex(&carol), hex(&longest)]));
    let repeated = |other: &[u8], times: usize| json!([{ "repeat": hex(other), "times": times }]);
    let comment = "32 others, all of the longest";
    add_valid(v, comment, &longest, &list_of(&longest, 32), &repeated(&longest, 32));
    let mut forged = carol.clone();
    forged.last_mut().into_iter().for_each(|byte| *byte ^= 1);
    let comment = "an other whose signature does not hold: form is all that counts here";
    add_valid(v, comment, &own, &list_of(&forged, 1), &json!([hex(&forged)]));
    for count in [0, 8] {
        let expect = json!({ "kind": "full", "unix_ms": UNIX_MS, "others": repeated(&carol, count) });
        add(v, &format!("full, {count} others"), &frame(3, &full(&list_of(&carol, count))), expect);
    }
    for (reason, name) in [(1, "wrong_parameters"), (2, "wrong_version"), (3, "blocked"), (77, "reason_77")] {
        let expect = json!({ "kind": "refused", "reason": reason, "name": name });
        add(v, "refused", &frame(4, &raw(&[reason])), expect);
    }
    add_invalid(v, &own);
    vectors
}

fn add_invalid(v: &mut Vectors, own: &[u8]) {
    let bytes = |parts: Parts| json!({ "bytes": parts.json() });
    v.invalid("a length of 0", "no_kind", bytes(raw(&[0, 0, 0, 0, 1, 0])));
    v.invalid("a length of 1", "no_kind", bytes(raw(&[1, 0, 0, 0, 1, 0])));
    for kind in [0, 5, 256, 257, u16::MAX] {
        v.invalid("no such kind", "kind", bytes(frame(kind, &raw(&[0; 16]))));
    }
    let promised = |length: u32, kind: u16| raw(&[length.to_le_bytes().as_slice(), &kind.to_le_bytes()].concat());
    v.invalid("hold of no bytes", "length", bytes(frame(1, &Parts::default())));
    v.invalid("a header that promises 4 GiB", "length", bytes(promised(u32::MAX, 1)));
    v.invalid("a hold longer than the longest", "length", bytes(promised(38_893, 1)));
    v.invalid("an ok longer than the longest", "length", bytes(promised(38_860, 2)));
    v.invalid("a full longer than the longest", "length", bytes(promised(9_435, 3)));
    v.invalid("refused with two reasons", "length", bytes(frame(4, &raw(&[1, 1]))));
    v.invalid("nothing", "not_one_frame", bytes(Parts::default()));
    v.invalid("header cut", "not_one_frame", bytes(raw(&[3, 0, 0, 0, 4])));
    v.invalid("payload cut", "not_one_frame", bytes(promised(3, 4)));
    v.invalid("a byte after the frame", "not_one_frame", bytes(frame(4, &raw(&[1])).hex([0])));
    for version in [0, 2, 255] {
        v.invalid("a hold of another version", "version", bytes(frame(1, &hold(version, own, &list_of(own, 0)))));
    }
    add_invalid_encodings(v, own);
}

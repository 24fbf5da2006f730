//! Frames of `sync/1`, and salted ids.

use serde_json::{Value, json};

use crate::{Parts, Vectors, array, hex, label};

/// A frame of `kind` around `payload`.
fn frame(kind: u8, payload: Parts) -> Parts {
    let length = u32::try_from(payload.bytes.len() + 1).expect("vectors are short");
    Parts::default().hex([length.to_le_bytes().as_slice(), &[kind]].concat()).then(&payload)
}

fn header(length: u32, kind: u8) -> Parts {
    Parts::default().hex([length.to_le_bytes().as_slice(), &[kind]].concat())
}

fn hello(oldest: u32, first: u32, last: u32, unix_ms: u64) -> Parts {
    let mut payload = array::<16>("hello salt").to_vec();
    [oldest, first, last].iter().for_each(|hour| payload.extend(hour.to_le_bytes()));
    payload.extend(unix_ms.to_le_bytes());
    Parts::default().hex(payload)
}

fn add(v: &mut Vectors, comment: &str, frame: &Parts, expect: Value) {
    v.valid(comment, json!({ "bytes": frame.json() }), json!({}), expect);
}

fn add_hello(v: &mut Vectors, comment: &str, oldest: u32, first: u32, last: u32, unix_ms: u64) {
    let expect = json!({
        "kind": "hello", "salt": hex(array::<16>("hello salt")), "oldest_hour": oldest, "first_hour": first,
        "last_hour": last, "unix_ms": unix_ms,
    });
    add(v, comment, &frame(1, hello(oldest, first, last, unix_ms)), expect);
}

/// Some envelope: only version and class matter to the frame.
fn envelope(class: u8, seed: &str) -> Parts {
    Parts::default().hex([1, class]).xof(seed, if class == 0 { 2_046 } else { 16_382 })
}

fn join(parts: &[Parts]) -> Parts {
    parts.iter().fold(Parts::default(), Parts::then)
}

fn absent(seed: &str) -> Parts {
    Parts::default().hex([&[0xFF], array::<20>(seed).as_slice()].concat())
}

fn add_bodies(v: &mut Vectors) {
    let items = [absent("gone"), envelope(0, "small"), envelope(1, "large"), absent("gone too")];
    let expect = json!({ "kind": "bodies", "items": [
        { "absent": hex(array::<20>("gone")) }, { "envelope": items[1].json() }, { "envelope": items[2].json() },
        { "absent": hex(array::<20>("gone too")) },
    ]});
    add(v, "bodies: absent, small, large, absent", &frame(4, join(&items)), expect);
    let only = json!({ "kind": "bodies", "items": [{ "absent": hex(array::<20>("gone")) }] });
    add(v, "bodies: one absent id", &frame(4, absent("gone")), only);
    let full = vec![envelope(1, "full"); 16];
    let items = vec![json!({ "envelope": envelope(1, "full").json() }); 16];
    add(v, "bodies: the most bytes", &frame(4, join(&full)), json!({ "kind": "bodies", "items": items }));
}

fn add_invalid_bodies(v: &mut Vectors) {
    let bodies = |payload: Parts| json!({ "bytes": frame(4, payload).json() });
    v.invalid("an envelope of version 2", "bodies", bodies(Parts::default().hex([2, 0]).repeat(0, 2_046)));
    v.invalid("an envelope of class 2", "bodies", bodies(Parts::default().hex([1, 2]).repeat(0, 2_046)));
    v.invalid("an envelope one byte short", "bodies", bodies(Parts::default().hex([1, 0]).repeat(0, 2_045)));
    v.invalid(
        "a large one in the room of a small one",
        "bodies",
        bodies(Parts::default().hex([1, 1]).repeat(0, 2_046)),
    );
    let cut = Parts::default().hex([0xFF; 20]);
    v.invalid("an absent id one byte short", "bodies", bodies(join(&[envelope(0, "small"), cut])));
    let lone = Parts::default().hex([1]);
    v.invalid("a version byte alone at the end", "bodies", bodies(join(&[envelope(0, "small"), lone])));
    v.invalid("257 items", "bodies", bodies(Parts::default().repeat(0xFF, 257 * 21)));
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("7.2", "sync_frame");
    let v = &mut vectors;
    add_hello(v, "hello", 480_966, 481_301, 481_302, 1_732_687_200_123);
    add_hello(v, "hello of one hour, all numbers at their ends", u32::MAX, 0, 0, 0);
    let message = json!({ "kind": "negentropy", "message": Parts::default().hex([0x61]).json() });
    add(v, "negentropy: the shortest message", &frame(2, Parts::default().hex([0x61])), message);
    let message = Parts::default().xof("negentropy", 65_536);
    let expect = json!({ "kind": "negentropy", "message": message.json() });
    add(v, "negentropy: the longest", &frame(2, message), expect);
    let ids = |count: usize| Parts::default().xof("pull", count * 20);
    add(v, "pull of one", &frame(3, ids(1)), json!({ "kind": "pull", "count": 1, "ids": ids(1).json() }));
    add(v, "pull of 256", &frame(3, ids(256)), json!({ "kind": "pull", "count": 256, "ids": ids(256).json() }));
    add_bodies(v);
    for reason in [0, 1, 2, 3, 4, 200] {
        let expect = json!({ "kind": "bye", "reason": reason });
        add(v, "bye; 5 and above are polite ends of newer nodes", &frame(5, Parts::default().hex([reason])), expect);
    }

    let bytes = |parts: Parts| json!({ "bytes": parts.json() });
    v.invalid("no room for the kind", "no_kind", bytes(header(0, 1)));
    for kind in [0, 6, 255] {
        v.invalid("no such kind", "kind", bytes(frame(kind, hello(0, 0, 0, 0))));
    }
    let lengths = [(1, 35), (1, 37), (2, 0), (2, 65_537), (3, 0), (3, 19), (3, 21), (3, 5_140), (4, 0), (4, 20)];
    for (kind, length) in lengths.into_iter().chain([(4, 262_145), (5, 0), (5, 2)]) {
        let comment = format!("kind {kind} with {length} bytes");
        v.invalid(&comment, "length", bytes(frame(kind, Parts::default().repeat(0, length))));
    }
    v.invalid("a header that promises 4 GiB", "length", bytes(header(u32::MAX, 2)));
    v.invalid("an empty frame", "not_one_frame", bytes(Parts::default()));
    v.invalid("half a header", "not_one_frame", bytes(Parts::default().hex([2, 0])));
    v.invalid("no kind yet", "not_one_frame", bytes(Parts::default().hex([2, 0, 0, 0])));
    v.invalid("payload cut", "not_one_frame", bytes(header(37, 1).repeat(0, 35)));
    v.invalid("a byte after the frame", "not_one_frame", bytes(frame(5, Parts::default().hex([0])).hex([0])));
    v.invalid("window ends before it begins", "window", bytes(frame(1, hello(0, 2, 1, 0))));
    add_invalid_bodies(v);
    vectors
}

pub(crate) fn id_vectors() -> Vectors {
    let mut vectors = Vectors::new("7.2", "sync_id");
    for (comment, initiator, responder) in [("two salts", "a", "b"), ("the same, other initiator", "b", "a")] {
        let (initiator, responder) = (array::<16>(initiator), array::<16>(responder));
        let preimage = [label("sync"), initiator.to_vec(), responder.to_vec()].concat();
        let salt = *blake3::hash(&preimage).as_bytes();
        let id = array::<32>("envelope id");
        vectors.valid(
            comment,
            json!({ "initiator": hex(initiator), "responder": hex(responder), "id": hex(id) }),
            json!({ "preimage": hex(preimage), "session_salt": hex(salt) }),
            json!({ "sync_id": hex(&blake3::keyed_hash(&salt, &id).as_bytes()[..20]) }),
        );
    }
    vectors
}

//! Records, and messages as they are sealed and opened. SPEC: B4, B9.6.

use serde_json::{Value, json};

use super::{
    Case, Family, Outcome, array, bytes, changed, flipped, hex, number, sample, sample_hex, secret, secret_hex, with,
};
use crate::primitives::x25519::KeyPair;
use crate::record::{self, Decoded, KemRecord, Record};
use crate::seal::{Class, HeadPrefix, Parts, Tag, ad0};
use crate::session::chain::{self, Header, SendingChain};

pub(super) const RECORDS: Family = Family { name: "records", section: "B4", cases: record_cases, run: run_records };
pub(super) const SEAL: Family = Family { name: "message_seal", section: "B4", cases: seal_cases, run: run_seal };
pub(super) const OPEN: Family = Family { name: "message_open", section: "B4", cases: open_cases, run: run_open };

/// `version 1 | class | topic 0 | epoch_hour 494,000`.
pub(super) fn prefix_hex(class: u8) -> Value {
    let hour = 494_000_u32.to_le_bytes();
    hex([&[1, class, 0, 0, 0, 0], hour.as_slice()].concat())
}

/// Records without their padding.
pub(super) fn unpadded(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let bytes = records.iter().map(Record::encoded_len).sum();
    record::encode_into(&mut out, bytes, records).expect("they fit");
    out
}

pub(super) fn some_records() -> Vec<Record> {
    vec![
        Record::Content { message_id: sample("message id"), part: 0, of: 1, bytes: b"\x02\x00hello".to_vec() },
        Record::Acks(vec![sample("acknowledged 1"), sample("acknowledged 2")]),
        Record::Card { shard: 7, addr: sample("addr"), list_version: 1, list_head: sample("list head") },
    ]
}

fn record_cases() -> Vec<Case> {
    let input = |plaintext: &[u8]| json!({ "plaintext": hex(plaintext) });
    let all = unpadded(&some_records());
    let mut padded = all.clone();
    padded.resize(200, 0);
    let later = [&[6, 2, 0, 9, 9, 7, 0, 0, 99, 1, 0, 1], all.as_slice()].concat();
    let kem = |kind: u8, bytes: usize| {
        let data = [&7_u32.to_le_bytes(), vec![0x5a; bytes].as_slice()].concat();
        let length = u16::try_from(data.len()).expect("small").to_le_bytes();
        [&[kind], length.as_slice(), &data].concat()
    };
    let acks = |count: usize, more: usize| {
        let length = u16::try_from(count * 16 + more).expect("small").to_le_bytes();
        [&[2], length.as_slice(), &vec![1; count * 16 + more]].concat()
    };
    vec![
        Case::valid("content, acks and card without padding", input(&all)),
        Case::valid("the same, padded", input(&padded)),
        Case::valid("unknown types are skipped", input(&later)),
        Case::valid("a key of the post-quantum ratchet after others", input(&[all.clone(), kem(3, 1_184)].concat())),
        Case::valid("a ciphertext of it before others", input(&[kem(4, 1_088), all.clone()].concat())),
        Case::valid("what follows type 0 is ignored", input(&[0, 1, 2, 3])),
        Case::valid("60 acknowledgements", input(&acks(60, 0))),
        Case::invalid("record_cut_off", "a length beyond the room", input(&[1, 0xff, 0xff, 0])),
        Case::invalid("record_cut_off", "a type without a length", input(&[1, 0])),
        Case::invalid("content_too_short", "no room for its head", input(&[1, 3, 0, 1, 2, 3])),
        Case::invalid("part_not_below_of", "part 1 of 1", input(&changed_part(&all, 1, 1))),
        Case::invalid("part_not_below_of", "part 0 of 0", input(&changed_part(&all, 0, 0))),
        Case::invalid("acks_count", "61 acknowledgements", input(&acks(61, 0))),
        Case::invalid("acks_count", "none", input(&acks(0, 0))),
        Case::invalid("acks_length", "no multiple of 16", input(&acks(1, 5))),
        Case::invalid("kem_key_length", "1,183 bytes", input(&kem(3, 1_183))),
        Case::invalid("kem_key_length", "no whole epoch", input(&[3, 3, 0, 1, 0, 0])),
        Case::invalid("kem_ciphertext_length", "1,089 bytes", input(&kem(4, 1_089))),
        Case::invalid("card_length", "71 bytes", input(&[&[5, 71, 0], [1; 71].as_slice()].concat())),
    ]
}

fn changed_part(records: &[u8], part: u8, of: u8) -> Vec<u8> {
    let mut records = records.to_vec();
    records[3 + 16..3 + 18].copy_from_slice(&[part, of]);
    records
}

fn run_records(input: &Value) -> Option<Outcome> {
    let plaintext = bytes(&input["plaintext"]);
    let Decoded { records, kem } = record::decode_all(&plaintext)?;
    let records = records.iter().map(|record| match record {
        Record::Content { message_id, part, of, bytes } => {
            json!({ "type": 1, "message_id": hex(message_id), "part": part, "of": of, "bytes": hex(bytes) })
        }
        Record::Acks(ids) => json!({ "type": 2, "message_ids": ids.iter().map(hex).collect::<Vec<_>>() }),
        Record::Card { shard, addr, list_version, list_head } => json!({
            "type": 5, "shard": shard, "addr": hex(addr), "list_version": list_version, "list_head": hex(list_head),
        }),
    });
    let kem = kem.iter().map(|record| match record {
        KemRecord::Key { epoch, key } => json!({ "type": 3, "epoch": epoch, "key": hex(key) }),
        KemRecord::Ciphertext { epoch, ciphertext } => {
            json!({ "type": 4, "epoch": epoch, "ciphertext": hex(ciphertext) })
        }
    });
    let records: Vec<Value> = records.chain(kem).collect();
    Some(Outcome { steps: json!({}), expect: json!({ "records": records }) })
}

fn seal_input(class: u8) -> Value {
    let keys = KeyPair::from_secret(crate::primitives::secret::Secret::new(sample("ratchet key")));
    json!({
        "session_salt": sample_hex::<32>("sid"),
        "header_key": sample_hex::<32>("HK"),
        "chain_key": sample_hex::<32>("CK"),
        "number": 5,
        "header": { "dh": hex(keys.public()), "previous_length": 3, "epoch": 0 },
        "prefix": prefix_hex(class),
        "ephemeral": sample_hex::<32>("E"),
        "records": hex(unpadded(&some_records())),
    })
}

fn seal_cases() -> Vec<Case> {
    let (small, large) = (seal_input(0), seal_input(1));
    let no_records = with(&small, "/records", "".into());
    vec![Case::valid("small", small), Case::valid("small, no records", no_records), Case::valid("large", large)]
}

/// The chain of a seal input.
fn chain_of(input: &Value) -> SendingChain {
    let header = &input["header"];
    SendingChain {
        header_key: secret(&input["header_key"]),
        chain_key: secret(&input["chain_key"]),
        next_number: number(&input["number"]),
        header: Header {
            dh: array(&header["dh"]),
            previous_length: number(&header["previous_length"]),
            epoch: number(&header["epoch"]),
        },
    }
}

fn run_seal(input: &Value) -> Option<Outcome> {
    let (chain, salt) = (chain_of(input), secret(&input["session_salt"]));
    let prefix = HeadPrefix(array(&input["prefix"]));
    let class = if prefix.0[1] == 0 { Class::Small } else { Class::Large };
    let records = record::decode(&bytes(&input["records"])).expect("well formed");
    let tag = chain.tag();
    let ad0 = ad0(&prefix, &tag, &array(&input["ephemeral"]));
    let mut body = Vec::new();
    chain::seal_message(&chain, &salt, &ad0, (&records, None), class.room_bytes(), &mut body).expect("they fit");
    assert_eq!(body.len(), class.body_bytes());
    let message_key = chain.message_key();
    let material = crate::primitives::hash::hkdf::<44>(
        salt.as_bytes(),
        &[message_key.as_bytes()],
        crate::primitives::label!("msg"),
    );
    Some(Outcome {
        steps: json!({
            "ad0": hex(ad0),
            "header_ciphertext": hex(&body[..56]),
            "message_key": secret_hex(&message_key),
            "body_key": hex(&material.as_bytes()[..32]),
            "body_nonce": hex(&material.as_bytes()[32..]),
        }),
        expect: json!({ "tag": hex(tag.0), "body": hex(body) }),
    })
}

/// The envelope that a seal input gives, as an input for opening.
fn open_input(class: u8) -> Value {
    let input = seal_input(class);
    let sealed = run_seal(&input).expect("valid").expect;
    json!({
        "session_salt": input["session_salt"],
        "header_key": input["header_key"],
        "chain_key": input["chain_key"],
        "number": input["number"],
        "peer_dh": input["header"]["dh"],
        "envelope": {
            "prefix": input["prefix"], "tag": sealed["tag"], "ephemeral": input["ephemeral"], "body": sealed["body"],
        },
    })
}

fn open_cases() -> Vec<Case> {
    let small = open_input(0);
    let mut cases = vec![
        Case::valid("small", small.clone()),
        Case::valid("large", open_input(1)),
        Case::invalid("not_authentic", "another number", with(&small, "/number", 6.into())),
        Case::invalid("not_authentic", "another header key", flipped(&small, "/header_key", 0)),
        Case::invalid("not_authentic", "another chain key", flipped(&small, "/chain_key", 0)),
        Case::invalid("not_authentic", "another session", flipped(&small, "/session_salt", 0)),
        Case::invalid("header_of_another_chain", "dh is not the chain's", flipped(&small, "/peer_dh", 0)),
    ];
    for (comment, field, index) in [
        ("version", "prefix", 0),
        ("class", "prefix", 1),
        ("topic", "prefix", 2),
        ("epoch_hour", "prefix", 6),
        ("tag", "tag", 15),
        ("E", "ephemeral", 0),
        ("bit 255 of E's byte", "ephemeral", 31),
        ("header", "body", 0),
        ("header's tag", "body", 55),
        ("body", "body", 56),
        ("padding", "body", 1_945),
        ("body's tag", "body", 1_961),
    ] {
        let input = flipped(&small, &format!("/envelope/{field}"), index);
        cases.push(Case::invalid("flipped_byte", comment, input));
    }
    let shorter = changed(&small, "/envelope/body", |body| body.truncate(1_961));
    cases.push(Case::invalid("body_length", "a byte is missing", shorter));
    cases
}

/// The envelope of an input.
pub(super) struct EnvelopeInput {
    prefix: HeadPrefix,
    tag: Tag,
    ephemeral: [u8; 32],
    body: Vec<u8>,
}

impl EnvelopeInput {
    pub(super) fn new(value: &Value) -> Self {
        Self {
            prefix: HeadPrefix(array(&value["prefix"])),
            tag: Tag(array(&value["tag"])),
            ephemeral: array(&value["ephemeral"]),
            body: bytes(&value["body"]),
        }
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { prefix: self.prefix, tag: self.tag, ephemeral: self.ephemeral, body: &self.body }
    }
}

fn run_open(input: &Value) -> Option<Outcome> {
    let envelope = EnvelopeInput::new(&input["envelope"]);
    Class::of_body(envelope.body.len())?;
    let (header_ciphertext, body) = envelope.body.split_first_chunk()?;
    let ad0 = envelope.parts().ad0();
    let header = Header::open(&secret(&input["header_key"]), number(&input["number"]), &ad0, header_ciphertext)?;
    if hex(header.dh) != input["peer_dh"] {
        return None;
    }
    let message_key = chain::message_key(&secret(&input["chain_key"]));
    let associated_data = chain::body_associated_data(&ad0, header_ciphertext);
    let plaintext = chain::body_key(&secret(&input["session_salt"]), &message_key).open(&associated_data, body)?;
    let records = record::decode(&plaintext)?;
    Some(Outcome {
        steps: json!({ "ad0": hex(ad0), "message_key": secret_hex(&message_key) }),
        expect: json!({
            "header": {
                "dh": hex(header.dh), "previous_length": header.previous_length, "epoch": header.epoch,
            },
            "records": hex(unpadded(&records)),
        }),
    })
}

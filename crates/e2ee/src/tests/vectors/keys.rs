//! The key schedule: tags, steps, chains, the handshake, the post-quantum ratchet. SPEC: B3, B4, B8.

use serde_json::{Value, json};

use super::identity::{bob_prekeys_input, identity, identity_input, prekeys};
use super::{Case, Family, Outcome, array, bytes, changed, hex, number, sample_hex, secret, secret_hex, with};
use crate::handshake::{Agreements, Transcript};
use crate::primitives::hash::sha256;
use crate::primitives::kem::{KemSecret, encapsulate, is_valid_key};
use crate::primitives::label;
use crate::primitives::x25519::{KeyPair, PublicKey};
use crate::session::{chain, post_quantum};
use crate::tests::world::Scripted;

pub(super) const TAGS: Family = Family { name: "tags", section: "B4", cases: tag_cases, run: run_tags };
pub(super) const ROOT_STEP: Family =
    Family { name: "root_step", section: "B4", cases: root_step_cases, run: run_root_step };
pub(super) const CHAIN: Family = Family { name: "chain", section: "B4", cases: chain_cases, run: run_chain };
pub(super) const HANDSHAKE: Family =
    Family { name: "handshake", section: "B3", cases: handshake_cases, run: run_handshake };

pub(super) const POST_QUANTUM: Family =
    Family { name: "post_quantum", section: "B8", cases: post_quantum_cases, run: run_post_quantum };

fn tag_cases() -> Vec<Case> {
    [0, 1, 255, 256, 65_536, u32::MAX]
        .into_iter()
        .map(|n| {
            Case::valid(format!("number {n}"), json!({ "header_key": sample_hex::<32>("header key"), "number": n }))
        })
        .collect()
}

fn run_tags(input: &Value) -> Option<Outcome> {
    let (key, number) = (secret(&input["header_key"]), number(&input["number"]));
    let tag_input = [label!("tag"), &number.to_le_bytes()].concat();
    let header_input = [label!("hdr"), &number.to_le_bytes()].concat();
    let material = crate::primitives::hash::keyed_blake3::<44>(key.as_bytes(), &[&header_input]);
    Some(Outcome {
        steps: json!({ "tag_input": hex(tag_input), "header_input": hex(header_input) }),
        expect: json!({
            "tag": hex(chain::tag(&key, number).0),
            "header_key": hex(&material.as_bytes()[..32]),
            "header_nonce": hex(&material.as_bytes()[32..]),
        }),
    })
}

fn root_step_cases() -> Vec<Case> {
    let input = json!({
        "root": sample_hex::<32>("root"), "shared": sample_hex::<32>("shared"), "epoch": 0, "post_quantum": null,
    });
    let mixed = with(&with(&input, "/epoch", 3.into()), "/post_quantum", sample_hex::<32>("post-quantum"));
    vec![Case::valid("nothing mixed in", input), Case::valid("post-quantum epoch 3 mixed in", mixed)]
}

fn run_root_step(input: &Value) -> Option<Outcome> {
    let post_quantum = (!input["post_quantum"].is_null()).then(|| secret(&input["post_quantum"]));
    let epoch = number(&input["epoch"]);
    let step = chain::step(&secret(&input["root"]), &secret(&input["shared"]), epoch, post_quantum.as_ref());
    Some(Outcome {
        steps: json!({ "info": hex([label!("step"), &epoch.to_le_bytes()].concat()) }),
        expect: json!({
            "root": secret_hex(&step.root),
            "chain_key": secret_hex(&step.chain_key),
            "next_header_key": secret_hex(&step.next_header),
        }),
    })
}

fn chain_cases() -> Vec<Case> {
    let input = |count: u32| json!({ "chain_key": sample_hex::<32>("chain key"), "count": count });
    vec![Case::valid("one message", input(1)), Case::valid("five messages", input(5))]
}

fn run_chain(input: &Value) -> Option<Outcome> {
    let (keys, end) = chain::derive(&secret(&input["chain_key"]), 0, number(&input["count"]));
    let keys: Vec<Value> = keys.iter().map(|(_, key)| secret_hex(key)).collect();
    Some(Outcome { steps: json!({}), expect: json!({ "message_keys": keys, "chain_key": secret_hex(&end) }) })
}

fn handshake_cases() -> Vec<Case> {
    let input = json!({
        "network": sample_hex::<32>("network"),
        "generation": 1,
        "initiator": identity_input("Alice"),
        "responder": identity_input("Bob"),
        "prekeys": bob_prekeys_input(),
        "signed_prekey_public": null,
        "one_time_secret": sample_hex::<32>("one-time prekey"),
        "ephemeral_secret": sample_hex::<32>("EK"),
        "kem_randomness": sample_hex::<32>("m"),
    });
    let mut cases = vec![
        Case::valid("with an invite's prekey", input.clone()),
        Case::valid("without one", with(&input, "/one_time_secret", Value::Null)),
        Case::valid("a later generation", with(&input, "/generation", 7.into())),
    ];
    for point in crate::handshake::tests::SMALL_ORDER {
        let input = with(&input, "/signed_prekey_public", hex(point));
        cases.push(Case::invalid("not_contributory", "the signed prekey is of small order", input));
    }
    cases
}

fn run_handshake(input: &Value) -> Option<Outcome> {
    let (alice, bob) = (identity(&input["initiator"]), identity(&input["responder"]));
    let prekeys = prekeys(&input["prekeys"], &bob);
    let bundle = prekeys.bundle(1).expect("just made");
    let signed_prekey: [u8; 32] = match &input["signed_prekey_public"] {
        Value::Null => *bundle.signed_prekey.public(),
        given => array(given),
    };
    let one_time =
        (!input["one_time_secret"].is_null()).then(|| KeyPair::from_secret(secret(&input["one_time_secret"])));
    let one_time_public = one_time.as_ref().map(KeyPair::public);
    let ephemeral = KeyPair::from_secret(secret(&input["ephemeral_secret"]));
    let (kem_ciphertext, kem_shared) = encapsulate(&bundle.kem_key, &secret(&input["kem_randomness"]));
    let hash = Transcript {
        network: &array(&input["network"]),
        generation: number(&input["generation"]),
        initiator: &alice.public(),
        responder: &bob.public(),
        signed_prekey: &signed_prekey,
        one_time: one_time_public,
        kem_key: &bundle.kem_key,
        ephemeral: ephemeral.public(),
        kem_ciphertext: &kem_ciphertext,
    }
    .hash();
    let spk = PublicKey::new(&signed_prekey);
    let agreements = Agreements::of_initiator(alice.agreement(), &ephemeral, &bob.public(), &spk, one_time_public)?;
    let roots = agreements.roots(&hash, &kem_shared);
    Some(Outcome {
        steps: json!({
            "ephemeral": hex(ephemeral.public()),
            "kem_ciphertext": hex(kem_ciphertext),
            "kem_shared": secret_hex(&kem_shared),
            "transcript_hash": hex(hash),
            "agreements": agreements.as_array().iter().map(secret_hex).collect::<Vec<_>>(),
        }),
        expect: json!({
            "root": secret_hex(&roots.root),
            "initiator_header_key": secret_hex(&roots.initiator_header),
            "responder_header_key": secret_hex(&roots.responder_header),
            "session_salt": secret_hex(&roots.session_salt),
            "signature": hex(alice.sign(&[label!("init"), &hash])),
        }),
    })
}

fn post_quantum_cases() -> Vec<Case> {
    let input = json!({
        "session_salt": sample_hex::<32>("sid"),
        "epoch": 1,
        "key_seed": sample_hex::<64>("d and z"),
        "key": null,
        "kem_randomness": sample_hex::<32>("m"),
        "root": sample_hex::<32>("root"),
        "shared": sample_hex::<32>("shared"),
    });
    let steps = run_post_quantum(&input).expect("valid").steps;
    // The first coefficient becomes 4,095, which is no residue modulo 3,329.
    let beyond = changed(&steps, "/key", |key| (key[0], key[1]) = (0xff, key[1] | 0x0f))["key"].clone();
    let equal = changed(&steps, "/key", |key| (key[0], key[1]) = (0x01, (key[1] & 0xf0) | 0x0d))["key"].clone();
    vec![
        Case::valid("the first epoch", input.clone()),
        Case::valid("a later epoch", with(&input, "/epoch", 70_000.into())),
        Case::invalid("kem_key_modulus", "a coefficient of 4,095", with(&input, "/key", beyond)),
        Case::invalid("kem_key_modulus", "a coefficient of 3,329", with(&input, "/key", equal)),
    ]
}

/// `key`, if given, is what the replier gets in the place of the requester's own.
fn run_post_quantum(input: &Value) -> Option<Outcome> {
    let (requester, own) = KemSecret::generate(&mut Scripted::new(&bytes(&input["key_seed"])));
    let key = if input["key"].is_null() { own } else { array(&input["key"]) };
    is_valid_key(&key).then_some(())?;
    let (sid, epoch) = (secret(&input["session_salt"]), number(&input["epoch"]));
    let (ciphertext, shared) = encapsulate(&key, &secret(&input["kem_randomness"]));
    let mixed_in = post_quantum::mixed_in(&sid, epoch, &key, &ciphertext, &shared);
    let decapsulated = requester.decapsulate(&ciphertext);
    let at_requester = post_quantum::mixed_in(&sid, epoch, requester.public(), &ciphertext, &decapsulated);
    assert_eq!(at_requester.as_bytes(), mixed_in.as_bytes());
    let step = chain::step(&secret(&input["root"]), &secret(&input["shared"]), epoch, Some(&mixed_in));
    Some(Outcome {
        steps: json!({
            "key": hex(key),
            "ciphertext": hex(ciphertext),
            "kem_shared": secret_hex(&shared),
            "key_hash": hex(sha256(&[&key])),
            "ciphertext_hash": hex(sha256(&[&ciphertext])),
        }),
        expect: json!({
            "post_quantum": secret_hex(&mixed_in),
            "root": secret_hex(&step.root),
            "chain_key": secret_hex(&step.chain_key),
            "next_header_key": secret_hex(&step.next_header),
        }),
    })
}

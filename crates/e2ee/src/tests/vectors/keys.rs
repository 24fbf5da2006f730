//! The key schedule: tags, steps, chains, the handshake. SPEC: B3, B4.

use serde_json::{Value, json};

use super::identity::{bob_prekeys_input, identity, identity_input, prekeys};
use super::{Case, Family, Outcome, array, hex, number, sample_hex, secret, secret_hex, with};
use crate::handshake::{Agreements, Transcript};
use crate::primitives::kem::encapsulate;
use crate::primitives::label;
use crate::primitives::x25519::{KeyPair, PublicKey};
use crate::session::chain;

pub(super) const TAGS: Family = Family { name: "tags", section: "B4", cases: tag_cases, run: run_tags };
pub(super) const ROOT_STEP: Family =
    Family { name: "root_step", section: "B4", cases: root_step_cases, run: run_root_step };
pub(super) const CHAIN: Family = Family { name: "chain", section: "B4", cases: chain_cases, run: run_chain };
pub(super) const HANDSHAKE: Family =
    Family { name: "handshake", section: "B3", cases: handshake_cases, run: run_handshake };

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

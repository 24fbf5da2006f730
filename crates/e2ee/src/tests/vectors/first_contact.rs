//! First contacts, sealed and opened. SPEC: B5, B11.7 to B11.9.

use serde_json::{Value, json};

use super::identity::{bob_prekeys_input, envelope_hex, ephemeral, ephemeral_input, identity, identity_input, prekeys};
use super::message::{EnvelopeInput, prefix_hex, some_records, unpadded};
use super::{Case, Family, Outcome, array, bytes, flipped, hex, number, sample, sample_hex, with};
use crate::handshake::{OuterFirstContact, accept, generation_allowed, initiate, recognise, seal_outer};
use crate::identity::{Identity, ListHead};
use crate::prekey::{Bundle, OneTimePrekey};
use crate::primitives::hash::hkdf;
use crate::primitives::label;
use crate::primitives::x25519::clear_top_bit;
use crate::record;
use crate::seal::{HeadPrefix, Sealed};
use crate::tests::world::Scripted;

pub(super) const SEAL: Family = Family { name: "first_contact_seal", section: "B5", cases: seal_cases, run: run_seal };
pub(super) const OPEN: Family = Family { name: "first_contact_open", section: "B5", cases: open_cases, run: run_open };

const NOW_MS: u64 = 494_001 * 3_600_000;

fn one_time_input() -> Value {
    json!({ "secret": sample_hex::<32>("one-time prekey"), "id": "0123456789abcdef" })
}

pub(super) fn one_time(input: &Value) -> Option<OneTimePrekey> {
    (!input.is_null())
        .then(|| OneTimePrekey::generate(&mut Scripted::new(&[bytes(&input["secret"]), bytes(&input["id"])].concat())))
}

/// Bob's bundle, read from an envelope as Alice would.
pub(super) fn bundle(responder: &Value, prekeys_input: &Value) -> Bundle {
    let identity = identity(responder);
    let prekeys = prekeys(prekeys_input, &identity);
    let (prefix, ephemeral) = (HeadPrefix(array(&prefix_hex(0))), ephemeral(&ephemeral_input("E of a bundle", 0)));
    let sealed = prekeys.seal_bundle(&prefix, &[1; 32], &ephemeral).expect("it has one");
    let envelope = EnvelopeInput::new(&envelope_hex(&prefix_hex(0), &sealed));
    Bundle::open(&envelope.parts(), &[1; 32], None, None, prefix.epoch_hour()).expect("valid")
}

fn seal_input() -> Value {
    json!({
        "network": sample_hex::<32>("network"),
        "generation": 1,
        "initiator": identity_input("Alice"),
        "responder": identity_input("Bob"),
        "prekeys": bob_prekeys_input(),
        "one_time": one_time_input(),
        "ephemeral_secret": sample_hex::<32>("EK"),
        "kem_randomness": sample_hex::<32>("m"),
        "ratchet_secret": sample_hex::<32>("first ratchet key"),
        "number": 0,
        "prefix": prefix_hex(0),
        "ephemeral": ephemeral_input("E", 0),
        "records": hex(unpadded(&some_records())),
    })
}

fn seal_cases() -> Vec<Case> {
    let input = seal_input();
    let without = with(&input, "/one_time", Value::Null);
    let repeated = with(&with(&input, "/number", 3.into()), "/ephemeral", ephemeral_input("E of a repetition", 1));
    vec![
        Case::valid("with an invite's prekey", input),
        Case::valid("without one", without),
        Case::valid("a repetition: number 3, another E with bit 255 set", repeated),
    ]
}

/// The envelope, and the session from which it was sealed is gone.
fn seal(input: &Value) -> Sealed {
    seal_as(&identity(&input["initiator"]), input)
}

fn seal_as(alice: &Identity, input: &Value) -> Sealed {
    let bundle = bundle(&input["responder"], &input["prekeys"]);
    let one_time = one_time(&input["one_time"]);
    let named = one_time.as_ref().map(|prekey| (prekey.id(), prekey.public()));
    let script = ["ephemeral_secret", "kem_randomness", "ratchet_secret"].map(|field| bytes(&input[field]));
    let mut script = Scripted::new(&script.concat());
    let (generation, network) = (number(&input["generation"]), array(&input["network"]));
    let mut session = initiate(alice, &bundle, named, generation, &network, NOW_MS, &mut script).expect("usable keys");
    let (prefix, ephemeral) = (HeadPrefix(array(&input["prefix"])), ephemeral(&input["ephemeral"]));
    let records = record::decode(&bytes(&input["records"])).expect("well formed");
    let mut seal = || session.seal_first_contact(&prefix, &records, &ephemeral, &mut script).expect("pending");
    for _ in 0..number(&input["number"]) {
        seal();
    }
    seal().sealed
}

fn run_seal(input: &Value) -> Option<Outcome> {
    let (sealed, bob) = (seal(input), identity(&input["responder"]));
    let envelope = envelope_hex(&input["prefix"], &sealed);
    let prekeys = prekeys(&input["prekeys"], &bob);
    let inbox = &prekeys.inbox_keys()[0].keys;
    let shared = crate::primitives::x25519::agree(inbox.secret(), &sealed.ephemeral).expect("contributory");
    let salt = [clear_top_bit(sealed.ephemeral), *inbox.public()].concat();
    let material = hkdf::<60>(&salt, &[shared.as_bytes()], label!("first"));
    let parsed = EnvelopeInput::new(&envelope);
    let outer = recognise(prekeys.inbox_keys(), &parsed.parts()).expect("it is Bob's");
    let [vt, key, nonce] = [0..16, 16..48, 48..60].map(|range| hex(&material.as_bytes()[range]));
    Some(Outcome {
        steps: json!({
            "outer_salt": hex(salt), "outer_shared": hex(shared.as_bytes()), "vt": vt, "outer_key": key, "outer_nonce": nonce,
            "hs": hex(outer.head().encode(outer.number())),
            "header_ciphertext": hex(outer.header()),
            "body_ciphertext": hex(outer.body()),
        }),
        expect: json!({ "envelope": envelope }),
    })
}

fn open_input() -> Value {
    let input = seal_input();
    json!({
        "network": input["network"],
        "responder": input["responder"],
        "prekeys": input["prekeys"],
        "one_time": input["one_time"],
        "known_list": null,
        "envelope": run_seal(&input).expect("valid").expect["envelope"],
    })
}

/// The input with its hs, header or body changed at `index`, and the outer layer put on again: the inbox key is
/// public, so anybody can who has seen what is inside.
fn resealed(input: &Value, index: usize, change: impl FnOnce(&mut u8)) -> Value {
    let prekeys = prekeys(&input["prekeys"], &identity(&input["responder"]));
    let envelope = EnvelopeInput::new(&input["envelope"]);
    let outer = recognise(prekeys.inbox_keys(), &envelope.parts()).expect("it is Bob's");
    let mut plaintext = inside(&outer);
    change(&mut plaintext[index]);
    let inbox = prekeys.inbox_keys()[0].keys.public();
    let layer = seal_outer(&envelope.parts().prefix, inbox, &ephemeral(&seal_input()["ephemeral"]));
    with(input, "/envelope/body", hex(layer.expect("an honest key").finish(plaintext)))
}

fn inside(outer: &OuterFirstContact) -> Vec<u8> {
    [outer.head().encode(outer.number()).as_slice(), outer.header(), outer.body()].concat()
}

fn open_cases() -> Vec<Case> {
    let input = open_input();
    let list = identity(&identity_input("Alice")).list_head();
    let known = |version: u32, head: [u8; 32]| {
        with(&input, "/known_list", json!({ "list_version": version, "list_head": hex(head) }))
    };
    let mut cases = vec![
        Case::valid("with an invite's prekey", input.clone()),
        Case::valid("the list is known", known(1, list.head)),
        Case::invalid("one_time_prekey_gone", "named, but spent", with(&input, "/one_time", Value::Null)),
        Case::invalid("one_time_prekey_gone", "another id", flipped(&input, "/one_time/id", 0)),
        Case::invalid("older_device_list", "version 2 is known", known(2, list.head)),
        Case::invalid("forked_device_list", "another head for the version", known(1, [7; 32])),
        Case::invalid("other_network", "another network", flipped(&input, "/network", 0)),
        Case::invalid("not_for_us", "another inbox key", flipped(&input, "/prekeys/inbox_secret", 5)),
        Case::invalid("other_prekey", "another SPK", flipped(&input, "/prekeys/signed_prekey_secret", 5)),
        Case::invalid("other_prekey", "another KEM key", flipped(&input, "/prekeys/kem_seed", 5)),
    ];
    for (comment, index) in [
        ("ver", 0),
        ("gen", 1),
        ("bundle_seq", 5),
        ("opk_id", 9),
        ("n", 17),
        ("EK", 21),
        ("A", 53),
        ("S", 85),
        ("D", 117),
        ("list_version", 149),
        ("list_head", 153),
        ("cert", 185),
        ("ct", 249),
        ("sig_i", 1_337),
        ("header", 1_401),
        ("header's tag", 1_456),
        ("body", 1_457),
        ("body's tag", 1_945),
    ] {
        cases.push(Case::invalid("flipped_byte_inside", comment, resealed(&input, index, |byte| *byte ^= 1)));
    }
    cases.push(Case::invalid("number_beyond_window", "n of 256", resealed(&input, 18, |byte| *byte = 1)));
    for (field, index) in [("prefix", 9), ("tag", 0), ("ephemeral", 0), ("ephemeral", 31), ("body", 0), ("body", 1_961)]
    {
        let input = flipped(&input, &format!("/envelope/{field}"), index);
        cases.push(Case::invalid("flipped_byte", field, input));
    }
    cases.extend(later_list_cases(&input));
    cases.extend(generation_cases(&input));
    cases.extend(alarm_cases(&input));
    cases
}

/// Another head for the version that the initiator speaks for.
fn forked(input: &Value) -> Value {
    with(input, "/known_list", json!({ "list_version": 1, "list_head": hex([7; 32]) }))
}

/// A stranger's handshakes of any gen, all else being right.
fn generation_cases(input: &Value) -> Vec<Case> {
    let of = |generation: u32| {
        let seal_input = with(&seal_input(), "/generation", generation.into());
        with(input, "/envelope", run_seal(&seal_input).expect("valid").expect["envelope"].clone())
    };
    vec![
        Case::valid("gen 16 of a stranger", of(16)),
        Case::invalid("generation", "gen 17 of a stranger", of(17)),
        Case::invalid("generation", "gen 0", of(0)),
        Case::invalid("generation", "gen 17, and a forked list: no alarm", forked(&of(17))),
    ]
}

/// Forks that are told although the handshake would fail, and one that is not.
fn alarm_cases(input: &Value) -> Vec<Case> {
    let inside = |index: usize| forked(&resealed(input, index, |byte| *byte ^= 1));
    vec![
        Case::invalid(
            "forked_device_list",
            "a fork, and the OPK is spent",
            forked(&with(input, "/one_time", Value::Null)),
        ),
        Case::invalid("forked_device_list", "a fork, and no such bundle", inside(5)),
        Case::invalid("forked_device_list", "a fork, and another sig_i", inside(1_337)),
        Case::invalid("forked_device_list", "a fork, and a message that does not open", inside(1_457)),
        Case::invalid("signature", "a head that the certificate is not over: no alarm", inside(153)),
    ]
}

/// The initiator speaks for version 3 of her list.
fn later_list_cases(input: &Value) -> Vec<Case> {
    let mut alice = identity(&identity_input("Alice"));
    alice.follow(&ListHead { version: 2, head: sample("head of version 2") }).expect("a version is left");
    let third = alice.list_head();
    let sealed = envelope_hex(&input["envelope"]["prefix"], &seal_as(&alice, &seal_input()));
    let input = with(input, "/envelope", sealed);
    let known = |version: u32, head: [u8; 32]| {
        with(&input, "/known_list", json!({ "list_version": version, "list_head": hex(head) }))
    };
    vec![
        Case::valid("list version 3, nothing is known", input.clone()),
        Case::valid("list version 3, 1 is known", known(1, sample("head of version 1"))),
        Case::valid("list version 3, 2 is known, with another head than follows from it", known(2, [7; 32])),
        Case::valid("list version 3, which is known", known(3, third.head)),
        Case::invalid("older_device_list", "list version 3, 4 is known", known(4, sample("head of version 4"))),
        Case::invalid("forked_device_list", "list version 3, 3 is known with another head", known(3, [7; 32])),
    ]
}

fn run_open(input: &Value) -> Option<Outcome> {
    let bob = identity(&input["responder"]);
    let prekeys = prekeys(&input["prekeys"], &bob);
    let (one_time, envelope) = (one_time(&input["one_time"]), EnvelopeInput::new(&input["envelope"]));
    let known = (!input["known_list"].is_null()).then(|| ListHead {
        version: number(&input["known_list"]["list_version"]),
        head: array(&input["known_list"]["list_head"]),
    });
    let outer = recognise(prekeys.inbox_keys(), &envelope.parts())?;
    generation_allowed(None, outer.generation()).then_some(())?;
    let network = array(&input["network"]);
    let accepted = accept(&bob, &prekeys, one_time.as_ref(), &outer, known.as_ref(), &network, NOW_MS).ok()?;
    let device = outer.device();
    Some(Outcome {
        steps: json!({ "hs": hex(outer.head().encode(outer.number())), "digest": hex(outer.digest()) }),
        expect: json!({
            "account": hex(device.account),
            "signing": hex(device.signing),
            "agreement": hex(device.agreement),
            "generation": outer.generation(),
            "bundle_seq": outer.bundle_seq(),
            "number": outer.number(),
            "session": hex(outer.session_id().0),
            "list_version": outer.list().version,
            "list_head": hex(outer.list().head),
            "records": hex(unpadded(&accepted.records)),
        }),
    })
}

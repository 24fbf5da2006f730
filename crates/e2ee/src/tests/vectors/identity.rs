//! Device lists and bundles. SPEC: B6.

use serde_json::{Value, json};

use super::message::{EnvelopeInput, prefix_hex};
use super::{Case, Family, Outcome, array, bytes, changed, flipped, hex, number, sample, sample_hex, with};
use crate::identity::{DeviceList, Identity, ListHead};
use crate::prekey::{Bundle, Pinned, Prekeys, bundle_key, bundle_tag};
use crate::primitives::aead::OneTimeKey;
use crate::primitives::label;
use crate::primitives::signature::SignatureKey;
use crate::seal::{Ephemeral, HeadPrefix, Sealed};
use crate::tests::world::Scripted;

pub(super) const DEVICE_LIST: Family =
    Family { name: "device_list", section: "B6", cases: device_list_cases, run: run_device_list };
pub(super) const BUNDLE_SEAL: Family =
    Family { name: "bundle_seal", section: "B6", cases: bundle_seal_cases, run: run_bundle_seal };
pub(super) const BUNDLE_OPEN: Family =
    Family { name: "bundle_open", section: "B6", cases: bundle_open_cases, run: run_bundle_open };

const HOUR: u32 = 494_000;

pub(super) fn identity_input(name: &str) -> Value {
    json!({
        "account_seed": sample_hex::<32>(&format!("{name} A")),
        "signing_seed": sample_hex::<32>(&format!("{name} S")),
        "agreement_secret": sample_hex::<32>(&format!("{name} D")),
    })
}

pub(super) fn identity(input: &Value) -> Identity {
    let parts = ["account_seed", "signing_seed", "agreement_secret"].map(|field| bytes(&input[field]));
    Identity::generate(&mut Scripted::new(&parts.concat()))
}

pub(super) fn bob_prekeys_input() -> Value {
    json!({
        "shard": 7,
        "created_hour": HOUR,
        "signed_prekey_secret": sample_hex::<32>("Bob SPK"),
        "kem_seed": sample_hex::<64>("Bob d, z"),
        "inbox_secret": sample_hex::<32>("Bob INB"),
    })
}

/// Prekeys with one bundle, seq 1.
pub(super) fn prekeys(input: &Value, identity: &Identity) -> Prekeys {
    let parts = ["signed_prekey_secret", "kem_seed", "inbox_secret"].map(|field| bytes(&input[field]));
    let mut prekeys = Prekeys::new();
    let mut script = Scripted::new(&parts.concat());
    prekeys.renew(identity, number(&input["shard"]), number(&input["created_hour"]), &mut script);
    prekeys
}

pub(super) fn ephemeral_input(name: &str, top_bit: u8) -> Value {
    json!({ "secret": sample_hex::<32>(name), "top_bit": top_bit })
}

pub(super) fn ephemeral(input: &Value) -> Ephemeral {
    let script = [bytes(&input["secret"]), vec![number(&input["top_bit"]) as u8]].concat();
    Ephemeral::generate(&mut Scripted::new(&script))
}

pub(super) fn envelope_hex(prefix: &Value, sealed: &Sealed) -> Value {
    json!({
        "prefix": prefix, "tag": hex(sealed.tag.0), "ephemeral": hex(sealed.ephemeral), "body": hex(&sealed.body),
    })
}

fn account() -> SignatureKey {
    SignatureKey::generate(&mut Scripted::new(&sample::<32>("Alice A")))
}

/// A rightly signed list of whatever is put in.
fn list_bytes(version: u32, previous: [u8; 32], devices: &[&str]) -> Vec<u8> {
    let mut list = version.to_le_bytes().to_vec();
    list.extend_from_slice(&previous);
    list.push(devices.len() as u8);
    for name in devices {
        list.extend_from_slice(&sample::<64>(name));
    }
    let signature = account().sign(&[label!("device list"), &list]);
    list.extend_from_slice(&signature);
    list
}

fn device_list_cases() -> Vec<Case> {
    let input = |list: Vec<u8>| json!({ "account": hex(account().public()), "list": hex(list) });
    let first = list_bytes(1, [0; 32], &["phone"]);
    let eight = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let nine = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let cut = first[..first.len() - 1].to_vec();
    let trailing = [first.as_slice(), &[0]].concat();
    let foreign = json!({ "account": sample_hex::<32>("no account"), "list": hex(&first) });
    vec![
        Case::valid("the first list, one device", input(first.clone())),
        Case::valid("a later list, eight devices", input(list_bytes(9, sample("head of version 8"), &eight))),
        Case::invalid("list_length", "cut off", input(cut)),
        Case::invalid("list_length", "a byte too much", input(trailing)),
        Case::invalid("device_count", "no device", input(list_bytes(2, [1; 32], &[]))),
        Case::invalid("device_count", "nine devices", input(list_bytes(2, [1; 32], &nine))),
        Case::invalid("device_repeated", "the same device twice", input(list_bytes(2, [1; 32], &["1", "2", "1"]))),
        Case::invalid("list_version", "version 0", input(list_bytes(0, [1; 32], &["1"]))),
        Case::invalid("previous_head", "version 1 with a predecessor", input(list_bytes(1, [1; 32], &["1"]))),
        Case::invalid("previous_head", "version 2 without one", input(list_bytes(2, [0; 32], &["1"]))),
        Case::invalid("signature", "a device's key changed", flipped(&input(first.clone()), "/list", 40)),
        Case::invalid("signature", "the signature changed", flipped(&input(first), "/list", 110)),
        Case::invalid("signature", "of another account", foreign),
    ]
}

fn run_device_list(input: &Value) -> Option<Outcome> {
    let (account, encoded) = (array(&input["account"]), bytes(&input["list"]));
    let list = DeviceList::decode(&encoded, &account).ok()?;
    let ListHead { version, head } = list.head(&account);
    let devices: Vec<Value> = list
        .devices()
        .iter()
        .map(|device| json!({ "signing": hex(device.signing), "agreement": hex(device.agreement) }))
        .collect();
    Some(Outcome {
        steps: json!({ "signed_part": hex(&encoded[..encoded.len() - 64]) }),
        expect: json!({ "version": version, "head": hex(head), "devices": devices }),
    })
}

fn bundle_seal_input() -> Value {
    json!({
        "identity": identity_input("Bob"),
        "prekeys": bob_prekeys_input(),
        "addr": sample_hex::<32>("Bob addr"),
        "prefix": prefix_hex(0),
        "ephemeral": ephemeral_input("bundle E", 0),
    })
}

fn bundle_seal_cases() -> Vec<Case> {
    let input = bundle_seal_input();
    let with_bit = with(&input, "/ephemeral/top_bit", 1.into());
    vec![Case::valid("bit 255 of E clear", input), Case::valid("bit 255 of E set", with_bit)]
}

fn run_bundle_seal(input: &Value) -> Option<Outcome> {
    let identity = identity(&input["identity"]);
    let (prekeys, ephemeral) = (prekeys(&input["prekeys"], &identity), ephemeral(&input["ephemeral"]));
    let (prefix, addr) = (HeadPrefix(array(&input["prefix"])), array(&input["addr"]));
    let sealed = prekeys.seal_bundle(&prefix, &addr, &ephemeral)?;
    let material = bundle_key(&addr, ephemeral.public_raw());
    let (public, list) = (identity.public(), identity.list_head());
    Some(Outcome {
        steps: json!({
            "account": hex(public.account), "signing": hex(public.signing), "agreement": hex(public.agreement),
            "device_list": hex(identity.list().encode()),
            "list_version": list.version, "list_head": hex(list.head), "cert": hex(identity.cert()),
            "bundle": hex(&prekeys.bundle(1)?.signed),
            "week": prefix.epoch_hour() / 168,
            "key": hex(&material.as_bytes()[..32]),
            "nonce": hex(&material.as_bytes()[32..]),
        }),
        expect: json!({ "envelope": envelope_hex(&input["prefix"], &sealed) }),
    })
}

fn bundle_open_input() -> Value {
    let input = bundle_seal_input();
    let outcome = run_bundle_seal(&input).expect("valid");
    json!({
        "addr": input["addr"],
        "account": outcome.steps["account"],
        "pinned": null,
        "now_hour": HOUR + 24,
        "envelope": outcome.expect["envelope"],
    })
}

/// The input with a byte of the bundle inside changed and sealed again by somebody who knows the address.
fn resealed(input: &Value, change: impl FnOnce(&mut Vec<u8>)) -> Value {
    let (envelope, addr) = (EnvelopeInput::new(&input["envelope"]), array(&input["addr"]));
    let (ad0, parts) = (envelope.parts().ad0(), envelope.parts());
    let key = || OneTimeKey::new(&bundle_key(&addr, &parts.ephemeral));
    let mut plaintext = key().open(&ad0, parts.body).expect("valid");
    change(&mut plaintext);
    key().seal(&ad0, &mut plaintext, 0);
    with(input, "/envelope/body", hex(plaintext))
}

fn bundle_open_cases() -> Vec<Case> {
    let input = bundle_open_input();
    let head = ListHead { ..identity(&identity_input("Bob")).list_head() };
    let pinned = |version: u32, head: [u8; 32], seq: u32| {
        with(&input, "/pinned", json!({ "list_version": version, "list_head": hex(head), "seq": seq }))
    };
    let at = |hour: u32| with(&input, "/now_hour", hour.into());
    let large = changed(&input, "/envelope/body", |body| body.resize(16_298, 0));
    let padded = resealed(&input, |plaintext| plaintext[1_520] = 1);
    let mut cases = vec![
        Case::valid("a bundle", input.clone()),
        Case::valid("of an unknown account", with(&input, "/account", Value::Null)),
        Case::valid("the pinned one again", pinned(1, head.head, 1)),
        Case::valid("two hours ahead of our clock", at(HOUR - 2)),
        Case::valid("in its last hour", at(HOUR + 335)),
        Case::valid("the padding is ignored", padded),
        Case::invalid("too_old", "336 hours old", at(HOUR + 336)),
        Case::invalid("from_the_future", "three hours ahead", at(HOUR - 3)),
        Case::invalid("other_account", "not the expected one", with(&input, "/account", sample_hex::<32>("nobody"))),
        Case::invalid("older_than_pinned", "a lower seq", pinned(1, head.head, 2)),
        Case::invalid("older_than_pinned", "an older device list", pinned(2, head.head, 0)),
        Case::invalid("forked_device_list", "another head for the version", pinned(1, sample("another head"), 1)),
        Case::invalid("other_address", "another addr", flipped(&input, "/addr", 0)),
        Case::invalid("body_length", "a large envelope", large),
    ];
    for (comment, index) in [
        ("A", 0),
        ("S", 32),
        ("D", 64),
        ("list_version", 96),
        ("list_head", 100),
        ("cert", 132),
        ("shard", 196),
        ("seq", 200),
        ("created_hour", 204),
        ("SPK", 208),
        ("INB", 240),
        ("ek", 272),
        ("sig", 1_456),
    ] {
        let input = resealed(&input, |plaintext| plaintext[index] ^= 1);
        cases.push(Case::invalid("flipped_byte_inside", comment, input));
    }
    for (field, index) in [("prefix", 9), ("tag", 0), ("ephemeral", 31), ("body", 0), ("body", 1_961)] {
        let input = flipped(&input, &format!("/envelope/{field}"), index);
        cases.push(Case::invalid("flipped_byte", field, input));
    }
    cases.extend(signed_cases(&input));
    cases
}

/// Bundles with the right key and signature, each with one thing in it that counts beside them.
fn signed_cases(input: &Value) -> Vec<Case> {
    let pinned = |input: &Value, version: u32, seq: u32| {
        let head: [u8; 32] = sample("the pinned head");
        with(input, "/pinned", json!({ "list_version": version, "list_head": hex(head), "seq": seq }))
    };
    let (own, other) = (key("Bob A"), key("another A"));
    let list = |version: u32| ListHead { version, head: sample(&format!("head of version {version}")) };
    let on_list = |version: u32| signed(input, "Bob", |bundle| certify(bundle, list(version), &own));
    let later = pinned(&on_list(2), 1, 9);
    let same = with(&later, "/pinned/list_version", 2.into());
    let same = with(&same, "/pinned/list_head", hex(list(2).head));
    let beyond = |bundle: &mut Bundle| bundle.kem_key[..3].copy_from_slice(&[0xff; 3]);
    let by_nobody = signed(input, "nobody", |bundle| bundle.device.signing = identity_of("Bob").public().signing);
    let other_key = |bundle: &mut Bundle| bundle.device.signing = identity_of("nobody").public().signing;
    let other_agreement = |bundle: &mut Bundle| bundle.device.agreement = sample("another D");
    vec![
        Case::valid("signed again, nothing changed", signed(input, "Bob", |_| {})),
        Case::valid("a higher list version with a lower seq", later),
        Case::valid("nine list versions further", pinned(&on_list(10), 1, 1)),
        Case::valid("under the tag of the next week", in_another_week(input)),
        Case::invalid("older_than_pinned", "the pinned list, a lower seq", same),
        Case::invalid("older_than_pinned", "a lower list version, a higher seq", pinned(&on_list(2), 3, 0)),
        Case::invalid("forked_device_list", "another list of the pinned version, a higher seq", {
            pinned(&on_list(2), 2, 0)
        }),
        Case::invalid("list_version", "list version 0, certified", on_list(0)),
        Case::invalid("signature", "cert by another account", {
            signed(input, "Bob", |bundle| certify(bundle, list(2), &other))
        }),
        Case::invalid("signature", "an S that is not certified, and its signature", signed(input, "nobody", other_key)),
        Case::invalid("signature", "a D that is not certified", signed(input, "Bob", other_agreement)),
        Case::invalid("signature", "the signature of another S", by_nobody),
        Case::invalid("kem_key_modulus", "a coefficient of ek beyond the modulus", signed(input, "Bob", beyond)),
    ]
}

fn key(name: &str) -> SignatureKey {
    SignatureKey::generate(&mut Scripted::new(&sample::<32>(name)))
}

fn identity_of(name: &str) -> Identity {
    identity(&identity_input(name))
}

/// The bundle in `input` changed, and signed by `signer`'s S.
fn signed(input: &Value, signer: &str, change: impl FnOnce(&mut Bundle)) -> Value {
    let (envelope, addr) = (EnvelopeInput::new(&input["envelope"]), array(&input["addr"]));
    let mut bundle = Bundle::open(&envelope.parts(), &addr, None, None, HOUR).expect("valid");
    change(&mut bundle);
    resealed(input, |plaintext| plaintext[..1_520].copy_from_slice(&bundle.sign(&identity_of(signer))))
}

/// Another list for the bundle, certified by `account`.
fn certify(bundle: &mut Bundle, list: ListHead, account: &SignatureKey) {
    let (device, version) = (&bundle.device, list.version.to_le_bytes());
    bundle.cert = account.sign(&[label!("device"), &device.signing, &device.agreement, &version, &list.head]);
    bundle.list = list;
}

/// The same bundle under a tag that is not of the week of its epoch hour.
fn in_another_week(input: &Value) -> Value {
    let addr = array(&input["addr"]);
    let envelope = EnvelopeInput::new(&input["envelope"]);
    let key = || OneTimeKey::new(&bundle_key(&addr, &envelope.parts().ephemeral));
    let mut plaintext = key().open(&envelope.parts().ad0(), envelope.parts().body).expect("valid");
    let input = with(input, "/envelope/tag", hex(bundle_tag(&addr, HOUR / 168 + 1).0));
    key().seal(&EnvelopeInput::new(&input["envelope"]).parts().ad0(), &mut plaintext, 0);
    with(&input, "/envelope/body", hex(plaintext))
}

fn run_bundle_open(input: &Value) -> Option<Outcome> {
    let (envelope, addr) = (EnvelopeInput::new(&input["envelope"]), array(&input["addr"]));
    let account = (!input["account"].is_null()).then(|| array(&input["account"]));
    let pinned = (!input["pinned"].is_null()).then(|| Pinned {
        list: ListHead {
            version: number(&input["pinned"]["list_version"]),
            head: array(&input["pinned"]["list_head"]),
        },
        seq: number(&input["pinned"]["seq"]),
    });
    let now_hour = number(&input["now_hour"]);
    let bundle = Bundle::open(&envelope.parts(), &addr, account.as_ref(), pinned.as_ref(), now_hour).ok()?;
    let week = envelope.parts().prefix.epoch_hour() / 168;
    Some(Outcome {
        steps: json!({ "week": week, "tag": hex(bundle_tag(&addr, week).0) }),
        expect: json!({
            "account": hex(bundle.device.account),
            "signing": hex(bundle.device.signing),
            "agreement": hex(bundle.device.agreement),
            "list_version": bundle.list.version,
            "list_head": hex(bundle.list.head),
            "shard": bundle.shard,
            "seq": bundle.seq,
            "created_hour": bundle.created_hour,
            "signed_prekey": hex(bundle.signed_prekey),
            "inbox": hex(bundle.inbox),
            "kem_key": hex(bundle.kem_key.as_slice()),
        }),
    })
}

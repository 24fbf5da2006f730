//! Node descriptors, signed here with ed25519-dalek over bytes put together by hand.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::{Vectors, array, hex, label};

const NOW_S: u64 = 1_732_687_200;

/// What a descriptor says, and every way to spoil it.
#[derive(Clone)]
pub(crate) struct Descriptor {
    pub(crate) seed: &'static str,
    pub(crate) expiry_unix_s: u64,
    pub(crate) addresses: Vec<Vec<u8>>,
}

impl Descriptor {
    pub(crate) fn new(seed: &'static str) -> Self {
        // /ip4/127.0.0.1/udp/7828/quic-v1
        let quic = vec![0x04, 127, 0, 0, 1, 0x91, 0x02, 0x1E, 0x94, 0xCD, 0x03];
        Self { seed, expiry_unix_s: NOW_S + 48 * 3_600, addresses: vec![quic] }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&array(&format!("{} node secret", self.seed)))
    }

    fn onion_key(&self) -> [u8; 32] {
        array(&format!("{} onion key", self.seed))
    }

    fn unsigned(&self) -> Vec<u8> {
        let mut bytes = self.key().verifying_key().to_bytes().to_vec();
        bytes.extend(self.onion_key());
        bytes.extend(self.expiry_unix_s.to_le_bytes());
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            bytes.push(address.len() as u8);
            bytes.extend(address);
        }
        bytes
    }

    fn signed_under(&self, label: &[u8]) -> Vec<u8> {
        let unsigned = self.unsigned();
        let signature = self.key().sign(&[label, &unsigned].concat());
        [unsigned, signature.to_bytes().to_vec()].concat()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.signed_under(&label("node"))
    }
}

fn add_valid(v: &mut Vectors, comment: &str, now_unix_s: u64, descriptor: &Descriptor) {
    v.valid(
        comment,
        json!({
            "node_secret": hex(descriptor.key().to_bytes()), "onion_key": hex(descriptor.onion_key()),
            "expiry_unix_s": descriptor.expiry_unix_s, "now_unix_s": now_unix_s,
            "addresses": descriptor.addresses.iter().map(hex).collect::<Vec<_>>(),
        }),
        json!({ "signed": hex([label("node"), descriptor.unsigned()].concat()) }),
        json!({ "node_key": hex(descriptor.key().verifying_key().to_bytes()), "bytes": hex(descriptor.bytes()) }),
    );
}

fn input(bytes: &[u8], now_unix_s: u64) -> Value {
    json!({ "bytes": hex(bytes), "now_unix_s": now_unix_s })
}

fn add_invalid_form(v: &mut Vectors, good: &Descriptor) {
    let bytes = good.bytes();
    v.invalid("nothing", "length", input(&[], NOW_S));
    v.invalid("cut in the node key", "length", input(&bytes[..31], NOW_S));
    v.invalid("cut in an address", "length", input(&bytes[..80], NOW_S));
    v.invalid("one byte short", "length", input(&bytes[..bytes.len() - 1], NOW_S));
    v.invalid("one byte long", "length", input(&[bytes.as_slice(), &[0]].concat(), NOW_S));
    let with = |addresses: Vec<Vec<u8>>| Descriptor { addresses, ..good.clone() }.bytes();
    v.invalid("no address", "address_count", input(&with(vec![]), NOW_S));
    v.invalid("nine addresses", "address_count", input(&with(vec![vec![4]; 9]), NOW_S));
    v.invalid("an empty address", "address_length", input(&with(vec![vec![4], vec![]]), NOW_S));
    v.invalid("an address of 129 bytes", "address_length", input(&with(vec![vec![4; 129]]), NOW_S));
}

fn add_invalid_signature(v: &mut Vectors, good: &Descriptor) {
    let bytes = good.bytes();
    for (comment, at) in [("node key", 3), ("onion key", 40), ("expiry", 64), ("address", 80), ("signature", 90)] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        v.invalid(&format!("a bit flipped in the {comment}"), "signature", input(&bytes, NOW_S));
    }
    v.invalid("signed without a label", "signature", input(&good.signed_under(b""), NOW_S));
    v.invalid("signed under another label", "signature", input(&good.signed_under(&label("device")), NOW_S));
    // The identity as key, and as R, with s = 0: verifies every message unless the check is strict.
    let mut weak = good.unsigned();
    weak[..32].copy_from_slice(&[&[1], [0; 31].as_slice()].concat());
    let signature = [&[1], [0; 63].as_slice()].concat();
    v.invalid("a key of low order", "signature", input(&[weak, signature].concat(), NOW_S));
}

pub(crate) fn vectors() -> Vectors {
    let mut vectors = Vectors::new("8.3", "descriptor");
    let v = &mut vectors;
    let good = Descriptor::new("alice");
    add_valid(v, "one address", NOW_S, &good);
    add_valid(
        v,
        "eight addresses of 128 bytes",
        NOW_S,
        &Descriptor { addresses: vec![vec![0xA5; 128]; 8], ..good.clone() },
    );
    add_valid(v, "one address of one byte", NOW_S, &Descriptor { addresses: vec![vec![4]], ..good.clone() });
    add_valid(v, "last second of its life", good.expiry_unix_s - 1, &good);
    add_valid(v, "signer's clock an hour ahead", NOW_S - 3_600, &good);
    add_invalid_form(v, &good);
    add_invalid_signature(v, &good);
    v.invalid("expires now", "expired", input(&good.bytes(), good.expiry_unix_s));
    v.invalid(
        "expired at the beginning of time",
        "expired",
        input(&Descriptor { expiry_unix_s: 0, ..good.clone() }.bytes(), 0),
    );
    v.invalid("49 hours and a second ahead", "too_far_ahead", input(&good.bytes(), NOW_S - 3_601));
    let forever = Descriptor { expiry_unix_s: u64::MAX, ..good };
    v.invalid("for ever", "too_far_ahead", input(&forever.bytes(), NOW_S));
    vectors
}

//! Ed25519 where implementations differ: small order, other encodings, cofactor. SPEC: B0.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use serde_json::{Value, json};

use super::{Case, Family, Outcome, array, bytes, hex, sample};
use crate::primitives::hash::sha512;
use crate::primitives::signature::verify;

pub(super) const STRICT: Family = Family { name: "ed25519", section: "B0", cases, run };

/// The group order, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn scalar(name: &str) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&sample(name))
}

/// k of B0.
fn challenge(commitment: &[u8; 32], public: &[u8; 32], message: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&sha512(&[commitment, public, message]))
}

/// What is signed with: scalars and the encodings that go with them, which need not be those of their points.
struct Signer {
    secret: Scalar,
    public: [u8; 32],
    nonce: Scalar,
    commitment: [u8; 32],
}

impl Signer {
    fn honest() -> Self {
        let (secret, nonce) = (scalar("Ed25519 key"), scalar("Ed25519 nonce"));
        let encoded = |scalar: &Scalar| EdwardsPoint::mul_base(scalar).compress().to_bytes();
        Self { public: encoded(&secret), commitment: encoded(&nonce), secret, nonce }
    }

    /// A is `public` with no secret behind it, as those of small order are.
    fn with_public(public: [u8; 32]) -> Self {
        Self { secret: Scalar::ZERO, public, ..Self::honest() }
    }

    /// R is `commitment` with no secret behind it.
    fn with_commitment(commitment: [u8; 32]) -> Self {
        Self { nonce: Scalar::ZERO, commitment, ..Self::honest() }
    }

    /// A has the small-order part `part`.
    fn with_public_part(part: EdwardsPoint) -> Self {
        let honest = Self::honest();
        Self { public: (EdwardsPoint::mul_base(&honest.secret) + part).compress().to_bytes(), ..honest }
    }

    fn input(&self, message: &[u8]) -> Value {
        let s = self.nonce + challenge(&self.commitment, &self.public, message) * self.secret;
        self.input_with(message, s.to_bytes())
    }

    fn input_with(&self, message: &[u8], s: [u8; 32]) -> Value {
        json!({
            "public": hex(self.public), "message": hex(message), "signature": hex([self.commitment, s].concat()),
        })
    }

    /// The first message of which k modulo 8 is `wanted`'s.
    fn message(&self, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let messages = (0..).map(|number: u32| format!("message {number}").into_bytes());
        let modulo_8 = |message: &Vec<u8>| challenge(&self.commitment, &self.public, message).to_bytes()[0] & 7;
        messages.into_iter().find(|message| wanted(modulo_8(message))).expect("one in eight")
    }
}

/// A number by its bytes: the first, the thirty in the middle, the last.
fn encoding(first: u8, others: u8, last: u8) -> [u8; 32] {
    let mut bytes = [others; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

/// Points of small order in all their encodings.
fn small_order() -> [(&'static str, [u8; 32]); 11] {
    let point = |index: usize| EIGHT_TORSION[index].compress().to_bytes();
    [
        ("the identity", point(0)),
        ("the point of order 2", point(4)),
        ("a point of order 4", point(2)),
        ("a point of order 8", point(1)),
        ("another of order 8", point(3)),
        ("the identity, x = 0 with the sign bit", encoding(1, 0, 0x80)),
        ("the identity, y = p + 1", encoding(0xee, 0xff, 0x7f)),
        ("the identity, y = p + 1 with the sign bit", encoding(0xee, 0xff, 0xff)),
        ("the point of order 2, x = 0 with the sign bit", encoding(0xec, 0xff, 0xff)),
        ("a point of order 4, y = p", encoding(0xed, 0xff, 0x7f)),
        ("a point of order 4, y = p with the sign bit", encoding(0xed, 0xff, 0xff)),
    ]
}

fn cases() -> Vec<Case> {
    let refused = |comment: String, input: Value| Case::invalid("signature", comment, input);
    let (honest, order_8) = (Signer::honest(), EIGHT_TORSION[1]);
    let mixed = Signer::with_public_part(order_8);
    let mut cases = vec![
        Case::valid("honest", honest.input(b"message")),
        Case::valid("honest, an empty message", honest.input(b"")),
        Case::valid("A has a part of order 8, k is a multiple of 8", mixed.input(&mixed.message(|k| k == 0))),
        refused("A has a part of order 8, k is no multiple: holds with the cofactor alone".into(), {
            mixed.input(&mixed.message(|k| k % 2 == 1))
        }),
        refused("another message".into(), {
            let input = honest.input(b"message");
            json!({ "public": input["public"], "message": hex(b"Message"), "signature": input["signature"] })
        }),
    ];
    // R and A with small-order parts that cancel each other.
    let (part, k) = (EIGHT_TORSION[5], 3);
    let both = Signer {
        commitment: (EdwardsPoint::mul_base(&mixed.nonce) + part).compress().to_bytes(),
        ..Signer::with_public_part(order_8)
    };
    cases.push(Case::valid("R and A have parts of order 8 that cancel out", both.input(&both.message(|it| it == k))));
    let s = honest.nonce + challenge(&honest.commitment, &honest.public, b"message") * honest.secret;
    cases.push(refused("S plus the group order".into(), honest.input_with(b"message", plus_order(s.to_bytes()))));
    cases.push(refused("S is the group order".into(), {
        let identity = Signer::with_public(EIGHT_TORSION[0].compress().to_bytes());
        Signer { nonce: Scalar::ZERO, commitment: identity.public, ..identity }.input_with(b"message", ORDER)
    }));
    for (name, encoded) in small_order() {
        let signer = Signer::with_public(encoded);
        let comment = format!("A is {name}, and the equation holds without a private key");
        cases.push(refused(comment, signer.input(&signer.message(|k| k == 0))));
    }
    for (name, encoded) in small_order() {
        cases.push(refused(format!("R is {name}"), Signer::with_commitment(encoded).input(b"message")));
    }
    // -k of the part: [S]B - [k]A is of order 8, and encoded as it stands.
    let small = Signer { nonce: Scalar::ZERO, commitment: EIGHT_TORSION[5].compress().to_bytes(), ..mixed };
    let comment = "R is of order 8, and the equation holds without a cofactor";
    cases.push(refused(comment.into(), small.input(&small.message(|k| k == 3))));
    let no_point = (2..).map(|y| encoding(y, 0, 0)).find(|y| CompressedEdwardsY(*y).decompress().is_none());
    let no_point = no_point.expect("every other one");
    cases.push(refused("A is no point".into(), Signer::with_public(no_point).input(b"message")));
    cases.push(refused("R is no point".into(), Signer::with_commitment(no_point).input(b"message")));
    cases
}

fn plus_order(mut s: [u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    for (byte, more) in s.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    s
}

fn run(input: &Value) -> Option<Outcome> {
    let (public, message, signature) = (array(&input["public"]), bytes(&input["message"]), bytes(&input["signature"]));
    let signature: [u8; 64] = signature.try_into().expect("64 bytes");
    let (left, right) = message.split_at(message.len() / 2);
    let commitment = *signature.first_chunk().expect("64 bytes");
    verify(&public, &[left, right], &signature).then(|| Outcome {
        steps: json!({ "challenge": hex(challenge(&commitment, &public, &message).to_bytes()) }),
        expect: json!({ "commitment": hex(commitment) }),
    })
}

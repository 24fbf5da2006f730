//! Forged handshakes: what somebody could send who does not have the keys it takes.

use rand_chacha::ChaCha20Rng;

use super::*;
use crate::primitives::signature::SignatureKey;
use crate::primitives::x25519::PublicKey;
use crate::tests::world::{NETWORK, NOW_MS, World, rng};

/// u-coordinates whose multiples by clamped scalars are all zero, canonical and not: of order 1, 2, 4 and 8 on the
/// curve and on its twist.
pub(crate) const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    one_and(0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    one_and(0xec, 0x7f),
    one_and(0xed, 0x7f),
    one_and(0xee, 0x7f),
];

/// 1 for (0, 0); otherwise 2^255 - 1 with its lowest byte `low` (p - 1, p, p + 1).
const fn one_and(low: u8, high: u8) -> [u8; 32] {
    let mut bytes = if high == 0 { [0; 32] } else { [0xff; 32] };
    bytes[0] = if high == 0 { 1 } else { low };
    bytes[31] = high;
    bytes
}

/// An initiator with keys of the forger's making.
struct Forger {
    account: SignatureKey,
    signing: SignatureKey,
    agreement: Option<KeyPair>,
    device: DevicePublic,
    ephemeral: Option<KeyPair>,
    ephemeral_public: [u8; 32],
}

impl Forger {
    fn new(rng: &mut ChaCha20Rng) -> Self {
        let (account, signing) = (SignatureKey::generate(rng), SignatureKey::generate(rng));
        let (agreement, ephemeral) = (KeyPair::generate(rng), KeyPair::generate(rng));
        let device =
            DevicePublic { account: account.public(), signing: signing.public(), agreement: *agreement.public() };
        let ephemeral_public = *ephemeral.public();
        Self { account, signing, agreement: Some(agreement), device, ephemeral: Some(ephemeral), ephemeral_public }
    }

    /// hs, rightly signed for these keys.
    fn head(&self, world: &mut World) -> Head {
        let bundle = world.bundle();
        let (kem_ciphertext, _) = kem::encapsulate(&bundle.kem_key, &Secret::new([5; 32]));
        let list = ListHead { version: 1, head: [1; 32] };
        let cert = self.account.sign(&[
            label!("device"),
            &self.device.signing,
            &self.device.agreement,
            &list.version.to_le_bytes(),
            &list.head,
        ]);
        let hash = Transcript {
            network: &NETWORK,
            generation: 1,
            initiator: &self.device,
            responder: &bundle.device,
            signed_prekey: &bundle.signed_prekey,
            one_time: None,
            kem_key: &bundle.kem_key,
            ephemeral: &self.ephemeral_public,
            kem_ciphertext: &kem_ciphertext,
        }
        .hash();
        Head {
            generation: 1,
            bundle_seq: bundle.seq,
            one_time_id: 0,
            ephemeral: self.ephemeral_public,
            device: self.device,
            list,
            cert,
            kem_ciphertext: Box::new(kem_ciphertext),
            signature: self.signing.sign(&[label!("init"), &hash]),
        }
    }
}

fn responded(world: &World, head: &Head) -> bool {
    let bundle = world.bob_prekeys.bundle(head.bundle_seq).expect("it lives");
    check_initiator(head, &world.bob.public(), None).is_ok()
        && respond(&world.bob, bundle, None, head, &NETWORK, NOW_MS).is_some()
}

#[test]
fn the_forged_handshakes_below_would_be_accepted_with_honest_keys() {
    let mut world = World::new(1);
    let forger = Forger::new(&mut rng(2));
    assert!(forger.agreement.is_some() && forger.ephemeral.is_some());
    let head = forger.head(&mut world);
    assert!(responded(&world, &head));
}

#[test]
fn small_order_keys_are_all_refused() {
    for point in SMALL_ORDER {
        assert!(PublicKey::new(&point).agree(&Secret::new([7; 32])).is_none());
        let mut world = World::new(1);
        let mut forger = Forger::new(&mut rng(2));
        forger.ephemeral_public = point;
        let head = forger.head(&mut world);
        assert!(!responded(&world, &head), "as EK");
        let mut forger = Forger::new(&mut rng(2));
        forger.device.agreement = point;
        let head = forger.head(&mut world);
        assert!(!responded(&world, &head), "as the device's key");
    }
}

#[test]
fn a_missing_or_foreign_signature_is_refused() {
    let mut world = World::new(1);
    let forger = Forger::new(&mut rng(2));
    let genuine = forger.head(&mut world);
    let other = Forger { ephemeral_public: *KeyPair::generate(&mut rng(3)).public(), ..Forger::new(&mut rng(2)) };
    let signature_of_other = other.head(&mut world).signature;
    for signature in [[0; 64], signature_of_other, forger.signing.sign(&[b"something else"])] {
        let head = Head { signature, ..genuine.clone() };
        assert!(!responded(&world, &head));
    }
    assert!(responded(&world, &genuine));
}

#[test]
fn a_transcript_with_any_other_part_is_refused() {
    let mut world = World::new(1);
    let genuine = Forger::new(&mut rng(2)).head(&mut world);
    let mut other_ciphertext = genuine.kem_ciphertext.clone();
    other_ciphertext[1_000] ^= 1;
    let changed = [
        Head { generation: 2, ..genuine.clone() },
        Head { ephemeral: *KeyPair::generate(&mut rng(9)).public(), ..genuine.clone() },
        Head { kem_ciphertext: other_ciphertext, ..genuine.clone() },
    ];
    assert!(changed.iter().all(|head| !responded(&world, head)));
    let bundle = world.bob_prekeys.bundle(genuine.bundle_seq).expect("it lives");
    assert!(respond(&world.bob, bundle, None, &genuine, &[0; 32], NOW_MS).is_none(), "another network");
    assert!(respond(&world.bob, bundle, Some(&world.one_time), &genuine, &NETWORK, NOW_MS).is_none(), "another prekey");
    assert!(respond(&world.alice, bundle, None, &genuine, &NETWORK, NOW_MS).is_none(), "another responder");
}

/// Who stole Bob's prekey, and his device key too, still cannot speak as Alice, in no generation.
#[test]
fn a_stolen_prekey_does_not_let_one_pose_as_a_peer() {
    let mut world = World::new(1);
    let thief = Forger::new(&mut rng(2));
    let genuine = world.initiated();
    let alice_head = {
        let mut genuine = genuine;
        let envelope = world.seal_first(&mut genuine, &[]);
        recognise(world.bob_prekeys.inbox_keys(), &envelope.parts()).expect("for Bob").head().clone()
    };
    for generation in [1, 2, 16] {
        let mut head = thief.head(&mut world);
        // Alice's public identity and certificate are on every bundle of hers; only her signature is not to be had.
        (head.device, head.list, head.cert) = (alice_head.device, alice_head.list, alice_head.cert);
        head.generation = generation;
        assert!(check_initiator(&head, &world.bob.public(), None).is_ok(), "all that is public fits");
        assert!(!responded(&world, &head));
    }
}

#[test]
fn both_sides_agree_on_all_keys() {
    let mut world = World::new(1);
    let bundle = world.bundle();
    let (device, ephemeral) = (world.alice.agreement(), KeyPair::generate(&mut rng(3)));
    let signed_prekey = PublicKey::new(&bundle.signed_prekey);
    for one_time in [None, Some(&world.one_time)] {
        let public = one_time.map(OneTimePrekey::public);
        let ours = Agreements::of_initiator(device, &ephemeral, &bundle.device, &signed_prekey, public);
        let mut head = Forger::new(&mut rng(4)).head(&mut World::new(1));
        (head.device, head.ephemeral) = (world.alice.public(), *ephemeral.public());
        let own = world.bob_prekeys.bundle(1).expect("it lives");
        let keys = one_time.map(OneTimePrekey::keys);
        let theirs = Agreements::of_responder(world.bob.agreement(), &own.signed_prekey, keys, &head);
        let roots = [ours, theirs].map(|side| side.expect("honest keys").roots(&[1; 32], &Secret::new([2; 32])));
        let [ours, theirs] = roots
            .map(|r| [r.root, r.initiator_header, r.responder_header, r.session_salt].map(|secret| *secret.as_bytes()));
        assert_eq!(ours, theirs);
    }
}

//! Bundles as readers check them, and prekeys over their life.

use crate::identity::{Identity, ListHead};
use crate::prekey::{
    Bundle, BundleError, INBOX_KEYS_MAX, Pinned, Prekeys, bundle_key, bundle_tag, fuzz_bundle, weeks_to_read,
};
use crate::primitives::aead::OneTimeKey;
use crate::seal::{Class, Ephemeral, Sealed, ad0};

use super::world::{ADDR, Envelope, NOW_HOUR, Scripted, World, prefix, rng};

fn opened(envelope: &Envelope, pinned: Option<&Pinned>, now_hour: u32) -> Result<Bundle, BundleError> {
    Bundle::open(&envelope.parts(), &ADDR, None, pinned, now_hour)
}

/// Any plaintext as a holder of the address would seal it.
fn sealed(plaintext: &[u8], ephemeral: &Ephemeral) -> Envelope {
    let (prefix, tag) = (prefix(Class::Small, NOW_HOUR), bundle_tag(&ADDR, NOW_HOUR / 168));
    let mut body = plaintext.to_vec();
    body.resize(1_946, 0);
    let key = OneTimeKey::new(&bundle_key(&ADDR, ephemeral.public_raw()));
    key.seal(&ad0(&prefix, &tag, ephemeral.public_raw()), &mut body, 0);
    Envelope { prefix, sealed: Sealed { tag, ephemeral: *ephemeral.public_raw(), body } }
}

fn plaintext(envelope: &Envelope) -> Vec<u8> {
    let key = OneTimeKey::new(&bundle_key(&ADDR, &envelope.sealed.ephemeral));
    key.open(&envelope.parts().ad0(), &envelope.sealed.body).expect("a bundle")
}

#[test]
fn a_bundle_is_found_opened_and_stored() {
    let mut world = World::new(1);
    let envelope = world.bundle_envelope();
    assert_eq!(envelope.sealed.body.len(), 1_962);
    assert!(weeks_to_read(NOW_HOUR).any(|week| bundle_tag(&ADDR, week) == envelope.tag()));
    let bundle = opened(&envelope, None, NOW_HOUR).expect("valid");
    assert_eq!((bundle.device, bundle.list), (world.bob.public(), world.bob.list_head()));
    assert_eq!((bundle.shard, bundle.seq, bundle.created_hour), (0, 1, NOW_HOUR));
    let stored = serde_json::to_string(&bundle).expect("it encodes");
    assert!(serde_json::from_str::<Bundle>(&stored).expect("it decodes") == bundle);
}

#[test]
fn a_bundle_is_read_for_its_two_weeks_and_only_then() {
    let mut world = World::new(2);
    let envelope = world.bundle_envelope();
    let at = |hour: u32| opened(&envelope, None, hour).is_ok();
    assert!(at(NOW_HOUR - 2) && !at(NOW_HOUR - 3), "two hours before its creation, for clocks differ");
    assert!(at(NOW_HOUR + 335) && !at(NOW_HOUR + 336));
    for hour in NOW_HOUR..NOW_HOUR + 336 {
        assert!(weeks_to_read(hour).any(|week| bundle_tag(&ADDR, week) == envelope.tag()), "hour {hour}");
    }
}

#[test]
fn only_the_address_and_the_expected_account_open_it() {
    let mut world = World::new(3);
    let (envelope, bob, alice) = (world.bundle_envelope(), world.bob.public(), world.alice.public());
    let open = |addr, account| Bundle::open(&envelope.parts(), addr, account, None, NOW_HOUR).map(drop);
    assert_eq!(open(&ADDR, Some(&bob.account)), Ok(()));
    assert_eq!(open(&ADDR, Some(&alice.account)), Err(BundleError::Invalid));
    assert_eq!(open(&[0; 32], None), Err(BundleError::Invalid));
}

#[test]
fn nothing_older_than_what_is_pinned_is_taken() {
    let mut world = World::new(4);
    let old = world.bundle_envelope();
    world.bob_prekeys.renew(&world.bob, 3, NOW_HOUR, &mut world.rng);
    let new = world.bundle_envelope();
    let pinned = opened(&new, None, NOW_HOUR).expect("valid").pinned();
    assert_eq!(opened(&old, Some(&pinned), NOW_HOUR).err(), Some(BundleError::Invalid));
    assert_eq!(opened(&new, Some(&pinned), NOW_HOUR).map(|bundle| bundle.shard), Ok(3), "the same again");
    let list = |version, head| Pinned { list: ListHead { version, head }, seq: 9 };
    let head = pinned.list.head;
    assert_eq!(opened(&new, Some(&list(2, head)), NOW_HOUR).err(), Some(BundleError::Invalid), "an older list");
    let Err(BundleError::ForkedList(fork)) = opened(&new, Some(&list(1, [0; 32])), NOW_HOUR) else {
        panic!("another head for the version");
    };
    assert_eq!((fork.device, fork.list, fork.shard), (world.bob.public(), world.bob.list_head(), 3));
    assert!(opened(&new, Some(&list(0, head)), NOW_HOUR).is_ok(), "a newer list outweighs a lower seq");
}

/// Only the account key makes a fork: a second device certified by it raises the alarm, keys of somebody else's never.
#[test]
fn a_second_device_of_the_same_version_is_a_fork_and_a_forgery_is_not() {
    let mut world = World::new(41);
    let [bob, copy] =
        [[2; 32], [3; 32]].map(|device| Identity::generate(&mut Scripted::new(&[[1; 32], device, device].concat())));
    let mut bundle_of = |identity: &Identity, change: &dyn Fn(&mut Bundle)| {
        let ephemeral = world.ephemeral();
        world.bob_prekeys.renew(identity, 0, NOW_HOUR, &mut world.rng);
        let plaintext = world.bob_prekeys.bundle(world.bob_prekeys.newest().expect("renewed").0).expect("it is there");
        let mut bundle = Bundle::open(&sealed(&plaintext.signed, &ephemeral).parts(), &ADDR, None, None, NOW_HOUR)
            .expect("its own device signed it");
        change(&mut bundle);
        sealed(&bundle.sign(identity), &ephemeral)
    };
    let known = opened(&bundle_of(&bob, &|_| {}), None, NOW_HOUR).expect("valid").pinned();
    let Err(BundleError::ForkedList(fork)) = opened(&bundle_of(&copy, &|_| {}), Some(&known), NOW_HOUR) else {
        panic!("the account signed two lists of version 1");
    };
    assert_eq!((fork.device, fork.list), (copy.public(), copy.list_head()));
    let eve = Identity::generate(&mut rng(7));
    let forgeries: [&dyn Fn(&mut Bundle); 3] = [
        &|bundle| bundle.device.account = bob.public().account,
        &|bundle| (bundle.device.account, bundle.cert) = (bob.public().account, *bob.cert()),
        &|bundle| (bundle.device, bundle.cert, bundle.list.head) = (bob.public(), *bob.cert(), [9; 32]),
    ];
    for forge in forgeries {
        let forged = bundle_of(&eve, forge);
        assert_eq!(opened(&forged, Some(&known), NOW_HOUR).err(), Some(BundleError::Invalid));
    }
}

#[test]
fn every_flipped_byte_of_the_envelope_is_found() {
    let mut world = World::new(5);
    let envelope = world.bundle_envelope();
    for index in 0..envelope.len() {
        assert!(opened(&envelope.flipped(index), None, NOW_HOUR).is_err(), "byte {index}");
    }
}

/// Whoever knows the address can seal anything under it: what is inside must hold by its signatures.
#[test]
fn every_flipped_byte_of_the_bundle_is_found() {
    let mut world = World::new(6);
    let (original, ephemeral) = (world.bundle_envelope(), world.ephemeral());
    let plaintext = plaintext(&original);
    assert!(opened(&sealed(&plaintext, &ephemeral), None, NOW_HOUR).is_ok(), "unchanged, it is valid");
    for index in 0..1_520 {
        let mut flipped = plaintext.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(opened(&sealed(&flipped, &ephemeral), None, NOW_HOUR).is_err(), "byte {index}");
    }
}

#[test]
fn a_kem_key_out_of_range_is_refused_though_rightly_signed() {
    let mut world = World::new(7);
    let (mut bundle, ephemeral) = (world.bundle(), world.ephemeral());
    assert!(opened(&sealed(&bundle.sign(&world.bob), &ephemeral), None, NOW_HOUR).is_ok());
    bundle.kem_key[..3].copy_from_slice(&[0xff; 3]);
    assert!(opened(&sealed(&bundle.sign(&world.bob), &ephemeral), None, NOW_HOUR).is_err());
}

#[test]
fn a_bundle_of_keys_that_the_account_did_not_certify_is_refused() {
    let mut world = World::new(8);
    let (mut bundle, ephemeral) = (world.bundle(), world.ephemeral());
    bundle.device = world.alice.public();
    bundle.device.account = world.bob.public().account;
    assert!(opened(&sealed(&bundle.sign(&world.alice), &ephemeral), None, NOW_HOUR).is_err());
}

#[test]
fn sealing_again_repeats_the_same_signed_bytes_in_another_envelope() {
    let mut world = World::new(9);
    let (first, second) = (world.bundle_envelope(), world.bundle_envelope());
    assert_ne!(first.sealed.body, second.sealed.body);
    assert_eq!(plaintext(&first), plaintext(&second));
}

#[test]
fn without_a_bundle_there_is_nothing_to_seal() {
    let mut world = World::new(10);
    let ephemeral = world.ephemeral();
    assert_eq!(Prekeys::new().seal_bundle(&prefix(Class::Small, NOW_HOUR), &ADDR, &ephemeral), None);
}

#[test]
fn prekeys_are_renewed_and_erased_over_a_year() {
    let (mut rng, mut prekeys) = (rng(11), Prekeys::new());
    let identity = Identity::generate(&mut rng);
    let mut created = Vec::new();
    let mut inboxes: Vec<[u8; 32]> = Vec::new();
    for hour in (NOW_HOUR..NOW_HOUR + 365 * 24).step_by(12) {
        if prekeys.needs_renewal(hour) {
            let seq = prekeys.renew(&identity, 0, hour, &mut rng);
            created.push((seq, hour));
            let newest = prekeys.inbox_keys().last().expect("named by the bundle");
            inboxes.push(*newest.keys.public());
        }
        prekeys.erase(hour);
        assert!(prekeys.inbox_keys().len() <= INBOX_KEYS_MAX);
        for (seq, made) in &created {
            assert_eq!(prekeys.has_bundle(*seq), hour < made + 29 * 24, "bundle {seq} at hour {}", hour - NOW_HOUR);
            let inbox = inboxes[*seq as usize - 1];
            let lives = prekeys.inbox_keys().iter().any(|key| *key.keys.public() == inbox);
            assert!(lives || !prekeys.has_bundle(*seq), "a bundle that can be answered has its inbox key");
        }
    }
    assert!(created.windows(2).all(|pair| pair[1] == (pair[0].0 + 1, pair[0].1 + 168)), "one a week");
    for (index, inbox) in inboxes.iter().enumerate() {
        assert!(*inbox == inboxes[index - index % 4], "four bundles share a key");
        assert!(index < 4 || *inbox != inboxes[index - 4], "the next four have another");
    }
}

#[test]
fn an_inbox_key_ends_29_days_after_the_last_bundle_that_names_it() {
    let (mut rng, mut prekeys) = (rng(12), Prekeys::new());
    let identity = Identity::generate(&mut rng);
    for week in 0..5 {
        prekeys.renew(&identity, 0, NOW_HOUR + week * 168, &mut rng);
    }
    let last_naming = NOW_HOUR + 3 * 168;
    prekeys.erase(last_naming + 29 * 24 - 1);
    assert_eq!(prekeys.inbox_keys().len(), 2);
    prekeys.erase(last_naming + 29 * 24);
    assert_eq!(prekeys.inbox_keys().len(), 1);
}

#[test]
fn hurried_renewals_keep_to_the_limits_and_never_repeat_a_seq() {
    let (mut rng, mut prekeys) = (rng(13), Prekeys::new());
    let identity = Identity::generate(&mut rng);
    for expected in 1..=40 {
        assert_eq!(prekeys.renew(&identity, expected, NOW_HOUR, &mut rng), expected);
        assert!(prekeys.inbox_keys().len() <= INBOX_KEYS_MAX);
    }
    assert!(!prekeys.has_bundle(24) && prekeys.has_bundle(25), "16 are kept");
    prekeys.erase(NOW_HOUR + 30 * 24);
    let stored = serde_json::to_string(&prekeys).expect("it encodes");
    let mut restored: Prekeys = serde_json::from_str(&stored).expect("it decodes");
    assert_eq!(restored.renew(&identity, 0, NOW_HOUR, &mut rng), 41, "also when all bundles are gone");
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_renewal() {
    let (mut rng, mut prekeys) = (rng(14), Prekeys::new());
    let identity = Identity::generate(&mut rng);
    prekeys.renew(&identity, 0, NOW_HOUR + 5_000, &mut rng);
    assert!(prekeys.needs_renewal(NOW_HOUR));
    prekeys.renew(&identity, 0, NOW_HOUR, &mut rng);
    assert!(!prekeys.needs_renewal(NOW_HOUR));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_bundle_or_not(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1_500..1_960)) {
        fuzz_bundle(&bytes);
    }
}

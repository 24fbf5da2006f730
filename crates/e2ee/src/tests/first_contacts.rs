//! First contacts: what gets a stranger a session, and what does not.

use crate::handshake::{
    AcceptError, FIRST_GENERATION, OuterFirstContact, accept, fuzz_first_contact, generation_allowed, initiate,
    recognise, seal_outer,
};
use crate::identity::{Fork, ListHead, ListOrder};
use crate::prekey::OneTimePrekey;
use crate::primitives::x25519::PublicKey;
use crate::record::Record;
use crate::seal::{Class, Ephemeral, Sealed};
use crate::session::{RecoverySigns, SealError, Session, recovery_due};

use super::world::{Envelope, NETWORK, NOW_HOUR, NOW_MS, World, open, prefix, stored, text};

fn outer(world: &World, envelope: &Envelope) -> OuterFirstContact {
    recognise(world.bob_prekeys.inbox_keys(), &envelope.parts()).expect("it is for Bob")
}

fn accept_with(
    world: &World,
    envelope: &Envelope,
    one_time: Option<&OneTimePrekey>,
    known: Option<&ListHead>,
) -> Result<(), AcceptError> {
    let outer = outer(world, envelope);
    accept(&world.bob, &world.bob_prekeys, one_time, &outer, known, &NETWORK, NOW_MS).map(drop)
}

#[test]
fn a_first_contact_opens_a_session_for_both() {
    let mut world = World::new(1);
    let mut alice = world.initiated();
    let card = Record::Card { shard: 7, addr: [8; 32], list_version: 1, list_head: [9; 32] };
    let envelope = world.seal_first(&mut alice, &[text("hello"), card.clone()]);
    let outer = outer(&world, &envelope);
    assert_eq!((*outer.device(), outer.generation(), outer.number()), (world.alice.public(), FIRST_GENERATION, 0));
    assert_eq!((outer.one_time_id(), outer.bundle_seq()), (Some(world.one_time.id()), 1));
    let accepted = world.accept(&envelope).expect("genuine");
    assert_eq!(accepted.records, [text("hello"), card]);
    assert_eq!(accepted.list, world.alice.list_head());
    let mut bob = accepted.session;
    assert_eq!((bob.id(), bob.rank(), *bob.peer()), (alice.id(), alice.rank(), world.alice.public()));
    assert!(alice.first_contact_pending() && !bob.first_contact_pending());
    let reply = world.seal(&mut bob, &[text("reply")]);
    assert_eq!(open(&mut alice, &reply).expect("genuine").records, [text("reply")]);
    assert!(!alice.first_contact_pending());
    let ephemeral = world.ephemeral();
    let late = alice.seal_first_contact(&prefix(Class::Small, NOW_HOUR), &[], &ephemeral, &mut world.rng);
    assert_eq!(late, Err(SealError::NotFirstContact));
}

#[test]
fn it_works_without_an_invite_key() {
    let mut world = World::new(2);
    let bundle = world.bundle();
    let session = initiate(&world.alice, &bundle, None, FIRST_GENERATION, &NETWORK, NOW_MS, &mut world.rng);
    let mut alice = session.expect("usable keys");
    let envelope = world.seal_first(&mut alice, &[text("hello")]);
    assert_eq!(outer(&world, &envelope).one_time_id(), None);
    assert_eq!(world.accept(&envelope).expect("genuine").records, [text("hello")]);
}

#[test]
fn further_copies_carry_further_messages_in_any_order() {
    let mut world = World::new(3);
    let mut alice = world.initiated();
    let copies: Vec<_> = (0..4).map(|i| world.seal_first(&mut alice, &[text(&format!("copy {i}"))])).collect();
    let ordinary = world.seal(&mut alice, &[text("ordinary")]);
    let accepted = world.accept(&copies[2]).expect("genuine");
    let mut bob = accepted.session;
    assert_eq!(accepted.records, [text("copy 2")]);
    assert_eq!(accepted.skipped_added.len(), 2);
    for i in [3, 0] {
        let opened = bob.open_repeated(&outer(&world, &copies[i]), NOW_MS).expect("genuine");
        assert_eq!(opened.records, [text(&format!("copy {i}"))]);
    }
    assert_eq!(open(&mut bob, &ordinary).expect("genuine").records, [text("ordinary")]);
    let reply = world.seal(&mut bob, &[]);
    open(&mut alice, &reply).expect("genuine");
    let next_chain = world.seal(&mut alice, &[]);
    open(&mut bob, &next_chain).expect("genuine");
    let late = bob.open_repeated(&outer(&world, &copies[1]), NOW_MS).expect("its key was kept");
    assert_eq!(late.records, [text("copy 1")]);
    assert_eq!(late.skipped_removed.len(), 1);
}

#[test]
fn a_replay_is_recognised_and_opens_nothing() {
    let mut world = World::new(4);
    let mut alice = world.initiated();
    let (first, second) = (world.seal_first(&mut alice, &[]), world.seal_first(&mut alice, &[]));
    let mut bob = world.accept(&first).expect("genuine").session;
    let digest = outer(&world, &first).digest();
    assert_eq!(digest, outer(&world, &second).digest(), "a repetition is known by the handshake");
    let mut other = world.initiated();
    let other = world.seal_first(&mut other, &[]);
    assert_ne!(digest, outer(&world, &other).digest());
    let before = stored(&bob);
    assert!(bob.open_repeated(&outer(&world, &first), NOW_MS).is_err());
    assert!(bob.open_repeated(&outer(&world, &other), NOW_MS).is_err(), "another session's");
    assert!(alice.open_repeated(&outer(&world, &second), NOW_MS).is_err(), "an initiator's own");
    assert_eq!(before, stored(&bob));
}

#[test]
fn a_far_number_is_refused() {
    let mut world = World::new(5);
    let mut alice = world.initiated();
    let mut last = None;
    for _ in 0..=256 {
        let ephemeral = world.ephemeral();
        let sealed = alice.seal_first_contact(&prefix(Class::Small, NOW_HOUR), &[], &ephemeral, &mut world.rng);
        let message = sealed.expect("acknowledged below");
        alice.note_acked(message.chain, message.number);
        last = Some(message);
    }
    let last = last.expect("some were sealed");
    assert_eq!(last.number, 256);
    assert!(world.accept(&Envelope::small(last.sealed)).is_none());
}

#[test]
fn every_flipped_byte_of_the_envelope_is_found() {
    let mut world = World::new(6);
    let mut alice = world.initiated();
    let envelope = world.seal_first(&mut alice, &[text("hello")]);
    for index in 0..envelope.len() {
        let flipped = envelope.flipped(index);
        assert!(recognise(world.bob_prekeys.inbox_keys(), &flipped.parts()).is_none(), "byte {index}");
    }
    assert!(world.accept(&envelope).is_some());
}

/// The inbox key is public, so anybody can take the outer layer off a copy of his own and put it on again: what is
/// inside must hold by itself.
#[test]
fn every_flipped_byte_inside_the_outer_layer_is_found() {
    let mut world = World::new(7);
    let mut alice = world.initiated();
    let ephemeral = world.ephemeral();
    let hour = prefix(Class::Small, NOW_HOUR);
    let message = alice.seal_first_contact(&hour, &[text("hello")], &ephemeral, &mut world.rng).expect("pending");
    let envelope = Envelope::small(message.sealed);
    let plaintext = inside(&outer(&world, &envelope));
    assert_eq!(plaintext.len(), 1_946);
    let inbox = world.bundle().inbox;
    assert!(world.accept(&resealed(&inbox, &ephemeral, plaintext.clone())).is_some(), "unchanged, it is accepted");
    for index in 0..plaintext.len() {
        let mut flipped = plaintext.clone();
        flipped[index] ^= 1 << (index % 8);
        assert!(world.accept(&resealed(&inbox, &ephemeral, flipped)).is_none(), "byte {index}");
    }
}

fn inside(outer: &OuterFirstContact) -> Vec<u8> {
    [outer.head().encode(outer.number()).as_slice(), outer.header(), outer.body()].concat()
}

fn resealed(inbox: &[u8; 32], ephemeral: &Ephemeral, plaintext: Vec<u8>) -> Envelope {
    let layer = seal_outer(&prefix(Class::Small, NOW_HOUR), inbox, ephemeral).expect("an honest inbox key");
    let tag = layer.tag;
    Envelope::small(Sealed { tag, ephemeral: *ephemeral.public_raw(), body: layer.finish(plaintext) })
}

#[test]
fn the_one_time_prekey_is_the_one_named_or_none() {
    let mut world = World::new(8);
    let mut alice = world.initiated();
    let named = world.seal_first(&mut alice, &[]);
    let other = OneTimePrekey::generate(&mut world.rng);
    assert_eq!(accept_with(&world, &named, None, None), Err(AcceptError::Rejected));
    assert_eq!(accept_with(&world, &named, Some(&other), None), Err(AcceptError::Rejected));
    assert_eq!(accept_with(&world, &named, Some(&world.one_time), None), Ok(()));
    let bundle = world.bundle();
    let session = initiate(&world.alice, &bundle, None, 1, &NETWORK, NOW_MS, &mut world.rng);
    let unnamed = world.seal_first(&mut session.expect("usable keys"), &[]);
    assert_eq!(accept_with(&world, &unnamed, Some(&world.one_time), None), Err(AcceptError::Rejected));
    assert_eq!(accept_with(&world, &unnamed, None, None), Ok(()));
}

#[test]
fn device_lists_go_forward_only_and_a_fork_is_an_alarm() {
    let mut world = World::new(9);
    let mut alice = world.initiated();
    let envelope = world.seal_first(&mut alice, &[]);
    let list = world.alice.list_head();
    let known = |version, head| ListHead { version, head };
    let result = |known: ListHead| accept_with(&world, &envelope, Some(&world.one_time), Some(&known));
    assert_eq!(result(list), Ok(()));
    assert_eq!(result(known(0, [1; 32])), Ok(()));
    assert_eq!(result(known(2, list.head)), Err(AcceptError::Rejected));
    let fork = Fork { device: world.alice.public(), list };
    assert_eq!(result(known(1, [1; 32])), Err(AcceptError::ForkedList(Box::new(fork))));
    assert_eq!(list.compare(&list), ListOrder::Same);
}

#[test]
fn a_fork_is_told_although_the_handshake_would_fail() {
    let mut world = World::new(17);
    let mut alice = world.initiated();
    let ephemeral = world.ephemeral();
    let hour = prefix(Class::Small, NOW_HOUR);
    let message = alice.seal_first_contact(&hour, &[], &ephemeral, &mut world.rng).expect("pending");
    let plaintext = inside(&outer(&world, &Envelope::small(message.sealed)));
    let inbox = world.bundle().inbox;
    let known = ListHead { version: 1, head: [1; 32] };
    let fork = Fork { device: world.alice.public(), list: world.alice.list_head() };
    // bundle_seq, ct, sig_i, the message's header and its body.
    for index in [5, 249, 1_337, 1_401, 1_457] {
        let mut changed = plaintext.clone();
        changed[index] ^= 1;
        let envelope = resealed(&inbox, &ephemeral, changed);
        let result = accept_with(&world, &envelope, Some(&world.one_time), Some(&known));
        assert_eq!(result, Err(AcceptError::ForkedList(Box::new(fork))), "byte {index}");
    }
    let whole = resealed(&inbox, &ephemeral, plaintext);
    assert_eq!(accept_with(&world, &whole, None, Some(&known)), Err(AcceptError::ForkedList(Box::new(fork))));
}

#[test]
fn a_fork_is_not_claimed_by_forgers() {
    let mut world = World::new(10);
    let mut alice = world.initiated();
    let ephemeral = world.ephemeral();
    let hour = prefix(Class::Small, NOW_HOUR);
    let message = alice.seal_first_contact(&hour, &[], &ephemeral, &mut world.rng).expect("pending");
    let mut plaintext = inside(&outer(&world, &Envelope::small(message.sealed)));
    plaintext[160] ^= 1; // in list_head
    let forged = resealed(&world.bundle().inbox, &ephemeral, plaintext);
    let known = world.alice.list_head();
    assert_eq!(accept_with(&world, &forged, Some(&world.one_time), Some(&known)), Err(AcceptError::Rejected));
}

#[test]
fn prekeys_that_were_erased_open_nothing() {
    let mut world = World::new(11);
    let mut alice = world.initiated();
    let envelope = world.seal_first(&mut alice, &[]);
    world.bob_prekeys.renew(&world.bob, 0, NOW_HOUR + 7 * 24, &mut world.rng);
    assert!(world.bob_prekeys.erase(NOW_HOUR + 29 * 24 - 1).is_empty());
    assert!(world.accept(&envelope).is_some());
    assert_eq!(world.bob_prekeys.erase(NOW_HOUR + 29 * 24), [1]);
    assert!(
        recognise(world.bob_prekeys.inbox_keys(), &envelope.parts()).is_some(),
        "INB lives on with the next bundle"
    );
    assert!(world.accept(&envelope).is_none());
}

#[test]
fn nobody_makes_first_contact_with_himself() {
    let mut world = World::new(12);
    let bundle = world.bundle();
    let session = initiate(&world.bob, &bundle, None, 1, &NETWORK, NOW_MS, &mut world.rng);
    let envelope = world.seal_first(&mut session.expect("usable keys"), &[]);
    assert!(world.accept(&envelope).is_none());
}

#[test]
fn a_bundle_with_an_unusable_key_makes_no_session() {
    let mut world = World::new(13);
    let good = world.bundle();
    let mut bad = good.clone();
    bad.signed_prekey = [0; 32];
    assert!(initiate(&world.alice, &bad, None, 1, &NETWORK, NOW_MS, &mut world.rng).is_err());
    let mut bad = good.clone();
    bad.device.agreement = [0; 32];
    assert!(initiate(&world.alice, &bad, None, 1, &NETWORK, NOW_MS, &mut world.rng).is_err());
    assert!(initiate(&world.alice, &good, Some((1, &[0; 32])), 1, &NETWORK, NOW_MS, &mut world.rng).is_err());
    let mut bad = good;
    bad.inbox = [0; 32];
    let session = initiate(&world.alice, &bad, None, 1, &NETWORK, NOW_MS, &mut world.rng);
    let mut session = session.expect("INB is no part of the handshake");
    let (before, ephemeral) = (stored(&session), world.ephemeral());
    let sealed = session.seal_first_contact(&prefix(Class::Small, NOW_HOUR), &[], &ephemeral, &mut world.rng);
    assert_eq!(sealed, Err(SealError::UnusableKey));
    assert_eq!(before, stored(&session));
    assert!(PublicKey::new(&[0; 32]).agree(&crate::primitives::secret::Secret::new([1; 32])).is_none());
}

#[test]
fn strangers_envelopes_are_told_apart() {
    let mut world = World::new(14);
    let (mut alice, _) = world.established();
    let message = world.seal(&mut alice, &[]);
    let bundle = world.bundle_envelope();
    let mut other = World::new(15);
    let mut elsewhere = other.initiated();
    let elsewhere = other.seal_first(&mut elsewhere, &[]);
    for envelope in [&message, &bundle, &elsewhere] {
        assert!(recognise(world.bob_prekeys.inbox_keys(), &envelope.parts()).is_none());
    }
    let mut large = message;
    large.sealed.body.resize(16_298, 0);
    assert!(recognise(world.bob_prekeys.inbox_keys(), &large.parts()).is_none());
}

#[test]
fn bit_255_of_e_is_random_and_bound() {
    let mut world = World::new(16);
    let bits: Vec<bool> = (0..64).map(|_| world.ephemeral().public_raw()[31] & 0x80 != 0).collect();
    assert!(bits.contains(&true) && bits.contains(&false));
    let with_bit = std::iter::repeat_with(|| world.ephemeral()).find(|e| e.public_raw()[31] & 0x80 != 0);
    let with_bit = with_bit.expect("one in two");
    let mut alice = world.initiated();
    let hour = prefix(Class::Small, NOW_HOUR);
    let message = alice.seal_first_contact(&hour, &[text("x")], &with_bit, &mut world.rng).expect("pending");
    assert_eq!(world.accept(&Envelope::small(message.sealed)).expect("genuine").records, [text("x")]);
}

#[test]
fn generations_grow_within_reason() {
    assert!(!generation_allowed(None, 0));
    assert!(generation_allowed(None, 1) && generation_allowed(None, 16) && !generation_allowed(None, 17));
    assert!(generation_allowed(Some(5), 1) && generation_allowed(Some(5), 21) && !generation_allowed(Some(5), 22));
    assert!(generation_allowed(Some(u32::MAX), u32::MAX));
}

#[test]
fn the_rank_is_generation_then_the_smaller_key() {
    let mut world = World::new(17);
    let bundle = world.bundle();
    let mut make = |generation| {
        initiate(&world.alice, &bundle, None, generation, &NETWORK, NOW_MS, &mut world.rng).expect("usable keys")
    };
    let mut sessions: Vec<Session> = [1, 2, 1, 2, 1].into_iter().map(&mut make).collect();
    sessions.sort_by_key(Session::rank);
    for pair in sessions.windows(2) {
        let key = |session: &Session| (session.generation(), std::cmp::Reverse(session.id().0));
        assert!(key(&pair[0]) < key(&pair[1]));
    }
}

#[test]
fn recovery_waits_for_its_signs() {
    const DAY: u64 = 86_400;
    let now = 100 * DAY;
    let signs = RecoverySigns {
        oldest_unacknowledged_unix_s: Some(now - 14 * DAY),
        chain_exhausted: false,
        last_handshake_unix_s: now - 20 * DAY,
        last_recovery_unix_s: None,
        bundle_created_hour: ((now - 3 * DAY) / 3_600) as u32,
    };
    assert!(recovery_due(&signs, now));
    assert!(!recovery_due(&RecoverySigns { oldest_unacknowledged_unix_s: Some(now - 14 * DAY + 1), ..signs }, now));
    assert!(!recovery_due(&RecoverySigns { oldest_unacknowledged_unix_s: None, ..signs }, now));
    assert!(recovery_due(&RecoverySigns { oldest_unacknowledged_unix_s: None, chain_exhausted: true, ..signs }, now));
    assert!(!recovery_due(&RecoverySigns { last_handshake_unix_s: now - 2 * DAY, ..signs }, now), "no newer bundle");
    assert!(!recovery_due(&RecoverySigns { last_recovery_unix_s: Some(now - DAY + 1), ..signs }, now), "one a day");
    assert!(recovery_due(&RecoverySigns { last_recovery_unix_s: Some(now - DAY), ..signs }, now));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_first_contact_or_not(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1_946)) {
        bytes[0] = 1;
        fuzz_first_contact(&bytes);
        fuzz_first_contact(&bytes[..1_945]);
    }
}

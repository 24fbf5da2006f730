//! What a peer could do that holds the session's keys and does not keep to the protocol.

mod post_quantum;

use super::*;
use crate::seal::{HEADER_BYTES, Parts};
use crate::tests::world::{Envelope, NOW_MS, World, open, position, stored, text};

/// Alice's next message with her chain's header changed by `change`, delivered to Bob. He must refuse it and stay as
/// he was; the message as it should have been must still open afterwards.
fn refused(world: &mut World, alice: &mut Session, bob: &mut Session, change: impl FnOnce(&mut Header)) {
    let mut chain = alice.sending.clone().expect("Alice has sent");
    change(&mut chain.header);
    let honest = alice.sending.replace(chain);
    let before = (alice.chains_sent, alice.own_dh.clone());
    let evil = world.seal(alice, &[text("evil")]);
    alice.sending = honest;
    (alice.chains_sent, alice.own_dh) = before;
    let before = stored(bob);
    let position = position(bob, evil.tag()).expect("the tag is the right one");
    assert!(bob.open(position, &evil.parts(), NOW_MS).is_err());
    assert_eq!(before, stored(bob));
    let good = world.seal(alice, &[text("good")]);
    assert_eq!(open(bob, &good).expect("genuine").records, [text("good")]);
}

/// Both ends, with a chain of Alice's begun but not yet seen by Bob.
fn before_a_step(seed: u64) -> (World, Session, Session) {
    let mut world = World::new(seed);
    let (mut alice, mut bob) = world.established();
    for round in 0..3 {
        let message = world.seal(&mut alice, &[]);
        if round == 2 {
            open(&mut bob, &message).expect("genuine");
        }
    }
    let reply = world.seal(&mut bob, &[]);
    open(&mut alice, &reply).expect("genuine");
    world.seal(&mut alice, &[]);
    (world, alice, bob)
}

#[test]
fn a_header_of_another_chain_is_refused() {
    let (mut world, mut alice, mut bob) = before_a_step(1);
    let message = world.seal(&mut alice, &[]);
    open(&mut bob, &message).expect("genuine");
    refused(&mut world, &mut alice, &mut bob, |header| header.dh = [9; 32]);
}

#[test]
fn a_false_previous_length_is_refused() {
    for previous_length in [0, 2, 3 + 257, u32::MAX] {
        let (mut world, mut alice, mut bob) = before_a_step(2);
        assert_eq!(bob.receiving.as_ref().map(|chain| chain.next_number), Some(3));
        refused(&mut world, &mut alice, &mut bob, |header| header.previous_length = previous_length);
    }
}

#[test]
fn a_previous_length_at_the_limit_is_followed() {
    let (mut world, mut alice, mut bob) = before_a_step(3);
    alice.sending.as_mut().expect("begun").header.previous_length = 3 + 256;
    let message = world.seal(&mut alice, &[]);
    assert_eq!(open(&mut bob, &message).expect("within the limit").skipped_added.len(), 256 + 1);
}

#[test]
fn a_claimed_post_quantum_epoch_is_refused() {
    for epoch in [1, 2, u32::MAX] {
        let (mut world, mut alice, mut bob) = before_a_step(4);
        refused(&mut world, &mut alice, &mut bob, |header| header.epoch = epoch);
    }
}

#[test]
fn a_ratchet_key_of_small_order_is_refused() {
    for dh in crate::handshake::tests::SMALL_ORDER {
        let (mut world, mut alice, mut bob) = before_a_step(5);
        refused(&mut world, &mut alice, &mut bob, |header| header.dh = dh);
    }
}

#[test]
fn a_chain_that_cannot_have_begun_is_refused() {
    let mut world = World::new(6);
    let (mut alice, mut bob) = world.established();
    let message = world.seal(&mut alice, &[]);
    open(&mut bob, &message).expect("genuine");
    assert!(bob.own_dh.is_none(), "Bob has not answered, so Alice cannot have begun a chain");
    let begun = alice.begin_chain(None, &mut world.rng).expect("keys are usable");
    assert!(begun.is_none());
    let chain = SendingChain {
        header_key: alice.next_sending_header.clone(),
        chain_key: Secret::new([1; 32]),
        next_number: 0,
        header: Header { dh: [9; 32], previous_length: 2, epoch: 0 },
    };
    alice.sending = Some(chain);
    let evil = world.seal(&mut alice, &[]);
    let before = stored(&bob);
    let position = position(&bob, evil.tag()).expect("the next chain is watched");
    assert!(bob.open(position, &evil.parts(), NOW_MS).is_err());
    assert_eq!(before, stored(&bob));
}

#[test]
fn a_number_beyond_the_window_is_neither_watched_nor_opened() {
    let mut world = World::new(7);
    let (mut alice, mut bob) = world.established();
    let start = world.seal(&mut alice, &[]);
    open(&mut bob, &start).expect("genuine");
    let far = loop {
        let message = world.seal_message(&mut alice, &[]);
        alice.note_acked(message.chain, message.number);
        if message.number == 1 + 256 {
            break message;
        }
    };
    let chain = bob.chains_received - 1;
    let envelope = Envelope::small(far.sealed);
    assert_eq!(position(&bob, envelope.tag()), None);
    let before = stored(&bob);
    assert!(bob.open(Position { chain, number: far.number }, &envelope.parts(), NOW_MS).is_err());
    assert!(bob.open(Position { chain: chain + 1, number: far.number }, &envelope.parts(), NOW_MS).is_err());
    assert!(bob.open(Position { chain: u32::MAX, number: u32::MAX }, &envelope.parts(), NOW_MS).is_err());
    assert_eq!(before, stored(&bob));
}

#[test]
fn malformed_records_change_nothing() {
    let mut world = World::new(8);
    let (mut alice, mut bob) = world.established();
    let start = world.seal(&mut alice, &[]);
    open(&mut bob, &start).expect("genuine");
    let envelope = with_plaintext(&mut world, &alice, |plaintext| plaintext[..3].copy_from_slice(&[1, 0xff, 0xff]));
    let before = stored(&bob);
    let position = position(&bob, envelope.tag()).expect("watched");
    assert!(bob.open(position, &envelope.parts(), NOW_MS).is_err());
    assert_eq!(before, stored(&bob));
    let same_but_well_formed = with_plaintext(&mut world, &alice, |plaintext| plaintext[0] = 0);
    assert!(bob.open(position, &same_but_well_formed.parts(), NOW_MS).is_ok());
}

/// Alice's next message with a plaintext of her own making.
fn with_plaintext(world: &mut World, alice: &Session, make: impl FnOnce(&mut [u8])) -> Envelope {
    let chain = alice.sending.as_ref().expect("Alice has sent");
    let ephemeral = world.ephemeral();
    let prefix = crate::tests::world::prefix(Class::Small, crate::tests::world::NOW_HOUR);
    let (tag, mut body) = (chain.tag(), Vec::new());
    let ad0 = ad0(&prefix, &tag, ephemeral.public_raw());
    chain.header.write(&mut body);
    chain::header_key(&chain.header_key, chain.next_number).seal(&ad0, &mut body, 0);
    let associated_data = chain::body_associated_data(&ad0, &body);
    body.resize(HEADER_BYTES + Class::Small.room_bytes(), 0);
    make(&mut body[HEADER_BYTES..]);
    chain::body_key(&alice.session_salt, &chain.message_key()).seal(&associated_data, &mut body, HEADER_BYTES);
    Envelope { prefix, sealed: Sealed { tag, ephemeral: *ephemeral.public_raw(), body } }
}

#[test]
fn every_flipped_byte_of_a_message_is_found() {
    let mut world = World::new(9);
    let (mut alice, mut bob) = world.established();
    let overtaken = world.seal(&mut alice, &[text("overtaken")]);
    let current = world.seal(&mut alice, &[text("current")]);
    for (name, envelope) in [("next chain", &current), ("skipped", &overtaken)] {
        let before = stored(&bob);
        let position = position(&bob, envelope.tag()).expect("watched");
        for index in 0..envelope.len() {
            let flipped = envelope.flipped(index);
            assert!(bob.open(position, &flipped.parts(), NOW_MS).is_err(), "{name}, byte {index}");
        }
        assert_eq!(before, stored(&bob), "{name}");
        assert!(bob.open(position, &envelope.parts(), NOW_MS).is_ok(), "{name}");
    }
    let envelope = world.seal(&mut alice, &[text("in the current chain")]);
    let position = position(&bob, envelope.tag()).expect("watched");
    for index in 0..envelope.len() {
        assert!(bob.open(position, &envelope.flipped(index).parts(), NOW_MS).is_err(), "current chain, byte {index}");
    }
    assert!(bob.open(position, &envelope.parts(), NOW_MS).is_ok());
}

#[test]
fn bodies_of_other_lengths_are_refused() {
    let mut world = World::new(10);
    let (mut alice, mut bob) = world.established();
    let envelope = world.seal(&mut alice, &[]);
    let position = position(&bob, envelope.tag()).expect("watched");
    for length in [0, 1, 55, 56, 72, 1_961, 1_963, 16_298, 20_000] {
        let mut body = envelope.sealed.body.clone();
        body.resize(length, 0);
        let parts = Parts { body: &body, ..envelope.parts() };
        assert!(bob.open(position, &parts, NOW_MS).is_err(), "{length} bytes");
    }
}

#[test]
fn a_squatted_tag_costs_nothing_but_a_try() {
    let mut world = World::new(11);
    let (mut alice, mut bob) = world.established();
    let genuine = world.seal(&mut alice, &[text("genuine")]);
    let mut garbage = genuine.clone();
    garbage.sealed.body.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(7));
    let before = stored(&bob);
    for _ in 0..3 {
        assert!(open(&mut bob, &garbage).is_none());
    }
    assert_eq!(before, stored(&bob));
    assert_eq!(open(&mut bob, &genuine).expect("still watched").records, [text("genuine")]);
    assert!(open(&mut bob, &genuine).is_none(), "a replay finds no tag");
}

#[test]
fn acknowledgements_of_other_chains_and_of_what_was_never_sent_make_no_room() {
    let mut world = World::new(12);
    let (mut alice, mut bob) = world.established();
    let mut last = world.seal_message(&mut alice, &[]);
    while alice.can_send() {
        last = world.seal_message(&mut alice, &[]);
    }
    alice.note_acked(ChainId(last.chain.0 + 1), 0);
    alice.note_acked(ChainId(last.chain.0 - 1), 0);
    alice.note_acked(last.chain, last.number + 1);
    assert!(alice.chain_exhausted());
    alice.note_acked(last.chain, 0);
    assert!(alice.can_send());
    let _ = &mut bob;
}

#[test]
fn secrets_of_the_past_are_not_in_the_record() {
    let (mut world, mut alice, mut bob) = before_a_step(13);
    let past = [
        alice.sending.as_ref().expect("begun").chain_key.clone(),
        alice.root.clone(),
        alice.own_dh.clone().expect("a chain has begun"),
    ];
    for _ in 0..2 {
        let message = world.seal(&mut alice, &[]);
        open(&mut bob, &message).expect("genuine");
        let reply = world.seal(&mut bob, &[]);
        open(&mut alice, &reply).expect("genuine");
    }
    world.seal(&mut alice, &[]);
    let record = String::from_utf8(stored(&alice)).expect("JSON is text");
    for secret in past {
        let text = serde_json::to_string(&secret).expect("it encodes");
        assert!(!record.contains(&text));
    }
    let present = serde_json::to_string(&alice.root).expect("it encodes");
    assert!(record.contains(&present), "the search finds what is there");
}

#[test]
fn any_header_bytes_are_a_header_or_not() {
    for length in 0..60 {
        fuzz_header(&vec![7; length]);
    }
}

//! The post-quantum ratchet inside sessions: what it carries, what it heals, what it refuses.

use super::*;
use crate::seal::Ephemeral;
use crate::session::post_quantum::mixed_in;

/// Bytes of a text that fills a message.
const FULL_TEXT_BYTES: usize = 1_890 - 21;

fn full_text(fill: u8) -> Record {
    Record::Content { message_id: [fill; 16], part: 0, of: 1, bytes: vec![fill; FULL_TEXT_BYTES] }
}

fn copy(session: &Session) -> Session {
    serde_json::from_slice(&stored(session)).expect("it decodes")
}

/// Exchanges messages until Alice's next one asks for epoch 1.
fn about_to_ask(seed: u64) -> (World, Session, Session) {
    let mut world = World::new(seed);
    let (mut alice, mut bob) = world.established();
    while alice.post_quantum_bytes(NOW_MS) == 0 {
        let message = world.seal(&mut alice, &[]);
        open(&mut bob, &message).expect("genuine");
        let reply = world.seal(&mut bob, &[]);
        open(&mut alice, &reply).expect("genuine");
    }
    (world, alice, bob)
}

/// `from`'s next message, opened by `to`.
fn pass(world: &mut World, from: &mut Session, to: &mut Session, records: &[Record]) {
    let message = world.seal(from, records);
    assert_eq!(message.len(), 2_048 - 28, "every small envelope has the same size");
    assert_eq!(open(to, &message).expect("genuine").records, records, "the ratchet's own records are not told");
}

#[test]
fn a_ping_pong_passes_an_epoch_every_19_messages_and_both_sides_agree() {
    let mut world = World::new(30);
    let (mut alice, mut bob) = world.established();
    // The answer to the first contact was message 2.
    for message in 3..=19 * 5 {
        let [from, to] = if message % 2 == 1 { [&mut alice, &mut bob] } else { [&mut bob, &mut alice] };
        pass(&mut world, from, to, &[text("short")]);
        assert_eq!(alice.post_quantum_epoch(), bob.post_quantum_epoch(), "after message {message}");
    }
    assert!(alice.post_quantum_epoch() >= 4, "{}", alice.post_quantum_epoch());
}

#[test]
fn nothing_of_the_caller_is_displaced_and_nothing_is_added_to_the_size() {
    let (mut world, mut alice, mut bob) = about_to_ask(31);
    pass(&mut world, &mut alice, &mut bob, &[full_text(1)]);
    assert_eq!((alice.post_quantum_bytes(NOW_MS), bob.post_quantum_bytes(NOW_MS)), (1_191, 0), "asked, had no room");
    let one_byte_too_many =
        Record::Content { message_id: [1; 16], part: 0, of: 1, bytes: vec![1; FULL_TEXT_BYTES - 1_191 + 1] };
    let fits = Record::Content { message_id: [1; 16], part: 0, of: 1, bytes: vec![1; FULL_TEXT_BYTES - 1_191] };
    pass(&mut world, &mut alice, &mut bob, &[one_byte_too_many]);
    assert_eq!(bob.post_quantum_bytes(NOW_MS), 0);
    pass(&mut world, &mut alice, &mut bob, &[fits]);
    assert_eq!(bob.post_quantum_bytes(NOW_MS), 1_095, "Bob is to answer");
    pass(&mut world, &mut bob, &mut alice, &[full_text(2)]);
    assert_eq!(alice.post_quantum_bytes(NOW_MS), 1_191, "not answered");
    pass(&mut world, &mut bob, &mut alice, &[]);
    assert_eq!(alice.post_quantum_bytes(NOW_MS), 0, "answered");
}

#[test]
fn a_first_contact_has_no_room_and_counts() {
    let mut world = World::new(32);
    let mut alice = world.initiated();
    for _ in 0..20 {
        let first = world.seal_first(&mut alice, &[]);
        assert!(world.accept(&first).is_some());
    }
    assert_eq!(alice.post_quantum_bytes(NOW_MS), 1_191, "an ordinary message would ask");
    assert!(!alice.post_quantum_overdue(u64::MAX), "the peer may not know the session yet");
}

#[test]
fn a_record_in_an_overtaken_message_counts_as_in_any_other() {
    let (mut world, mut alice, mut bob) = about_to_ask(33);
    let asking = world.seal(&mut alice, &[]);
    let full = world.seal(&mut alice, &[full_text(1)]);
    open(&mut bob, &full).expect("genuine");
    assert_eq!(bob.post_quantum_bytes(NOW_MS), 0);
    open(&mut bob, &asking).expect("its key was kept");
    let answering = world.seal(&mut bob, &[]);
    let full = world.seal(&mut bob, &[full_text(2)]);
    open(&mut alice, &full).expect("genuine");
    // Alice's next chain begins without the epoch: she has not seen the answer.
    pass(&mut world, &mut alice, &mut bob, &[]);
    assert_eq!((alice.post_quantum_epoch(), bob.post_quantum_epoch()), (0, 0));
    open(&mut alice, &answering).expect("its key was kept");
    pass(&mut world, &mut bob, &mut alice, &[]);
    pass(&mut world, &mut alice, &mut bob, &[]);
    assert_eq!((alice.post_quantum_epoch(), bob.post_quantum_epoch()), (1, 1));
}

#[test]
fn a_flipped_byte_in_a_message_with_a_record_changes_nothing() {
    let (mut world, mut alice, mut bob) = about_to_ask(34);
    let asking = world.seal(&mut alice, &[]);
    let (before, position) = (stored(&bob), position(&bob, asking.tag()).expect("watched"));
    for index in (0..asking.len()).step_by(7) {
        assert!(bob.open(position, &asking.flipped(index).parts(), NOW_MS).is_err(), "byte {index}");
    }
    assert_eq!(before, stored(&bob));
    open(&mut bob, &asking).expect("genuine");
    assert_eq!(bob.post_quantum_bytes(NOW_MS), 1_095);
}

#[test]
fn a_claimed_epoch_is_refused_whatever_is_pending() {
    let (mut world, mut alice, mut bob) = about_to_ask(35);
    pass(&mut world, &mut alice, &mut bob, &[]);
    pass(&mut world, &mut bob, &mut alice, &[]);
    assert!(alice.post_quantum.to_send().is_some() && bob.post_quantum.to_receive(1).is_some());
    world.seal(&mut alice, &[]);
    for epoch in [2, 3, u32::MAX] {
        let (mut world, mut alice, mut bob) = (World::new(36), copy(&alice), copy(&bob));
        refused(&mut world, &mut alice, &mut bob, |header| header.epoch = epoch);
    }
    // The right number over a step without the secret, and the other way round.
    let (mut world, mut alice, mut bob) = before_a_step(37);
    refused(&mut world, &mut alice, &mut bob, |header| header.epoch = 1);
    let (mut world, mut alice, mut bob) = about_to_ask(38);
    pass(&mut world, &mut alice, &mut bob, &[]);
    pass(&mut world, &mut bob, &mut alice, &[]);
    world.seal(&mut alice, &[]);
    assert_eq!(alice.post_quantum_epoch(), 1);
    refused(&mut world, &mut alice, &mut bob, |header| header.epoch = 0);
    assert_eq!(bob.post_quantum_epoch(), 1, "what was refused did not use the epoch up");
}

#[test]
fn a_message_that_is_not_sealed_moves_nothing() {
    let (mut world, mut alice, mut bob) = about_to_ask(39);
    let too_long = Record::Content { message_id: [1; 16], part: 0, of: 1, bytes: vec![1; FULL_TEXT_BYTES + 1] };
    let prefix = crate::tests::world::prefix(Class::Small, crate::tests::world::NOW_HOUR);
    let fails = |world: &mut World, session: &mut Session| {
        let (ephemeral, before) = (Ephemeral::generate(&mut world.rng), stored(session));
        let records = std::slice::from_ref(&too_long);
        let sealed = session.seal(Class::Small, &prefix, records, &ephemeral, NOW_MS, &mut world.rng);
        assert!(sealed.is_err());
        assert_eq!(before, stored(session));
    };
    fails(&mut world, &mut alice);
    pass(&mut world, &mut alice, &mut bob, &[]);
    fails(&mut world, &mut bob);
    pass(&mut world, &mut bob, &mut alice, &[]);
    assert!(alice.post_quantum.to_send().is_some() && alice.needs_step());
    fails(&mut world, &mut alice);
    pass(&mut world, &mut alice, &mut bob, &[]);
    assert_eq!((alice.post_quantum_epoch(), bob.post_quantum_epoch()), (1, 1));
}

/// Somebody who stole Bob's session, and to whom every X25519 secret that Bob has later is known, as to a quantum
/// computer.
struct Thief {
    stolen: Session,
}

impl Thief {
    /// Reads a message of Alice's as Bob is about to, having made the step of the chain on which Bob wrote meanwhile.
    fn reads(&mut self, bob: &Session, message: &Envelope) -> bool {
        if let (None, Some(secret)) = (&self.stolen.own_dh, &bob.own_dh) {
            let shared = self.stolen.peer_dh.agree(secret).expect("an honest key");
            self.stolen.root = chain::step(&self.stolen.root, &shared, 0, None).root;
            self.stolen.own_dh = Some(secret.clone());
        }
        open(&mut self.stolen, message).is_some()
    }
}

#[test]
fn an_epoch_heals_a_stolen_state_even_if_every_x25519_secret_is_known() {
    let (mut world, mut alice, mut bob) = about_to_ask(40);
    let mut thief = Thief { stolen: copy(&bob) };
    for epochless in 0..2 {
        // The request; then the step that the answer has not reached yet would be no different.
        let message = world.seal(&mut alice, &[text("still read")]);
        assert!(thief.reads(&bob, &message), "chain {epochless}: without an epoch the thief follows");
        open(&mut bob, &message).expect("genuine");
        let reply = if epochless == 0 { world.seal(&mut bob, &[full_text(1)]) } else { world.seal(&mut bob, &[]) };
        open(&mut alice, &reply).expect("genuine");
    }
    let message = world.seal(&mut alice, &[text("healed")]);
    assert_eq!(alice.post_quantum_epoch(), 1);
    assert!(!thief.reads(&bob, &message), "the step with the epoch is beyond the thief");
    // Nor does it help to know all that was sent: key, ciphertext, session, and to guess the secret in it.
    let position = position(&thief.stolen, message.tag()).expect("header keys heal one chain later");
    let pending = bob.post_quantum.to_receive(1).expect("pending").expect("mixed in").clone();
    let guesses =
        [Secret::new([0; 32]), mixed_in(&bob.session_salt, 1, &[0; 1_184], &[0; 1_088], &Secret::new([0; 32]))];
    for (guess, opens) in guesses.into_iter().map(|guess| (guess, false)).chain([(pending, true)]) {
        let mut forced = copy(&thief.stolen);
        forced.post_quantum.force_pending(guess);
        assert_eq!(forced.open(position, &message.parts(), NOW_MS).is_ok(), opens, "the secret is all that is missing");
    }
    open(&mut bob, &message).expect("genuine");
    for _ in 0..3 {
        pass(&mut world, &mut bob, &mut alice, &[]);
        let message = world.seal(&mut alice, &[text("healed")]);
        assert!(!thief.reads(&bob, &message));
        open(&mut bob, &message).expect("genuine");
    }
}

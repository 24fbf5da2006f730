//! Envelopes that arrive before their tag exists. SPEC: B11.6.
//!
//! Sync brings the newest first and a session's tags are derived forward, so a node that was away often
//! stores a conversation before it can know that it is one. Whenever a session gains tags, they must be
//! looked up among what is stored already.

use starling_tests::sim::{Plan, World};

const MINUTE_MS: u64 = 60_000;

/// Ada has Bob's invite and writes to him while he is away. He then gets all of it, but last to first:
/// the first contact, from which every tag follows, comes at the very end.
#[test]
fn envelopes_that_arrive_before_their_tag_exists() {
    let (ada, bob) = (0, 1);
    let mut world = World::empty(Plan::calm(7, 5), None, false);
    world.start_all(1_000);
    world.run_until(MINUTE_MS);
    let invite = world.invite_of(bob);
    // His bundle is out, or nobody could write to him.
    world.run_until(3 * MINUTE_MS);
    world.switch_off(bob);
    world.use_invite(ada, &invite);
    let texts: Vec<String> = (0..20).map(|number| format!("text {number}")).collect();
    for (number, text) in texts.iter().enumerate() {
        world.plan_text(4 * MINUTE_MS + number as u64 * 2_000, ada, bob, text.clone(), None, 0);
    }
    world.run_until(6 * MINUTE_MS);
    let sealed = world.sealed_by(ada);
    assert!(sealed.len() > texts.len(), "{} envelopes for 20 texts and a first contact", sealed.len());

    world.switch_on_alone(bob);
    let (first_contact, rest) = sealed.split_first().expect("the first contact was sealed first");
    for envelope in rest.iter().rev() {
        world.hand_in(bob, envelope);
        let until_ms = world.now_ms() + 1_000;
        world.run_until(until_ms);
    }
    assert!(world.history_of(bob).is_empty(), "read without a session");
    world.hand_in(bob, first_contact);
    let until_ms = world.now_ms() + 5_000;
    world.run_until(until_ms);
    assert_eq!(world.history_of(bob), texts);
    world.assert_good();
}

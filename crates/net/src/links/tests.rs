//! The plan alone; `world` has up to a thousand of them in virtual time.

mod world;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;

fn key(number: usize) -> NodeKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    NodeKey(bytes)
}

fn number(node: NodeKey) -> usize {
    u64::from_be_bytes(node.0[..8].try_into().unwrap()) as usize
}

fn candidate(number: usize) -> Candidate {
    Candidate { node: key(number), group: None, connected: false, seed: false, anchor: false }
}

fn link(number: usize, since_ms: u64, delivered: u64) -> Link {
    Link { node: key(number), group: None, outbound: true, inbound: false, since_ms, delivered, anchor: false }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn opened(actions: &[Action]) -> Vec<usize> {
    let open = |action: &Action| match action {
        Action::Open(node) => Some(number(*node)),
        Action::Release(_) => None,
    };
    actions.iter().filter_map(open).collect()
}

#[test]
fn a_node_without_links_opens_eight_at_once_and_two_at_a_time_later() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates: Vec<Candidate> = (0..20).map(candidate).collect();
    let view = View { candidates: &candidates, links: &[] };
    assert_eq!(plan.tick(&view, 0, rng).len(), LINKS_OUT);
    assert_eq!(plan.tick(&view, 0, rng), [], "all are under way");

    let mut plan = Plan::new(false, 0, rng);
    let links: Vec<Link> = (20..25).map(|number| link(number, 0, 0)).collect();
    let view = View { candidates: &candidates, links: &links };
    assert_eq!(plan.tick(&view, 0, rng).len(), 2);
    assert_eq!(plan.tick(&view, 0, rng).len(), 1, "five held and three under way");
}

#[test]
fn anchors_come_before_seeds_before_connected_ones_before_strangers() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let mut candidates: Vec<Candidate> = (0..5).map(candidate).collect();
    candidates[1].connected = true;
    candidates[2].seed = true;
    candidates[4].anchor = true;
    let actions = plan.tick(&View { candidates: &candidates, links: &[] }, 0, rng);
    assert_eq!(opened(&actions)[..3], [4, 2, 1]);
}

#[test]
fn a_refusal_waits_a_minute_and_failures_wait_longer_each_time() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1)];
    // One link elsewhere, so that this is not the hurry of a node without any.
    let links = [link(9, 0, 0)];
    let view = View { candidates: &candidates, links: &links };
    let mut now = 0;
    for wait in [30_000, 60_000, 120_000, 240_000] {
        assert_eq!(opened(&plan.tick(&view, now, rng)), [1]);
        plan.finished(key(1), Outcome::Failed, now);
        assert_eq!(plan.tick(&view, now + wait - 1, rng), []);
        now += wait;
    }
    for _ in 0..20 {
        plan.finished(key(1), Outcome::Failed, now);
    }
    assert_eq!(plan.left_alone_until_ms(&key(1)), now + FAILED_MAX_MS, "no longer than an hour");
    plan.forgive(&key(1));
    assert_eq!(opened(&plan.tick(&view, now, rng)), [1], "the user named it");
    plan.finished(key(1), Outcome::Full, now);
    assert_eq!(plan.tick(&view, now + FULL_MS - 1, rng), []);
    assert_eq!(opened(&plan.tick(&view, now + FULL_MS, rng)), [1]);
}

#[test]
fn a_link_that_lived_is_opened_again_soon_and_one_that_did_not_is_not() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    plan.finished(key(1), Outcome::Lost { held_ms: LIVED_MS }, 0);
    assert_eq!(plan.left_alone_until_ms(&key(1)), LOST_MS);
    plan.finished(key(1), Outcome::Lost { held_ms: LIVED_MS - 1 }, 0);
    assert_eq!(plan.left_alone_until_ms(&key(1)), FAILED_MS);
}

#[test]
fn seeds_are_dialed_again_quickly_while_there_is_no_link() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [Candidate { seed: true, ..candidate(1) }, candidate(2)];
    let view = View { candidates: &candidates, links: &[] };
    let mut dials = Vec::new();
    let mut now = 0;
    while now < 10_000 {
        if opened(&plan.tick(&view, now, rng)).contains(&1) {
            dials.push(now);
        }
        plan.finished(key(1), Outcome::Failed, now);
        plan.finished(key(2), Outcome::Failed, now);
        now = plan.next_tick_ms(false, now);
    }
    assert_eq!(dials, [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100, 9_100]);
    plan.penalize(key(1), now);
    assert_eq!(plan.tick(&view, now + SEEDS_MS.1, rng), [], "a seed that broke the protocol is left alone");
}

#[test]
fn whoever_is_alone_asks_everybody_again_after_ten_seconds() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1), candidate(2), candidate(3)];
    let alone = View { candidates: &candidates, links: &[] };
    for _ in 0..5 {
        plan.finished(key(1), Outcome::Failed, 0);
    }
    plan.finished(key(2), Outcome::Full, 0);
    plan.penalize(key(3), 0);
    assert_eq!(plan.tick(&alone, ALONE_MS - 1, rng), []);
    let linked = View { links: &[link(9, 0, 0)], ..alone };
    assert_eq!(plan.tick(&linked, ALONE_MS, rng), [], "whoever has a link has time");
    let mut again = opened(&plan.tick(&alone, ALONE_MS, rng));
    again.sort_unstable();
    assert_eq!(again, [1, 2], "but nobody who broke the protocol");
}

#[test]
fn a_forgotten_attempt_is_given_up() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let candidates = [candidate(1)];
    let view = View { candidates: &candidates, links: &[link(9, 0, 0)] };
    assert_eq!(plan.tick(&view, 0, rng).len(), 1);
    plan.tick(&view, PENDING_MS, rng);
    assert!(!plan.is_pending(&key(1)));
    assert_eq!(plan.left_alone_until_ms(&key(1)), PENDING_MS + FAILED_MS);
}

#[test]
fn the_worst_link_is_replaced_only_once_its_successor_is_there() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    // Number 0 brought nothing but is an anchor; 3 brought least; 7 is too young to be judged.
    let mut links: Vec<Link> = (0..8).map(|number| link(number, 0, 10 + number as u64)).collect();
    (links[0].delivered, links[0].anchor) = (0, true);
    links[3].delivered = 1;
    let candidates = [candidate(20)];
    let view = View { candidates: &candidates, links: &links };
    let due = 2 * REPLACE_MS;
    assert_eq!(plan.tick(&view, REPLACE_MS / 2, rng), [], "not yet");
    (links[7].delivered, links[7].since_ms) = (0, due - 1);
    let view = View { candidates: &candidates, links: &links };
    assert_eq!(opened(&plan.tick(&view, due, rng)), [20]);
    assert_eq!(plan.tick(&view, due + 1, rng), [], "one at a time");
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), Some(Action::Release(key(3))));
    assert!(plan.left_alone_until_ms(&key(3)) > due, "and is not opened again at once");
    assert_eq!(plan.tick(&view, due + 3, rng), [], "the next one in twenty minutes");
}

#[test]
fn a_replacement_that_fails_releases_nothing() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    let links: Vec<Link> = (0..8).map(|number| link(number, 0, 0)).collect();
    let view = View { candidates: &[candidate(20)], links: &links };
    assert_eq!(opened(&plan.tick(&view, 2 * REPLACE_MS, rng)), [20]);
    assert_eq!(plan.finished(key(20), Outcome::Full, 2 * REPLACE_MS), None);
}

#[test]
fn a_link_that_ended_by_itself_is_not_released_for_its_successor() {
    let links: Vec<Link> = (0..8).map(|number| link(number, 0, if number == 3 { 1 } else { 10 })).collect();
    let view = View { candidates: &[candidate(20)], links: &links };
    let due = 2 * REPLACE_MS;
    let replacing = || {
        let rng = &mut rng();
        let mut plan = Plan::new(false, 0, rng);
        assert_eq!(opened(&plan.tick(&view, due, rng)), [20]);
        plan
    };
    let mut plan = replacing();
    assert_eq!(plan.finished(key(3), Outcome::Lost { held_ms: due }, due + 1), None);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "3 may have come back meanwhile");
    let mut plan = replacing();
    plan.penalize(key(3), due + 1);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "it is gone already");
    assert!(plan.left_alone_until_ms(&key(3)) >= due + PENALTY_MS, "and its penalty stands");
    let mut plan = replacing();
    plan.penalize(key(20), due + 1);
    assert_eq!(plan.finished(key(20), Outcome::Held, due + 2), None, "a peer that broke the protocol succeeds nobody");
}

#[test]
fn links_are_spread_over_address_groups() {
    let rng = &mut rng();
    let group = |number: u64| Some(AddressGroup { narrow: number / 4, wide: number / 16 });
    let candidates: Vec<Candidate> =
        (0..8).map(|number| Candidate { group: group(number as u64), ..candidate(number) }).collect();
    let view = View { candidates: &candidates, links: &[] };
    let mut plan = Plan::new(true, 0, rng);
    assert_eq!(plan.tick(&view, 0, rng).len(), 2 * NARROW_OUT_MAX, "two /24, three links each");
    assert_eq!(plan.tick(&view, 0, rng), [], "those under way count too");
    let mut local = Plan::new(false, 0, rng);
    assert_eq!(local.tick(&view, 0, rng).len(), 8, "on one machine all addresses are alike");
}

#[test]
fn an_attempt_counts_in_its_group_wherever_its_peer_went_meanwhile() {
    let rng = &mut rng();
    let here = Some(AddressGroup { narrow: 1, wide: 1 });
    let candidates: Vec<Candidate> = (0..5).map(|number| Candidate { group: here, ..candidate(number) }).collect();
    let mut plan = Plan::new(true, 0, rng);
    let tried = opened(&plan.tick(&View { candidates: &candidates[..3], links: &[] }, 0, rng));
    assert_eq!(tried.len(), NARROW_OUT_MAX);
    // One of the three links to us by itself, another one is forgotten; all are still being opened.
    let inbound = [Link { outbound: false, inbound: true, group: here, ..link(0, 0, 0) }];
    let view = View { candidates: &candidates[2..], links: &inbound };
    assert_eq!(plan.tick(&view, 1, rng), [], "this /24 has its three");
    plan.finished(key(1), Outcome::Failed, 2);
    assert_eq!(plan.tick(&view, 3, rng).len(), 1, "one of them failed");
}

#[test]
fn a_place_that_shows_during_the_attempt_counts() {
    let rng = &mut rng();
    let here = Some(AddressGroup { narrow: 1, wide: 1 });
    let mut plan = Plan::new(true, 0, rng);
    let unknown: Vec<Candidate> = (0..3).map(candidate).collect();
    assert_eq!(plan.tick(&View { candidates: &unknown, links: &[] }, 0, rng).len(), 3);
    let placed: Vec<Candidate> = (0..5).map(|number| Candidate { group: here, ..candidate(number) }).collect();
    assert_eq!(plan.tick(&View { candidates: &placed, links: &[] }, 1, rng), []);
}

#[test]
fn accepted_links_have_an_end_in_all_and_in_each_group() {
    let rng = &mut rng();
    let inbound = |number: u64, wide: u64| Link {
        outbound: false,
        inbound: true,
        group: Some(AddressGroup { narrow: number, wide }),
        ..link(number as usize, 0, 0)
    };
    let mut plan = Plan::new(true, 0, rng);
    let full: Vec<Link> = (0..LINKS_IN_MAX as u64).map(|number| inbound(number, number)).collect();
    let elsewhere = Some(AddressGroup { narrow: 99, wide: 99 });
    assert!(!plan.accepts(&key(99), elsewhere, &full, 0));
    assert!(plan.accepts(&key(3), elsewhere, &full, 0), "whoever is linked may link anew");
    assert!(plan.accepts(&key(99), elsewhere, &full[1..], 0));
    let crowd: Vec<Link> = (0..WIDE_IN_MAX as u64).map(|number| inbound(number, 5)).collect();
    assert!(!plan.accepts(&key(99), Some(AddressGroup { narrow: 99, wide: 5 }), &crowd, 0));
    plan.penalize(key(99), 0);
    assert!(!plan.accepts(&key(99), elsewhere, &[], PENALTY_MS - 1));
    assert!(plan.accepts(&key(99), elsewhere, &[], PENALTY_MS));
}

#[test]
fn memory_of_failures_is_bounded_and_keeps_the_blocked() {
    let rng = &mut rng();
    let mut plan = Plan::new(false, 0, rng);
    plan.penalize(key(0), 0);
    for number in 1..3 * BACKOFFS_MAX {
        plan.finished(key(number), Outcome::Failed, number as u64);
    }
    assert_eq!(plan.backoffs.len(), BACKOFFS_MAX);
    assert!(plan.left_alone_until_ms(&key(0)) >= PENALTY_MS);
}

// ---- Many plans in virtual time.

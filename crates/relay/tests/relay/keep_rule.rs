//! The keep rule as it shows in a pool. SPEC B12.

use std::collections::BTreeSet;

use proptest::prelude::*;
use starling_relay::budget::{REFUSED_IDS_MAX, RefusedIds};
use starling_relay::expire;
use starling_relay::pool::{EnvelopePool, FOUND_PER_CALL_MAX, FOUND_PER_TAG_MAX, IdSource, Inserted, MemoryPool};
use starling_wire::envelope::{Class, Envelope, EnvelopeId, Epoch, EpochRange, Tag};
use starling_wire::limits::REFUSED_IDS_PER_HOUR_MAX;
use starling_wire::network::NetworkParameters;

use crate::support::{NOW, TOPIC, everything, ids, stored, under_tag, unstamped};

/// Room for 32 small and 4 large envelopes an hour.
fn small_budget() -> NetworkParameters {
    let mut parameters = NetworkParameters::test("keep-rule");
    (parameters.budget_small_bytes, parameters.budget_large_bytes) = (65_536, 65_536);
    parameters
}

fn filled(envelopes: &[Envelope], now: Epoch) -> MemoryPool {
    let mut pool = MemoryPool::new(&small_budget());
    for envelope in envelopes {
        pool.insert(&stored(envelope), now).unwrap();
    }
    pool
}

/// What an open hour must end with, said in another way than the crate does: the best 32.
fn best(envelopes: &[Envelope], count: usize) -> BTreeSet<EnvelopeId> {
    let mut ranked: Vec<_> = envelopes.iter().map(|e| (u32::MAX - e.effort(), e.id())).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.into_iter().take(count).map(|(_, id)| id).collect()
}

fn flood() -> impl Strategy<Value = Vec<Envelope>> {
    let one = (0..4usize, 0..100_000u64);
    let envelope = |(step, number): (usize, u64)| unstamped(Class::Small, NOW, [1, 4, 16, 64][step], number);
    proptest::collection::vec(one.prop_map(envelope), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_open_hour_ends_with_the_best_in_whatever_order_they_came(envelopes in flood(), seed in any::<u64>()) {
        let mut shuffled = envelopes.clone();
        shuffled.sort_by_key(|envelope| blake3::hash(&[&envelope.id().0[..], &seed.to_le_bytes()].concat()).to_hex());
        let (one, other) = (filled(&envelopes, NOW), filled(&shuffled, NOW));
        prop_assert_eq!(ids(&one), best(&envelopes, 32));
        prop_assert_eq!(ids(&other), ids(&one));
        // An hour's edge does not matter as long as the hour is open.
        prop_assert_eq!(ids(&filled(&shuffled, NOW.plus(1))), ids(&one));
    }

    #[test]
    fn a_closed_hour_never_evicts(envelopes in flood()) {
        let later = NOW.plus(2);
        let mut pool = MemoryPool::new(&small_budget());
        let mut kept = BTreeSet::new();
        for envelope in &envelopes {
            let before = ids(&pool);
            match pool.insert(&stored(envelope), later).unwrap() {
                Inserted::New(_) => assert!(kept.insert(envelope.id())),
                Inserted::Duplicate => assert!(before.contains(&envelope.id())),
                Inserted::BelowCut => assert_eq!(before.len(), 32),
            }
            prop_assert!(ids(&pool).is_superset(&before));
        }
        prop_assert_eq!(ids(&pool), kept);
    }

    #[test]
    fn arrivals_tags_and_fill_agree_with_what_is_stored(envelopes in flood()) {
        let pool = filled(&envelopes, NOW);
        let arrivals = pool.arrivals_after(0, usize::MAX).unwrap();
        prop_assert!(arrivals.is_sorted_by(|a, b| a.number < b.number));
        prop_assert_eq!(arrivals.iter().map(|a| a.key.id).collect::<BTreeSet<_>>(), ids(&pool));
        prop_assert_eq!(pool.fill_bytes(TOPIC, NOW, Class::Small), 2_048 * arrivals.len() as u64);
        prop_assert!(pool.fill_bytes(TOPIC, NOW, Class::Small) <= 65_536);
        for arrival in &arrivals {
            let found = pool.search_tags(&[arrival.tag].into(), NOW).run().unwrap();
            prop_assert!(found.iter().any(|(number, e)| *number == arrival.number && e.key() == arrival.key));
            prop_assert!(pool.search_tags(&[arrival.tag].into(), NOW.plus(1)).run().unwrap().is_empty());
        }
    }
}

#[test]
fn classes_and_hours_have_budgets_of_their_own() {
    let hours = [NOW, NOW.plus(1)];
    let envelopes: Vec<_> = (0..200u64)
        .map(|n| unstamped([Class::Small, Class::Large][(n % 2) as usize], hours[(n / 100) as usize], 1, n))
        .collect();
    let pool = filled(&envelopes, NOW);
    for hour in hours {
        assert_eq!(pool.fill_bytes(TOPIC, hour, Class::Small), 32 * 2_048);
        assert_eq!(pool.fill_bytes(TOPIC, hour, Class::Large), 4 * 16_384);
    }
}

#[test]
fn what_was_refused_or_evicted_is_not_pulled_again() {
    let envelopes: Vec<_> = (0..200).map(|n| unstamped(Class::Small, NOW, 1, n)).collect();
    let pool = filled(&envelopes, NOW);
    let refused: BTreeSet<_> = pool.snapshot(everything()).refused().into_iter().collect();
    let all: BTreeSet<_> = envelopes.iter().map(Envelope::id).collect();
    assert_eq!(refused, &all - &ids(&pool));
    let elsewhere = EpochRange { first: NOW.minus(9), last: NOW.minus(1) };
    assert_eq!(pool.snapshot(elsewhere).refused(), []);
}

#[test]
fn memory_of_refusals_is_bounded_and_ends_with_its_hour() {
    let envelopes: Vec<_> = (0..5_000).map(|n| unstamped(Class::Small, NOW, 1, n)).collect();
    let mut pool = filled(&envelopes, NOW);
    assert_eq!(pool.snapshot(everything()).refused().len(), REFUSED_IDS_PER_HOUR_MAX);
    assert_eq!(pool.snapshot(everything()).full_hours(), [], "an open hour is not full");
    // Two hours later the hour is closed: large mail is asked for still, so small ids stay remembered.
    let later = NOW.plus(2);
    let view = |pool: &MemoryPool| {
        let snapshot = pool.snapshot(EpochRange { first: NOW, last: NOW });
        (snapshot.refused().len(), snapshot.full_hours())
    };
    for number in 0..64 {
        pool.insert(&stored(&unstamped(Class::Small, later, 1, 9_000 + number)), later).unwrap();
    }
    assert_eq!(view(&pool), (REFUSED_IDS_PER_HOUR_MAX, vec![]));
    for number in 0..4 {
        pool.insert(&stored(&unstamped(Class::Large, NOW, 1, 10_000 + number)), later).unwrap();
    }
    assert_eq!(view(&pool), (REFUSED_IDS_PER_HOUR_MAX, vec![NOW]), "both classes are full");
    pool.expire(NOW.plus(1)).unwrap();
    assert_eq!(view(&pool), (0, vec![]));
}

#[test]
fn a_flood_of_many_hours_is_remembered_of_the_newest() {
    let id = |hour: u32, n: u32| EnvelopeId(*blake3::hash(&[hour.to_le_bytes(), n.to_le_bytes()].concat()).as_bytes());
    let mut refused = RefusedIds::default();
    for hour in 0..20 {
        (0..5_000).for_each(|n| refused.remember(Epoch(hour), id(hour, n)));
    }
    assert_eq!(refused.len(), REFUSED_IDS_MAX);
    assert_eq!(refused.within(EpochRange { first: Epoch(0), last: Epoch(3) }), []);
    refused.remember(Epoch(0), id(0, 0));
    assert_eq!(refused.within(EpochRange { first: Epoch(4), last: Epoch(19) }).len(), REFUSED_IDS_MAX);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let envelopes: Vec<_> = (0..40).map(|n| unstamped(Class::Small, NOW, 1, n)).collect();
    let (first, rest) = envelopes.split_at(10);
    let mut pool = filled(first, NOW);
    let snapshot = pool.snapshot(everything());
    for envelope in rest {
        pool.insert(&stored(envelope), NOW).unwrap();
    }
    pool.expire(NOW.plus(9)).unwrap();
    assert!(pool.is_empty());
    assert_eq!(snapshot.keys().len(), 10);
    for envelope in first {
        assert_eq!(snapshot.read(&envelope.key()).unwrap().as_ref(), Some(envelope));
    }
}

#[test]
fn expiry_drops_whole_hours_and_every_trace_of_them() {
    let lifetime_hours = 336;
    let envelopes: Vec<_> = (0..4).map(|n| unstamped(Class::Small, NOW.minus(n), 1, u64::from(n))).collect();
    let mut pool = filled(&envelopes, NOW);
    let later = NOW.plus(lifetime_hours).minus(1);
    assert_eq!(pool.expire(expire::oldest_kept(later, lifetime_hours)).unwrap(), 1);
    let gone = &envelopes[3];
    assert_eq!(pool.read(&gone.key()).unwrap(), None);
    assert!(!pool.contains(&gone.key()));
    assert!(pool.search_tags(&[gone.tag()].into(), Epoch(0)).run().unwrap().is_empty());
    assert_eq!(pool.arrivals_after(0, 9).unwrap().len(), 3);
    assert_eq!(pool.fill_bytes(TOPIC, NOW.minus(3), Class::Small), 0);
    // What a neighbour still reconciles with us is never what we dropped.
    assert!(pool.horizon(later) > NOW.minus(3));
}

#[test]
fn a_crowded_tag_gives_what_came_first_and_does_not_push_out_others() {
    let mut pool = MemoryPool::new(&NetworkParameters::test("tags"));
    let mut insert = |tag: Tag, number: u64| {
        let envelope = under_tag(tag, NOW, number);
        assert!(matches!(pool.insert(&stored(&envelope), NOW).unwrap(), Inserted::New(_)));
        envelope.id()
    };
    let crowded: Vec<Tag> = (0..20).map(|n| Tag([n; 16])).collect();
    let flood: Vec<EnvelopeId> = (0..1_400).map(|n| insert(crowded[n as usize % 20], n)).collect();
    let mail: BTreeSet<EnvelopeId> = (0..9).map(|n| insert(Tag([100 + n; 16]), 2_000 + u64::from(n))).collect();
    let find = |tags: &[Tag]| -> Vec<EnvelopeId> {
        let found = pool.search_tags(&tags.iter().copied().collect(), NOW).run().unwrap();
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "in the order of arrival");
        found.into_iter().map(|(_, envelope)| envelope.id()).collect()
    };
    let of_first_tag: Vec<EnvelopeId> = flood.iter().step_by(20).take(FOUND_PER_TAG_MAX).copied().collect();
    assert_eq!(find(&crowded[..1]), of_first_tag);
    let watched: Vec<Tag> = crowded.iter().copied().chain((0..9).map(|n| Tag([100 + n; 16]))).collect();
    let all = find(&watched);
    assert_eq!(all.len(), FOUND_PER_CALL_MAX);
    assert!(mail.is_subset(&all.into_iter().collect()));
}

#[test]
fn arrival_numbers_are_never_given_twice() {
    let mut pool = filled(&[unstamped(Class::Small, NOW, 1, 1)], NOW);
    assert_eq!(pool.arrivals_after(0, 9).unwrap()[0].number, 1);
    pool.expire(NOW.plus(1)).unwrap();
    pool.skip_arrivals_to(40);
    pool.skip_arrivals_to(7);
    let again = pool.insert(&stored(&unstamped(Class::Small, NOW, 1, 1)), NOW).unwrap();
    assert_eq!(again, Inserted::New(41));
    assert!(pool.arrivals_after(u64::MAX, 9).unwrap().is_empty());
}

//! Our negentropy v1 against another author's, in both roles. SPEC B13.

use std::collections::BTreeSet;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use proptest::prelude::*;
use starling_relay::sync::negentropy::{Excluded, LIMIT_BYTES_MIN, Step, advance, answer, initial};
use starling_relay::sync::{Item, ItemSet};

use crate::support::noise;

fn nothing() -> Excluded {
    Excluded::default()
}

type Members = BTreeSet<(u64, [u8; 32])>;

fn ours(members: &Members) -> ItemSet {
    ItemSet::new(members.iter().map(|(timestamp, id)| Item { timestamp: *timestamp, id: *id }).collect())
}

fn theirs(members: &Members) -> NegentropyStorageVector {
    let mut storage = NegentropyStorageVector::new();
    for (timestamp, id) in members {
        storage.insert(*timestamp, Id::from_byte_array(*id)).unwrap();
    }
    storage.seal().unwrap();
    storage
}

/// What an initiator found out.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    have: BTreeSet<[u8; 32]>,
    need: BTreeSet<[u8; 32]>,
}

impl Found {
    fn expected(initiator: &Members, responder: &Members) -> Self {
        let only = |one: &Members, other: &Members| one.difference(other).map(|(_, id)| *id).collect();
        Self { have: only(initiator, responder), need: only(responder, initiator) }
    }
}

/// Any number of rounds is allowed here; sessions stop at 8.
const ROUNDS_MAX: usize = 200;

fn our_initiator(set: &ItemSet, limit_bytes: usize, mut respond: impl FnMut(&[u8]) -> Vec<u8>) -> Found {
    let mut found = Found { have: BTreeSet::new(), need: BTreeSet::new() };
    let mut query = Some(initial(set, &nothing()).message);
    for _ in 0..ROUNDS_MAX {
        let Some(message) = query else { return found };
        assert!(message.len() <= limit_bytes, "{} bytes", message.len());
        let step = advance(set, &respond(&message), &nothing(), limit_bytes).unwrap();
        found.have.extend(step.have.iter().map(|index| set.items()[*index].id));
        found.need.extend(step.need);
        query = step.next.map(|query| query.message);
    }
    panic!("no end after {ROUNDS_MAX} rounds");
}

fn their_initiator(
    storage: &NegentropyStorageVector,
    limit_bytes: usize,
    mut respond: impl FnMut(&[u8]) -> Vec<u8>,
) -> Found {
    let mut client = Negentropy::borrowed(storage, limit_bytes as u64).unwrap();
    let (mut have, mut need) = (Vec::new(), Vec::new());
    let mut query = Some(client.initiate().unwrap());
    for _ in 0..ROUNDS_MAX {
        let Some(message) = query else {
            let set = |ids: Vec<Id>| ids.into_iter().map(|id| id.to_bytes()).collect();
            return Found { have: set(have), need: set(need) };
        };
        query = client.reconcile_with_ids(&respond(&message), &mut have, &mut need).unwrap();
    }
    panic!("no end after {ROUNDS_MAX} rounds");
}

/// Ours and theirs, each as the initiator, and ours with ours.
fn agree(one: &Members, other: &Members, limit_bytes: usize) {
    let expected = Found::expected(one, other);
    let (our_one, our_other) = (ours(one), ours(other));
    let (their_one, their_other) = (theirs(one), theirs(other));
    let respond = |query: &[u8]| {
        let message = answer(&our_other, query, limit_bytes).unwrap();
        assert!(message.len() <= limit_bytes, "{} bytes", message.len());
        message
    };
    let their_answer = |query: &[u8]| {
        let mut server = Negentropy::borrowed(&their_other, limit_bytes as u64).unwrap();
        server.reconcile(query).unwrap()
    };
    assert_eq!(our_initiator(&our_one, limit_bytes, their_answer), expected);
    assert_eq!(their_initiator(&their_one, limit_bytes, respond), expected);
    assert_eq!(our_initiator(&our_one, limit_bytes, respond), expected);
}

/// Two sets: a common part, what either has more, over `hours` timestamps.
fn pair(common: u64, one: u64, other: u64, hours: u64, seed: u64) -> (Members, Members) {
    let member = |n: u64| {
        let id: [u8; 32] = noise(n ^ (seed << 20), 32).try_into().unwrap();
        (u64::from(id[31]) % hours, id)
    };
    let total = common + one + other;
    let is_in = |n: &u64, first: u64, count: u64| (first..first + count).contains(n);
    let shared = |n: &u64| is_in(n, 0, common);
    let one_set = (0..total).filter(|n| shared(n) || is_in(n, common, one)).map(member).collect();
    let other_set = (0..total).filter(|n| shared(n) || is_in(n, common + one, other)).map(member).collect();
    (one_set, other_set)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_two_sets(common in 0u64..5_000, one in 0u64..300, other in 0u64..300, hours in 1u64..9, seed: u16) {
        let (one, other) = pair(common, one, other, hours, u64::from(seed));
        agree(&one, &other, 65_536);
    }

    #[test]
    fn sets_that_share_little(common in 0u64..100, one in 0u64..5_000, other in 0u64..5_000, seed: u16) {
        let (one, other) = pair(common, one, other, 3, u64::from(seed));
        agree(&one, &other, 65_536);
    }

    #[test]
    fn messages_that_do_not_fit(common in 0u64..2_000, one in 0u64..900, other in 0u64..900, hours in 1u64..40, seed: u16) {
        let (one, other) = pair(common, one, other, hours, u64::from(seed));
        agree(&one, &other, LIMIT_BYTES_MIN);
    }

    /// Ids that differ late, so that bounds need long prefixes.
    #[test]
    fn ids_with_long_common_prefixes(picks in proptest::collection::btree_set((0u64..3, any::<u16>(), 0usize..30), 0..400), cut: u16) {
        let all: Vec<(u64, [u8; 32])> = picks.iter().map(|(timestamp, number, offset)| {
            let mut id = [0xAA; 32];
            id[*offset..*offset + 2].copy_from_slice(&number.to_be_bytes());
            (*timestamp, id)
        }).collect();
        let one = all.iter().copied().collect();
        let other = all.iter().enumerate().filter(|(n, _)| n % 7 != usize::from(cut % 7)).map(|(_, m)| *m).collect();
        agree(&one, &other, 65_536);
        agree(&other, &one, LIMIT_BYTES_MIN);
    }

    /// While everything fits, the very bytes are the same.
    #[test]
    fn the_same_bytes(common in 0u64..1_500, one in 0u64..30, other in 0u64..30, hours in 1u64..9, seed: u16) {
        let (one, other) = pair(common, one, other, hours, u64::from(seed));
        let (our_one, our_other, their_one, their_other) = (ours(&one), ours(&other), theirs(&one), theirs(&other));
        let mut client = Negentropy::borrowed(&their_one, 0).unwrap();
        let mut query = client.initiate().unwrap();
        prop_assert_eq!(&initial(&our_one, &nothing()).message, &query);
        loop {
            let reply = Negentropy::borrowed(&their_other, 0).unwrap().reconcile(&query).unwrap();
            prop_assert_eq!(&answer(&our_other, &query, 1 << 24).unwrap(), &reply);
            let next = client.reconcile_with_ids(&reply, &mut Vec::new(), &mut Vec::new()).unwrap();
            let ours = advance(&our_one, &reply, &nothing(), 1 << 24).unwrap().next.map(|query| query.message);
            prop_assert_eq!(&ours, &next);
            let Some(message) = next else { break };
            query = message;
        }
    }
}

#[test]
fn the_edges() {
    let none = Members::new();
    let (one, other) = pair(0, 1, 1, 1, 1);
    let (many, _) = pair(5_000, 0, 0, 1, 2);
    for (a, b) in [(&none, &none), (&none, &one), (&one, &none), (&one, &other), (&none, &many), (&many, &none)] {
        agree(a, b, 65_536);
        agree(a, b, LIMIT_BYTES_MIN);
    }
}

/// Whatever the responder cuts off and asks for again as a whole, excluded hours stay out of it.
#[test]
fn excluded_hours_are_not_asked_about() {
    let (one, other) = pair(3_000, 200, 200, 12, 3);
    let hours = [vec![0], vec![11], vec![3, 4, 5, 9], vec![0, 2, 4, 6, 8, 10], (0..12).collect(), vec![500]];
    for (hours, limit_bytes) in hours.iter().flat_map(|hours| [(hours, 65_536), (hours, LIMIT_BYTES_MIN)]) {
        let hours: BTreeSet<u64> = hours.iter().copied().collect();
        let excluded = Excluded::new(&hours);
        let keep = |members: &Members| members.iter().filter(|(t, _)| !hours.contains(t)).copied().collect();
        let expected = Found::expected(&keep(&one), &keep(&other));
        let (set, storage) = (ours(&one), theirs(&other));
        let mut query = Some(initial(&set, &excluded));
        let mut found = Found { have: BTreeSet::new(), need: BTreeSet::new() };
        while let Some(asked) = query {
            assert!(asked.message.len() <= limit_bytes.max(20_000));
            let open = asked.open.iter().cloned().flatten();
            assert!(open.into_iter().all(|index| !hours.contains(&set.items()[index].timestamp)));
            let mut server = Negentropy::borrowed(&storage, limit_bytes as u64).unwrap();
            let step = advance(&set, &server.reconcile(&asked.message).unwrap(), &excluded, limit_bytes).unwrap();
            found.have.extend(step.have.iter().map(|index| set.items()[*index].id));
            found.need.extend(step.need);
            query = step.next;
        }
        assert!(found == expected, "{hours:?}, {limit_bytes}");
    }
}

/// More excluded hours than are gone around still make messages that go into one frame.
#[test]
fn many_excluded_hours_fit_into_one_message() {
    let (one, _) = pair(20_000, 0, 0, 256, 4);
    let excluded = Excluded::new(&(0..800).step_by(2).collect());
    let query = initial(&ours(&one), &excluded);
    assert!(query.message.len() <= LIMIT_BYTES_MIN, "{} bytes", query.message.len());
    let reply = answer(&ours(&one), &query.message, 65_536).unwrap();
    assert_eq!(advance(&ours(&one), &reply, &excluded, 65_536), Ok(Step::default()), "a set differs from itself");
}

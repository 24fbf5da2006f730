//! Whole sessions between two pools. SPEC B12, B13.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use starling_relay::admit::{self, Route};
use starling_relay::pool::{EnvelopePool, IdSource, MemoryPool, PoolError};
use starling_relay::sync::{Action, Session};
use starling_wire::envelope::{Class, Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange};
use starling_wire::network::NetworkParameters;
use starling_wire::sync_frame::{Body, ByeReason, SyncFrame, SyncHello};

use crate::support::{NOW, TOPIC, everything, hello, ids, parameters, pool_of, pull, run, stamped, stored, unstamped};

fn small(numbers: std::ops::Range<u64>) -> Vec<Envelope> {
    numbers.map(|n| unstamped(Class::Small, NOW.minus((n % 7) as u32), 1, n)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn two_pools_that_ask_each_other_end_equal(common in 0u64..600, one in 0u64..120, other in 0u64..120) {
        let all = small(0..common + one + other);
        let (shared, rest) = all.split_at(common as usize);
        let (only_one, only_other) = rest.split_at(one as usize);
        let mut first = pool_of(shared.iter().chain(only_one));
        let mut second = pool_of(shared.iter().chain(only_other));
        let there = pull(&mut first, &second, &[]);
        let back = pull(&mut second, &first, &[]);
        prop_assert_eq!(ids(&first), all.iter().map(Envelope::id).collect::<BTreeSet<_>>());
        prop_assert_eq!(ids(&second), ids(&first));
        prop_assert_eq!(there.iter().map(|run| run.received.len()).sum::<usize>(), other as usize);
        prop_assert_eq!(back.iter().map(|run| run.received.len()).sum::<usize>(), one as usize);
        // Nothing is left to say: one round, no pull.
        let again = pull(&mut first, &second, &[]);
        prop_assert_eq!((again.len(), again[0].initiator.stats.rounds, again[0].received.len()), (1, 1, 0));
    }
}

/// Frames of every size: 300 small and 40 large envelopes fill several bodies frames of one pull.
#[test]
fn large_envelopes_come_in_frames_that_fit() {
    let mut envelopes = small(0..300);
    envelopes.extend((0..40).map(|n| unstamped(Class::Large, NOW, 8, 5_000 + n)));
    let full = pool_of(&envelopes);
    let mut empty = pool_of([]);
    let runs = pull(&mut empty, &full, &[]);
    assert_eq!(ids(&empty), ids(&full));
    let bodies: Vec<usize> = runs[0]
        .frames
        .iter()
        .filter_map(|frame| if let SyncFrame::Bodies(bodies) = frame { Some(bodies.len()) } else { None })
        .collect();
    assert!(bodies.len() > 2, "{bodies:?}");
    let stats = runs[0].initiator.stats;
    assert_eq!((stats.received, stats.absent, stats.sent), (340, 0, 0));
    let other_side = runs[0].responder.as_ref().unwrap().stats;
    assert_eq!((other_side.received, other_side.sent, other_side.bytes), (0, 340, stats.bytes));
    let on_the_wire: usize = runs[0].frames.iter().map(|frame| frame.encode().unwrap().len()).sum();
    assert_eq!(stats.bytes as usize, on_the_wire, "counted bytes are those on the wire");
}

#[test]
fn newest_envelopes_come_first() {
    let full = pool_of(&small(0..500));
    let runs = pull(&mut pool_of([]), &full, &[]);
    let epochs: Vec<Epoch> =
        runs[0].received.iter().map(|bytes| Envelope::parse(bytes.clone()).unwrap().epoch()).collect();
    assert!(epochs.is_sorted_by(|a, b| a >= b));
}

#[test]
fn held_is_what_the_other_side_holds() {
    let (mine, common, theirs) = (small(0..40), small(40..900), small(900..940));
    let mut first = pool_of(mine.iter().chain(&common));
    let second = pool_of(common.iter().chain(&theirs));
    // Watched: some that only I hold, some common ones, one that comes, one that nobody has.
    let nowhere = unstamped(Class::Small, NOW, 1, 99_999);
    let held: BTreeSet<EnvelopeId> = common[..30].iter().chain(&theirs[..1]).map(Envelope::id).collect();
    let watch: Vec<_> = mine[..20].iter().chain([&nowhere]).map(Envelope::id).chain(held.iter().copied()).collect();
    let runs = pull(&mut first, &second, &watch);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].initiator.held.iter().copied().collect::<BTreeSet<_>>(), held);
    assert_eq!(runs[0].initiator.held.len(), held.len());
}

/// A session that ends before all is compared says nothing about what it did not compare.
#[test]
fn held_claims_nothing_about_hours_that_were_not_reached() {
    let mine = small(0..60);
    let first = pool_of(&mine);
    let watch: Vec<_> = mine.iter().map(Envelope::id).collect();
    let mut session = Session::initiator(first.snapshot(everything()), hello(1, everything()), watch.clone());
    assert_eq!(session.outcome().held, [], "before the hello");
    session.handle(SyncFrame::Hello(hello(2, everything()))).unwrap();
    assert_eq!(session.outcome().held, [], "asked, not answered");
    // The other side says: all before the second-newest hour agrees, the rest differs.
    let newest = u64::from(NOW.0) - 1;
    let mut message = vec![0x61];
    message.extend(varint(newest + 1));
    message.extend([0x00, 0x00, 0x00, 0x00, 0x01]);
    message.extend([0xEE; 16]);
    session.handle(SyncFrame::Negentropy(message)).unwrap();
    let settled: BTreeSet<_> = mine.iter().filter(|e| u64::from(e.epoch().0) < newest).map(Envelope::id).collect();
    assert_eq!(session.outcome().held.into_iter().collect::<BTreeSet<_>>(), settled);
    session.handle(SyncFrame::Bye(ByeReason::BUSY)).unwrap();
    let last = std::iter::from_fn(|| session.next_action()).last();
    let Some(Action::Finished(outcome)) = last else { panic!("{last:?}") };
    assert_eq!((outcome.held.len(), outcome.complete), (settled.len(), false));
}

fn varint(value: u64) -> Vec<u8> {
    let mut digits = vec![(value & 0x7F) as u8];
    let mut rest = value >> 7;
    while rest > 0 {
        digits.insert(0, (rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    digits
}

#[test]
fn only_hours_that_both_store_are_reconciled() {
    let full = pool_of(&small(0..700));
    let window = |first, last| EpochRange { first: NOW.minus(first), last: NOW.minus(last) };
    let side = |salt, oldest, window| SyncHello { oldest_hour: NOW.minus(oldest), ..hello(salt, window) };
    let cases = [
        // (my oldest, my window), (their oldest, their window), reconciled
        ((336, window(6, 0)), (336, window(6, 0)), Some((6, 0))),
        ((336, window(6, 3)), (336, window(4, 0)), Some((4, 3))),
        ((2, window(6, 0)), (336, window(6, 0)), Some((2, 0))),
        ((336, window(6, 0)), (3, window(6, 1)), Some((3, 1))),
        ((336, window(6, 4)), (336, window(3, 0)), None),
        ((336, window(6, 4)), (2, window(6, 0)), None),
    ];
    for ((my_oldest, mine), (their_oldest, theirs), expected) in cases {
        let (mine, theirs) = (side(1, my_oldest, mine), side(2, their_oldest, theirs));
        let empty = pool_of([]);
        let run = run(empty.snapshot(everything()), mine, &[], full.snapshot(everything()), theirs);
        let expected = expected.map(|(first, last)| window(first, last));
        assert_eq!(run.initiator.window, expected);
        assert_eq!(run.initiator.complete, expected.is_some());
        assert_eq!(run.responder.unwrap().window, expected);
        let epochs: BTreeSet<Epoch> =
            run.received.iter().map(|bytes| Envelope::parse(bytes.clone()).unwrap().epoch()).collect();
        let all = (0..7).map(|n| NOW.minus(n));
        assert_eq!(epochs, all.filter(|epoch| expected.is_some_and(|window| window.contains(*epoch))).collect());
        if expected.is_none() {
            assert_eq!(run.frames.last(), Some(&SyncFrame::Bye(ByeReason::NO_COMMON_HOURS)));
        }
    }
}

#[test]
fn neither_full_closed_hours_nor_refused_ids_are_pulled() {
    let mut parameters = NetworkParameters::test("sessions");
    parameters.budget_small_bytes = 65_536;
    let closed = NOW.minus(5);
    let flood: Vec<_> = (0..100)
        .flat_map(|n| [unstamped(Class::Small, NOW, 1, n), unstamped(Class::Small, closed, 1, 1_000 + n)])
        .collect();
    let calm: Vec<_> = (0..10).map(|n| unstamped(Class::Small, NOW.minus(3), 1, 2_000 + n)).collect();
    let full = pool_of(flood.iter().chain(&calm));
    let mut poor = MemoryPool::new(&parameters);
    for envelope in &flood {
        poor.insert(&stored(envelope), NOW).unwrap();
    }
    let runs = pull(&mut poor, &full, &[]);
    let came: BTreeSet<_> = runs[0].received.iter().map(|bytes| Envelope::parse(bytes.clone()).unwrap().id()).collect();
    assert_eq!(came, calm.iter().map(Envelope::id).collect());
    // It still gives others what it has of a full hour.
    let mut empty = pool_of([]);
    pull(&mut empty, &poor, &[]);
    assert_eq!(ids(&empty), ids(&poor));
}

/// An hour flooded with large envelopes after it was closed, or before, still brings its small ones, and
/// the flood comes once and not at every session.
#[test]
fn a_full_class_does_not_keep_the_other_one_from_coming() {
    let mut parameters = NetworkParameters::test("sessions");
    (parameters.budget_small_bytes, parameters.budget_large_bytes) = (65_536, 65_536);
    let closed = NOW.minus(5);
    let large: Vec<_> = (0..12).map(|n| unstamped(Class::Large, closed, 1, n)).collect();
    let mail: Vec<_> = (0..10).map(|n| unstamped(Class::Small, closed, 1, 100 + n)).collect();
    let mut poor = MemoryPool::new(&parameters);
    for envelope in &large[..4] {
        poor.insert(&stored(envelope), NOW).unwrap();
    }
    let full = pool_of(large[4..].iter().chain(&mail));
    let first = pull(&mut poor, &full, &[]);
    assert_eq!(first.iter().map(|run| run.received.len()).sum::<usize>(), 8 + 10);
    assert_eq!(ids(&poor), large[..4].iter().chain(&mail).map(Envelope::id).collect());
    let again = pull(&mut poor, &full, &[]);
    assert_eq!(again.iter().map(|run| run.received.len()).sum::<usize>(), 0);
    // With both classes full the hour is left out, whatever else a neighbour has there.
    let rest: Vec<_> = (0..60).map(|n| unstamped(Class::Small, closed, 1, 200 + n)).collect();
    for envelope in &rest[..22] {
        poor.insert(&stored(envelope), NOW).unwrap();
    }
    assert_eq!(poor.snapshot(everything()).full_hours(), [closed]);
    let last = pull(&mut poor, &pool_of(&rest[22..]), &[]);
    assert_eq!(last.iter().map(|run| run.received.len()).sum::<usize>(), 0);
}

#[test]
fn what_the_other_side_lost_meanwhile_is_absent() {
    struct Forgetful<S>(S);
    impl<S: IdSource> IdSource for Forgetful<S> {
        fn keys(&self) -> Vec<EnvelopeKey> {
            self.0.keys()
        }
        fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
            Ok(self.0.read(key)?.filter(|envelope| envelope.id().0[0] >= 64))
        }
    }
    let envelopes = small(0..400);
    let lost = envelopes.iter().filter(|envelope| envelope.id().0[0] < 64).count();
    let source = Forgetful(pool_of(&envelopes).snapshot(everything()));
    let empty = pool_of([]).snapshot(everything());
    let run = run(empty, hello(1, everything()), &[], source, hello(2, everything()));
    assert_eq!(run.initiator.stats.absent as usize, lost);
    assert_eq!(run.received.len(), 400 - lost);
    assert!(run.initiator.complete);
}

#[test]
fn a_failing_disk_ends_the_session_and_blames_nobody() {
    struct Failing(Vec<EnvelopeKey>);
    impl IdSource for Failing {
        fn keys(&self) -> Vec<EnvelopeKey> {
            self.0.clone()
        }
        fn read(&self, _: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
            Err(PoolError::Io("the disk is gone".to_owned()))
        }
    }
    let envelope = unstamped(Class::Small, NOW, 1, 1);
    let (mine, theirs) = (hello(1, everything()), hello(2, everything()));
    let mut session = Session::responder(Failing(vec![envelope.key()]), &mine, theirs);
    let salt = starling_wire::sync_frame::SessionSalt::derive(&mine.salt, &theirs.salt);
    let id = starling_wire::sync_frame::salted_id(&salt, &envelope.id());
    session.handle(SyncFrame::Pull(vec![id])).unwrap();
    let actions: Vec<_> = std::iter::from_fn(|| session.next_action()).collect();
    assert!(matches!(actions.last(), Some(Action::Failed(PoolError::Io(_)))), "{actions:?}");
}

/// What a session sees of an envelope differs in every session, so two neighbours that compare notes learn
/// nothing from ids.
#[test]
fn ids_of_one_session_say_nothing_in_another() {
    let full = pool_of(&small(0..5));
    let listed = |salt| {
        let run = run(
            pool_of([]).snapshot(everything()),
            hello(salt, everything()),
            &[],
            full.snapshot(everything()),
            hello(2, everything()),
        );
        let pulls = run.frames.iter().find_map(|frame| match frame {
            SyncFrame::Pull(ids) => Some(ids.iter().copied().collect::<BTreeSet<_>>()),
            _ => None,
        });
        pulls.unwrap()
    };
    assert_eq!(listed(1).len(), 5);
    assert!(listed(1).is_disjoint(&listed(3)));
}

/// A window with more than a session may hold is narrowed to its newest hours, and both sides know.
#[test]
fn a_window_that_is_too_large_is_narrowed_to_its_newest_hours() {
    struct Many;
    impl IdSource for Many {
        fn keys(&self) -> Vec<EnvelopeKey> {
            let key = |n: u32| {
                let id = EnvelopeId(*blake3::hash(&n.to_le_bytes()).as_bytes());
                EnvelopeKey { topic: TOPIC, epoch: NOW.minus(n % 10), class: Class::Small, id }
            };
            (0..100_000).map(key).collect()
        }
        fn read(&self, _: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
            Ok(None)
        }
    }
    let (mine, theirs) = (hello(1, everything()), hello(2, everything()));
    let mut session = Session::responder(Many, &mine, theirs);
    let Some(Action::Send(SyncFrame::Hello(hello))) = session.next_action() else { panic!("no hello") };
    assert_eq!(hello.window, EpochRange { first: NOW.minus(5), last: NOW.plus(1) });
    let mut session = Session::initiator(Many, mine, []);
    let Some(Action::Send(SyncFrame::Hello(hello))) = session.next_action() else { panic!("no hello") };
    assert_eq!(hello.window, EpochRange { first: NOW.minus(5), last: NOW.plus(1) });
}

/// Whoever is told that the neighbour is busy knows that nothing was reconciled.
#[test]
fn a_session_that_was_refused_as_busy_says_so() {
    let bye = |reason| {
        let snapshot = pool_of([]).snapshot(everything());
        let mut session = Session::initiator(snapshot, hello(1, everything()), []);
        while session.next_action().is_some() {}
        session.handle(SyncFrame::Bye(reason)).unwrap();
        session.outcome()
    };
    let busy = bye(ByeReason::BUSY);
    assert!(busy.refused && !busy.complete && busy.window.is_none());
    assert!(!bye(ByeReason::NO_COMMON_HOURS).refused);
}

/// A hello of a few bytes does not make us read the ids of hours that the session leaves out.
#[test]
fn only_the_hours_of_the_session_are_read() {
    struct Counted(Rc<RefCell<Vec<EpochRange>>>);
    impl IdSource for Counted {
        fn keys(&self) -> Vec<EnvelopeKey> {
            panic!("all ids were read")
        }
        fn keys_within(&self, window: EpochRange) -> Vec<EnvelopeKey> {
            self.0.borrow_mut().push(window);
            Vec::new()
        }
        fn counts(&self) -> Option<BTreeMap<Epoch, usize>> {
            Some((0..337).map(|n| (NOW.minus(n), 25_000)).collect())
        }
        fn read(&self, _: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
            Ok(None)
        }
    }
    let read = Rc::default();
    let (mine, theirs) = (hello(1, everything()), hello(2, everything()));
    let narrowed = EpochRange { first: NOW.minus(1), last: NOW.plus(1) };
    let _answering = Session::responder(Counted(Rc::clone(&read)), &mine, theirs);
    let _asking = Session::initiator(Counted(Rc::clone(&read)), mine, []);
    assert_eq!(*read.borrow(), [narrowed, narrowed]);
    let old = hello(3, EpochRange { first: NOW.minus(300), last: NOW.minus(299) });
    let _answering = Session::responder(Counted(Rc::clone(&read)), &old, theirs);
    assert_eq!(read.borrow().last(), Some(&old.window), "what is newer than the window does not narrow it");
    let never = hello(4, EpochRange { first: NOW.plus(9), last: NOW.plus(9) });
    let _answering = Session::responder(Counted(Rc::clone(&read)), &never, theirs);
    assert_eq!(read.borrow().len(), 3, "nothing in common, nothing read");
}

/// The whole way: real stamps, a session, admission by the sync route, the pool.
#[test]
fn what_comes_passes_admission_before_it_is_kept() {
    let good: Vec<_> = (0..6).map(|n| stamped(&parameters(), Class::Small, NOW.minus(n as u32), n)).collect();
    let bad = unstamped(Class::Small, NOW, 1, 50);
    let source = pool_of(good.iter().chain([&bad])).snapshot(everything());
    let empty = pool_of([]).snapshot(everything());
    let run = run(empty, hello(1, everything()), &[], source, hello(2, everything()));
    assert_eq!(run.received.len(), 7);
    let mut pool = MemoryPool::new(&parameters());
    let mut refused = 0;
    for bytes in run.received {
        match admit::check(bytes, &parameters(), TOPIC, NOW, Route::Sync) {
            Ok(checked) => assert!(pool.insert(&checked, NOW).is_ok()),
            Err(_) => refused += 1,
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(ids(&pool), good.iter().map(Envelope::id).collect());
}

#[test]
fn an_end_by_either_side_ends_the_session() {
    let pool = pool_of(&small(0..10));
    let (mine, theirs) = (hello(1, everything()), hello(2, everything()));
    let mut sessions = [
        Session::initiator(pool.snapshot(everything()), mine, []),
        Session::responder(pool.snapshot(everything()), &mine, theirs),
    ];
    for session in &mut sessions {
        session.handle(SyncFrame::Bye(ByeReason(200))).unwrap();
        let last = std::iter::from_fn(|| session.next_action()).last();
        assert!(matches!(last, Some(Action::Finished(_))), "{last:?}");
        session.handle(SyncFrame::Bodies(vec![Body::Absent(starling_wire::sync_frame::SyncId([0; 20]))])).unwrap();
        assert_eq!(session.next_action(), None);
    }
}

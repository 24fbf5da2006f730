//! Frames of a hostile peer: nothing panics, nothing grows, the peer pays. SPEC B13.

use std::collections::VecDeque;

use proptest::prelude::*;
use starling_relay::penalty::{Fault, Penalty};
use starling_relay::pool::{EnvelopePool, IdSource, MemorySnapshot, PoolError};
use starling_relay::sync::negentropy::{Excluded, LIMIT_BYTES_MIN, advance, answer, initial};
use starling_relay::sync::{Action, Item, ItemSet, NegentropyError, Session, fuzz, negentropy};
use starling_wire::envelope::{Class, Envelope, EnvelopeKey};
use starling_wire::sync_frame::{Body, ByeReason, SyncFrame, SyncId};

use crate::support::{NOW, everything, hello, noise, pool_of, unstamped};

fn set(count: u64) -> ItemSet {
    let item = |n: u64| Item { timestamp: n % 5, id: noise(n, 32).try_into().unwrap() };
    ItemSet::new((0..count).map(item).collect())
}

fn both(message: &[u8]) -> Result<(), NegentropyError> {
    let as_responder = answer(&set(300), message, 65_536).map(|_| ());
    assert_eq!(
        advance(&set(300), message, &Excluded::default(), 65_536).map(|_| ()),
        as_responder,
        "the roles read differently"
    );
    as_responder
}

#[test]
fn each_malformed_message_is_refused_for_its_own_reason() {
    use NegentropyError::*;
    let cases: [(&[u8], NegentropyError); 15] = [
        (&[], Truncated),
        (&[0x62], Version(0x62)),
        (&[0x61, 0x00], Truncated),
        (&[0x61, 0x00, 0x00], Truncated),
        (&[0x61, 0x00, 0x00, 0x03], Mode(3)),
        (&[0x61, 0x00, 0x00, 0x01, 1, 2, 3], Truncated),
        // An id list of 2^31 ids in nine bytes: 70 GB, if one believed it.
        (&[0x61, 0x00, 0x00, 0x02, 0x88, 0x80, 0x80, 0x80, 0x00], Truncated),
        (&[0x61, 0x00, 0x00, 0x02, 0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], Truncated),
        // An id prefix of 2^63 bytes, and one of 33.
        (&[0x61, 0x01, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Prefix(1 << 63)),
        (&[0x61, 0x01, 0x21], Prefix(33)),
        // Numbers that are no minimal varint of 64 bits.
        (&[0x61, 0x80, 0x01], Varint),
        (&[0x61, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], Varint),
        // A bound before the one that precedes it: within one timestamp only an id can go back.
        (&[0x61, 0x03, 0x01, 0xBB, 0x00, 0x01, 0x01, 0xAA, 0x00], Order),
        // Beyond infinity.
        (&[0x61, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00], Timestamp),
        (&[0x61, 0x82], Truncated),
    ];
    for (message, error) in cases {
        assert_eq!(both(message), Err(error), "{message:02x?}");
    }
}

/// Thirteen bytes: a bound, then one before it with a fingerprint of the space between.
#[test]
fn a_range_that_goes_backwards_is_refused() {
    let mut message = vec![0x61, 0x06, 0x01, 0xFF, 0x00, 0x01, 0x01, 0x00, 0x01];
    message.extend([0; 16]);
    assert_eq!(both(&message), Err(NegentropyError::Order));
    assert_eq!(both(&message[..13]), Err(NegentropyError::Order));
}

/// The dearest messages that fit into one frame.
#[test]
fn a_frame_full_of_ranges_gets_one_frame_back() {
    let set = set(20_000);
    let mut wrong_fingerprints = vec![0x61];
    let mut empty_lists = vec![0x61];
    for n in 0..3_000u32 {
        let [_, _, high, low] = n.to_be_bytes();
        // One timestamp, ids ascending: as many ranges as there is room for, each of which differs.
        wrong_fingerprints.extend([if n == 0 { 3 } else { 1 }, 2, high * 21, low, 1]);
        wrong_fingerprints.extend([0; 16]);
        empty_lists.extend([if n == 0 { 3 } else { 1 }, 2, high * 21, low, 2, 0]);
    }
    for message in [&wrong_fingerprints, &empty_lists] {
        if let Ok(reply) = answer(&set, message, 65_536) {
            assert!(reply.len() <= 65_536);
        }
        if let Ok(step) = advance(&set, message, &Excluded::default(), 65_536) {
            assert!(step.next.is_none_or(|query| query.message.len() <= 65_536));
        }
    }
    // Nothing but skips to infinity, as often as they fit.
    let skips = [&[0x61][..], &[0x00, 0x00, 0x00].repeat(21_845)].concat();
    assert_eq!(answer(&set, &skips, 65_536), Ok(vec![0x61]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        negentropy::fuzz(&data);
        negentropy::fuzz(&[&[0x61][..], &data].concat());
        fuzz(&data);
    }

    #[test]
    fn ranges_of_any_kind(ranges in proptest::collection::vec((0u8..4, 0u8..4, any::<[u8; 3]>(), 0u8..4, 0u8..3), 0..60)) {
        let mut message = vec![0x61];
        for (timestamp, length, id, mode, count) in ranges {
            message.extend([timestamp, length]);
            message.extend(&id[..usize::from(length.min(3))]);
            message.push(mode);
            match mode {
                1 => message.extend([0; 16]),
                2 => {
                    message.push(count);
                    message.extend(noise(u64::from(timestamp), usize::from(count) * 32));
                }
                _ => {}
            }
        }
        negentropy::fuzz(&message);
    }

    /// Good messages with a byte changed, cut off or doubled.
    #[test]
    fn damaged_messages(at in any::<prop::sample::Index>(), byte: u8, how in 0..3) {
        let query = initial(&set(2_000), &Default::default()).message;
        let reply = answer(&set(1_500), &query, LIMIT_BYTES_MIN).unwrap();
        for mut message in [query, reply] {
            let place = at.index(message.len());
            match how {
                0 => message[place] = byte,
                1 => message.truncate(place),
                _ => message.insert(place, byte),
            }
            negentropy::fuzz(&message);
        }
    }
}

// The session around it.

fn some() -> Vec<Envelope> {
    (0..600).map(|n| unstamped(Class::Small, NOW, 1, n)).collect()
}

fn responder() -> Session<MemorySnapshot> {
    let snapshot = pool_of(&some()).snapshot(everything());
    Session::responder(snapshot, &hello(1, everything()), hello(2, everything()))
}

/// An initiator with nothing, after the hellos; its first query comes back too.
fn initiator() -> (Session<MemorySnapshot>, Vec<u8>) {
    let mut session = Session::initiator(MemorySnapshot::default(), hello(1, everything()), []);
    session.handle(SyncFrame::Hello(hello(2, everything()))).unwrap();
    let sent = frames(&mut session);
    let Some(SyncFrame::Negentropy(query)) = sent.last() else { panic!("{sent:?}") };
    (session, query.clone())
}

fn frames(session: &mut Session<impl IdSource>) -> Vec<SyncFrame> {
    let mut frames = Vec::new();
    while let Some(action) = session.next_action() {
        if let Action::Send(frame) = action {
            frames.push(frame);
        }
    }
    frames
}

/// An initiator that has pulled, the ids it pulled, and the responder that listed them.
fn pulling() -> (Session<MemorySnapshot>, Vec<SyncId>, Session<MemorySnapshot>) {
    let (mut session, query) = initiator();
    let mut responder = responder();
    responder.handle(SyncFrame::Negentropy(query)).unwrap();
    session.handle(frames(&mut responder).pop().unwrap()).unwrap();
    let pulls = frames(&mut session).into_iter().flat_map(|frame| match frame {
        SyncFrame::Pull(ids) => ids,
        frame => panic!("{frame:?}"),
    });
    let ids = pulls.collect();
    (session, ids, responder)
}

fn assert_violation(session: &mut Session<impl IdSource>, frame: SyncFrame) {
    assert_eq!(session.handle(frame), Err(Fault::SyncViolation));
    assert_eq!(Fault::SyncViolation.penalty(), Penalty::Block);
    assert_eq!(session.next_action(), None, "a session goes on after a violation");
    assert_eq!(session.handle(SyncFrame::Negentropy(vec![0x61])), Ok(()), "it is over, what comes is ignored");
    assert_eq!(session.next_action(), None);
}

#[test]
fn a_responder_answers_eight_times() {
    let mut session = responder();
    let query = initial(&ItemSet::default(), &Default::default()).message;
    for _ in 0..8 {
        session.handle(SyncFrame::Negentropy(query.clone())).unwrap();
    }
    frames(&mut session);
    assert_violation(&mut session, SyncFrame::Negentropy(query));
}

#[test]
fn a_responder_takes_no_frame_that_is_not_for_it() {
    let absent = Body::Absent(SyncId([0; 20]));
    let frames = [SyncFrame::Hello(hello(1, everything())), SyncFrame::Bodies(vec![absent])];
    for frame in frames.into_iter().chain([SyncFrame::Negentropy(vec![0x61, 0x80])]) {
        assert_violation(&mut responder(), frame);
    }
}

#[test]
fn pulls_are_bounded_in_number_and_in_how_many_wait() {
    let mut session = responder();
    let pull = || SyncFrame::Pull(vec![SyncId([9; 20]); 256]);
    for _ in 0..64 {
        session.handle(pull()).unwrap();
        let served = frames(&mut session);
        let bodies = served.iter().map(|frame| match frame {
            SyncFrame::Bodies(bodies) => bodies.len(),
            SyncFrame::Hello(_) => 0,
            frame => panic!("{frame:?}"),
        });
        assert_eq!(bodies.sum::<usize>(), 256, "what is not here is said to be absent");
    }
    assert_violation(&mut session, pull());

    let mut session = responder();
    session.handle(pull()).unwrap();
    session.handle(pull()).unwrap();
    assert_violation(&mut session, pull());
}

/// Serves any key with one and the same large envelope: the pool of a node with much to give.
struct Endless(Vec<EnvelopeKey>, Envelope);

impl IdSource for Endless {
    fn keys(&self) -> Vec<EnvelopeKey> {
        self.0.clone()
    }

    fn read(&self, _: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        Ok(Some(self.1.clone()))
    }
}

#[test]
fn a_responder_gives_64_mib_to_one_session() {
    let large = unstamped(Class::Large, NOW, 8, 1);
    let (theirs, mine) = (hello(1, everything()), hello(2, everything()));
    let source = Endless(vec![large.key()], large);
    let salt = starling_wire::sync_frame::SessionSalt::derive(&theirs.salt, &mine.salt);
    let id = starling_wire::sync_frame::salted_id(&salt, &source.1.id());
    let mut session = Session::responder(source, &theirs, mine);
    let mut bytes = 0;
    loop {
        session.handle(SyncFrame::Pull(vec![id; 256])).unwrap();
        while let Some(action) = session.next_action() {
            match action {
                Action::Send(SyncFrame::Bodies(bodies)) => {
                    let frame: usize = bodies.iter().map(Body::encoded_bytes).sum();
                    assert!(frame <= 262_144);
                    bytes += frame;
                }
                Action::Finished(outcome) => {
                    assert_eq!(bytes, 64 << 20);
                    assert_eq!(outcome.stats.sent as usize, bytes / 16_384);
                    return;
                }
                Action::Send(SyncFrame::Bye(reason)) => assert_eq!(reason, ByeReason::BUSY),
                Action::Send(_) => {}
                action => panic!("{action:?}"),
            }
        }
    }
}

#[test]
fn an_initiator_takes_only_what_it_asked_for() {
    let other = unstamped(Class::Small, NOW, 1, 7_777).as_bytes().into();
    // Unasked, before any pull.
    let (mut session, _) = initiator();
    assert_violation(&mut session, SyncFrame::Bodies(vec![Body::Envelope(other)]));
    // An envelope that was not listed.
    let (mut session, _, _) = pulling();
    let other = unstamped(Class::Small, NOW, 1, 7_777).as_bytes().into();
    assert_violation(&mut session, SyncFrame::Bodies(vec![Body::Envelope(other)]));
    // Answers in another order.
    let (mut session, ids, _) = pulling();
    assert_violation(&mut session, SyncFrame::Bodies(vec![Body::Absent(ids[1])]));
    // More answers than questions.
    let (mut session, ids, _) = pulling();
    for chunk in ids.chunks(256) {
        session.handle(SyncFrame::Bodies(chunk.iter().map(|id| Body::Absent(*id)).collect())).unwrap();
    }
    let rest: Vec<SyncId> = frames(&mut session)
        .into_iter()
        .flat_map(|frame| if let SyncFrame::Pull(ids) = frame { ids } else { vec![] })
        .collect();
    let mut answers: Vec<_> = rest.iter().map(|id| Body::Absent(*id)).collect();
    answers.push(Body::Absent(ids[0]));
    assert_violation(&mut session, SyncFrame::Bodies(answers));
}

#[test]
fn an_initiator_takes_frames_in_their_order() {
    let (mut session, _) = initiator();
    assert_violation(&mut session, SyncFrame::Hello(hello(2, everything())));
    let (mut session, _) = initiator();
    assert_violation(&mut session, SyncFrame::Pull(vec![SyncId([1; 20])]));
    let (mut session, _) = initiator();
    assert_violation(&mut session, SyncFrame::Negentropy(vec![0x61, 0x05]));
    let mut session = Session::initiator(MemorySnapshot::default(), hello(1, everything()), []);
    frames(&mut session);
    assert_violation(&mut session, SyncFrame::Negentropy(vec![0x61]));
}

/// A responder that lists ids for ever, none of which exists: it can make us ask for what 8 messages hold.
#[test]
fn bogus_ids_cost_a_bounded_number_of_pulls() {
    let (mut session, _) = initiator();
    let mut pulls = VecDeque::new();
    for round in 0..8 {
        // Before timestamp 1: 1,016 ids. From there on: a fingerprint that differs.
        let mut message = vec![0x61, 0x02, 0x00, 0x02, 0x87, 0x78];
        message.extend(noise(round, 1_016 * 32));
        message.extend([0x00, 0x00, 0x01]);
        message.extend([0xEE; 16]);
        session.handle(SyncFrame::Negentropy(message)).unwrap();
        pulls.extend(frames(&mut session));
    }
    let mut asked = 0;
    let mut under_way = 0;
    while let Some(frame) = pulls.pop_front() {
        match frame {
            SyncFrame::Negentropy(_) => {}
            SyncFrame::Pull(ids) => {
                asked += ids.len();
                under_way = under_way.max(1 + pulls.len());
                session.handle(SyncFrame::Bodies(ids.into_iter().map(Body::Absent).collect())).unwrap();
                pulls.extend(frames(&mut session));
            }
            frame => assert_eq!(frame, SyncFrame::Bye(ByeReason::ROUNDS_USED)),
        }
    }
    assert_eq!((asked, under_way), (8 * 1_016, 2));
    let outcome = session.outcome();
    assert!(!outcome.complete);
    assert_eq!((outcome.stats.rounds, outcome.stats.absent), (8, 8 * 1_016));
}

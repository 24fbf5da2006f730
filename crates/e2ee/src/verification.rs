//! How two people make sure that nobody sits between them: a number of 60 digits, 8 words to read aloud, a code to scan.
//! SPEC: B18.
//!
//! All three are about the two account keys alone: both sides see the same, and a new device changes nothing. The
//! number has a half for each account, so that whoever sits in between must find two keys that each give a half fixed
//! beforehand. The words are fewer bits, over both accounts at once, and slow to compute instead.

use data_encoding::BASE32_NOPAD;

use crate::primitives::bytes::Reader;
use crate::primitives::hash::sha512;
use crate::primitives::label;

/// Groups of five digits in a safety number.
pub const NUMBER_GROUPS: usize = 12;
/// Words to read aloud.
pub const WORD_COUNT: usize = 8;
/// Hashes behind each half of the number.
const NUMBER_ROUNDS: u32 = 5_200;
/// Hashes behind the words, about 0.1 s: they are short, so each guess has to be dear.
const WORD_ROUNDS: u32 = 131_072;
/// Bits that a word stands for.
const WORD_BITS: u32 = 11;
/// 2,048 words, one a line; no two begin with the same four letters.
const WORD_LIST: &str = include_str!("verification/words.txt");

/// What the text of a code begins with, in capitals: so a QR code holds five and a half bits a character.
const CODE_PREFIX: &str = "STARLING-VERIFY:";
/// The only version of a code.
const CODE_VERSION: u8 = 1;
/// Characters of a text that is looked at; a code has 120.
const CODE_CHARS_MAX: usize = 512;

/// `"12345"`, [`NUMBER_GROUPS`] times: the same for both, whoever asks.
pub fn safety_number(one: &[u8; 32], other: &[u8; 32]) -> [String; NUMBER_GROUPS] {
    let (low, high) = ordered(one, other);
    let mut groups = number_half(low).into_iter().chain(number_half(high));
    core::array::from_fn(|_| format!("{:05}", groups.next().unwrap_or_default()))
}

/// [`WORD_COUNT`] words of 11 bits each, the same for both. Takes about 0.1 s: not for a thread that others wait for.
pub fn safety_words(one: &[u8; 32], other: &[u8; 32]) -> [&'static str; WORD_COUNT] {
    word_indexes(&word_hash(one, other)).map(|index| WORD_LIST.lines().nth(index).unwrap_or_default())
}

/// The accounts in the order in which both sides take them: bytewise, the smaller first.
fn ordered<'a>(one: &'a [u8; 32], other: &'a [u8; 32]) -> (&'a [u8; 32], &'a [u8; 32]) {
    if one <= other { (one, other) } else { (other, one) }
}

/// h_1 = SHA-512(label || input), h_k = SHA-512(h_(k-1) || input); h_rounds.
fn iterated(label: &[u8], input: &[&[u8]], rounds: u32) -> [u8; 64] {
    let input = input.concat();
    let mut hash = sha512(&[label, &input]);
    for _ in 1..rounds {
        hash = sha512(&[&hash, &input]);
    }
    hash
}

/// The hash behind an account's half of the number.
pub(crate) fn number_hash(account: &[u8; 32], rounds: u32) -> [u8; 64] {
    iterated(label!("safety number"), &[account], rounds)
}

/// Six groups of five digits: the first 30 bytes, five at a time, modulo 100,000.
fn number_half(account: &[u8; 32]) -> [u32; NUMBER_GROUPS / 2] {
    let hash = number_hash(account, NUMBER_ROUNDS);
    let mut fives = hash.as_chunks::<5>().0.iter();
    core::array::from_fn(|_| {
        let [a, b, c, d, e] = fives.next().copied().unwrap_or_default();
        u32::try_from(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]) % 100_000).unwrap_or_default()
    })
}

/// The hash behind the words.
pub(crate) fn word_hash(one: &[u8; 32], other: &[u8; 32]) -> [u8; 64] {
    let (low, high) = ordered(one, other);
    iterated(label!("safety words"), &[low, high], WORD_ROUNDS)
}

/// The first 88 bits, 11 at a time, the lowest first.
pub(crate) fn word_indexes(hash: &[u8; 64]) -> [usize; WORD_COUNT] {
    let mut bits = u128::from_le_bytes(*hash.first_chunk().unwrap_or(&[0; 16]));
    core::array::from_fn(|_| {
        let index = bits & ((1 << WORD_BITS) - 1);
        bits >>= WORD_BITS;
        usize::try_from(index).unwrap_or_default()
    })
}

/// What one person shows and the other scans: `version 1 | A of the maker 32 | A of the person it is shown to 32`, as
/// text `STARLING-VERIFY:` and base32 without padding, 120 characters. It holds the whole keys: nothing to find a
/// second input for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationCode {
    /// Account of whoever shows it.
    pub maker: [u8; 32],
    /// Account that the maker knows as the other person's.
    pub about: [u8; 32],
}

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It does not begin as one.
    #[error("this is no verification code")]
    NotACode,
    /// It begins as one, and is cut off or changed.
    #[error("the verification code is damaged")]
    Damaged,
    /// It was made by a newer version.
    #[error("the verification code is of version {version}")]
    NewerVersion {
        /// Its version.
        version: u8,
    },
}

/// What a scanned code says about a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Each has the other's true key.
    Match,
    /// The keys are not the same on both sides: somebody may sit in between.
    Differs,
    /// It is another contact's code.
    OtherContact,
    /// It is one's own.
    Own,
}

impl VerificationCode {
    /// The text for the QR code.
    pub fn to_text(&self) -> String {
        let bytes = [[CODE_VERSION].as_slice(), &self.maker, &self.about].concat();
        format!("{CODE_PREFIX}{}", BASE32_NOPAD.encode(&bytes))
    }

    /// Reads what was scanned: in capitals or not, white space around it or not.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let text = text.trim();
        if text.len() > CODE_CHARS_MAX {
            return Err(CodeError::NotACode);
        }
        let text = text.to_ascii_uppercase();
        let code = text.strip_prefix(CODE_PREFIX).ok_or(CodeError::NotACode)?;
        let bytes = BASE32_NOPAD.decode(code.as_bytes()).map_err(|_| CodeError::Damaged)?;
        let mut reader = Reader::new(&bytes);
        match reader.u8() {
            Some(CODE_VERSION) => {}
            Some(version @ 2..) => return Err(CodeError::NewerVersion { version }),
            Some(0) | None => return Err(CodeError::Damaged),
        }
        let (maker, about) = (reader.array(), reader.array());
        match (maker, about) {
            (Some(maker), Some(about)) if reader.is_empty() => Ok(Self { maker, about }),
            _ => Err(CodeError::Damaged),
        }
    }

    /// What it says to `own` about the contact with account `theirs`; `is_contact` tells the accounts of all contacts.
    ///
    /// Whoever sits in between with a key of his own towards each side shows up as a maker that is neither `theirs` nor
    /// any contact: that is a difference, and not just a wrong picture.
    pub fn compare(&self, own: &[u8; 32], theirs: &[u8; 32], is_contact: impl Fn(&[u8; 32]) -> bool) -> Comparison {
        if self.maker == *own {
            Comparison::Own
        } else if self.maker == *theirs {
            if self.about == *own { Comparison::Match } else { Comparison::Differs }
        } else if is_contact(&self.maker) {
            Comparison::OtherContact
        } else {
            Comparison::Differs
        }
    }
}

#[cfg(test)]
mod tests;

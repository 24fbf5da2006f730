//! Ids of the API: a letter for the kind and the local number in base32, e.g. `m_7kq2`.
//!
//! Crockford's alphabet in lower case (no `i`, `l`, `o`, `u`): ids are read aloud and typed. Reading
//! takes either case, and `o` for `0`, `i` and `l` for `1`. The numbers are local to this node and say
//! nothing to anybody else.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the largest number.
const DIGITS_MAX: usize = 13;

/// An id whose kind is told by its letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<const KIND: char>(pub u64);

/// A contact, `p_...`.
pub type ContactId = Id<'p'>;
/// The conversation with a contact, `c_...`; it has the contact's number.
pub type ConversationId = Id<'c'>;
/// A message, own or received, `m_...`.
pub type MessageId = Id<'m'>;
/// An invite made here, `i_...`.
pub type InviteId = Id<'i'>;
/// A contact request, `r_...`.
pub type RequestId = Id<'r'>;
/// A file, `b_...`: that of a message has the message's number.
pub type BlobId = Id<'b'>;
/// A session of the page, `s_...`.
pub type SessionId = Id<'s'>;

impl<const KIND: char> Id<KIND> {
    /// The id of this local number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl ContactId {
    /// The conversation with this contact.
    pub const fn conversation(self) -> ConversationId {
        Id(self.0)
    }
}

impl ConversationId {
    /// The contact of this conversation.
    pub const fn contact(self) -> ContactId {
        Id(self.0)
    }
}

/// A text that is no id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an id like '{kind}_7kq2'")]
pub struct IdError {
    /// The letter that was expected.
    pub kind: char,
}

impl<const KIND: char> fmt::Display for Id<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; DIGITS_MAX];
        let (mut rest, mut first) = (self.0, DIGITS_MAX);
        loop {
            first -= 1;
            digits[first] = ALPHABET[(rest % 32) as usize];
            rest /= 32;
            if rest == 0 {
                break;
            }
        }
        write!(f, "{KIND}_")?;
        digits[first..].iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
    }
}

impl<const KIND: char> fmt::Debug for Id<KIND> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const KIND: char> FromStr for Id<KIND> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError { kind: KIND };
        let digits = text.strip_prefix(KIND).and_then(|rest| rest.strip_prefix('_')).ok_or(error.clone())?;
        if digits.is_empty()
            || digits.len() > DIGITS_MAX
            || (digits.len() > 1 && value(digits.as_bytes()[0]) == Some(0))
        {
            return Err(error);
        }
        let add = |number: u64, digit: u8| number.checked_mul(32)?.checked_add(value(digit)?);
        digits.bytes().try_fold(0, add).map(Self).ok_or(error)
    }
}

fn value(digit: u8) -> Option<u64> {
    let digit = match digit.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|known| *known == digit).map(|position| position as u64)
}

impl<const KIND: char> Serialize for Id<KIND> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const KIND: char> Deserialize<'de> for Id<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_come_back() {
        let known =
            [(0, "m_0"), (1, "m_1"), (31, "m_z"), (32, "m_10"), (255_714, "m_7sq2"), (u64::MAX, "m_fzzzzzzzzzzzz")];
        for (number, text) in known {
            assert_eq!(Id::<'m'>(number).to_string(), text);
            assert_eq!(text.parse(), Ok(Id::<'m'>(number)));
        }
        for power in 0..64 {
            let id = ContactId::new(1 << power);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_people_type_is_understood() {
        assert_eq!("m_7KQ2".parse::<MessageId>(), "m_7kq2".parse());
        assert_eq!("m_lo".parse::<MessageId>(), "m_10".parse());
    }

    #[test]
    fn another_kind_and_damaged_ids_are_refused() {
        for text in [
            "",
            "m",
            "m_",
            "p_7",
            "7",
            "m_7_",
            "m_ü",
            "m_u",
            "m_00",
            "m_-1",
            "m_g000000000000",
            "m_fzzzzzzzzzzzzz",
            "M_7",
        ] {
            assert_eq!(text.parse::<MessageId>(), Err(IdError { kind: 'm' }), "{text}");
        }
    }

    #[test]
    fn an_id_is_a_string_in_json() {
        assert_eq!(serde_json::to_string(&ConversationId::new(11)).unwrap(), r#""c_b""#);
        assert_eq!(serde_json::from_str::<ConversationId>(r#""c_b""#).unwrap(), ConversationId::new(11));
        assert!(serde_json::from_str::<ConversationId>(r#""p_b""#).is_err());
    }
}

//! The one place where bincode lives: fixed-size little-endian integers, a byte limit at every call,
//! trailing bytes refused. SPEC: B15.
//!
//! `bincode::deserialize` of the crate root has neither limit nor trailing check; nothing else in the
//! workspace may name bincode, so that nobody reaches it by mistake.

use std::fmt;
use std::marker::PhantomData;

use bincode::Options;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, SeqAccess};
use serde::ser::Serialize;
use thiserror::Error;

/// Why bytes could not be encoded or decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The encoding would be larger than the limit of its kind (our mistake).
    #[error("the value needs more than {limit} bytes")]
    TooLarge {
        /// Limit that was given, in bytes.
        limit: u64,
    },
    /// The bytes are not an encoding of this type within the limit (the sender's mistake).
    #[error("the bytes are not a valid encoding")]
    Malformed,
}

fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian().reject_trailing_bytes().with_limit(limit)
}

/// Encodes `value` in at most `limit` bytes.
///
/// # Errors
/// [`CodecError::TooLarge`] when it needs more.
pub fn encode<T: Serialize>(value: &T, limit: u64) -> Result<Vec<u8>, CodecError> {
    options(limit).serialize(value).map_err(|_| CodecError::TooLarge { limit })
}

/// Decodes `bytes`, all of them, as a `T`; at most `limit` of them are read. A list whose length is a lie
/// allocates at most 1 MiB before it is refused (serde's own cap); [`bounded_list`] does better.
///
/// # Errors
/// [`CodecError::Malformed`] when they are longer than `limit`, cut, followed by more, or no `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, CodecError> {
    options(limit).deserialize(bytes).map_err(|_| CodecError::Malformed)
}

/// Deserializes a list of at most `N` items; a longer one is refused before anything is allocated for it.
/// For `#[serde(deserialize_with = "...")]` on a field that comes from outside.
///
/// # Errors
/// The format's error when an item is malformed or there are more than `N`.
pub fn bounded_list<'de, D, T, const N: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(ListVisitor::<T, N>(PhantomData))
}

struct ListVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> de::Visitor<'de> for ListVisitor<T, N> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        if let Some(length) = items.size_hint().filter(|length| *length > N) {
            return Err(de::Error::invalid_length(length, &self));
        }
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == N {
                return Err(de::Error::invalid_length(N.saturating_add(1), &self));
            }
            list.push(item);
        }
        Ok(list)
    }
}

/// Shapes that contents and control frames are made of, for [`fuzz`].
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Sample {
    number: u64,
    flag: bool,
    id: Option<[u8; 16]>,
    text: String,
    #[serde(deserialize_with = "bounded_list::<_, _, 8>")]
    list: Vec<Vec<u8>>,
    choice: Result<u32, (u16, u8)>,
}

/// Fuzz entry: whatever decodes is the one encoding of its value.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    const LIMIT: u64 = 4_096;
    if let Ok(sample) = decode::<Sample>(data, LIMIT) {
        assert_eq!(encode(&sample, LIMIT).as_deref(), Ok(data));
        assert!(sample.list.len() <= 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 8]);
        assert_eq!(decode::<Vec<u8>>(&bytes, 64), Err(CodecError::Malformed));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&7u32, 64).unwrap();
        assert_eq!(bytes, [7, 0, 0, 0]);
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes, 64), Err(CodecError::Malformed));
    }

    #[test]
    fn a_value_over_its_limit_is_not_encoded() {
        assert_eq!(encode(&vec![0u8; 64], 64), Err(CodecError::TooLarge { limit: 64 }));
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Few {
        #[serde(deserialize_with = "bounded_list::<_, _, 2>")]
        items: Vec<u16>,
    }

    #[test]
    fn a_bounded_list_takes_as_many_as_its_bound() {
        for count in 0..=2 {
            let few = Few { items: vec![7; count] };
            assert_eq!(decode::<Few>(&encode(&few, 64).unwrap(), 64), Ok(few));
        }
        let many = encode(&Few { items: vec![7; 3] }, 64).unwrap();
        assert_eq!(decode::<Few>(&many, 64), Err(CodecError::Malformed));
        assert_eq!(decode::<Few>(&u64::MAX.to_le_bytes(), 64), Err(CodecError::Malformed));
    }

    #[test]
    fn an_encoding_is_cut_nowhere() {
        let whole = encode(&(7u32, Some(8u8), String::from("nine"), true), 64).unwrap();
        assert!(decode::<(u32, Option<u8>, String, bool)>(&whole, 64).is_ok());
        for length in 0..whole.len() {
            let cut = decode::<(u32, Option<u8>, String, bool)>(&whole[..length], 64);
            assert_eq!(cut, Err(CodecError::Malformed), "{length} bytes");
        }
    }

    #[test]
    fn nothing_has_two_encodings() {
        assert_eq!(decode::<bool>(&[2], 64), Err(CodecError::Malformed));
        assert_eq!(decode::<Option<u8>>(&[2, 0], 64), Err(CodecError::Malformed));
        assert_eq!(decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xFF], 64), Err(CodecError::Malformed));
    }
}

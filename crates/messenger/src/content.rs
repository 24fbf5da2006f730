//! What a content record says: `kind 2 | bincode of the kind's struct`. SPEC: B15.
//!
//! A kind, once released, never changes; a new field is a new kind. A kind that this version does not
//! know is kept and shown as "needs a newer Starling".

use std::fmt;

use serde::{Deserialize, Serialize};
use starling_wire::codec;
use starling_wire::limits::{MESSAGE_BYTES_MAX, NAME_BYTES_MAX};

/// Kind of [`Hello`].
const KIND_HELLO: u16 = 1;
/// Kind of [`Text`].
const KIND_TEXT: u16 = 2;

/// Bytes of a text's content that are not text: kind 2, sequence 8, time 8, an absent `reply_to` 1,
/// expiry 4, length 8.
pub(crate) const TEXT_OVERHEAD_BYTES: usize = 31;
/// Bytes that a `reply_to` adds.
pub(crate) const REPLY_BYTES: usize = 16;

/// How the writer calls themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// UTF-8, at most 64 bytes; may be empty.
    pub(crate) name: String,
}

/// A text message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Text {
    /// The writer's count in this conversation and on this device, from 0.
    pub(crate) sequence: u64,
    /// When it was written, by the writer's clock, ms since 1970.
    pub(crate) created_unix_ms: u64,
    /// Message id of the message that it answers.
    pub(crate) reply_to: Option<[u8; 16]>,
    /// Seconds after which it is to disappear; 0 is never.
    pub(crate) expires_s: u32,
    /// What it says.
    pub(crate) text: String,
}

/// A content, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Kind 1.
    Hello(Hello),
    /// Kind 2.
    Text(Text),
    /// Any other.
    Unknown {
        /// Its kind.
        kind: u16,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// The bytes of a known kind are not an encoding of it: the writer's device is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("content of kind {kind} is malformed")]
pub(crate) struct ContentError {
    kind: u16,
}

impl fmt::Debug for Content {
    /// Names the kind alone: what people write does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(_) => f.write_str("Hello(..)"),
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Unknown { kind, .. } => write!(f, "Unknown({kind})"),
        }
    }
}

fn encoded(kind: u16, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    // Names and texts were held against their limits before; nothing longer is ever put in here.
    bytes.extend(codec::encode(value, MESSAGE_BYTES_MAX as u64).unwrap_or_default());
    bytes
}

impl Hello {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_HELLO, self)
    }
}

impl Text {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_TEXT, self)
    }
}

impl Content {
    /// Reads a content; `bytes` came out of a sealed record, so their number is bounded already.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let Some((kind, rest)) = bytes.split_first_chunk::<2>() else { return Err(ContentError { kind: 0 }) };
        let kind = u16::from_le_bytes(*kind);
        let malformed = |_| ContentError { kind };
        match kind {
            KIND_HELLO => {
                let hello: Hello = codec::decode(rest, MESSAGE_BYTES_MAX as u64).map_err(malformed)?;
                if hello.name.len() > NAME_BYTES_MAX {
                    return Err(ContentError { kind });
                }
                Ok(Self::Hello(hello))
            }
            KIND_TEXT => codec::decode(rest, MESSAGE_BYTES_MAX as u64).map(Self::Text).map_err(malformed),
            _ => Ok(Self::Unknown { kind, bytes: rest.to_vec() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply_to: Option<[u8; 16]>) -> Text {
        Text { sequence: 3, created_unix_ms: 5, reply_to, expires_s: 0, text: "hi".into() }
    }

    #[test]
    fn a_text_keeps_its_byte_table() {
        let bytes = text(None).encode();
        let mut expected = vec![2, 0];
        expected.extend(3u64.to_le_bytes());
        expected.extend(5u64.to_le_bytes());
        expected.push(0);
        expected.extend(0u32.to_le_bytes());
        expected.extend(2u64.to_le_bytes());
        expected.extend(b"hi");
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len(), TEXT_OVERHEAD_BYTES + 2);
        assert_eq!(text(Some([9; 16])).encode().len(), TEXT_OVERHEAD_BYTES + REPLY_BYTES + 2);
        assert_eq!(Content::decode(&bytes), Ok(Content::Text(text(None))));
    }

    #[test]
    fn an_unknown_kind_is_kept_and_a_damaged_known_one_is_not() {
        assert_eq!(Content::decode(&[9, 1, 5, 6]), Ok(Content::Unknown { kind: 265, bytes: vec![5, 6] }));
        let mut cut = text(None).encode();
        cut.pop();
        assert!(Content::decode(&cut).is_err());
        assert!(Content::decode(&[1]).is_err());
        let long = Hello { name: "x".repeat(65) };
        assert!(Content::decode(&long.encode()).is_err());
    }
}

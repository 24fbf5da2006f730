//! What a content record says: `kind 2 | bincode of the kind's struct`. SPEC: B15.
//!
//! A kind, once released, never changes; a new field is a new kind. A kind that this version does not
//! know is kept and shown as "needs a newer Starling".

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use starling_wire::codec;
use starling_wire::limits::{MESSAGE_BYTES_MAX, NAME_BYTES_MAX};

use crate::contact::steers;
use crate::file::File;

/// Kind of [`Hello`].
const KIND_HELLO: u16 = 1;
/// Kind of [`Text`].
const KIND_TEXT: u16 = 2;
/// Kind of [`Reaction`].
const KIND_REACTION: u16 = 3;
/// Kind of [`Edit`].
const KIND_EDIT: u16 = 4;
/// Kind of [`Delete`].
const KIND_DELETE: u16 = 5;
/// Kind of [`File`].
const KIND_FILE: u16 = 6;
/// Kind of [`Read`].
const KIND_READ: u16 = 7;

/// Bytes of the longest content: the longest text or file, and what any kind adds to it.
pub(crate) const CONTENT_BYTES_MAX: u64 = MESSAGE_BYTES_MAX as u64 + 2_048;
/// Bytes of the longest reaction: a family of four has 25.
pub(crate) const EMOJI_BYTES_MAX: usize = 32;
/// Messages that one [`Read`] names at most: as many as an envelope has room for.
pub(crate) const READ_IDS_MAX: usize = 115;
/// Bytes of a [`Read`] without its times and ids.
pub(crate) const READ_HEAD_BYTES: usize = 2 + 8;
/// Bytes of a time in a [`Read`], without its ids.
pub(crate) const READ_TIME_BYTES: usize = 4 + 8;

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

/// What somebody feels about a message, in place of what they felt before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reaction {
    /// When, by the writer's clock, ms since 1970.
    pub(crate) created_unix_ms: u64,
    /// Message id of the message, of either side.
    pub(crate) to: [u8; 16],
    /// Of several by one side to one message the one with the highest counts, whatever came last.
    pub(crate) counter: u64,
    /// At most [`EMOJI_BYTES_MAX`]; empty when it is taken back.
    pub(crate) emoji: String,
}

/// Another wording of a text of one's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    /// When, by the writer's clock, ms since 1970.
    pub(crate) created_unix_ms: u64,
    /// Message id of the text.
    pub(crate) of: [u8; 16],
    /// From 1; the highest counts, whatever came last.
    pub(crate) revision: u32,
    /// What it says now; not empty.
    pub(crate) text: String,
}

/// A message of one's own is to be forgotten by both.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delete {
    /// Message id of it.
    pub(crate) of: [u8; 16],
}

/// Messages of the other side that were read. It rides beside whatever else goes to them, and nobody confirms it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    /// By time; at most [`READ_IDS_MAX`] messages in all.
    pub(crate) times: Vec<ReadAt>,
}

/// Messages that were read within one minute.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadAt {
    /// Which minute since 1970, by the reader's clock.
    pub(crate) minute: u32,
    /// Their message ids; at least one.
    pub(crate) ids: Vec<[u8; 16]>,
}

/// A content, decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Kind 1.
    Hello(Hello),
    /// Kind 2.
    Text(Text),
    /// Kind 3.
    Reaction(Reaction),
    /// Kind 4.
    Edit(Edit),
    /// Kind 5.
    Delete(Delete),
    /// Kind 6.
    File(Box<File>),
    /// Kind 7.
    Read(Read),
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
            Self::Reaction(_) => f.write_str("Reaction(..)"),
            Self::Edit(_) => f.write_str("Edit(..)"),
            Self::Delete(_) => f.write_str("Delete(..)"),
            Self::File(_) => f.write_str("File(..)"),
            Self::Read(_) => f.write_str("Read(..)"),
            Self::Unknown { kind, .. } => write!(f, "Unknown({kind})"),
        }
    }
}

fn encoded(kind: u16, value: &impl Serialize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    // Names and texts were held against their limits before; nothing longer is ever put in here.
    bytes.extend(codec::encode(value, CONTENT_BYTES_MAX).unwrap_or_default());
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

impl Reaction {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_REACTION, self)
    }
}

impl Edit {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_EDIT, self)
    }
}

impl Delete {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_DELETE, self)
    }
}

impl File {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_FILE, self)
    }
}

impl Read {
    /// Bytes of the content record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encoded(KIND_READ, self)
    }

    /// Whether these are the bytes of such a content, whole or not.
    pub(crate) fn is_kind_of(bytes: &[u8]) -> bool {
        bytes.starts_with(&KIND_READ.to_le_bytes())
    }

    /// How many messages it names.
    fn count(&self) -> usize {
        self.times.iter().map(|time| time.ids.len()).sum()
    }
}

/// Whether a reaction can be shown: short, and nothing in it that turns what stands beside it.
pub(crate) fn is_emoji(emoji: &str) -> bool {
    emoji.len() <= EMOJI_BYTES_MAX && !emoji.chars().any(|char| steers(char) || char.is_whitespace())
}

impl Content {
    /// Reads a content; `bytes` came out of a sealed record, so their number is bounded already.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ContentError> {
        let Some((kind, rest)) = bytes.split_first_chunk::<2>() else { return Err(ContentError { kind: 0 }) };
        let kind = u16::from_le_bytes(*kind);
        let content = match kind {
            KIND_HELLO => read(kind, rest).map(Self::Hello)?,
            KIND_TEXT => read(kind, rest).map(Self::Text)?,
            KIND_REACTION => read(kind, rest).map(Self::Reaction)?,
            KIND_EDIT => read(kind, rest).map(Self::Edit)?,
            KIND_DELETE => read(kind, rest).map(Self::Delete)?,
            KIND_FILE => read(kind, rest).map(Box::new).map(Self::File)?,
            KIND_READ => read(kind, rest).map(Self::Read)?,
            _ => Self::Unknown { kind, bytes: rest.to_vec() },
        };
        if content.is_within_limits() { Ok(content) } else { Err(ContentError { kind }) }
    }

    fn is_within_limits(&self) -> bool {
        match self {
            Self::Hello(hello) => hello.name.len() <= NAME_BYTES_MAX,
            Self::Text(text) => text.text.len() <= MESSAGE_BYTES_MAX,
            Self::Reaction(reaction) => is_emoji(&reaction.emoji),
            Self::Edit(edit) => (1..=MESSAGE_BYTES_MAX).contains(&edit.text.len()),
            Self::File(file) => file.is_within_limits(),
            Self::Read(read) => {
                (1..=READ_IDS_MAX).contains(&read.count()) && read.times.iter().all(|time| !time.ids.is_empty())
            }
            Self::Delete(_) | Self::Unknown { .. } => true,
        }
    }
}

fn read<T: DeserializeOwned>(kind: u16, bytes: &[u8]) -> Result<T, ContentError> {
    codec::decode(bytes, CONTENT_BYTES_MAX).map_err(|_| ContentError { kind })
}

/// Entry point for a fuzzer: a content either is refused or encodes to itself, and what is shown of a file is sane.
pub fn fuzz_content(data: &[u8]) {
    let Ok(content) = Content::decode(data) else { return };
    let again = match &content {
        Content::Hello(hello) => hello.encode(),
        Content::Text(text) => text.encode(),
        Content::Reaction(reaction) => reaction.encode(),
        Content::Edit(edit) => edit.encode(),
        Content::Delete(delete) => delete.encode(),
        Content::Read(read) => read.encode(),
        Content::File(file) => {
            let view = file.view();
            assert!(view.bytes as usize == file.bytes.len() && !view.name.contains(['/', '\\', '\0']));
            file.encode()
        }
        Content::Unknown { .. } => return,
    };
    assert_eq!(again, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a text's content that are not text: kind 2, sequence 8, time 8, an absent `reply_to` 1,
    /// expiry 4, length 8.
    const TEXT_OVERHEAD_BYTES: usize = 31;
    /// Bytes that a `reply_to` adds.
    const REPLY_BYTES: usize = 16;
    /// Bytes of an edit's content that are not text: kind 2, time 8, message id 16, revision 4, length 8.
    const EDIT_OVERHEAD_BYTES: usize = 38;

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

    #[test]
    fn reaction_edit_and_delete_keep_their_byte_tables() {
        let reaction = Reaction { created_unix_ms: 5, to: [7; 16], counter: 9, emoji: "👍".into() };
        let mut expected = vec![3, 0];
        expected.extend(5u64.to_le_bytes());
        expected.extend([7; 16]);
        expected.extend(9u64.to_le_bytes());
        expected.extend(4u64.to_le_bytes());
        expected.extend("👍".as_bytes());
        assert_eq!(reaction.encode(), expected);
        assert_eq!(Content::decode(&expected), Ok(Content::Reaction(reaction)));
        let edit = Edit { created_unix_ms: 5, of: [7; 16], revision: 3, text: "ho".into() };
        let mut expected = vec![4, 0];
        expected.extend(5u64.to_le_bytes());
        expected.extend([7; 16]);
        expected.extend(3u32.to_le_bytes());
        expected.extend(2u64.to_le_bytes());
        expected.extend(b"ho");
        assert_eq!((edit.encode().len(), edit.encode()), (EDIT_OVERHEAD_BYTES + 2, expected.clone()));
        assert_eq!(Content::decode(&expected), Ok(Content::Edit(edit)));
        let delete = Delete { of: [7; 16] };
        assert_eq!(delete.encode(), [vec![5, 0], vec![7; 16]].concat());
        assert_eq!(Content::decode(&delete.encode()), Ok(Content::Delete(delete)));
    }

    #[test]
    fn what_was_read_keeps_its_byte_table_and_its_limits() {
        let time = |minute, ids: usize| ReadAt { minute, ids: vec![[7; 16]; ids] };
        let read = Read { times: vec![time(5, 1), time(6, 2)] };
        let mut expected = vec![7, 0];
        expected.extend(2u64.to_le_bytes());
        for (minute, ids) in [(5u32, 1u8), (6, 2)] {
            expected.extend(minute.to_le_bytes());
            expected.extend(u64::from(ids).to_le_bytes());
            expected.extend(vec![7; 16 * usize::from(ids)]);
        }
        assert_eq!(read.encode(), expected);
        assert_eq!(expected.len(), READ_HEAD_BYTES + 2 * READ_TIME_BYTES + 3 * 16);
        assert_eq!(Content::decode(&expected), Ok(Content::Read(read)));
        let is_read = |times: Vec<ReadAt>| Content::decode(&Read { times }.encode()).is_ok();
        assert!(is_read(vec![time(u32::MAX, READ_IDS_MAX)]));
        assert!(!is_read(vec![time(1, READ_IDS_MAX), time(2, 1)]));
        assert!(!is_read(Vec::new()) && !is_read(vec![time(1, 1), time(2, 0)]));
    }

    #[test]
    fn what_is_too_long_or_cannot_be_shown_is_malformed() {
        let reaction = |emoji: &str| Reaction { created_unix_ms: 5, to: [7; 16], counter: 9, emoji: emoji.into() };
        let is_read = |emoji: &str| Content::decode(&reaction(emoji).encode()).is_ok();
        assert!(is_read("") && is_read("❤️") && is_read("👨‍👩‍👧‍👦") && is_read(&"x".repeat(32)));
        assert!(!is_read(&"x".repeat(33)) && !is_read("\u{202e}x") && !is_read("a\nb") && !is_read(" "));
        let edit = |text: String| Edit { created_unix_ms: 5, of: [7; 16], revision: 1, text };
        assert!(Content::decode(&edit("x".repeat(MESSAGE_BYTES_MAX)).encode()).is_ok());
        for text in [String::new(), "x".repeat(MESSAGE_BYTES_MAX + 1)] {
            assert!(Content::decode(&edit(text).encode()).is_err());
        }
        let long = Text { text: "x".repeat(MESSAGE_BYTES_MAX + 1), ..text(None) };
        assert!(Content::decode(&long.encode()).is_err());
    }
}

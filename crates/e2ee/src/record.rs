//! The records inside a message: what the two sides say to each other. SPEC: B4, B9.6.
//!
//! `type 1 | len 2 | data`, one after another; type 0 ends, the rest of the room is zero and ignored. Types 3 and 4
//! (post-quantum ratchet) and all that are not known are skipped, so that a newer peer can be understood.

use crate::primitives::bytes::Reader;

/// Acknowledgements in one record, at most.
pub const ACKS_MAX: usize = 60;
/// Bytes of a record before its data.
pub const RECORD_HEAD_BYTES: usize = 3;
/// Bytes of a content record before its contents: id, part, of.
pub const CONTENT_HEAD_BYTES: usize = 18;

const TYPE_END: u8 = 0;
const TYPE_CONTENT: u8 = 1;
const TYPE_ACKS: u8 = 2;
const TYPE_CARD: u8 = 5;
const ID_BYTES: usize = 16;
const CARD_BYTES: usize = 72;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message of a person, or a part of one. Type 1.
    Content {
        /// Drawn by the author; the same in every sealing of the message.
        message_id: [u8; 16],
        /// Which part this is, from 0.
        part: u8,
        /// Parts in all, from 1.
        of: u8,
        /// Opaque here (B15).
        bytes: Vec<u8>,
    },
    /// Message ids that arrived, 1 to [`ACKS_MAX`]. Type 2.
    Acks(Vec<[u8; 16]>),
    /// Where the sender's device is reached. Type 5.
    Card {
        /// Its shard.
        shard: u32,
        /// Its address, the key to its bundles.
        addr: [u8; 32],
        /// Version of its device list.
        list_version: u32,
        /// Head of that version.
        list_head: [u8; 32],
    },
}

/// Records that cannot be put into a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// They need more room than there is.
    #[error("the records need {needed_bytes} bytes; {room_bytes} fit")]
    NoRoom {
        /// Bytes of all records together.
        needed_bytes: usize,
        /// Bytes that the message has.
        room_bytes: usize,
    },
    /// No acknowledgement, or more than [`ACKS_MAX`] in one record.
    #[error("{count} acknowledgements in one record; 1 to {ACKS_MAX} are allowed")]
    AckCount {
        /// How many.
        count: usize,
    },
    /// A part that is not below the number of parts.
    #[error("part {part} of {of}")]
    Part {
        /// Which.
        part: u8,
        /// Of how many.
        of: u8,
    },
}

impl Record {
    /// Bytes of the record when encoded, its head included.
    pub fn encoded_len(&self) -> usize {
        let data_bytes = match self {
            Self::Content { bytes, .. } => CONTENT_HEAD_BYTES.saturating_add(bytes.len()),
            Self::Acks(ids) => ids.len().saturating_mul(ID_BYTES),
            Self::Card { .. } => CARD_BYTES,
        };
        data_bytes.saturating_add(RECORD_HEAD_BYTES)
    }

    fn check(&self) -> Result<(), RecordError> {
        match self {
            Self::Content { part, of, .. } if part >= of => Err(RecordError::Part { part: *part, of: *of }),
            Self::Acks(ids) if ids.is_empty() || ids.len() > ACKS_MAX => {
                Err(RecordError::AckCount { count: ids.len() })
            }
            _ => Ok(()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let data_bytes = self.encoded_len().saturating_sub(RECORD_HEAD_BYTES);
        // A room is at most 16,226 bytes and was checked before, so the length fits its field.
        let length = u16::try_from(data_bytes).unwrap_or(u16::MAX);
        let kind = match self {
            Self::Content { .. } => TYPE_CONTENT,
            Self::Acks(_) => TYPE_ACKS,
            Self::Card { .. } => TYPE_CARD,
        };
        out.push(kind);
        out.extend_from_slice(&length.to_le_bytes());
        match self {
            Self::Content { message_id, part, of, bytes } => {
                out.extend_from_slice(message_id);
                out.extend_from_slice(&[*part, *of]);
                out.extend_from_slice(bytes);
            }
            Self::Acks(ids) => ids.iter().for_each(|id| out.extend_from_slice(id)),
            Self::Card { shard, addr, list_version, list_head } => {
                out.extend_from_slice(&shard.to_le_bytes());
                out.extend_from_slice(addr);
                out.extend_from_slice(&list_version.to_le_bytes());
                out.extend_from_slice(list_head);
            }
        }
    }

    /// The record of `kind` with `data`; `Some(None)` for a kind to be skipped, `None` for a malformed one.
    fn read(kind: u8, data: &[u8]) -> Option<Option<Self>> {
        let mut reader = Reader::new(data);
        let record = match kind {
            TYPE_CONTENT => {
                let message_id = reader.array()?;
                let (part, of) = (reader.u8()?, reader.u8()?);
                Self::Content { message_id, part, of, bytes: reader.rest().to_vec() }
            }
            TYPE_ACKS => {
                let (ids, rest) = data.as_chunks::<ID_BYTES>();
                if !rest.is_empty() {
                    return None;
                }
                Self::Acks(ids.to_vec())
            }
            TYPE_CARD if data.len() == CARD_BYTES => Self::Card {
                shard: reader.u32()?,
                addr: reader.array()?,
                list_version: reader.u32()?,
                list_head: reader.array()?,
            },
            TYPE_CARD => return None,
            _ => return Some(None),
        };
        record.check().ok().map(|()| Some(record))
    }
}

/// Appends `records` to `out`, and zeros until `room_bytes` are filled. On an error `out` is as it was.
pub fn encode_into(out: &mut Vec<u8>, room_bytes: usize, records: &[Record]) -> Result<(), RecordError> {
    let needed_bytes = records.iter().fold(0, |sum: usize, record| sum.saturating_add(record.encoded_len()));
    if needed_bytes > room_bytes {
        return Err(RecordError::NoRoom { needed_bytes, room_bytes });
    }
    records.iter().try_for_each(Record::check)?;
    let filled = out.len().saturating_add(room_bytes);
    out.reserve(room_bytes.saturating_add(crate::primitives::aead::AEAD_TAG_BYTES));
    records.iter().for_each(|record| record.write(out));
    out.resize(filled, 0);
    Ok(())
}

/// The records in a message's plaintext, `None` if one is cut off or malformed. At most one record per
/// [`RECORD_HEAD_BYTES`] of the plaintext comes out, and no more bytes than it has.
pub fn decode(plaintext: &[u8]) -> Option<Vec<Record>> {
    let mut reader = Reader::new(plaintext);
    let mut records = Vec::new();
    while !reader.is_empty() {
        let kind = reader.u8()?;
        if kind == TYPE_END {
            break;
        }
        let length = reader.u16()?;
        let data = reader.slice(usize::from(length))?;
        records.extend(Record::read(kind, data)?);
    }
    Some(records)
}

/// Entry point for a fuzzer: whatever decodes must encode into the same room and decode to itself.
#[doc(hidden)]
pub fn fuzz_records(data: &[u8]) {
    let Some(records) = decode(data) else { return };
    let mut again = Vec::new();
    let encoded = encode_into(&mut again, data.len(), &records);
    assert!(encoded.is_ok(), "what was decoded fits where it came from");
    assert!(decode(&again).as_ref() == Some(&records), "decode is the inverse of encode");
}

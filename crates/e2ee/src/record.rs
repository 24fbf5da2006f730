//! The records inside a message: what the two sides say to each other. SPEC: B4, B8, B9.6.
//!
//! `type 1 | len 2 | data`, one after another; type 0 ends, the rest of the room is zero and ignored. Types that are
//! not known are skipped, so that a newer peer can be understood. Those of the post-quantum ratchet are between the two
//! sessions alone: whoever calls neither writes nor reads them.

use crate::primitives::bytes::Reader;
use crate::primitives::kem::{KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES};

/// Acknowledgements in one record, at most.
pub const ACKS_MAX: usize = 60;
/// Bytes of a record before its data.
pub const RECORD_HEAD_BYTES: usize = 3;
/// Bytes of a content record before its contents: id, part, of.
pub const CONTENT_HEAD_BYTES: usize = 18;

const TYPE_END: u8 = 0;
const TYPE_CONTENT: u8 = 1;
const TYPE_ACKS: u8 = 2;
const TYPE_KEM_KEY: u8 = 3;
const TYPE_KEM_CIPHERTEXT: u8 = 4;
const TYPE_CARD: u8 = 5;
const ID_BYTES: usize = 16;
/// Bytes of an epoch in a record of the post-quantum ratchet.
const EPOCH_BYTES: usize = 4;
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

/// What the post-quantum ratchets of the two sides say to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KemRecord<'a> {
    /// The requester's encapsulation key. Type 3.
    Key {
        /// k.
        epoch: u32,
        /// ek_k.
        key: &'a [u8; KEM_PUBLIC_BYTES],
    },
    /// The replier's answer. Type 4.
    Ciphertext {
        /// k.
        epoch: u32,
        /// ct_k.
        ciphertext: &'a [u8; KEM_CIPHERTEXT_BYTES],
    },
}

impl<'a> KemRecord<'a> {
    /// Bytes of a key's record when encoded, its head included.
    pub(crate) const KEY_BYTES: usize = RECORD_HEAD_BYTES + EPOCH_BYTES + KEM_PUBLIC_BYTES;
    /// Bytes of a ciphertext's record when encoded, its head included.
    pub(crate) const CIPHERTEXT_BYTES: usize = RECORD_HEAD_BYTES + EPOCH_BYTES + KEM_CIPHERTEXT_BYTES;

    const fn parts(&self) -> (u8, u32, &'a [u8]) {
        match self {
            Self::Key { epoch, key } => (TYPE_KEM_KEY, *epoch, key.as_slice()),
            Self::Ciphertext { epoch, ciphertext } => (TYPE_KEM_CIPHERTEXT, *epoch, ciphertext.as_slice()),
        }
    }

    /// Bytes of the record when encoded, its head included.
    pub(crate) const fn encoded_len(&self) -> usize {
        match self {
            Self::Key { .. } => Self::KEY_BYTES,
            Self::Ciphertext { .. } => Self::CIPHERTEXT_BYTES,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, epoch, data) = self.parts();
        let length = self.encoded_len().saturating_sub(RECORD_HEAD_BYTES);
        out.push(kind);
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(data);
    }

    /// The record of `kind` with `data`; `None` for a malformed one, and for every other kind.
    fn read(kind: u8, data: &'a [u8]) -> Option<Self> {
        let (epoch, data) = data.split_first_chunk()?;
        let epoch = u32::from_le_bytes(*epoch);
        match kind {
            TYPE_KEM_KEY => Some(Self::Key { epoch, key: data.try_into().ok()? }),
            TYPE_KEM_CIPHERTEXT => Some(Self::Ciphertext { epoch, ciphertext: data.try_into().ok()? }),
            _ => None,
        }
    }
}

/// The records in a message's plaintext.
pub(crate) struct Decoded<'a> {
    /// For whoever calls.
    pub(crate) records: Vec<Record>,
    /// For the post-quantum ratchet.
    pub(crate) kem: Vec<KemRecord<'a>>,
}

/// Bytes that `records` leave free of `room_bytes`, or why they cannot be put into a message.
pub(crate) fn room_left(records: &[Record], room_bytes: usize) -> Result<usize, RecordError> {
    let needed_bytes = records.iter().fold(0, |sum: usize, record| sum.saturating_add(record.encoded_len()));
    let left_bytes = room_bytes.checked_sub(needed_bytes).ok_or(RecordError::NoRoom { needed_bytes, room_bytes })?;
    records.iter().try_for_each(Record::check)?;
    Ok(left_bytes)
}

/// Appends `records` to `out`, and zeros until `room_bytes` are filled. On an error `out` is as it was.
pub fn encode_into(out: &mut Vec<u8>, room_bytes: usize, records: &[Record]) -> Result<(), RecordError> {
    encode_with(out, room_bytes, records, None).map(|_| ())
}

/// The same, with `kem` after the records if they leave it room; whether they did.
pub(crate) fn encode_with(
    out: &mut Vec<u8>,
    room_bytes: usize,
    records: &[Record],
    kem: Option<KemRecord<'_>>,
) -> Result<bool, RecordError> {
    let left_bytes = room_left(records, room_bytes)?;
    let filled = out.len().saturating_add(room_bytes);
    out.reserve(room_bytes.saturating_add(crate::primitives::aead::AEAD_TAG_BYTES));
    records.iter().for_each(|record| record.write(out));
    let kem = kem.filter(|kem| kem.encoded_len() <= left_bytes);
    if let Some(kem) = &kem {
        kem.write(out);
    }
    out.resize(filled, 0);
    Ok(kem.is_some())
}

/// The records in a message's plaintext, `None` if one is cut off or malformed. At most one record per
/// [`RECORD_HEAD_BYTES`] of the plaintext comes out, and no more bytes than it has. Those of the post-quantum ratchet
/// must be well formed, too, but are not told.
pub fn decode(plaintext: &[u8]) -> Option<Vec<Record>> {
    decode_all(plaintext).map(|decoded| decoded.records)
}

/// The same with the records of the post-quantum ratchet.
pub(crate) fn decode_all(plaintext: &[u8]) -> Option<Decoded<'_>> {
    let mut reader = Reader::new(plaintext);
    let mut decoded = Decoded { records: Vec::new(), kem: Vec::new() };
    while !reader.is_empty() {
        let kind = reader.u8()?;
        if kind == TYPE_END {
            break;
        }
        let length = reader.u16()?;
        let data = reader.slice(usize::from(length))?;
        match kind {
            TYPE_KEM_KEY | TYPE_KEM_CIPHERTEXT => decoded.kem.push(KemRecord::read(kind, data)?),
            _ => decoded.records.extend(Record::read(kind, data)?),
        }
    }
    Some(decoded)
}

/// Entry point for a fuzzer: whatever decodes must encode into the same room and decode to itself.
#[doc(hidden)]
pub fn fuzz_records(data: &[u8]) {
    let Some(Decoded { records, kem }) = decode_all(data) else { return };
    let mut again = Vec::new();
    let encoded = encode_with(&mut again, data.len(), &records, kem.first().copied());
    assert!(encoded.is_ok(), "what was decoded fits where it came from");
    let decoded = decode_all(&again);
    let is_same = decoded.is_some_and(|decoded| decoded.records == records && decoded.kem.first() == kem.first());
    assert!(is_same, "decode is the inverse of encode");
}

//! The envelope: the only thing that travels by gossip, push and sync, in two sizes, and nothing in
//! clear in it differs by kind of message. SPEC: B1.
//!
//! ```text
//! 0 version | 1 class | 2 topic 4 | 6 epoch_hour 4 | 10 tag 16 | 26 E 32
//! 58 stamp 24 (nonce 8, solution 16) | 82 effort 4 | 86 body 1,962 or 16,298
//! ```

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{
    BODY_LARGE_BYTES, BODY_SMALL_BYTES, ENVELOPE_AD_BYTES, ENVELOPE_HEAD_BYTES, ENVELOPE_LARGE_BYTES,
    ENVELOPE_SMALL_BYTES, ENVELOPE_VERSION, EPOCH_MS, SHARD_BITS_MAX, STAMP_BYTES,
};

/// Size class of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 2,048 bytes.
    Small,
    /// 16,384 bytes.
    Large,
}

impl Class {
    /// The class byte: 0 or 1.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Small => 0,
            Self::Large => 1,
        }
    }

    /// The class of a class byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Small),
            1 => Some(Self::Large),
            _ => None,
        }
    }

    /// Bytes of an envelope of this class.
    pub const fn envelope_bytes(self) -> usize {
        match self {
            Self::Small => ENVELOPE_SMALL_BYTES,
            Self::Large => ENVELOPE_LARGE_BYTES,
        }
    }

    /// Bytes of its body.
    pub const fn body_bytes(self) -> usize {
        match self {
            Self::Small => BODY_SMALL_BYTES,
            Self::Large => BODY_LARGE_BYTES,
        }
    }
}

/// UTC hours since 1970: the protocol's unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of a wall-clock time in milliseconds since 1970.
    pub const fn from_unix_ms(unix_ms: u64) -> Self {
        let hours = unix_ms / EPOCH_MS;
        Self(if hours > u32::MAX as u64 { u32::MAX } else { hours as u32 })
    }

    /// The first millisecond of this epoch, since 1970.
    pub const fn start_unix_ms(self) -> u64 {
        (self.0 as u64).saturating_mul(EPOCH_MS)
    }

    /// `hours` earlier, not before 1970.
    pub const fn minus(self, hours: u32) -> Self {
        Self(self.0.saturating_sub(hours))
    }

    /// `hours` later.
    pub const fn plus(self, hours: u32) -> Self {
        Self(self.0.saturating_add(hours))
    }
}

/// Epochs from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EpochRange {
    /// Oldest epoch.
    pub first: Epoch,
    /// Newest epoch.
    pub last: Epoch,
}

impl EpochRange {
    /// Whether `epoch` lies in the range.
    pub fn contains(&self, epoch: Epoch) -> bool {
        self.first <= epoch && epoch <= self.last
    }

    /// The epochs that both ranges hold, if any.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let both = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (both.first <= both.last).then_some(both)
    }
}

/// A shard and its depth: `shard with all but its top d bits cleared | d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicId(pub u32);

impl TopicId {
    /// The topic of a shard id at depth `shard_bits`; `None` above [`SHARD_BITS_MAX`].
    pub fn of_shard(shard: u32, shard_bits: u8) -> Option<Self> {
        if shard_bits > SHARD_BITS_MAX {
            return None;
        }
        let mask = !u32::MAX.checked_shr(u32::from(shard_bits)).unwrap_or(0);
        Some(Self((shard & mask) | u32::from(shard_bits)))
    }

    /// Whether the low five bits are a depth and only that many top bits are set.
    pub fn is_canonical(self) -> bool {
        u8::try_from(self.0 & 31).is_ok_and(|bits| Self::of_shard(self.0, bits) == Some(self))
    }
}

/// One-use name under which the recipient, and nobody else, recognises an envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag(pub [u8; 16]);

/// BLAKE3-256 of the whole envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvelopeId(pub [u8; 32]);

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// Where an envelope is stored and by which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnvelopeKey {
    /// Its topic.
    pub topic: TopicId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its size class.
    pub class: Class,
    /// Its id.
    pub id: EnvelopeId,
}

/// Why bytes are not an envelope: the sender's fault in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The length is that of no class, or not that of the class byte.
    #[error("{bytes} bytes are no envelope of this class")]
    Length {
        /// Bytes received.
        bytes: usize,
    },
    /// An envelope of another protocol version.
    #[error("envelope version {0} is not supported")]
    Version(u8),
    /// A class byte that is neither 0 nor 1.
    #[error("envelope class {0} does not exist")]
    Class(u8),
    /// The topic's depth is over 27, or bits below its depth are set.
    #[error("the topic is not in canonical form")]
    Topic,
}

/// The fields that the writer of an envelope chooses, all but stamp and effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Size class.
    pub class: Class,
    /// Topic.
    pub topic: TopicId,
    /// Epoch in which it was sealed.
    pub epoch: Epoch,
    /// One-use tag.
    pub tag: Tag,
    /// Raw public half of a fresh X25519 key pair, bit 255 random.
    pub ephemeral: [u8; 32],
}

impl Head {
    /// `version | class | topic | epoch_hour`: the first ten bytes.
    pub fn prefix(class: Class, topic: TopicId, epoch: Epoch) -> [u8; 10] {
        let [t0, t1, t2, t3] = topic.0.to_le_bytes();
        let [e0, e1, e2, e3] = epoch.0.to_le_bytes();
        [ENVELOPE_VERSION, class.byte(), t0, t1, t2, t3, e0, e1, e2, e3]
    }
}

/// An envelope of well-formed length, version, class and topic; its stamp is not checked here. A clone
/// shares the bytes: pool, gossip and sync hand one envelope around.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    bytes: Arc<[u8]>,
    class: Class,
    id: EnvelopeId,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({:?}, {:?}, {:?})", self.class, self.epoch(), self.id)
    }
}

impl Envelope {
    /// Takes `bytes` as an envelope and computes its id.
    ///
    /// # Errors
    /// [`EnvelopeError`] when length, version, class or topic are not well formed.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, EnvelopeError> {
        let bytes = bytes.into();
        let length = EnvelopeError::Length { bytes: bytes.len() };
        if bytes.len() != ENVELOPE_SMALL_BYTES && bytes.len() != ENVELOPE_LARGE_BYTES {
            return Err(length);
        }
        let (Some(&version), Some(&class)) = (bytes.first(), bytes.get(1)) else { return Err(length) };
        if version != ENVELOPE_VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let class = Class::from_byte(class).ok_or(EnvelopeError::Class(class))?;
        if bytes.len() != class.envelope_bytes() {
            return Err(length);
        }
        let mut envelope = Self { bytes, class, id: EnvelopeId([0; 32]) };
        if !envelope.topic().is_canonical() {
            return Err(EnvelopeError::Topic);
        }
        envelope.id = EnvelopeId(*blake3::hash(&envelope.bytes).as_bytes());
        Ok(envelope)
    }

    /// Puts an envelope together from its fields.
    ///
    /// # Errors
    /// [`EnvelopeError::Length`] when `body` is not of the class's size, [`EnvelopeError::Topic`] when the
    /// topic is not canonical.
    pub fn assemble(head: &Head, stamp: &[u8; STAMP_BYTES], effort: u32, body: &[u8]) -> Result<Self, EnvelopeError> {
        if body.len() != head.class.body_bytes() {
            return Err(EnvelopeError::Length { bytes: body.len().saturating_add(ENVELOPE_HEAD_BYTES) });
        }
        let mut bytes = Vec::with_capacity(head.class.envelope_bytes());
        bytes.extend_from_slice(&Head::prefix(head.class, head.topic, head.epoch));
        bytes.extend_from_slice(&head.tag.0);
        bytes.extend_from_slice(&head.ephemeral);
        bytes.extend_from_slice(stamp);
        bytes.extend_from_slice(&effort.to_le_bytes());
        bytes.extend_from_slice(body);
        Self::parse(bytes)
    }

    /// All bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// BLAKE3-256 of all bytes.
    pub fn id(&self) -> EnvelopeId {
        self.id
    }

    /// Size class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Topic.
    pub fn topic(&self) -> TopicId {
        TopicId(u32::from_le_bytes(self.array(2)))
    }

    /// Epoch in which it says it was sealed.
    pub fn epoch(&self) -> Epoch {
        Epoch(u32::from_le_bytes(self.array(6)))
    }

    /// One-use tag.
    pub fn tag(&self) -> Tag {
        Tag(self.array(10))
    }

    /// Raw public half of the writer's fresh X25519 key pair (bit 255 is random).
    pub fn ephemeral(&self) -> [u8; 32] {
        self.array(26)
    }

    /// Stamp: nonce 8, Equi-X solution 16.
    pub fn stamp(&self) -> [u8; STAMP_BYTES] {
        self.array(58)
    }

    /// Effort that the stamp claims.
    pub fn effort(&self) -> u32 {
        u32::from_le_bytes(self.array(82))
    }

    /// Bytes 0..58, which body encryption authenticates (AD0).
    pub fn associated_data(&self) -> &[u8] {
        self.bytes.get(..ENVELOPE_AD_BYTES).unwrap_or_default()
    }

    /// The sealed body, 1,962 or 16,298 bytes.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(ENVELOPE_HEAD_BYTES..).unwrap_or_default()
    }

    /// Where it is stored.
    pub fn key(&self) -> EnvelopeKey {
        EnvelopeKey { topic: self.topic(), epoch: self.epoch(), class: self.class, id: self.id }
    }

    /// The fields that its writer chose.
    pub fn head(&self) -> Head {
        Head {
            class: self.class,
            topic: self.topic(),
            epoch: self.epoch(),
            tag: self.tag(),
            ephemeral: self.ephemeral(),
        }
    }

    /// `N` bytes at `offset`; the length was checked when the envelope was parsed.
    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

/// Fuzz entry: what parses must be put together again from its fields, to the byte.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    if let Ok(envelope) = Envelope::parse(data) {
        let again = Envelope::assemble(&envelope.head(), &envelope.stamp(), envelope.effort(), envelope.body());
        assert_eq!(again.as_ref(), Ok(&envelope));
        assert_eq!(envelope.as_bytes(), data);
        assert!(envelope.topic().is_canonical());
    }
}

//! Bytes of negentropy v1: varints, bounds with relative timestamps, modes. SPEC: B13.
//!
//! ```text
//! message = version 0x61 | range*        range = bound | mode varint | payload
//! bound   = timestamp varint (0: infinity, else 1 + difference to the bound before) | length varint | id prefix
//! mode    = 0 skip: nothing | 1 fingerprint: 16 bytes | 2 id list: count varint, ids of 32 bytes
//! varint  = base 128, most significant digit first, high bit set on all but the last
//! ```
//!
//! Stricter than the format asks, as no honest encoder does otherwise: a varint is minimal and fits 64
//! bits, timestamps do not overflow, bounds do not descend, a message does not end inside a range.

use thiserror::Error;

use super::set::Item;

/// First byte of a message: negentropy v1.
const VERSION: u8 = 0x61;
/// Bytes of an id.
pub(super) const ID_BYTES: usize = 32;
/// Bytes of a fingerprint.
pub(super) const FINGERPRINT_BYTES: usize = 16;
/// The timestamp that stands for infinity.
const INFINITY: u64 = u64::MAX;
/// Bytes of the longest varint of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// Why bytes are no negentropy v1 message: the sender's fault in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NegentropyError {
    /// The first byte is not that of version 1.
    #[error("negentropy version {0:#04x} is not 0x61")]
    Version(u8),
    /// The message ends inside a range, or announces more ids than it has bytes for.
    #[error("the message ends too early")]
    Truncated,
    /// A number is not minimal or needs more than 64 bits.
    #[error("a number is not a minimal varint of 64 bits")]
    Varint,
    /// A timestamp lies beyond infinity.
    #[error("a timestamp overflows")]
    Timestamp,
    /// The id prefix of a bound is longer than an id.
    #[error("the id prefix of a bound has {0} bytes")]
    Prefix(u64),
    /// A bound lies before the one that precedes it.
    #[error("bounds descend")]
    Order,
    /// A mode that version 1 does not have.
    #[error("range mode {0} does not exist")]
    Mode(u64),
}

/// The exclusive end of a range: the smallest item that lies beyond it, its id cut to what tells it
/// apart and filled up with zeros.
/// Bounds are ordered by what they stand for; the length is how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub(super) item: Item,
    id_bytes: usize,
}

impl Bound {
    /// Where the first range begins.
    pub(super) const START: Self = Self::at(0);
    /// Where the last range ends.
    pub(super) const END: Self = Self::at(INFINITY);

    /// Before all items of `timestamp`.
    pub(super) const fn at(timestamp: u64) -> Self {
        Self { item: Item { timestamp, id: [0; ID_BYTES] }, id_bytes: 0 }
    }

    /// Right before `item`.
    pub(super) const fn before(item: &Item) -> Self {
        Self { item: *item, id_bytes: ID_BYTES }
    }

    /// The shortest bound between two neighbours in order.
    pub(super) fn between(last_inside: &Item, first_beyond: &Item) -> Self {
        if last_inside.timestamp != first_beyond.timestamp {
            return Self::at(first_beyond.timestamp);
        }
        let shared = last_inside.id.iter().zip(&first_beyond.id).take_while(|(a, b)| a == b).count();
        Self::with_prefix(first_beyond.timestamp, first_beyond.id.iter().take(shared.saturating_add(1)))
    }

    fn with_prefix<'a>(timestamp: u64, prefix: impl Iterator<Item = &'a u8>) -> Self {
        let mut bound = Self::at(timestamp);
        for (slot, byte) in bound.item.id.iter_mut().zip(prefix) {
            *slot = *byte;
            bound.id_bytes = bound.id_bytes.saturating_add(1);
        }
        bound
    }
}

/// One range of a message; it begins where the one before ends.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) end: Bound,
    pub(super) payload: Payload<'a>,
}

#[derive(Debug)]
pub(super) enum Payload<'a> {
    Skip,
    Fingerprint([u8; FINGERPRINT_BYTES]),
    Ids(&'a [[u8; ID_BYTES]]),
}

/// Reads a message range by range.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    last: Bound,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Result<Self, NegentropyError> {
        match message.split_first() {
            Some((&VERSION, rest)) => Ok(Self { rest, last: Bound::START }),
            Some((&version, _)) => Err(NegentropyError::Version(version)),
            None => Err(NegentropyError::Truncated),
        }
    }

    /// The next range; `None` at the end of the message.
    pub(super) fn next_range(&mut self) -> Result<Option<Range<'a>>, NegentropyError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.bound()?;
        let payload = match self.varint()? {
            0 => Payload::Skip,
            1 => Payload::Fingerprint(self.array()?),
            2 => Payload::Ids(self.ids()?),
            mode => return Err(NegentropyError::Mode(mode)),
        };
        Ok(Some(Range { end, payload }))
    }

    fn bound(&mut self) -> Result<Bound, NegentropyError> {
        let timestamp = match self.varint()? {
            0 => INFINITY,
            n => n.saturating_sub(1).checked_add(self.last.item.timestamp).ok_or(NegentropyError::Timestamp)?,
        };
        let length = self.varint()?;
        let prefix = match usize::try_from(length) {
            Ok(length) if length <= ID_BYTES => self.take(length)?,
            _ => return Err(NegentropyError::Prefix(length)),
        };
        let bound = Bound::with_prefix(timestamp, prefix.iter());
        if bound.item < self.last.item {
            return Err(NegentropyError::Order);
        }
        self.last = bound;
        Ok(bound)
    }

    fn ids(&mut self) -> Result<&'a [[u8; ID_BYTES]], NegentropyError> {
        let count = usize::try_from(self.varint()?).map_err(|_| NegentropyError::Truncated)?;
        let bytes = count.checked_mul(ID_BYTES).ok_or(NegentropyError::Truncated)?;
        Ok(self.take(bytes)?.as_chunks().0)
    }

    fn varint(&mut self) -> Result<u64, NegentropyError> {
        let mut value: u64 = 0;
        for digit in 0..VARINT_BYTES_MAX {
            let [byte] = self.array()?;
            if (digit == 0 && byte == 0x80) || value > u64::MAX >> 7 {
                return Err(NegentropyError::Varint);
            }
            value = (value << 7) | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NegentropyError::Varint)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NegentropyError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(NegentropyError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NegentropyError> {
        self.take(N)?.first_chunk().copied().ok_or(NegentropyError::Truncated)
    }
}

/// Writes a message range by range.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    last_timestamp: u64,
}

/// A place in a message to which its writer can go back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    length: usize,
    last_timestamp: u64,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![VERSION], last_timestamp: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no range was written.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.len() == 1
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { length: self.bytes.len(), last_timestamp: self.last_timestamp }
    }

    pub(super) fn go_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.length);
        self.last_timestamp = mark.last_timestamp;
    }

    pub(super) fn skip(&mut self, end: &Bound) {
        self.bound(end);
        self.varint(0);
    }

    pub(super) fn fingerprint(&mut self, end: &Bound, fingerprint: &[u8; FINGERPRINT_BYTES]) {
        self.bound(end);
        self.varint(1);
        self.bytes.extend_from_slice(fingerprint);
    }

    pub(super) fn ids(&mut self, end: &Bound, items: &[Item]) {
        self.bound(end);
        self.varint(2);
        self.varint(u64::try_from(items.len()).unwrap_or(u64::MAX));
        self.bytes.extend(items.iter().flat_map(|item| item.id));
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn bound(&mut self, bound: &Bound) {
        let timestamp = bound.item.timestamp;
        let encoded = match timestamp {
            INFINITY => 0,
            // Bounds ascend; 2^64 - 1 is infinity, so adding 1 does not overflow.
            _ => timestamp.saturating_sub(self.last_timestamp).saturating_add(1),
        };
        self.last_timestamp = timestamp;
        self.varint(encoded);
        self.varint(u64::try_from(bound.id_bytes).unwrap_or(u64::MAX));
        self.bytes.extend(bound.item.id.iter().take(bound.id_bytes));
    }

    fn varint(&mut self, value: u64) {
        self.bytes.extend(varint(value));
    }
}

/// `value` in base 128, most significant digit first.
pub(super) fn varint(value: u64) -> impl Iterator<Item = u8> {
    let digits = (u64::BITS.saturating_sub(value.leading_zeros())).div_ceil(7).max(1);
    (0..digits).rev().map(move |digit| {
        let bits = value.checked_shr(digit.saturating_mul(7)).unwrap_or(0);
        let low = u8::try_from(bits & 0x7F).unwrap_or(0);
        if digit == 0 { low } else { low | 0x80 }
    })
}

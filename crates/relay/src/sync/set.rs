//! The set that is reconciled: items in order, and the fingerprint of a range of them. SPEC: B13.
//!
//! ```text
//! fingerprint = first 16 bytes of SHA-256(sum of the ids as 256-bit little-endian numbers, 32 || count varint)
//! ```

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::encoding::{Bound, FINGERPRINT_BYTES, ID_BYTES, varint};

/// One member of a set, ordered by timestamp, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Here: the epoch of an envelope.
    pub timestamp: u64,
    /// Here: id', the whole salted hash of its id.
    pub id: [u8; ID_BYTES],
}

/// Items in ascending order, none twice.
#[derive(Debug, Clone, Default)]
pub struct ItemSet(Vec<Item>);

impl ItemSet {
    /// A set of `items` in any order. 40 bytes each.
    pub fn new(mut items: Vec<Item>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self(items)
    }

    /// All of them in order. Differences name items by their index here.
    pub fn items(&self) -> &[Item] {
        &self.0
    }

    /// Items of a range of indices; none if it lies outside.
    pub(super) fn slice(&self, range: Range<usize>) -> &[Item] {
        self.0.get(range).unwrap_or_default()
    }

    /// Index of the first item at or beyond `bound`, not below `from`.
    pub(super) fn lower_bound(&self, from: usize, bound: &Bound) -> usize {
        let rest = self.0.get(from..).unwrap_or_default();
        from.saturating_add(rest.partition_point(|item| *item < bound.item))
    }

    /// The fingerprint of a range of indices.
    pub(super) fn fingerprint(&self, range: Range<usize>) -> [u8; FINGERPRINT_BYTES] {
        let items = self.slice(range);
        let mut hasher = Sha256::new();
        sum(items).iter().for_each(|lane| hasher.update(lane.to_le_bytes()));
        varint(u64::try_from(items.len()).unwrap_or(u64::MAX)).for_each(|byte| hasher.update([byte]));
        let digest: [u8; 32] = hasher.finalize().into();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// The sum of the ids modulo 2^256, lowest lane first. Lanes are summed apart in 128 bits, so that one
/// addition need not wait for the carry of another; the carries are settled once at the end.
fn sum(items: &[Item]) -> [u64; 4] {
    let mut wide = [0u128; 4];
    for item in items {
        let (lanes, _) = item.id.as_chunks();
        for (total, lane) in wide.iter_mut().zip(lanes) {
            *total = total.wrapping_add(u128::from(u64::from_le_bytes(*lane)));
        }
    }
    let mut carry: u128 = 0;
    wide.map(|total| {
        let total = total.wrapping_add(carry);
        carry = total >> 64;
        u64::try_from(total & u128::from(u64::MAX)).unwrap_or(0)
    })
}

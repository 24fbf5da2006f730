//! What is kept of an envelope beside its body: 64 bytes.
//!
//! ```text
//! id 32 | tag 16 | effort 4 | flags 4 | arrival 8     little-endian
//! flags: bit 31 used | bits 24 to 30 arrival mod 127 | bits 0 to 23 slot
//! ```
//! The body's hash proves all of it but the arrival, which therefore has a check of its own: no power of two
//! is a multiple of 127, so any flipped bit shows.

use starling_relay::budget::Rank;
use starling_wire::envelope::{EnvelopeId, Tag};

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 64;
/// Slots of one shelf at most: 4 GiB of the smallest envelopes need 2^21.
pub(crate) const SLOTS_MAX: u32 = 1 << 24;
const USED: u32 = 1 << 31;

/// An envelope on a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EnvelopeId,
    pub(crate) tag: Tag,
    pub(crate) effort: u32,
    pub(crate) slot: u32,
    pub(crate) arrival: u64,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..32].copy_from_slice(&self.id.0);
        bytes[32..48].copy_from_slice(&self.tag.0);
        bytes[48..52].copy_from_slice(&self.effort.to_le_bytes());
        bytes[52..56].copy_from_slice(&flags(self.slot, self.arrival).to_le_bytes());
        bytes[56..].copy_from_slice(&self.arrival.to_le_bytes());
        bytes
    }

    /// The entry of 64 bytes; `None` when they are none. Only the body's hash tells whether it is true.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let stored = u32::from_le_bytes(part(bytes, 52));
        let arrival = u64::from_le_bytes(part(bytes, 56));
        let slot = stored & (SLOTS_MAX - 1);
        (stored == flags(slot, arrival)).then(|| Self {
            id: EnvelopeId(part(bytes, 0)),
            tag: Tag(part(bytes, 32)),
            effort: u32::from_le_bytes(part(bytes, 48)),
            slot,
            arrival,
        })
    }

    /// Its rank in the keep rule.
    pub(crate) fn rank(&self) -> Rank {
        Rank { effort: self.effort, id: self.id }
    }
}

fn flags(slot: u32, arrival: u64) -> u32 {
    USED | ((arrival % 127) as u32) << 24 | slot
}

fn part<const N: usize>(bytes: &[u8; ENTRY_BYTES], start: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[start..start + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_and_zeros_are_none() {
        let entry = Entry {
            id: EnvelopeId([7; 32]),
            tag: Tag([8; 16]),
            effort: 1_000,
            slot: SLOTS_MAX - 1,
            arrival: u64::MAX - 1,
        };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        for bit in 0..64 {
            let mut bytes = entry.encode();
            bytes[56 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Entry::decode(&bytes), None, "bit {bit} of the arrival");
        }
        assert_eq!(Entry::decode(&[0; ENTRY_BYTES]), None);
        assert_eq!(Entry::decode(&[0xff; ENTRY_BYTES]), None);
    }
}

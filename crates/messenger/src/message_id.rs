//! Message ids of our own: 16 bytes that look random to everybody else and tell ourselves the local
//! number of the message, so that an answer to one of our messages finds it without a table of all
//! that was ever written.
//!
//! `id = check 8 | number 8 ^ pad 8`, `check` = keyed BLAKE3 of the number, `pad` = keyed BLAKE3 of the
//! check, the key drawn once an account. An id that somebody made up names no number (1 in 2^64).

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::turn::MessageNumber;

/// Makes and reads own message ids.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct MessageIds {
    key: [u8; 32],
}

impl std::fmt::Debug for MessageIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageIds")
    }
}

impl MessageIds {
    /// With the account's key.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    fn keyed(&self, label: &[u8], input: [u8; 8]) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(label);
        hasher.update(&input);
        hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
    }

    /// The id of own message `number`.
    pub(crate) fn id(&self, number: MessageNumber) -> [u8; 16] {
        let check = self.keyed(b"check", number.0.to_le_bytes());
        let pad = self.keyed(b"pad", check);
        let masked = number.0 ^ u64::from_le_bytes(pad);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&check);
        id[8..].copy_from_slice(&masked.to_le_bytes());
        id
    }

    /// The own message that `id` names, if it is one of ours.
    pub(crate) fn number(&self, id: &[u8; 16]) -> Option<MessageNumber> {
        let check: [u8; 8] = id.first_chunk().copied()?;
        let masked: [u8; 8] = id.last_chunk().copied()?;
        let number = u64::from_le_bytes(masked) ^ u64::from_le_bytes(self.keyed(b"pad", check));
        (self.keyed(b"check", number.to_le_bytes()) == check).then_some(MessageNumber(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_id_tells_its_number_and_a_foreign_one_tells_none() {
        let (ours, theirs) = (MessageIds::new([1; 32]), MessageIds::new([2; 32]));
        for number in [0, 1, 77, u64::MAX] {
            let id = ours.id(MessageNumber(number));
            assert_eq!(ours.number(&id), Some(MessageNumber(number)));
            assert_eq!(theirs.number(&id), None);
        }
        assert_ne!(ours.id(MessageNumber(1)), theirs.id(MessageNumber(1)));
        let mut damaged = ours.id(MessageNumber(5));
        damaged[12] ^= 1;
        assert_eq!(ours.number(&damaged), None);
    }
}

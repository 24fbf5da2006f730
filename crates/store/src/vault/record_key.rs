//! Database keys: they order what has an order, and say nothing else.
//!
//! ```text
//! kind 1 | keyed BLAKE3(kind, parent) 16 | order 8 big-endian     ordered kinds
//! kind 1 | keyed BLAKE3(kind, parent) 24                          all others
//! ```
//! A value longer than one piece goes on under the same key with a piece number 1 appended.

use starling_messenger::record::{RecordKind, VaultKey};
use zeroize::Zeroizing;

use crate::seal_at_rest::MasterKey;

/// Bytes of a database key of a record's first piece.
pub(crate) const KEY_BYTES: usize = 25;
/// Bytes of the part that all records of one ordered parent share.
pub(crate) const PARENT_BYTES: usize = 17;

/// Database key of a record.
pub(crate) type RecordKey = [u8; KEY_BYTES];

/// Makes database keys.
pub(crate) struct KeyHasher {
    key: Zeroizing<[u8; 32]>,
}

impl KeyHasher {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self { key: master.derive("starling vault 1 key hashing") }
    }

    /// The database key of `key`.
    pub(crate) fn key_of(&self, key: &VaultKey) -> RecordKey {
        let mut record_key = [0; KEY_BYTES];
        record_key[0] = key.kind as u8;
        let hash = self.hash(key.kind, &key.parent);
        record_key[1..].copy_from_slice(&hash[..KEY_BYTES - 1]);
        if let Some(order) = key.order {
            record_key[PARENT_BYTES..].copy_from_slice(&order.to_be_bytes());
        }
        record_key
    }

    /// What the database keys of all ordered records under `parent` begin with.
    pub(crate) fn parent_prefix(&self, kind: RecordKind, parent: &[u8]) -> [u8; PARENT_BYTES] {
        let mut prefix = [0; PARENT_BYTES];
        prefix[0] = kind as u8;
        prefix[1..].copy_from_slice(&self.hash(kind, parent)[..PARENT_BYTES - 1]);
        prefix
    }

    fn hash(&self, kind: RecordKind, parent: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[kind as u8]);
        hasher.update(parent);
        *hasher.finalize().as_bytes()
    }
}

/// The order of an ordered record.
pub(crate) fn order_of(key: &RecordKey) -> u64 {
    let mut order = [0; 8];
    order.copy_from_slice(&key[PARENT_BYTES..]);
    u64::from_be_bytes(order)
}

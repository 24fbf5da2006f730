//! Pages: history, events and traces are too many to be sealed anew whenever the state key is replaced, and what
//! is deleted of them has to be forgotten all the same.
//!
//! So 64 records in a row, or one file, share a key of their own, a record of 32 bytes under the state key. To forget one of
//! them, the others get a new page key; when the state key is replaced, the old page key is gone, and with it
//! every old copy of the page. Of a million messages 15,625 page keys are sealed anew each day.

use rand::Rng as _;
use starling_messenger::record::RecordKind;
use zeroize::Zeroizing;

use crate::vault::VaultError;
use crate::vault::record_key::{PARENT_BYTES, RecordKey, order_of};
use crate::vault::records::Records;
use crate::vault::sealer::Sealer;

/// Records of a page, by their order.
const PAGE_RECORDS: u64 = 64;
/// Kinds whose records lie in pages, and how many of them in one; all are ordered. Files are large: one a page, so that
/// forgetting one writes no other again.
const PAGED_KINDS: [(RecordKind, u64); 4] = [
    (RecordKind::History, PAGE_RECORDS),
    (RecordKind::Event, PAGE_RECORDS),
    (RecordKind::Trace, PAGE_RECORDS),
    (RecordKind::File, 1),
];

/// Records of a page of the kind of `key`, if that has pages.
fn page_records(key: &RecordKey) -> Option<u64> {
    PAGED_KINDS.iter().find(|(kind, _)| *kind as u8 == key[0]).map(|&(_, records)| records)
}

/// A page, named by the record of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Page(RecordKey);

impl Page {
    /// The page of the record at `key`; `None` for kinds that have none.
    pub(crate) fn of(key: &RecordKey) -> Option<Self> {
        let records = page_records(key)?;
        // What is hashed into a parent is its kind too: pages of two kinds never share a name.
        let mut name = *key;
        name[0] = RecordKind::PageKey as u8;
        name[PARENT_BYTES..].copy_from_slice(&(order_of(key) / records).to_be_bytes());
        Some(Self(name))
    }

    /// Where its key lies.
    pub(crate) fn key_record(&self) -> RecordKey {
        self.0
    }

    /// The first and the last database key of the page of `record`.
    pub(crate) fn bounds(record: &RecordKey) -> (RecordKey, RecordKey) {
        let records = page_records(record).unwrap_or(1);
        let first = order_of(record) / records * records;
        let at = |order: u64| {
            let mut key = *record;
            key[PARENT_BYTES..].copy_from_slice(&order.to_be_bytes());
            key
        };
        (at(first), at(first.saturating_add(records - 1)))
    }

    /// What seals and opens its records; `None` when there is no such page yet.
    pub(crate) fn sealer(&self, records: &Records) -> Result<Option<Sealer>, VaultError> {
        let Some(key) = records.get(&self.0)? else { return Ok(None) };
        let key: &[u8; 32] = key.as_slice().try_into().map_err(|_| VaultError::Damaged("the key of a page"))?;
        Ok(Some(Sealer::under(key)))
    }
}

/// A key for a page, fresh.
pub(crate) fn new_page_key() -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(key.as_mut_slice());
    key
}

/// Whether the event of number `order` is the last of its page.
pub(crate) fn ends_page(order: u64) -> bool {
    order % PAGE_RECORDS == PAGE_RECORDS - 1
}

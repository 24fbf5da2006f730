//! Contents that came in parts, until all parts are here. SPEC.md, "Parts".
//!
//! Each part is stored and confirmed for itself, so that one that is lost does not have all sent again. What does not
//! fit is not confirmed: its writer keeps it and sends it again, days later. So there is room for all that an honest
//! writer has on its way at a time; bounded by account, so that a contact who sends more keeps out their own only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::CONTENT_BYTES_MAX;
use crate::outbox::{OUTBOX_BYTES_MAX, OUTBOX_TEXTS_MAX};
use crate::seen::SeenKey;

/// Parts of a content: the longest one, in parts of 1,869 bytes, has 35.
pub(crate) const PARTS_MAX: u8 = 40;
/// Unfinished contents of one account: a writer has no more on its way.
const UNFINISHED_PER_ACCOUNT_MAX: usize = OUTBOX_TEXTS_MAX;
/// Bytes of them: what a writer has on its way at a time, one more, and what their names and texts add.
const UNFINISHED_BYTES_MAX: usize = OUTBOX_BYTES_MAX + (1 << 20);
/// Bytes of all accounts, beyond which those that have more than their share get no more. Each costs its writer a stamp.
const UNFINISHED_ALL_BYTES_MAX: usize = 128 << 20;
/// That share.
const SHARE_BYTES: usize = 1 << 20;
/// Contents in parts of somebody who is not accepted, whole or not, after which nothing more of theirs is opened.
const STRANGER_CONTENTS_MAX: usize = 4;
/// Bytes of them.
const STRANGER_BYTES_MAX: usize = 2 * CONTENT_BYTES_MAX as usize;
/// How long one waits for its last part.
const UNFINISHED_MS: u64 = 60 * 24 * 3_600_000;

/// The id under which a part is confirmed: that of its message, when it is the only one. SPEC.md, "Parts".
pub(crate) fn confirmed_as(message_id: &[u8; 16], part: u8, of: u8) -> [u8; 16] {
    if of == 1 {
        return *message_id;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"starling/1 part\0");
    hasher.update(message_id);
    hasher.update(&[part, of]);
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

/// One part, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    /// Account of its writer, and id of the message.
    pub(crate) key: SeenKey,
    /// Which part, from 0.
    pub(crate) part: u8,
    /// Of how many.
    pub(crate) of: u8,
    /// Its piece of the content.
    pub(crate) bytes: Vec<u8>,
    /// When it came, ms since 1970.
    pub(crate) unix_ms: u64,
}

/// What became of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    /// It fits nowhere, or contradicts those before it: as if it had not come.
    Refused,
    /// It is kept, or was already.
    Kept,
    /// It was the last one.
    Whole,
}

/// Parts of one content, by their place.
type Parts = BTreeMap<u8, PartRecord>;

/// All unfinished contents.
#[derive(Default)]
pub(crate) struct Reassembly {
    /// By account and message id.
    accounts: BTreeMap<[u8; 32], BTreeMap<[u8; 16], Parts>>,
    /// Bytes of all.
    bytes: usize,
}

fn bytes_of(parts: &Parts) -> usize {
    parts.values().map(|part| part.bytes.len()).sum()
}

impl Reassembly {
    /// Takes up what was stored.
    pub(crate) fn restore(&mut self, record: PartRecord) {
        let (account, id) = record.key;
        self.bytes += record.bytes.len();
        self.accounts.entry(account).or_default().entry(id).or_default().insert(record.part, record);
    }

    /// Keeps a part.
    pub(crate) fn add(&mut self, record: PartRecord) -> Added {
        let PartRecord { key: (account, id), part, of, .. } = record;
        if part >= of || of > PARTS_MAX || record.bytes.is_empty() {
            return Added::Refused;
        }
        let of_account = self.accounts.get(&account);
        let known = of_account.and_then(|contents| contents.get(&id));
        match known.and_then(|parts| parts.values().next()) {
            Some(other) if other.of != of => return Added::Refused,
            Some(_) => {}
            None if of_account.map_or(0, BTreeMap::len) >= UNFINISHED_PER_ACCOUNT_MAX => return Added::Refused,
            None => {}
        }
        if known.is_some_and(|parts| parts.contains_key(&part)) {
            return Added::Kept;
        }
        let of_content = known.map_or(0, bytes_of) + record.bytes.len();
        let of_account = self.bytes_of_account(&account) + record.bytes.len();
        if of_content as u64 > CONTENT_BYTES_MAX || of_account > UNFINISHED_BYTES_MAX {
            return Added::Refused;
        }
        if of_account > SHARE_BYTES && self.bytes + record.bytes.len() > UNFINISHED_ALL_BYTES_MAX {
            return Added::Refused;
        }
        self.restore(record);
        let have = self.accounts.get(&account).and_then(|contents| contents.get(&id)).map_or(0, BTreeMap::len);
        if have == usize::from(of) { Added::Whole } else { Added::Kept }
    }

    fn bytes_of_account(&self, account: &[u8; 32]) -> usize {
        self.accounts.get(account).into_iter().flat_map(BTreeMap::values).map(bytes_of).sum()
    }

    /// Whether there is as much of an account as is kept of somebody who is not accepted.
    pub(crate) fn is_crowded(&self, account: &[u8; 32]) -> bool {
        let contents = self.accounts.get(account).map_or(0, BTreeMap::len);
        contents >= STRANGER_CONTENTS_MAX || self.bytes_of_account(account) >= STRANGER_BYTES_MAX
    }

    /// Contents of an account of which there are parts, and whether each has them all.
    pub(crate) fn of_account(&self, account: &[u8; 32]) -> Vec<(SeenKey, bool)> {
        let contents = self.accounts.get(account).into_iter().flatten();
        let is_whole = |parts: &Parts| parts.values().next().is_some_and(|part| usize::from(part.of) == parts.len());
        contents.map(|(id, parts)| ((*account, *id), is_whole(parts))).collect()
    }

    /// The parts of a content that are there.
    pub(crate) fn parts(&self, key: &SeenKey) -> impl Iterator<Item = &PartRecord> {
        self.accounts.get(&key.0).and_then(|contents| contents.get(&key.1)).into_iter().flat_map(BTreeMap::values)
    }

    /// One part.
    pub(crate) fn get(&self, key: &SeenKey, part: u8) -> Option<&PartRecord> {
        self.accounts.get(&key.0)?.get(&key.1)?.get(&part)
    }

    /// Takes out a content: its parts in their order.
    pub(crate) fn take(&mut self, key: &SeenKey) -> Vec<PartRecord> {
        let Some(contents) = self.accounts.get_mut(&key.0) else { return Vec::new() };
        let parts = contents.remove(&key.1).unwrap_or_default();
        self.bytes -= bytes_of(&parts);
        if contents.is_empty() {
            self.accounts.remove(&key.0);
        }
        parts.into_values().collect()
    }

    /// Contents whose last part did not come in 60 days from their first.
    pub(crate) fn over(&self, unix_ms: u64) -> Vec<SeenKey> {
        let first = |parts: &Parts| parts.values().map(|part| (part.unix_ms, part.key)).min();
        let firsts = self.accounts.values().flat_map(BTreeMap::values).filter_map(first);
        firsts.filter(|(at, _)| at.saturating_add(UNFINISHED_MS) < unix_ms).map(|(_, key)| key).collect()
    }

    /// All parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PartRecord> {
        self.accounts.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(account: u8, id: u32, part: u8, of: u8, bytes: usize) -> PartRecord {
        let mut message_id = [0; 16];
        message_id[..4].copy_from_slice(&id.to_le_bytes());
        PartRecord { key: ([account; 32], message_id), part, of, bytes: vec![part; bytes], unix_ms: 5 }
    }

    #[test]
    fn parts_are_put_together_in_their_order_whatever_came_first() {
        let mut parts = Reassembly::default();
        assert_eq!(parts.add(part(1, 7, 2, 3, 10)), Added::Kept);
        assert_eq!(parts.add(part(1, 7, 0, 3, 10)), Added::Kept);
        assert_eq!(parts.add(part(1, 7, 0, 3, 10)), Added::Kept, "again");
        for wrong in [part(1, 7, 1, 4, 10), part(1, 7, 3, 3, 10), part(1, 8, 0, 41, 10), part(1, 8, 0, 2, 0)] {
            assert_eq!(parts.add(wrong), Added::Refused);
        }
        assert_eq!(parts.add(part(1, 7, 1, 3, 10)), Added::Whole);
        let key = part(1, 7, 0, 3, 1).key;
        let whole: Vec<u8> = parts.take(&key).into_iter().flat_map(|part| part.bytes).collect();
        assert_eq!(whole, [[0; 10], [1; 10], [2; 10]].concat());
        assert!(parts.take(&key).is_empty() && parts.iter().count() == 0);
    }

    #[test]
    fn a_flood_of_unfinished_contents_is_not_kept_and_keeps_out_nobody_else() {
        let mut parts = Reassembly::default();
        let added: Vec<Added> = (0..10_000).map(|id| parts.add(part(1, id, 0, 2, 1_869))).collect();
        assert_eq!(added.iter().filter(|&&added| added == Added::Kept).count(), UNFINISHED_PER_ACCOUNT_MAX);
        assert_eq!(parts.add(part(2, 1, 0, 2, 1_869)), Added::Kept);
        // Those that are kept can still become whole.
        assert_eq!(parts.add(part(1, 0, 1, 2, 1_869)), Added::Whole);
        // One that is longer than any content may be is not kept either.
        assert_eq!(parts.add(part(2, 2, 0, 5, 16_000)), Added::Kept);
        for number in 1..4 {
            assert_eq!(parts.add(part(2, 2, number, 5, 16_000)), Added::Kept);
        }
        assert_eq!(parts.add(part(2, 2, 4, 5, 16_000)), Added::Refused);
        assert_eq!(parts.over(5 + UNFINISHED_MS), []);
        assert_eq!(parts.over(6 + UNFINISHED_MS).len(), UNFINISHED_PER_ACCOUNT_MAX + 2);
    }

    /// Both sides must make the same of it: SPEC.md has these bytes.
    #[test]
    fn a_part_is_confirmed_under_an_id_of_its_own() {
        assert_eq!(confirmed_as(&[7; 16], 0, 1), [7; 16]);
        let ids: Vec<String> = [(0, 2), (1, 2), (1, 3)]
            .into_iter()
            .map(|(part, of)| confirmed_as(&[7; 16], part, of).iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        let expected = [
            "a39a4a4036da529f975829eb02985e71",
            "4c5af4e7fa013cc64a74e193d8537136",
            "21c631c9e2b7152e21b489832d0d2933",
        ];
        assert_eq!(ids, expected);
    }
}

//! Changes of messages that have not come yet: envelopes overtake each other. They are kept until the message comes,
//! or for as long as its id would be remembered. SPEC.md, "Changes".
//!
//! Bounded by account, so that a contact who floods makes us forget their own changes only. What comes for one message
//! is one record, whatever their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::seen::SeenKey;

/// How long a change waits for its message.
const EARLY_MS: u64 = 60 * 24 * 3_600_000;
/// Messages of one account that are waited for; beyond it the one that is waited for longest goes.
const EARLY_PER_ACCOUNT_MAX: usize = 256;
/// Bytes of text that wait with one account's changes; beyond it likewise.
const EARLY_BYTES_PER_ACCOUNT_MAX: usize = 1 << 20;

/// What waits for one message, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlyRecord {
    /// Account that wrote the message, and its id.
    pub(crate) key: SeenKey,
    /// What has changed about it.
    pub(crate) change: Change,
    /// When the first of it came, ms since 1970.
    pub(crate) unix_ms: u64,
}

/// All changes that came before their message.
#[derive(Debug, Default)]
pub(crate) struct Early {
    accounts: BTreeMap<[u8; 32], BTreeMap<[u8; 16], EarlyRecord>>,
}

impl Early {
    /// Takes up what was stored.
    pub(crate) fn restore(&mut self, record: EarlyRecord) {
        let (account, id) = record.key;
        self.accounts.entry(account).or_default().insert(id, record);
    }

    /// Keeps a change; returns what had to go for it.
    pub(crate) fn add(&mut self, key: SeenKey, change: Change, unix_ms: u64) -> Vec<SeenKey> {
        let of_account = self.accounts.entry(key.0).or_default();
        let record = || EarlyRecord { key, change: Change::default(), unix_ms };
        of_account.entry(key.1).or_insert_with(record).change.join(change);
        let bytes = |records: &BTreeMap<[u8; 16], EarlyRecord>| -> usize {
            records.values().map(|record| record.change.text_bytes()).sum()
        };
        let mut gone = Vec::new();
        while of_account.len() > EARLY_PER_ACCOUNT_MAX || bytes(of_account) > EARLY_BYTES_PER_ACCOUNT_MAX {
            let oldest = of_account.values().min_by_key(|record| (record.unix_ms, record.key)).map(|record| record.key);
            let Some(oldest) = oldest else { break };
            of_account.remove(&oldest.1);
            gone.push(oldest);
        }
        gone
    }

    /// What waits for the message that `key` names.
    pub(crate) fn get(&self, key: &SeenKey) -> Option<&EarlyRecord> {
        self.accounts.get(&key.0)?.get(&key.1)
    }

    /// The message is here: takes out what waited for it.
    pub(crate) fn take(&mut self, key: &SeenKey) -> Option<Change> {
        let of_account = self.accounts.get_mut(&key.0)?;
        let record = of_account.remove(&key.1)?;
        if of_account.is_empty() {
            self.accounts.remove(&key.0);
        }
        Some(record.change)
    }

    /// Forgets what has waited for over 60 days; returns it.
    pub(crate) fn expire(&mut self, unix_ms: u64) -> Vec<SeenKey> {
        let over = |record: &&EarlyRecord| record.unix_ms.saturating_add(EARLY_MS) < unix_ms;
        let gone: Vec<SeenKey> = self.iter().filter(over).map(|record| record.key).collect();
        for key in &gone {
            self.take(key);
        }
        gone
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EarlyRecord> {
        self.accounts.values().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Wording;

    fn edit(bytes: usize, revision: u32) -> Change {
        Change::wording(Wording { revision, edited_unix_ms: 1, text: "x".repeat(bytes) })
    }

    fn id(number: u32) -> [u8; 16] {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        id
    }

    #[test]
    fn a_flooding_account_forgets_its_own_changes_only() {
        let mut early = Early::default();
        early.add(([1; 32], [1; 16]), edit(5, 1), 5);
        for number in 0..10_000 {
            early.add(([2; 32], id(number)), edit(10, 1), 10 + u64::from(number));
        }
        assert_eq!(early.accounts[&[2; 32]].len(), EARLY_PER_ACCOUNT_MAX);
        assert!(early.get(&([2; 32], id(9_999))).is_some() && early.get(&([2; 32], id(0))).is_none());
        assert!(early.get(&([1; 32], [1; 16])).is_some());
        for number in 0..100 {
            early.add(([2; 32], id(number)), edit(64_000, 2), 20_000);
        }
        let bytes: usize = early.accounts[&[2; 32]].values().map(|record| record.change.text_bytes()).sum();
        assert!(bytes <= EARLY_BYTES_PER_ACCOUNT_MAX, "{bytes}");
    }

    #[test]
    fn one_message_is_one_record_and_waits_for_sixty_days() {
        let mut early = Early::default();
        let key = ([1; 32], [1; 16]);
        for revision in 1..=1_000 {
            assert!(early.add(key, edit(3, revision), 7).is_empty());
        }
        assert_eq!(early.iter().count(), 1);
        assert_eq!(early.expire(7 + EARLY_MS), []);
        assert_eq!(early.expire(8 + EARLY_MS), [key]);
        assert_eq!(early.take(&key), None);
    }
}

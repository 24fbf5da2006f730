//! The highest handshake generation with people, among sessions that were forgotten. SPEC: B7 (ranks).
//!
//! Somebody who was removed or refused may still hold the old sessions. A new one of the same generation would be
//! ranked against those by its random id, and half of the time lose: they would write on a session that is not
//! here any more. So the next handshake begins one above. And a contact's new device counts on from the handshakes of
//! the one before: were those forgotten with their sessions, it would seem to jump too far.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Accounts remembered; beyond it the one remembered longest goes, strangers before contacts.
const GENERATIONS_MAX: usize = 4_096;

/// The highest generation that was used with an account, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    /// Whose.
    pub(crate) account: [u8; 32],
    /// The highest.
    pub(crate) generation: u32,
    /// They were a contact, not a stranger in the requests box.
    pub(crate) was_contact: bool,
    /// When their sessions were forgotten, ms since 1970.
    pub(crate) forgotten_unix_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Generations {
    accounts: BTreeMap<[u8; 32], GenerationRecord>,
}

impl Generations {
    /// What is remembered of `account`.
    pub(crate) fn get(&self, account: &[u8; 32]) -> Option<&GenerationRecord> {
        self.accounts.get(account)
    }

    /// All, by account.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &GenerationRecord> {
        self.accounts.values()
    }

    /// Remembers one, never below what is known; the account that had to go for it.
    pub(crate) fn remember(&mut self, mut record: GenerationRecord) -> Option<[u8; 32]> {
        if let Some(known) = self.accounts.get(&record.account) {
            record.generation = record.generation.max(known.generation);
            record.was_contact |= known.was_contact;
        }
        self.accounts.insert(record.account, record);
        if self.accounts.len() <= GENERATIONS_MAX {
            return None;
        }
        let least = |record: &&GenerationRecord| (record.was_contact, record.forgotten_unix_ms);
        let gone = self.accounts.values().min_by_key(least)?.account;
        self.accounts.remove(&gone);
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u16, generation: u32, was_contact: bool) -> GenerationRecord {
        let mut account = [0; 32];
        account[..2].copy_from_slice(&number.to_le_bytes());
        GenerationRecord { account, generation, was_contact, forgotten_unix_ms: u64::from(number) }
    }

    #[test]
    fn strangers_go_first_and_a_generation_never_falls() {
        let mut generations = Generations::default();
        assert_eq!(generations.remember(record(0, 7, true)), None);
        assert_eq!(generations.remember(record(0, 3, false)), None);
        assert_eq!(generations.get(&record(0, 0, false).account).map(|known| known.generation), Some(7));
        for number in 1..4_096 {
            assert_eq!(generations.remember(record(number, 1, false)), None);
        }
        assert_eq!(generations.remember(record(5_000, 1, false)), Some(record(1, 1, false).account));
        assert_eq!(generations.remember(record(5_001, 1, true)), Some(record(2, 1, false).account));
    }
}

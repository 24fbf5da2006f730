//! Which messages were received already, by account and message id, for 60 days: a message is sealed
//! more than once, and is shown once. SPEC: B9.5.
//!
//! Bounded by account, so that a contact who floods makes us forget their own messages only.

use std::collections::{BTreeMap, VecDeque};

use crate::turn::MessageNumber;

/// How long a message id is remembered.
const SEEN_MS: u64 = 60 * 24 * 3_600_000;
/// Message ids remembered of one account; beyond it the oldest goes.
const SEEN_PER_ACCOUNT_MAX: usize = 20_000;

#[derive(Debug, Default)]
struct SeenOfAccount {
    /// The local number of each message that was one to show.
    numbers: BTreeMap<[u8; 16], Option<MessageNumber>>,
    /// Oldest first.
    order: VecDeque<(u64, [u8; 16])>,
}

/// A message id of an account.
pub(crate) type SeenKey = ([u8; 32], [u8; 16]);

/// Message ids received in the last 60 days.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    accounts: BTreeMap<[u8; 32], SeenOfAccount>,
    /// Messages to show, by their local number: what an answer may refer to.
    ids: BTreeMap<MessageNumber, SeenKey>,
}

impl Seen {
    /// Whether the message came before.
    pub(crate) fn contains(&self, key: &SeenKey) -> bool {
        self.accounts.get(&key.0).is_some_and(|account| account.numbers.contains_key(&key.1))
    }

    /// Remembers a message; returns the one that had to go for it.
    pub(crate) fn insert(&mut self, key: SeenKey, number: Option<MessageNumber>, unix_ms: u64) -> Option<SeenKey> {
        let account = self.accounts.entry(key.0).or_default();
        if account.numbers.insert(key.1, number).is_some() {
            return None;
        }
        account.order.push_back((unix_ms, key.1));
        if let Some(number) = number {
            self.ids.insert(number, key);
        }
        let crowded = account.order.len() > SEEN_PER_ACCOUNT_MAX;
        crowded.then(|| self.pop_oldest(key.0)).flatten()
    }

    fn pop_oldest(&mut self, of: [u8; 32]) -> Option<SeenKey> {
        let account = self.accounts.get_mut(&of)?;
        let (_, id) = account.order.pop_front()?;
        if let Some(number) = account.numbers.remove(&id).flatten() {
            self.ids.remove(&number);
        }
        Some((of, id))
    }

    /// Puts the restored records in order of time. Called once after they were all inserted.
    pub(crate) fn sort(&mut self) {
        for account in self.accounts.values_mut() {
            account.order.make_contiguous().sort_unstable();
        }
    }

    /// Forgets what is over 60 days old; returns it.
    pub(crate) fn expire(&mut self, unix_ms: u64) -> Vec<SeenKey> {
        let accounts: Vec<[u8; 32]> = self.accounts.keys().copied().collect();
        let mut gone = Vec::new();
        for of in accounts {
            while self
                .accounts
                .get(&of)
                .and_then(|account| account.order.front())
                .is_some_and(|&(at, _)| at.saturating_add(SEEN_MS) < unix_ms)
            {
                gone.extend(self.pop_oldest(of));
            }
        }
        self.accounts.retain(|_, account| !account.order.is_empty());
        gone
    }

    /// All, with local number and time of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeenKey, Option<MessageNumber>, u64)> {
        self.accounts.iter().flat_map(|(&account, of)| {
            let number = |id: &[u8; 16]| of.numbers.get(id).copied().flatten();
            of.order.iter().map(move |(unix_ms, id)| ((account, *id), number(id), *unix_ms))
        })
    }

    /// Local number of a message that `account` sent.
    pub(crate) fn number(&self, key: &SeenKey) -> Option<MessageNumber> {
        self.accounts.get(&key.0)?.numbers.get(&key.1).copied().flatten()
    }

    /// Ids of the messages to show that `account` sent, with local numbers from `first` to `last`, in their order.
    pub(crate) fn ids_between(
        &self,
        account: &[u8; 32],
        first: MessageNumber,
        last: MessageNumber,
    ) -> impl DoubleEndedIterator<Item = [u8; 16]> {
        let keys = self.ids.range(first..=last).map(|(_, key)| *key);
        let account = *account;
        keys.filter(move |(of, _)| *of == account).map(|(_, id)| id)
    }

    /// Account and message id of a received message.
    pub(crate) fn key_of(&self, number: MessageNumber) -> Option<SeenKey> {
        self.ids.get(&number).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flooding_account_forgets_its_own_messages_only() {
        let mut seen = Seen::default();
        seen.insert(([1; 32], [1; 16]), Some(MessageNumber(1)), 10);
        let mut gone = Vec::new();
        for number in 0..20_001u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_le_bytes());
            gone.extend(seen.insert(([2; 32], id), None, 20));
        }
        assert_eq!(gone, [([2; 32], [0; 16])]);
        assert!(seen.contains(&([1; 32], [1; 16])));
        assert_eq!(seen.number(&([1; 32], [1; 16])), Some(MessageNumber(1)));
        assert_eq!(seen.key_of(MessageNumber(1)), Some(([1; 32], [1; 16])));
    }

    #[test]
    fn after_sixty_days_it_is_forgotten() {
        let mut seen = Seen::default();
        seen.insert(([1; 32], [2; 16]), None, 30);
        seen.insert(([1; 32], [1; 16]), Some(MessageNumber(4)), 10);
        seen.sort();
        assert_eq!(seen.expire(11 + SEEN_MS), [([1; 32], [1; 16])]);
        assert!(!seen.contains(&([1; 32], [1; 16])) && seen.contains(&([1; 32], [2; 16])));
        assert_eq!(seen.key_of(MessageNumber(4)), None);
    }
}

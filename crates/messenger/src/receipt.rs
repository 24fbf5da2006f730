//! Acknowledgements: which are due to whom, and which are repeated. SPEC: B9.6.
//!
//! They ride in the next message to the contact, else leave as one batch after a random delay or when
//! many are pending. The newest are repeated in the spare room of every message, so that one lost batch
//! does not make the peer send everything again.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::turn::ContactNumber;

/// Pending acknowledgements that make a batch leave at once.
pub(crate) const RECEIPTS_BATCH: usize = 32;
/// Acknowledgements due to one contact that are remembered; beyond it the oldest goes, and the peer's next
/// sealing of that message brings it back.
const RECEIPTS_DUE_MAX: usize = 1_024;
/// Acknowledgements repeated in spare room.
const RECEIPTS_REPEATED_MAX: usize = 60;
/// How long one is repeated.
const RECEIPTS_REPEATED_MS: u64 = 48 * 3_600_000;

/// What is due to one contact, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContactReceipts {
    /// Not yet in any sealed message, oldest first.
    due: VecDeque<[u8; 16]>,
    /// The newest that were given, with the time of each, oldest first.
    recent: VecDeque<([u8; 16], u64)>,
}

impl ContactReceipts {
    /// `id` came, for the first time or again.
    fn add(&mut self, id: [u8; 16], unix_ms: u64) {
        if !self.due.contains(&id) {
            self.due.push_back(id);
        }
        if self.due.len() > RECEIPTS_DUE_MAX {
            self.due.pop_front();
        }
        self.recent.retain(|&(known, _)| known != id);
        self.recent.push_back((id, unix_ms));
        self.forget_old(unix_ms);
    }

    fn forget_old(&mut self, unix_ms: u64) {
        let old = |&(_, at): &([u8; 16], u64)| at.saturating_add(RECEIPTS_REPEATED_MS) < unix_ms;
        while self.recent.len() > RECEIPTS_REPEATED_MAX || self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
    }

    /// Takes what goes into an envelope with room for `room` ids: all that is due, then the newest again.
    pub(crate) fn take(&mut self, room: usize, unix_ms: u64) -> Vec<[u8; 16]> {
        self.forget_old(unix_ms);
        let mut ids: Vec<[u8; 16]> = self.due.drain(..self.due.len().min(room)).collect();
        for &(id, _) in self.recent.iter().rev() {
            if ids.len() >= room {
                break;
            }
            if !ids.contains(&id) && !self.due.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Acknowledgements not yet in any sealed message.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }
}

/// All contacts' receipts.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    contacts: BTreeMap<ContactNumber, ContactReceipts>,
}

impl Receipts {
    /// Takes up what was stored.
    pub(crate) fn restore(&mut self, contact: ContactNumber, receipts: ContactReceipts) {
        self.contacts.insert(contact, receipts);
    }

    /// Message `id` of `contact` is to be acknowledged; how many are due now.
    pub(crate) fn add(&mut self, contact: ContactNumber, id: [u8; 16], unix_ms: u64) -> usize {
        let receipts = self.contacts.entry(contact).or_default();
        receipts.add(id, unix_ms);
        receipts.due()
    }

    /// Takes at most `room` ids for an envelope to `contact`.
    pub(crate) fn take(&mut self, contact: ContactNumber, room: usize, unix_ms: u64) -> Vec<[u8; 16]> {
        self.contacts.get_mut(&contact).map(|receipts| receipts.take(room, unix_ms)).unwrap_or_default()
    }

    /// Acknowledgements due to `contact`.
    pub(crate) fn due(&self, contact: ContactNumber) -> usize {
        self.contacts.get(&contact).map_or(0, ContactReceipts::due)
    }

    /// What is stored for `contact`.
    pub(crate) fn get(&self, contact: ContactNumber) -> Option<&ContactReceipts> {
        self.contacts.get(&contact)
    }

    /// Contacts to whom something is due.
    pub(crate) fn contacts_due(&self) -> Vec<ContactNumber> {
        self.contacts.iter().filter(|(_, receipts)| receipts.due() > 0).map(|(&contact, _)| contact).collect()
    }

    /// Forgets a contact.
    pub(crate) fn remove(&mut self, contact: ContactNumber) {
        self.contacts.remove(&contact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: ContactNumber = ContactNumber(1);

    fn id(number: u8) -> [u8; 16] {
        [number; 16]
    }

    #[test]
    fn due_ones_come_first_and_the_newest_are_repeated() {
        let mut receipts = Receipts::default();
        for number in 0..5 {
            receipts.add(WHO, id(number), 1_000 + u64::from(number));
        }
        assert_eq!(receipts.take(WHO, 3, 2_000), [id(0), id(1), id(2)]);
        assert_eq!(receipts.due(WHO), 2);
        assert_eq!(receipts.take(WHO, 4, 2_000), [id(3), id(4), id(2), id(1)]);
        assert_eq!(receipts.due(WHO), 0);
        assert_eq!(receipts.take(WHO, 2, 2_000), [id(4), id(3)]);
        assert_eq!(receipts.take(WHO, 9, 1_005 + RECEIPTS_REPEATED_MS).len(), 0);
    }

    #[test]
    fn a_copy_is_acknowledged_again_once() {
        let mut receipts = Receipts::default();
        receipts.add(WHO, id(1), 1);
        assert_eq!(receipts.add(WHO, id(1), 2), 1);
        assert_eq!(receipts.take(WHO, 9, 3), [id(1)]);
        assert_eq!(receipts.add(WHO, id(1), 4), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut receipts = Receipts::default();
        for number in 0..5_000u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_le_bytes());
            receipts.add(WHO, id, 1);
        }
        assert_eq!(receipts.due(WHO), RECEIPTS_DUE_MAX);
        assert_eq!(receipts.get(WHO).unwrap().recent.len(), RECEIPTS_REPEATED_MAX);
    }
}

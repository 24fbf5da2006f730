//! Whether a contact's keys are theirs: the verified mark, devices that come anew, two device lists of one version, and
//! an account that takes another's place. SPEC: B6 (device list), B18; messenger SPEC, "Trust".
//!
//! The mark is about the account key. A new device leaves it alone, a new account drops it. A forked device list says
//! nothing about the mark, as both lists carry the account's signature: it says that somebody else may hold that key.
//! So nothing leaves for the contact until the person has asked them and decided.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use starling_e2ee::identity::ListHead;
use starling_e2ee::prekey::Bundle;
use starling_relay::pool::EnvelopePool;

use crate::contact::{Contact, PinnedDevice};
use crate::invitation::Owner;
use crate::messenger::Messenger;
use crate::post::{Post, PostId};
use crate::stored::Dirty;
use crate::turn::{CommandError, ContactNumber, ListChoice, Reply};

/// Code of the warning that somebody's device list is forked.
const FORK_WARNING: &str = "devices_forked";

/// The other device list of a fork, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OtherList {
    /// The list, and the device that it certifies.
    pub(crate) pinned: PinnedDevice,
    /// The newest bundle of that device, if one came.
    pub(crate) bundle: Option<Bundle>,
}

impl Contact {
    /// Whether nothing is sent to them before the person decided between two device lists.
    pub(crate) fn is_forked(&self) -> bool {
        self.other_list.is_some()
    }

    /// Whether a fork waits for a decision, and `list` is not the one known from before.
    pub(crate) fn is_undecided_about(&self, list: &ListHead) -> bool {
        self.is_forked() && self.pinned.is_some_and(|pinned| pinned.list != *list)
    }

    /// Takes over a device, of a later list than the known one; whether it takes another's place.
    pub(crate) fn take_device(&mut self, offered: PinnedDevice, unix_ms: u64) -> bool {
        let before = self.pinned.replace(offered);
        // A bundle of the old device would make a session that nobody has.
        self.bundle = self.bundle.take().filter(|bundle| bundle.device == offered.device);
        let replaced = before.is_some_and(|known| known.device != offered.device);
        if replaced {
            self.devices_changed_unix_ms = Some(unix_ms);
        }
        replaced
    }

    /// The place of a text of theirs in the conversation: an account that took the place of another counts on.
    pub(crate) fn place_of(&mut self, sequence: u64) -> u64 {
        let place = self.sequence_base.saturating_add(sequence);
        self.sequences_used = self.sequences_used.max(place.saturating_add(1));
        place
    }

    /// The contact with another account in the place of this one's: the name, the history and our count of texts stay.
    fn with_account(&self, account: [u8; 32], unix_ms: u64) -> Self {
        Self {
            unnamed: self.unnamed,
            last_activity_unix_ms: self.last_activity_unix_ms,
            next_sequence: self.next_sequence,
            sequence_base: self.sequences_used,
            sequences_used: self.sequences_used,
            mark_lost: self.mark_lost || self.verified_unix_ms.is_some(),
            ..Self::new(self.number, self.name.clone(), account, unix_ms)
        }
    }
}

impl<P: EnvelopePool> Messenger<P> {
    /// Sets the verified mark, or drops it. Either way the person has seen that an earlier one was lost.
    pub(crate) fn set_verified(&mut self, number: ContactNumber, verified: bool) -> Result<Reply, CommandError> {
        let unix_ms = self.now.unix_ms;
        let contact = self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?;
        if !verified && contact.verified_unix_ms.is_none() && !contact.mark_lost {
            return Ok(Reply::Contact(self.contact_view(number)?));
        }
        contact.verified_unix_ms = verified.then_some(unix_ms);
        contact.mark_lost = false;
        self.changed(number)
    }

    /// The account has signed another device list of the version that is known; whether that was news.
    pub(crate) fn raise_fork(&mut self, number: ContactNumber, other: PinnedDevice, bundle: Option<Bundle>) -> bool {
        let Some(contact) = self.contacts.get_mut(number) else { return false };
        if contact.settled_list == Some(other.list) {
            return false;
        }
        if let Some(known) = &mut contact.other_list {
            // A third list changes nothing: what is there already has to be decided first.
            let later = |bundle: &&Bundle| known.bundle.as_ref().is_none_or(|older| older.seq < bundle.seq);
            let is_news = known.pinned == other && bundle.as_ref().filter(later).is_some();
            if is_news {
                known.bundle = bundle;
                self.mark(Dirty::Contact(number));
            }
            return is_news;
        }
        contact.other_list = Some(Box::new(OtherList { pinned: other, bundle }));
        self.hold_back(number);
        // Known a moment ago, so its view cannot fail.
        let _ = self.changed(number);
        if self.forked_count() == 1 {
            self.warn(FORK_WARNING, true);
        }
        true
    }

    fn forked_count(&self) -> usize {
        self.contacts.iter().filter(|contact| contact.is_forked()).count()
    }

    /// Ends the warning if a fork has just gone, and no other is left.
    pub(crate) fn fork_is_over(&mut self) {
        if self.forked_count() == 0 {
            self.warn(FORK_WARNING, false);
        }
    }

    /// What nobody has taken yet stays here, to be sealed anew after the decision.
    fn hold_back(&mut self, number: ContactNumber) {
        for item in self.outbox.of_contact(number) {
            let post = self.post(PostId::Item(item));
            if post.is_some_and(|post| !post.taken && !post.came_back) {
                self.unseal(item);
            }
        }
        self.refresh_reasons(number);
    }

    /// Whether own envelope `id` is held back. [`Self::trust_list`] takes it up again.
    pub(crate) fn is_held_back(&self, id: PostId) -> bool {
        let PostId::Item(number) = id else { return false };
        let contact = self.outbox.get(number).map(|item| item.contact);
        contact.and_then(|contact| self.contacts.get(contact)).is_some_and(Contact::is_forked)
    }

    /// The person asked the contact which of two device lists is right.
    pub(crate) fn trust_list(
        &mut self,
        number: ContactNumber,
        choice: ListChoice,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let unix_ms = self.now.unix_ms;
        let contact = self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?;
        let Some(other) = contact.other_list.take() else {
            return Ok(Reply::Contact(self.contact_view(number)?));
        };
        match choice {
            ListChoice::Known => contact.settled_list = Some(other.pinned.list),
            ListChoice::Other => {
                contact.settled_list = contact.pinned.map(|pinned| pinned.list);
                contact.pinned = Some(other.pinned);
                contact.devices_changed_unix_ms = Some(unix_ms);
                contact.shard = other.bundle.as_ref().map_or(contact.shard, |bundle| bundle.shard);
                contact.bundle = other.bundle;
                contact.one_time_key = None;
                self.leave_other_devices(number);
            }
        }
        // What was refused meanwhile may be in the pool.
        self.watch_bundles(number, rng);
        for id in self.outbox.of_contact(number).into_iter().map(PostId::Item) {
            if self.post(id).and_then(Post::id).is_some() {
                self.push(id, rng);
            }
        }
        if self.receipts.due(number) > 0 {
            self.schedule_receipts(number, rng);
        }
        self.refresh_reasons(number);
        self.pump_due = true;
        self.fork_is_over();
        self.changed(number)
    }

    /// The device that sessions were made with is not the contact's: it is not heard any more, and what it did not
    /// confirm goes to the right one.
    fn leave_other_devices(&mut self, number: ContactNumber) {
        let device = self.contacts.get(number).and_then(|contact| contact.pinned).map(|pinned| pinned.device);
        for slot in self.sessions.of(Owner::Contact(number)) {
            if self.sessions.get(slot).is_some_and(|entry| Some(*entry.session.peer()) != device) {
                self.forget_session(slot);
            }
        }
        self.address_anew(number);
    }

    /// Another account takes the place of `number`'s: the history stays, the mark is dropped, and what the old account
    /// did not confirm is given up, as it was not written to the new one.
    pub(crate) fn replace_account(&mut self, number: ContactNumber, account: [u8; 32]) -> Result<(), CommandError> {
        let unix_ms = self.now.unix_ms;
        self.leave(number)?;
        let old = self.contacts.remove(number).ok_or(CommandError::NoSuchContact)?;
        self.contacts.insert(old.with_account(account, unix_ms));
        if old.is_forked() {
            self.fork_is_over();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use starling_e2ee::identity::DevicePublic;

    use super::*;

    #[test]
    fn a_later_list_of_devices_is_told_and_the_same_one_is_not() {
        let pinned = |device, version| PinnedDevice {
            device: DevicePublic { account: [1; 32], signing: [device; 32], agreement: [device; 32] },
            list: ListHead { version, head: [device; 32] },
        };
        let mut contact = Contact::new(ContactNumber(1), "Ana".into(), [1; 32], 5);
        contact.verified_unix_ms = Some(6);
        assert!(!contact.take_device(pinned(1, 1), 7), "the first one");
        assert!(!contact.take_device(pinned(1, 1), 8));
        assert_eq!(contact.devices_changed_unix_ms, None);
        assert!(contact.take_device(pinned(2, 2), 9));
        let view = contact.view(true);
        assert_eq!(
            (view.devices_changed_unix_ms, view.verified_unix_ms),
            (Some(9), Some(6)),
            "the number is unchanged"
        );
    }

    #[test]
    fn an_account_that_follows_another_counts_on_and_never_over_the_end() {
        let mut old = Contact::new(ContactNumber(1), "Ana".into(), [1; 32], 5);
        assert_eq!((old.place_of(4), old.place_of(2)), (4, 2));
        let mut new = old.with_account([2; 32], 6);
        assert_eq!((new.place_of(0), new.place_of(1)), (5, 6));
        new.place_of(u64::MAX);
        let mut newest = new.with_account([3; 32], 7);
        assert_eq!((newest.place_of(0), newest.place_of(9)), (u64::MAX, u64::MAX));
    }
}

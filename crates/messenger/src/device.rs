//! Devices that take each other's place: a contact's, and this account's own. SPEC: B6 (device list), B7.
//!
//! An account of this version has one device. Whoever restores a backup has a new one, under the same account and
//! address, on a device list that follows the old. A contact learns of it by the new device's bundle or by its first
//! contact, whichever comes first. From then on everything that was not confirmed is sealed again, to the new device,
//! under the same message ids; what the old one had written before is still read, and what it writes later is not.
//!
//! Two devices restored from one backup would sign two lists of one version, which contacts take for a copied key. So a
//! restored device first looks whether the network knows a later list of its own account, and follows that one.

use rand_core::CryptoRng;
use starling_e2ee::identity::{ListHead, ListOrder};
use starling_e2ee::prekey::{Bundle, bundle_tag, weeks_to_read};
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::{Envelope, Epoch, Tag};

use crate::contact::PinnedDevice;
use crate::invitation::Owner;
use crate::job::parts;
use crate::messenger::Messenger;
use crate::outbox::Item;
use crate::sessions::Slot;
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{ContactNumber, RequestNumber};
use crate::view::Event;

/// In the table of bundle tags: this account itself. Contacts count from 1.
pub(crate) const OURSELVES: ContactNumber = ContactNumber(0);
/// Hours by which an envelope of a replaced device may be later than the first session with its successor: clocks
/// differ, and an envelope may have been sealed before that session became known here.
const REPLACED_SLACK_HOURS: u32 = 1;
/// How long a restored device looks for others of its account, from its first link, in times of the rhythm of
/// reconciliations: the newest hours come with the first of them, the rest follow at once.
const SETTLING_SYNCS: u64 = 2;

impl<P: EnvelopePool> Messenger<P> {
    /// A contact speaks with `pinned` from now on, if that is not older than what is known.
    pub(crate) fn take_device(&mut self, number: ContactNumber, pinned: PinnedDevice) {
        let unix_ms = self.now.unix_ms;
        let Some(contact) = self.contacts.get_mut(number) else { return };
        if contact.pinned.is_some_and(|known| known.list.compare(&pinned.list) != ListOrder::Newer) {
            return;
        }
        let replaced = contact.take_device(pinned, unix_ms);
        self.mark(Dirty::Contact(number));
        if replaced {
            self.address_anew(number);
            self.tell_device(number);
        }
    }

    /// Everything that the contact's old device did not confirm is sealed again, for the new one.
    pub(crate) fn address_anew(&mut self, number: ContactNumber) {
        if let Some(contact) = self.contacts.get_mut(number) {
            // A device restored from an old backup may know nothing of us: hello and card ride along again.
            contact.greeted = false;
            contact.handshake_unix_ms = None;
        }
        for item in self.outbox.of_contact(number) {
            // What is in parts is of use to a device that has all of them.
            self.outbox.unsettle(item);
        }
        self.seal_open_again(number);
        for item in self.outbox.of_contact(number) {
            if self.outbox.get(item).is_some_and(Item::is_open) {
                self.outbox.begin_anew(item);
            }
        }
    }

    /// A line for people: a contact writes from another device.
    fn tell_device(&mut self, number: ContactNumber) {
        if let Ok(view) = self.contact_view(number) {
            self.event(Event::ContactChanged(view));
        }
    }

    /// Somebody in the requests box wrote from another device than before.
    pub(crate) fn take_request_device(&mut self, number: RequestNumber, pinned: PinnedDevice) {
        let Some(request) = self.invitations.requests.get_mut(&number) else { return };
        if request.pinned.list.compare(&pinned.list) == ListOrder::Newer {
            request.pinned = pinned;
            self.mark(Dirty::Request(number));
        }
    }

    /// Whether an envelope of `epoch` on the session at `slot` was written by a device that had been replaced by
    /// then. Its keys are revoked: whoever has it must not go on in its owner's name.
    pub(crate) fn is_of_replaced_device(&self, slot: Slot, epoch: Epoch) -> bool {
        let Some(entry) = self.sessions.get(slot) else { return false };
        let Owner::Contact(number) = entry.owner else { return false };
        let Some(pinned) = self.contacts.get(number).and_then(|contact| contact.pinned) else { return false };
        if *entry.session.peer() == pinned.device {
            return false;
        }
        let slots = self.sessions.of(entry.owner).into_iter();
        let successors = slots
            .filter_map(|slot| self.sessions.get(slot))
            .filter(|entry| *entry.session.peer() == pinned.device)
            .map(|entry| entry.session.created_unix_ms());
        successors.min().is_some_and(|since_ms| epoch > Epoch::from_unix_ms(since_ms).plus(REPLACED_SLACK_HOURS))
    }

    /// Takes up the search for other devices of this account, and watches where their bundles would be.
    pub(crate) fn begin_device(&mut self, rng: &mut impl CryptoRng) {
        // A restored device has published nothing yet.
        self.settling = self.prekeys.newest().is_none() && self.identity.list_head().version > 1;
        self.watch_own_bundles(rng);
    }

    /// Watches the tags under which bundles of this account are found, and has them looked up.
    pub(crate) fn watch_own_bundles(&mut self, rng: &mut impl CryptoRng) {
        for tag in self.own_bundle_tags() {
            self.bundle_tags.entry(tag).or_default().insert(OURSELVES);
            self.inbox.look_up([tag]);
        }
        self.wake_inbox(rng);
    }

    fn own_bundle_tags(&self) -> Vec<Tag> {
        weeks_to_read(self.epoch().0).map(|week| Tag(bundle_tag(&self.profile.address, week).0)).collect()
    }

    /// A neighbour is there: after some reconciliations what the network knows of this account is here.
    pub(crate) fn settle_soon(&mut self) {
        if self.settling {
            let wait_ms = u64::from(self.parameters.sync_interval_ms) * SETTLING_SYNCS;
            self.timers.set_if_absent(Timer::Settle, self.now.monotonic_ms.saturating_add(wait_ms));
        }
    }

    /// Ends the search: goes on from the latest list that the network knows, and begins to publish.
    pub(crate) fn settle(&mut self, rng: &mut impl CryptoRng) {
        if self.inbox.is_searching() {
            return self.settle_soon();
        }
        let latest = self.settled_list.take();
        if let Some(latest) = latest.filter(|latest| latest.version >= self.identity.list_head().version)
            && self.identity.follow(&latest).is_ok()
        {
            self.mark(Dirty::Identity);
        }
        self.settling = false;
        self.renew_prekeys(rng);
        self.pump_due = true;
    }

    /// The device list of which a bundle of this account speaks, if it is another device's.
    fn list_of_other_device(&self, envelope: &Envelope) -> Option<ListHead> {
        let (own, hour) = (self.identity.public(), self.epoch().0);
        let bundle = Bundle::open(&parts(envelope), &self.profile.address, Some(&own.account), None, hour).ok()?;
        (bundle.device != own).then_some(bundle.list)
    }

    /// A bundle of this account: if it is another device's on a later list, or on another one of the same version,
    /// contacts go on with that device.
    pub(crate) fn take_own_bundle(&mut self, envelope: &Envelope) {
        let Some(list) = self.list_of_other_device(envelope) else { return };
        if self.settling {
            if self.settled_list.is_none_or(|known| known.version < list.version) {
                self.settled_list = Some(list);
            }
            return;
        }
        let order = self.identity.list_head().compare(&list);
        let later = matches!(order, ListOrder::Newer | ListOrder::Forked);
        if later && !self.replaced {
            self.replaced = true;
            self.warn("replaced", true);
        }
    }
}

//! First contacts: from an envelope that only we could recognise to a session, a contact or a request.
//! SPEC: B5, B7, B11 steps 7 to 9.

use rand_core::CryptoRng;
use starling_e2ee::handshake::{AcceptError, Accepted, OuterFirstContact, accept, generation_allowed};
use starling_e2ee::identity::DevicePublic;
use starling_e2ee::session::Session;
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::{Epoch, Tag};

use crate::contact::{CONTACTS_MAX, Contact, PinnedDevice};
use crate::generation::GenerationRecord;
use crate::invitation::{Owner, Request};
use crate::messenger::Messenger;
use crate::sessions::{SESSIONS_PER_OWNER_MAX, SESSIONS_PER_REQUEST_MAX, Slot};
use crate::stored::{Dirty, FirstContactRecord};
use crate::turn::{ContactNumber, InviteNumber, JobId, RequestNumber};
use crate::view::{Event, InviteState};

/// First contacts remembered against replay; the bundles they name bound their time.
const FIRST_CONTACTS_MAX: usize = 65_536;

impl<P: EnvelopePool> Messenger<P> {
    /// Some of the envelopes under unknown tags were for us.
    pub(crate) fn on_first_contacts(
        &mut self,
        job: JobId,
        found: Vec<(u64, OuterFirstContact)>,
        rng: &mut impl CryptoRng,
    ) {
        if !self.end_trials(job) {
            return;
        }
        for (_, outer) in found {
            self.take_first_contact(&outer, rng);
        }
        if !self.dirty.is_empty() {
            self.mark_cursor_if_moved();
        }
    }

    fn take_first_contact(&mut self, outer: &OuterFirstContact, rng: &mut impl CryptoRng) {
        if let Some(known) = self.first_contacts.get(&outer.digest()) {
            let session = known.session;
            self.take_repeated(session, outer, rng);
            return;
        }
        let account = outer.device().account;
        let contact = self.contacts.by_account(&account);
        let owner = match contact {
            Some(contact) => Some(Owner::Contact(contact)),
            None => self.invitations.request_of(&account).map(Owner::Request),
        };
        if !self.may_accept(outer, owner) {
            return;
        }
        let invite = outer.one_time_id().and_then(|id| self.invitations.by_key(id));
        let (number, key) = (invite.map(|invite| invite.number), invite.and_then(|invite| invite.key.as_ref()));
        let list = contact.and_then(|contact| self.contacts.get(contact)?.pinned).map(|pinned| pinned.list);
        let network = &self.network.0;
        let result = accept(&self.identity, &self.prekeys, key, outer, list.as_ref(), network, self.now.unix_ms);
        let accepted = match (result, contact) {
            (Ok(accepted), _) => accepted,
            (Err(AcceptError::ForkedList(fork)), Some(contact)) => {
                self.raise_fork(contact, PinnedDevice { device: fork.device, list: fork.list }, None);
                return;
            }
            // Not said why: the writer learns nothing, and nobody who forwarded it is to blame.
            (Err(_), _) => return,
        };
        let contact = contact.and_then(|contact| self.contacts.get(contact));
        if contact.is_some_and(|contact| contact.is_undecided_about(&accepted.list)) {
            // They try again, and are heard once the person has decided.
            return;
        }
        self.take_accepted(outer, accepted, number, owner, rng);
    }

    /// A further sealing of a first contact that made a session already.
    fn take_repeated(
        &mut self,
        session: starling_e2ee::session::SessionId,
        outer: &OuterFirstContact,
        rng: &mut impl CryptoRng,
    ) {
        let unix_ms = self.now.unix_ms;
        let Some(slot) = self.sessions.by_id(session) else { return };
        if self.is_of_replaced_device(slot, Epoch(outer.epoch_hour())) {
            return;
        }
        let Some(entry) = self.sessions.get_mut(slot).filter(|entry| entry.is_watched()) else { return };
        if let Ok(opened) = entry.session.open_repeated(outer, unix_ms) {
            self.take_opened(slot, opened, rng);
        }
    }

    /// What can be decided before any costly step: too many, generation, a session id used twice.
    fn may_accept(&self, outer: &OuterFirstContact, owner: Option<Owner>) -> bool {
        let invited = outer.one_time_id().is_some_and(|id| self.invitations.by_key(id).is_some());
        let stranger = !invited && !matches!(owner, Some(Owner::Contact(_)));
        if stranger && self.first_contacts.len() >= FIRST_CONTACTS_MAX {
            // Forgetting others for a stranger would let their copies in as new requests.
            return false;
        }
        let sessions_max = if stranger { SESSIONS_PER_REQUEST_MAX } else { SESSIONS_PER_OWNER_MAX };
        let highest = self.highest_known(owner, &outer.device().account);
        let sessions = owner.map_or(0, |owner| self.sessions.count(owner));
        generation_allowed(highest, outer.generation())
            && sessions < sessions_max
            && self.sessions.by_id(outer.session_id()).is_none()
    }

    fn take_accepted(
        &mut self,
        outer: &OuterFirstContact,
        accepted: Accepted,
        invite: Option<InviteNumber>,
        owner: Option<Owner>,
        rng: &mut impl CryptoRng,
    ) {
        let pinned = PinnedDevice { device: *outer.device(), list: accepted.list };
        let known = owner;
        let Some(owner) = self.owner_of(pinned, invite, owner, rng) else { return };
        let Accepted { session, records, skipped_added, .. } = accepted;
        let id = session.id();
        let record = FirstContactRecord { digest: outer.digest(), bundle_seq: outer.bundle_seq(), session: id };
        self.make_room_for_digest();
        self.first_contacts.insert(record.digest, record);
        self.mark(Dirty::FirstContact(record.digest));
        let unread = self.may_be_unread_by(owner, outer);
        let slot = self.sessions.insert(session, owner);
        self.mark(Dirty::Session(id));
        skipped_added.iter().for_each(|key| self.write_skipped(key));
        if let Owner::Contact(contact) = owner
            && unread
            && self.sessions.best(owner, outer.device()) == Some(slot)
        {
            // To a blocked one nothing is sealed: it waits for the end of that.
            self.seal_open_again(contact);
        }
        if self.is_blocked(owner) {
            // Not heard, as on any session of theirs: unconfirmed, it is sealed again, and heard once they are unblocked.
            return;
        }
        self.watch_session(slot, rng);
        self.take_records(owner, records, rng);
        match owner {
            Owner::Contact(contact) => self.announce_ready(contact),
            Owner::Request(request) if known.is_none() => self.announce_request(request),
            Owner::Request(_) => {}
        }
    }

    /// Whether what is under way on earlier sessions may never be read by the device that made this handshake: it is
    /// a later one than any, so the device has lost the sessions before or takes them for broken; or our own first
    /// contact is unanswered, may be lost on its way, and is not repeated once the two of us talk on this session.
    fn may_be_unread_by(&self, owner: Owner, outer: &OuterFirstContact) -> bool {
        let later =
            self.sessions.highest_generation(owner, outer.device()).is_some_and(|known| known < outer.generation());
        let best = self.sessions.best(owner, outer.device()).and_then(|slot| self.sessions.get(slot));
        later || best.is_some_and(|entry| entry.session.first_contact_pending())
    }

    fn is_blocked(&self, owner: Owner) -> bool {
        matches!(owner, Owner::Contact(number) if self.contacts.get(number).is_some_and(|contact| contact.blocked))
    }

    /// Forgets one first contact for that of a contact or an invited one when too many are remembered: one whose session is gone, so that a copy of it makes
    /// a new request at the worst; a copy of another is known by its session.
    fn make_room_for_digest(&mut self) {
        if self.first_contacts.len() < FIRST_CONTACTS_MAX {
            return;
        }
        let gone = |record: &&FirstContactRecord| self.sessions.by_id(record.session).is_none();
        let record = self.first_contacts.values().find(gone).or_else(|| self.first_contacts.values().next());
        if let Some(digest) = record.map(|record| record.digest) {
            self.first_contacts.remove(&digest);
            self.mark(Dirty::FirstContact(digest));
        }
    }

    /// Whose the new session is: a contact's, one that an invite makes, or a stranger's.
    fn owner_of(
        &mut self,
        pinned: PinnedDevice,
        invite: Option<InviteNumber>,
        owner: Option<Owner>,
        rng: &mut impl CryptoRng,
    ) -> Option<Owner> {
        match (owner, invite) {
            (Some(Owner::Contact(contact)), invite) => {
                self.pin(contact, pinned);
                if let Some(invite) = invite {
                    self.use_invite(invite, contact);
                }
                Some(Owner::Contact(contact))
            }
            (owner, Some(invite)) => {
                let contact = self.contact_by_invite(pinned, invite)?;
                if let Some(Owner::Request(request)) = owner {
                    self.move_request(request, contact, rng);
                }
                Some(Owner::Contact(contact))
            }
            (Some(Owner::Request(request)), None) => {
                self.take_request_device(request, pinned);
                Some(Owner::Request(request))
            }
            (None, None) => Some(Owner::Request(self.new_request(pinned))),
        }
    }

    /// Takes over a contact's device, unless a later device list is known.
    pub(crate) fn pin(&mut self, number: ContactNumber, pinned: PinnedDevice) {
        self.take_device(number, pinned);
        let Some(contact) = self.contacts.get_mut(number) else { return };
        // Their handshake made a session: no later one of ours names the key of their invite.
        contact.one_time_key = None;
        self.mark(Dirty::Contact(number));
    }

    /// Somebody used an invite: they become the contact for whom it was made.
    fn contact_by_invite(&mut self, pinned: PinnedDevice, invite: InviteNumber) -> Option<ContactNumber> {
        if self.contacts.len() >= CONTACTS_MAX {
            return None;
        }
        let label = self.invitations.own.get(&invite)?.label.clone();
        let number = self.count_contact();
        let name = self.contacts.free_name(label.as_deref().unwrap_or_default());
        let mut contact = Contact::new(number, name, pinned.device.account, self.now.unix_ms);
        contact.unnamed = label.is_none();
        contact.pinned = Some(pinned);
        contact.announced = true;
        let view = contact.view(true);
        self.contacts.insert(contact);
        self.mark(Dirty::Contact(number));
        self.event(Event::ContactAdded(view));
        self.use_invite(invite, number);
        Some(number)
    }

    fn use_invite(&mut self, number: InviteNumber, contact: ContactNumber) {
        let Some(invite) = self.invitations.own.get_mut(&number) else { return };
        invite.key = None;
        invite.state = InviteState::Used(contact);
        let view = invite.view();
        self.mark(Dirty::Invite(number));
        self.event(Event::InviteUsed(view));
    }

    fn new_request(&mut self, pinned: PinnedDevice) -> RequestNumber {
        if let Some(oldest) = self.invitations.crowded_out() {
            self.drop_request(oldest);
        }
        let number = self.count_request();
        let request = Request {
            number,
            account: pinned.device.account,
            pinned,
            name: String::new(),
            received_unix_ms: self.now.unix_ms,
            card: None,
            messages: Vec::new(),
            text: None,
        };
        self.invitations.requests.insert(number, request);
        self.mark(Dirty::Request(number));
        number
    }

    fn announce_request(&mut self, number: RequestNumber) {
        if let Some(request) = self.invitations.requests.get(&number) {
            self.event(Event::ContactRequested(request.view()));
        }
    }

    /// A request became a contact: its sessions, card and messages are that contact's from now on.
    pub(crate) fn move_request(&mut self, number: RequestNumber, contact: ContactNumber, rng: &mut impl CryptoRng) {
        let Some(request) = self.invitations.requests.remove(&number) else { return };
        self.mark(Dirty::Request(number));
        self.pin(contact, request.pinned);
        for slot in self.sessions.of(Owner::Request(number)) {
            self.sessions.set_owner(slot, Owner::Contact(contact));
            if let Some(entry) = self.sessions.get(slot) {
                self.mark(Dirty::Session(entry.session.id()));
            }
            self.watch_session(slot, rng);
        }
        if let Some((address, shard)) = request.card
            && let Some(known) = self.contacts.get_mut(contact).filter(|known| known.address.is_none())
        {
            (known.address, known.shard) = (Some(address), shard);
            self.watch_bundles(contact, rng);
        }
        for (message_id, bytes, _) in request.messages {
            self.take_content(contact, message_id, &bytes, rng);
        }
        self.adopt_parts(contact, request.account, rng);
        self.announce_ready(contact);
    }

    /// Watches a session's tags and has them looked up in the pool: mail may lie there already.
    pub(crate) fn watch_session(&mut self, slot: Slot, rng: &mut impl CryptoRng) {
        let tags = self.sessions.watch(slot);
        self.inbox.look_up(tags.into_iter().map(|tag| Tag(tag.0)));
        self.wake_inbox(rng);
    }

    /// Forgets all sessions of somebody who is removed or refused.
    pub(crate) fn forget_sessions(&mut self, owner: Owner) {
        self.sessions.of(owner).into_iter().for_each(|slot| self.forget_session(slot));
    }

    /// The highest generation ever used with a device of `account`.
    pub(crate) fn highest_generation(&self, owner: Option<Owner>, device: &DevicePublic) -> Option<u32> {
        let present = owner.and_then(|owner| self.sessions.highest_generation(owner, device));
        present.max(self.generations.get(&device.account).map(|record| record.generation))
    }

    /// The highest generation ever used with any device of `account`: what an offered one is held against. A device
    /// that takes another's place counts on from that one.
    fn highest_known(&self, owner: Option<Owner>, account: &[u8; 32]) -> Option<u32> {
        let slots = owner.map(|owner| self.sessions.of(owner)).unwrap_or_default();
        let present = slots.into_iter().filter_map(|slot| Some(self.sessions.get(slot)?.session.generation())).max();
        present.max(self.generations.get(account).map(|record| record.generation))
    }

    /// Forgets a session with all of its keys, but not how far the handshakes with its account had come.
    pub(crate) fn forget_session(&mut self, slot: Slot) {
        let Some(mut entry) = self.sessions.remove(slot) else { return };
        let id = entry.session.id();
        for tag in entry.session.expire_skipped(u64::MAX) {
            self.delete_skipped(id, tag);
        }
        self.mark(Dirty::Session(id));
        self.remember_generation(entry.owner, &entry.session);
    }

    /// Notes the generation of a session that is gone, if none that is known is as high: a later device of the account
    /// counts on from it.
    fn remember_generation(&mut self, owner: Owner, gone: &Session) {
        let (account, generation) = (gone.peer().account, gone.generation());
        if self.highest_known(Some(owner), &account) >= Some(generation) {
            return;
        }
        let (was_contact, forgotten_unix_ms) = (matches!(owner, Owner::Contact(_)), self.now.unix_ms);
        let record = GenerationRecord { account, generation, was_contact, forgotten_unix_ms };
        self.mark(Dirty::Generation(account));
        if let Some(crowded_out) = self.generations.remember(record) {
            self.mark(Dirty::Generation(crowded_out));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_e2ee::handshake::initiate;
    use starling_e2ee::identity::Identity;
    use starling_e2ee::prekey::{Bundle, Prekeys};
    use starling_e2ee::seal::{Ephemeral, HeadPrefix, Parts};
    use starling_relay::pool::MemoryPool;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::messenger::Setup;
    use crate::turn::Now;

    const NOW: Now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };

    /// A bundle of `identity`'s, as it is read from its envelope.
    fn bundle_of(identity: &Identity, rng: &mut ChaCha20Rng) -> Bundle {
        let hour = Epoch::from_unix_ms(NOW.unix_ms).0;
        let mut prekeys = Prekeys::new();
        prekeys.renew(identity, 0, hour, rng);
        let [a, b, c, d] = hour.to_le_bytes();
        let prefix = HeadPrefix([1, 0, 0, 0, 0, 0, a, b, c, d]);
        let sealed = prekeys.seal_bundle(&prefix, &[7; 32], &Ephemeral::generate(rng)).expect("just renewed");
        let parts = Parts { prefix, tag: sealed.tag, ephemeral: sealed.ephemeral, body: &sealed.body };
        Bundle::open(&parts, &[7; 32], None, None, hour).expect("valid")
    }

    /// Whoever comes with a new device counts on from the handshakes of the one before, of which no session may be left.
    #[test]
    fn generations_of_sessions_that_are_gone_still_count() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, NOW, &mut rng);
        let old = Identity::generate(&mut rng);
        let account = old.public().account;
        let (number, owner) = (ContactNumber(1), Some(Owner::Contact(ContactNumber(1))));
        messenger.contacts.insert(Contact::new(number, "Ana".to_owned(), account, NOW.unix_ms));
        let bundle = bundle_of(&old, &mut rng);
        let slots = [20, 18].map(|generation| {
            let session =
                initiate(&messenger.identity, &bundle, None, generation, &messenger.network.0, NOW.unix_ms, &mut rng);
            messenger.sessions.insert(session.expect("usable keys"), Owner::Contact(number))
        });
        assert_eq!(messenger.highest_known(owner, &account), Some(20));
        for slot in slots {
            messenger.forget_session(slot);
            assert_eq!(messenger.highest_known(owner, &account), Some(20));
        }
        assert_eq!(messenger.sessions.count(Owner::Contact(number)), 0);
    }
}

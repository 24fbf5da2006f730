//! Commands about people: invites, contacts, requests.

use std::cmp::Reverse;

use rand_core::CryptoRng;
use starling_e2ee::prekey::OneTimePrekey;
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::Epoch;
use starling_wire::invite::{Invite, InvitePeer, NEVER, OneTimeKey};

use crate::contact::{CONTACTS_MAX, Contact, check_name, clean_name};
use crate::invitation::{INVITES_OPEN_MAX, OwnInvite, Owner, Request, UsedInvite};
use crate::messenger::Messenger;
use crate::outbox::{Item, Load};
use crate::stored::Dirty;
use crate::turn::{CommandError, ContactNumber, InviteNumber, Reply, RequestNumber};
use crate::view::{AddressView, ContactView, Event, InviteState, InviteView, RequestView};

const HOUR_MS: u64 = 3_600_000;

impl<P: EnvelopePool> Messenger<P> {
    fn invite(&self, one_time_key: Option<OneTimeKey>, expiry: Epoch, peers: Vec<InvitePeer>) -> Invite {
        Invite {
            network: Invite::network_prefix(&self.network),
            account: self.identity.public().account,
            address: *self.profile.address,
            shard: self.profile.shard,
            one_time_key,
            expiry,
            name: Invite::short_name(&self.profile.name).to_owned(),
            peers,
        }
    }

    /// Link and size of an invite. A peer that cannot stand in one (port 0, an address of nobody) is left out
    /// rather than making it fail: where a node is reached is not the account's business.
    fn link_of(&self, mut invite: Invite) -> (String, u32) {
        if invite.encode().is_err() {
            // A name cut to what an invite holds may end where none may; then the link goes without.
            let named = Invite { peers: Vec::new(), ..invite.clone() };
            if named.encode().is_err() {
                invite.name.clear();
            }
            let all = std::mem::take(&mut invite.peers);
            for peer in all {
                invite.peers.push(peer);
                if invite.encode().is_err() {
                    invite.peers.pop();
                }
            }
        }
        let bytes = invite.encode().map_or(0, |bytes| bytes.len());
        (invite.to_text().unwrap_or_default(), u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    pub(crate) fn own_address(&mut self, peers: Vec<InvitePeer>) -> Result<Reply, CommandError> {
        let (link, bytes) = self.link_of(self.invite(None, NEVER, peers));
        let public = self.identity.public();
        let name = self.profile.name.clone();
        Ok(Reply::Address(Box::new(AddressView { link, bytes, account: public.account, device: public.signing, name })))
    }

    pub(crate) fn create_invite(
        &mut self,
        label: Option<String>,
        expires_s: u32,
        peers: Vec<InvitePeer>,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let label = label.as_deref().map(check_name).transpose()?;
        if self.invitations.open() >= INVITES_OPEN_MAX {
            return Err(CommandError::TooMany { limit: INVITES_OPEN_MAX });
        }
        if let Some(gone) = self.invitations.make_room() {
            self.mark(Dirty::Invite(gone));
        }
        let key = OneTimePrekey::generate(rng);
        let expires_unix_ms = self.now.unix_ms.saturating_add(u64::from(expires_s) * 1_000);
        // The invite says hours: rounded up, so that it never ends before the time that was asked for.
        let expiry = Epoch::from_unix_ms(expires_unix_ms.saturating_add(HOUR_MS - 1));
        let one_time = OneTimeKey { id: key.id(), public: *key.public() };
        let (link, bytes) = self.link_of(self.invite(Some(one_time), expiry, peers));
        let number = self.count_invite();
        let state = InviteState::Open;
        let invite = OwnInvite { number, label, link, bytes, expires_unix_ms, state, key: Some(key) };
        let view = invite.view();
        self.invitations.own.insert(number, invite);
        self.mark(Dirty::Invite(number));
        self.event(Event::InviteCreated(view.clone()));
        Ok(Reply::Invite(view))
    }

    pub(crate) fn invite_views(&self) -> Vec<InviteView> {
        self.invitations.own.values().map(OwnInvite::view).collect()
    }

    pub(crate) fn revoke_invite(&mut self, number: InviteNumber) -> Result<Reply, CommandError> {
        let invite = self.invitations.own.get_mut(&number).ok_or(CommandError::NoSuchInvite)?;
        if invite.state == InviteState::Open {
            invite.state = InviteState::Revoked;
            invite.key = None;
            let view = invite.view();
            self.mark(Dirty::Invite(number));
            self.event(Event::InviteExpired(view));
        }
        Ok(Reply::Done)
    }

    pub(crate) fn add_contact(
        &mut self,
        invite: &Invite,
        name: Option<String>,
        replace: Option<ContactNumber>,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let name = name.as_deref().map(check_name).transpose()?;
        self.check_invite(invite, replace)?;
        let number = match replace {
            Some(number) => self.replace_contact(number, name, invite)?,
            None => self.new_contact(name, invite)?,
        };
        let contact = self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?;
        contact.address = Some(invite.address);
        contact.shard = invite.shard;
        contact.one_time_key = invite.one_time_key.map(|key| (key.id, key.public));
        self.mark(Dirty::Contact(number));
        let unix_ms = self.now.unix_ms;
        if let Some(key) = invite.one_time_key {
            let used = UsedInvite { account: invite.account, key_id: key.id, used_unix_ms: unix_ms };
            self.mark(Dirty::UsedInvite((used.account, used.key_id)));
            if let Some(gone) = self.invitations.remember_used(used) {
                self.mark(Dirty::UsedInvite(gone));
            }
        }
        self.queue_greeting(number);
        self.watch_bundles(number, rng);
        let view = self.contact_view(number)?;
        self.event(if replace.is_some() { Event::ContactChanged(view) } else { Event::ContactAdded(view) });
        if let Some(request) = self.invitations.request_of(&invite.account) {
            // They wrote first: using their invite answers them.
            self.move_request(request, number, rng);
        }
        Ok(Reply::Contact(self.contact_view(number)?))
    }

    /// Somebody new. A second contact of the name in the invite is for the person to decide: it may be the first one
    /// with a new account.
    fn new_contact(&mut self, name: Option<String>, invite: &Invite) -> Result<ContactNumber, CommandError> {
        let given = clean_name(&invite.name);
        let unnamed = name.is_none() && given.is_empty();
        let name = match name.or_else(|| (!given.is_empty()).then_some(given)) {
            Some(name) if !self.contacts.name_is_free(&name, None) => return Err(CommandError::NameTaken),
            Some(name) => name,
            None => self.contacts.free_name(""),
        };
        let number = self.count_contact();
        let mut contact = Contact::new(number, name, invite.account, self.now.unix_ms);
        contact.unnamed = unnamed;
        self.contacts.insert(contact);
        Ok(number)
    }

    /// A contact with a new account.
    fn replace_contact(
        &mut self,
        number: ContactNumber,
        name: Option<String>,
        invite: &Invite,
    ) -> Result<ContactNumber, CommandError> {
        if name.as_ref().is_some_and(|name| !self.contacts.name_is_free(name, Some(number))) {
            return Err(CommandError::NameTaken);
        }
        self.replace_account(number, invite.account)?;
        if let (Some(name), Some(contact)) = (name, self.contacts.get_mut(number)) {
            contact.name = name;
        }
        Ok(number)
    }

    /// Whether an invite can be used: in the place of a contact that is there, or for a new one.
    pub(crate) fn check_invite(&self, invite: &Invite, replace: Option<ContactNumber>) -> Result<(), CommandError> {
        if !invite.is_for(&self.network) {
            return Err(CommandError::WrongNetwork);
        }
        if invite.account == self.identity.public().account {
            return Err(CommandError::OwnInvite);
        }
        let key_id = invite.one_time_key.map(|key| key.id);
        if let Some(used) = key_id.and_then(|id| self.invitations.used.get(&(invite.account, id))) {
            return Err(CommandError::InviteUsed { used_unix_ms: used.used_unix_ms });
        }
        if let Some(contact) = self.contacts.by_account(&invite.account) {
            return Err(CommandError::AlreadyContact(contact));
        }
        if invite.is_expired(self.epoch()) {
            return Err(CommandError::InviteExpired { expired_unix_ms: invite.expiry.start_unix_ms() });
        }
        if replace.is_none() && self.contacts.len() >= CONTACTS_MAX {
            return Err(CommandError::TooMany { limit: CONTACTS_MAX });
        }
        Ok(())
    }

    /// Puts hello and card in line for a contact.
    pub(crate) fn queue_greeting(&mut self, contact: ContactNumber) {
        let number = self.count_message();
        let item = Item::new(number.0, contact, self.ids.id(number), Load::Greeting);
        self.outbox.insert(item);
        self.mark(Dirty::Outbox(number.0));
        self.pump_due = true;
    }

    /// What people see of a contact.
    pub(crate) fn contact_view(&self, number: ContactNumber) -> Result<ContactView, CommandError> {
        let contact = self.contacts.get(number).ok_or(CommandError::NoSuchContact)?;
        Ok(contact.view(self.is_sendable(number)))
    }

    pub(crate) fn contact_views(&self) -> Vec<ContactView> {
        let mut views: Vec<ContactView> =
            self.contacts.iter().map(|contact| contact.view(self.is_sendable(contact.number))).collect();
        views.sort_by_key(|view| (Reverse(view.last_activity_unix_ms), view.number));
        views
    }

    pub(crate) fn rename_contact(&mut self, number: ContactNumber, name: &str) -> Result<Reply, CommandError> {
        let name = check_name(name)?;
        if !self.contacts.name_is_free(&name, Some(number)) {
            return Err(CommandError::NameTaken);
        }
        self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?.name = name;
        self.changed(number)
    }

    /// Writes a contact and tells of it.
    pub(crate) fn changed(&mut self, number: ContactNumber) -> Result<Reply, CommandError> {
        self.mark(Dirty::Contact(number));
        let view = self.contact_view(number)?;
        self.event(Event::ContactChanged(view.clone()));
        Ok(Reply::Contact(view))
    }

    pub(crate) fn remove_contact(&mut self, number: ContactNumber) -> Result<Reply, CommandError> {
        self.leave(number)?;
        let was_forked = self.contacts.remove(number).is_some_and(|contact| contact.is_forked());
        self.mark(Dirty::Contact(number));
        self.event(Event::ContactRemoved(number));
        if was_forked {
            self.fork_is_over();
        }
        Ok(Reply::Done)
    }

    /// Gives up all that is under way with a contact's account, and forgets its sessions.
    pub(crate) fn leave(&mut self, number: ContactNumber) -> Result<(), CommandError> {
        self.contacts.get(number).ok_or(CommandError::NoSuchContact)?;
        self.forget_reads(number);
        for item in self.outbox.of_contact(number) {
            self.give_up(item);
        }
        self.forget_sessions(Owner::Contact(number));
        self.unwatch_bundles(number);
        self.receipts.remove(number);
        self.receipts_ready.remove(&number);
        self.post_quantum_due.remove(&number);
        self.timers.cancel(crate::timers::Timer::Receipts(number));
        self.mark(Dirty::Acks(number));
        Ok(())
    }

    pub(crate) fn set_blocked(
        &mut self,
        number: ContactNumber,
        blocked: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let contact = self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?;
        if contact.blocked == blocked {
            return Ok(Reply::Contact(self.contact_view(number)?));
        }
        contact.blocked = blocked;
        for slot in self.sessions.of(Owner::Contact(number)) {
            // A blocked contact's mail is not even opened; unblocked, what is still in the pool is found.
            if blocked {
                self.sessions.unwatch(slot);
            } else {
                self.watch_session(slot, rng);
            }
        }
        if blocked {
            self.unwatch_bundles(number);
        } else {
            self.watch_bundles(number, rng);
            // What came before they were blocked was read, and is confirmed now.
            if self.owes(number) {
                self.schedule_receipts(number, rng);
            }
            self.pump_due = true;
        }
        self.changed(number)
    }

    pub(crate) fn request_views(&self) -> Vec<RequestView> {
        self.invitations.requests.values().map(Request::view).collect()
    }

    fn request(&self, number: RequestNumber) -> Result<&Request, CommandError> {
        self.invitations.requests.get(&number).ok_or(CommandError::NoSuchRequest)
    }

    pub(crate) fn accept_request(
        &mut self,
        number: RequestNumber,
        name: Option<String>,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let request = self.request(number)?;
        let name = match name.as_deref().map(check_name).transpose()? {
            Some(name) if !self.contacts.name_is_free(&name, None) => return Err(CommandError::NameTaken),
            Some(name) => name,
            None => self.contacts.free_name(&request.name),
        };
        if self.contacts.len() >= CONTACTS_MAX {
            return Err(CommandError::TooMany { limit: CONTACTS_MAX });
        }
        let account = request.account;
        let contact = self.count_contact();
        self.contacts.insert(Contact::new(contact, name, account, self.now.unix_ms));
        self.mark(Dirty::Contact(contact));
        self.event(Event::ContactAdded(self.contact_view(contact)?));
        self.move_request(number, contact, rng);
        Ok(Reply::Contact(self.contact_view(contact)?))
    }

    pub(crate) fn refuse_request(&mut self, number: RequestNumber) -> Result<Reply, CommandError> {
        self.request(number)?;
        self.drop_request(number);
        Ok(Reply::Done)
    }

    /// Forgets a request and its sessions. Its first contact stays remembered, so that a copy makes no new request.
    pub(crate) fn drop_request(&mut self, number: RequestNumber) {
        self.forget_sessions(Owner::Request(number));
        if let Some(request) = self.invitations.requests.remove(&number) {
            self.drop_parts_of(request.account);
        }
        self.mark(Dirty::Request(number));
    }
}

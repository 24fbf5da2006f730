//! What an opened message brings: contents, confirmations, cards; and what that changes for people.
//! SPEC: B5, B6, B9.5, B11.6, B15.

use rand_core::CryptoRng;
use starling_e2ee::prekey::{Bundle, BundleError};
use starling_e2ee::record::Record;
use starling_e2ee::session::Opened;
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::{Envelope, Tag};

use crate::contact::{PinnedDevice, clean_name};
use crate::content::{Content, Read, Text};
use crate::conversation::SEQUENCE_UNKNOWN;
use crate::delay;
use crate::device::OURSELVES;
use crate::file::File;
use crate::invitation::Owner;
use crate::job::parts;
use crate::messenger::Messenger;
use crate::receipt::RECEIPTS_BATCH;
use crate::seen::SeenKey;
use crate::sessions::Slot;
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{ContactNumber, RequestNumber};
use crate::view::{DeliveryStage, DeliveryState, Event, MessageBody, MessageView};

/// What every message of a conversation says beside its body.
struct Written {
    sequence: u64,
    created_unix_ms: u64,
    reply_to: Option<[u8; 16]>,
    expires_s: u32,
}

impl<P: EnvelopePool> Messenger<P> {
    /// A session opened a message: everything that it changes is committed together.
    pub(crate) fn take_opened(&mut self, slot: Slot, opened: Opened, rng: &mut impl CryptoRng) {
        let Some(entry) = self.sessions.get(slot) else { return };
        let (id, owner) = (entry.session.id(), entry.owner);
        let Opened { records, unwatch, watch, skipped_added, skipped_removed } = opened;
        self.sessions.update_tags(slot, &unwatch, &watch);
        self.inbox.look_up(watch.iter().map(|(tag, _)| Tag(tag.0)));
        skipped_added.iter().for_each(|key| self.write_skipped(key));
        skipped_removed.into_iter().for_each(|tag| self.delete_skipped(id, tag));
        self.mark(Dirty::Session(id));
        self.take_records(owner, records, rng);
    }

    /// What a message says, by whom it was sent.
    pub(crate) fn take_records(&mut self, owner: Owner, records: Vec<Record>, rng: &mut impl CryptoRng) {
        match owner {
            Owner::Contact(contact) => {
                self.heard(contact);
                for record in records {
                    match record {
                        Record::Content { message_id, part: 0, of: 1, bytes } => {
                            self.take_content(contact, message_id, &bytes, rng);
                        }
                        Record::Content { message_id, part, of, bytes } => {
                            self.take_part(contact, message_id, (part, of), bytes, rng);
                        }
                        Record::Acks(ids) => self.take_acks(contact, &ids),
                        Record::Card { shard, addr, .. } => self.take_card(contact, addr, shard, rng),
                    }
                }
            }
            Owner::Request(request) => self.take_request_records(request, records),
        }
    }

    fn heard(&mut self, contact: ContactNumber) {
        let unix_ms = self.now.unix_ms;
        if let Some(contact) = self.contacts.get_mut(contact) {
            contact.last_heard_unix_ms = Some(unix_ms);
        }
        self.mark(Dirty::Contact(contact));
        // Their message may begin a chain of ours, or make room in it.
        self.pump_due = true;
    }

    /// One content: shown once, confirmed each time.
    pub(crate) fn take_content(
        &mut self,
        number: ContactNumber,
        message_id: [u8; 16],
        bytes: &[u8],
        rng: &mut impl CryptoRng,
    ) {
        let Some(account) = self.contacts.get(number).map(|contact| contact.account) else { return };
        if Read::is_kind_of(bytes) {
            // Nobody confirms it: that would cost an envelope.
            return self.take_read(number, bytes);
        }
        let key = (account, message_id);
        if !self.seen.contains(&key) {
            self.take_new_content(number, key, bytes);
        }
        self.owe_receipt(number, message_id, rng);
    }

    /// A whole content that did not come before.
    pub(crate) fn take_new_content(&mut self, number: ContactNumber, key: SeenKey, bytes: &[u8]) {
        let shown = match Content::decode(bytes) {
            Ok(Content::Text(text)) => Some((self.shown_text(number, key.0, text), None)),
            Ok(Content::File(file)) => {
                let view = self.shown_file(number, key.0, &file);
                Some((view, Some(file.bytes)))
            }
            Ok(Content::Unknown { kind, bytes }) => {
                let body = MessageBody::Unknown { kind, bytes };
                Some((self.shown(number, SEQUENCE_UNKNOWN, body, self.now.unix_ms), None))
            }
            Ok(content) => {
                self.take_unshown(number, key.0, content);
                None
            }
            // A damaged content of a known kind: their device is at fault, and sending it again will not help.
            Err(_) => None,
        };
        self.remember_seen(key, shown.as_ref().map(|(message, _)| message.number));
        self.take_parts(key);
        if let Some((message, file)) = shown {
            self.show(message, file, key);
        }
    }

    /// A content that is no message of its own.
    fn take_unshown(&mut self, number: ContactNumber, account: [u8; 32], content: Content) {
        match content {
            Content::Hello(hello) => self.take_hello(number, &hello.name),
            Content::Reaction(reaction) => self.take_reaction(number, account, reaction),
            Content::Edit(edit) => self.take_edit(number, account, edit),
            Content::Delete(delete) => self.take_delete(number, account, delete.of),
            // In parts it is no word of what was read: whoever makes that keeps it to what has room.
            Content::Text(_) | Content::File(_) | Content::Read(_) | Content::Unknown { .. } => {}
        }
    }

    fn shown_text(&mut self, number: ContactNumber, account: [u8; 32], text: Text) -> MessageView {
        let Text { sequence, created_unix_ms, reply_to, expires_s, text } = text;
        self.shown_content(
            number,
            account,
            Written { sequence, created_unix_ms, reply_to, expires_s },
            MessageBody::Text(text),
        )
    }

    fn shown_file(&mut self, number: ContactNumber, account: [u8; 32], file: &File) -> MessageView {
        let &File { sequence, created_unix_ms, reply_to, expires_s, .. } = file;
        let body = MessageBody::File(Box::new(file.view()));
        self.shown_content(number, account, Written { sequence, created_unix_ms, reply_to, expires_s }, body)
    }

    fn shown_content(
        &mut self,
        number: ContactNumber,
        account: [u8; 32],
        written: Written,
        body: MessageBody,
    ) -> MessageView {
        let Written { sequence, created_unix_ms, reply_to, expires_s } = written;
        let reply_to = reply_to.and_then(|id| self.message_number_of(account, &id));
        let contact = self.contacts.get_mut(number);
        let sequence = contact.map_or(sequence, |contact| contact.place_of(sequence));
        self.mark(Dirty::Contact(number));
        MessageView { reply_to, expires_s, ..self.shown(number, sequence, body, created_unix_ms) }
    }

    /// A received message as people see it.
    fn shown(&mut self, contact: ContactNumber, sequence: u64, body: MessageBody, created_unix_ms: u64) -> MessageView {
        let unix_ms = self.now.unix_ms;
        if let Some(contact) = self.contacts.get_mut(contact) {
            contact.last_activity_unix_ms = unix_ms;
        }
        let state = DeliveryState::new(DeliveryStage::Delivered, unix_ms);
        MessageView {
            number: self.count_message(),
            contact,
            own: false,
            sequence,
            body,
            created_unix_ms,
            received_unix_ms: Some(unix_ms),
            reply_to: None,
            client_id: None,
            state,
            expires_s: 0,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        }
    }

    /// A contact that nobody named gets the name it gives itself.
    fn take_hello(&mut self, number: ContactNumber, name: &str) {
        let name = clean_name(name);
        let unnamed = self.contacts.get(number).is_some_and(|contact| contact.unnamed);
        if unnamed && !name.is_empty() {
            let name = self.contacts.free_name(&name);
            if let Some(contact) = self.contacts.get_mut(number) {
                (contact.name, contact.unnamed) = (name, false);
            }
            self.mark(Dirty::Contact(number));
            if let Ok(view) = self.contact_view(number) {
                self.event(Event::ContactChanged(view));
            }
        }
    }

    /// Puts a confirmation in line: it rides with the next message, or leaves in a batch after a while.
    pub(crate) fn owe_receipt(&mut self, contact: ContactNumber, message_id: [u8; 16], rng: &mut impl CryptoRng) {
        let due = self.receipts.add(contact, message_id, self.now.unix_ms);
        self.mark(Dirty::Acks(contact));
        if due >= RECEIPTS_BATCH {
            self.timers.cancel(Timer::Receipts(contact));
            self.receipts_ready.insert(contact);
            self.pump_due = true;
        } else {
            self.schedule_receipts(contact, rng);
        }
    }

    /// Sets the random time at which confirmations leave, if none is set.
    pub(crate) fn schedule_receipts(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) {
        let wait_ms = delay::exponential_ms(self.parameters.receipt_delay_ms, rng);
        let at_ms = self.now.monotonic_ms.saturating_add(wait_ms);
        self.timers.set_if_absent(Timer::Receipts(contact), at_ms);
    }

    /// Whether a contact is to be told something that waits for no message to them.
    pub(crate) fn owes(&self, contact: ContactNumber) -> bool {
        self.receipts.due(contact) > 0 || self.reads.due(contact) > 0
    }

    pub(crate) fn take_acks(&mut self, number: ContactNumber, ids: &[[u8; 16]]) {
        let mut known = false;
        for id in ids {
            known |= self.on_acked(number, id);
        }
        if let Some(contact) = self.contacts.get_mut(number).filter(|contact| known && !contact.greeted) {
            contact.greeted = true;
        }
    }

    fn take_card(&mut self, number: ContactNumber, address: [u8; 32], shard: u32, rng: &mut impl CryptoRng) {
        let Some(contact) = self.contacts.get_mut(number) else { return };
        contact.shard = shard;
        if contact.address != Some(address) {
            self.unwatch_bundles(number);
            if let Some(contact) = self.contacts.get_mut(number) {
                contact.address = Some(address);
            }
            self.watch_bundles(number, rng);
        }
    }

    /// An envelope under a contact's bundle tag; whether it was a valid bundle.
    pub(crate) fn take_bundle(&mut self, number: ContactNumber, envelope: &Envelope) -> bool {
        if number == OURSELVES {
            self.take_own_bundle(envelope);
            return true;
        }
        let hour = self.epoch().0;
        let Some(contact) = self.contacts.get_mut(number) else { return true };
        let Some(address) = contact.address else { return true };
        let pinned = contact.pinned_bundle();
        let opened = Bundle::open(&parts(envelope), &address, Some(&contact.account), pinned.as_ref(), hour);
        let bundle = match opened {
            Ok(bundle) if contact.is_undecided_about(&bundle.list) => return false,
            Ok(bundle) => bundle,
            Err(BundleError::ForkedList(bundle)) => {
                let other = PinnedDevice { device: bundle.device, list: bundle.list };
                return self.raise_fork(number, other, Some(*bundle));
            }
            Err(BundleError::Invalid) => return false,
        };
        let known = contact.bundle.as_ref();
        if known.is_some_and(|known| known.precedence() >= bundle.precedence() && known.device == bundle.device) {
            return true;
        }
        let pinned = PinnedDevice { device: bundle.device, list: bundle.list };
        contact.shard = bundle.shard;
        contact.bundle = Some(bundle);
        self.mark(Dirty::Contact(number));
        self.take_device(number, pinned);
        self.announce_ready(number);
        true
    }

    /// Messages to the contact can be sealed from now on.
    pub(crate) fn announce_ready(&mut self, number: ContactNumber) {
        if !self.is_sendable(number) {
            return;
        }
        self.pump_due = true;
        self.refresh_reasons(number);
        let Some(contact) = self.contacts.get_mut(number).filter(|contact| !contact.announced) else { return };
        contact.announced = true;
        self.mark(Dirty::Contact(number));
        if let Ok(view) = self.contact_view(number) {
            self.event(Event::ContactReady(view));
        }
    }

    /// What somebody in the requests box writes is kept aside: no confirmation, no effect, until they are accepted.
    fn take_request_records(&mut self, number: RequestNumber, records: Vec<Record>) {
        let unix_ms = self.now.unix_ms;
        let Some(request) = self.invitations.requests.get_mut(&number) else { return };
        let (account, mut parts) = (request.account, Vec::new());
        for record in records {
            match record {
                Record::Content { message_id, part: 0, of: 1, bytes } => {
                    request.keep(message_id, bytes, unix_ms);
                }
                Record::Card { shard, addr, .. } => request.card = Some((addr, shard)),
                Record::Content { message_id, part, of, bytes } => {
                    parts.push(((account, message_id), (part, of), bytes))
                }
                Record::Acks(_) => {}
            }
        }
        for (key, place, bytes) in parts {
            self.keep_part(key, place, bytes);
        }
        let crowded = self.invitations.requests.get(&number).is_some_and(|request| self.is_crowded(request));
        self.mark(Dirty::Request(number));
        if crowded {
            // The rest stays in the pool, sealed, and is found when they are accepted in time.
            for slot in self.sessions.of(Owner::Request(number)) {
                self.sessions.unwatch(slot);
            }
        }
    }
}

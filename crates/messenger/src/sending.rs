//! From what waits to a stamped envelope: choosing the session, sealing, stamping. SPEC: B4, B5, B7, B9.
//!
//! Nothing is sealed before a neighbour is held: an envelope lives in one hour's gossip, so one sealed on a
//! lonely node would only have to be sealed again. A few stamps are asked for at a time; the next
//! sealing comes when one is solved.

use rand_core::CryptoRng;
use starling_e2ee::handshake::{FIRST_GENERATION, initiate};
use starling_e2ee::record::Record;
use starling_e2ee::seal::{self, HeadPrefix, Sealed};
use starling_e2ee::session::{RECOVERY_INTERVAL_S, RecoverySigns, SealedMessage, recovery_due};
use starling_relay::pool::EnvelopePool;
use starling_relay::stamp::effort_for;
use starling_wire::envelope::{Class, Envelope, Head, Tag, TopicId};
use starling_wire::limits::EPOCH_MS;

use crate::contact::Contact;
use crate::invitation::Owner;
use crate::job::{Job, StampJob};
use crate::messenger::Messenger;
use crate::outbox::{Item, Load, Place};
use crate::post::{Post, PostId, Unstamped};
use crate::sessions::Slot;
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{ContactNumber, JobId, Output};
use crate::view::{Event, QueuedReason, TraceStep};

/// Stamped envelopes that wait for their turn to be pushed, beyond which nothing more is sealed.
const PUSH_QUEUE_MAX: usize = 64;
/// How long after an invite was used here first contacts name its one-time key: the inviter keeps it for 28 days
/// after the invite's expiry, which was not before we used it, and they lie in the network for 14 days and an hour
/// of that; clocks differ by two. One that names an erased key is lost; one that names none comes as a request.
const ONE_TIME_KEY_NAMED_MS: u64 = (28 * 24 - (14 * 24 + 1) - 2) * 3_600_000;
/// How records are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// With the handshake, in a small envelope.
    FirstContact,
    /// In an envelope of this class.
    Message(seal::Class),
}

/// Stamps asked for at a time.
pub(crate) const STAMPS_AT_ONCE_MAX: usize = 8;

impl<P: EnvelopePool> Messenger<P> {
    /// Whether anything may leave at all. While neighbours take no more from us, sealing waits too: what is sealed
    /// must leave in its hour.
    fn may_seal(&self) -> bool {
        let ready = !self.carrier.links.is_empty() && !self.clocks.holds() && !self.settling;
        ready && self.push_queue.len() < PUSH_QUEUE_MAX
    }

    pub(crate) fn has_stamp_slot(&self) -> bool {
        self.stamping.len() < STAMPS_AT_ONCE_MAX
    }

    /// Why a message to `contact` would wait now.
    pub(crate) fn reason_to_wait(&self, contact: ContactNumber) -> QueuedReason {
        if self.contacts.get(contact).is_some_and(Contact::is_forked) {
            QueuedReason::DevicesForked
        } else if self.clocks.holds() {
            QueuedReason::Clock
        } else if self.carrier.links.is_empty() {
            QueuedReason::NoPeers
        } else if !self.is_sendable(contact) {
            QueuedReason::WaitingForKeys
        } else if self
            .best_session(contact)
            .and_then(|slot| self.sessions.get(slot))
            .is_some_and(|e| !e.session.can_send())
        {
            QueuedReason::Unanswered
        } else {
            QueuedReason::Stamping
        }
    }

    /// Brings the shown reasons of what waits for `contact` up to date.
    pub(crate) fn refresh_reasons(&mut self, contact: ContactNumber) {
        let reason = self.reason_to_wait(contact);
        for number in self.outbox.waiting_for(contact) {
            self.set_reason(number, reason);
        }
    }

    /// Brings all shown reasons up to date.
    pub(crate) fn refresh_all_reasons(&mut self) {
        for contact in self.outbox.contacts_waiting() {
            self.refresh_reasons(contact);
        }
    }

    fn set_reason(&mut self, number: u64, reason: QueuedReason) {
        let unix_ms = self.now.unix_ms;
        let Some(item) = self.outbox.get_mut(number) else { return };
        let Some(state) = item.state_mut().filter(|state| state.reason.is_some_and(|shown| shown != reason)) else {
            return;
        };
        state.reason = Some(reason);
        if reason != QueuedReason::Stamping {
            item.trace(unix_ms, TraceStep::Waiting(reason));
        }
        self.show_state(number);
    }

    /// The best session with a contact's device.
    pub(crate) fn best_session(&self, contact: ContactNumber) -> Option<Slot> {
        let device = self.contacts.get(contact)?.pinned?.device;
        self.sessions.best(Owner::Contact(contact), &device)
    }

    /// Whether messages to the contact can be sealed: there is a session, or a bundle to make one with.
    pub(crate) fn is_sendable(&self, contact: ContactNumber) -> bool {
        match self.best_session(contact) {
            Some(slot) => !self.is_handshake_over(contact, slot) || self.may_renew_handshake(contact),
            None => self.usable_bundle(contact),
        }
    }

    /// Whether a session that the peer has not answered is of no use any more: a first contact that repeats its
    /// handshake may be opened only after the peer erased the keys that it names, and what is sealed beside it is
    /// not read without one. SPEC: B5, B7.
    fn is_handshake_over(&self, contact: ContactNumber, slot: Slot) -> bool {
        let Some((contact, entry)) = self.contacts.get(contact).zip(self.sessions.get(slot)) else { return false };
        let Some(end_hour) = entry.session.handshake_ends_hour() else { return false };
        let key_end_ms = contact.added_unix_ms.saturating_add(ONE_TIME_KEY_NAMED_MS);
        let key_is_over = entry.session.names_one_time_key() && key_end_ms <= self.now.unix_ms;
        key_is_over || end_hour <= self.epoch().0
    }

    /// Whether a handshake may take the place of one that is over: at most one a day.
    fn may_renew_handshake(&self, contact: ContactNumber) -> bool {
        let last_ms = self.contacts.get(contact).and_then(|contact| contact.handshake_unix_ms);
        let rested = |last_ms: u64| last_ms.saturating_add(RECOVERY_INTERVAL_S * 1_000) <= self.now.unix_ms;
        self.usable_bundle(contact) && last_ms.is_none_or(rested)
    }

    fn usable_bundle(&self, contact: ContactNumber) -> bool {
        let hour = self.epoch().0;
        self.contacts.get(contact).and_then(|contact| contact.bundle.as_ref()).is_some_and(|b| b.is_usable(hour))
    }

    /// Seals what may be sealed, as far as there is room at the stamp worker.
    pub(crate) fn pump(&mut self, rng: &mut impl CryptoRng) {
        if !self.may_seal() {
            return;
        }
        while self.has_stamp_slot() {
            let Some(post) = self.unstamped.pop_first() else { break };
            self.start_stamp(post);
        }
        self.seal_bundle_if_due(rng);
        self.pump_contacts(rng);
        self.pump_receipts(rng);
        self.pump_post_quantum(rng);
    }

    /// One item of each contact in turn, beginning after the one served last.
    fn pump_contacts(&mut self, rng: &mut impl CryptoRng) {
        let mut contacts = self.outbox.contacts_waiting();
        let first = contacts.partition_point(|&contact| contact <= self.served);
        contacts.rotate_left(first);
        let mut sealed = true;
        while sealed && self.has_stamp_slot() {
            sealed = false;
            for &contact in &contacts {
                if self.has_stamp_slot() && self.seal_next(contact, rng) {
                    self.served = contact;
                    sealed = true;
                }
            }
        }
    }

    /// Confirmations alone go only when nothing waits to be pushed: else they gather in fewer envelopes.
    fn pump_receipts(&mut self, rng: &mut impl CryptoRng) {
        while self.push_queue.is_empty() && self.has_stamp_slot() && !self.outbox.unconfirmed_is_full() {
            let Some(contact) = self.receipts_ready.pop_first() else { break };
            if !self.owes(contact) {
                continue;
            }
            // Who does not know us yet gets hello and card with the first confirmations, not before: an answer at
            // once would tell an observer who was written to.
            let unknown = self.contacts.get(contact).is_some_and(|contact| !contact.greeted);
            if unknown && self.outbox.greeting_of(contact).is_none() {
                self.queue_greeting(contact);
                self.seal_next(contact, rng);
            }
            if self.owes(contact) {
                // Where this fails, they ride with the next message, or come due with the peer's next.
                self.seal_receipts(contact, rng);
            }
        }
    }

    /// Seals the next item that waits for `contact`; whether there was one that could be.
    fn seal_next(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) -> bool {
        let Some(to) = self.contacts.get(contact) else { return false };
        if self.outbox.next_waiting(contact).is_none() || to.blocked || to.is_forked() {
            return false;
        }
        let Some(slot) = self.session_for(contact, rng) else {
            self.refresh_reasons(contact);
            return false;
        };
        if self.sessions.get(slot).is_none_or(|entry| !entry.session.can_send()) {
            self.refresh_reasons(contact);
            return false;
        }
        // A new session has put its greeting first.
        self.outbox.next_waiting(contact).is_some_and(|number| self.seal_item(number, slot, rng))
    }

    /// The session on which to send, made from the bundle if there is none that serves.
    fn session_for(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) -> Option<Slot> {
        match self.best_session(contact) {
            Some(slot) if !self.is_handshake_over(contact, slot) => Some(slot),
            Some(_) if !self.may_renew_handshake(contact) => None,
            Some(_) | None => self.make_next_session(contact, rng),
        }
    }

    /// A handshake of the next generation; everything unconfirmed is sealed again there, under the same message ids.
    fn make_next_session(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) -> Option<Slot> {
        let device = self.contacts.get(contact)?.bundle.as_ref()?.device;
        let highest = self.highest_generation(Some(Owner::Contact(contact)), &device);
        let generation = highest.map_or(FIRST_GENERATION, |known| known.saturating_add(1));
        let slot = self.make_session(contact, generation, rng)?;
        for item in self.outbox.of_contact(contact) {
            if self.outbox.get(item).is_some_and(|item| item.is_open() && !item.waits()) {
                self.unseal(item);
            }
        }
        self.pump_due = true;
        Some(slot)
    }

    /// A handshake with the contact's newest bundle.
    fn make_session(&mut self, number: ContactNumber, generation: u32, rng: &mut impl CryptoRng) -> Option<Slot> {
        let (hour, unix_ms, sure) = (self.epoch().0, self.now.unix_ms, self.is_time_sure());
        let contact = self.contacts.get_mut(number)?;
        let bundle = contact.bundle.as_ref().filter(|bundle| bundle.is_usable(hour))?;
        // A one-time key serves one handshake, whether that arrives or not; one that may be erased by now, none.
        let over = contact.added_unix_ms.saturating_add(ONE_TIME_KEY_NAMED_MS) <= unix_ms;
        let one_time = contact.one_time_key.filter(|_| !over);
        let named = one_time.as_ref().map(|(id, public)| (*id, public));
        let made = initiate(&self.identity, bundle, named, generation, &self.network.0, unix_ms, rng);
        contact.handshake_unix_ms = Some(unix_ms);
        let Ok(session) = made else {
            contact.bundle = None;
            self.mark(Dirty::Contact(number));
            return None;
        };
        if one_time.is_some() || sure {
            contact.one_time_key = None;
        }
        let id = session.id();
        let slot = self.sessions.insert(session, Owner::Contact(number));
        // Nobody can have written on it yet: nothing to look up.
        self.sessions.watch(slot);
        self.mark(Dirty::Contact(number));
        self.mark(Dirty::Session(id));
        self.greet_if_unknown(number);
        Some(slot)
    }

    /// A session that the peer has not answered needs a first contact on its way.
    fn greet_if_unknown(&mut self, contact: ContactNumber) {
        match self.outbox.greeting_of(contact).map(|item| item.number) {
            Some(number) => self.unseal(number),
            None => self.queue_greeting(contact),
        }
    }

    /// Makes a new handshake when the old session has visibly failed. SPEC: B7.
    pub(crate) fn recover(&mut self, number: ContactNumber, rng: &mut impl CryptoRng) {
        if self.recovery_signs(number).is_some_and(|signs| recovery_due(&signs, self.now.unix_ms / 1_000)) {
            self.make_next_session(number, rng);
        }
    }

    /// Seals what a contact has not confirmed again, under the same message ids, on the session that is best now.
    pub(crate) fn seal_open_again(&mut self, contact: ContactNumber) {
        for item in self.outbox.of_contact(contact) {
            if self.outbox.get(item).is_some_and(Item::is_open) {
                self.unseal(item);
            }
        }
        self.pump_due = true;
    }

    fn recovery_signs(&self, number: ContactNumber) -> Option<RecoverySigns> {
        let contact = self.contacts.get(number).filter(|contact| !contact.is_forked())?;
        let bundle = contact.bundle.as_ref().filter(|bundle| bundle.is_usable(self.epoch().0))?;
        let slot = self.best_session(number)?;
        let session = &self.sessions.get(slot)?.session;
        let items = self.outbox.of_contact(number);
        let unacknowledged = items.into_iter().filter_map(|item| self.outbox.get(item)).filter(|item| item.is_open());
        let oldest = unacknowledged.filter_map(|item| item.first_sealed_unix_ms).min();
        let newest_session = self.sessions.of(Owner::Contact(number)).into_iter().filter_map(|s| self.sessions.get(s));
        let last = newest_session.map(|entry| entry.session.created_unix_ms()).max().unwrap_or(0);
        Some(RecoverySigns {
            oldest_unacknowledged_unix_s: oldest.map(|ms| ms / 1_000),
            chain_exhausted: session.chain_exhausted(),
            last_handshake_unix_s: last / 1_000,
            last_recovery_unix_s: contact.handshake_unix_ms.map(|ms| ms / 1_000),
            bundle_created_hour: bundle.created_hour,
        })
    }

    fn prefix(&self, class: Class, topic: TopicId) -> HeadPrefix {
        HeadPrefix(Head::prefix(class, topic, self.epoch()))
    }

    fn unstamped(&self, topic: TopicId, sealed: Sealed) -> Unstamped {
        let Sealed { tag, ephemeral, body } = sealed;
        Unstamped { topic, epoch: self.epoch(), tag: Tag(tag.0), ephemeral, body }
    }

    /// Seals one item and asks for its stamp. What was sealed is stored before the stamp's job is released.
    fn seal_item(&mut self, number: u64, slot: Slot, rng: &mut impl CryptoRng) -> bool {
        let Some(item) = self.outbox.get(number) else { return false };
        let contact = item.contact;
        let first = matches!(item.load, Load::Greeting) && self.first_contact_pending(slot);
        let class = self.class_of(item);
        let records = self.item_records(number, slot, first);
        let form = if first { Form::FirstContact } else { Form::Message(class) };
        let Some((place, post)) = self.seal_records(contact, slot, &records, form, rng) else {
            self.reads_unsealed(number);
            return false;
        };
        let unix_ms = self.now.unix_ms;
        let until_ms = post.epoch().start_unix_ms().saturating_add(self.lifetime_ms());
        self.outbox.sealed(number, place, post, unix_ms);
        if let Some(state) = self.outbox.get_mut(number).and_then(Item::state_mut) {
            state.until_unix_ms = Some(until_ms);
            state.reason = state.reason.map(|_| QueuedReason::Stamping);
        }
        self.show_state(number);
        self.start_stamp(PostId::Item(number));
        self.note_post_quantum(contact);
        true
    }

    /// How long nodes keep an envelope, ms.
    pub(crate) fn lifetime_ms(&self) -> u64 {
        u64::from(self.parameters.lifetime_hours) * EPOCH_MS
    }

    fn first_contact_pending(&self, slot: Slot) -> bool {
        self.sessions.get(slot).is_some_and(|entry| entry.session.first_contact_pending())
    }

    /// Acknowledgements, and what was read, alone.
    fn seal_receipts(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) -> bool {
        if self.contacts.get(contact).is_none_or(|contact| contact.blocked || contact.is_forked()) {
            return false;
        }
        let Some(slot) = self.session_for(contact, rng) else { return false };
        if self.sessions.get(slot).is_none_or(|entry| !entry.session.can_send()) {
            return false;
        }
        // That of the item which this becomes.
        let carrier = self.next_message().0;
        let records = self.receipts_records(contact, slot, carrier);
        let form = Form::Message(seal::Class::Small);
        let Some((place, post)) = self.seal_records(contact, slot, &records, form, rng) else {
            self.reads_unsealed(carrier);
            return false;
        };
        let acks = records.iter().filter_map(|record| if let Record::Acks(ids) = record { Some(ids) } else { None });
        self.post_unconfirmed(contact, Load::Acks(acks.flatten().copied().collect()), place, post);
        if self.owes(contact) {
            self.receipts_ready.insert(contact);
        }
        true
    }

    /// Puts an envelope that nobody confirms on its way.
    pub(crate) fn post_unconfirmed(&mut self, contact: ContactNumber, load: Load, place: Place, post: Post) {
        let number = self.count_message().0;
        let mut item = Item::new(number, contact, [0; 16], load);
        item.sealed(place, post, self.now.unix_ms);
        self.outbox.insert(item);
        self.mark(Dirty::Outbox(number));
        self.start_stamp(PostId::Item(number));
    }

    /// Seals `records` on a session; its record is written with the step.
    pub(crate) fn seal_records(
        &mut self,
        contact: ContactNumber,
        slot: Slot,
        records: &[Record],
        form: Form,
        rng: &mut impl CryptoRng,
    ) -> Option<(Place, Post)> {
        let topic = self.topic_of(self.contacts.get(contact)?.shard);
        let class = match form {
            Form::FirstContact | Form::Message(seal::Class::Small) => Class::Small,
            Form::Message(seal::Class::Large) => Class::Large,
        };
        let prefix = self.prefix(class, topic);
        let ephemeral = self.take_ephemeral(rng);
        let unix_ms = self.now.unix_ms;
        let session = &mut self.sessions.get_mut(slot)?.session;
        let sealed = match form {
            Form::FirstContact => session.seal_first_contact(&prefix, records, &ephemeral, rng),
            Form::Message(class) => session.seal(class, &prefix, records, &ephemeral, unix_ms, rng),
        };
        let SealedMessage { sealed, chain, number } = sealed.ok()?;
        let session = session.id();
        self.mark(Dirty::Session(session));
        let post = Post::new(self.unstamped(topic, sealed), unix_ms);
        Some((Place { session, chain, number }, post))
    }

    /// Gives the stamp of a sealed envelope to the worker.
    pub(crate) fn start_stamp(&mut self, post: PostId) {
        let Some(unstamped) = self.post(post).and_then(Post::unstamped) else { return };
        let (head, body) = (unstamped.head(), unstamped.body.clone());
        let fill = self.pool.fill_bytes(head.topic, head.epoch, head.class);
        let effort = effort_for(&self.parameters, head.class, fill);
        let urgent = match post {
            PostId::Item(number) => self.outbox.get(number).is_some_and(|item| !item.load.is_unconfirmed()),
            PostId::Bundle => false,
        };
        let job = self.compute(Job::Stamp(StampJob { network: self.network, head, body, effort, urgent }));
        self.stamping.insert(job, post);
    }

    /// A stamp was solved. The stamped bytes are stored before they are pushed.
    pub(crate) fn on_stamped(&mut self, job: JobId, envelope: Option<Envelope>, rng: &mut impl CryptoRng) {
        let Some(id) = self.stamping.remove(&job) else { return };
        self.pump_due = true;
        let unix_ms = self.now.unix_ms;
        let epoch = self.epoch();
        let Some(post) = self.post_mut(id) else { return };
        let Some(envelope) = envelope else {
            self.unstamped.insert(id);
            return;
        };
        post.stamped(&envelope);
        let (open, took_ms) = (post.is_open(epoch), unix_ms.saturating_sub(post.sealed_unix_ms));
        self.outbox.remember_id(envelope.id(), id);
        self.mark_post(id);
        if let PostId::Item(number) = id
            && let Some(item) = self.outbox.get_mut(number)
        {
            item.trace(unix_ms, TraceStep::Stamped { took_ms: u32::try_from(took_ms).unwrap_or(u32::MAX) });
            // Shown when a neighbour refuses: mostly one takes it at once.
            if let Some(state) = item.state_mut() {
                state.reason = state.reason.map(|_| QueuedReason::Pushing);
            }
        }
        if let PostId::Item(number) = id
            && self.outbox.head_of(number).is_some()
        {
            self.show_state(number);
        }
        if open {
            self.push(id, rng);
        } else {
            self.seal_again(id);
        }
    }

    /// The envelope of `id` is of no use any more; it waits to be sealed anew, unless its session says when.
    pub(crate) fn seal_again(&mut self, id: PostId) {
        match id {
            PostId::Item(number) if self.is_post_quantum(number) => self.drop_item(number),
            PostId::Item(number) => self.unseal(number),
            PostId::Bundle => self.drop_bundle_post(),
        }
        self.pump_due = true;
    }

    /// Gives up an item's envelope, so that the item waits to be sealed.
    pub(crate) fn unseal(&mut self, number: u64) {
        let id = PostId::Item(number);
        self.forget_way(id);
        self.reads_lost(number);
        self.outbox.unseal(number);
        self.mark(Dirty::Outbox(number));
    }

    /// Ends whatever is under way for an envelope: its stamp, its pushes, its timers.
    pub(crate) fn forget_way(&mut self, id: PostId) {
        let jobs: Vec<JobId> = self.stamping.iter().filter(|&(_, &post)| post == id).map(|(&job, _)| job).collect();
        for job in jobs {
            self.stamping.remove(&job);
            self.output(Output::CancelCompute { id: job });
        }
        self.unstamped.remove(&id);
        self.waiting_for_link.remove(&id);
        self.push_queue.remove(&id);
        self.pushes.retain(|_, &mut post| post != id);
        self.timers.cancel(Timer::Push(id));
    }

    /// Own envelope `id`.
    pub(crate) fn post(&self, id: PostId) -> Option<&Post> {
        match id {
            PostId::Bundle => self.bundle_post.as_ref(),
            PostId::Item(number) => self.outbox.get(number)?.post.as_ref(),
        }
    }

    /// Own envelope `id`.
    pub(crate) fn post_mut(&mut self, id: PostId) -> Option<&mut Post> {
        match id {
            PostId::Bundle => self.bundle_post.as_mut(),
            PostId::Item(number) => self.outbox.get_mut(number)?.post.as_mut(),
        }
    }

    /// Own envelope `id` changed.
    pub(crate) fn mark_post(&mut self, id: PostId) {
        self.mark(match id {
            PostId::Bundle => Dirty::BundlePost,
            PostId::Item(number) => Dirty::Outbox(number),
        });
    }

    /// Writes and tells the present state of a text, or of the one that this is a part of.
    pub(crate) fn show_state(&mut self, number: u64) {
        self.mark(Dirty::Outbox(number));
        let head = self.outbox.head_of(number);
        if head.is_some_and(|head| !self.gather_state(head)) {
            return;
        }
        let number = head.unwrap_or(number);
        let Some(item) = self.outbox.get(number) else { return };
        let message_id = item.message_id;
        let Some(view) = item.text().map(|text| text.view.clone()) else { return };
        self.write_history(&view, message_id, false);
        self.event(Event::MessageState { number: view.number, contact: view.contact, state: view.state });
    }
}

//! Envelopes for the post-quantum ratchet alone. SPEC: B8, B9.6.
//!
//! Its records ride in the padding of other messages, and a session attaches them by itself. Only where all of them were
//! too full for long is an envelope spent on one. Nobody confirms it, and it is not sealed again: lost, the record has
//! once more found no room for as long, and gets the next.

use rand_core::CryptoRng;
use starling_e2ee::seal::Class;
use starling_relay::pool::EnvelopePool;

use crate::messenger::Messenger;
use crate::outbox::Load;
use crate::sending::Form;
use crate::turn::ContactNumber;

impl<P: EnvelopePool> Messenger<P> {
    /// Looks whether the ratchet has been crowded out for too long: after every message, and by the hour.
    pub(crate) fn note_post_quantum(&mut self, contact: ContactNumber) {
        let unix_ms = self.now.unix_ms;
        let entry = self.best_session(contact).and_then(|slot| self.sessions.get(slot));
        if entry.is_some_and(|entry| entry.session.post_quantum_overdue(unix_ms)) {
            self.post_quantum_due.insert(contact);
            self.pump_due = true;
        }
    }

    /// Seals what came due, when nothing waits to be pushed. Where it cannot be sealed now, the next hour asks again.
    pub(crate) fn pump_post_quantum(&mut self, rng: &mut impl CryptoRng) {
        while self.push_queue.is_empty() && self.has_stamp_slot() && !self.outbox.unconfirmed_is_full() {
            let Some(contact) = self.post_quantum_due.pop_first() else { break };
            self.seal_post_quantum(contact, rng);
        }
    }

    fn seal_post_quantum(&mut self, contact: ContactNumber, rng: &mut impl CryptoRng) {
        let unix_ms = self.now.unix_ms;
        let Some(slot) = self.best_session(contact) else { return };
        let due = self.sessions.get(slot).is_some_and(|entry| {
            // A message may have had room for it meanwhile.
            entry.session.post_quantum_overdue(unix_ms) && entry.session.can_send()
        });
        if !due || self.contacts.get(contact).is_none_or(|contact| contact.blocked || contact.is_forked()) {
            return;
        }
        if let Some((place, post)) = self.seal_records(contact, slot, &[], Form::Message(Class::Small), rng) {
            self.post_unconfirmed(contact, Load::PostQuantum, place, post);
        }
    }

    /// Whether an outbox item is such an envelope.
    pub(crate) fn is_post_quantum(&self, number: u64) -> bool {
        self.outbox.get(number).is_some_and(|item| matches!(item.load, Load::PostQuantum))
    }
}

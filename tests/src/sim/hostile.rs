//! Neighbours who mean harm. They take links like anybody, keep what they hear, say that they took what
//! they throw away, and send what should do no harm: old envelopes, the same ciphertext under new stamps,
//! garbage under other people's tags, cells of noise, stamps that do not hold.

use rand_core::Rng;
use starling_messenger::turn::LinkId;
use starling_relay::push;
use starling_relay::stamp;
use starling_wire::envelope::{Class, Envelope};
use starling_wire::limits::CELL_SMALL_BYTES;
use starling_wire::push_cell::{ExitPlaintext, PushCell};

use super::event::{Event, Place};
use super::network::other_end;
use super::node::Asker;
use super::plan::{MINUTE_MS, SECOND_MS, Span, below, chance};
use super::world::World;

/// Envelopes kept for later harm.
const CAPTURED_MAX: usize = 400;
/// Stamps solved for harm in one run: each costs real time.
const HARM_STAMPS_MAX: u64 = 60;

impl World {
    /// A hostile node hears an envelope: it may squat its tag while the envelope is still on its way.
    pub(super) fn captures(&mut self, place: Place, envelope: Envelope) {
        if !self.calm && chance(&mut self.rng, 5) {
            self.squat(place, &envelope);
        }
        if self.captured.len() >= CAPTURED_MAX {
            let victim = below(&mut self.rng, CAPTURED_MAX as u64) as usize;
            self.captured.swap_remove(victim);
        }
        self.captured.push(envelope);
    }

    /// A hostile node gets a cell: it says that it took it, or refuses it, or says nothing. It never publishes.
    pub(super) fn swallows(&mut self, _place: Place, asker: Asker, _cell: &PushCell) {
        match below(&mut self.rng, 10) {
            0..5 => self.answer(asker, true),
            5..7 => self.answer(asker, false),
            _ => {}
        }
    }

    /// A hostile node has its turn.
    pub(super) fn on_harm(&mut self, place: Place) {
        if self.calm {
            return;
        }
        let pause_ms = match self.plan.span {
            Span::Minutes => 5 * SECOND_MS,
            Span::Days => 30 * MINUTE_MS,
            Span::Weeks => 180 * MINUTE_MS,
        };
        let in_ms = pause_ms + below(&mut self.rng, 2 * pause_ms);
        self.queue.put(self.at_ms + in_ms, Event::Harm { node: place });
        self.dial_soon(place, SECOND_MS);
        let kind = below(&mut self.rng, 6);
        let old = (!self.captured.is_empty())
            .then(|| self.captured[below(&mut self.rng, self.captured.len() as u64) as usize].clone());
        self.counts.harm += 1;
        match (kind, old) {
            (0, Some(envelope)) => self.say(place, &envelope),
            (1, Some(envelope)) => self.squat(place, &envelope),
            (2, Some(envelope)) => self.stamp_anew(place, &envelope),
            (3, Some(envelope)) => self.push_old(place, &envelope),
            (4, Some(envelope)) if chance(&mut self.rng, 20) => self.lie_about_stamp(place, &envelope),
            _ => self.push_noise(place),
        }
    }

    fn say(&mut self, place: Place, envelope: &Envelope) {
        self.note(place, || format!("says {:?} (tag {:?})", envelope.id(), envelope.tag()));
        self.spread(place, envelope, None);
    }

    fn stamped(&mut self, envelope: &Envelope, body: &[u8]) -> Option<Envelope> {
        if self.harm_stamps >= HARM_STAMPS_MAX {
            return None;
        }
        self.harm_stamps += 1;
        let [effort, ..] = self.plan.parameters.efforts(envelope.class());
        let head = envelope.head();
        let challenge = stamp::challenge(&self.plan.parameters.id(), &head, effort, body);
        let stamp = stamp::solve(challenge, effort, self.rng.next_u64(), || false)?;
        Envelope::assemble(&head, &stamp.0, effort, body).ok()
    }

    /// Garbage under the tag of somebody's envelope, with a stamp that holds.
    fn squat(&mut self, place: Place, envelope: &Envelope) {
        let mut body = envelope.body().to_vec();
        self.rng.fill_bytes(&mut body);
        if let Some(garbage) = self.stamped(envelope, &body) {
            self.say(place, &garbage);
        }
    }

    /// The same ciphertext under another stamp: another id, so no cache knows it.
    fn stamp_anew(&mut self, place: Place, envelope: &Envelope) {
        if let Some(copy) = self.stamped(envelope, envelope.body()) {
            self.say(place, &copy);
        }
    }

    fn lie_about_stamp(&mut self, place: Place, envelope: &Envelope) {
        let mut stamp = envelope.stamp();
        stamp[0] ^= 1;
        if let Ok(lie) = Envelope::assemble(&envelope.head(), &stamp, envelope.effort(), envelope.body()) {
            self.say(place, &lie);
        }
    }

    fn any_link(&mut self, place: Place) -> Option<(LinkId, Place)> {
        let links: Vec<LinkId> = self.nodes[place].links.iter().copied().collect();
        let end = *links.get(below(&mut self.rng, links.len() as u64) as usize)?;
        Some((end, self.place_of(other_end(end))?))
    }

    fn push(&mut self, place: Place, end: LinkId, cell: PushCell) {
        let life = self.nodes[place].life;
        if let Some(hop_ms) = self.hop_ms(end) {
            let event = Event::Cell { link: other_end(end), cell, request: None, life };
            self.queue.put(self.at_ms + hop_ms, event);
        }
    }

    /// A cell that nobody can open.
    fn push_noise(&mut self, place: Place) {
        let Some((end, _)) = self.any_link(place) else { return };
        let mut bytes = vec![0; CELL_SMALL_BYTES];
        self.rng.fill_bytes(&mut bytes);
        if let Ok(cell) = PushCell::parse(bytes) {
            self.push(place, end, cell);
        }
    }

    /// A well sealed cell with an envelope of long ago, twice.
    fn push_old(&mut self, place: Place, envelope: &Envelope) {
        let Some((end, peer)) = self.any_link(place) else { return };
        let plaintext = ExitPlaintext::Publish(envelope.as_bytes().into());
        let onion_key = self.nodes[peer].onion_key();
        if let Ok(cell) = push::seal(&plaintext, Class::Small, &onion_key, &mut self.rng) {
            self.push(place, end, cell.clone());
            self.push(place, end, cell);
        }
    }
}

//! Push cells between neighbours: on their way, lost, answered, or answered too late.

use starling_messenger::turn::{Input, LinkId, PushTicket, Refusal, RequestId};
use starling_relay::push::{Exit, OnionSecret};
use starling_wire::envelope::Envelope;
use starling_wire::push_cell::{ExitPlaintext, PushCell};

use super::check::Rule;
use super::event::{Event, Place};
use super::network::other_end;
use super::node::Asker;
use super::sabotage::Sabotage;
use super::world::World;

impl World {
    /// A node pushes a cell to a neighbour.
    pub(super) fn on_push(&mut self, place: Place, id: RequestId, link: LinkId, cell: PushCell) {
        self.counts.pushes += 1;
        let life = self.nodes[place].life;
        self.nodes[place].asked.insert(id, Some(link));
        if self.node_at(link) != Some(place) {
            let result = Err(Refusal::LinkGone);
            return self.queue.put(self.at_ms + 1, Event::Done { node: place, life, id, result });
        }
        let arrives = self.sabotage != Some(Sabotage::LosePushes);
        if let Some(hop_ms) = self.hop_ms(link).filter(|_| arrives) {
            let event = Event::Cell { link: other_end(link), cell, request: Some(id), life };
            self.queue.put(self.at_ms + hop_ms, event);
        }
        let timeout_ms = u64::from(self.plan.parameters.push_timeout_ms);
        let result = Err(Refusal::TimedOut);
        self.queue.put(self.at_ms + timeout_ms, Event::Done { node: place, life, id, result });
    }

    /// What leaves in a cell must be on the disk, stamp and all. The world has every node's onion secret.
    pub(super) fn check_cell(&mut self, place: Place, link: LinkId, cell: &PushCell) {
        let Some(peer) = self.place_of(other_end(link)) else { return };
        let mut exit = Exit::new(OnionSecret::from_bytes(self.nodes[peer].onion_secret));
        match exit.open(cell, 0) {
            Ok(ExitPlaintext::Publish(bytes)) => {
                self.checks.leaves_stamped(self.at_ms, &self.nodes[place], &bytes);
                if let Ok(envelope) = Envelope::parse(bytes) {
                    let (id, to) = (envelope.id(), self.nodes[peer].name.clone());
                    self.note(place, || format!("pushes {id:?} to {to}"));
                }
            }
            Ok(ExitPlaintext::Drop) => {}
            // The neighbour has restarted since: nobody will ever open it.
            Err(_) => {}
        }
    }

    /// A cell comes.
    pub(super) fn on_cell(&mut self, end: LinkId, cell: PushCell, request: Option<RequestId>, life: u32) {
        let Some(place) = self.arrives(end) else { return };
        let Some(from) = self.node_at(other_end(end)) else { return };
        let asker = Asker { node: from, life, link: other_end(end), request };
        if self.nodes[place].hostile {
            return self.swallows(place, asker, &cell);
        }
        let ticket = PushTicket(self.fresh_number());
        self.nodes[place].tickets.insert(ticket, asker);
        self.step(place, Input::Cell { link: end, ticket, cell });
    }

    /// A node answers a cell with one byte.
    pub(super) fn on_cell_answer(&mut self, place: Place, ticket: PushTicket, taken: bool) {
        let Some(asker) = self.nodes[place].tickets.remove(&ticket) else {
            let name = self.nodes[place].name.clone();
            return self.violated(Rule::OneAnswer, &name, format!("a second answer to cell {}", ticket.0));
        };
        self.answer(asker, taken);
    }

    /// Sends the byte back.
    pub(super) fn answer(&mut self, asker: Asker, taken: bool) {
        let Some(id) = asker.request else { return };
        let Some(hop_ms) = self.hop_ms(asker.link) else { return };
        let result = if taken { Ok(()) } else { Err(Refusal::Refused) };
        let event = Event::Done { node: asker.node, life: asker.life, id, result };
        self.queue.put(self.at_ms + hop_ms, event);
    }

    /// The network answers: only its first word counts.
    pub(super) fn on_done(&mut self, place: Place, id: RequestId, result: Result<(), Refusal>) {
        if let Some(over) = self.nodes[place].asked.remove(&id) {
            if over.is_some() {
                self.note(place, || format!("push answered: {result:?}"));
            }
            self.step(place, Input::Done { id, result });
        }
    }

    /// What was asked over a link that is gone fails, and reconciliations break.
    pub(super) fn fail_over(&mut self, place: Place, end: LinkId) {
        let gone = self.nodes[place].asked.iter().filter(|(_, over)| **over == Some(end));
        let gone: Vec<RequestId> = gone.map(|(&id, _)| id).collect();
        let life = self.nodes[place].life;
        for id in gone {
            let result = Err(Refusal::LinkGone);
            self.queue.put(self.at_ms + 1, Event::Done { node: place, life, id, result });
        }
        self.break_sync(place, end);
    }
}

//! Reconciliations: real sessions of both sides over real views of their pools, frame by frame through
//! their bytes; what they carry comes later, and sometimes only half of it.

use rand_core::Rng;
use starling_messenger::turn::{Input, LinkId, SyncBroken, SyncStats};
use starling_relay::admit::Route;
use starling_relay::penalty::Fault;
use starling_relay::pool::{EnvelopePool, MemorySnapshot};
use starling_relay::sync::{Action, Outcome, Session, common_hours};
use starling_wire::envelope::{EnvelopeId, Epoch, EpochRange};
use starling_wire::sync_frame::{SyncFrame, SyncHello};

use super::event::{Event, Place};
use super::network::other_end;
use super::plan::{below, chance};
use super::world::World;

/// What both sides said to each other.
struct Talk {
    outcome: Result<Outcome, Fault>,
    bodies: Vec<Vec<Box<[u8]>>>,
}

fn through_bytes(frame: &SyncFrame) -> Result<SyncFrame, Fault> {
    let bytes = frame.encode().map_err(|_| Fault::SyncViolation)?;
    SyncFrame::decode(&bytes).map_err(|_| Fault::SyncViolation)
}

/// Runs both sides to the end.
fn talk(mut asking: Session<MemorySnapshot>, answering: impl FnOnce(&SyncHello) -> Session<MemorySnapshot>) -> Talk {
    let mut bodies = Vec::new();
    let mut make = Some(answering);
    let mut answering: Option<Session<MemorySnapshot>> = None;
    let outcome = loop {
        let Some(action) = asking.next_action() else {
            // Each waits for the other: only a broken session does that.
            break Err(Fault::SyncViolation);
        };
        let frame = match action {
            Action::Send(frame) => frame,
            Action::Received(received) => {
                bodies.push(received);
                continue;
            }
            Action::Finished(outcome) => break Ok(outcome),
            Action::Failed(_) => break Err(Fault::SyncViolation),
        };
        let Ok(frame) = through_bytes(&frame) else { break Err(Fault::SyncViolation) };
        match (&mut answering, make.take()) {
            (None, Some(make)) => match &frame {
                SyncFrame::Hello(hello) => answering = Some(make(hello)),
                _ => break Err(Fault::SyncViolation),
            },
            (Some(session), _) => {
                if let Err(fault) = session.handle(frame) {
                    break Err(fault);
                }
            }
            (None, None) => break Err(Fault::SyncViolation),
        }
        while let Some(Action::Send(frame)) = answering.as_mut().and_then(Session::next_action) {
            let Ok(frame) = through_bytes(&frame) else { break };
            if asking.handle(frame).is_err() {
                return Talk { outcome: Err(Fault::SyncViolation), bodies };
            }
        }
    };
    Talk { outcome, bodies }
}

impl World {
    /// A node starts a reconciliation.
    pub(super) fn on_start_sync(&mut self, place: Place, link: LinkId, window: EpochRange, watch: Vec<EnvelopeId>) {
        self.counts.syncs += 1;
        self.nodes[place].syncs.insert(link);
        let life = self.nodes[place].life;
        match self.hop_ms(link) {
            Some(hop_ms) => self.queue.put(self.at_ms + 2 * hop_ms, Event::SyncOpen { link, life, window, watch }),
            None => self.end_sync_in(2_000, place, link, window, Vec::new(), Err(SyncBroken::Stream)),
        }
    }

    fn end_sync_in(
        &mut self,
        in_ms: u64,
        place: Place,
        link: LinkId,
        window: EpochRange,
        held: Vec<EnvelopeId>,
        result: Result<SyncStats, SyncBroken>,
    ) {
        let life = self.nodes[place].life;
        let input = Input::SyncEnded { link, window, held, result };
        self.queue.put(self.at_ms + in_ms, Event::Local { node: place, life, input });
    }

    /// A reconciliation's stream opens: both sides talk, and what came of it is told in a while.
    pub(super) fn on_sync_open(&mut self, link: LinkId, life: u32, window: EpochRange, watch: Vec<EnvelopeId>) {
        let Some(place) = self.place_of(link).filter(|&place| self.nodes[place].life == life) else { return };
        if self.arrives(other_end(link)).is_none() || self.arrives(link).is_none() {
            return self.end_sync_in(1, place, link, window, Vec::new(), Err(SyncBroken::Stream));
        }
        let Some(peer) = self.place_of(other_end(link)) else { return };
        let Some(Talk { outcome, mut bodies }) = self.reconcile(place, peer, window, watch) else { return };
        let breaks = !self.calm && chance(&mut self.rng, self.plan.bad.sync_break_percent);
        if breaks {
            let kept = below(&mut self.rng, bodies.len() as u64 + 1) as usize;
            bodies.truncate(kept);
        }
        let hop_ms = self.hop_ms(link).unwrap_or(1_000);
        let mut in_ms = 4 * hop_ms;
        self.note_sync(place, peer, window, &bodies, &outcome, breaks);
        for received in bodies {
            in_ms += 1 + received.len() as u64;
            self.queue.put(self.at_ms + in_ms, Event::Pulled { link, life, bodies: received });
        }
        // What was pulled has a lane of its own: the end may overtake it.
        let end_ms = if chance(&mut self.rng, 30) { in_ms.saturating_sub(2) } else { in_ms + 1 };
        match outcome {
            _ if breaks => self.end_sync_in(end_ms, place, link, window, Vec::new(), Err(SyncBroken::Stream)),
            Ok(Outcome { stats, held, .. }) => {
                let stats =
                    SyncStats { received: stats.received, sent: stats.sent, bytes: stats.bytes, rounds: stats.rounds };
                self.end_sync_in(end_ms, place, link, window, held, Ok(stats));
            }
            Err(fault) => self.end_sync_in(end_ms, place, link, window, Vec::new(), Err(SyncBroken::Fault(fault))),
        }
    }

    fn note_sync(
        &mut self,
        place: Place,
        peer: Place,
        window: EpochRange,
        bodies: &[Vec<Box<[u8]>>],
        outcome: &Result<Outcome, Fault>,
        breaks: bool,
    ) {
        let count: usize = bodies.iter().map(Vec::len).sum();
        self.counts.pulled += count as u64;
        if count == 0 && outcome.is_ok() && !breaks {
            return;
        }
        let (name, hours) = (self.nodes[peer].name.clone(), window.last.0.saturating_sub(window.first.0) + 1);
        let how = match (outcome, breaks) {
            (_, true) => " and breaks".to_owned(),
            (Ok(_), false) => String::new(),
            (Err(fault), false) => format!(": {fault}"),
        };
        self.note(place, || format!("reconciles {hours} h with {name}, gets {count}{how}"));
    }

    fn reconcile(&mut self, place: Place, peer: Place, window: EpochRange, watch: Vec<EnvelopeId>) -> Option<Talk> {
        let mut mine = self.hello(place, window);
        let mut theirs = self.hello(peer, EpochRange { first: Epoch(0), last: self.epoch_of(peer).plus(1) });
        mine.oldest_hour = self.horizon(place);
        theirs.oldest_hour = self.horizon(peer);
        let asking = self.nodes[place].core.as_ref()?.pool().snapshot(mine.window);
        let answering = self.nodes[peer].core.as_ref();
        Some(talk(Session::initiator(asking, mine, watch), |hello| {
            let snapshot = match (answering, common_hours(hello, &theirs)) {
                (Some(core), Some(hours)) => core.pool().snapshot(hours),
                // Nothing in common, or one that keeps nothing for anybody.
                _ => MemorySnapshot::default(),
            };
            Session::responder(snapshot, hello, theirs)
        }))
    }

    fn horizon(&self, place: Place) -> Epoch {
        let epoch = self.epoch_of(place);
        self.nodes[place].core.as_ref().map_or(epoch, |core| core.pool().horizon(epoch))
    }

    fn hello(&mut self, place: Place, window: EpochRange) -> SyncHello {
        let mut salt = [0; 16];
        self.rng.fill_bytes(&mut salt);
        SyncHello { salt, oldest_hour: Epoch(0), window, unix_ms: self.now_of(place).unix_ms }
    }

    /// Bodies come: admission first.
    pub(super) fn on_pulled(&mut self, link: LinkId, life: u32, bodies: Vec<Box<[u8]>>) {
        let Some(place) = self.place_of(link) else { return };
        let node = &self.nodes[place];
        if node.life != life || node.core.is_none() || node.asleep_until_ms.is_some() {
            return;
        }
        let epoch = self.epoch_of(place);
        let mut envelopes = Vec::with_capacity(bodies.len());
        for body in bodies {
            match self.gate.check(body, epoch, Route::Sync) {
                Ok(checked) => envelopes.push(checked),
                Err(Fault::EpochOutOfWindow) => {}
                Err(fault) => return self.on_penalize(place, link, fault),
            }
        }
        self.step(place, Input::Pulled { link, envelopes });
    }

    /// A reconciliation ended: only the first word on it counts.
    pub(super) fn on_local(&mut self, place: Place, input: Input) {
        if let Input::SyncEnded { link, .. } = &input
            && !self.nodes[place].syncs.remove(link)
        {
            return;
        }
        self.step(place, input);
    }

    /// A link went down under a reconciliation.
    pub(super) fn break_sync(&mut self, place: Place, link: LinkId) {
        if self.nodes[place].syncs.contains(&link) {
            let window = EpochRange { first: Epoch(0), last: Epoch(0) };
            self.end_sync_in(1, place, link, window, Vec::new(), Err(SyncBroken::Stream));
        }
    }
}

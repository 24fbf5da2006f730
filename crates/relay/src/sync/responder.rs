//! The side of a sync session that answers. SPEC: B13.
//!
//! It asks nothing and believes nothing, so all that a hostile initiator can do is make it work: at most
//! 8 answers, at most as many bodies as 8 answers can list, and at most 64 MiB of them. Bodies are read
//! from the pool one frame at a time, when the frame before was written.

use std::collections::VecDeque;

use starling_wire::envelope::{Envelope, EpochRange};
use starling_wire::limits::{SYNC_BODIES_BYTES_MAX, SYNC_MESSAGE_BYTES_MAX, SYNC_PULL_MAX, SYNC_ROUNDS_MAX};
use starling_wire::sync_frame::{Body, ByeReason, SessionSalt, SyncFrame, SyncHello, SyncId};

use super::negentropy;
use super::session::{Action, Catalogue, Line, NOTHING_IN_COMMON, Outcome, common_hours, load, short_id};
use crate::penalty::Fault;
use crate::pool::{IdSource, PoolError};

/// Ids pulled in one session: a message has room for fewer than 2,048, and 8 messages come.
const PULLED_IDS_MAX: usize = 8 * 2_048;
/// Pulls that may wait for their bodies.
const PULLS_WAITING_MAX: usize = 2;
/// Bytes of envelopes given to one session; then the other side may ask somebody else.
const SERVED_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug)]
pub(super) struct Responder<S> {
    line: Line,
    snapshot: S,
    window: Option<EpochRange>,
    /// Ids read from the snapshot.
    pub(super) loaded: usize,
    catalogue: Catalogue,
    /// Indices of the catalogue in the order of ids, made at the first pull: pulls name no epoch.
    by_id: Option<Vec<usize>>,
    /// Pulls that are not answered to the end.
    pulls: VecDeque<VecDeque<SyncId>>,
    pulled_ids: usize,
    served_bytes: u64,
}

impl<S: IdSource> Responder<S> {
    pub(super) fn new(snapshot: S, theirs: &SyncHello, mut hello: SyncHello) -> Self {
        let mut line = Line::default();
        line.count(&SyncFrame::Hello(*theirs));
        let loaded = common_hours(theirs, &hello).map(|hours| load(&snapshot, hours));
        let window = loaded.as_ref().map(|(window, _)| *window);
        let count = loaded.as_ref().map_or(0, |(_, keys)| keys.len());
        let mut catalogue = Catalogue::default();
        if let Some((window, keys)) = loaded {
            hello.window = window;
            let salt = SessionSalt::derive(&theirs.salt, &hello.salt);
            catalogue = Catalogue::new(keys, window, &salt);
            line.send(SyncFrame::Hello(hello));
        }
        let mut responder = Self {
            line,
            snapshot,
            window,
            loaded: count,
            catalogue,
            by_id: None,
            pulls: VecDeque::new(),
            pulled_ids: 0,
            served_bytes: 0,
        };
        if window.is_none() {
            responder.line.send(NOTHING_IN_COMMON);
            responder.finish();
        }
        responder
    }

    pub(super) fn handle(&mut self, frame: SyncFrame) -> Result<(), Fault> {
        if self.line.is_over {
            return Ok(());
        }
        self.line.count(&frame);
        match frame {
            SyncFrame::Negentropy(query) if self.line.stats.rounds < SYNC_ROUNDS_MAX => {
                self.line.stats.rounds = self.line.stats.rounds.saturating_add(1);
                let answer = negentropy::answer(&self.catalogue.set, &query, SYNC_MESSAGE_BYTES_MAX);
                let answer = answer.map_err(|_| self.line.violation())?;
                self.line.send(SyncFrame::Negentropy(answer));
                Ok(())
            }
            SyncFrame::Pull(ids) => self.take_pull(ids),
            SyncFrame::Bye(_) => {
                self.finish();
                Ok(())
            }
            _ => Err(self.line.violation()),
        }
    }

    fn take_pull(&mut self, ids: Vec<SyncId>) -> Result<(), Fault> {
        self.pulled_ids = self.pulled_ids.saturating_add(ids.len());
        if self.pulled_ids > PULLED_IDS_MAX || self.pulls.len() >= PULLS_WAITING_MAX {
            return Err(self.line.violation());
        }
        self.pulls.push_back(ids.into());
        Ok(())
    }

    pub(super) fn next_action(&mut self) -> Option<Action> {
        if self.line.is_idle() && !self.line.is_over && !self.pulls.is_empty() {
            self.serve();
        }
        self.line.next()
    }

    /// Makes the next bodies frame.
    fn serve(&mut self) {
        if self.served_bytes >= SERVED_BYTES_MAX {
            self.line.send(SyncFrame::Bye(ByeReason::BUSY));
            return self.finish();
        }
        let mut pull = self.pulls.pop_front().unwrap_or_default();
        match self.fill_frame(&mut pull) {
            Ok(bodies) => self.line.send(SyncFrame::Bodies(bodies)),
            Err(error) => return self.line.end(Action::Failed(error)),
        }
        if !pull.is_empty() {
            self.pulls.push_front(pull);
        }
    }

    /// Takes from the front of a pull what fits into one frame.
    fn fill_frame(&mut self, pull: &mut VecDeque<SyncId>) -> Result<Vec<Body>, PoolError> {
        let mut bodies = Vec::new();
        let mut bytes: usize = 0;
        while let Some(id) = pull.front().filter(|_| bodies.len() < SYNC_PULL_MAX).copied() {
            let body = match self.find(&id)? {
                Some(envelope) => Body::Envelope(envelope.as_bytes().into()),
                None => Body::Absent(id),
            };
            bytes = bytes.saturating_add(body.encoded_bytes());
            if bytes > SYNC_BODIES_BYTES_MAX {
                break;
            }
            pull.pop_front();
            self.count(&body);
            bodies.push(body);
        }
        Ok(bodies)
    }

    fn count(&mut self, body: &Body) {
        match body {
            Body::Envelope(bytes) => {
                self.line.stats.sent = self.line.stats.sent.saturating_add(1);
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.served_bytes = self.served_bytes.saturating_add(bytes);
            }
            Body::Absent(_) => self.line.stats.absent = self.line.stats.absent.saturating_add(1),
        }
    }

    fn find(&mut self, id: &SyncId) -> Result<Option<Envelope>, PoolError> {
        let items = self.catalogue.set.items();
        let short = |index: &usize| items.get(*index).map(|item| short_id(&item.id));
        let by_id = self.by_id.get_or_insert_with(|| {
            let mut indices: Vec<usize> = (0..items.len()).collect();
            indices.sort_unstable_by_key(&short);
            indices
        });
        let place = by_id.partition_point(|index| short(index) < Some(*id));
        let index = by_id.get(place).filter(|index| short(index) == Some(*id));
        match index.and_then(|index| self.catalogue.keys.get(*index)) {
            Some(key) => self.snapshot.read(key),
            None => Ok(None),
        }
    }

    fn finish(&mut self) {
        self.pulls.clear();
        let outcome = self.outcome();
        self.line.end(Action::Finished(outcome));
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome { stats: self.line.stats, held: Vec::new(), window: self.window, complete: false, refused: false }
    }
}

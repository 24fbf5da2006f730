//! The side of a sync session that asks. SPEC: B13.
//!
//! First all rounds of reconciliation, then the pulls, newest hours first, so that what a person waits
//! for comes early. Every body is held against the id that was asked for, so a peer cannot slip in an
//! envelope that it did not list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use starling_wire::envelope::{EnvelopeId, EnvelopeKey, Epoch, EpochRange};
use starling_wire::limits::{SYNC_MESSAGE_BYTES_MAX, SYNC_PULL_MAX, SYNC_ROUNDS_MAX};
use starling_wire::sync_frame::{Body, ByeReason, SessionSalt, SyncFrame, SyncHello, SyncId};

use super::negentropy::{self, Excluded, Query, Step};
use super::session::{Action, Catalogue, Line, NOTHING_IN_COMMON, Outcome, common_hours, load, long_id, short_id};
use crate::penalty::Fault;
use crate::pool::IdSource;

/// What the initiator waits for.
#[derive(Debug)]
enum Stage {
    /// The other side's hello; until then nothing can be salted.
    Hello(Vec<EnvelopeKey>),
    /// The answer to the last negentropy message.
    Answer,
    /// Bodies.
    Bodies,
}

#[derive(Debug)]
pub(super) struct Initiator {
    pub(super) line: Line,
    stage: Stage,
    hello: SyncHello,
    refused: Vec<EnvelopeId>,
    full_hours: Vec<Epoch>,
    excluded: Excluded,
    watch: BTreeSet<EnvelopeId>,
    salt: Option<SessionSalt>,
    window: Option<EpochRange>,
    catalogue: Catalogue,
    /// Watched ids that we hold ourselves and the other side has not denied, by index.
    watched: BTreeMap<usize, EnvelopeId>,
    /// Watched ids that came from the other side.
    came: Vec<EnvelopeId>,
    /// Index ranges about which nothing is known yet.
    open: Vec<Range<usize>>,
    /// Salted ids never to be pulled: refused before, or wanted already.
    listed: BTreeSet<SyncId>,
    /// To be pulled, the last first.
    wanted: Vec<SyncId>,
    /// Pulled and not answered, the first first.
    pulled: VecDeque<SyncId>,
    /// All differences were found.
    settled: bool,
    /// All that was wanted was answered.
    answered: bool,
    /// The other side had no time.
    was_busy: bool,
}

impl Initiator {
    pub(super) fn new(snapshot: &impl IdSource, mut hello: SyncHello, watch: BTreeSet<EnvelopeId>) -> Self {
        let (window, keys) = load(snapshot, hello.window);
        hello.window = window;
        let mut line = Line::default();
        line.send(SyncFrame::Hello(hello));
        Self {
            line,
            stage: Stage::Hello(keys),
            hello,
            refused: snapshot.refused(),
            full_hours: snapshot.full_hours(),
            excluded: Excluded::default(),
            watch,
            salt: None,
            window: None,
            catalogue: Catalogue::default(),
            watched: BTreeMap::new(),
            came: Vec::new(),
            open: Vec::new(),
            listed: BTreeSet::new(),
            wanted: Vec::new(),
            pulled: VecDeque::new(),
            settled: false,
            answered: false,
            was_busy: false,
        }
    }

    pub(super) fn handle(&mut self, frame: SyncFrame) -> Result<(), Fault> {
        if self.line.is_over {
            return Ok(());
        }
        self.line.count(&frame);
        match (frame, &mut self.stage) {
            (SyncFrame::Hello(theirs), Stage::Hello(keys)) => {
                let keys = std::mem::take(keys);
                self.begin(keys, &theirs);
                Ok(())
            }
            (SyncFrame::Negentropy(message), Stage::Answer) => {
                let step = negentropy::advance(&self.catalogue.set, &message, &self.excluded, SYNC_MESSAGE_BYTES_MAX);
                let step = step.map_err(|_| self.line.violation())?;
                self.learn(step);
                Ok(())
            }
            (SyncFrame::Bodies(bodies), Stage::Bodies) => self.receive(bodies),
            (SyncFrame::Bye(reason), _) => {
                self.was_busy = reason == ByeReason::BUSY && self.line.stats.received == 0;
                self.finish();
                Ok(())
            }
            _ => Err(self.line.violation()),
        }
    }

    /// Both hellos are there: salts the ids and asks for the first time.
    fn begin(&mut self, keys: Vec<EnvelopeKey>, theirs: &SyncHello) {
        let Some(window) = common_hours(&self.hello, theirs) else {
            self.line.send(NOTHING_IN_COMMON);
            return self.finish();
        };
        let salt = SessionSalt::derive(&self.hello.salt, &theirs.salt);
        self.catalogue = Catalogue::new(keys, window, &salt);
        let rows = self.catalogue.keys.iter().enumerate();
        self.watched = rows.filter(|(_, key)| self.watch.contains(&key.id)).map(|(i, key)| (i, key.id)).collect();
        self.listed = self.refused.iter().map(|id| short_id(&long_id(&salt, id))).collect();
        self.salt = Some(salt);
        self.window = Some(window);
        let excluded = self.full_hours.iter().filter(|hour| window.contains(**hour));
        self.excluded = Excluded::new(&excluded.map(|hour| u64::from(hour.0)).collect());
        let query = negentropy::initial(&self.catalogue.set, &self.excluded);
        self.drop_unasked(&query);
        self.stage = Stage::Answer;
        self.ask(query);
    }

    /// Of watched ids in hours that are left out nothing will be known.
    fn drop_unasked(&mut self, query: &Query) {
        self.watched.retain(|index, _| query.open.iter().any(|range| range.contains(index)));
    }

    fn ask(&mut self, query: Query) {
        self.open = query.open;
        self.line.stats.rounds = self.line.stats.rounds.saturating_add(1);
        self.line.send(SyncFrame::Negentropy(query.message));
    }

    fn learn(&mut self, step: Step) {
        for index in &step.have {
            self.watched.remove(index);
        }
        for id in &step.need {
            let id = short_id(id);
            if self.listed.insert(id) {
                self.wanted.push(id);
            }
        }
        match step.next {
            Some(query) if self.line.stats.rounds < SYNC_ROUNDS_MAX => return self.ask(query),
            Some(query) => self.open = query.open,
            None => {
                self.open.clear();
                self.settled = true;
            }
        }
        self.stage = Stage::Bodies;
        self.pull();
    }

    /// Keeps two pulls under way, so that the line is never idle; ends the session when nothing is left.
    fn pull(&mut self) {
        while self.pulled.len() <= SYNC_PULL_MAX && !self.wanted.is_empty() {
            let rest = self.wanted.len().saturating_sub(SYNC_PULL_MAX);
            let ids: Vec<SyncId> = self.wanted.split_off(rest).into_iter().rev().collect();
            self.pulled.extend(&ids);
            self.line.send(SyncFrame::Pull(ids));
        }
        if self.pulled.is_empty() {
            self.answered = true;
            let reason = if self.settled { ByeReason::DONE } else { ByeReason::ROUNDS_USED };
            self.line.send(SyncFrame::Bye(reason));
            self.finish();
        }
    }

    fn receive(&mut self, bodies: Vec<Body>) -> Result<(), Fault> {
        let mut envelopes = Vec::with_capacity(bodies.len());
        for body in bodies {
            let expected = self.pulled.pop_front();
            match body {
                Body::Absent(id) if expected == Some(id) => {
                    self.line.stats.absent = self.line.stats.absent.saturating_add(1);
                }
                Body::Envelope(bytes) if expected.is_some() => {
                    let id = EnvelopeId(*blake3::hash(&bytes).as_bytes());
                    let salted = self.salt.as_ref().map(|salt| short_id(&long_id(salt, &id)));
                    if salted != expected {
                        return Err(self.line.violation());
                    }
                    if self.watch.contains(&id) {
                        self.came.push(id);
                    }
                    envelopes.push(bytes);
                }
                _ => return Err(self.line.violation()),
            }
        }
        let count = u32::try_from(envelopes.len()).unwrap_or(u32::MAX);
        self.line.stats.received = self.line.stats.received.saturating_add(count);
        if !envelopes.is_empty() {
            self.line.push(Action::Received(envelopes));
        }
        self.pull();
        Ok(())
    }

    fn finish(&mut self) {
        let outcome = self.outcome();
        self.line.end(Action::Finished(outcome));
    }

    pub(super) fn outcome(&self) -> Outcome {
        let is_open = |index: &usize| self.open.iter().any(|range| range.contains(index));
        let agreed = self.watched.iter().filter(|(index, _)| !is_open(index)).map(|(_, id)| *id);
        Outcome {
            stats: self.line.stats,
            held: agreed.chain(self.came.iter().copied()).collect(),
            window: self.window,
            complete: self.settled && self.answered,
            refused: self.was_busy,
        }
    }
}

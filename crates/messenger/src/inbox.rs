//! The slow lane in which a node looks for its own mail among what has arrived. SPEC: B11.
//!
//! It runs in batches at random times, never between two verdicts: how quickly a node forwards must not tell
//! what is for it. An arrival is one look-up of its tag. Whenever a session gains tags, they are looked up in
//! the pool at once, as envelopes are often stored before their tag exists: sync brings the newest first,
//! and tags are derived forward.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;
use starling_e2ee::prekey::BUNDLE_TRIES_MAX;
use starling_e2ee::seal;
use starling_relay::expire;
use starling_relay::pool::{Arrival, EnvelopePool};
use starling_wire::envelope::{Class, Envelope, Tag};

use crate::delay;
use crate::job::{Job, parts};
use crate::messenger::Messenger;
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{ContactNumber, JobId};

/// Arrivals looked at in one pass.
const ARRIVALS_PER_PASS: usize = 512;
/// Envelopes opened in one pass.
const OPENS_PER_PASS: usize = 64;
/// Envelopes in one job of trial opening.
const TRIALS_PER_JOB: usize = 64;
/// Jobs of trial opening at a time.
const TRIAL_JOBS_MAX: usize = 4;
/// Tags looked up in the pool at a time.
const TAGS_PER_LOOKUP: usize = 16_384;
/// Found envelopes that wait to be opened. Honest senders have 255 a chain under way; only somebody who puts up
/// envelopes under tags that he saw makes it more, and what is left out then is sealed again under other tags.
const FOUND_MAX: usize = 16_384;
/// Envelopes that a full disk has no room for, waiting to be looked at: 4 MB, or 32 MB of large ones. What is left
/// out is still held by the network.
const UNSTORED_MAX: usize = 2_048;
/// Arrival number of an envelope that was not stored: it holds no cursor back.
const NOT_STORED: u64 = u64::MAX;
/// Time to the next pass when one left something undone: gossip comes between.
const AGAIN_MS: u64 = 1;

/// State of the lane.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The last arrival looked at.
    scanned: u64,
    /// What the vault knows of it.
    stored: u64,
    /// Trial openings under way, with the lowest arrival of each.
    trials: BTreeMap<JobId, u64>,
    /// Tags to be looked up in the pool.
    late: BTreeSet<Tag>,
    /// What was found under them.
    found: VecDeque<Envelope>,
    /// Strangers' mail is refused for want of room, one's own is not: what came meanwhile, to be looked at.
    unstored: VecDeque<Envelope>,
    /// Envelopes tried in vain under a contact's bundle tag.
    bundle_tries: BTreeMap<Tag, usize>,
}

impl Inbox {
    /// The arrival up to which nothing has to be read again.
    fn cursor(&self) -> u64 {
        let trial = self.trials.values().min().map(|&lowest| lowest.saturating_sub(1));
        trial.map_or(self.scanned, |trial| trial.min(self.scanned))
    }

    /// What the vault knows.
    pub(crate) fn stored_cursor(&self) -> u64 {
        self.stored
    }

    /// Takes up what the vault knew.
    pub(crate) fn restore_cursor(&mut self, arrival: u64) {
        (self.scanned, self.stored) = (arrival, arrival);
    }

    /// Tags to be looked up, and envelopes found.
    pub(crate) fn memory_use(&self) -> (usize, usize) {
        (self.late.len(), self.found.len())
    }

    /// Has `tags` looked up with the next pass.
    pub(crate) fn look_up(&mut self, tags: impl IntoIterator<Item = Tag>) {
        self.late.extend(tags);
    }

    /// Takes an envelope that the pool had no room for.
    pub(crate) fn take_unstored(&mut self, envelope: &Envelope) {
        if self.unstored.len() < UNSTORED_MAX {
            self.unstored.push_back(envelope.clone());
        }
    }

    /// Forgets which bundle tags were tried in vain: their week is over, or an hour is.
    pub(crate) fn forget_tries(&mut self) {
        self.bundle_tries.clear();
    }
}

impl<P: EnvelopePool> Messenger<P> {
    /// Something arrived: look at it in a while.
    pub(crate) fn wake_inbox(&mut self, rng: &mut impl CryptoRng) {
        let (least, most) = (self.parameters.inbox_batch_min_ms, self.parameters.inbox_batch_max_ms);
        let at_ms = self.now.monotonic_ms.saturating_add(delay::uniform_ms(least, most, rng));
        self.timers.set_if_absent(Timer::Inbox, at_ms);
    }

    /// One pass.
    pub(crate) fn on_inbox_due(&mut self, rng: &mut impl CryptoRng) {
        self.judge_disk();
        let mut opens = OPENS_PER_PASS;
        self.open_found(&mut opens, rng);
        let mut more = self.look_at_unstored(&mut opens, rng);
        more |= self.scan_arrivals(&mut opens, rng);
        for (id, link) in self.carrier.take_returns() {
            self.own_held(&id, link);
        }
        self.open_found(&mut opens, rng);
        more |= !self.inbox.late.is_empty() || !self.inbox.found.is_empty();
        if more {
            self.set_timer_in(Timer::Inbox, AGAIN_MS);
        }
        if !self.turn.writes.is_empty() || !self.dirty.is_empty() {
            self.mark_cursor_if_moved();
        }
    }

    /// Writes the cursor with whatever else is written, if it moved.
    pub(crate) fn mark_cursor_if_moved(&mut self) {
        let cursor = self.inbox.cursor();
        if cursor != self.inbox.stored {
            self.inbox.stored = cursor;
            self.mark(Dirty::Cursor);
        }
    }

    /// Looks up late tags and opens what is found, which may bring more of both.
    fn open_found(&mut self, opens: &mut usize, rng: &mut impl CryptoRng) {
        while *opens > 0 {
            if let Some(envelope) = self.inbox.found.pop_front() {
                *opens -= 1;
                self.take_own(&envelope, rng);
            } else if self.inbox.late.is_empty() || !self.look_up_late() {
                break;
            }
        }
    }

    /// Whether the pool could be asked.
    fn look_up_late(&mut self) -> bool {
        let tags: BTreeSet<Tag> = self.inbox.late.iter().take(TAGS_PER_LOOKUP).copied().collect();
        let from = expire::oldest_kept(self.epoch(), self.parameters.lifetime_hours);
        let Ok(found) = self.pool.find_tags(&tags, from) else {
            self.carrier.note_pool_failure();
            return false;
        };
        self.inbox.late.retain(|tag| !tags.contains(tag));
        self.inbox.found.extend(found.into_iter().take(FOUND_MAX).map(|(_, envelope)| envelope));
        true
    }

    /// Looks at what came while the disk was full; whether there is more.
    fn look_at_unstored(&mut self, opens: &mut usize, rng: &mut impl CryptoRng) -> bool {
        let mut trials: Vec<(u64, Envelope)> = Vec::new();
        while *opens > 0 && trials.len() < TRIALS_PER_JOB && self.inbox.trials.len() < TRIAL_JOBS_MAX {
            let Some(envelope) = self.inbox.unstored.pop_front() else { break };
            if let Some(post) = self.outbox.by_id(&envelope.id()) {
                self.came_back(post);
            } else if self.is_tag_watched(&envelope.tag()) {
                *opens -= 1;
                self.take_own(&envelope, rng);
            } else if envelope.class() == Class::Small {
                trials.push((NOT_STORED, envelope));
            }
        }
        self.start_trials(trials);
        !self.inbox.unstored.is_empty() && self.inbox.trials.len() < TRIAL_JOBS_MAX
    }

    /// Whether an envelope under this tag may be from a contact, or a contact's bundle.
    fn is_tag_watched(&self, tag: &Tag) -> bool {
        self.sessions.find(&seal::Tag(tag.0)).is_some() || self.bundle_tags.contains_key(tag)
    }

    /// Looks at what arrived since the last pass; whether there is more.
    fn scan_arrivals(&mut self, opens: &mut usize, rng: &mut impl CryptoRng) -> bool {
        if self.inbox.trials.len() >= TRIAL_JOBS_MAX {
            // The next pass comes with the end of a job.
            return false;
        }
        let Ok(arrivals) = self.pool.arrivals_after(self.inbox.scanned, ARRIVALS_PER_PASS) else {
            self.carrier.note_pool_failure();
            return false;
        };
        let mut more = arrivals.len() == ARRIVALS_PER_PASS;
        let mut trials: Vec<(u64, Envelope)> = Vec::new();
        for arrival in arrivals {
            if *opens == 0 || trials.len() == TRIALS_PER_JOB {
                more = true;
                break;
            }
            self.inbox.scanned = arrival.number;
            self.look_at(&arrival, opens, &mut trials, rng);
        }
        self.start_trials(trials);
        more && self.inbox.trials.len() < TRIAL_JOBS_MAX
    }

    fn look_at(
        &mut self,
        arrival: &Arrival,
        opens: &mut usize,
        trials: &mut Vec<(u64, Envelope)>,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(post) = self.outbox.by_id(&arrival.key.id) {
            self.came_back(post);
            return;
        }
        let mine = self.is_tag_watched(&arrival.tag);
        if !mine && arrival.key.class != Class::Small {
            return;
        }
        let envelope = match self.pool.read(&arrival.key) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return,
            Err(_) => return self.carrier.note_pool_failure(),
        };
        if mine {
            *opens -= 1;
            self.take_own(&envelope, rng);
        } else {
            trials.push((arrival.number, envelope));
        }
    }

    /// An envelope under a tag of ours: a session's, or that of a contact's bundles.
    fn take_own(&mut self, envelope: &Envelope, rng: &mut impl CryptoRng) {
        if let Some((slot, position)) = self.sessions.find(&seal::Tag(envelope.tag().0)) {
            let unix_ms = self.now.unix_ms;
            let Some(entry) = self.sessions.get_mut(slot) else { return };
            // A failure changes nothing: somebody may have sent garbage under the tag.
            if let Ok(opened) = entry.session.open(position, &parts(envelope), unix_ms) {
                self.take_opened(slot, opened, rng);
            }
        } else if let Some(&contact) = self.bundle_tags.get(&envelope.tag()) {
            self.try_bundle(contact, envelope);
        }
    }

    fn try_bundle(&mut self, contact: ContactNumber, envelope: &Envelope) {
        let tries = self.inbox.bundle_tries.entry(envelope.tag()).or_default();
        if *tries < BUNDLE_TRIES_MAX && !self.take_bundle(contact, envelope) {
            *self.inbox.bundle_tries.entry(envelope.tag()).or_default() += 1;
        }
    }

    fn start_trials(&mut self, envelopes: Vec<(u64, Envelope)>) {
        let Some(&(lowest, _)) = envelopes.first() else { return };
        let keys = self.prekeys.inbox_keys().to_vec();
        if keys.is_empty() {
            return;
        }
        let job = self.compute(Job::OpenFirstContacts { keys, envelopes });
        self.inbox.trials.insert(job, lowest);
    }

    /// Trial openings ended: the cursor may pass them, and the next may begin.
    pub(crate) fn end_trials(&mut self, job: JobId) -> bool {
        let known = self.inbox.trials.remove(&job).is_some();
        if known {
            self.timers.set_if_absent(Timer::Inbox, self.now.monotonic_ms);
        }
        known
    }
}

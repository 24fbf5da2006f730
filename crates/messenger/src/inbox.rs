//! The slow lane in which a node looks for its own mail among what has arrived. SPEC: B11.
//!
//! It runs in batches at random times, never between two verdicts: how quickly a node forwards must not tell
//! what is for it. An arrival is one look-up of its tag. Whenever a session gains tags, they are looked up in
//! the pool at once, as envelopes are often stored before their tag exists: sync brings the newest first,
//! and tags are derived forward. A worker does that: it may read the files of hundreds of hours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;
use starling_e2ee::prekey::BUNDLE_TRIES_MAX;
use starling_e2ee::seal;
use starling_relay::expire;
use starling_relay::pool::{Arrival, EnvelopePool, FOUND_PER_CALL_MAX, FOUND_PER_TAG_MAX, PoolError};
use starling_wire::envelope::{Class, Envelope, Epoch, Tag};

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
/// Tags looked up in the pool at a time: what is recent is looked through in a step.
const TAGS_PER_SEARCH: usize = 4_096;
/// So many are never too many for one answer.
const TAGS_PER_SEARCH_MIN: usize = FOUND_PER_CALL_MAX / FOUND_PER_TAG_MAX;
/// Bytes of envelopes that a full disk has no room for, waiting to be looked at. What is left out is held by the
/// network: the pool remembers it as refused only while it has no room, and then sync brings it again.
const UNSTORED_BYTES_MAX: usize = 8 << 20;
/// Arrival number of an envelope that was not stored: it holds no cursor back.
const NOT_STORED: u64 = u64::MAX;
/// Time to the next pass when one left something undone: gossip comes between.
const AGAIN_MS: u64 = 1;
/// Time to the next pass after one in which the pool failed, doubling with each to [`FAILED_AGAIN_MAX_MS`].
const FAILED_AGAIN_MS: u64 = 1_000;
/// Longest such time.
const FAILED_AGAIN_MAX_MS: u64 = 60_000;

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
    /// Those that are looked up now. They are not among the late ones: a tag that is watched anew meanwhile is
    /// looked up again, as what came for it before that is not in this look-up.
    search: Option<(JobId, BTreeSet<Tag>)>,
    /// How many to look up next, after an answer that may have left some out.
    fewer: Option<usize>,
    /// The last look-up failed.
    search_failed: bool,
    /// What was found: at most one answer.
    found: VecDeque<Envelope>,
    /// Strangers' mail is refused for want of room, one's own is not: what came meanwhile, to be looked at.
    unstored: VecDeque<Envelope>,
    /// Bytes of these.
    unstored_bytes: usize,
    /// Passes in a row in which the pool failed.
    failed_passes: u32,
    /// It failed in this pass.
    pass_failed: bool,
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
        let searched = self.search.as_ref().map_or(0, |(_, tags)| tags.len());
        (self.late.len() + searched, self.found.len())
    }

    /// Whether something is still to be looked up, or to be opened of what was found.
    pub(crate) fn is_searching(&self) -> bool {
        self.memory_use() != (0, 0)
    }

    /// Has `tags` looked up with the next pass.
    pub(crate) fn look_up(&mut self, tags: impl IntoIterator<Item = Tag>) {
        self.late.extend(tags);
    }

    /// Takes an envelope that the pool had no room for.
    pub(crate) fn take_unstored(&mut self, envelope: &Envelope) {
        let bytes = self.unstored_bytes + envelope.as_bytes().len();
        if bytes <= UNSTORED_BYTES_MAX {
            self.unstored_bytes = bytes;
            self.unstored.push_back(envelope.clone());
        }
    }

    fn pop_unstored(&mut self) -> Option<Envelope> {
        let envelope = self.unstored.pop_front()?;
        self.unstored_bytes -= envelope.as_bytes().len();
        Some(envelope)
    }

    /// Ends a pass: when the next one comes if it left something undone.
    fn end_pass(&mut self, more: bool) -> Option<u64> {
        if !std::mem::take(&mut self.pass_failed) {
            if !self.search_failed {
                self.failed_passes = 0;
            }
            return more.then_some(AGAIN_MS);
        }
        let wait_ms = FAILED_AGAIN_MS << self.failed_passes.min(6);
        self.failed_passes = self.failed_passes.saturating_add(1);
        Some(wait_ms.min(FAILED_AGAIN_MAX_MS))
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
        self.start_search();
        more |= !self.inbox.found.is_empty();
        if let Some(wait_ms) = self.inbox.end_pass(more) {
            self.set_timer_in(Timer::Inbox, wait_ms);
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

    /// Opens what was found under late tags.
    fn open_found(&mut self, opens: &mut usize, rng: &mut impl CryptoRng) {
        while *opens > 0
            && let Some(envelope) = self.inbox.found.pop_front()
        {
            *opens -= 1;
            self.take_own(&envelope, rng);
        }
    }

    /// Has late tags looked up, once all that was found before is opened.
    fn start_search(&mut self) {
        if self.inbox.late.is_empty() || self.inbox.search.is_some() || !self.inbox.found.is_empty() {
            return;
        }
        let count = self.inbox.fewer.unwrap_or(TAGS_PER_SEARCH);
        let mut tags = BTreeSet::new();
        while tags.len() < count
            && let Some(tag) = self.inbox.late.pop_first()
        {
            tags.insert(tag);
        }
        // A clock that is wrong leaves nothing out.
        let oldest = expire::oldest_kept(self.epoch(), self.parameters.lifetime_hours);
        let from = if self.is_time_sure() { oldest } else { Epoch(0) };
        let search = self.pool.search_tags(&tags, from);
        let job = self.compute(Job::FindTags(search));
        self.inbox.search = Some((job, tags));
    }

    /// A look-up ended.
    pub(crate) fn on_tags_found(&mut self, job: JobId, found: Result<Vec<(u64, Envelope)>, PoolError>) {
        let Some((_, tags)) = self.inbox.search.take_if(|(running, _)| *running == job) else { return };
        self.inbox.search_failed = found.is_err();
        match found {
            Err(_) => {
                self.inbox.late.extend(tags);
                self.note_read_failure();
                if let Some(wait_ms) = self.inbox.end_pass(true) {
                    self.set_timer_in(Timer::Inbox, wait_ms);
                }
                return;
            }
            // A full answer may have left some out.
            Ok(found) if found.len() >= FOUND_PER_CALL_MAX && tags.len() > TAGS_PER_SEARCH_MIN => {
                self.inbox.fewer = Some((tags.len() / 2).max(TAGS_PER_SEARCH_MIN));
                self.inbox.late.extend(tags);
            }
            Ok(found) => {
                self.inbox.fewer = None;
                self.inbox.found.extend(found.into_iter().map(|(_, envelope)| envelope));
            }
        }
        self.timers.set_if_absent(Timer::Inbox, self.now.monotonic_ms);
    }

    /// Looks at what came while the disk was full; whether there is more.
    fn look_at_unstored(&mut self, opens: &mut usize, rng: &mut impl CryptoRng) -> bool {
        let mut trials: Vec<(u64, Envelope)> = Vec::new();
        while *opens > 0 && trials.len() < TRIALS_PER_JOB && self.inbox.trials.len() < TRIAL_JOBS_MAX {
            let Some(envelope) = self.inbox.pop_unstored() else { break };
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
            self.note_read_failure();
            return false;
        };
        let mut more = arrivals.len() == ARRIVALS_PER_PASS;
        let mut trials: Vec<(u64, Envelope)> = Vec::new();
        for arrival in arrivals {
            if *opens == 0 || trials.len() == TRIALS_PER_JOB {
                more = true;
                break;
            }
            if self.look_at(&arrival, opens, &mut trials, rng).is_err() {
                // It is looked at again, and what is behind it after it: an arrival passed by is never found.
                self.note_read_failure();
                break;
            }
            self.inbox.scanned = arrival.number;
        }
        self.start_trials(trials);
        more && self.inbox.trials.len() < TRIAL_JOBS_MAX
    }

    fn note_read_failure(&mut self) {
        self.inbox.pass_failed = true;
        self.carrier.note_pool_failure();
    }

    fn look_at(
        &mut self,
        arrival: &Arrival,
        opens: &mut usize,
        trials: &mut Vec<(u64, Envelope)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), PoolError> {
        if let Some(post) = self.outbox.by_id(&arrival.key.id) {
            self.came_back(post);
            return Ok(());
        }
        let mine = self.is_tag_watched(&arrival.tag);
        if !mine && arrival.key.class != Class::Small {
            return Ok(());
        }
        let Some(envelope) = self.pool.read(&arrival.key)? else { return Ok(()) };
        if mine {
            *opens -= 1;
            self.take_own(&envelope, rng);
        } else {
            trials.push((arrival.number, envelope));
        }
        Ok(())
    }

    /// An envelope under a tag of ours: a session's, or that of a contact's bundles.
    fn take_own(&mut self, envelope: &Envelope, rng: &mut impl CryptoRng) {
        if let Some((slot, position)) = self.sessions.find(&seal::Tag(envelope.tag().0)) {
            if self.is_of_replaced_device(slot, envelope.epoch()) {
                return;
            }
            let unix_ms = self.now.unix_ms;
            let Some(entry) = self.sessions.get_mut(slot) else { return };
            // A failure changes nothing: somebody may have sent garbage under the tag.
            if let Ok(opened) = entry.session.open(position, &parts(envelope), unix_ms) {
                self.take_opened(slot, opened, rng);
            }
        } else if let Some(contacts) = self.bundle_tags.get(&envelope.tag()) {
            let contacts: Vec<ContactNumber> = contacts.iter().copied().collect();
            self.try_bundle(&contacts, envelope);
        }
    }

    fn try_bundle(&mut self, contacts: &[ContactNumber], envelope: &Envelope) {
        let tries = self.inbox.bundle_tries.get(&envelope.tag()).copied().unwrap_or_default();
        if tries >= BUNDLE_TRIES_MAX {
            return;
        }
        let mut taken = false;
        for &contact in contacts {
            taken |= self.take_bundle(contact, envelope);
        }
        if !taken {
            self.inbox.bundle_tries.insert(envelope.tag(), tries + 1);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_relay::pool::MemoryPool;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::job::JobResult;
    use crate::messenger::Setup;
    use crate::turn::{Input, Now, Output, Turn};

    fn search_of(turn: Turn) -> Option<(JobId, Job)> {
        turn.outputs.into_iter().find_map(|output| match output {
            Output::Compute { id, job: job @ Job::FindTags(_) } => Some((id, job)),
            _ => None,
        })
    }

    #[test]
    fn late_tags_are_looked_up_a_bounded_number_at_a_time_by_a_worker_and_again_when_it_fails() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let mut now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, now, &mut rng);
        let tag = |number: u32| Tag([number.to_le_bytes(); 4].concat().try_into().unwrap());
        // Without those under which bundles of the account itself would be.
        messenger.inbox.late.clear();
        messenger.inbox.look_up((0..10_000).map(tag));
        messenger.wake_inbox(&mut rng);
        let (first, _) = search_of(messenger.step(Input::Wake, now, &mut rng)).expect("a job");
        assert_eq!(messenger.inbox.late.len(), 10_000 - TAGS_PER_SEARCH);
        messenger.inbox.look_up([tag(7)]);
        messenger.wake_inbox(&mut rng);
        assert!(search_of(messenger.step(Input::Wake, now, &mut rng)).is_none(), "one at a time");
        let failed = JobResult::TagsFound(Err(PoolError::Io("unreadable".to_owned())));
        assert!(search_of(messenger.step(Input::Computed { id: first, result: failed }, now, &mut rng)).is_none());
        assert_eq!(messenger.inbox.late.len(), 10_000);
        assert!(search_of(messenger.step(Input::Wake, now, &mut rng)).is_none(), "not at once");
        now.monotonic_ms += FAILED_AGAIN_MS;
        let mut next = search_of(messenger.step(Input::Wake, now, &mut rng));
        let mut jobs = 0;
        while let Some((id, job)) = next {
            jobs += 1;
            if jobs == 1 {
                // What is watched anew while it is looked up is looked up again.
                messenger.inbox.look_up([tag(0)]);
            }
            let result = job.run(&AtomicBool::new(false), &mut rng);
            messenger.step(Input::Computed { id, result }, now, &mut rng);
            next = search_of(messenger.step(Input::Wake, now, &mut rng));
        }
        assert_eq!((jobs, messenger.memory_use().late_tags), (3, 0));
    }
}

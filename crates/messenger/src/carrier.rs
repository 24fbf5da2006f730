//! What this node does for strangers: takes their envelopes into the pool with one verdict each, publishes
//! what neighbours push to it, and reconciles. The code here never looks whether an envelope is ours.
//! SPEC: B12, B13, B14.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_core::CryptoRng;
use starling_relay::admit::Checked;
use starling_relay::expire;
use starling_relay::penalty::Fault;
use starling_relay::pool::{EnvelopePool, Inserted, PoolError};
use starling_relay::push::{Exit, OnionSecret, PushQuota};
use starling_wire::envelope::{Class, Envelope, EnvelopeId, Epoch, EpochRange};
use starling_wire::push_cell::{ExitPlaintext, PushCell};

use crate::delay;
use crate::job::Job;
use crate::messenger::Messenger;
use crate::sync_plan::{FIRST_SYNC_DELAY_MS, SYNC_DEADLINE_MS, SyncPlan};
use crate::timers::Timer;
use crate::turn::{
    GossipToken, JobId, LinkId, Now, Output, PushTicket, Refusal, RequestId, SyncBroken, SyncStats, Verdict,
};

/// Pushed envelopes in admission and in their hop delay together, and publications not yet answered.
const PUBLISHING_MAX: usize = 1_024;
/// Published envelopes that reached nobody and wait for the next link.
const UNPUBLISHED_MAX: usize = 256;
/// Forwarders of own envelopes that were noted and not yet looked at.
const RETURNS_MAX: usize = 1_024;
/// Own envelopes whose presence at a neighbour is asked in one sync.
const WATCHED_IDS_MAX: usize = 1_024;
/// Links that ended whose quotas are kept.
const QUOTAS_KEPT_MAX: usize = 256;
/// Links that are held at a time; the network layer holds far fewer.
const LINKS_MAX: usize = 256;

/// How long a neighbour that left a push unanswered is asked after the others. Longer than a dead connection takes to be
/// found out, so that its end costs a sender one time-out and not one for every few messages.
const SILENT_MS: u64 = 60_000;

/// How long a failure of the pool is shown: longer than the longest time between two attempts, so that the warning
/// stands until one succeeded.
const POOL_FAILURE_SHOWN_MS: u64 = 120_000;

/// A held link.
#[derive(Debug)]
pub(crate) struct Link {
    /// To which push cells are sealed.
    pub(crate) onion_key: [u8; 32],
    /// What it may still push to us.
    quota: PushQuota,
    /// What we may still push to it: more would only be refused.
    outgoing: PushQuota,
    /// It left a push without an answer: until this time of the monotonic clock others are asked before it.
    silent_until_ms: u64,
}

impl Link {
    /// Whether the neighbour would take one more cell of `class` from us now.
    pub(crate) fn takes_push(&self, class: Class, monotonic_ms: u64) -> bool {
        self.outgoing.clone().take(class, monotonic_ms).is_ok()
    }

    /// A cell was pushed to it.
    pub(crate) fn count_push(&mut self, class: Class, monotonic_ms: u64) {
        // Asked before; should it be used up all the same, the neighbour refuses.
        let _ = self.outgoing.take(class, monotonic_ms);
    }

    /// It answered a push, or let it time out.
    pub(crate) fn note_answer(&mut self, answered: bool, monotonic_ms: u64) {
        self.silent_until_ms = if answered { 0 } else { monotonic_ms + SILENT_MS };
    }

    /// Whether it left a push without an answer of late.
    pub(crate) fn is_silent(&self, monotonic_ms: u64) -> bool {
        monotonic_ms < self.silent_until_ms
    }
}

/// State of the carrying.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) links: BTreeMap<LinkId, Link>,
    /// Quotas, inbound and outgoing, of links that ended: one that flaps finds its own again, not a full one.
    quotas: BTreeMap<LinkId, (PushQuota, PushQuota)>,
    pub(crate) plan: SyncPlan,
    exit: Exit,
    /// Cells whose envelope is in admission.
    admitting: BTreeMap<JobId, PushTicket>,
    /// Admitted envelopes that wait out their hop delay.
    delayed: BTreeMap<u64, Checked>,
    next_delayed: u64,
    /// Published, not yet answered.
    publishing: BTreeMap<RequestId, Envelope>,
    /// Published to nobody.
    unpublished: VecDeque<Envelope>,
    /// Own envelopes that neighbours forwarded to us: looked at with the inbox, not between verdicts.
    returns: VecDeque<(EnvelopeId, LinkId)>,
    /// The pool failed or is short of disk.
    pool_failed: bool,
    /// When that was last judged, ms of the monotonic clock.
    pool_failed_ms: Option<u64>,
    /// The warning of it that people see.
    pub(crate) disk_warned: bool,
    /// Bytes free on the disk, if ever measured.
    pub(crate) free_bytes: Option<u64>,
}

impl Carrier {
    pub(crate) fn new(onion_secret: [u8; 32], lifetime_hours: u32, now: Now) -> Self {
        Self {
            links: BTreeMap::new(),
            quotas: BTreeMap::new(),
            plan: SyncPlan::new(lifetime_hours, now),
            exit: Exit::new(OnionSecret::from_bytes(onion_secret)),
            admitting: BTreeMap::new(),
            delayed: BTreeMap::new(),
            next_delayed: 0,
            publishing: BTreeMap::new(),
            unpublished: VecDeque::new(),
            returns: VecDeque::new(),
            pool_failed: false,
            pool_failed_ms: None,
            disk_warned: false,
            free_bytes: None,
        }
    }

    /// Held links, in order.
    pub(crate) fn held(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// Takes the forwarders noted since the last time.
    pub(crate) fn take_returns(&mut self) -> VecDeque<(EnvelopeId, LinkId)> {
        std::mem::take(&mut self.returns)
    }

    /// Whether the pool failed since it was last asked, or not long before.
    pub(crate) fn has_pool_failed(&mut self, monotonic_ms: u64) -> bool {
        if std::mem::take(&mut self.pool_failed) {
            self.pool_failed_ms = Some(monotonic_ms);
        }
        let lately = |at_ms: u64| monotonic_ms.saturating_sub(at_ms) < POOL_FAILURE_SHOWN_MS;
        self.pool_failed_ms.is_some_and(lately)
    }

    /// The pool failed; people are told with the next pass of the inbox.
    pub(crate) fn note_pool_failure(&mut self) {
        self.pool_failed = true;
    }

    /// Keeps what a link had used up, for when it comes back.
    fn keep_quotas(&mut self, link: LinkId, gone: Link) {
        if self.quotas.len() >= QUOTAS_KEPT_MAX {
            // The lowest is the oldest connection.
            self.quotas.pop_first();
        }
        self.quotas.insert(link, (gone.quota, gone.outgoing));
    }

    fn publishing(&self) -> usize {
        self.admitting.len() + self.delayed.len()
    }
}

impl<P: EnvelopePool> Messenger<P> {
    /// One verdict, at once. Nothing in here depends on whose envelope it is, but for a look-up among the ids
    /// of own envelopes, whose result is left for the inbox lane.
    pub(crate) fn on_gossip(&mut self, token: GossipToken, link: LinkId, envelope: &Checked, rng: &mut impl CryptoRng) {
        let verdict = match self.pool.insert(envelope, self.epoch()) {
            Ok(Inserted::New(_)) => {
                self.wake_inbox(rng);
                Verdict::Accept
            }
            Ok(Inserted::Duplicate) => Verdict::Accept,
            Ok(Inserted::BelowCut) => Verdict::Ignore,
            Err(error) => {
                self.on_not_stored(&error, envelope, rng);
                Verdict::Ignore
            }
        };
        if verdict == Verdict::Accept {
            self.note_holder(envelope.envelope().id(), link, rng);
        }
        self.output(Output::Verdict { token, verdict });
    }

    /// Envelopes that a neighbour gave us in a sync.
    pub(crate) fn on_pulled(&mut self, link: LinkId, envelopes: &[Checked], rng: &mut impl CryptoRng) {
        for envelope in envelopes {
            match self.pool.insert(envelope, self.epoch()) {
                Ok(Inserted::New(_)) => self.wake_inbox(rng),
                Ok(Inserted::Duplicate | Inserted::BelowCut) => {}
                Err(error) => self.on_not_stored(&error, envelope, rng),
            }
            self.note_holder(envelope.envelope().id(), link, rng);
        }
    }

    /// A full disk stores nothing for strangers, but this may be for us.
    fn on_not_stored(&mut self, error: &PoolError, envelope: &Checked, rng: &mut impl CryptoRng) {
        self.carrier.note_pool_failure();
        if matches!(error, PoolError::DiskFull { .. }) {
            self.inbox.take_unstored(envelope.envelope());
            self.wake_inbox(rng);
        }
    }

    fn note_holder(&mut self, id: EnvelopeId, link: LinkId, rng: &mut impl CryptoRng) {
        if self.is_own(&id) && self.carrier.links.contains_key(&link) && self.carrier.returns.len() < RETURNS_MAX {
            self.carrier.returns.push_back((id, link));
            self.wake_inbox(rng);
        }
    }

    /// A neighbour asks us to publish. The answer comes with the admission, or here when there is none.
    pub(crate) fn on_cell(&mut self, link: LinkId, ticket: PushTicket, cell: &PushCell) {
        match self.open_cell(link, cell) {
            Ok(Some(bytes)) => {
                let parameters = Arc::clone(&self.parameters);
                let job = Job::Admit { bytes, parameters, topic: self.topic(), now: self.epoch() };
                let id = self.compute(job);
                self.carrier.admitting.insert(id, ticket);
            }
            Ok(None) => self.output(Output::CellAnswer { ticket, taken: true }),
            Err(fault) => self.refuse_cell(link, ticket, fault),
        }
    }

    /// The envelope's bytes in a cell; `None` in one that is cover.
    fn open_cell(&mut self, link: LinkId, cell: &PushCell) -> Result<Option<Box<[u8]>>, Fault> {
        let monotonic_ms = self.now.monotonic_ms;
        let quota = &mut self.carrier.links.get_mut(&link).ok_or(Fault::PushQuota)?.quota;
        quota.take(cell.class(), monotonic_ms)?;
        if self.carrier.publishing() >= PUBLISHING_MAX {
            return Err(Fault::PushQuota);
        }
        match self.carrier.exit.open(cell, monotonic_ms)? {
            ExitPlaintext::Publish(bytes) => Ok(Some(bytes)),
            ExitPlaintext::Drop => Ok(None),
        }
    }

    fn refuse_cell(&mut self, link: LinkId, ticket: PushTicket, fault: Fault) {
        self.output(Output::CellAnswer { ticket, taken: false });
        self.penalize(link, fault);
    }

    /// Tells the network of a fault that costs something.
    fn penalize(&mut self, link: LinkId, fault: Fault) {
        if fault.penalty() != starling_relay::penalty::Penalty::None {
            self.output(Output::Penalize { link, fault });
        }
    }

    /// The admission of a pushed envelope ended.
    pub(crate) fn on_admitted(&mut self, job: JobId, result: Result<Checked, Fault>, rng: &mut impl CryptoRng) {
        let Some(ticket) = self.carrier.admitting.remove(&job) else { return };
        self.output(Output::CellAnswer { ticket, taken: result.is_ok() });
        let Ok(envelope) = result else { return };
        let place = self.carrier.next_delayed;
        self.carrier.next_delayed += 1;
        let wait_ms = delay::exponential_ms(self.parameters.hop_delay_ms, rng);
        if wait_ms == 0 {
            self.publish(&envelope, rng);
        } else {
            self.carrier.delayed.insert(place, envelope);
            self.set_timer_in(Timer::Publish(place), wait_ms);
        }
    }

    /// The hop delay of a pushed envelope is over.
    pub(crate) fn on_publish_due(&mut self, place: u64, rng: &mut impl CryptoRng) {
        if let Some(envelope) = self.carrier.delayed.remove(&place) {
            self.publish(&envelope, rng);
        }
    }

    fn publish(&mut self, checked: &Checked, rng: &mut impl CryptoRng) {
        match self.pool.insert(checked, self.epoch()) {
            Ok(Inserted::New(_)) => self.wake_inbox(rng),
            Ok(Inserted::Duplicate) => {}
            Ok(Inserted::BelowCut) => return,
            Err(error) => self.on_not_stored(&error, checked, rng),
        }
        self.publish_out(checked.envelope().clone());
    }

    fn publish_out(&mut self, envelope: Envelope) {
        let id = self.next_request();
        if self.carrier.publishing.len() >= PUBLISHING_MAX {
            // The network owes an answer to each; one that it forgot must not end our service to others.
            self.carrier.publishing.pop_first();
        }
        self.carrier.publishing.insert(id, envelope.clone());
        self.output(Output::Publish { id, topic: envelope.topic(), envelope });
    }

    /// The network answered a publication; whether it was one.
    pub(crate) fn on_published(&mut self, id: RequestId, result: Result<(), Refusal>) -> bool {
        let Some(envelope) = self.carrier.publishing.remove(&id) else { return false };
        if result.is_err() {
            // It is in the pool, so sync carries it; gossip gets another chance with the next link.
            if self.carrier.unpublished.len() >= UNPUBLISHED_MAX {
                self.carrier.unpublished.pop_front();
            }
            self.carrier.unpublished.push_back(envelope);
        }
        true
    }

    /// A link is held: publish what found nobody, and ask it in a moment what it has.
    pub(crate) fn carrier_link_up(&mut self, link: LinkId, onion_key: [u8; 32]) {
        if self.carrier.links.len() >= LINKS_MAX {
            return;
        }
        let (now, epoch) = (self.now, self.epoch());
        let full = || PushQuota::new(now.monotonic_ms);
        let held = self.carrier.links.remove(&link).map(|held| (held.quota, held.outgoing));
        let known = held.or_else(|| self.carrier.quotas.remove(&link));
        let (quota, outgoing) = known.unwrap_or_else(|| (full(), full()));
        self.carrier.links.insert(link, Link { onion_key, quota, outgoing, silent_until_ms: 0 });
        self.carrier.plan.link_up(link, now);
        self.set_timer_in(Timer::FirstSync(link), FIRST_SYNC_DELAY_MS);
        let interval_ms = u64::from(self.parameters.sync_interval_ms);
        self.timers.set_if_absent(Timer::Sync, now.monotonic_ms + interval_ms);
        for envelope in std::mem::take(&mut self.carrier.unpublished) {
            if expire::open_hours(epoch).contains(envelope.epoch()) {
                self.publish_out(envelope);
            }
        }
    }

    /// A link is gone.
    pub(crate) fn carrier_link_down(&mut self, link: LinkId) {
        if let Some(gone) = self.carrier.links.remove(&link) {
            self.carrier.keep_quotas(link, gone);
        }
        self.carrier.plan.link_down(link, self.now);
        self.timers.cancel(Timer::FirstSync(link));
        self.timers.cancel(Timer::SyncDeadline(link));
        if self.carrier.links.is_empty() {
            self.timers.cancel(Timer::Sync);
        }
    }

    /// The first sync with a link is due.
    pub(crate) fn on_first_sync(&mut self, link: LinkId, rng: &mut impl CryptoRng) {
        self.carrier.plan.link_ready(link);
        self.start_syncs(rng);
    }

    /// The rhythm's time has come.
    pub(crate) fn on_sync_tick(&mut self, rng: &mut impl CryptoRng) {
        self.carrier.plan.tick();
        self.set_timer_in(Timer::Sync, u64::from(self.parameters.sync_interval_ms));
        self.start_syncs(rng);
    }

    /// A sync ended, or nobody told that it did.
    pub(crate) fn on_sync_ended(
        &mut self,
        link: LinkId,
        window: EpochRange,
        held: &[EnvelopeId],
        result: Result<SyncStats, SyncBroken>,
        rng: &mut impl CryptoRng,
    ) {
        self.timers.cancel(Timer::SyncDeadline(link));
        match result {
            Err(SyncBroken::Busy) => self.carrier.plan.busy(link, window, self.now.monotonic_ms),
            _ => self.carrier.plan.ended(link, result.is_ok()),
        }
        if self.carrier.links.contains_key(&link) {
            held.iter().take(WATCHED_IDS_MAX).for_each(|id| self.own_held(id, link));
        }
        if let Err(SyncBroken::Fault(fault)) = result {
            self.penalize(link, fault);
        }
        if result.is_ok() {
            self.start_syncs(rng);
        } else {
            // Not at once: a neighbour whose streams break must not be asked in a loop.
            self.timers.set_if_absent(Timer::SyncAgain, self.now.monotonic_ms + SYNC_AGAIN_MS);
        }
    }

    /// Starts what the plan wants.
    pub(crate) fn start_syncs(&mut self, rng: &mut impl CryptoRng) {
        for (link, window) in self.carrier.plan.start(self.now, rng) {
            self.set_timer_in(Timer::SyncDeadline(link), SYNC_DEADLINE_MS);
            let watch = self.watched_ids(window);
            self.output(Output::StartSync { link, window, watch });
        }
    }

    /// Own envelopes of `window` whose presence at a neighbour is worth asking.
    fn watched_ids(&self, window: EpochRange) -> Vec<EnvelopeId> {
        self.own_ids_within(window).take(WATCHED_IDS_MAX).collect()
    }

    /// Drops what is past its lifetime.
    pub(crate) fn expire_pool(&mut self, epoch: Epoch) {
        let oldest = expire::oldest_kept(epoch, self.parameters.lifetime_hours);
        if self.pool.expire(oldest).is_err() {
            self.carrier.note_pool_failure();
        }
    }
}

/// Time after a broken sync before another is started.
const SYNC_AGAIN_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_relay::pool::MemoryPool;
    use starling_relay::push;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::messenger::Setup;
    use crate::turn::{AddressGroup, Input};

    const LINK: LinkId = LinkId(7);
    const NOW: Now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };

    fn link_up() -> Input {
        let group = AddressGroup { narrow: 1, wide: 1 };
        Input::LinkUp { link: LINK, group, outbound: false, onion_key: [9; 32], clock_offset_ms: 0 }
    }

    #[test]
    fn a_link_that_flaps_does_not_renew_its_quota() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let parameters = NetworkParameters::test("memory");
        let onion_key = OnionSecret::from_bytes([1; 32]).public_key();
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, NOW, &mut rng);
        let mut taken = |messenger: &mut Messenger<MemoryPool>, ticket| {
            let cell = push::seal(&ExitPlaintext::Drop, Class::Small, &onion_key, &mut rng).unwrap();
            let input = Input::Cell { link: LINK, ticket: PushTicket(ticket), cell };
            let turn = messenger.step(input, NOW, &mut rng);
            turn.outputs.iter().any(|output| matches!(output, Output::CellAnswer { taken: true, .. }))
        };
        let mut other = ChaCha20Rng::seed_from_u64(2);
        messenger.step(link_up(), NOW, &mut other);
        let used_up = (0..1_000).find(|&ticket| !taken(&mut messenger, ticket));
        assert!(used_up.is_some_and(|cells| cells > 10), "{used_up:?}");
        // Told up again, or down and up.
        messenger.step(link_up(), NOW, &mut other);
        assert!(!taken(&mut messenger, 1_001));
        messenger.step(Input::LinkDown { link: LINK }, NOW, &mut other);
        messenger.step(link_up(), NOW, &mut other);
        assert!(!taken(&mut messenger, 1_002));
    }
}

//! The messenger: all state of a node in one value, and the one step that moves it. SPEC: building.md,
//! "The loop".
//!
//! The parts of its behaviour lie in the modules named after them, each a further `impl` of
//! [`Messenger`]: what happens to strangers' envelopes in `carrier`, to own ones in `sending` and
//! `pushing`, to what comes for us in `inbox`, `receiving` and `first_contact`, to a person's commands in
//! `command` and `people`, to time itself in `upkeep`. What a step changed is noted as `Dirty`, and
//! written from the state as it is at the step's end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::CryptoRng;
use starling_e2ee::identity::{DeviceList, Identity, ListHead};
use starling_e2ee::prekey::Prekeys;
use starling_e2ee::seal::Ephemeral;
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::{Epoch, EpochRange, Tag, TopicId};
use starling_wire::network::{NetworkId, NetworkParameters};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::carrier::Carrier;
use crate::clock::{KnownTime, PeerClocks};
use crate::command::ClientIds;
use crate::contact::{Contacts, clean_name};
use crate::early::Early;
use crate::expiry::Expiries;
use crate::generation::Generations;
use crate::inbox::Inbox;
use crate::invitation::Invitations;
use crate::job::{Job, JobResult};
use crate::message_id::MessageIds;
use crate::outbox::Outbox;
use crate::post::{Post, PostId};
use crate::reading::Reads;
use crate::reassembly::Reassembly;
use crate::receipt::Receipts;
use crate::seen::Seen;
use crate::sessions::Sessions;
use crate::stored::{Dirty, FirstContactRecord, Profile};
use crate::timers::{Timer, Timers};
use crate::turn::{ContactNumber, Input, JobId, Now, Output, RequestId, SyncBroken, Turn};
use crate::view::Event;

/// How often a step looks for what may be sealed: sealing one thing may make room for another.
const PUMPS_PER_STEP: usize = 4;

/// What a messenger is told once. The secret is wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Setup {
    /// The network.
    #[zeroize(skip)]
    pub parameters: NetworkParameters,
    /// X25519 secret to which neighbours seal push cells for this node; its public half is the onion key of the
    /// node's descriptor. It need not outlive the process.
    pub onion_secret: [u8; 32],
    /// The name that friends see, for a fresh account; may be empty.
    #[zeroize(skip)]
    pub name: String,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("network", &self.parameters.name).finish_non_exhaustive()
    }
}

/// A whole node without input and output.
pub struct Messenger<P: EnvelopePool> {
    pub(crate) parameters: Arc<NetworkParameters>,
    pub(crate) network: NetworkId,
    pub(crate) pool: P,
    pub(crate) now: Now,
    pub(crate) identity: Identity,
    pub(crate) prekeys: Prekeys,
    /// Device lists of this account before the present one, oldest first.
    pub(crate) past_lists: Vec<DeviceList>,
    pub(crate) profile: Profile,
    pub(crate) ids: MessageIds,
    pub(crate) contacts: Contacts,
    pub(crate) sessions: Sessions,
    pub(crate) invitations: Invitations,
    /// First contacts accepted, by digest: a replay is recognised while the bundle's private halves exist.
    pub(crate) first_contacts: BTreeMap<[u8; 32], FirstContactRecord>,
    /// Of people whose sessions were forgotten.
    pub(crate) generations: Generations,
    pub(crate) outbox: Outbox,
    pub(crate) bundle_post: Option<Post>,
    pub(crate) inbox: Inbox,
    /// Tags under which contacts' bundles are found. Several contacts may claim one address: none shuts another out.
    pub(crate) bundle_tags: BTreeMap<Tag, BTreeSet<ContactNumber>>,
    pub(crate) seen: Seen,
    /// Changes of messages that have not come yet.
    pub(crate) early: Early,
    /// Contents that came in parts, and are not whole yet.
    pub(crate) reassembly: Reassembly,
    pub(crate) expiries: Expiries,
    pub(crate) receipts: Receipts,
    /// What was read.
    pub(crate) reads: Reads,
    /// Contacts whose acknowledgements, and what of theirs was read, are to leave now.
    pub(crate) receipts_ready: BTreeSet<ContactNumber>,
    /// Contacts to whom the post-quantum ratchet is to have an envelope of its own.
    pub(crate) post_quantum_due: BTreeSet<ContactNumber>,
    pub(crate) client_ids: ClientIds,
    pub(crate) clocks: PeerClocks,
    pub(crate) known_time: KnownTime,
    /// What is over by the wall clock was not erased yet in this hour.
    pub(crate) erasure_due: bool,
    pub(crate) carrier: Carrier,
    pub(crate) timers: Timers,
    /// Sealed envelopes that wait for a place at the stamp worker.
    pub(crate) unstamped: BTreeSet<PostId>,
    pub(crate) stamping: BTreeMap<JobId, PostId>,
    pub(crate) pushes: BTreeMap<RequestId, PostId>,
    /// Stamped envelopes that wait for a neighbour.
    pub(crate) waiting_for_link: BTreeSet<PostId>,
    /// Stamped envelopes that wait until a neighbour may be pushed to.
    pub(crate) push_queue: BTreeSet<PostId>,
    pub(crate) ephemerals: Vec<Ephemeral>,
    /// Something may be sealed now that could not before.
    pub(crate) pump_due: bool,
    /// The contact served last, so that one with a long queue does not keep the others waiting.
    pub(crate) served: ContactNumber,
    pub(crate) recovered: u32,
    /// The hour in which hourly work was last done.
    pub(crate) upkeep_epoch: Option<Epoch>,
    pub(crate) bundle_warned: bool,
    /// The week whose bundle tags are watched.
    pub(crate) bundle_week: Option<u32>,
    /// Restored, and still looking for other devices of this account: nothing leaves before.
    pub(crate) settling: bool,
    /// The latest list of another device of this account, as far as its bundles tell meanwhile.
    pub(crate) settled_list: Option<ListHead>,
    /// Another device of this account has taken this one's place.
    pub(crate) replaced: bool,
    next_job: u64,
    next_request: u64,
    pub(crate) dirty: BTreeSet<Dirty>,
    pub(crate) turn: Turn,
}

impl<P: EnvelopePool> Messenger<P> {
    /// A fresh account. The turn's writes found it; nothing of it leaves before they are committed.
    pub fn create(setup: Setup, pool: P, now: Now, rng: &mut impl CryptoRng) -> (Self, Turn) {
        let identity = Identity::generate(rng);
        let profile = Profile::generate(clean_name(&setup.name), rng);
        let mut messenger = Self::empty(setup, pool, now, identity, Prekeys::new(), profile);
        messenger.mark(Dirty::Identity);
        messenger.mark(Dirty::Profile);
        messenger.begin(rng);
        let turn = messenger.finish_step(rng);
        (messenger, turn)
    }

    /// A messenger of which nothing but identity, prekeys and profile is known yet.
    pub(crate) fn empty(
        setup: Setup,
        pool: P,
        now: Now,
        identity: Identity,
        prekeys: Prekeys,
        profile: Profile,
    ) -> Self {
        let parameters = Arc::new(setup.parameters.clone());
        Self {
            network: parameters.id(),
            carrier: Carrier::new(setup.onion_secret, parameters.lifetime_hours, now),
            parameters,
            pool,
            now,
            identity,
            prekeys,
            past_lists: Vec::new(),
            ids: MessageIds::new(*profile.message_key),
            profile,
            contacts: Contacts::default(),
            sessions: Sessions::default(),
            invitations: Invitations::default(),
            first_contacts: BTreeMap::new(),
            generations: Generations::default(),
            outbox: Outbox::default(),
            bundle_post: None,
            inbox: Inbox::default(),
            bundle_tags: BTreeMap::new(),
            seen: Seen::default(),
            early: Early::default(),
            reassembly: Reassembly::default(),
            expiries: Expiries::default(),
            receipts: Receipts::default(),
            reads: Reads::default(),
            receipts_ready: BTreeSet::new(),
            post_quantum_due: BTreeSet::new(),
            client_ids: ClientIds::default(),
            clocks: PeerClocks::default(),
            known_time: KnownTime::new(now),
            erasure_due: false,
            timers: Timers::default(),
            unstamped: BTreeSet::new(),
            stamping: BTreeMap::new(),
            pushes: BTreeMap::new(),
            waiting_for_link: BTreeSet::new(),
            push_queue: BTreeSet::new(),
            ephemerals: Vec::new(),
            pump_due: false,
            served: ContactNumber(0),
            recovered: 0,
            upkeep_epoch: None,
            bundle_warned: false,
            bundle_week: None,
            settling: false,
            settled_list: None,
            replaced: false,
            next_job: 1,
            next_request: 1,
            dirty: BTreeSet::new(),
            turn: Turn::default(),
        }
    }

    /// Takes one input at `now`. Both clocks may stand still, and the wall clock may jump; the monotonic one must
    /// not go back.
    pub fn step(&mut self, input: Input, now: Now, rng: &mut impl CryptoRng) -> Turn {
        self.now = now;
        match input {
            Input::Command { id, command } => self.on_command(id, command, rng),
            Input::LinkUp { link, group, onion_key, clock_offset_ms, .. } => {
                self.clocks.add(link, group, clock_offset_ms, now);
                self.on_link_up(link, onion_key, rng);
                self.settle_soon();
            }
            Input::LinkDown { link } => self.on_link_down(link, rng),
            Input::Gossip { token, link, envelope } => self.on_gossip(token, link, &envelope, rng),
            Input::Pulled { link, envelopes } => self.on_pulled(link, &envelopes, rng),
            Input::Cell { link, ticket, cell } => self.on_cell(link, ticket, &cell),
            Input::SyncEnded { link, window, held, result } => self.on_sync_ended(link, window, &held, result, rng),
            Input::Done { id, result } => {
                if !self.on_published(id, result) {
                    self.on_pushed(id, result, rng);
                }
            }
            Input::Computed { id, result } => self.on_computed(id, result, rng),
            Input::Disk { free_bytes } => self.on_disk(free_bytes),
            Input::Wake => self.on_wake(rng),
        }
        self.finish_step(rng)
    }

    /// When to send [`Input::Wake`], in ms of the monotonic clock.
    pub fn next_wake(&self) -> Option<u64> {
        self.timers.next()
    }

    /// The turn to commit before the process ends: the arrival cursor, so that the next start reads less.
    pub fn shut_down(&mut self, now: Now, rng: &mut impl CryptoRng) -> Turn {
        self.now = now;
        self.mark_cursor_if_moved();
        self.finish_step(rng)
    }

    /// The pool.
    pub fn pool(&self) -> &P {
        &self.pool
    }

    /// The pool, for what is not the messenger's: sealing hours, a backend's own upkeep.
    pub fn pool_mut(&mut self) -> &mut P {
        &mut self.pool
    }

    /// The network's parameters.
    pub fn parameters(&self) -> &NetworkParameters {
        &self.parameters
    }

    /// Own account key, device signing key, device agreement key.
    pub fn public_keys(&self) -> [[u8; 32]; 3] {
        let public = self.identity.public();
        [public.account, public.signing, public.agreement]
    }

    /// The topic that this node serves.
    pub fn topic(&self) -> TopicId {
        self.topic_of(self.profile.shard)
    }

    /// The topic of a shard at this network's depth.
    pub(crate) fn topic_of(&self, shard: u32) -> TopicId {
        TopicId::of_shard(shard, self.parameters.shard_bits).unwrap_or(TopicId(0))
    }

    /// The present epoch by the wall clock.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::from_unix_ms(self.now.unix_ms)
    }

    fn on_computed(&mut self, id: JobId, result: JobResult, rng: &mut impl CryptoRng) {
        match result {
            JobResult::Stamped(envelope) => self.on_stamped(id, envelope, rng),
            JobResult::Admitted(result) => self.on_admitted(id, result, rng),
            JobResult::FirstContacts(found) => self.on_first_contacts(id, found, rng),
            JobResult::TagsFound(found) => self.on_tags_found(id, found),
        }
    }

    fn on_wake(&mut self, rng: &mut impl CryptoRng) {
        while let Some(timer) = self.timers.pop_due(self.now.monotonic_ms) {
            match timer {
                Timer::Inbox => self.on_inbox_due(rng),
                Timer::Push(post) => self.on_push_due(post, rng),
                Timer::PushQueue => self.on_push_queue(rng),
                Timer::Receipts(contact) => {
                    self.receipts_ready.insert(contact);
                    self.pump_due = true;
                }
                Timer::Publish(place) => self.on_publish_due(place, rng),
                Timer::FirstSync(link) => self.on_first_sync(link, rng),
                Timer::Sync => self.on_sync_tick(rng),
                Timer::SyncAgain => self.start_syncs(rng),
                Timer::SyncDeadline(link) => {
                    let none = EpochRange { first: Epoch(0), last: Epoch(0) };
                    self.on_sync_ended(link, none, &[], Err(SyncBroken::Stream), rng);
                }
                Timer::Upkeep => self.on_upkeep(rng),
                Timer::Expiry => self.on_expiry(),
                Timer::Settle => self.settle(rng),
            }
        }
    }

    /// Seals what may be sealed now and turns what changed into writes.
    pub(crate) fn finish_step(&mut self, rng: &mut impl CryptoRng) -> Turn {
        for _ in 0..PUMPS_PER_STEP {
            if !std::mem::take(&mut self.pump_due) {
                break;
            }
            self.pump(rng);
        }
        self.write_dirty();
        std::mem::take(&mut self.turn)
    }

    /// Notes that a record changed or went.
    pub(crate) fn mark(&mut self, dirty: Dirty) {
        self.dirty.insert(dirty);
    }

    /// To be released after the step's writes.
    pub(crate) fn output(&mut self, output: Output) {
        self.turn.outputs.push(output);
    }

    /// An event for people.
    pub(crate) fn event(&mut self, event: Event) {
        self.output(Output::Event(event));
    }

    /// Warns, or ends a warning.
    pub(crate) fn warn(&mut self, code: &str, active: bool) {
        self.event(Event::Warning { code: code.to_owned(), active });
    }

    /// Gives a job away.
    pub(crate) fn compute(&mut self, job: Job) -> JobId {
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.output(Output::Compute { id, job });
        id
    }

    /// An id for a network request.
    pub(crate) fn next_request(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        id
    }

    /// Sets `timer` to `wait_ms` from now.
    pub(crate) fn set_timer_in(&mut self, timer: Timer, wait_ms: u64) {
        self.timers.set(timer, self.now.monotonic_ms.saturating_add(wait_ms));
    }

    /// A fresh key pair for an envelope, made ahead if there is one.
    pub(crate) fn take_ephemeral(&mut self, rng: &mut impl CryptoRng) -> Ephemeral {
        self.ephemerals.pop().unwrap_or_else(|| Ephemeral::generate(rng))
    }

    /// What is in memory, to be held against the limits.
    pub fn memory_use(&self) -> MemoryUse {
        let (late_tags, found) = self.inbox.memory_use();
        MemoryUse {
            tags: self.sessions.tags_len(),
            outbox: self.outbox.iter().count(),
            timers: self.timers.len(),
            jobs: self.stamping.len(),
            late_tags,
            found,
        }
    }
}

/// How many things of each kind a messenger holds in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// Watched tags of sessions.
    pub tags: usize,
    /// Outbox items: messages, greetings, acknowledgements.
    pub outbox: usize,
    /// Timers set.
    pub timers: usize,
    /// Stamps being solved.
    pub jobs: usize,
    /// Tags to be looked up in the pool.
    pub late_tags: usize,
    /// Envelopes found under them.
    pub found: usize,
}

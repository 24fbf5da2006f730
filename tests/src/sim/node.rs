//! One simulated machine: the process with its messenger, the disk under it, its clocks, and how all of
//! that starts, dies and comes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use starling_messenger::record::{RecordKind, VaultImage, VaultKey};
use starling_messenger::turn::{ContactNumber, GossipToken, JobId, LinkId, Now, PushTicket, RequestId, Turn};
use starling_messenger::{Messenger, Setup};
use starling_relay::admit;
use starling_relay::expire;
use starling_relay::pool::{EnvelopePool, MemoryPool};
use starling_relay::push::OnionSecret;
use starling_wire::envelope::{Envelope, EnvelopeId, Epoch};
use starling_wire::network::NetworkParameters;

use super::event::{Event, Place};
use super::people::Act;
use super::plan::below;
use super::sabotage::Sabotage;
use super::world::World;

/// A gossip message that waits for its verdict.
#[derive(Debug)]
pub(super) struct Pending {
    /// When it came.
    pub(super) since_ms: u64,
    /// By which link.
    pub(super) link: LinkId,
    /// What.
    pub(super) envelope: Envelope,
}

/// A neighbour that waits for one byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    /// Who.
    pub(super) node: Place,
    /// Its life then.
    pub(super) life: u32,
    /// Over which of its ends.
    pub(super) link: LinkId,
    /// Its request; none when nobody waits.
    pub(super) request: Option<RequestId>,
}

/// One machine.
pub(super) struct Node {
    /// `n07`, or `x02` for one that means harm.
    pub(super) name: String,
    /// The process; none while it is down, or when it means harm.
    pub(super) core: Option<Messenger<MemoryPool>>,
    /// It means harm and runs no messenger.
    pub(super) hostile: bool,
    /// Counts the processes.
    pub(super) life: u32,
    /// Its own randomness.
    pub(super) rng: ChaCha8Rng,
    /// What the disk has durably.
    pub(super) vault: BTreeMap<VaultKey, Vec<u8>>,
    /// The pool's files while no process has them open.
    pub(super) pool: Option<MemoryPool>,
    /// Turns that wait for the disk.
    pub(super) waiting: VecDeque<Turn>,
    /// Turns that the disk is writing.
    pub(super) committing: Vec<Turn>,
    /// Its wall clock minus the true time, ms.
    pub(super) skew_ms: i64,
    /// True time minus its monotonic clock, ms.
    pub(super) monotonic_base_ms: u64,
    /// It sleeps until then.
    pub(super) asleep_until_ms: Option<u64>,
    /// Which part of a network fallen apart it is in.
    pub(super) island: u64,
    /// Opens push cells for it.
    pub(super) onion_secret: [u8; 32],
    /// Its ends of links.
    pub(super) links: BTreeSet<LinkId>,
    /// Gossip that came before, and when.
    pub(super) gossip_cache: BTreeMap<EnvelopeId, u64>,
    /// Gossip that waits for its verdict.
    pub(super) tokens: BTreeMap<GossipToken, Pending>,
    /// Push cells that wait for their answer.
    pub(super) tickets: BTreeMap<PushTicket, Asker>,
    /// Own pushes and publications that wait for their answer, and the link that a push went over.
    pub(super) asked: BTreeMap<RequestId, Option<LinkId>>,
    /// Reconciliations under way.
    pub(super) syncs: BTreeSet<LinkId>,
    /// Computations under way; whether they are still wanted.
    pub(super) jobs: BTreeMap<JobId, bool>,
    /// Commands that wait for their reply.
    pub(super) commands: BTreeMap<RequestId, Act>,
    /// When it wants to be woken, true time.
    pub(super) wake_at_ms: Option<u64>,
    /// Whether it will look for neighbours anyway.
    pub(super) dialing: bool,
    /// Its account key.
    pub(super) account: [u8; 32],
    /// Contacts by account, as its event log tells.
    pub(super) contacts: BTreeMap<[u8; 32], ContactNumber>,
    /// Session records as they were at the last start, for a deliberately broken run.
    pub(super) old_sessions: BTreeMap<VaultKey, Vec<u8>>,
}

impl Node {
    /// A machine that was never switched on.
    pub(super) fn new(place: Place, hostile: bool, rng: &mut ChaCha8Rng) -> Self {
        Self {
            name: format!("{}{place:02}", if hostile { 'x' } else { 'n' }),
            core: None,
            hostile,
            life: 0,
            rng: ChaCha8Rng::seed_from_u64(rng.next_u64()),
            vault: BTreeMap::new(),
            pool: None,
            waiting: VecDeque::new(),
            committing: Vec::new(),
            skew_ms: 0,
            monotonic_base_ms: 0,
            asleep_until_ms: None,
            island: 0,
            onion_secret: [0; 32],
            links: BTreeSet::new(),
            gossip_cache: BTreeMap::new(),
            tokens: BTreeMap::new(),
            tickets: BTreeMap::new(),
            asked: BTreeMap::new(),
            syncs: BTreeSet::new(),
            jobs: BTreeMap::new(),
            commands: BTreeMap::new(),
            wake_at_ms: None,
            dialing: false,
            account: [0; 32],
            contacts: BTreeMap::new(),
            old_sessions: BTreeMap::new(),
        }
    }

    /// Whether it runs and is awake.
    pub(super) fn is_online(&self) -> bool {
        (self.core.is_some() || self.hostile) && self.asleep_until_ms.is_none()
    }

    /// The key to which push cells for it are sealed.
    pub(super) fn onion_key(&self) -> [u8; 32] {
        OnionSecret::from_bytes(self.onion_secret).public_key()
    }

    fn image(&mut self) -> VaultImage {
        let loaded = self.vault.iter().filter(|(key, _)| key.kind.loaded_at_start());
        let mut records: Vec<_> = loaded.map(|(key, value)| (key.kind, value.clone().into())).collect();
        // Keys are hashed on a real disk: no order is promised.
        for last in (1..records.len()).rev() {
            records.swap(last, below(&mut self.rng, last as u64 + 1) as usize);
        }
        VaultImage { records }
    }

    /// Breaks the disk, if that is what this world is for.
    fn sabotage_disk(&mut self, sabotage: Option<Sabotage>) {
        match sabotage {
            Some(Sabotage::OldSessions) => self.forget_session_steps(),
            Some(Sabotage::ForgetClientIds) => self.vault.retain(|key, _| key.kind != RecordKind::ClientId),
            Some(Sabotage::TornRecord) => {
                if let Some((_, value)) = self.vault.iter_mut().find(|(key, _)| key.kind == RecordKind::Contact) {
                    value.pop();
                }
            }
            _ => {}
        }
    }

    /// Puts every ratchet back to where it was when the process before this one started.
    fn forget_session_steps(&mut self) {
        let sessions = |vault: &BTreeMap<VaultKey, Vec<u8>>| -> BTreeMap<VaultKey, Vec<u8>> {
            let sessions = vault.iter().filter(|(key, _)| key.kind == RecordKind::Session);
            sessions.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let old = std::mem::replace(&mut self.old_sessions, sessions(&self.vault));
        self.vault.extend(old);
    }

    /// Whether an account was ever committed.
    pub(super) fn has_account(&self) -> bool {
        self.vault.contains_key(&VaultKey::single(RecordKind::Profile))
    }
}

/// What is left of a pool when the power fails: the hours whose files were synced, with their arrival
/// numbers.
fn after_power_cut(pool: &MemoryPool, parameters: &NetworkParameters, now: Epoch) -> MemoryPool {
    let mut left = MemoryPool::new(parameters);
    let open = expire::open_hours(now);
    for arrival in pool.arrivals_after(0, usize::MAX).unwrap_or_default() {
        if open.contains(arrival.key.epoch) {
            continue;
        }
        let Ok(Some(envelope)) = pool.read(&arrival.key) else { continue };
        let Ok(checked) = admit::check_stored(envelope.as_bytes(), &envelope.id()) else { continue };
        left.skip_arrivals_to(arrival.number.saturating_sub(1));
        let _ = left.insert(&checked, now);
    }
    left
}

impl World {
    /// Both clocks of a machine.
    pub(super) fn now_of(&self, node: Place) -> Now {
        let machine = &self.nodes[node];
        Now {
            unix_ms: (self.plan.start_unix_ms + self.at_ms).saturating_add_signed(machine.skew_ms),
            monotonic_ms: self.at_ms - machine.monotonic_base_ms,
        }
    }

    /// The epoch that a machine believes in.
    pub(super) fn epoch_of(&self, node: Place) -> Epoch {
        Epoch::from_unix_ms(self.now_of(node).unix_ms)
    }

    /// Starts the process of a machine.
    pub(super) fn start(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        if node.core.is_some() || node.hostile {
            return;
        }
        node.life += 1;
        node.dialing = false;
        // The monotonic clock counts from an arbitrary moment.
        node.monotonic_base_ms = self.at_ms;
        node.rng.fill_bytes(&mut node.onion_secret);
        node.sabotage_disk(self.sabotage);
        let now = self.now_of(place);
        let node = &mut self.nodes[place];
        let setup = Setup {
            parameters: self.plan.parameters.clone(),
            onion_secret: node.onion_secret,
            name: format!("person {}", node.name),
        };
        let pool = node.pool.take().unwrap_or_else(|| MemoryPool::new(&self.plan.parameters));
        let (core, turn) = if node.has_account() {
            let image = node.image();
            match Messenger::restore(setup, image, pool, now, &mut node.rng) {
                Ok(started) => started,
                Err(error) => return self.checks.restore_failed(self.at_ms, &node.name, &error.to_string()),
            }
        } else {
            Messenger::create(setup, pool, now, &mut node.rng)
        };
        let [account, ..] = core.public_keys();
        self.accounts.insert(account, place);
        node.account = account;
        node.core = Some(core);
        self.note(place, || "starts".to_owned());
        self.hand_on(place, turn);
        self.plan_wake(place);
        self.dial_soon(place, 100);
    }

    /// The process of a machine dies, or all power goes: whatever was not committed never happened.
    pub(super) fn crash(&mut self, place: Place, power_cut: bool) {
        let epoch = self.epoch_of(place);
        let node = &mut self.nodes[place];
        let Some(core) = node.core.take() else { return };
        self.counts.crashes += 1;
        node.life += 1;
        let pool = core.pool();
        node.pool = Some(if power_cut { after_power_cut(pool, &self.plan.parameters, epoch) } else { pool.clone() });
        node.waiting.clear();
        node.committing.clear();
        node.asleep_until_ms = None;
        node.gossip_cache.clear();
        node.tokens.clear();
        node.tickets.clear();
        node.asked.clear();
        node.syncs.clear();
        node.jobs.clear();
        node.wake_at_ms = None;
        node.dialing = false;
        let unanswered = std::mem::take(&mut node.commands);
        self.note(place, || if power_cut { "loses its power".to_owned() } else { "dies".to_owned() });
        self.leave_links(place);
        for act in unanswered.into_values() {
            self.act_again(place, act);
        }
    }

    /// Plans the wake-up that a machine asks for.
    pub(super) fn plan_wake(&mut self, place: Place) {
        let node = &mut self.nodes[place];
        let Some(next_ms) = node.core.as_ref().and_then(Messenger::next_wake) else { return };
        let at_ms = next_ms.saturating_add(node.monotonic_base_ms).max(self.at_ms);
        if node.wake_at_ms.is_some_and(|planned| planned <= at_ms) {
            return;
        }
        node.wake_at_ms = Some(at_ms);
        self.queue.put(at_ms, Event::Wake { node: place, life: node.life });
    }

    /// Puts a machine to sleep: it hears nothing, and what it tells itself waits until it wakes.
    pub(super) fn fall_asleep(&mut self, place: Place, for_ms: u64) {
        if !self.nodes[place].is_online() || self.nodes[place].hostile {
            return;
        }
        self.nodes[place].asleep_until_ms = Some(self.at_ms + for_ms);
        self.note(place, || format!("sleeps for {} s", for_ms / 1_000));
        self.links_go_silent(place);
    }

    /// Wakes a machine. Its monotonic clock may have stood still.
    pub(super) fn wake_up(&mut self, place: Place, slept_ms: u64, clock_stood: bool) {
        let node = &mut self.nodes[place];
        if node.asleep_until_ms.take().is_none() {
            return;
        }
        if clock_stood {
            node.monotonic_base_ms += slept_ms;
        }
        node.wake_at_ms = None;
        self.note(place, || "wakes".to_owned());
        self.links_were_lost(place);
        self.plan_wake(place);
        self.dial_soon(place, 500);
    }
}

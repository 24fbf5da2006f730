//! From a stamped envelope to a delivered one: pushed through a neighbour, seen again, kept by neighbours,
//! confirmed by the recipient's device; or sealed again, or given up. SPEC: B9, B14.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use starling_relay::pool::EnvelopePool;
use starling_relay::push;
use starling_wire::envelope::{Class, EnvelopeId, EpochRange};
use starling_wire::push_cell::ExitPlaintext;

use crate::carrier::Link;
use crate::messenger::Messenger;
use crate::outbox::{Circumstances, Due, Item};
use crate::post::{Post, PostId};
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{ContactNumber, LinkId, MessageNumber, Output, Refusal, RequestId};
use crate::view::{DeliveryStage, QueuedReason, TraceStep};

/// Pushes that wait for their answer at a time.
const PUSHES_AT_ONCE_MAX: usize = 64;
/// Pushes that wait for the answer of one neighbour: it takes 16 streams at a time, and refuses more.
const PUSHES_PER_LINK_MAX: usize = 12;
/// A push without an answer counts as timed out after this many times the network's own time-out.
const PUSH_LOST_FACTOR: u64 = 4;
/// Time between two looks whether what waits for its turn may be pushed.
const PUSH_QUEUE_MS: u64 = 100;

impl<P: EnvelopePool> Messenger<P> {
    /// Pushes own envelope `id` if that makes sense now; else sees to it that it is tried when it does.
    pub(crate) fn push(&mut self, id: PostId, rng: &mut impl CryptoRng) {
        let epoch = self.epoch();
        let Some(post) = self.post(id).filter(|post| post.wants_push(epoch)) else { return };
        if self.is_held_back(id) {
            return;
        }
        if self.carrier.links.is_empty() {
            self.wait_for_link(id);
            return;
        }
        let class = post.class();
        let open = self.links_to_push(class);
        if open.is_empty() {
            self.push_queue.insert(id);
            self.timers.set_if_absent(Timer::PushQueue, self.now.monotonic_ms + PUSH_QUEUE_MS);
            return;
        }
        let Some(envelope) = post.envelope() else { return };
        if self.pool.contains(&envelope.key()) {
            self.came_back(id);
            return;
        }
        let monotonic_ms = self.now.monotonic_ms;
        let states = self.carrier.links.iter();
        let silent: BTreeSet<LinkId> =
            states.filter(|(_, state)| state.is_silent(monotonic_ms)).map(|(&link, _)| link).collect();
        let chosen = self.post_mut(id).and_then(|post| post.choose_link(&open, |link| silent.contains(&link), rng));
        let Some(link) = chosen else { return };
        let Some(chosen) = self.carrier.links.get_mut(&link) else { return };
        chosen.count_push(class, self.now.monotonic_ms);
        let onion_key = chosen.onion_key;
        let plaintext = ExitPlaintext::Publish(envelope.as_bytes().into());
        let request = self.next_request();
        // An onion key of low order cannot be sealed to: as if that neighbour had refused.
        let cell = push::seal(&plaintext, class, &onion_key, rng);
        let Some(post) = self.post_mut(id) else { return };
        let again = post.pushes > 0;
        post.pushed(request, link);
        self.pushes.insert(request, id);
        self.waiting_for_link.remove(&id);
        self.set_timer_in(Timer::Push(id), PUSH_LOST_FACTOR * u64::from(self.parameters.push_timeout_ms));
        self.note_push(id, again);
        match cell {
            Ok(cell) => self.output(Output::Push { id: request, link, cell }),
            Err(_) => self.on_pushed(request, Err(Refusal::Refused), rng),
        }
    }

    /// Neighbours that would take a cell of `class` from us now; none while too many pushes wait for their answer.
    fn links_to_push(&self, class: Class) -> Vec<LinkId> {
        if self.pushes.len() >= PUSHES_AT_ONCE_MAX {
            return Vec::new();
        }
        let monotonic_ms = self.now.monotonic_ms;
        let mut in_flight: BTreeMap<LinkId, usize> = BTreeMap::new();
        for link in self.pushes.values().filter_map(|&id| self.post(id)?.in_flight_over()) {
            *in_flight.entry(link).or_default() += 1;
        }
        let is_free = |link: &LinkId| in_flight.get(link).is_none_or(|&pushes| pushes < PUSHES_PER_LINK_MAX);
        let takes = |state: &Link| state.takes_push(class, monotonic_ms);
        let open = self.carrier.links.iter().filter(|(link, state)| is_free(link) && takes(state));
        open.map(|(&link, _)| link).collect()
    }

    /// Pushes what waited for its turn, as far as neighbours take it.
    pub(crate) fn on_push_queue(&mut self, rng: &mut impl CryptoRng) {
        self.pump_due = true;
        while let Some(id) = self.next_to_push() {
            self.push_queue.remove(&id);
            self.push(id, rng);
        }
        if !self.push_queue.is_empty() {
            self.set_timer_in(Timer::PushQueue, PUSH_QUEUE_MS);
        }
    }

    /// The first of what waits that some neighbour takes: a large envelope for which none has room keeps no small one
    /// back. What is not to be pushed any more is taken out as well.
    fn next_to_push(&self) -> Option<PostId> {
        let takes = |class| !self.links_to_push(class).is_empty();
        let (small, large) = (takes(Class::Small), takes(Class::Large));
        let may_go = |id: &PostId| match self.post(*id).map(Post::class) {
            Some(Class::Large) => large,
            Some(Class::Small) | None => small,
        };
        self.push_queue.iter().copied().find(may_go)
    }

    /// The time of the next push has come, or that of an answer that never came is over.
    pub(crate) fn on_push_due(&mut self, id: PostId, rng: &mut impl CryptoRng) {
        match self.post(id).and_then(Post::in_flight) {
            Some(request) => self.on_pushed(request, Err(Refusal::TimedOut), rng),
            None => self.push(id, rng),
        }
    }

    /// The push is part of what is stored: so its turn is committed after that of the stamped bytes.
    fn note_push(&mut self, id: PostId, again: bool) {
        self.mark_post(id);
        let PostId::Item(number) = id else { return };
        let unix_ms = self.now.unix_ms;
        let Some(item) = self.outbox.get_mut(number) else { return };
        item.trace(unix_ms, if again { TraceStep::PushedAgain } else { TraceStep::Pushed });
        if let Some(state) = item.state_mut() {
            state.attempts = state.attempts.saturating_add(1);
        }
    }

    fn wait_for_link(&mut self, id: PostId) {
        self.waiting_for_link.insert(id);
        let PostId::Item(number) = id else { return };
        let Some(state) = self.outbox.get_mut(number).and_then(Item::state_mut) else { return };
        if matches!(state.reason, Some(QueuedReason::Stamping | QueuedReason::Pushing)) {
            state.reason = Some(QueuedReason::NoPeers);
            self.show_state(number);
        }
    }

    /// A push was answered: taken, or it goes to another neighbour at once.
    pub(crate) fn on_pushed(&mut self, request: RequestId, result: Result<(), Refusal>, rng: &mut impl CryptoRng) {
        let Some(id) = self.pushes.remove(&request) else { return };
        let taken = result.is_ok();
        let Some(post) = self.post_mut(id) else { return };
        let Some(link) = post.answered(request, taken) else { return };
        // What failed on our own side says nothing of the neighbour.
        let answered = match result {
            Ok(()) | Err(Refusal::Refused) => Some(true),
            Err(Refusal::TimedOut) => Some(false),
            Err(Refusal::NoPeers | Refusal::LinkGone | Refusal::Busy) => None,
        };
        if let (Some(answered), Some(state)) = (answered, self.carrier.links.get_mut(&link)) {
            state.note_answer(answered, self.now.monotonic_ms);
        }
        self.mark_post(id);
        self.trace_answer(id, taken);
        if taken {
            self.raise_stage(id, DeliveryStage::Sent);
        }
        let held = self.carrier.held();
        let resend_ms = self.parameters.resend_ms;
        self.timers.cancel(Timer::Push(id));
        let Some(post) = self.post(id) else { return };
        // Not one that takes nothing now: it would be passed over, and the others asked again in a loop.
        let (another, interval_ms) = (post.has_untried(&self.links_to_push(post.class())), post.interval_ms(resend_ms));
        if !taken && another {
            self.push(id, rng);
        } else if held.is_empty() {
            self.wait_for_link(id);
        } else {
            self.set_timer_in(Timer::Push(id), interval_ms);
        }
    }

    fn trace_answer(&mut self, id: PostId, taken: bool) {
        let PostId::Item(number) = id else { return };
        let unix_ms = self.now.unix_ms;
        let Some(item) = self.outbox.get_mut(number) else { return };
        item.trace(unix_ms, if taken { TraceStep::Taken } else { TraceStep::NotTaken });
        let is_queued = item.state_mut().is_some_and(|state| state.stage == DeliveryStage::Queued);
        if !taken && is_queued {
            self.show_state(number);
        }
    }

    /// A text got at least as far as `stage`; states never go back.
    fn raise_stage(&mut self, id: PostId, stage: DeliveryStage) {
        let PostId::Item(number) = id else { return };
        let unix_ms = self.now.unix_ms;
        let neighbours = self.neighbours();
        let held_by = self.post(id).map_or(0, |post| post.held_by);
        let Some(state) = self.outbox.get_mut(number).and_then(Item::state_mut) else { return };
        let shown = *state;
        if stage > state.stage {
            state.stage = stage;
            state.since_unix_ms = unix_ms;
            state.reason = None;
        }
        state.held_by = state.held_by.max(held_by);
        state.neighbours = neighbours;
        if *state != shown {
            self.show_state(number);
        }
    }

    fn neighbours(&self) -> u32 {
        u32::try_from(self.carrier.links.len()).unwrap_or(u32::MAX)
    }

    /// Own envelope `id` is in the pool: the network brought it back.
    pub(crate) fn came_back(&mut self, id: PostId) {
        let unix_ms = self.now.unix_ms;
        let Some(post) = self.post_mut(id).filter(|post| !post.came_back) else { return };
        post.came_back = true;
        let kept = post.held_by > 0;
        self.mark_post(id);
        self.timers.cancel(Timer::Push(id));
        self.waiting_for_link.remove(&id);
        match id {
            PostId::Bundle => {}
            PostId::Item(number) => {
                let Some(item) = self.outbox.get_mut(number) else { return };
                item.trace(unix_ms, TraceStep::CameBack);
                if item.load.is_unconfirmed() {
                    self.reads_told(number);
                    self.drop_item(number);
                } else if kept {
                    self.raise_stage(id, DeliveryStage::Held);
                }
            }
        }
    }

    /// `link` keeps own envelope `envelope`.
    pub(crate) fn own_held(&mut self, envelope: &EnvelopeId, link: LinkId) {
        let Some(id) = self.outbox.by_id(envelope) else { return };
        let (unix_ms, of) = (self.now.unix_ms, self.neighbours());
        let Some(post) = self.post_mut(id) else { return };
        if !post.held_by_link(link) {
            return;
        }
        let (by, came_back) = (post.held_by, post.came_back);
        self.mark_post(id);
        let PostId::Item(number) = id else { return };
        if let Some(item) = self.outbox.get_mut(number) {
            item.trace(unix_ms, TraceStep::Held { by, of });
        }
        if came_back {
            self.raise_stage(id, DeliveryStage::Held);
        }
    }

    /// Whether `id` is an own envelope whose fate is open.
    pub(crate) fn is_own(&self, id: &EnvelopeId) -> bool {
        self.outbox.by_id(id).is_some()
    }

    /// Ids of own envelopes of `window`, the newest first.
    pub(crate) fn own_ids_within(&self, window: EpochRange) -> impl Iterator<Item = EnvelopeId> {
        let posts = self.outbox.iter().rev().filter_map(|item| item.post.as_ref()).chain(&self.bundle_post);
        posts.filter(move |post| window.contains(post.epoch())).filter_map(Post::id)
    }

    /// A link is held: what waited for one goes.
    pub(crate) fn on_link_up(&mut self, link: LinkId, onion_key: [u8; 32], rng: &mut impl CryptoRng) {
        let alone = self.carrier.links.is_empty();
        self.carrier_link_up(link, onion_key);
        self.judge_clock();
        if alone {
            // What came due while nothing could be sealed.
            self.outbox_upkeep();
        }
        for id in std::mem::take(&mut self.waiting_for_link) {
            self.push(id, rng);
        }
        self.refresh_all_reasons();
        self.pump_due = true;
    }

    /// A link is gone: what it was asked for goes over another.
    pub(crate) fn on_link_down(&mut self, link: LinkId, rng: &mut impl CryptoRng) {
        self.clocks.remove(link);
        self.carrier_link_down(link);
        self.judge_clock();
        let ids: Vec<PostId> = self.outbox.numbers().into_iter().map(PostId::Item).chain([PostId::Bundle]).collect();
        for id in ids {
            if self.post_mut(id).is_some_and(|post| post.link_down(link)) {
                self.pushes.retain(|_, &mut post| post != id);
                self.trace_answer(id, false);
                self.push(id, rng);
            }
        }
        if self.carrier.links.is_empty() {
            self.refresh_all_reasons();
        }
    }

    /// Takes note of what the neighbours' clocks say.
    pub(crate) fn judge_clock(&mut self) {
        let change = self.clocks.judge(self.parameters.scope, self.now);
        if let Some(active) = change.warning {
            self.warn("clock", active);
        }
        if change.holds.is_some() {
            self.refresh_all_reasons();
            self.pump_due = true;
        }
    }

    /// The recipient's device confirmed `message_id`; whether it was one of ours to `contact`.
    pub(crate) fn on_acked(&mut self, contact: ContactNumber, message_id: &[u8; 16]) -> bool {
        let part = self.outbox.part_by_id(message_id);
        let whole = || self.ids.number(message_id).map(|MessageNumber(number)| number);
        let Some(number) = part.map(|(number, _)| number).or_else(whole) else { return false };
        // What goes in parts is confirmed by its parts.
        let Some(item) = self.outbox.get(number).filter(|item| item.contact == contact && item.parts == 1) else {
            return false;
        };
        if let Some(place) = item.place
            && let Some(slot) = self.sessions.by_id(place.session)
            && let Some(entry) = self.sessions.get_mut(slot)
        {
            entry.session.note_acked(place.chain, place.number);
            self.mark(Dirty::Session(place.session));
        }
        self.reads_of_confirmed(number);
        match part {
            Some((number, head)) => self.part_arrived(number, head),
            None => self.finish(number, DeliveryStage::Delivered),
        }
        self.pump_due = true;
        true
    }

    /// Takes an item out of the outbox, in its last state.
    pub(crate) fn finish(&mut self, number: u64, stage: DeliveryStage) {
        let unix_ms = self.now.unix_ms;
        let parts = self.parts_state(number);
        if let Some(item) = self.outbox.get_mut(number) {
            item.trace(
                unix_ms,
                if stage == DeliveryStage::Delivered { TraceStep::Delivered } else { TraceStep::Expired },
            );
            if let Some(state) = item.state_mut().filter(|state| state.stage != stage) {
                state.stage = stage;
                state.since_unix_ms = unix_ms;
                state.reason = None;
                state.parts = parts;
            }
        }
        self.start_expiry_of_own(number);
        self.show_state(number);
        self.drop_item(number);
    }

    /// Gives an item up for good: its contact is gone.
    pub(crate) fn give_up(&mut self, number: u64) {
        self.finish(number, DeliveryStage::Expired);
    }

    /// Forgets an item with all of its parts, keeping the life of a text where it can be read.
    pub(crate) fn drop_item(&mut self, number: u64) {
        let number = self.outbox.head_of(number).unwrap_or(number);
        let lines = self.outbox.get(number).map(|item| self.outbox.lines_of(item)).unwrap_or_default();
        for part in self.outbox.parts_of(number).map(|part| part.number).collect::<Vec<_>>() {
            self.forget_way(PostId::Item(part));
            self.reads_lost(part);
            self.outbox.remove(part);
            self.mark(Dirty::Outbox(part));
        }
        self.forget_way(PostId::Item(number));
        self.reads_lost(number);
        let Some(item) = self.outbox.remove(number) else { return };
        self.mark(Dirty::Outbox(number));
        if item.file().is_some() {
            self.mark(Dirty::WaitingFile(number));
        }
        let Some(view) = item.text().map(|text| text.view.clone()) else { return };
        self.write_trace(view.number, lines);
        if let Some(client_id) = view.client_id {
            self.client_ids.set_state(&client_id, view.state);
            self.mark(Dirty::ClientId(client_id));
        }
    }

    /// Looks through the outbox for what is due by the wall clock.
    pub(crate) fn outbox_upkeep(&mut self) {
        let time_is_sure = self.is_time_sure();
        let (now, links, lifetime_hours) = (self.now, self.carrier.links.len(), self.parameters.lifetime_hours);
        for number in self.outbox.numbers() {
            let sealable = self.outbox.get(number).is_some_and(|item| self.is_sendable(item.contact));
            let Some(item) = self.outbox.get_mut(number) else { continue };
            match item.due(&Circumstances { now, time_is_sure, links, sealable, lifetime_hours }) {
                Due::Nothing => {}
                Due::Seal => self.seal_again(PostId::Item(number)),
                Due::Expire => self.expire_item(number),
                Due::Drop => self.drop_item(number),
            }
        }
    }

    /// No node keeps the item any more. A text stays for a late confirmation; a greeting is made anew with the
    /// next handshake.
    fn expire_item(&mut self, number: u64) {
        let unix_ms = self.now.unix_ms;
        self.forget_way(PostId::Item(number));
        self.reads_lost(number);
        self.outbox.expire(number, unix_ms);
        let Some(item) = self.outbox.get_mut(number) else { return };
        item.trace(unix_ms, TraceStep::Expired);
        let Some(state) = item.state_mut() else { return self.drop_item(number) };
        state.stage = DeliveryStage::Expired;
        state.since_unix_ms = unix_ms;
        state.reason = None;
        let head = self.outbox.head_of(number).unwrap_or(number);
        if self.outbox.get(head).is_none_or(|head| head.text().is_none()) {
            return self.drop_item(head);
        }
        self.start_expiry_of_own(head);
        self.show_state(number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_relay::pool::MemoryPool;
    use starling_relay::push::OnionSecret;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::messenger::Setup;
    use crate::turn::{AddressGroup, Input, Now};

    const NOW: Now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };

    #[test]
    fn a_neighbour_that_refuses_is_not_asked_in_a_loop_while_another_s_quota_is_used_up() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, NOW, &mut rng);
        let onion_key = OnionSecret::from_bytes([2; 32]).public_key();
        let mut outputs = Vec::new();
        for link in [LinkId(1), LinkId(2)] {
            let group = AddressGroup { narrow: link.0, wide: link.0 };
            let input = Input::LinkUp { link, group, outbound: true, onion_key, clock_offset_ms: 0 };
            outputs.extend(messenger.step(input, NOW, &mut rng).outputs);
        }
        let empty = messenger.carrier.links.get_mut(&LinkId(1)).unwrap();
        (0..10_000).for_each(|_| empty.count_push(Class::Small, NOW.monotonic_ms));
        let mut pushes = 0;
        while let Some(output) = outputs.pop() {
            let input = match output {
                Output::Compute { id, job } => {
                    Input::Computed { id, result: job.run(&AtomicBool::new(false), &mut rng) }
                }
                Output::Push { id, .. } => {
                    pushes += 1;
                    assert!(pushes < 10, "refused and asked again at once");
                    Input::Done { id, result: Err(Refusal::Refused) }
                }
                _ => continue,
            };
            outputs.extend(messenger.step(input, NOW, &mut rng).outputs);
        }
        assert_eq!(pushes, 1, "the own bundle, once");
    }

    #[test]
    fn a_neighbour_that_leaves_a_push_unanswered_is_asked_last_for_a_minute() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, NOW, &mut rng);
        let onion_key = OnionSecret::from_bytes([2; 32]).public_key();
        let group = AddressGroup { narrow: 0, wide: 0 };
        let mut outputs = Vec::new();
        for link in (1..=3).map(LinkId) {
            let input = Input::LinkUp { link, group, outbound: true, onion_key, clock_offset_ms: 0 };
            outputs.extend(messenger.step(input, NOW, &mut rng).outputs);
        }
        let mut asked = Vec::new();
        while let Some(output) = outputs.pop() {
            let input = match output {
                Output::Compute { id, job } => {
                    Input::Computed { id, result: job.run(&AtomicBool::new(false), &mut rng) }
                }
                Output::Push { id, link, .. } => {
                    asked.push(link);
                    let result = if asked.len() == 1 { Err(Refusal::TimedOut) } else { Ok(()) };
                    Input::Done { id, result }
                }
                _ => continue,
            };
            outputs.extend(messenger.step(input, NOW, &mut rng).outputs);
        }
        let [silent, answering] = asked[..] else { panic!("asked {asked:?}") };
        let id = PostId::Bundle;
        let choose = |messenger: &mut Messenger<MemoryPool>, monotonic_ms, rng: &mut ChaCha20Rng| {
            messenger.now.monotonic_ms = monotonic_ms;
            messenger.post_mut(id).unwrap().begin_round();
            messenger.push(id, rng);
            let chosen = messenger.post(id).unwrap().in_flight_over().unwrap();
            // A queue of ours that is full is no answer.
            messenger.on_pushed(messenger.post(id).unwrap().in_flight().unwrap(), Err(Refusal::Busy), rng);
            chosen
        };
        // With three to choose from, it would be among forty but once in ten million runs.
        for _ in 0..40 {
            assert_ne!(choose(&mut messenger, NOW.monotonic_ms + 59_999, &mut rng), silent);
        }
        let later: BTreeSet<LinkId> =
            (0..40).map(|_| choose(&mut messenger, NOW.monotonic_ms + 60_000, &mut rng)).collect();
        assert!(later.contains(&silent) && later.contains(&answering));
    }
}

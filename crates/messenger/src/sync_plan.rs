//! When to reconcile with whom, over which hours: a pure plan. SPEC: B13.
//!
//! Three rhythms run over the neighbours in a shuffled turn: the last two hours every
//! `sync_interval_ms`, the last day hourly, everything daily. Each new link is asked once, a moment after
//! it is held, and with one of the next turns about everything: it may lead to a part of the network that was cut off
//! for days, whose older mail would else come with the daily turn of one neighbour at a time. After a start, or after a time without links, everything missed is caught up: the hours are
//! dealt out to three neighbours, newest first, then each of them compares the whole once. Nothing
//! here looks at own messages: the rhythm must not tell when something is sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;
use starling_wire::envelope::{Epoch, EpochRange};

use crate::delay;
use crate::turn::{LinkId, Now};

/// Reconciliations under way at once.
pub(crate) const SYNCS_AT_ONCE_MAX: usize = 3;
/// Neighbours among whom missed hours are dealt out.
const CATCH_UP_PEERS: usize = 3;
/// Time from a link's coming up to its first sync.
pub(crate) const FIRST_SYNC_DELAY_MS: u64 = 200;
/// Time after which a sync counts as broken when its end was not told.
pub(crate) const SYNC_DEADLINE_MS: u64 = 600_000;
/// Time without links after which missed hours are caught up.
const ALONE_MS: u64 = 600_000;
/// How long a neighbour that was busy is asked for nothing.
const BUSY_MS: u64 = 30_000;
/// Failed tries of one part of the catching up before it is left to the daily rhythm.
const CATCH_UP_TRIES_MAX: u32 = 6;
/// Hours before now at which the parts of the catching up end, newest first.
const CATCH_UP_HOURS: [u32; 4] = [2, 8, 26, 98];
const HOUR_MS: u64 = 3_600_000;

/// Why a sync runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// A part of what was missed; how often it was tried.
    Part(u32),
    /// The comparison of everything: after the parts, and once with each link.
    Whole,
    /// The first with a new link, or the rhythm.
    Rhythm,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    window: EpochRange,
    reason: Reason,
}

#[derive(Debug)]
struct CatchUp {
    /// Not yet given to anybody, newest first, with the tries so far.
    parts: VecDeque<(EpochRange, u32)>,
    /// Links that took part.
    helpers: BTreeSet<LinkId>,
    /// Links that still compare the whole; `None` until all parts are done.
    whole: Option<VecDeque<LinkId>>,
}

/// The plan.
#[derive(Debug)]
pub(crate) struct SyncPlan {
    /// Held links, and whether their first delay is over.
    ready: BTreeMap<LinkId, bool>,
    /// Links that were not yet asked at all.
    fresh: BTreeSet<LinkId>,
    /// Links with which the whole, or what is left of it, was not yet compared.
    strange: BTreeMap<LinkId, Option<EpochRange>>,
    /// Links that were busy, and until when they are left alone.
    resting: BTreeMap<LinkId, u64>,
    /// The turn of the rhythm.
    turn: VecDeque<LinkId>,
    running: BTreeMap<LinkId, Running>,
    catch_up: Option<CatchUp>,
    /// What is to be caught up at the first link: from this epoch on.
    missed_from: Option<Epoch>,
    alone_since: Option<Now>,
    due: bool,
    last_day_ms: u64,
    last_whole_ms: u64,
    lifetime_hours: u32,
}

impl SyncPlan {
    /// A plan that catches up with everything at its first link.
    pub(crate) fn new(lifetime_hours: u32, now: Now) -> Self {
        Self {
            ready: BTreeMap::new(),
            fresh: BTreeSet::new(),
            strange: BTreeMap::new(),
            resting: BTreeMap::new(),
            turn: VecDeque::new(),
            running: BTreeMap::new(),
            catch_up: None,
            missed_from: Some(Epoch(0)),
            alone_since: None,
            due: false,
            last_day_ms: now.monotonic_ms,
            last_whole_ms: now.monotonic_ms,
            lifetime_hours,
        }
    }

    /// A link is held. The caller sets the timer of its first sync.
    pub(crate) fn link_up(&mut self, link: LinkId, now: Now) {
        if let Some(since) = self.alone_since.take() {
            // A sleeping computer's monotonic clock may stand still, and its wall clock may be set: the longer counts.
            let by_timer_ms = now.monotonic_ms.saturating_sub(since.monotonic_ms);
            let alone_ms = by_timer_ms.max(now.unix_ms.saturating_sub(since.unix_ms));
            if alone_ms > ALONE_MS && self.missed_from.is_none() {
                let hours = u32::try_from(alone_ms / HOUR_MS).unwrap_or(u32::MAX);
                let epoch = Epoch::from_unix_ms(now.unix_ms);
                self.missed_from = Some(epoch.minus(hours.saturating_add(CATCH_UP_HOURS[0])));
            }
        }
        self.ready.insert(link, false);
    }

    /// The moment after a link's coming up is over.
    pub(crate) fn link_ready(&mut self, link: LinkId) {
        if let Some(ready) = self.ready.get_mut(&link) {
            *ready = true;
            self.fresh.insert(link);
            self.strange.insert(link, None);
        }
    }

    /// A link is gone; a sync over it broke.
    pub(crate) fn link_down(&mut self, link: LinkId, now: Now) {
        self.ended(link, false);
        self.ready.remove(&link);
        self.fresh.remove(&link);
        self.strange.remove(&link);
        self.resting.remove(&link);
        self.turn.retain(|&other| other != link);
        if let Some(catch_up) = &mut self.catch_up {
            catch_up.helpers.remove(&link);
            if let Some(whole) = &mut catch_up.whole {
                whole.retain(|&other| other != link);
            }
        }
        if self.ready.is_empty() {
            self.alone_since = Some(now);
        }
    }

    /// The rhythm's time has come.
    pub(crate) fn tick(&mut self) {
        self.due = true;
    }

    /// A sync ended; whether it achieved its window.
    pub(crate) fn ended(&mut self, link: LinkId, complete: bool) {
        let Some(running) = self.running.remove(&link) else { return };
        if running.reason == Reason::Whole && !complete {
            self.strange.insert(link, None);
        }
        let Some(catch_up) = &mut self.catch_up else { return };
        if let Reason::Part(tries) = running.reason {
            if complete {
                catch_up.helpers.insert(link);
            } else if tries + 1 < CATCH_UP_TRIES_MAX {
                catch_up.parts.push_front((running.window, tries + 1));
            }
        }
        let parts_run = self.running.values().any(|other| matches!(other.reason, Reason::Part(_)));
        if catch_up.parts.is_empty() && !parts_run && catch_up.whole.is_none() {
            catch_up.whole = Some(catch_up.helpers.iter().copied().collect());
        }
        if catch_up.whole.as_ref().is_some_and(VecDeque::is_empty) {
            self.catch_up = None;
        }
    }

    /// The neighbour had no time for all of a sync: `rest` is left, and goes on when it had a rest. No try is counted.
    pub(crate) fn busy(&mut self, link: LinkId, rest: EpochRange, monotonic_ms: u64) {
        let Some(running) = self.running.remove(&link) else { return };
        self.resting.insert(link, monotonic_ms.saturating_add(BUSY_MS));
        let rest = rest.intersect(&running.window).unwrap_or(running.window);
        let is_short = running.window.last.0.saturating_sub(running.window.first.0) <= CATCH_UP_HOURS[0] + 1;
        match (running.reason, &mut self.catch_up) {
            (Reason::Part(tries), Some(catch_up)) => catch_up.parts.push_front((rest, tries)),
            // The next turn covers the last hours anyway.
            (Reason::Rhythm, _) if is_short => {}
            _ => _ = self.strange.insert(link, Some(rest)),
        }
    }

    fn window(&self, hours: u32, now: Epoch) -> EpochRange {
        EpochRange { first: now.minus(hours.min(self.lifetime_hours)), last: now.plus(1) }
    }

    fn begin_catch_up(&mut self, now: Epoch) {
        let Some(from) = self.missed_from.take() else { return };
        let oldest = from.max(now.minus(self.lifetime_hours));
        let mut parts = VecDeque::new();
        let mut last = now.plus(1);
        for hours in CATCH_UP_HOURS {
            let first = now.minus(hours).max(oldest);
            if first <= last {
                parts.push_back((EpochRange { first, last }, 0));
                last = first.minus(1);
            }
        }
        if oldest <= last && oldest < now.minus(CATCH_UP_HOURS[3]) {
            parts.push_back((EpochRange { first: oldest, last }, 0));
        }
        self.catch_up = Some(CatchUp { parts, helpers: BTreeSet::new(), whole: None });
    }

    fn idle(&self, link: LinkId) -> bool {
        self.ready.get(&link) == Some(&true) && !self.running.contains_key(&link) && !self.resting.contains_key(&link)
    }

    /// What to start now; marks it as running.
    pub(crate) fn start(&mut self, at: Now, rng: &mut impl CryptoRng) -> Vec<(LinkId, EpochRange)> {
        let now = Epoch::from_unix_ms(at.unix_ms);
        self.resting.retain(|_, until_ms| *until_ms > at.monotonic_ms);
        if self.missed_from.is_some() && self.ready.values().any(|&ready| ready) {
            self.begin_catch_up(now);
        }
        let mut started = Vec::new();
        while self.running.len() < SYNCS_AT_ONCE_MAX {
            let next = self.next_part().or_else(|| self.next_first(now)).or_else(|| self.next_whole(now));
            let Some((link, running)) = next.or_else(|| self.next_of_rhythm(at.monotonic_ms, now, rng)) else { break };
            self.fresh.remove(&link);
            if running.reason == Reason::Whole {
                self.strange.remove(&link);
            }
            self.running.insert(link, running);
            started.push((link, running.window));
        }
        started
    }

    fn next_part(&mut self) -> Option<(LinkId, Running)> {
        let busy = self.running.values().filter(|running| matches!(running.reason, Reason::Part(_))).count();
        let catch_up = self.catch_up.as_ref().filter(|catch_up| !catch_up.parts.is_empty())?;
        if busy >= CATCH_UP_PEERS {
            return None;
        }
        // Links that were not asked yet first: what failed on one is tried on another.
        let unused = |link: &&LinkId| !catch_up.helpers.contains(link);
        let idle: Vec<LinkId> = self.ready.keys().copied().filter(|&link| self.idle(link)).collect();
        let link =
            *idle.iter().find(|link| self.fresh.contains(link)).or_else(|| idle.iter().find(unused)).or(idle.first())?;
        let (window, tries) = self.catch_up.as_mut()?.parts.pop_front()?;
        Some((link, Running { window, reason: Reason::Part(tries) }))
    }

    fn next_first(&mut self, now: Epoch) -> Option<(LinkId, Running)> {
        let link = self.fresh.iter().copied().find(|&link| self.idle(link))?;
        Some((link, Running { window: self.window(CATCH_UP_HOURS[0], now), reason: Reason::Rhythm }))
    }

    fn next_whole(&mut self, now: Epoch) -> Option<(LinkId, Running)> {
        let whole = self.catch_up.as_ref()?.whole.as_ref()?;
        let link = whole.iter().copied().find(|&link| self.idle(link))?;
        let window = self.window(self.lifetime_hours, now);
        self.catch_up.as_mut()?.whole.as_mut()?.retain(|&other| other != link);
        Some((link, Running { window, reason: Reason::Whole }))
    }

    fn next_of_rhythm(&mut self, monotonic_ms: u64, now: Epoch, rng: &mut impl CryptoRng) -> Option<(LinkId, Running)> {
        if !self.due {
            return None;
        }
        if let Some((&link, &rest)) = self.strange.iter().find(|&(&link, _)| self.idle(link)) {
            self.due = false;
            let window = rest.unwrap_or_else(|| self.window(self.lifetime_hours, now));
            return Some((link, Running { window, reason: Reason::Whole }));
        }
        if self.turn.is_empty() {
            let mut links: Vec<LinkId> = self.ready.keys().copied().collect();
            delay::shuffle(&mut links, rng);
            self.turn = links.into();
        }
        let position = self.turn.iter().position(|&link| self.idle(link))?;
        let link = self.turn.remove(position)?;
        self.due = false;
        let mut hours = CATCH_UP_HOURS[0];
        if monotonic_ms.saturating_sub(self.last_whole_ms) >= 24 * HOUR_MS {
            (self.last_whole_ms, self.last_day_ms) = (monotonic_ms, monotonic_ms);
            hours = self.lifetime_hours;
        } else if monotonic_ms.saturating_sub(self.last_day_ms) >= HOUR_MS {
            self.last_day_ms = monotonic_ms;
            hours = 24;
        }
        Some((link, Running { window: self.window(hours, now), reason: Reason::Rhythm }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    const NOW: Epoch = Epoch(500_000);

    fn at(monotonic_ms: u64) -> Now {
        Now { unix_ms: NOW.start_unix_ms() + monotonic_ms, monotonic_ms }
    }

    fn plan_with(links: u64) -> SyncPlan {
        let mut plan = SyncPlan::new(336, at(0));
        for link in 0..links {
            plan.link_up(LinkId(link), at(0));
            plan.link_ready(LinkId(link));
        }
        plan
    }

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(1)
    }

    #[test]
    fn a_start_asks_for_every_hour_once_newest_first_from_three() {
        let mut plan = plan_with(5);
        let mut rng = rng();
        let mut asked = Vec::new();
        let first = plan.start(at(200), &mut rng);
        assert_eq!(first.len(), 3);
        assert_eq!(first[0].1, EpochRange { first: NOW.minus(2), last: NOW.plus(1) });
        let mut running: VecDeque<_> = first.into();
        while let Some((link, window)) = running.pop_front() {
            asked.push(window);
            plan.ended(link, true);
            running.extend(plan.start(at(300), &mut rng));
        }
        let parts = &asked[..5];
        for hour in 0..=337 {
            let epoch = NOW.plus(1).minus(hour);
            assert_eq!(parts.iter().filter(|window| window.contains(epoch)).count(), 1, "hour {hour}");
        }
        let whole = EpochRange { first: NOW.minus(336), last: NOW.plus(1) };
        assert!(asked.iter().filter(|&&window| window == whole).count() >= 1);
        assert!(plan.catch_up.is_none());
    }

    #[test]
    fn one_link_gets_all_parts_in_turn_and_a_broken_one_is_tried_again() {
        let mut plan = plan_with(1);
        let mut rng = rng();
        let first = plan.start(at(200), &mut rng);
        assert_eq!(first.len(), 1);
        assert!(plan.start(at(200), &mut rng).is_empty());
        plan.ended(LinkId(0), false);
        assert_eq!(plan.start(at(201), &mut rng), first);
        plan.link_down(LinkId(0), at(300));
        plan.link_up(LinkId(9), at(400));
        assert!(plan.start(at(401), &mut rng).is_empty());
        plan.link_ready(LinkId(9));
        assert_eq!(plan.start(at(600), &mut rng), [(LinkId(9), first[0].1)]);
    }

    #[test]
    fn a_busy_neighbour_is_left_alone_for_a_while_and_then_goes_on_where_it_was() {
        let mut plan = plan_with(1);
        let mut rng = rng();
        let (link, window) = plan.start(at(200), &mut rng)[0];
        plan.ended(link, true);
        let (_, second) = plan.start(at(300), &mut rng)[0];
        assert!(second.last < window.first);
        let rest = EpochRange { first: second.first, last: second.first.plus(1) };
        for tries in 0..2 * u64::from(CATCH_UP_TRIES_MAX) {
            plan.busy(link, rest, 300 + tries * BUSY_MS);
            plan.tick();
            assert!(plan.start(at(300 + tries * BUSY_MS + BUSY_MS - 1), &mut rng).is_empty(), "not in a loop");
            let again = plan.start(at(300 + tries * BUSY_MS + BUSY_MS), &mut rng);
            assert_eq!(again, [(link, rest)], "nothing is given up");
        }
        plan.ended(link, true);
        plan.missed_from = None;
        plan.catch_up = None;
        plan.tick();
        let whole = plan.start(at(HOUR_MS), &mut rng);
        assert_eq!(whole[0].1, EpochRange { first: NOW.plus(1).minus(336), last: NOW.plus(2) });
        plan.busy(link, rest, HOUR_MS);
        plan.tick();
        assert_eq!(plan.start(at(HOUR_MS + BUSY_MS), &mut rng), [(link, rest)]);
    }

    #[test]
    fn the_rhythm_goes_round_and_asks_for_a_day_hourly() {
        let mut plan = plan_with(4);
        let mut rng = rng();
        plan.missed_from = None;
        plan.fresh.clear();
        plan.strange.clear();
        let mut partners = BTreeSet::new();
        for _ in 0..4 {
            plan.tick();
            let started = plan.start(at(1_000), &mut rng);
            assert_eq!(started.len(), 1);
            assert_eq!(started[0].1, EpochRange { first: NOW.minus(2), last: NOW.plus(1) });
            partners.insert(started[0].0);
            plan.ended(started[0].0, true);
        }
        assert_eq!(partners.len(), 4);
        assert!(plan.start(at(1_000), &mut rng).is_empty());
        plan.tick();
        let day = plan.start(at(HOUR_MS), &mut rng);
        assert_eq!(day[0].1.first, NOW.plus(1).minus(24));
        plan.ended(day[0].0, true);
        plan.tick();
        assert_eq!(plan.start(at(24 * HOUR_MS), &mut rng)[0].1.first, NOW.plus(24).minus(336));
    }

    #[test]
    fn each_new_link_is_asked_about_everything_once() {
        let mut plan = plan_with(2);
        let mut rng = rng();
        plan.missed_from = None;
        let whole = EpochRange { first: NOW.minus(336), last: NOW.plus(1) };
        assert_eq!(plan.start(at(200), &mut rng).len(), 2);
        for link in [0, 1] {
            plan.ended(LinkId(link), true);
        }
        let mut ask = |plan: &mut SyncPlan, complete: bool| {
            plan.tick();
            let started = plan.start(at(1_000), &mut rng);
            plan.ended(started[0].0, complete);
            started[0]
        };
        assert_eq!(ask(&mut plan, false), (LinkId(0), whole));
        assert_eq!(ask(&mut plan, true), (LinkId(0), whole));
        assert_eq!(ask(&mut plan, true), (LinkId(1), whole));
        assert_eq!(ask(&mut plan, true).1.first, NOW.minus(2));
    }

    #[test]
    fn hours_without_links_are_caught_up() {
        let mut plan = plan_with(1);
        plan.missed_from = None;
        plan.fresh.clear();
        plan.link_down(LinkId(0), at(0));
        let later = NOW.plus(8);
        plan.link_up(LinkId(1), at(8 * HOUR_MS));
        plan.link_ready(LinkId(1));
        let first = plan.start(at(8 * HOUR_MS), &mut rng());
        assert_eq!(first, [(LinkId(1), EpochRange { first: later.minus(2), last: later.plus(1) })]);
        plan.ended(LinkId(1), true);
        let second = plan.start(at(8 * HOUR_MS), &mut rng());
        assert_eq!(second, [(LinkId(1), EpochRange { first: later.minus(8), last: later.minus(3) })]);
    }
}

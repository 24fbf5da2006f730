//! How much a neighbour may make us work by asking. SPEC: B13.
//!
//! A hello is 41 bytes and makes the answering side read, hash and sort the ids of its window. So each link has a
//! budget of ids, generous enough for all that an honest node asks of a pool whose hours are all full: everything
//! three times at once, then the rhythm twice over. What is pulled earns part of it back, or a node that lacks
//! everything could not catch up; that too has an end, or bodies would buy ids without one. Beyond the budget a
//! session is refused as busy, without a penalty: an honest node asks again later.

use starling_wire::envelope::Class;
use starling_wire::network::NetworkParameters;

use super::session::ITEMS_MAX;

/// What a session costs beside its ids, in ids: two views of the pool, a few frames, a task.
const SESSION_IDS: u64 = 4_096;
/// Ids that a pulled body earns back: a session that pulls all it may is paid for.
const EARNED_PER_BODY: u64 = 8;
/// Sessions that a link may have at once in the smallest of networks.
const SESSIONS_MIN: u64 = 256;
/// Hours of the last two hours' window: the present one, the next, and two before.
const RECENT_HOURS: u64 = 4;
/// Hours around the lifetime that a pool may hold.
const SLACK_HOURS: u64 = 3;
/// Times that everything may be asked for at once: caught up with, and compared twice.
const WHOLES_AT_ONCE: u64 = 3;
/// How much faster than the rhythm a link may ask.
const RHYTHM_FACTOR: u64 = 2;
const MILLI: u64 = 1_000;
const DAY_S: u64 = 86_400;

/// A token bucket, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bucket {
    millis: u64,
    full_millis: u64,
    per_s: u64,
    updated_ms: u64,
}

impl Bucket {
    fn full(capacity: u64, per_s: u64, monotonic_ms: u64) -> Self {
        let full_millis = capacity.saturating_mul(MILLI);
        Self { millis: full_millis, full_millis, per_s, updated_ms: monotonic_ms }
    }

    fn refill(&mut self, monotonic_ms: u64) {
        // A thousandth a millisecond is one a second.
        let elapsed_ms = monotonic_ms.saturating_sub(self.updated_ms);
        self.give(elapsed_ms.saturating_mul(self.per_s));
        self.updated_ms = self.updated_ms.max(monotonic_ms);
    }

    fn give(&mut self, millis: u64) {
        self.millis = self.millis.saturating_add(millis).min(self.full_millis);
    }

    fn take(&mut self, amount: u64) -> bool {
        let left = self.millis.checked_sub(amount.saturating_mul(MILLI));
        self.millis = left.unwrap_or(self.millis);
        left.is_some()
    }
}

/// What one link may still ask. It outlives the link as long as its name is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncQuota {
    ids: Bucket,
    /// What pulls may still earn.
    earnings: Bucket,
}

/// The most that one session can cost.
fn session_max() -> u64 {
    cost(u64::try_from(ITEMS_MAX).unwrap_or(u64::MAX))
}

fn cost(ids: u64) -> u64 {
    ids.saturating_add(SESSION_IDS)
}

/// What it costs to go through `ids` ids in as few sessions as they need.
fn cost_of_all(ids: u64) -> u64 {
    let sessions = ids.checked_div(u64::try_from(ITEMS_MAX).unwrap_or(u64::MAX)).unwrap_or(0).saturating_add(2);
    ids.saturating_add(sessions.saturating_mul(SESSION_IDS))
}

impl SyncQuota {
    /// A full quota of a network's link at `monotonic_ms`.
    pub fn new(parameters: &NetworkParameters, monotonic_ms: u64) -> Self {
        let envelopes = |budget_bytes: u64, class: Class| {
            let bytes = u64::try_from(class.envelope_bytes()).unwrap_or(u64::MAX);
            budget_bytes.checked_div(bytes).unwrap_or(0)
        };
        let per_hour = envelopes(parameters.budget_small_bytes, Class::Small)
            .saturating_add(envelopes(parameters.budget_large_bytes, Class::Large));
        let hours = u64::from(parameters.lifetime_hours).saturating_add(SLACK_HOURS);
        let everything = per_hour.saturating_mul(hours);
        let whole = cost_of_all(everything);
        let capacity =
            whole.saturating_mul(WHOLES_AT_ONCE).max(session_max().saturating_add(SESSIONS_MIN * SESSION_IDS));
        let rhythm = cost_of_all(per_hour.saturating_mul(RECENT_HOURS)).saturating_mul(RHYTHM_FACTOR * MILLI);
        let interval_ms = u64::from(parameters.sync_interval_ms).max(1);
        let per_s = rhythm.checked_div(interval_ms).unwrap_or(rhythm).saturating_add(whole.div_ceil(DAY_S));
        let earned = everything.saturating_mul(EARNED_PER_BODY);
        Self {
            ids: Bucket::full(capacity, per_s, monotonic_ms),
            earnings: Bucket::full(earned.saturating_mul(2), earned.div_ceil(DAY_S), monotonic_ms),
        }
    }

    /// Takes the most that a session can cost; `false` when there is not so much: the other side is told
    /// [`starling_wire::sync_frame::ByeReason::BUSY`]. To be followed by [`Self::loaded`].
    pub fn begin(&mut self, monotonic_ms: u64) -> bool {
        self.ids.refill(monotonic_ms);
        self.ids.take(session_max())
    }

    /// The session that was begun loaded so many ids: what it did not need is given back.
    pub fn loaded(&mut self, ids: usize) {
        let ids = u64::try_from(ids).unwrap_or(u64::MAX);
        self.ids.give(session_max().saturating_sub(cost(ids)).saturating_mul(MILLI));
    }

    /// A session gave so many bodies away.
    pub fn served(&mut self, bodies: u32, monotonic_ms: u64) {
        self.earnings.refill(monotonic_ms);
        let earned = u64::from(bodies).saturating_mul(EARNED_PER_BODY);
        if self.earnings.take(earned) {
            self.ids.give(earned.saturating_mul(MILLI));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn main_network() -> NetworkParameters {
        NetworkParameters::main()
    }

    fn full_hour() -> u64 {
        27_000_000 / 2_048 + 9_000_000 / 16_384
    }

    /// As many sessions as a window with `ids` ids needs, none of which finds a difference.
    fn ask(quota: &mut SyncQuota, mut ids: u64, at_ms: u64) {
        loop {
            assert!(quota.begin(at_ms), "refused at {at_ms} ms with {ids} ids to go");
            let loaded = ids.min(ITEMS_MAX as u64);
            quota.loaded(loaded as usize);
            ids -= loaded;
            if ids == 0 {
                return;
            }
        }
    }

    #[test]
    fn an_only_neighbour_s_start_and_week_are_never_refused_though_every_hour_is_full() {
        let mut quota = SyncQuota::new(&main_network(), 0);
        (0..3).for_each(|_| ask(&mut quota, 338 * full_hour(), 0));
        let mut at_ms = 0;
        while at_ms < 7 * 24 * HOUR_MS {
            at_ms += 30_000;
            let hours = match at_ms {
                at_ms if at_ms % (24 * HOUR_MS) == 0 => 338,
                at_ms if at_ms % HOUR_MS == 0 => 26,
                _ => 4,
            };
            ask(&mut quota, hours * full_hour(), at_ms);
        }
    }

    #[test]
    fn a_node_that_lacks_everything_gets_it_at_once() {
        let mut quota = SyncQuota::new(&main_network(), 0);
        let mut missing = 338 * full_hour();
        while missing > 0 {
            assert!(quota.begin(0), "{missing} to go");
            quota.loaded(ITEMS_MAX);
            let pulled = missing.min(16_384);
            quota.served(u32::try_from(pulled).unwrap(), 0);
            missing -= pulled;
        }
    }

    #[test]
    fn opening_sessions_or_pulling_without_end_buys_no_more_than_the_budget() {
        for parameters in [main_network(), NetworkParameters::test("quota")] {
            for pulled in [0, 16_384] {
                let mut quota = SyncQuota::new(&parameters, 0);
                let mut burst = 0;
                while quota.begin(0) {
                    quota.loaded(ITEMS_MAX);
                    quota.served(pulled, 0);
                    burst += 1;
                }
                assert!(burst < 2_000, "{burst} sessions at once");
                let mut later = 0;
                for at_ms in (0..HOUR_MS).step_by(100) {
                    while quota.begin(at_ms) {
                        quota.loaded(ITEMS_MAX);
                        quota.served(pulled, at_ms);
                        later += 1;
                    }
                }
                let rhythm = 2 * (HOUR_MS / u64::from(parameters.sync_interval_ms)) + 300;
                assert!(later < rhythm, "{later} sessions in an hour, {rhythm} by the rhythm");
            }
        }
    }
}

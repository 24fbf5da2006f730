//! What a seed means: how large, how bad and how long a run is.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use starling_wire::network::NetworkParameters;

/// A second of virtual time.
pub(super) const SECOND_MS: u64 = 1_000;
/// A minute.
pub(super) const MINUTE_MS: u64 = 60 * SECOND_MS;
/// An hour, the protocol's epoch.
pub(super) const HOUR_MS: u64 = 60 * MINUTE_MS;
/// A day.
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// How long trouble lasts, which decides how often things happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Less than an hour, with everything in a hurry.
    Minutes,
    /// Days, with silences of hours: weeks change, messages are sealed again.
    Days,
    /// Weeks, with silences of days: bundles and keys are renewed and erased, messages expire.
    Weeks,
}

/// How bad network and disk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// Messages lost on a hop, in a hundred.
    pub loss_percent: u64,
    /// Longest random delay of a hop, beside its latency.
    pub jitter_ms: u64,
    /// Messages that come twice, in a hundred.
    pub duplicate_percent: u64,
    /// Reconciliations that break half-way, in a hundred.
    pub sync_break_percent: u64,
    /// Commits during which the process dies, in ten thousand.
    pub commit_crash_per_myriad: u64,
    /// Longest time of a commit.
    pub disk_ms: u64,
}

impl Bad {
    /// As good as a cable.
    const NOT: Self = Self {
        loss_percent: 0,
        jitter_ms: 10,
        duplicate_percent: 0,
        sync_break_percent: 0,
        commit_crash_per_myriad: 0,
        disk_ms: 5,
    };
}

/// One run, drawn from its seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all randomness of the run comes from.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: usize,
    /// Neighbours who mean harm, beside them.
    pub hostile: usize,
    /// How long trouble lasts.
    pub span: Span,
    /// What all nodes agree on.
    pub parameters: NetworkParameters,
    /// Wall clock at the beginning, ms since 1970.
    pub start_unix_ms: u64,
    /// Virtual time during which things go wrong.
    pub trouble_ms: u64,
    /// Virtual time after that in which everything must be delivered.
    pub settle_ms: u64,
    /// How bad network and disk are meanwhile.
    pub bad: Bad,
    /// Crashes at any moment, power cuts among them.
    pub crashes: usize,
    /// Times that a node sleeps.
    pub sleeps: usize,
    /// Longest time that a node is down or asleep.
    pub away_ms: u64,
    /// Times that the network falls apart.
    pub partitions: usize,
    /// Nodes whose clock is off by some minutes.
    pub skewed: usize,
    /// Introductions of two people.
    pub introductions: usize,
    /// Texts to be sent.
    pub texts: usize,
    /// Most texts written at one go.
    pub burst_max: u64,
    /// Times that the power fails for a part of all machines.
    pub blackouts: usize,
    /// Times that somebody stops a node properly.
    pub stops: usize,
    /// Times that a disk is nearly full for a while.
    pub full_disks: usize,
    /// Contacts that are blocked for a while.
    pub blocks: usize,
    /// Contacts that are removed for good.
    pub removals: usize,
}

/// 1 July 2026, 00:00 UTC.
const BEGINNING_UNIX_MS: u64 = 1_782_864_000_000;

/// A number below `limit`, which is not zero.
pub(super) fn below(rng: &mut impl Rng, limit: u64) -> u64 {
    rng.next_u64() % limit.max(1)
}

/// Whether something happens that happens in `percent` of a hundred cases.
pub(super) fn chance(rng: &mut impl Rng, percent: u64) -> bool {
    below(rng, 100) < percent
}

impl Plan {
    /// The run that `seed` and a number of nodes name.
    pub fn of_seed(seed: u64, nodes: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x706c_616e);
        let span = match seed % 6 {
            2 if nodes < 100 => Span::Days,
            5 if nodes < 100 => Span::Weeks,
            _ => Span::Minutes,
        };
        let quiet = chance(&mut rng, 10);
        let mut upto = |limit: u64| if quiet { 0 } else { below(&mut rng, limit + 1) };
        let crowd = (nodes as u64).min(60);
        let (trouble_ms, away_ms, settle_ms) = match span {
            Span::Minutes => ((10 + upto(30)) * MINUTE_MS, 5 * MINUTE_MS, 30 * HOUR_MS),
            Span::Days => ((2 + upto(8)) * DAY_MS, 30 * HOUR_MS, 16 * DAY_MS),
            Span::Weeks => ((20 + upto(20)) * DAY_MS, 7 * DAY_MS, 30 * DAY_MS),
        };
        let bad = Bad {
            loss_percent: upto(30),
            jitter_ms: upto(2_000),
            duplicate_percent: upto(20),
            sync_break_percent: upto(25),
            commit_crash_per_myriad: upto(60),
            disk_ms: 1 + upto(40),
        };
        let mut some = |limit: u64| upto(limit) as usize;
        let (crashes, sleeps, partitions, skewed) = (some(crowd), some(crowd / 3), some(3), some(crowd / 4));
        let (hostile, blackouts, stops, full_disks) = (some(crowd / 10), some(2), some(crowd / 4), some(2));
        let (blocks, removals) = (some(3), some(2));
        let start_unix_ms = BEGINNING_UNIX_MS + upto(7 * 24) * HOUR_MS + upto(HOUR_MS);
        Self {
            seed,
            nodes,
            hostile,
            span,
            parameters: Self::parameters(&mut rng, span, nodes),
            start_unix_ms,
            trouble_ms,
            settle_ms,
            bad,
            crashes,
            sleeps,
            away_ms,
            partitions,
            skewed,
            introductions: if nodes < 100 { nodes + nodes / 2 } else { nodes / 2 },
            texts: if nodes < 100 { 3 * nodes } else { nodes },
            burst_max: if seed % 16 == 7 { 280 } else { 6 },
            blackouts,
            stops,
            full_disks,
            blocks,
            removals,
        }
    }

    /// A run in which nothing goes wrong by itself and nobody does anything: for tests that do it by hand.
    pub fn calm(seed: u64, nodes: usize) -> Self {
        Self {
            hostile: 0,
            span: Span::Minutes,
            parameters: NetworkParameters { sync_interval_ms: 5_000, ..NetworkParameters::test("simulated") },
            start_unix_ms: BEGINNING_UNIX_MS + 30 * MINUTE_MS,
            bad: Bad::NOT,
            crashes: 0,
            sleeps: 0,
            partitions: 0,
            skewed: 0,
            introductions: 0,
            texts: 0,
            burst_max: 1,
            blackouts: 0,
            stops: 0,
            full_disks: 0,
            blocks: 0,
            removals: 0,
            ..Self::of_seed(seed, nodes)
        }
    }

    fn parameters(rng: &mut impl Rng, span: Span, nodes: usize) -> NetworkParameters {
        let mut one_of = |choices: &[u32]| choices[below(rng, choices.len() as u64) as usize];
        let sync_interval_ms = match span {
            Span::Minutes if nodes < 100 => one_of(&[2_000, 5_000, 15_000, 30_000]),
            Span::Minutes => 30_000,
            Span::Days => one_of(&[600_000, 1_200_000, 3_600_000]),
            Span::Weeks => 3_600_000,
        };
        NetworkParameters {
            hop_delay_ms: one_of(&[0, 400]),
            receipt_delay_ms: one_of(&[0, 2_000, 20_000]),
            inbox_batch_min_ms: one_of(&[0, 100]),
            inbox_batch_max_ms: one_of(&[100, 300]),
            sync_interval_ms,
            push_timeout_ms: one_of(&[500, 5_000]),
            resend_ms: one_of(&[2_000, 60_000, 600_000]),
            ..NetworkParameters::test("simulated")
        }
    }
}

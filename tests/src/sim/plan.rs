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
    /// Days, with long silences: bundles are renewed, weeks change, messages are sealed again.
    Days,
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
    /// Messages lost on a hop, in a hundred.
    pub loss_percent: u64,
    /// Mean of a hop's random delay, beside its latency.
    pub jitter_ms: u64,
    /// Messages that come twice, in a hundred.
    pub duplicate_percent: u64,
    /// Reconciliations that break half-way, in a hundred.
    pub sync_break_percent: u64,
    /// Commits during which the process dies, in ten thousand.
    pub commit_crash_per_myriad: u64,
    /// Longest time of a commit.
    pub disk_ms: u64,
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
        let span = if nodes < 100 && seed % 3 == 2 { Span::Days } else { Span::Minutes };
        let quiet = chance(&mut rng, 10);
        let mut upto = |limit: u64| if quiet { 0 } else { below(&mut rng, limit + 1) };
        let (loss_percent, jitter_ms, duplicate_percent) = (upto(30), upto(2_000), upto(20));
        let (sync_break_percent, commit_crash_per_myriad) = (upto(25), upto(60));
        let (disk_ms, start_ms) = (1 + upto(40), upto(7 * 24) * HOUR_MS + upto(HOUR_MS));
        let size = nodes as u64;
        let crowd = size.min(60);
        let (crashes, sleeps, partitions) = (upto(crowd), upto(crowd / 3), upto(3));
        let (skewed, hostile) = (upto(crowd / 4), upto(crowd / 10));
        let minutes = span == Span::Minutes;
        let trouble_ms = if minutes { (10 + upto(30)) * MINUTE_MS } else { (2 + upto(14)) * DAY_MS };
        Self {
            seed,
            nodes,
            hostile: hostile as usize,
            span,
            parameters: Self::parameters(&mut rng, span, nodes),
            start_unix_ms: BEGINNING_UNIX_MS + start_ms,
            trouble_ms,
            settle_ms: if minutes { 30 * HOUR_MS } else { 16 * DAY_MS },
            loss_percent,
            jitter_ms,
            duplicate_percent,
            sync_break_percent,
            commit_crash_per_myriad,
            disk_ms,
            crashes: crashes as usize,
            sleeps: sleeps as usize,
            away_ms: if minutes { 5 * MINUTE_MS } else { 30 * HOUR_MS },
            partitions: partitions as usize,
            skewed: skewed as usize,
            introductions: if nodes < 100 { nodes + nodes / 2 } else { nodes / 2 },
            texts: if nodes < 100 { 4 * nodes } else { nodes },
        }
    }

    /// A run in which nothing goes wrong by itself and nobody does anything: for tests that do it by hand.
    pub fn calm(seed: u64, nodes: usize) -> Self {
        Self {
            hostile: 0,
            span: Span::Minutes,
            parameters: NetworkParameters { sync_interval_ms: 5_000, ..NetworkParameters::test("simulated") },
            start_unix_ms: BEGINNING_UNIX_MS + 30 * MINUTE_MS,
            loss_percent: 0,
            jitter_ms: 10,
            duplicate_percent: 0,
            sync_break_percent: 0,
            commit_crash_per_myriad: 0,
            crashes: 0,
            sleeps: 0,
            partitions: 0,
            skewed: 0,
            introductions: 0,
            texts: 0,
            ..Self::of_seed(seed, nodes)
        }
    }

    fn parameters(rng: &mut impl Rng, span: Span, nodes: usize) -> NetworkParameters {
        let mut one_of = |choices: &[u32]| choices[below(rng, choices.len() as u64) as usize];
        let sync_interval_ms = match span {
            Span::Minutes if nodes < 100 => one_of(&[2_000, 5_000, 15_000, 30_000]),
            Span::Minutes => 30_000,
            Span::Days => one_of(&[600_000, 1_200_000, 3_600_000]),
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

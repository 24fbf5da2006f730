//! Stamps: the work that a sender does once, so that a flood costs more to make than to refuse. SPEC: B2.
//!
//! ```text
//! C = BLAKE3-256(L("stamp") || NET || env[0..58] || effort 4 || env[86..])
//! Equi-X challenge = C || nonce 8           stamp = nonce 8 || solution 16
//! R = first 4 bytes of BLAKE3-256(C || nonce || solution), little-endian
//! valid iff R * effort <= 2^32 - 1, and the solution solves the challenge
//! ```
//!
//! Equi-X and not hashcash or Argon2: solving takes milliseconds and memory, which evens out machines,
//! checking takes microseconds. R makes the expected work a linear function of `effort`: one solution in
//! `effort` meets it. R is compared first, so that a made-up stamp costs its reader one hash.
//!
//! A solver compiles each challenge's hash function to machine code, as it is called 65,536 times. A
//! verifier calls it eight times and interprets it: that is no slower, since mapping executable pages
//! costs what compiling saves, and what strangers send never becomes machine code here.

use std::fmt;

use equix::{EquiXBuilder, RuntimeOption, Solution, SolverMemory};
use starling_wire::envelope::{Class, Envelope, Head};
use starling_wire::limits::STAMP_BYTES;
use starling_wire::network::{NetworkId, NetworkParameters, label};

/// Bytes of the nonce, the first part of a stamp.
const NONCE_BYTES: usize = 8;

/// What a stamp is solved for: BLAKE3-256 over network, head, effort and body, all but the stamp itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What Equi-X is given: the challenge and the nonce.
    fn with_nonce(&self, nonce: [u8; NONCE_BYTES]) -> [u8; 40] {
        let mut bytes = [0; 40];
        for (slot, byte) in bytes.iter_mut().zip(self.0.into_iter().chain(nonce)) {
            *slot = byte;
        }
        bytes
    }

    /// Whether R of `stamp` is small enough for `effort`.
    fn is_met(&self, stamp: &Stamp, effort: u32) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&stamp.0);
        let [a, b, c, d, ..] = *hasher.finalize().as_bytes();
        let value = u64::from(u32::from_le_bytes([a, b, c, d]));
        value.saturating_mul(u64::from(effort)) <= u64::from(u32::MAX)
    }
}

/// The challenge of an envelope that has no stamp yet.
pub fn challenge(network: &NetworkId, head: &Head, effort: u32, body: &[u8]) -> Challenge {
    let mut associated_data = Head::prefix(head.class, head.topic, head.epoch).to_vec();
    associated_data.extend_from_slice(&head.tag.0);
    associated_data.extend_from_slice(&head.ephemeral);
    hash(network, &associated_data, effort, body)
}

/// The challenge of a whole envelope.
fn challenge_of(network: &NetworkId, envelope: &Envelope) -> Challenge {
    hash(network, envelope.associated_data(), envelope.effort(), envelope.body())
}

fn hash(network: &NetworkId, associated_data: &[u8], effort: u32, body: &[u8]) -> Challenge {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&label("stamp"));
    hasher.update(&network.0);
    hasher.update(associated_data);
    hasher.update(&effort.to_le_bytes());
    hasher.update(body);
    Challenge(*hasher.finalize().as_bytes())
}

/// A stamp: nonce 8, Equi-X solution 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u8; STAMP_BYTES]);

impl Stamp {
    fn new(nonce: [u8; NONCE_BYTES], solution: &Solution) -> Self {
        let mut bytes = [0; STAMP_BYTES];
        for (slot, byte) in bytes.iter_mut().zip(nonce.into_iter().chain(solution.to_bytes())) {
            *slot = byte;
        }
        Self(bytes)
    }

    fn split(&self) -> Option<([u8; NONCE_BYTES], Solution)> {
        let (nonce, solution) = self.0.split_first_chunk()?;
        Some((*nonce, Solution::try_from_bytes(solution.first_chunk()?).ok()?))
    }
}

/// Whether the stamp of `envelope` is worth the effort that it claims, in this network. About 1 us when
/// it obviously is not, some 50 us when it is. That the network has this effort is for admission to check.
#[must_use]
pub fn verify(envelope: &Envelope, network: &NetworkId) -> bool {
    let challenge = challenge_of(network, envelope);
    let stamp = Stamp(envelope.stamp());
    challenge.is_met(&stamp, envelope.effort()) && solves(&challenge, &stamp)
}

/// Whether the stamp's second part solves Equi-X for the challenge and its first part.
fn solves(challenge: &Challenge, stamp: &Stamp) -> bool {
    let Some((nonce, solution)) = stamp.split() else { return false };
    // Some challenges have no hash function: a solver skips them, and no stamp holds for them.
    EquiXBuilder::new().runtime(RuntimeOption::InterpretOnly).verify(&challenge.with_nonce(nonce), &solution).is_ok()
}

/// Looks for a stamp, one nonce at a time, so that its owner can stop between two. Holds 1.9 MB of
/// solver memory.
pub struct Solver {
    challenge: Challenge,
    effort: u32,
    nonce: u64,
    builder: EquiXBuilder,
    memory: SolverMemory,
}

impl fmt::Debug for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solver").field("effort", &self.effort).finish_non_exhaustive()
    }
}

impl Solver {
    /// A solver that tries nonces from `start_nonce` on. A random start lets no observer tell how long it
    /// took.
    pub fn new(challenge: Challenge, effort: u32, start_nonce: u64) -> Self {
        let (builder, memory) = (EquiXBuilder::new(), SolverMemory::new());
        Self { challenge, effort, nonce: start_nonce, builder, memory }
    }

    /// Tries one nonce: a few milliseconds. A stamp comes after about `effort` / 2 calls.
    pub fn try_next(&mut self) -> Option<Stamp> {
        let nonce = self.nonce.to_le_bytes();
        self.nonce = self.nonce.wrapping_add(1);
        let puzzle = self.builder.build(&self.challenge.with_nonce(nonce)).ok()?;
        let solutions = puzzle.solve_with_memory(&mut self.memory);
        let mut stamps = solutions.iter().map(|solution| Stamp::new(nonce, solution));
        stamps.find(|stamp| self.challenge.is_met(stamp, self.effort))
    }
}

/// Solves a stamp; `None` once `cancelled` says so, which is asked before each nonce.
pub fn solve(
    challenge: Challenge,
    effort: u32,
    start_nonce: u64,
    mut cancelled: impl FnMut() -> bool,
) -> Option<Stamp> {
    let mut solver = Solver::new(challenge, effort, start_nonce);
    while !cancelled() {
        if let Some(stamp) = solver.try_next() {
            return Some(stamp);
        }
    }
    None
}

/// The effort to claim for an envelope of `class`, when `fill_bytes` of its open hour's budget are used:
/// below 50 % the lowest of the network, below 75 % the second, below 90 % the third, else the fourth. It
/// depends on congestion alone, never on the kind of message.
pub fn effort_for(parameters: &NetworkParameters, class: Class, fill_bytes: u64) -> u32 {
    let budget_bytes = u128::from(parameters.budget_bytes(class));
    let fill_percent = |percent: u128| budget_bytes.saturating_mul(percent) / 100;
    let fill_bytes = u128::from(fill_bytes);
    let [lowest, second, third, highest] = parameters.efforts(class);
    if fill_bytes < fill_percent(50) {
        lowest
    } else if fill_bytes < fill_percent(75) {
        second
    } else if fill_bytes < fill_percent(90) {
        third
    } else {
        highest
    }
}

//! The simulator: whole nodes in one process, on virtual time, from one seed.
//!
//! Every node is the [`starling_messenger::Messenger`] that the daemon runs, over the pool in memory. The
//! world plays all that lies around it: disk and commit thread, workers, gossip, push and sync streams,
//! links, clocks, people, crashes, and neighbours who mean harm. Whatever happens is drawn from the seed
//! before or while it happens and in one order, so a seed is one run, to the byte. Checkers look on; what
//! they find is a [`Violation`], and `just sim SEED NODES` shows the way to it.

mod changes;
mod check;
mod commit;
mod event;
mod faults;
mod hands;
mod hostile;
mod network;
mod node;
mod people;
mod plan;
mod pushing;
mod reading;
mod sabotage;
mod syncing;
pub mod trace;
mod world;

pub use check::{Rule, Violation};
pub use plan::Plan;
pub use sabotage::Sabotage;
pub use world::{Counts, Report, World};

/// Runs the seed from its first node to its last delivery.
pub fn run(seed: u64, nodes: usize) -> Report {
    World::new(Plan::of_seed(seed, nodes), None, false).run()
}

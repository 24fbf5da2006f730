//! Sync: two nodes find out what either lacks, and the one that asked fetches it. SPEC: B13.
//!
//! Reconciliation is range-based and speaks the wire format of negentropy v1: [`negentropy`] is our own
//! implementation of it, [`Session`] the protocol of the stream `sync/1` around it. The session does no
//! I/O: its owner hands in frames and carries out its actions.
//!
//! **Ids.** A session names an envelope by `id' = BLAKE3(keyed with the session's salt, envelope id)`.
//! Negentropy v1 has ids of exactly 32 bytes, which its fingerprints sum as 256-bit numbers, so inside
//! its messages id' stands whole; pulls and absent marks carry its first 20 bytes. Both are prefixes of
//! one hash output. The salt comes from both sides, so nobody can make envelopes whose ids collide in
//! sum or prefix for any session but one of its own.

mod encoding;
mod initiator;
pub mod negentropy;
mod quota;
mod responder;
mod session;
mod set;

pub use encoding::NegentropyError;
pub use quota::SyncQuota;
pub use session::{Action, Outcome, Session, SyncStats, common_hours, fuzz};
pub use set::{Item, ItemSet};

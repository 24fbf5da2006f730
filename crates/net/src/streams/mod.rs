//! Our own stream protocols: `link/1` (two nodes agree that they hold a link), `sync/1` (set
//! reconciliation, driven from above), `push/1` (one cell, one answer byte). SPEC: B13, B14, B15.
//!
//! Every stream a peer opens is charged to that peer before a byte of it is read, and has a deadline: a
//! peer that opens thousands and leaves them hanging loses them, and nobody else notices.

mod behaviour;
pub(crate) mod link;
pub(crate) mod push;
mod sync;

pub(crate) use behaviour::{Behaviour, Event, Protocol};
pub use sync::SyncStream;

//! Our own stream protocols.

mod sync;

pub use sync::SyncStream;

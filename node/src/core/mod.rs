//! The running node: one core thread that steps the messenger, one commit thread, two worker
//! threads, one task a sync stream, and the lifecycle task that opens and closes them all.
//!
//! ```text
//!             commands   network   gossip   pulled            four lanes, read in this order
//!                 \         |        |        /
//!                  core_thread: Messenger::step -> Turn
//!                 /  no writes            \  writes
//!            release  <-- commit_thread --+                   one durable commit for all that waits
//!           /   |   \
//!        net  workers  replies
//! ```

pub(crate) mod bridge;
pub(crate) mod commit_thread;
pub(crate) mod core_thread;
pub(crate) mod event_log;
pub(crate) mod handle;
pub(crate) mod keeper_thread;
pub(crate) mod lanes;
pub(crate) mod lifecycle;
pub(crate) mod node_records;
pub(crate) mod opened;
pub(crate) mod preferences;
pub(crate) mod release;
pub(crate) mod starts;
pub(crate) mod sync_driver;
pub(crate) mod traffic;
pub(crate) mod workers;

pub(crate) use handle::Node;
pub(crate) use lifecycle::{Settings, start};

//! The keeper thread: writes the pool's closed hours to their final files, beside the core.
//!
//! It is not waited for at the node's end: what it does is safe against its end at any point, and done again. Before
//! the pool is opened again in this process, it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use starling_store::pool_files::PoolKeeper;
use starling_wire::envelope::Epoch;

use super::bridge::Clock;

/// How often it looks whether an hour has begun or the node ends.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread; it ends soon after `stopping` is set.
pub(crate) fn start(keeper: PoolKeeper, stopping: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || run(&keeper, &stopping))
}

fn run(keeper: &PoolKeeper, stopping: &AtomicBool) {
    let mut tended = None;
    while !stopping.load(Ordering::Relaxed) {
        let is_due = keeper.wait_due(LOOK);
        let epoch = Epoch::from_unix_ms(Clock::unix_ms_now());
        if is_due || tended != Some(epoch) {
            tended = Some(epoch);
            if let Err(error) = keeper.tend(epoch) {
                tracing::warn!(%error, "closed hours could not be written to their final files");
            }
        }
    }
}

//! Files that were handed in and are not attached to a message yet. SPEC: product 4.
//!
//! They wait in memory, for ten minutes, and a bounded number of them: whoever hands in more forgets the oldest.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng as _;
use starling_api::BlobId;
use zeroize::Zeroizing;

/// Files at a time: of a person with several pages, each of which prepares one.
const BLOBS_MAX: usize = 32;
/// How long one waits.
const KEPT: Duration = Duration::from_secs(600);

struct Pending {
    id: BlobId,
    since: Instant,
    bytes: Zeroizing<Vec<u8>>,
}

/// The files.
#[derive(Default)]
pub(crate) struct Blobs {
    /// Oldest first.
    pending: Mutex<Vec<Pending>>,
}

impl Blobs {
    /// Keeps a file from `now` on.
    pub(crate) fn keep(&self, bytes: Vec<u8>, now: Instant) -> BlobId {
        let id = BlobId::new(rand::rng().next_u64());
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|blob| now.saturating_duration_since(blob.since) < KEPT);
        let spare = (pending.len() + 1).saturating_sub(BLOBS_MAX);
        pending.drain(..spare);
        pending.push(Pending { id, since: now, bytes: Zeroizing::new(bytes) });
        id
    }

    /// A file, which stays: a send that fails may be repeated.
    pub(crate) fn get(&self, id: BlobId, now: Instant) -> Option<Vec<u8>> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let blob = pending.iter().find(|blob| blob.id == id)?;
        (now.saturating_duration_since(blob.since) < KEPT).then(|| blob.bytes.to_vec())
    }

    /// It was sent.
    pub(crate) fn forget(&self, id: BlobId) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).retain(|blob| blob.id != id);
    }

    /// The vault was locked: nothing of the person's stays in memory; and what waited too long goes.
    pub(crate) fn forget_all(&self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets what waited too long.
    pub(crate) fn forget_old(&self, now: Instant) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|blob| now.saturating_duration_since(blob.since) < KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_wait_for_a_while_and_a_flood_of_them_forgets_the_oldest() {
        let (blobs, start) = (Blobs::default(), Instant::now());
        let first = blobs.keep(vec![1], start);
        assert_eq!(blobs.get(first, start + KEPT - Duration::from_secs(1)), Some(vec![1]));
        assert_eq!(blobs.get(first, start + KEPT), None);
        let ids: Vec<BlobId> = (0..BLOBS_MAX as u8).map(|byte| blobs.keep(vec![byte], start)).collect();
        assert_eq!((blobs.get(first, start), blobs.get(ids[0], start)), (None, Some(vec![0])));
        blobs.forget(ids[0]);
        assert_eq!((blobs.get(ids[0], start), blobs.get(ids[31], start)), (None, Some(vec![31])));
        blobs.forget_old(start + KEPT);
        assert_eq!(blobs.get(ids[31], start), None);
        let last = blobs.keep(vec![9], start);
        blobs.forget_all();
        assert_eq!(blobs.get(last, start), None);
    }
}

//! The event log: one numbering for ever, the newest 10,000 events or 7 days kept. SPEC: product 0.5.
//!
//! It forgets in the commits that add to it, a bounded number each time. The newest event is never forgotten:
//! its number is the one from which the numbering goes on.

use std::collections::VecDeque;

use starling_messenger::record::{RecordKind, VaultKey};
use zeroize::Zeroizing;

use crate::vault::pages::{Page, ends_page};
use crate::vault::record_key::{RecordKey, order_of};
use crate::vault::records::{PendingBatch, Records};
use crate::vault::{EventBytes, VaultError};

/// Events kept at most.
pub const EVENTS_MAX: u64 = 10_000;
/// Age of the oldest event that is kept, ms.
pub const EVENT_AGE_MS_MAX: u64 = 7 * 24 * 3_600_000;
/// Events that a commit forgets beyond twice those it adds.
const FORGOTTEN_PER_COMMIT: usize = 16;
/// Events whose times are held in memory, so that forgetting reads each event once.
const TIMES_AHEAD: usize = 256;

/// Numbers of the log's ends. Event numbers start at 1.
#[derive(Debug)]
pub(crate) struct EventLog {
    newest: u64,
    /// Numbers and times of the oldest events that are kept, oldest first; a part of them only.
    oldest: VecDeque<(u64, u64)>,
    /// Number of the newest event that was forgotten in this run.
    forgotten: u64,
}

impl EventLog {
    pub(crate) fn load(records: &Records) -> Result<Self, VaultError> {
        let newest = event_keys(records, 0, u64::MAX).next_back().transpose()?.map_or(0, |key| order_of(&key));
        Ok(Self { newest, oldest: VecDeque::new(), forgotten: 0 })
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.newest.saturating_add(1)
    }

    /// Adds `events` to `batch`, and forgets in it what is too old or too many.
    pub(crate) fn append(&mut self, batch: &mut PendingBatch<'_>, events: Vec<EventBytes>) -> Result<(), VaultError> {
        let Some(now_unix_ms) = events.iter().map(|event| event.unix_ms).max() else { return Ok(()) };
        let newest_before = self.newest;
        let forget_max = events.len().saturating_mul(2).saturating_add(FORGOTTEN_PER_COMMIT);
        for event in events {
            self.newest = self.next_number();
            batch.put(event_key(batch.records(), self.newest), &encode(&event))?;
        }
        for _ in 0..forget_max {
            let Some((number, unix_ms)) = self.next_oldest(batch.records(), newest_before)? else { break };
            let too_many = self.newest.saturating_sub(number) >= EVENTS_MAX;
            if !too_many && unix_ms.saturating_add(EVENT_AGE_MS_MAX) >= now_unix_ms {
                break;
            }
            self.oldest.pop_front();
            self.forgotten = number;
            let key = event_key(batch.records(), number);
            batch.delete(key)?;
            // The log forgets in its order, and whole pages: a page that goes on would be written anew by each event.
            if let Some(page) = Page::of(&key).filter(|_| ends_page(number)) {
                batch.delete(page.key_record())?;
            }
        }
        Ok(())
    }

    /// Number and time of the oldest event up to `last`. One that does not open has no time and goes when
    /// its turn comes: it tells nobody anything.
    fn next_oldest(&mut self, records: &Records, last: u64) -> Result<Option<(u64, u64)>, VaultError> {
        if self.oldest.is_empty() && self.forgotten < last {
            for key in event_keys(records, self.forgotten.saturating_add(1), last).take(TIMES_AHEAD) {
                let key = key?;
                let unix_ms = match records.get(&key) {
                    Ok(value) => value.and_then(|value| decode(&value)).map_or(0, |event| event.unix_ms),
                    Err(VaultError::Damaged(_)) => 0,
                    Err(error) => return Err(error),
                };
                self.oldest.push_back((order_of(&key), unix_ms));
            }
        }
        Ok(self.oldest.front().copied().filter(|(number, _)| *number <= last))
    }
}

/// The database key of event `number`.
pub(crate) fn event_key(records: &Records, number: u64) -> RecordKey {
    records.key_of(&VaultKey::ordered(RecordKind::Event, Vec::new(), number))
}

/// The keys of the events from `first` to `last`, both included.
pub(crate) fn event_keys(
    records: &Records,
    first: u64,
    last: u64,
) -> impl DoubleEndedIterator<Item = Result<RecordKey, VaultError>> {
    records.keys_between(event_key(records, first), event_key(records, last))
}

/// `unix_ms 8 | bytes`.
fn encode(event: &EventBytes) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(event.bytes.len() + 8));
    bytes.extend_from_slice(&event.unix_ms.to_le_bytes());
    bytes.extend_from_slice(&event.bytes);
    bytes
}

/// An event as it was appended.
pub(crate) fn decode(value: &[u8]) -> Option<EventBytes> {
    let (unix_ms, bytes) = value.split_first_chunk::<8>()?;
    Some(EventBytes { unix_ms: u64::from_le_bytes(*unix_ms), bytes: Zeroizing::new(bytes.to_vec()) })
}

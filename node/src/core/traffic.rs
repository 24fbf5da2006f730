//! How much went over the network on this day (UTC): the daemon's own record in the vault, so that a restart forgets
//! nothing of the day but its last minute, and that only after a sudden end.

use serde::{Deserialize, Serialize};
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_net::Traffic;
use starling_wire::codec;
use zeroize::Zeroizing;

/// Name of the record.
const TRAFFIC: &str = "traffic 1";
/// Bytes of the record: three numbers.
const RECORD_BYTES_MAX: u64 = 24;
const DAY_MS: u64 = 86_400_000;
/// How often it is written while something goes over the network.
const WRITE_MS: u64 = 60_000;

/// What went over the network on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    /// Days since 1970, UTC.
    pub(crate) day: u64,
    /// To peers.
    pub(crate) sent_bytes: u64,
    /// From peers.
    pub(crate) received_bytes: u64,
}

impl Day {
    /// Where the record lies.
    pub(crate) fn key() -> VaultKey {
        VaultKey::named(RecordKind::Node, TRAFFIC)
    }

    /// From the record's bytes; one that cannot be read is one of no day.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        codec::decode(bytes, RECORD_BYTES_MAX).unwrap_or_default()
    }
}

/// Adds up the day.
#[derive(Debug, Clone)]
pub(crate) struct DayCount {
    day: Day,
    /// What the network had counted at the last look.
    seen: Traffic,
    written: Day,
    written_ms: u64,
}

impl DayCount {
    /// Goes on from what an earlier run counted, with a network that has counted nothing yet.
    pub(crate) fn new(earlier: Day) -> Self {
        Self { day: earlier, seen: Traffic::default(), written: earlier, written_ms: 0 }
    }

    /// Adds what the network has counted since the last look. On another day it begins at nothing.
    pub(crate) fn look(&mut self, now: Traffic, unix_ms: u64) -> Day {
        let today = unix_ms / DAY_MS;
        if self.day.day != today {
            self.day = Day { day: today, ..Day::default() };
        }
        let more = |now: u64, before: u64| now.saturating_sub(before);
        self.day.sent_bytes += more(now.sent_bytes, self.seen.sent_bytes);
        self.day.received_bytes += more(now.received_bytes, self.seen.received_bytes);
        self.seen = now;
        self.day
    }

    /// The write that keeps it, if it is time, or the `last` one.
    pub(crate) fn write(&mut self, monotonic_ms: u64, last: bool) -> Option<VaultWrite> {
        let due = last || monotonic_ms.saturating_sub(self.written_ms) >= WRITE_MS;
        if !due || self.written == self.day {
            return None;
        }
        let value = codec::encode(&self.day, RECORD_BYTES_MAX).ok()?;
        (self.written, self.written_ms) = (self.day, monotonic_ms);
        Some(VaultWrite::Put { key: Day::key(), value: Zeroizing::new(value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

    fn traffic(sent_bytes: u64, received_bytes: u64) -> Traffic {
        Traffic { sent_bytes, received_bytes }
    }

    fn kept(write: Option<VaultWrite>) -> Day {
        let Some(VaultWrite::Put { key, value }) = write else { panic!("nothing is kept") };
        assert_eq!(key, Day::key());
        Day::decode(&value)
    }

    #[test]
    fn a_day_is_added_up_over_restarts_and_the_next_begins_at_nothing() {
        let mut count = DayCount::new(Day::default());
        count.look(traffic(100, 10), NOON);
        assert_eq!(
            count.look(traffic(150, 30), NOON + 2_000),
            Day { day: 20_000, sent_bytes: 150, received_bytes: 30 }
        );
        let day = kept(count.write(1, true));
        let mut again = DayCount::new(day);
        assert_eq!(again.look(traffic(7, 8), NOON + 9_000).sent_bytes, 157);
        assert_eq!(
            again.look(traffic(8, 8), NOON + DAY_MS),
            Day { day: 20_001, sent_bytes: 1, received_bytes: 0 },
            "what was counted before midnight is not counted again"
        );
        assert_eq!(Day::decode(b"?"), Day::default());
    }

    #[test]
    fn it_is_written_once_a_minute_and_only_if_it_changed() {
        let mut count = DayCount::new(Day::default());
        count.look(traffic(1, 1), NOON);
        assert!(count.write(WRITE_MS - 1, false).is_none());
        assert_eq!(kept(count.write(WRITE_MS, false)).sent_bytes, 1);
        assert!(count.write(3 * WRITE_MS, false).is_none(), "nothing new");
        count.look(traffic(2, 1), NOON);
        assert!(count.write(WRITE_MS + 1, false).is_none());
        assert_eq!(kept(count.write(2 * WRITE_MS, false)).sent_bytes, 2);
    }
}

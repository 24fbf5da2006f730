//! When to announce ourselves in the DHT and when to look others up, and under which keys. SPEC: B1.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::kad::RecordKey;
use rand_core::Rng;
use starling_wire::envelope::TopicId;
use starling_wire::network::{NetworkId, provider_key};

pub(super) const DAY_MS: u64 = 86_400_000;
/// Tomorrow's keys are announced from 22:00 UTC on.
pub(super) const TOMORROW_FROM_MS: u64 = 22 * 3_600_000;
/// Keys of a topic-day.
pub(super) const KEYS_A_DAY: u8 = 8;
/// Of these, the ones that a node announces itself under.
const KEYS_ANNOUNCED: usize = 2;
/// Wait between look-ups while links are missing: doubles from the first to the second.
const LOOKUP_MISSING_MS: (u64, u64) = (2_000, 300_000);
/// Wait between look-ups when no link is missing.
pub(super) const LOOKUP_IDLE_MS: u64 = 1_800_000;

/// When to announce and look up, and under which keys.
#[derive(Debug)]
pub(crate) struct Schedule {
    network: NetworkId,
    topic: TopicId,
    /// The keys announced for a day.
    announced: BTreeMap<u32, Vec<RecordKey>>,
    lookup_at_ms: u64,
    lookup_wait_ms: u64,
    /// The next look-up asks for yesterday.
    yesterday: bool,
}

/// Keys to announce from now on, and keys to drop.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Announce {
    pub(crate) start: Vec<RecordKey>,
    pub(crate) stop: Vec<RecordKey>,
}

impl Schedule {
    pub(crate) fn new(network: NetworkId, topic: TopicId) -> Self {
        let lookup_wait_ms = LOOKUP_MISSING_MS.0;
        Self { network, topic, announced: BTreeMap::new(), lookup_at_ms: 0, lookup_wait_ms, yesterday: false }
    }

    /// What has become due: two of today's eight keys, from 22:00 UTC two of tomorrow's, and an end to
    /// those of days gone by.
    pub(crate) fn announce(&mut self, unix_ms: u64, rng: &mut impl Rng) -> Announce {
        let today = day(unix_ms);
        let last = if unix_ms % DAY_MS >= TOMORROW_FROM_MS { today + 1 } else { today };
        let mut due = Announce::default();
        let kept = self.announced.split_off(&today);
        due.stop.extend(std::mem::replace(&mut self.announced, kept).into_values().flatten());
        for day in today..=last {
            if !self.announced.contains_key(&day) {
                let keys = self.pick(day, rng);
                due.start.extend(keys.iter().cloned());
                self.announced.insert(day, keys);
            }
        }
        due
    }

    /// Everything announced now, to be sent again when the routing table has grown.
    pub(crate) fn announced(&self) -> Vec<RecordKey> {
        self.announced.values().flatten().cloned().collect()
    }

    /// The eight keys to ask for now, if it is time: today's, then yesterday's.
    pub(crate) fn lookup(&mut self, links_missing: bool, now_ms: u64, unix_ms: u64) -> Vec<RecordKey> {
        if now_ms < self.lookup_at_ms {
            return Vec::new();
        }
        let day = day(unix_ms).saturating_sub(u32::from(self.yesterday));
        if links_missing && !self.yesterday {
            self.yesterday = true;
            self.lookup_at_ms = now_ms.saturating_add(LOOKUP_MISSING_MS.0);
        } else {
            self.yesterday = false;
            let wait = if links_missing { self.lookup_wait_ms } else { LOOKUP_IDLE_MS };
            self.lookup_at_ms = now_ms.saturating_add(wait);
            self.lookup_wait_ms = self.lookup_wait_ms.saturating_mul(2).min(LOOKUP_MISSING_MS.1);
        }
        (0..KEYS_A_DAY).map(|index| self.key(day, index)).collect()
    }

    /// Somebody asked for peers, or all links are gone: look up at the next occasion.
    pub(crate) fn hurry(&mut self, now_ms: u64) {
        (self.lookup_at_ms, self.lookup_wait_ms, self.yesterday) = (now_ms, LOOKUP_MISSING_MS.0, false);
    }

    fn pick(&self, day: u32, rng: &mut impl Rng) -> Vec<RecordKey> {
        let mut chosen = BTreeSet::new();
        while chosen.len() < KEYS_ANNOUNCED {
            chosen.insert((rng.next_u32() % u32::from(KEYS_A_DAY)) as u8);
        }
        chosen.into_iter().map(|index| self.key(day, index)).collect()
    }

    fn key(&self, day: u32, index: u8) -> RecordKey {
        RecordKey::new(&provider_key(&self.network, self.topic, day, index))
    }
}

fn day(unix_ms: u64) -> u32 {
    u32::try_from(unix_ms / DAY_MS).unwrap_or(u32::MAX - 1)
}

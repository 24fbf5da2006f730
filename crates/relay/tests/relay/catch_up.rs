//! How many bytes it costs to catch up: SPEC B13, and the bar of 1.05 times the missing envelopes.

use std::collections::{BTreeMap, BTreeSet};

use starling_relay::pool::{IdSource, PoolError};
use starling_relay::sync::common_hours;
use starling_wire::envelope::{Class, Envelope, EnvelopeId, EnvelopeKey, Epoch, EpochRange};

use crate::support::{NOW, hello, run, unstamped};

/// A busy shard of 1,000 users fills a third of the budget: 9 MB of small and 3 MB of large envelopes an hour.
const SMALL_AN_HOUR: u64 = 9_000_000 / 2_048;
const LARGE_AN_HOUR: u64 = 3_000_000 / 16_384;
/// Hours that everybody has, and hours away.
const BEFORE_HOURS: u32 = 16;
const AWAY_HOURS: u32 = 8;

/// A pool of which only the ids are kept: bodies are made again when they are read.
#[derive(Clone, Default)]
struct Shard {
    envelopes: BTreeMap<EnvelopeId, (EnvelopeKey, u64)>,
}

impl Shard {
    fn insert(&mut self, envelope: &Envelope, number: u64) {
        self.envelopes.insert(envelope.id(), (envelope.key(), number));
    }

    fn bytes(&self) -> usize {
        self.envelopes.values().map(|(key, _)| key.class.envelope_bytes()).sum()
    }

    fn within(&self, window: EpochRange) -> Self {
        let inside = self.envelopes.iter().filter(|(_, (key, _))| window.contains(key.epoch));
        Self { envelopes: inside.map(|(id, row)| (*id, *row)).collect() }
    }
}

impl IdSource for Shard {
    fn keys(&self) -> Vec<EnvelopeKey> {
        self.envelopes.values().map(|(key, _)| *key).collect()
    }

    fn read(&self, key: &EnvelopeKey) -> Result<Option<Envelope>, PoolError> {
        Ok(self.envelopes.get(&key.id).map(|(key, number)| unstamped(key.class, key.epoch, 1, *number)))
    }
}

fn hour(shard: &mut Shard, epoch: Epoch) {
    for index in 0..SMALL_AN_HOUR + LARGE_AN_HOUR {
        let class = if index < SMALL_AN_HOUR { Class::Small } else { Class::Large };
        let number = u64::from(epoch.0) << 32 | index;
        shard.insert(&unstamped(class, epoch, 1, number), number);
    }
}

/// As the node does it: the missed hours dealt out to three peers, newest first, each part until it is
/// complete; then one comparison of everything with each of the three.
#[test]
fn eight_hours_offline_cost_less_than_five_percent_more_than_what_was_missed() {
    let mut neighbour = Shard::default();
    for age in (AWAY_HOURS..AWAY_HOURS + BEFORE_HOURS).rev() {
        hour(&mut neighbour, NOW.minus(age));
    }
    let mut node = neighbour.clone();
    for age in 0..AWAY_HOURS {
        hour(&mut neighbour, NOW.minus(age));
    }
    let missing_bytes = neighbour.bytes() - node.bytes();
    let numbers: BTreeMap<EnvelopeId, u64> = neighbour.envelopes.iter().map(|(id, row)| (*id, row.1)).collect();

    let window = |oldest: u32, newest: u32| EpochRange { first: NOW.minus(oldest), last: NOW.minus(newest) };
    let whole = EpochRange { first: NOW.minus(336), last: NOW.plus(1) };
    let (mut bytes, mut sessions, mut rounds) = (0, 0, 0);
    for part in [window(2, 0), window(5, 3), window(8, 6), whole, whole, whole] {
        loop {
            sessions += 1;
            let (mine, theirs) = (hello(1, part), hello(2, whole));
            let hours = common_hours(&mine, &theirs).unwrap();
            let run = run(node.within(part), mine, &[], neighbour.within(hours), theirs);
            for envelope in &run.received {
                let envelope = Envelope::parse(envelope.clone()).unwrap();
                assert!(part.contains(envelope.epoch()));
                node.insert(&envelope, numbers[&envelope.id()]);
            }
            bytes += run.initiator.stats.bytes;
            rounds += run.initiator.stats.rounds;
            if run.initiator.complete {
                break;
            }
        }
    }
    let ids = |shard: &Shard| shard.envelopes.keys().copied().collect::<BTreeSet<_>>();
    assert!(ids(&node) == ids(&neighbour), "something is still missing");
    let per_mille = bytes * 1_000 / missing_bytes as u64;
    println!(
        "catch-up: {missing_bytes} bytes missing, {bytes} sent ({per_mille} per mille), {sessions} sessions, {rounds} rounds"
    );
    assert!(per_mille <= 1_050, "{per_mille} per mille of the missing bytes");
}

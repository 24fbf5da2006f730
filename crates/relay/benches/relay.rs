//! What carrying strangers' mail costs: admission, stamps, reconciliation. `cargo bench -p starling-relay`.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use equix::{EquiXBuilder, RuntimeOption};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use starling_relay::admit::{self, Route};
use starling_relay::pool::{EnvelopePool, MemoryPool};
use starling_relay::stamp::{self, Solver};
use starling_relay::sync::negentropy::{Excluded, advance, answer, initial};
use starling_relay::sync::{Item, ItemSet};
use starling_wire::envelope::{Class, Envelope, Epoch, Head, Tag, TopicId};
use starling_wire::network::NetworkParameters;

const NOW: Epoch = Epoch(480_000);
const TOPIC: TopicId = TopicId(0);
/// Envelopes of one measured batch.
const BATCH: u64 = 512;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    admission(&mut criterion);
    stamps(&mut criterion);
    reconciliation(&mut criterion);
    criterion.final_summary();
}

fn noise(number: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn head(number: u64) -> Head {
    let bytes = noise(number, 48);
    let (tag, ephemeral) = bytes.split_at(16);
    let tag = Tag(tag.try_into().expect("16 bytes"));
    let ephemeral = ephemeral.try_into().expect("32 bytes");
    Head { class: Class::Small, topic: TOPIC, epoch: NOW, tag, ephemeral }
}

fn challenge(parameters: &NetworkParameters, number: u64, effort: u32) -> stamp::Challenge {
    stamp::challenge(&parameters.id(), &head(number), effort, &noise(!number, Class::Small.body_bytes()))
}

fn stamped(parameters: &NetworkParameters, number: u64) -> Envelope {
    let [effort, ..] = parameters.efforts(Class::Small);
    let stamp = stamp::solve(challenge(parameters, number, effort), effort, 0, || false).expect("not cancelled");
    let body = noise(!number, Class::Small.body_bytes());
    Envelope::assemble(&head(number), &stamp.0, effort, &body).expect("a body of the class's size")
}

/// A batch of small envelopes from bytes to a pool in memory, on one core.
fn admission(criterion: &mut Criterion) {
    let parameters = NetworkParameters::test("bench");
    let envelopes: Vec<Vec<u8>> = (0..BATCH).map(|n| stamped(&parameters, n).as_bytes().to_vec()).collect();
    let mut group = criterion.benchmark_group("admit");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("check, stamp included, and store", |bencher| {
        bencher.iter_batched_ref(
            || (MemoryPool::new(&parameters), envelopes.clone()),
            |(pool, envelopes)| {
                for bytes in envelopes.drain(..) {
                    let checked = admit::check(bytes, &parameters, TOPIC, NOW, Route::Gossip).expect("good");
                    pool.insert(&checked, NOW).expect("memory does not fail");
                }
                assert_eq!(pool.len() as u64, BATCH);
            },
            BatchSize::LargeInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    let mut forged = envelopes[0].clone();
    forged[82..86].copy_from_slice(&64u32.to_le_bytes());
    group.bench_function("refuse a forged stamp", |bencher| {
        bencher.iter(|| admit::check(forged.as_slice(), &parameters, TOPIC, NOW, Route::Gossip).unwrap_err());
    });
    group.finish();
}

fn stamps(criterion: &mut Criterion) {
    let parameters = NetworkParameters::test("bench");
    let mut group = criterion.benchmark_group("stamp");
    let envelopes: Vec<Envelope> = (0..64).map(|number| stamped(&parameters, number)).collect();
    let mut next = envelopes.iter().cycle();
    group.bench_function("verify", |bencher| {
        bencher.iter(|| assert!(stamp::verify(next.next().expect("a cycle"), &parameters.id())));
    });
    // The choice that verify makes, measured: interpreted against compiled.
    for (name, runtime) in [("interpreted", RuntimeOption::InterpretOnly), ("compiled", RuntimeOption::CompileOnly)] {
        let mut next = envelopes.iter().cycle();
        group.bench_function(format!("equix verify {name}"), |bencher| {
            bencher.iter(|| {
                let envelope = next.next().expect("a cycle");
                let challenge = stamp::challenge(&parameters.id(), &envelope.head(), 1, envelope.body());
                let stamp = envelope.stamp();
                let puzzle = [&challenge.as_bytes()[..], &stamp[..8]].concat();
                let solution = stamp[8..].try_into().expect("16 bytes");
                EquiXBuilder::new().runtime(runtime).verify_bytes(&puzzle, solution).expect("good");
            });
        });
    }
    let mut solver = Solver::new(challenge(&parameters, 1, u32::MAX), u32::MAX, 0);
    group.bench_function("try one nonce", |bencher| bencher.iter(|| black_box(solver.try_next())));
    group.sample_size(20);
    let mut number = 0;
    for effort in [1, 64] {
        group.bench_function(format!("solve, effort {effort}"), |bencher| {
            bencher.iter(|| {
                number += 1;
                stamp::solve(challenge(&parameters, number, effort), effort, 0, || false)
            });
        });
    }
    group.finish();
}

fn items(numbers: std::ops::Range<u64>) -> Vec<Item> {
    numbers.map(|n| Item { timestamp: 480_000 + n % 24, id: noise(n, 32).try_into().expect("32 bytes") }).collect()
}

/// 100,000 ids with 10 differences, ours and the library that people would take instead.
fn reconciliation(criterion: &mut Criterion) {
    let (one, other) = (items(0..99_995), items(5..100_000));
    let mut group = criterion.benchmark_group("reconcile 100,000 ids, 10 differences");
    let (our_one, our_other) = (ItemSet::new(one.clone()), ItemSet::new(other.clone()));
    let (mut bytes, mut trips) = (0, 0);
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            (bytes, trips) = (0, 0);
            let nothing = Excluded::default();
            let mut found = 0;
            let mut query = Some(initial(&our_one, &nothing));
            while let Some(asked) = query {
                let reply = answer(&our_other, &asked.message, 65_536).expect("our own");
                let step = advance(&our_one, &reply, &nothing, 65_536).expect("our own");
                (bytes, trips) = (bytes + asked.message.len() + reply.len(), trips + 1);
                found += step.have.len() + step.need.len();
                query = step.next;
            }
            assert_eq!(found, 10);
        });
    });
    println!("ours: {bytes} bytes, {trips} trips");
    let (their_one, their_other) = (storage(&one), storage(&other));
    group.bench_function("the negentropy crate", |bencher| {
        bencher.iter(|| {
            let mut client = Negentropy::borrowed(&their_one, 65_536).expect("a limit");
            let mut server = Negentropy::borrowed(&their_other, 65_536).expect("a limit");
            let (mut have, mut need) = (Vec::new(), Vec::new());
            let mut query = Some(client.initiate().expect("a first message"));
            while let Some(message) = query {
                let reply = server.reconcile(&message).expect("its own");
                query = client.reconcile_with_ids(&reply, &mut have, &mut need).expect("its own");
            }
            assert_eq!(have.len() + need.len(), 10);
        });
    });
    group.bench_function("sort a set", |bencher| {
        bencher.iter_batched(|| one.clone(), ItemSet::new, BatchSize::LargeInput);
    });
    group.finish();
    assert_eq!(our_one.items().iter().collect::<BTreeSet<_>>().len(), one.len());
}

fn storage(items: &[Item]) -> NegentropyStorageVector {
    let mut storage = NegentropyStorageVector::new();
    for item in items {
        storage.insert(item.timestamp, Id::from_byte_array(item.id)).expect("not sealed");
    }
    storage.seal().expect("not sealed");
    storage
}

//! The book, the schedule and the gate, each alone.

use ed25519_dalek::SigningKey;
use libp2p::PeerId;
use libp2p::kad::{ProviderRecord, RecordKey};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use starling_wire::descriptor::NodeDescriptor;
use starling_wire::envelope::TopicId;
use starling_wire::network::{NetworkId, provider_key};

use super::book::{CACHE_MAX, FAILURES_MAX, KNOWN_MAX, TOLD_BY_ONE_MAX};
use super::gate::{PROVIDERS_MAX, RECORDS_A_PROVIDER_MAX};
use super::schedule::{Announce, DAY_MS, KEYS_A_DAY, LOOKUP_IDLE_MS, TOMORROW_FROM_MS};
use super::*;
use crate::address::GroupHasher;
use crate::event::CachedPeer;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(3)
}

fn key(number: usize) -> NodeKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    NodeKey(bytes)
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn book(network: Scope) -> Book {
    Book::new(key(0), network, GroupHasher::new([1; 32]))
}

fn candidates(book: &Book) -> Vec<NodeKey> {
    book.candidates(|_| false, |_| false).iter().map(|candidate| candidate.node).collect()
}

fn descriptor(seed: u8, expiry_unix_s: u64, at: &[&str]) -> NodeDescriptor {
    let bytes: Vec<Vec<u8>> = at.iter().map(|text| address(text).to_vec()).collect();
    NodeDescriptor::sign(&SigningKey::from_bytes(&[seed; 32]), [0; 32], expiry_unix_s, &bytes).unwrap()
}

#[test]
fn addresses_are_kept_by_where_they_were_learnt_and_by_whom() {
    let mut book = book(Scope::Internet);
    let (home, world) = (address("/ip4/192.168.0.9/tcp/9"), address("/ip4/9.9.9.9/udp/9/quic-v1"));
    let over_world = Source::Peer(key(9), AddressScope::Global);
    assert!(book.add(key(1), [&home, &world], over_world));
    assert_eq!(book.addresses(&key(1)), std::slice::from_ref(&world), "another home's address is of no use");
    assert!(!book.add(key(2), [&home], over_world), "nothing usable is left");
    assert!(book.add(key(2), [&home], Source::Itself(AddressScope::Lan)));
    assert!(!book.add(key(0), [&world], Source::Seed), "that is this node");
    assert_eq!(candidates(&book), [key(1), key(2)]);
}

#[test]
fn hearsay_does_not_displace_what_a_peer_was_reached_at() {
    let mut book = book(Scope::Internet);
    let mine: Vec<Multiaddr> = (1..=8).map(|port| address(&format!("/ip4/9.9.9.9/tcp/{port}"))).collect();
    let false_ones: Vec<Multiaddr> = (1..=8).map(|port| address(&format!("/ip4/8.8.8.8/tcp/{port}"))).collect();
    book.add(key(1), &mine, Source::Itself(AddressScope::Global));
    book.met(&key(1), 1);
    book.add(key(1), &false_ones, Source::Peer(key(9), AddressScope::Global));
    assert_eq!(book.addresses(&key(1)), mine);
    let moved = address("/ip4/9.9.9.10/tcp/1");
    book.add(key(1), [&moved], Source::Itself(AddressScope::Global));
    assert_eq!(book.addresses(&key(1))[0], moved, "its own words do");
    assert_eq!(book.addresses(&key(1)).len(), DESCRIPTOR_ADDRESSES_MAX);
}

#[test]
fn one_peer_that_tells_of_thousands_pushes_out_its_own() {
    let mut book = book(Scope::Internet);
    let world = address("/ip4/9.9.9.9/tcp/9");
    book.add(key(1), [&world], Source::Seed);
    book.add(key(2), [&world], Source::Itself(AddressScope::Global));
    for number in 1_000..3_000 {
        book.add(key(number), [&world], Source::Peer(key(9), AddressScope::Global));
    }
    assert_eq!(book.len(), 2 + TOLD_BY_ONE_MAX);
    for teller in 10..40 {
        for number in 0..100 {
            let told = key(10_000 + teller * 100 + number);
            book.add(told, [&world], Source::Peer(key(teller), AddressScope::Global));
        }
    }
    assert_eq!(book.len(), KNOWN_MAX);
    let known = candidates(&book);
    assert!(known.contains(&key(1)), "a seed stays");
}

#[test]
fn a_peer_that_never_answers_is_forgotten_unless_somebody_vouches_for_it() {
    let mut book = book(Scope::Internet);
    let world = address("/ip4/9.9.9.9/tcp/9");
    book.add(key(1), [&world], Source::Peer(key(9), AddressScope::Global));
    book.add(key(2), [&world], Source::Seed);
    for failures in 1..=FAILURES_MAX {
        book.failed(&key(1), failures);
        book.failed(&key(2), failures);
    }
    assert_eq!(candidates(&book), [key(2)]);
}

#[test]
fn only_peers_that_were_met_are_passed_on_and_only_while_they_are_valid() {
    let mut book = book(Scope::Loopback);
    let at = ["/ip4/127.0.0.1/tcp/9"];
    let source = Source::Peer(key(9), AddressScope::Loopback);
    let (met, heard, old) = (descriptor(1, 2_000, &at), descriptor(2, 2_000, &at), descriptor(3, 900, &at));
    for descriptor in [&met, &heard, &old] {
        book.add_descriptor(descriptor.clone(), source);
    }
    book.met(&NodeKey(*met.node_key()), 800);
    book.met(&NodeKey(*old.node_key()), 800);
    assert_eq!(book.share(32, &key(5), 1_000, &mut rng()), std::slice::from_ref(&met));
    assert_eq!(book.share(32, &NodeKey(*met.node_key()), 1_000, &mut rng()), [], "not to itself");
    assert_eq!(book.share(1, &key(5), 800, &mut rng()).len(), 1, "no more than asked");
    let newer = descriptor(1, 3_000, &at);
    book.add_descriptor(newer.clone(), source);
    book.add_descriptor(met, source);
    assert_eq!(book.share(32, &key(5), 1_000, &mut rng()), [newer], "the one that lives longest");
}

#[test]
fn the_cache_keeps_anchors_first_and_survives_a_restart() {
    let mut book = book(Scope::Internet);
    for number in 1..=100 {
        let at = address(&format!("/ip4/9.9.9.9/tcp/{number}"));
        book.add(key(number), [&at], Source::Itself(AddressScope::Global));
        book.met(&key(number), number as u64);
    }
    book.add(key(200), [&address("/ip4/9.9.9.9/tcp/9")], Source::Peer(key(9), AddressScope::Global));
    let cache = book.cache(&[key(3)]);
    assert_eq!(cache.len(), CACHE_MAX);
    assert_eq!((cache[0].node_key, cache[0].anchor), (key(3).0, true));
    assert_eq!(cache[1].node_key, key(100).0, "the latest first");
    assert!(cache.iter().all(|cached| cached.node_key != key(200).0), "never reached");

    let mut again = self::book(Scope::Internet);
    cache.iter().for_each(|cached| again.restore(cached));
    assert_eq!(again.len(), CACHE_MAX);
    assert!(again.is_anchor(&key(3)) && !again.is_anchor(&key(100)));
    assert_eq!(again.cache(&[]).len(), CACHE_MAX, "what is not met again is still remembered");
    let damaged = CachedPeer { addresses: vec!["nonsense".into()], ..cache[5].clone() };
    let mut third = self::book(Scope::Internet);
    third.restore(&damaged);
    assert_eq!(third.len(), 0);
}

#[test]
fn own_addresses_come_best_first_and_within_the_network() {
    let external = [address("/ip4/9.9.9.9/udp/7828/quic-v1")];
    let listening =
        [address("/ip4/127.0.0.1/tcp/1"), address("/ip4/192.168.0.2/tcp/1"), address("/ip4/192.168.0.2/udp/1/quic-v1")];
    let texts = |network| -> Vec<String> {
        own_addresses(&external, &listening, network).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        texts(Scope::Internet),
        [
            "/ip4/9.9.9.9/udp/7828/quic-v1",
            "/ip4/192.168.0.2/udp/1/quic-v1",
            "/ip4/192.168.0.2/tcp/1",
            "/ip4/127.0.0.1/tcp/1"
        ]
    );
    assert_eq!(texts(Scope::Loopback), ["/ip4/127.0.0.1/tcp/1"]);
}

#[test]
fn two_of_eight_keys_are_announced_a_day_and_tomorrows_from_ten_in_the_evening() {
    let network = NetworkId([5; 32]);
    let topic = TopicId(0);
    let mut schedule = Schedule::new(network, topic);
    let day_start = 20_000 * DAY_MS;
    let keys = |day: u32| -> Vec<RecordKey> {
        (0..KEYS_A_DAY).map(|index| RecordKey::new(&provider_key(&network, topic, day, index))).collect()
    };
    let rng = &mut rng();
    let first = schedule.announce(day_start, rng);
    assert_eq!((first.start.len(), first.stop.len()), (2, 0));
    assert_ne!(first.start[0], first.start[1]);
    assert!(first.start.iter().all(|key| keys(20_000).contains(key)));
    assert_eq!(schedule.announce(day_start + TOMORROW_FROM_MS - 1, rng), Announce::default());
    let evening = schedule.announce(day_start + TOMORROW_FROM_MS, rng);
    assert_eq!(evening.start.len(), 2);
    assert!(evening.start.iter().all(|key| keys(20_001).contains(key)));
    assert_eq!(schedule.announced().len(), 4);
    let midnight = schedule.announce(day_start + DAY_MS, rng);
    assert_eq!((midnight.start.len(), midnight.stop), (0, first.start));
}

#[test]
fn todays_keys_are_looked_up_then_yesterdays_and_ever_more_rarely() {
    let mut schedule = Schedule::new(NetworkId([5; 32]), TopicId(0));
    let unix_ms = 20_000 * DAY_MS + 1_000;
    let day_of = |keys: &[RecordKey]| (19_999..=20_000).find(|day| keys.contains(&schedule_key(*day)));
    let mut times = Vec::new();
    for now_ms in (0..600_000).step_by(500) {
        let keys = schedule.lookup(true, now_ms, unix_ms + now_ms);
        if !keys.is_empty() {
            assert_eq!(keys.len(), 8);
            times.push((now_ms, day_of(&keys).unwrap()));
        }
    }
    let expected = [(0, 20_000), (2_000, 19_999), (4_000, 20_000), (6_000, 19_999), (10_000, 20_000), (12_000, 19_999)];
    assert_eq!(times[..6], expected);
    assert!(times.len() < 25, "{} look-ups in ten minutes", times.len());
    schedule.hurry(700_000);
    assert_eq!(schedule.lookup(false, 700_000, unix_ms).len(), 8);
    assert_eq!(schedule.lookup(false, 700_000 + LOOKUP_IDLE_MS - 1, unix_ms), []);
}

fn schedule_key(day: u32) -> RecordKey {
    RecordKey::new(&provider_key(&NetworkId([5; 32]), TopicId(0), day, 0))
}

#[test]
fn the_gate_lets_a_provider_have_eight_records_and_no_odd_keys() {
    let mut gate = ProviderGate::default();
    let provider = key(1).peer_id();
    let record = |number: u8| {
        let mut key = vec![0x12, 0x20];
        key.resize(34, number);
        let addresses =
            vec![address("/ip4/127.0.0.1/tcp/9"), address("/ip4/9.9.9.9/tcp/9"), address("/dns/x.org/tcp/9")];
        ProviderRecord { key: RecordKey::new(&key), provider, expires: None, addresses }
    };
    for number in 0..RECORDS_A_PROVIDER_MAX as u8 {
        let (kept, removed) = gate.admit(record(number), Scope::Loopback).unwrap();
        assert_eq!(kept.addresses, [address("/ip4/127.0.0.1/tcp/9")]);
        assert_eq!(removed, None);
    }
    assert_eq!(gate.admit(record(0), Scope::Loopback).unwrap().1, None, "a renewal");
    let (_, removed) = gate.admit(record(99), Scope::Loopback).unwrap();
    assert_eq!(removed, Some(record(1).key), "the oldest goes, that was not renewed");
    let odd = ProviderRecord { key: RecordKey::new(b"odd"), ..record(1) };
    assert!(gate.admit(odd, Scope::Loopback).is_none());
    let hashed = ProviderRecord { provider: PeerId::random(), ..record(1) };
    assert!(gate.admit(hashed, Scope::Loopback).is_none(), "no node of ours has such a peer id");
    for number in 0..2 * PROVIDERS_MAX {
        let _ = gate.admit(ProviderRecord { provider: key(number).peer_id(), ..record(1) }, Scope::Loopback);
    }
    assert_eq!(gate.keys.len(), PROVIDERS_MAX);
}

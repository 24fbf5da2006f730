//! What vault and pool do in a second, beside the disk's own sync time:
//! `cargo run --release -p starling-store --example store_bench [DIRECTORY]`.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_relay::admit::{self, Checked};
use starling_relay::pool::{EnvelopePool, IdSource};
use starling_store::pool_files::{DiskPool, PoolOptions};
use starling_store::seal_at_rest::{KeyFile, PassphraseCost};
use starling_store::vault::{EventBytes, Vault};
use starling_wire::envelope::{Class, Envelope, Epoch, EpochRange, Head, Tag, TopicId};
use starling_wire::network::NetworkParameters;
use zeroize::Zeroizing;

const NOW: Epoch = Epoch(500_000);
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let parent = std::env::args().nth(1);
    let directory = match &parent {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    sync_time(directory.path())?;
    vault(directory.path())?;
    forgetting(directory.path())?;
    passphrase(directory.path())?;
    pool(directory.path())
}

fn per_second(count: u64, took: Duration) -> String {
    format!("{:>9.0}/s  {:>9.1} us each", count as f64 / took.as_secs_f64(), took.as_secs_f64() * 1e6 / count as f64)
}

/// The floor below every durable commit.
fn sync_time(directory: &Path) -> Outcome<()> {
    let mut file = File::create(directory.join("sync"))?;
    let started = Instant::now();
    for _ in 0..500 {
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
    }
    println!("disk: write 4 KiB, fdatasync        {}", per_second(500, started.elapsed()));
    Ok(())
}

/// A turn as it is when a message comes: a session, a history record of 1 KB, a contact, an event.
fn turn(number: u64) -> (Vec<VaultWrite>, EventBytes) {
    let put = |key, bytes: usize| VaultWrite::Put { key, value: Zeroizing::new(vec![number as u8; bytes]) };
    let writes = vec![
        put(VaultKey::named(RecordKind::Session, [number as u8 % 8]), 2_500),
        put(VaultKey::named(RecordKind::Contact, [number as u8 % 8]), 400),
        put(VaultKey::ordered(RecordKind::History, [number as u8 % 8], number), 1_000),
    ];
    (writes, EventBytes { unix_ms: number, bytes: Zeroizing::new(vec![2; 300]) })
}

fn vault(directory: &Path) -> Outcome<()> {
    let master = KeyFile::of(directory).create(&mut rand::rng())?;
    let (vault, _) = Vault::open(directory, &master)?;
    let started = Instant::now();
    for number in 0..1_000 {
        let (writes, event) = turn(number);
        vault.commit(&writes, vec![event])?;
    }
    println!("vault: commits of one turn          {}", per_second(1_000, started.elapsed()));
    let started = Instant::now();
    for batch in 0..200 {
        let (writes, events): (Vec<_>, Vec<_>) = (1_000 + batch * 50..1_050 + batch * 50).map(turn).unzip();
        vault.commit(&writes.concat(), events)?;
    }
    println!("vault: turns, 50 a commit           {}", per_second(10_000, started.elapsed()));
    let bytes = directory_bytes(&directory.join("vault"))?;
    println!(
        "vault: {:.1} MiB on disk after 11,000 messages of 1 KB and 11,000 session writes",
        bytes as f64 / 1e6 / 1.048
    );
    let reader = vault.reader();
    let started = Instant::now();
    for _ in 0..1_000 {
        reader.events_since(5_000, 50)?;
    }
    println!("vault: pages of 50 events           {}", per_second(1_000, started.elapsed()));
    drop((reader, vault));
    let started = Instant::now();
    let (_vault, image) = Vault::open(directory, &master)?;
    println!("vault: open, {} records: {:.1} ms", image.records.len(), started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// What the state key's replacement costs with 1,000 sessions and 100,000 messages, and a deletion among them.
fn forgetting(directory: &Path) -> Outcome<()> {
    let directory = directory.join("forgetting");
    std::fs::create_dir(&directory)?;
    let master = KeyFile::of(&directory).create(&mut rand::rng())?;
    let (vault, _) = Vault::open(&directory, &master)?;
    let put = |key, bytes: usize| VaultWrite::Put { key, value: Zeroizing::new(vec![7; bytes]) };
    let message = |number: u64| VaultKey::ordered(RecordKind::History, *b"Ana", number);
    for batch in 0..100_u64 {
        let sessions = (0..10_u64).map(|of| put(VaultKey::named(RecordKind::Session, [batch as u8, of as u8]), 2_500));
        let messages = (0..1_000).map(|of| put(message(batch * 1_000 + of), 400));
        vault.commit(&sessions.chain(messages).collect::<Vec<_>>(), Vec::new())?;
    }
    let started = Instant::now();
    for number in 0..200 {
        vault.commit(&[VaultWrite::Delete { key: message(number * 500) }], Vec::new())?;
    }
    println!("vault: deleting one message         {}", per_second(200, started.elapsed()));
    let (started, mut longest, mut pieces) = (Instant::now(), Duration::ZERO, 0);
    const LATER_UNIX_MS: u64 = 4_000_000_000_000;
    while vault.forget_wait(LATER_UNIX_MS).is_zero() {
        let piece = Instant::now();
        vault.forget_step(LATER_UNIX_MS)?;
        longest = longest.max(piece.elapsed());
        pieces += 1;
    }
    println!(
        "vault: a new state key: {:.0} ms in {pieces} pieces, the longest {:.1} ms",
        started.elapsed().as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3
    );
    Ok(())
}

fn passphrase(directory: &Path) -> Outcome<()> {
    let file = KeyFile::of(directory);
    file.set_passphrase(&file.open_keyfile()?, "correct horse", PassphraseCost::STANDARD, &mut rand::rng())?;
    let started = Instant::now();
    file.unlock("correct horse")?;
    println!("passphrase: one try: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn envelopes(count: u64, epoch: Epoch) -> Vec<Checked> {
    let envelope = |number: u64| {
        let mut noise =
            blake3::Hasher::new().update(&number.to_le_bytes()).update(&epoch.0.to_le_bytes()).finalize_xof();
        let (mut tag, mut body) = ([0; 16], vec![0; Class::Small.body_bytes()]);
        noise.fill(&mut tag);
        noise.fill(&mut body);
        let head = Head { class: Class::Small, topic: TopicId(0), epoch, tag: Tag(tag), ephemeral: [3; 32] };
        let envelope = Envelope::assemble(&head, &[0; 24], 1_000, &body).ok()?;
        admit::check_stored(envelope.as_bytes().to_vec(), &envelope.id()).ok()
    };
    (0..count).filter_map(envelope).collect()
}

fn pool(directory: &Path) -> Outcome<()> {
    let parameters = NetworkParameters::main();
    let options = PoolOptions { free_bytes_min: 0, ..PoolOptions::default() };
    let mut pool = DiskPool::open(directory, &parameters, options)?;
    let full_hour = parameters.budget_small_bytes / 2_048;
    let all: Vec<Vec<Checked>> = (0..6).map(|hour| envelopes(full_hour, NOW.minus(hour))).collect();
    let before_kib = resident_kib();
    let started = Instant::now();
    for checked in &all[0] {
        pool.insert(checked, NOW)?;
    }
    println!("pool: inserts into an open hour     {}", per_second(full_hour, started.elapsed()));
    println!(
        "pool: {:.0} bytes of memory an envelope of an open hour",
        (resident_kib() - before_kib) * 1_024.0 / full_hour as f64
    );
    for hour in &all[1..] {
        hour.iter().try_for_each(|checked| pool.insert(checked, NOW).map(drop))?;
    }
    let started = Instant::now();
    let written = pool.keeper().tend(NOW)?;
    println!("pool: sealing {written} full hours of {full_hour}: {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    read_pool(&pool, &all, full_hour)?;
    drop(pool);
    let started = Instant::now();
    let pool = DiskPool::open(directory, &parameters, options)?;
    let stats = pool.keeper().stats();
    println!(
        "pool: open, {} envelopes, {} of them hashed again: {:.0} ms",
        stats.envelopes,
        stats.in_memory,
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

fn read_pool(pool: &DiskPool, all: &[Vec<Checked>], full_hour: u64) -> Outcome<()> {
    for (name, hour) in [("an open hour", &all[0]), ("a sealed hour", &all[5])] {
        let started = Instant::now();
        for checked in hour {
            pool.read(&checked.envelope().key())?.ok_or("lost")?;
        }
        println!("pool: {:<29} {}", format!("reads from {name}"), per_second(full_hour, started.elapsed()));
    }
    let tags: Vec<Tag> =
        (0..1_000_u64).map(|number| Tag([number.to_le_bytes(); 2].concat().try_into().unwrap_or_default())).collect();
    let started = Instant::now();
    for tag in &tags {
        pool.search_tags(&[*tag].into(), Epoch(0)).run()?;
    }
    println!("pool: look-ups of a foreign tag     {}", per_second(1_000, started.elapsed()));
    let started = Instant::now();
    let snapshot = pool.snapshot(EpochRange { first: NOW.minus(24), last: NOW.plus(1) });
    let made = started.elapsed();
    let keys = snapshot.keys().len();
    println!(
        "pool: snapshot {:.2} ms, its {keys} keys {:.1} ms",
        made.as_secs_f64() * 1e3,
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

fn directory_bytes(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(directory)? {
        let file = file?;
        bytes += if file.file_type()?.is_dir() { directory_bytes(&file.path())? } else { file.metadata()?.len() };
    }
    Ok(bytes)
}

/// Resident memory of this process, KiB; 0 where the system does not say.
fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0.0)
}

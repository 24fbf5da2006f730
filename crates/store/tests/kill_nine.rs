//! A process that writes to vault and pool is killed by SIGKILL again and again, at points that a seed
//! chooses. Whatever it had acknowledged must be there, and of the commit in which it died all or nothing.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_relay::admit::{self, Checked};
use starling_relay::pool::{EnvelopePool, Inserted};
use starling_store::pool_files::{DiskPool, PoolOptions};
use starling_store::seal_at_rest::{KeyFile, MasterKey};
use starling_store::vault::{EventBytes, Vault};
use starling_wire::envelope::{Class, Envelope, Epoch, Head, Tag, TopicId};
use starling_wire::network::NetworkParameters;
use zeroize::Zeroizing;

const TRIALS: u64 = 20;
const DIRECTORY_VARIABLE: &str = "STARLING_STORE_KILL_NINE_DIRECTORY";
const NOW: Epoch = Epoch(500_000);
const ROOMY: PoolOptions = PoolOptions { cap_bytes: 1 << 30, free_bytes_min: 0, late_max: 65_536 };

fn noise(number: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// What commit `number` writes: small and large records, new ones, overwritten ones, deleted ones.
fn writes_of(number: u64) -> Vec<VaultWrite> {
    let choice = noise(number, 8);
    let put = |key, value| VaultWrite::Put { key, value: Zeroizing::new(value) };
    let outbox = |number| VaultKey::ordered(RecordKind::Outbox, Vec::new(), number);
    let bytes = usize::from(u16::from_le_bytes([choice[0], choice[1]])) % 9_000;
    let mut writes = vec![
        put(VaultKey::single(RecordKind::Cursor), number.to_le_bytes().to_vec()),
        put(outbox(number), noise(number, bytes)),
        put(VaultKey::named(RecordKind::Session, [choice[2] % 16]), noise(number + 1, 1_500)),
    ];
    if choice[3].is_multiple_of(2) {
        writes.push(VaultWrite::Delete { key: outbox(number.saturating_sub(1 + u64::from(choice[4] % 20))) });
    }
    writes
}

fn envelope_of(number: u64) -> Checked {
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&number.to_le_bytes());
    let head = Head { class: Class::Small, topic: TopicId(0), epoch: NOW, tag: Tag(tag), ephemeral: [3; 32] };
    let body = noise(number, Class::Small.body_bytes());
    let envelope = Envelope::assemble(&head, &[0; 24], 1, &body).unwrap();
    admit::check_stored(envelope.as_bytes().to_vec(), &envelope.id()).unwrap()
}

/// All records after the commits 1 to `last`.
fn model(last: u64) -> BTreeMap<VaultKey, Vec<u8>> {
    let mut records = BTreeMap::new();
    for write in (1..=last).flat_map(writes_of) {
        match write {
            VaultWrite::Put { key, value } => drop(records.insert(key, value.to_vec())),
            VaultWrite::Delete { key } => drop(records.remove(&key)),
            VaultWrite::Change { .. } | VaultWrite::Read { .. } => unreachable!("no message is written here"),
        }
    }
    records
}

fn master(directory: &Path) -> MasterKey {
    let file = KeyFile::of(directory);
    if file.exists() { file.open_keyfile() } else { file.create(&mut ChaCha20Rng::seed_from_u64(1)) }.unwrap()
}

/// The number of the last commit that is there.
fn check(directory: &Path, acknowledged: u64) -> u64 {
    let (vault, image) = Vault::open(directory, &master(directory)).unwrap();
    let cursor = image.records.iter().find(|(kind, _)| *kind == RecordKind::Cursor);
    let last = cursor.map_or(0, |(_, value)| u64::from_le_bytes(value.as_slice().try_into().unwrap()));
    assert!(last == acknowledged || last == acknowledged + 1, "{acknowledged} acknowledged, {last} there");
    let mut found: Vec<_> = image.records.iter().map(|(kind, value)| (*kind, value.to_vec())).collect();
    let mut expected: Vec<_> = model(last).into_iter().map(|(key, value)| (key.kind, value)).collect();
    found.sort();
    expected.sort();
    assert!(found == expected, "the records are not those of commit {last}");
    assert_eq!(vault.health().damaged, 0);

    let page = vault.reader().events_since(last.saturating_sub(50), 100).unwrap();
    assert_eq!(page.newest, last);
    for stored in page.events {
        assert_eq!(stored.event.bytes.as_slice(), stored.seq.to_le_bytes());
    }
    let pool = DiskPool::open(directory, &NetworkParameters::test("kill"), ROOMY).unwrap();
    for number in 1..=acknowledged {
        let envelope = envelope_of(number).into_envelope();
        assert_eq!(pool.read(&envelope.key()).unwrap(), Some(envelope), "envelope {number}");
    }
    last
}

#[test]
fn nothing_that_was_acknowledged_is_lost_in_20_kills() {
    let seed: u64 = env::var("STARLING_SEED").map_or(4_711, |seed| seed.parse().unwrap());
    println!("seed {seed} (repeat: STARLING_SEED={seed})");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut last = check(directory.path(), 0);
    for trial in 0..TRIALS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_process_that_is_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY_VARIABLE, directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut acknowledged = last;
        let mut take = |line: String| {
            if let Some(number) = line.strip_prefix("committed ") {
                assert_eq!(number.parse(), Ok(acknowledged + 1));
                acknowledged += 1;
            }
        };
        let commits = 1 + rng.next_u64() % 12;
        for line in lines.by_ref() {
            let reached = line == format!("committed {}", last + commits);
            take(line);
            if reached {
                break;
            }
        }
        for _ in 0..rng.next_u64() % 1_500_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        // What it had said before it died counts too.
        lines.for_each(take);
        assert!(!child.wait().unwrap().success(), "it ended by itself");
        assert!(acknowledged >= last + commits, "trial {trial}: it never got that far");
        last = check(directory.path(), acknowledged);
    }
    println!("{TRIALS} kills, {last} commits");
}

#[test]
#[ignore = "the process that the test above starts and kills; without its directory it does nothing"]
fn the_process_that_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY_VARIABLE) else { return };
    let directory = Path::new(&directory);
    let (vault, image) = Vault::open(directory, &master(directory)).unwrap();
    let mut pool = DiskPool::open(directory, &NetworkParameters::test("kill"), ROOMY).unwrap();
    let cursor = image.records.iter().find(|(kind, _)| *kind == RecordKind::Cursor);
    let last = cursor.map_or(0, |(_, value)| u64::from_le_bytes(value.as_slice().try_into().unwrap()));
    for number in last + 1.. {
        assert!(!matches!(pool.insert(&envelope_of(number), NOW).unwrap(), Inserted::BelowCut));
        let event = EventBytes { unix_ms: number, bytes: Zeroizing::new(number.to_le_bytes().to_vec()) };
        assert_eq!(vault.commit(&writes_of(number), vec![event]).unwrap(), number);
        writeln!(std::io::stdout(), "committed {number}").unwrap();
    }
}

//! A real full disk: a tmpfs of 48 MiB in a mount namespace of its own. Nothing that was accepted is lost,
//! nothing is corrupted, and what was refused goes in once there is room again.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_relay::admit::{self, Checked};
use starling_relay::pool::{EnvelopePool, IdSource, Inserted, PoolError};
use starling_store::disk::{self, BALLAST_BYTES, Ballast};
use starling_store::pool_files::{DiskPool, PoolOptions};
use starling_store::seal_at_rest::{KeyFile, MasterKey};
use starling_store::vault::Vault;
use starling_wire::envelope::{Class, Envelope, Epoch, EpochRange, Head, Tag, TopicId};
use starling_wire::network::NetworkParameters;
use zeroize::Zeroizing;

const MOUNT_VARIABLE: &str = "STARLING_STORE_FULL_DISK";
const NOW: Epoch = Epoch(500_000);

/// Runs a test of this file again, on a tmpfs that nobody else sees.
fn on_a_small_disk(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let namespace = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let script = "mount -t tmpfs -o size=48m none \"$0\" && exec \"$@\"";
    let ran = Command::new("unshare")
        .args([namespace, "sh", "-c", script])
        .arg(directory.path())
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(MOUNT_VARIABLE, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("held on a full disk"), "{said}");
}

fn fill(directory: &Path, leave_bytes: u64) {
    let mut filler = File::options().create(true).append(true).open(directory.join("filler")).unwrap();
    loop {
        let free = disk::free_bytes(directory).unwrap();
        let Some(more) = free.checked_sub(leave_bytes).filter(|more| *more >= 4_096) else { return };
        let block = vec![1; more.min(1 << 20) as usize & !4_095];
        filler.write_all(&block).unwrap();
    }
}

fn make_room(directory: &Path) {
    fs::remove_file(directory.join("filler")).unwrap();
}

fn envelope(seed: u32, epoch: Epoch) -> Checked {
    let mut body = vec![0; Class::Small.body_bytes()];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut body);
    let head = Head { class: Class::Small, topic: TopicId(0), epoch, tag: Tag([seed as u8; 16]), ephemeral: [3; 32] };
    let envelope = Envelope::assemble(&head, &[0; 24], 1, &body).unwrap();
    admit::check_stored(envelope.as_bytes().to_vec(), &envelope.id()).unwrap()
}

#[test]
#[ignore = "needs to mount a tmpfs (root, or user namespaces); run by .ci/run"]
fn a_pool_on_a_full_disk() {
    let Some(directory) = env::var_os(MOUNT_VARIABLE) else { return on_a_small_disk("a_pool_on_a_full_disk") };
    let directory = Path::new(&directory);
    let parameters = NetworkParameters::test("full");
    // No reserve: it shall run into the end of the disk itself.
    let options = PoolOptions { cap_bytes: 1 << 30, free_bytes_min: 0, late_max: 65_536 };
    let everything = EpochRange { first: Epoch(0), last: Epoch(u32::MAX) };
    let mut pool = DiskPool::open(directory, &parameters, options).unwrap();
    fill(directory, 3 << 20);
    let mut stored = Vec::new();
    let refused = loop {
        let seed = stored.len() as u32;
        let checked = envelope(seed, NOW.minus(seed % 4));
        match pool.insert(&checked, NOW) {
            Ok(inserted) => assert!(matches!(inserted, Inserted::New(_))),
            Err(error) => {
                assert!(matches!(error, PoolError::DiskFull { .. }), "{error}");
                break checked;
            }
        }
        stored.push(checked.into_envelope());
    };
    assert!(stored.len() > 1_000, "{}", stored.len());
    assert!(pool.keeper().tend(NOW).is_err(), "an index needs room too");
    let all_there = |pool: &DiskPool| {
        assert_eq!(pool.snapshot(everything).keys().len(), stored.len());
        stored.iter().for_each(|envelope| assert_eq!(pool.read(&envelope.key()).unwrap().as_ref(), Some(envelope)));
    };
    all_there(&pool);
    drop(pool);
    let mut pool = DiskPool::open(directory, &parameters, options).unwrap();
    all_there(&pool);
    make_room(directory);
    assert!(matches!(pool.insert(&refused, NOW).unwrap(), Inserted::New(_)));
    pool.expire(Epoch(0)).unwrap();
    assert_eq!(pool.keeper().tend(NOW).unwrap(), 2);
    assert_eq!(pool.snapshot(everything).keys().len(), stored.len() + 1);
    println!("held on a full disk");
}

fn put(number: u64) -> VaultWrite {
    let value = Zeroizing::new(vec![number as u8; 3_000]);
    VaultWrite::Put { key: VaultKey::ordered(RecordKind::Outbox, Vec::new(), number), value }
}

fn open(directory: &Path, master: &MasterKey) -> (Vault, usize) {
    let (vault, image) = Vault::open(directory, master).unwrap();
    assert_eq!(vault.health().damaged, 0);
    (vault, image.records.len())
}

#[test]
#[ignore = "needs to mount a tmpfs (root, or user namespaces); run by .ci/run"]
fn a_vault_on_a_full_disk() {
    let Some(directory) = env::var_os(MOUNT_VARIABLE) else { return on_a_small_disk("a_vault_on_a_full_disk") };
    let directory = Path::new(&directory);
    let master = KeyFile::of(directory).create(&mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    let (vault, _) = open(directory, &master);
    let ballast = Ballast::ensure(directory, 0).unwrap();
    fill(directory, 4 << 20);
    for number in 0..100 {
        vault.commit(&[put(number)], Vec::new()).unwrap();
    }
    fill(directory, 0);
    // The ballast is what the state of accepted messages is written in.
    ballast.release().unwrap();
    assert!(disk::free_bytes(directory).unwrap() >= BALLAST_BYTES - 4_096);
    for number in 100..200 {
        vault.commit(&[put(number)], Vec::new()).unwrap();
    }
    fill(directory, 0);
    let mut acknowledged = 200;
    while vault.commit(&[put(acknowledged)], Vec::new()).is_ok() {
        acknowledged += 1;
    }
    assert!(vault.commit(&[put(acknowledged)], Vec::new()).is_err());
    drop(vault);
    make_room(directory);
    let (vault, records) = open(directory, &master);
    let there = records as u64;
    assert!(there == acknowledged || there == acknowledged + 1, "{acknowledged} acknowledged, {there} there");
    for number in 0..acknowledged {
        let key = VaultKey::ordered(RecordKind::Outbox, Vec::new(), number);
        let value = vault.reader().get(&key).unwrap().unwrap();
        assert_eq!(value.as_slice(), vec![number as u8; 3_000]);
    }
    vault.commit(&[put(9_999)], Vec::new()).unwrap();
    drop(vault);
    assert_eq!(open(directory, &master).1 as u64, there + 1);
    println!("held on a full disk");
}

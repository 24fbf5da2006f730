//! Forgetting as the vault's owner and a thief of its disk see it: the owner loses nothing whatever crashes,
//! and the thief, who has even the master key, opens nothing that is old.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use starling_messenger::record::VaultKey;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::seal_at_rest::MasterKey;
use crate::vault::state_key::{SLOT_BYTES, STATE_KEY_FILE};
use crate::vault::{VAULT_DIRECTORY, schema};

const SESSIONS: u32 = 100;

fn master(seed: u64) -> MasterKey {
    MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

fn open(directory: &Path) -> Vault {
    Vault::open(directory, &master(1)).unwrap().0
}

fn put(key: VaultKey, value: &[u8]) -> VaultWrite {
    VaultWrite::Put { key, value: Zeroizing::new(value.to_vec()) }
}

fn session(number: u32) -> VaultKey {
    VaultKey::named(RecordKind::Session, number.to_le_bytes())
}

fn session_value(number: u32) -> Vec<u8> {
    // Some are longer than one piece.
    vec![number as u8; 100 + number as usize * 90]
}

fn fill(vault: &Vault) {
    let mut writes: Vec<_> = (0..SESSIONS).map(|number| put(session(number), &session_value(number))).collect();
    writes.push(put(VaultKey::named(RecordKind::Contact, "Ana"), b"ana"));
    vault.commit(&writes, Vec::new()).unwrap();
}

fn assert_all_there(vault: &Vault) {
    assert_eq!(vault.health().damaged, 0);
    for number in 0..SESSIONS {
        let value = vault.reader().get(&session(number)).unwrap().unwrap();
        assert_eq!(value.as_slice(), session_value(number));
    }
    let contact = vault.reader().get(&VaultKey::named(RecordKind::Contact, "Ana")).unwrap().unwrap();
    assert_eq!(contact.as_slice(), b"ana");
}

fn copy_of(directory: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let path = file.unwrap().path();
            let to = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &to);
            } else {
                fs::copy(&path, &to).unwrap();
            }
        }
    }
    let to = tempfile::tempdir().unwrap();
    copy(directory, to.path());
    to
}

fn key_file(directory: &Path) -> std::path::PathBuf {
    directory.join(VAULT_DIRECTORY).join(STATE_KEY_FILE)
}

fn slots_in_use(directory: &Path) -> usize {
    let bytes = fs::read(key_file(directory)).unwrap();
    bytes.chunks(SLOT_BYTES).filter(|slot| slot.iter().any(|byte| *byte != 0)).count()
}

/// A copy of `directory` in which only the first `bytes` of the slot that differs came from `later`.
fn torn_between(directory: &Path, later: &[u8], bytes: usize) -> TempDir {
    let copy = copy_of(directory);
    let mut file = fs::read(key_file(directory)).unwrap();
    let start =
        (0..2).map(|slot| slot * SLOT_BYTES).find(|at| file[*at..at + SLOT_BYTES] != later[*at..at + SLOT_BYTES]);
    let start = start.unwrap();
    file[start..start + bytes].copy_from_slice(&later[start..start + bytes]);
    fs::write(key_file(copy.path()), file).unwrap();
    copy
}

#[test]
fn a_crash_between_any_two_syncs_loses_nothing_and_forgetting_ends_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    fill(&vault);
    let mut crashes = Vec::new();
    let mut steps = 0;
    loop {
        let before = copy_of(directory.path());
        vault.forget_step(5).unwrap();
        steps += 1;
        let later = fs::read(key_file(directory.path())).unwrap();
        if fs::read(key_file(before.path())).unwrap() != later {
            for bytes in [1, 100, 512, SLOT_BYTES - 1] {
                crashes.push(torn_between(before.path(), &later, bytes));
            }
        }
        crashes.push(before);
        if !vault.forget_wait(5).is_zero() {
            break;
        }
    }
    assert!(steps > 4, "one key, several pieces, one wipe: {steps}");
    assert_all_there(&vault);
    crashes.push(copy_of(directory.path()));
    for crashed in &crashes {
        let old = fs::read(key_file(crashed.path())).unwrap();
        let vault = open(crashed.path());
        assert_all_there(&vault);
        vault.commit(&[put(session(0), &session_value(0))], Vec::new()).unwrap();
        vault.finish_forgetting(9).unwrap();
        assert_all_there(&vault);
        drop(vault);
        assert_eq!(slots_in_use(crashed.path()), 1);
        assert!(fs::read(key_file(crashed.path())).unwrap() != old, "the key is a new one");
        assert_all_there(&open(crashed.path()));
    }
}

#[test]
fn old_copies_do_not_open_any_more_and_did_before() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    let outbox = VaultKey::ordered(RecordKind::Outbox, Vec::new(), 1);
    vault.commit(&[put(session(1), b"old state"), put(outbox.clone(), b"a text")], Vec::new()).unwrap();
    let keys = [session(1), outbox.clone()].map(|key| vault.records.key_of(&key));
    let old = keys.map(|key| (key, vault.records.stored(&key)));
    vault.commit(&[put(session(1), b"new state"), VaultWrite::Delete { key: outbox }], Vec::new()).unwrap();
    assert!(old.iter().all(|(key, sealed)| vault.records.opens(key, sealed)), "why forgetting is needed");
    vault.forget_step(7).unwrap();
    vault.finish_forgetting(7).unwrap();
    assert!(!old.iter().any(|(key, sealed)| vault.records.opens(key, sealed)));
    drop(vault);
    let vault = open(directory.path());
    assert!(!old.iter().any(|(key, sealed)| vault.records.opens(key, sealed)));
    assert_eq!(vault.reader().get(&session(1)).unwrap().unwrap().as_slice(), b"new state");
}

#[test]
fn a_deletion_has_the_key_replaced_soon_and_else_the_day_does() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    vault.forget_step(1_000).unwrap();
    vault.finish_forgetting(1_000).unwrap();
    let wait = |vault: &Vault, now| u64::try_from(vault.forget_wait(now).as_millis()).unwrap();
    assert_eq!(wait(&vault, 1_000), STATE_KEY_AGE_MS_MAX);
    assert_eq!(wait(&vault, 1_000 + STATE_KEY_AGE_MS_MAX), 0);
    assert_eq!(wait(&vault, 999), 0, "made under a clock that was wrong");
    fill(&vault);
    assert_eq!(wait(&vault, 1_000), STATE_KEY_AGE_MS_MAX);
    vault.commit(&[VaultWrite::Delete { key: session(3) }], Vec::new()).unwrap();
    assert_eq!(wait(&vault, 1_000), STATE_KEY_AGE_MS_MIN);
    vault.forget_step(20_000).unwrap();
    // While it goes on another deletion is asked for: its copy may be under the new key already.
    vault.commit(&[VaultWrite::Delete { key: session(4) }], Vec::new()).unwrap();
    while wait(&vault, 20_000) == 0 {
        vault.forget_step(20_000).unwrap();
    }
    assert_eq!(wait(&vault, 20_000), STATE_KEY_AGE_MS_MIN);
    vault.finish_forgetting(20_000).unwrap();
    assert_eq!(wait(&vault, 20_000), STATE_KEY_AGE_MS_MAX);
    drop(vault);
    assert_eq!(wait(&open(directory.path()), 20_000), STATE_KEY_AGE_MS_MIN, "what the last run left undone");
}

#[test]
fn damage_is_told_from_a_foreign_key_and_neither_is_written_over() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()));
    let whole = fs::read(key_file(directory.path())).unwrap();
    let mut flipped = whole.clone();
    flipped[70] ^= 1;
    for damaged in [flipped, vec![0; 2 * SLOT_BYTES], whole[..SLOT_BYTES].to_vec(), Vec::new()] {
        fs::write(key_file(directory.path()), &damaged).unwrap();
        assert!(matches!(Vault::open(directory.path(), &master(1)), Err(VaultError::Damaged(_))));
        assert_eq!(fs::read(key_file(directory.path())).unwrap(), damaged);
    }
    fs::remove_file(key_file(directory.path())).unwrap();
    let missing = Vault::open(directory.path(), &master(1)).unwrap_err();
    assert_eq!(missing.to_string(), "the vault is damaged: its state key file is missing");
    assert!(!key_file(directory.path()).exists());
    let other = tempfile::tempdir().unwrap();
    drop(Vault::open(other.path(), &master(2)).unwrap());
    fs::copy(key_file(other.path()), key_file(directory.path())).unwrap();
    assert!(matches!(Vault::open(directory.path(), &master(1)), Err(VaultError::WrongKey)));
    fs::write(key_file(directory.path()), &whole).unwrap();
    assert_all_there(&open(directory.path()));
}

#[test]
fn a_vault_of_schema_1_gets_its_state_key_also_after_a_crash_in_the_step() {
    for crashed_after_the_file in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let vault = open(directory.path());
        fill(&vault);
        for number in 0..40 {
            let key = vault.records.key_of(&session(number));
            vault.records.put_as_schema_1(&key, &session_value(number));
        }
        for number in 40..SESSIONS {
            vault.commit(&[VaultWrite::Delete { key: session(number) }], Vec::new()).unwrap();
        }
        schema::set_number(&vault.records, 1);
        drop(vault);
        let note = directory.path().join(VAULT_DIRECTORY).join("schema");
        let text = fs::read_to_string(&note).unwrap();
        fs::write(&note, text.replacen("starling-vault 2", "starling-vault 1", 1)).unwrap();
        if !crashed_after_the_file {
            fs::remove_file(key_file(directory.path())).unwrap();
        }
        for _ in 0..2 {
            let vault = open(directory.path());
            assert_eq!((vault.health().records, vault.health().damaged), (41, 0));
            let value = vault.reader().get(&session(39)).unwrap().unwrap();
            assert_eq!(value.as_slice(), session_value(39));
        }
        assert_eq!(fs::read_to_string(&note).unwrap(), text);
    }
}

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
use crate::vault::{EventBytes, VAULT_DIRECTORY};

const SESSIONS: u32 = 200;

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
    vault.forget_step(80_000).unwrap();
    // While it goes on another deletion is asked for: its copy may be under the new key already.
    vault.commit(&[VaultWrite::Delete { key: session(4) }], Vec::new()).unwrap();
    while wait(&vault, 80_000) == 0 {
        vault.forget_step(80_000).unwrap();
    }
    assert_eq!(wait(&vault, 80_000), STATE_KEY_AGE_MS_MIN);
    vault.finish_forgetting(80_000).unwrap();
    assert_eq!(wait(&vault, 80_000), STATE_KEY_AGE_MS_MAX);
    drop(vault);
    assert_eq!(wait(&open(directory.path()), 80_000), STATE_KEY_AGE_MS_MIN, "what the last run left undone");
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

fn message(number: u64) -> VaultKey {
    VaultKey::ordered(RecordKind::History, b"Ana".as_slice(), number)
}

#[test]
fn a_deleted_message_is_forgotten_and_its_neighbours_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    let writes: Vec<_> = (0..130).map(|number| put(message(number), &[number as u8; 40])).collect();
    vault.commit(&writes, Vec::new()).unwrap();
    let key = vault.records.key_of(&message(70));
    let old = vault.records.stored(&key);
    // One goes, one of its page comes, one changes, all in one commit.
    let writes = [VaultWrite::Delete { key: message(70) }, put(message(71), b"changed"), put(message(130), b"new")];
    vault.commit(&writes, Vec::new()).unwrap();
    vault.finish_forgetting(7).unwrap();
    assert!(!vault.records.opens(&key, &old));
    drop(vault);
    let vault = open(directory.path());
    let value = |number| vault.reader().get(&message(number)).unwrap().map(|value| value.to_vec());
    for number in (0..130).filter(|number| ![70, 71].contains(number)) {
        assert_eq!(value(number), Some(vec![number as u8; 40]), "{number}");
    }
    assert_eq!([value(70), value(71), value(130)], [None, Some(b"changed".to_vec()), Some(b"new".to_vec())]);

    let keys_of_pages = |vault: &Vault| vault.records.keys_of_kind(RecordKind::PageKey).count();
    assert_eq!(keys_of_pages(&vault), 3);
    let rest: Vec<_> = (0..=130).map(|number| VaultWrite::Delete { key: message(number) }).collect();
    vault.commit(&rest, Vec::new()).unwrap();
    assert_eq!(keys_of_pages(&vault), 0, "an empty page leaves nothing");
}

#[test]
fn a_message_that_changed_is_forgotten_as_it_was_once_its_page_is() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    vault.commit(&[put(message(1), b"first"), put(message(2), b"other")], Vec::new()).unwrap();
    let key = vault.records.key_of(&message(1));
    let old = vault.records.stored(&key);
    vault.commit(&[put(message(1), b"second")], Vec::new()).unwrap();
    vault.commit(&[VaultWrite::Delete { key: message(1) }], Vec::new()).unwrap();
    vault.finish_forgetting(7).unwrap();
    assert!(!vault.records.opens(&key, &old));
}

#[test]
fn the_event_log_forgets_by_pages() {
    let directory = tempfile::tempdir().unwrap();
    let vault = open(directory.path());
    let event = |unix_ms| EventBytes { unix_ms, bytes: Zeroizing::new(b"a text".to_vec()) };
    vault.commit(&[], (0..200).map(|_| event(0)).collect()).unwrap();
    let key = crate::vault::event_log::event_key(&vault.records, 5);
    let old = vault.records.stored(&key);
    let later = 2 * crate::vault::EVENT_AGE_MS_MAX;
    for _ in 0..20 {
        vault.commit(&[], vec![event(later)]).unwrap();
    }
    assert_eq!(vault.reader().events_since(0, 1_000).unwrap().oldest, 201);
    vault.forget_step(7).unwrap();
    vault.finish_forgetting(7).unwrap();
    assert!(!vault.records.opens(&key, &old));
    assert_eq!(vault.records.keys_of_kind(RecordKind::PageKey).count(), 1, "events 192 to 255");
    assert_eq!(vault.reader().events_since(0, 1_000).unwrap().events.len(), 20);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 24, ..Default::default() })]

    /// Commits that put and delete as they like, forgetting in between at any step, and restarts: the vault holds
    /// what a map would.
    #[test]
    fn pages_hold_what_a_map_would(
        commits in proptest::collection::vec(
            (proptest::collection::vec((0u64..150, 0usize..3), 1..30), proptest::bool::ANY, 0u8..6), 1..12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut vault = open(directory.path());
        let mut model = std::collections::BTreeMap::new();
        for (round, (changes, reopens, forget_steps)) in commits.into_iter().enumerate() {
            let mut writes = Vec::new();
            for (number, length) in changes {
                if length == 0 {
                    model.remove(&number);
                    writes.push(VaultWrite::Delete { key: message(number) });
                } else {
                    let value = vec![round as u8; length * 3_000];
                    writes.push(put(message(number), &value));
                    model.insert(number, value);
                }
            }
            vault.commit(&writes, Vec::new()).unwrap();
            for _ in 0..forget_steps {
                vault.forget_step(round as u64).unwrap();
            }
            if reopens {
                drop(vault);
                vault = open(directory.path());
            }
            for number in 0..150 {
                let found = vault.reader().get(&message(number)).unwrap().map(|value| value.to_vec());
                proptest::prop_assert_eq!(found.as_ref(), model.get(&number));
            }
        }
    }
}

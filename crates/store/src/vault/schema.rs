//! The schema number: one integer, one function a step, a newer one refused untouched.
//!
//! It stands twice. A note beside the database can be read without opening it (opening writes), and also
//! tells a wrong key. The record inside changes in the same batch as the data of a step, so that a crash
//! never leaves a vault half in one schema.

use std::fs;
use std::io;
use std::path::Path;

use crate::atomic_file;
use crate::seal_at_rest::MasterKey;
use crate::vault::VaultError;
use crate::vault::record_key::{KEY_BYTES, RecordKey};
use crate::vault::records::{PendingBatch, Records};

/// The oldest schema that this build reads. Builds before the first release wrote 1, without a state key, 2, whose
/// messages could not be changed, and 3, which had no files.
pub const SCHEMA_OLDEST: u32 = 4;
/// Schema of the vaults that this build writes.
pub const SCHEMA: u32 = SCHEMA_OLDEST + STEPS.len() as u32;

/// Brings a vault from one schema to the next, in the batch that also sets the number.
type Step = fn(&mut PendingBatch<'_>) -> Result<(), VaultError>;
/// The step at index 0 leads from [`SCHEMA_OLDEST`] to the next.
const STEPS: [Step; 1] = [add_reading];

/// 5: an own message may be read, which a build before would take for damage. Nothing that is there changes.
fn add_reading(_: &mut PendingBatch<'_>) -> Result<(), VaultError> {
    Ok(())
}

const NOTE_FILE: &str = "schema";
const NOTE_BYTES_MAX: u64 = 256;
const NOTE_WORD: &str = "starling-vault";
/// Bytes of the version in the note: the one that brought the vault to its schema. Builds of before wrote none.
const VERSION_BYTES_MAX: usize = 32;
/// Kind 0 is no record's.
const SCHEMA_KEY: RecordKey = [0; KEY_BYTES];

/// Reads the note of `directory`, touching nothing; `None` when there is no vault yet, or only the note is
/// missing.
pub(crate) fn check_note(directory: &Path, master: &MasterKey) -> Result<Option<u32>, VaultError> {
    let path = directory.join(NOTE_FILE);
    let text = match fs::metadata(&path) {
        Ok(file) if file.len() > NOTE_BYTES_MAX => return Err(VaultError::Damaged("its schema note")),
        Ok(_) => fs::read_to_string(&path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut words = text.split_whitespace();
    let (word, number, check) = (words.next(), words.next().map(str::parse::<u32>), words.next());
    let version = words.next().filter(|version| is_version(version));
    let (Some(NOTE_WORD), Some(Ok(found))) = (word, number) else {
        return Err(VaultError::Damaged("its schema note"));
    };
    refuse_unknown(found, SCHEMA, version)?;
    if check != Some(key_check(master).as_str()) {
        return Err(VaultError::WrongKey);
    }
    Ok(Some(found))
}

/// Writes the number into a new vault, or takes an older one step by step to [`SCHEMA`].
pub(crate) fn bring_up_to_date(
    records: &Records,
    directory: &Path,
    master: &MasterKey,
    noted: Option<u32>,
) -> Result<(), VaultError> {
    migrate(records, &STEPS, noted.is_some())?;
    if noted != Some(SCHEMA) {
        let note = format!("{NOTE_WORD} {SCHEMA} {} {}\n", key_check(master), env!("CARGO_PKG_VERSION"));
        atomic_file::replace(&directory.join(NOTE_FILE), note.as_bytes())?;
    }
    Ok(())
}

/// Whether nothing was ever committed, so that a state key that is not there was never used.
pub(crate) fn is_new(records: &Records, noted: Option<u32>) -> Result<bool, VaultError> {
    Ok(stored_number(records, noted.is_some())?.is_none())
}

/// The number in the database; `None` when nothing was ever committed.
fn stored_number(records: &Records, key_is_known: bool) -> Result<Option<u32>, VaultError> {
    match records.get(&SCHEMA_KEY) {
        Ok(Some(value)) => {
            let number: [u8; 4] = value.as_slice().try_into().map_err(|_| VaultError::Damaged("its schema record"))?;
            Ok(Some(u32::from_le_bytes(number)))
        }
        Ok(None) if records.is_empty() => Ok(None),
        Ok(None) => Err(VaultError::Damaged("its schema record is missing")),
        Err(VaultError::Damaged(_)) if !key_is_known => Err(VaultError::WrongKey),
        Err(error) => Err(error),
    }
}

fn migrate(records: &Records, steps: &[Step], key_is_known: bool) -> Result<(), VaultError> {
    let newest = u32::try_from(steps.len()).unwrap_or(u32::MAX).saturating_add(SCHEMA_OLDEST);
    let Some(found) = stored_number(records, key_is_known)? else {
        return commit_step(records, newest, |_| Ok(()));
    };
    refuse_unknown(found, newest, None)?;
    for (from, step) in (SCHEMA_OLDEST..).zip(steps).filter(|(from, _)| *from >= found) {
        commit_step(records, from + 1, step)?;
    }
    Ok(())
}

fn commit_step(
    records: &Records,
    to: u32,
    step: impl Fn(&mut PendingBatch<'_>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut batch = PendingBatch::new(records);
    step(&mut batch)?;
    batch.put(SCHEMA_KEY, &to.to_le_bytes())?;
    batch.commit()
}

/// Whether a word of the note can be shown as the version that wrote it.
fn is_version(word: &str) -> bool {
    word.len() <= VERSION_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

fn refuse_unknown(found: u32, supported: u32, version: Option<&str>) -> Result<(), VaultError> {
    match found {
        _ if found > supported => Err(VaultError::Newer { found, supported, version: version.map(str::to_owned) }),
        _ if found < SCHEMA_OLDEST => Err(VaultError::Older { found, oldest: SCHEMA_OLDEST }),
        _ => Ok(()),
    }
}

/// Tells one master key from another, and tells nothing of it.
fn key_check(master: &MasterKey) -> String {
    let check = master.derive("starling vault 1 key check");
    check.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::vault::VAULT_DIRECTORY;

    const DATA_KEY: RecordKey = [200; KEY_BYTES];

    fn append(batch: &mut PendingBatch<'_>, byte: u8) -> Result<(), VaultError> {
        let mut value = batch.records().get(&DATA_KEY)?.map(|value| value.to_vec()).unwrap_or_default();
        value.push(byte);
        batch.put(DATA_KEY, &value)
    }

    fn first(batch: &mut PendingBatch<'_>) -> Result<(), VaultError> {
        append(batch, 1)
    }

    fn second(batch: &mut PendingBatch<'_>) -> Result<(), VaultError> {
        append(batch, 2)
    }

    fn fails(batch: &mut PendingBatch<'_>) -> Result<(), VaultError> {
        append(batch, 9)?;
        Err(VaultError::Damaged("on purpose"))
    }

    fn records(directory: &Path) -> Records {
        let master = MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let database = sled::Config::new().path(directory).open().unwrap();
        Records::new(database, &directory.join("db"), &master).unwrap()
    }

    #[test]
    fn each_step_runs_once_and_a_failed_one_leaves_the_vault_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let data = |records: &Records| records.get(&DATA_KEY).unwrap().map(|value| value.to_vec());
        let vault = records(directory.path());
        migrate(&vault, &[], false).unwrap();
        assert!(migrate(&vault, &[first, fails], true).is_err());
        assert_eq!(data(&vault), Some(vec![1]));
        migrate(&vault, &[first, second], true).unwrap();
        migrate(&vault, &[first, second], true).unwrap();
        assert_eq!(data(&vault), Some(vec![1, 2]));
        assert!(matches!(migrate(&vault, &[first], true), Err(VaultError::Newer { found: 6, supported: 5, .. })));
    }

    #[test]
    fn a_vault_of_the_oldest_schema_is_brought_to_this_one_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let vault = records(directory.path());
        migrate(&vault, &[], false).unwrap();
        let mut batch = PendingBatch::new(&vault);
        append(&mut batch, 7).unwrap();
        batch.commit().unwrap();
        assert_eq!(stored_number(&vault, true).unwrap(), Some(SCHEMA_OLDEST));
        migrate(&vault, &STEPS, true).unwrap();
        assert_eq!(stored_number(&vault, true).unwrap(), Some(SCHEMA));
        assert_eq!(vault.get(&DATA_KEY).unwrap().map(|value| value.to_vec()), Some(vec![7]));
    }

    #[test]
    fn a_new_vault_starts_at_the_newest_schema() {
        let directory = tempfile::tempdir().unwrap();
        let vault = records(directory.path());
        migrate(&vault, &[first, second], false).unwrap();
        assert_eq!(vault.get(&DATA_KEY).unwrap(), None);
    }

    #[test]
    fn a_note_that_is_no_note_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let master = MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let vault = directory.path().join(VAULT_DIRECTORY);
        fs::create_dir(&vault).unwrap();
        for text in ["", "starling-vault", "starling-vault one 00", "something 1 00", &"x".repeat(300)] {
            fs::write(vault.join(NOTE_FILE), text).unwrap();
            assert!(matches!(check_note(&vault, &master), Err(VaultError::Damaged(_))), "{text:?}");
        }
    }
}

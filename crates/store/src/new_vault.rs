//! A vault that is filled before it is anybody's: written beside the place where it is to lie, and moved there when it
//! is whole. A crash before that leaves the data directory as it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use starling_messenger::record::VaultWrite;
use thiserror::Error;

use crate::atomic_file;
use crate::seal_at_rest::{KEY_FILE, KeyError, KeyFile};
use crate::vault::{VAULT_DIRECTORY, Vault, VaultError};

/// Name of the folder in which a new vault is filled.
pub(crate) const STAGING_DIRECTORY: &str = "restore.new";
/// Writes committed at a time.
const WRITES_PER_COMMIT: usize = 2_048;

/// Why a vault could not be made. This computer's.
#[derive(Debug, Error)]
pub enum NewVaultError {
    /// There is a vault, or its key, already. Nothing was changed.
    #[error("there is a vault already")]
    Exists,
    /// The key file failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A file failed.
    #[error("the new vault failed: {0}")]
    Io(#[from] io::Error),
}

/// Whether the data directory `directory` has a vault, or a part of one.
pub fn has_vault(directory: &Path) -> bool {
    is_there(&directory.join(VAULT_DIRECTORY)) || is_there(&directory.join(KEY_FILE))
}

fn is_there(path: &Path) -> bool {
    // What cannot be looked at may well be there.
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A vault on its way. Dropped before [`NewVault::finish`], it leaves nothing.
#[derive(Debug)]
pub struct NewVault {
    directory: PathBuf,
    vault: Option<Vault>,
    writes: Vec<VaultWrite>,
}

impl NewVault {
    /// Begins a vault for the data directory `directory`, which the caller has locked. Its key gets no passphrase.
    ///
    /// # Errors
    /// [`NewVaultError::Exists`] when there is one; the disk.
    pub fn create(directory: &Path, rng: &mut impl CryptoRng) -> Result<Self, NewVaultError> {
        let staging = directory.join(STAGING_DIRECTORY);
        complete_interrupted(directory)?;
        if has_vault(directory) {
            return Err(NewVaultError::Exists);
        }
        remove_folder(&staging)?;
        atomic_file::create_private_directory(&staging)?;
        let mut new = Self { directory: directory.to_owned(), vault: None, writes: Vec::new() };
        let master = KeyFile::of(&staging).create(rng)?;
        new.vault = Some(Vault::open(&staging, &master)?.0);
        Ok(new)
    }

    /// Where it lies until it is finished.
    pub fn staging(&self) -> PathBuf {
        self.directory.join(STAGING_DIRECTORY)
    }

    /// Writes records.
    ///
    /// # Errors
    /// The disk; nothing can be written after that.
    pub fn write(&mut self, writes: impl IntoIterator<Item = VaultWrite>) -> Result<(), NewVaultError> {
        self.writes.extend(writes);
        if self.writes.len() >= WRITES_PER_COMMIT { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), NewVaultError> {
        let writes = std::mem::take(&mut self.writes);
        if let Some(vault) = &self.vault {
            vault.commit(&writes, Vec::new())?;
        }
        Ok(())
    }

    /// Puts the vault in its place. The vault comes before its key: a key without a vault would begin a new account.
    ///
    /// # Errors
    /// The disk. After a crash between the two moves the next [`NewVault::create`] makes the second, and says
    /// [`NewVaultError::Exists`].
    pub fn finish(mut self) -> Result<(), NewVaultError> {
        self.commit()?;
        drop(self.vault.take());
        let staging = self.directory.join(STAGING_DIRECTORY);
        atomic_file::sync_directory(&staging)?;
        fs::rename(staging.join(VAULT_DIRECTORY), self.directory.join(VAULT_DIRECTORY))?;
        atomic_file::sync_directory(&self.directory)?;
        fs::rename(staging.join(KEY_FILE), self.directory.join(KEY_FILE))?;
        atomic_file::sync_directory(&self.directory)?;
        Ok(())
    }
}

impl Drop for NewVault {
    fn drop(&mut self) {
        drop(self.vault.take());
        let moved = is_there(&self.directory.join(VAULT_DIRECTORY)) && !is_there(&self.directory.join(KEY_FILE));
        if !moved {
            // The error that matters was the first; what is left is overwritten by the next attempt.
            let _ = remove_folder(&self.directory.join(STAGING_DIRECTORY));
        }
    }
}

/// A crash came after the vault was moved and before its key was.
fn complete_interrupted(directory: &Path) -> io::Result<()> {
    let key = directory.join(STAGING_DIRECTORY).join(KEY_FILE);
    let (vault, place) = (directory.join(VAULT_DIRECTORY), directory.join(KEY_FILE));
    let moved = !is_there(&directory.join(STAGING_DIRECTORY).join(VAULT_DIRECTORY)) && is_there(&vault);
    if is_there(&key) && moved && !is_there(&place) {
        fs::rename(key, place)?;
        atomic_file::sync_directory(directory)?;
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use starling_messenger::record::{RecordKind, VaultKey};
    use zeroize::Zeroizing;

    use super::*;

    fn put(number: u64) -> VaultWrite {
        let key = VaultKey::named(RecordKind::Invite, number.to_le_bytes());
        VaultWrite::Put { key, value: Zeroizing::new(number.to_le_bytes().to_vec()) }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_vault_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut new = NewVault::create(directory.path(), &mut rng).unwrap();
        new.write((0..5_000).map(put)).unwrap();
        assert!(!has_vault(directory.path()));
        drop(new);
        assert!(names(directory.path()).is_empty());
        let mut new = NewVault::create(directory.path(), &mut rng).unwrap();
        new.write((0..5_000).map(put)).unwrap();
        new.finish().unwrap();
        assert_eq!(names(directory.path()), ["vault", "vault.key"]);
        let master = KeyFile::of(directory.path()).open_keyfile().unwrap();
        let (vault, image) = Vault::open(directory.path(), &master).unwrap();
        assert_eq!((image.records.len(), vault.health().damaged), (5_000, 0));
    }

    #[test]
    fn what_is_there_already_is_not_touched() {
        for name in [KEY_FILE, VAULT_DIRECTORY] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join(name), "somebody's").unwrap();
            let refused = NewVault::create(directory.path(), &mut ChaCha20Rng::seed_from_u64(1)).unwrap_err();
            assert!(matches!(refused, NewVaultError::Exists), "{refused}");
            assert_eq!(names(directory.path()), [name]);
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"somebody's");
        }
    }

    #[test]
    fn a_crash_between_the_two_moves_is_made_good() {
        let directory = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut new = NewVault::create(directory.path(), &mut rng).unwrap();
        new.write([put(1)]).unwrap();
        new.finish().unwrap();
        let staging = directory.path().join(STAGING_DIRECTORY);
        fs::create_dir_all(&staging).unwrap();
        fs::rename(directory.path().join(KEY_FILE), staging.join(KEY_FILE)).unwrap();
        assert!(matches!(NewVault::create(directory.path(), &mut rng), Err(NewVaultError::Exists)));
        let master = KeyFile::of(directory.path()).open_keyfile().unwrap();
        assert_eq!(Vault::open(directory.path(), &master).unwrap().1.records.len(), 1);
        // And a crash before the first one leaves nothing to keep.
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join(STAGING_DIRECTORY).join(VAULT_DIRECTORY)).unwrap();
        fs::write(directory.path().join(STAGING_DIRECTORY).join(KEY_FILE), "half").unwrap();
        NewVault::create(directory.path(), &mut rng).unwrap().finish().unwrap();
        assert!(KeyFile::of(directory.path()).open_keyfile().is_ok());
    }
}

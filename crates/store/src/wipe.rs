//! Destroying an account on this computer: the keys first, so that what is sealed under them cannot be read even if the
//! rest is interrupted; then every file of ours, and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;

use crate::atomic_file;
use crate::disk::BALLAST_FILE;
use crate::lock::{DirectoryLock, LOCK_FILE};
use crate::new_vault::STAGING_DIRECTORY;
use crate::pool_files::POOL_DIRECTORY;
use crate::seal_at_rest::KEY_FILE;
use crate::vault::{STATE_KEY_FILE, VAULT_DIRECTORY};

/// A key file that is being replaced, as a crash leaves it.
const NEW_KEY_FILE: &str = "vault.key.new";
/// Bytes of a key file that are overwritten at the most: far more than one has.
const KEY_BYTES_MAX: u64 = 65_536;

/// What was destroyed, and what is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wiped {
    /// Key files that were overwritten.
    pub keys: u32,
    /// Files that were removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Names in the directory that are not ours, and stay.
    pub foreign: Vec<String>,
    /// Files of ours that could not be removed, and why.
    pub failed: Vec<(PathBuf, String)>,
}

/// Whether there is anything of ours in `directory`; `more` are names of files there that are not the store's.
pub fn is_anything_there(directory: &Path, more: &[&str]) -> bool {
    ours(more).iter().any(|name| fs::symlink_metadata(directory.join(name)).is_ok())
}

/// Destroys everything of ours in `directory`, of which `lock` is the lock: the store's own files, and those called
/// `more`. The directory goes too when nothing else is in it.
///
/// Overwriting is all that can be done to a key: a disk that never writes in place may keep a copy.
///
/// # Errors
/// A key could not be overwritten: then nothing was removed. What could not be removed later is told in
/// [`Wiped::failed`].
pub fn wipe(directory: &Path, lock: DirectoryLock, more: &[&str], rng: &mut impl CryptoRng) -> io::Result<Wiped> {
    let mut wiped = Wiped::default();
    for key in key_files(directory) {
        wiped.keys += u32::from(overwrite(&key, rng)?);
    }
    for name in ours(more) {
        remove(&directory.join(name), &mut wiped);
    }
    remove(&directory.join(LOCK_FILE), &mut wiped);
    drop(lock);
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !wiped.failed.iter().any(|(path, _)| path.file_name().is_some_and(|failed| *failed == *name)) {
            wiped.foreign.push(name);
        }
    }
    wiped.foreign.sort();
    atomic_file::sync_directory(directory)?;
    if wiped.foreign.is_empty() && wiped.failed.is_empty() {
        fs::remove_dir(directory)?;
        if let Some(parent) = directory.parent() {
            atomic_file::sync_directory(parent)?;
        }
    }
    Ok(wiped)
}

/// Every file that may hold a key in clear or sealed, in whatever state a crash left it.
fn key_files(directory: &Path) -> Vec<PathBuf> {
    let staging = directory.join(STAGING_DIRECTORY);
    let state_key = Path::new(VAULT_DIRECTORY).join(STATE_KEY_FILE);
    let names = [Path::new(KEY_FILE), Path::new(NEW_KEY_FILE), &state_key];
    [directory, &staging].iter().flat_map(|place| names.map(|name| place.join(name))).collect()
}

/// Names of ours in a data directory, keys first.
fn ours<'name>(more: &[&'name str]) -> Vec<&'name str> {
    let mut names = vec![KEY_FILE, NEW_KEY_FILE, STAGING_DIRECTORY, VAULT_DIRECTORY, POOL_DIRECTORY, BALLAST_FILE];
    names.extend(more);
    names
}

/// Writes over a file, durably; whether it is there.
fn overwrite(path: &Path, rng: &mut impl CryptoRng) -> io::Result<bool> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let bytes = file.metadata()?.len().min(KEY_BYTES_MAX);
    let mut noise = vec![0; usize::try_from(bytes).unwrap_or(0)];
    rng.fill_bytes(&mut noise);
    file.write_all(&noise)?;
    file.sync_all()?;
    Ok(true)
}

/// Removes a file or folder, following no link.
fn remove(path: &Path, wiped: &mut Wiped) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    if found.is_dir() {
        match fs::read_dir(path) {
            Ok(entries) => entries.flatten().for_each(|entry| remove(&entry.path(), wiped)),
            Err(error) => wiped.failed.push((path.to_owned(), error.to_string())),
        }
        if let Err(error) = fs::remove_dir(path) {
            wiped.failed.push((path.to_owned(), error.to_string()));
        }
        return;
    }
    match fs::remove_file(path) {
        Ok(()) => {
            wiped.files += 1;
            wiped.bytes += found.len();
        }
        Err(error) => wiped.failed.push((path.to_owned(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::disk::Ballast;
    use crate::seal_at_rest::KeyFile;
    use crate::vault::Vault;

    #[test]
    fn keys_are_overwritten_and_nothing_of_ours_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let lock = DirectoryLock::acquire(&directory).unwrap();
        let master = KeyFile::of(&directory).create(&mut rng).unwrap();
        drop(Vault::open(&directory, &master).unwrap());
        Ballast::ensure(&directory, 0).unwrap();
        fs::write(directory.join("vault.key.new"), "a key that a crash left").unwrap();
        fs::create_dir(directory.join("pool")).unwrap();
        fs::write(directory.join("pool/0.log"), "strangers'").unwrap();
        fs::write(directory.join("api.json"), "{}").unwrap();
        // A second name for each key file: what a disk's free blocks would still show.
        let (key, old) = (folder.path().join("shadow"), folder.path().join("old shadow"));
        fs::hard_link(directory.join("vault.key"), &key).unwrap();
        fs::hard_link(directory.join("vault.key.new"), &old).unwrap();
        let before = fs::read(&key).unwrap();
        assert!(is_anything_there(&directory, &[]));
        let wiped = wipe(&directory, lock, &["api.json"], &mut rng).unwrap();
        assert!(!directory.exists());
        assert!(!is_anything_there(&directory, &["api.json"]));
        assert_eq!((wiped.keys, wiped.foreign.len(), wiped.failed.len()), (3, 0, 0), "the two, and the state key");
        assert!(wiped.files >= 8 && wiped.bytes > 16 << 20, "{wiped:?}");
        let after = fs::read(&key).unwrap();
        assert_eq!(after.len(), before.len());
        assert!(!after.windows(8).any(|part| before.windows(8).any(|old| old == part)), "the key is gone");
        assert!(!fs::read(&old).unwrap().starts_with(b"a key"));
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        let lock = DirectoryLock::acquire(&directory).unwrap();
        fs::create_dir(directory.join("photos")).unwrap();
        fs::write(directory.join("photos/cat.jpg"), "cat").unwrap();
        // A pool that somebody moved to another disk: the link goes, not what it leads to.
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.join("pool")).unwrap();
        let wiped = wipe(&directory, lock, &[], &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        assert_eq!(wiped.foreign, ["photos"]);
        assert_eq!(wiped.keys, 0);
        assert_eq!(fs::read(directory.join("photos/cat.jpg")).unwrap(), b"cat");
        assert!(elsewhere.join("file").exists());
        assert!(fs::symlink_metadata(directory.join("pool")).is_err());
    }
}

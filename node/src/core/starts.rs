//! Whether this data directory is an older copy of itself that was put back.
//!
//! Ratchets must never go back: going on from an older state seals other texts under keys and numbers that were used.
//! A backup holds no ratchet state, but people copy directories, and disks have snapshots. So a count goes up at each
//! start and stop, in the vault and in a file elsewhere (`$XDG_STATE_HOME/starling`). Where the file is ahead of the
//! vault, the vault is older than what ran here last, and the node goes on as a new device of its account.
//!
//! The vault is written first: a crash in between leaves it ahead, which says nothing. A copy made between a start and
//! a sudden end is not told from what it replaces; nor is a directory that is put on another computer, or the snapshot
//! of a whole computer.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use rand::{Rng, RngExt as _};
use starling_messenger::record::{RecordKind, VaultKey, VaultWrite};
use starling_store::atomic_file;
use starling_store::vault::Vault;
use zeroize::Zeroizing;

/// Name of the record in the vault: id 16, count 8.
const RECORD: &str = "starts";
const ID_BYTES: usize = 16;
/// Characters of a directory's path, hashed, by which its file is called.
const NAME_BYTES: usize = 16;

/// The count of one data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Starts {
    file: Option<PathBuf>,
    /// Drawn with the vault: another vault in the same place is no copy of this one.
    id: [u8; ID_BYTES],
    count: u64,
}

/// What is counted so far.
type Counted = ([u8; ID_BYTES], u64);

impl Starts {
    /// What was counted so far, and whether the vault is older than what ran here last. Nothing is counted yet: a crash
    /// before the older vault is renewed must leave it to be found older again.
    ///
    /// # Errors
    /// The vault's.
    pub(crate) fn look(vault: &Vault, file: Option<PathBuf>, rng: &mut impl Rng) -> anyhow::Result<(Self, bool)> {
        let (id, in_vault) = match vault.get_node(RECORD)?.as_deref().and_then(|bytes| decode(bytes)) {
            Some(counted) => counted,
            None => (rng.random(), 0),
        };
        let elsewhere = file.as_deref().and_then(read).filter(|(of, _)| *of == id).map(|(_, count)| count);
        let is_older = elsewhere.is_some_and(|elsewhere| elsewhere > in_vault);
        Ok((Self { file, id, count: in_vault.max(elsewhere.unwrap_or(0)) }, is_older))
    }

    /// Counts a start, before anything is sealed.
    ///
    /// # Errors
    /// The vault's. A file that cannot be written is no reason not to start: then a copy will not be noticed.
    pub(crate) fn begin(&mut self, vault: &Vault) -> anyhow::Result<()> {
        self.count = self.count.saturating_add(1);
        vault.put_node(RECORD, &self.encode())?;
        self.write();
        Ok(())
    }

    /// Counts a stop: the write for the vault. [`Self::write`] follows once it is committed.
    pub(crate) fn end(&mut self) -> VaultWrite {
        self.count = self.count.saturating_add(1);
        VaultWrite::Put { key: VaultKey::named(RecordKind::Node, RECORD), value: Zeroizing::new(self.encode()) }
    }

    /// Writes the file.
    pub(crate) fn write(&self) {
        let Some(file) = &self.file else { return };
        let text = format!("{}\n", HEXLOWER.encode(&self.encode()));
        let folder = file.parent().map_or(Ok(()), atomic_file::create_private_directory);
        if let Err(error) = folder.and_then(|()| atomic_file::replace(file, text.as_bytes())) {
            tracing::debug!(%error, "a copy of this directory that is put back will not be noticed");
        }
    }

    fn encode(&self) -> Vec<u8> {
        self.id.iter().copied().chain(self.count.to_le_bytes()).collect()
    }
}

/// Where the count of `data` is kept outside of it, below the user's `state` directory.
pub(crate) fn file_of(state: &Path, data: &Path) -> PathBuf {
    let hash = blake3::hash(data.as_os_str().as_encoded_bytes());
    let name: String = HEXLOWER.encode(hash.as_bytes()).chars().take(NAME_BYTES).collect();
    state.join("starling").join(format!("starts-{name}"))
}

fn decode(bytes: &[u8]) -> Option<Counted> {
    let (id, count) = bytes.split_first_chunk::<ID_BYTES>()?;
    Some((*id, u64::from_le_bytes(count.try_into().ok()?)))
}

fn read(file: &Path) -> Option<Counted> {
    let text = fs::read_to_string(file).ok()?;
    decode(&HEXLOWER.decode(text.trim_end().as_bytes()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_damage_is_no_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_of(folder.path(), Path::new("/somewhere"));
        assert_ne!(file, file_of(folder.path(), Path::new("/elsewhere")));
        let starts = Starts { file: Some(file.clone()), id: [3; ID_BYTES], count: 7 };
        starts.write();
        assert_eq!(read(&file), Some(([3; ID_BYTES], 7)));
        for damage in ["", "xyz", "0303"] {
            fs::write(&file, damage).unwrap();
            assert_eq!(read(&file), None);
        }
    }
}

//! The vault: the person's own records, sealed at rest and committed durably, in one tree of sled.
//!
//! A commit is one batch, then sled's `flush()`, then `sync_data` on the database file through a handle of
//! our own: sled's flush writes, but never calls fsync. Only then may anything that the commit allows leave
//! the node. Values are cut into pieces of 4 KiB, because sled moves larger pages into files of their own
//! that nobody ever syncs. sled's periodic flush stays on: it is the only caller of its cleaner.
//!
//! Nothing in the database says whose it is: keys are keyed hashes (`record_key`), values are sealed
//! (`sealer`), and those of which no old copy may open are sealed under a key that is replaced (`forget`). Events get their sequence numbers here and lie in the same batch as the change they tell
//! of, so that no event announces what a crash undoes.

pub(crate) mod event_log;
pub(crate) mod forget;
pub(crate) mod pages;
pub(crate) mod record_key;
pub(crate) mod records;
mod schema;
pub(crate) mod sealer;
mod state_key;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use starling_messenger::record::{RecordKind, VaultImage, VaultKey, VaultWrite, changed_history, read_history};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::atomic_file;
use crate::reader::Reader;
use crate::seal_at_rest::MasterKey;
use crate::vault::event_log::EventLog;
use crate::vault::forget::Forgetting;
use crate::vault::record_key::RecordKey;
use crate::vault::records::{NewValue, PendingBatch, Records, ValueBytes};
use crate::vault::state_key::StateKeyFile;

pub use crate::vault::event_log::{EVENT_AGE_MS_MAX, EVENTS_MAX};
pub use crate::vault::forget::{STATE_KEY_AGE_MS_MAX, STATE_KEY_AGE_MS_MIN};
pub(crate) use crate::vault::state_key::STATE_KEY_FILE;

pub use crate::vault::schema::{SCHEMA, SCHEMA_OLDEST};

/// Name of the vault's directory in a data directory.
pub const VAULT_DIRECTORY: &str = "vault";
/// Name of sled's directory in the vault's.
const RECORDS_DIRECTORY: &str = "records";
/// Bytes that sled caches.
const CACHE_BYTES: u64 = 32 << 20;
/// How often sled's own lock is asked for, and the time between. Who may open a vault is decided by the lock of the
/// data directory, not by this one.
const LOCK_TRIES: u32 = 200;
const LOCK_WAIT: Duration = Duration::from_millis(10);
/// Bytes of the largest value.
pub const VALUE_BYTES_MAX: usize = starling_messenger::record::RECORD_BYTES_MAX as usize + 2;

/// Why the vault could not be opened, read or written: this computer, never a peer.
#[derive(Debug, Error)]
pub enum VaultError {
    /// Written by a newer Starling. Nothing was changed.
    #[error("the vault has schema {found}, and this build reads up to {supported}")]
    Newer {
        /// Schema of the vault.
        found: u32,
        /// Newest schema that this build reads.
        supported: u32,
        /// The version of Starling that brought it to this schema, if that is known.
        version: Option<String>,
    },
    /// Written by a build from before the first release. Nothing was changed.
    #[error("the vault has schema {found}, and this build reads from {oldest} on")]
    Older {
        /// Schema of the vault.
        found: u32,
        /// Oldest schema that this build reads.
        oldest: u32,
    },
    /// The master key is not this vault's. Nothing was changed.
    #[error("the key does not belong to this vault")]
    WrongKey,
    /// The vault's own description is damaged.
    #[error("the vault is damaged: {0}")]
    Damaged(&'static str),
    /// A value is larger than [`VALUE_BYTES_MAX`].
    #[error("a record has {bytes} bytes; {} fit", VALUE_BYTES_MAX)]
    TooLarge {
        /// Bytes of the value.
        bytes: usize,
    },
    /// An earlier commit failed: memory is ahead of the disk, and the process has to end.
    #[error("an earlier commit failed")]
    Failed,
    /// The reader was closed: the vault is to be let go of.
    #[error("the vault is closed")]
    Closed,
    /// The database failed.
    #[error("the vault's database failed: {0}")]
    Database(#[from] sled::Error),
    /// A file failed.
    #[error("the vault's files failed: {0}")]
    Io(#[from] io::Error),
}

/// An event on its way into the log, which gives it its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBytes {
    /// When it happened, ms since 1970. The log forgets by it.
    pub unix_ms: u64,
    /// The event as its readers know it.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What was found at open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VaultHealth {
    /// Records read at the start.
    pub records: u64,
    /// Those of them that failed their check. They are kept as they are.
    pub damaged: u64,
    /// The first of these, counted from 1; 0 when there is none.
    pub first_damaged: u64,
}

/// An open vault. The thread that commits holds it; everybody else has a [`Reader`].
#[derive(Debug)]
pub struct Vault {
    records: Arc<Records>,
    state: Mutex<CommitState>,
    health: VaultHealth,
}

/// Opens sled. Its threads let go of the database a moment after it was dropped, so one just closed is asked for again.
fn open_database(path: &Path) -> Result<sled::Db, sled::Error> {
    let mut tries = LOCK_TRIES;
    loop {
        let opened = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).open();
        let held =
            matches!(&opened, Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock"));
        tries -= 1;
        if !held || tries == 0 {
            return opened;
        }
        std::thread::sleep(LOCK_WAIT);
    }
}

#[derive(Debug)]
struct CommitState {
    events: EventLog,
    forgetting: Forgetting,
    failed: bool,
}

impl Vault {
    /// Opens the vault of the data directory `directory`, or makes one, and reads all records from which a
    /// messenger starts. Damaged ones are left out and counted in [`Vault::health`].
    ///
    /// # Errors
    /// [`VaultError::Newer`], [`VaultError::Older`] and [`VaultError::WrongKey`] before anything is touched;
    /// [`VaultError::Damaged`]; [`VaultError::Database`], also when another process has it open.
    pub fn open(directory: &Path, master: &MasterKey) -> Result<(Self, VaultImage), VaultError> {
        let vault_directory = directory.join(VAULT_DIRECTORY);
        let noted = schema::check_note(&vault_directory, master)?;
        let state_keys = StateKeyFile::open(&vault_directory, master)?;
        let path = vault_directory.join(RECORDS_DIRECTORY);
        atomic_file::create_private_directory(&path)?;
        let database = open_database(&path)?;
        let records = Arc::new(Records::new(database, &database_file(&path), master)?);
        let was_there = state_keys.is_some();
        let state_keys = match state_keys {
            Some(state_keys) => state_keys,
            None if schema::is_new(&records, noted)? => StateKeyFile::create(&vault_directory, master, unix_ms_now())?,
            None => return Err(VaultError::Damaged("its state key file is missing")),
        };
        records.use_state_keys(&state_keys.keys());
        schema::bring_up_to_date(&records, &vault_directory, master, noted)?;
        for synced in [&path, &vault_directory, directory] {
            atomic_file::sync_directory(synced)?;
        }
        let (image, health) = load(&records)?;
        let events = EventLog::load(&records)?;
        records.set_durable_event(events.newest());
        let forgetting = Forgetting::load(&records, state_keys, &vault_directory, was_there)?;
        let state = Mutex::new(CommitState { events, forgetting, failed: false });
        Ok((Self { records, state, health }, image))
    }

    /// What was found at open.
    pub fn health(&self) -> VaultHealth {
        self.health
    }

    /// A reader of this vault, for another thread. The database stays open until it is closed or its last
    /// clone is gone.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.records))
    }

    /// Commits `writes` and `events`, all or nothing, and returns when they would survive a power cut. The
    /// writes of several turns go in one commit, one after another: the last write of a record counts. The
    /// events get the numbers from the one returned on, without a hole; without events it is the number
    /// that the next event will get.
    ///
    /// # Errors
    /// Any error means that the caller must end the process: it is not known how much of the commit will be
    /// there at the next start, and every later commit is refused with [`VaultError::Failed`].
    pub fn commit(&self, writes: &[VaultWrite], events: Vec<EventBytes>) -> Result<u64, VaultError> {
        let mut state = self.lock_state();
        if state.failed {
            return Err(VaultError::Failed);
        }
        let committed = self.commit_locked(&mut state, writes, events);
        state.failed = committed.is_err();
        committed
    }

    fn commit_locked(
        &self,
        state: &mut CommitState,
        writes: &[VaultWrite],
        events: Vec<EventBytes>,
    ) -> Result<u64, VaultError> {
        let first = state.events.next_number();
        let mut merged = BTreeMap::new();
        self.merge(writes, &mut merged)?;
        let mut batch = PendingBatch::new(&self.records);
        batch.put_all(merged)?;
        state.events.append(&mut batch, events)?;
        if batch.is_empty() {
            return Ok(first);
        }
        batch.commit()?;
        state.forgetting.asked |= writes.iter().any(forget::asks_to_forget);
        self.records.set_durable_event(state.events.newest());
        Ok(first)
    }

    /// Puts `writes` in the place of all records that end with a device, in one commit: the vault goes on as that of a
    /// new device of the same account. With what a messenger starts from then. History and events stay.
    ///
    /// # Errors
    /// As [`Vault::commit`].
    pub fn begin_anew(&self, writes: &[VaultWrite]) -> Result<VaultImage, VaultError> {
        let mut state = self.lock_state();
        if state.failed {
            return Err(VaultError::Failed);
        }
        let replaced = self.replace_device(writes);
        state.failed = replaced.is_err();
        replaced?;
        Ok(load(&self.records)?.0)
    }

    fn replace_device(&self, writes: &[VaultWrite]) -> Result<(), VaultError> {
        let mut merged = BTreeMap::new();
        for kind in RecordKind::ALL.into_iter().filter(|kind| kind.ends_with_device()) {
            for key in self.records.keys_of_kind(kind) {
                merged.insert(key?, NewValue::None);
            }
        }
        self.merge(writes, &mut merged)?;
        let mut batch = PendingBatch::new(&self.records);
        batch.put_all(merged)?;
        batch.commit()
    }

    /// Takes in `writes`, a later one over an earlier. A change of a message that is not there, or cannot be read, is
    /// nothing.
    fn merge<'a>(
        &self,
        writes: &'a [VaultWrite],
        merged: &mut BTreeMap<RecordKey, NewValue<'a>>,
    ) -> Result<(), VaultError> {
        for write in writes {
            let key = self.records.key_of(write.key());
            let value = match write {
                VaultWrite::Put { value, .. } => match merged.get(&key) {
                    // What lay there before this commit is still to be forgotten.
                    Some(NewValue::Over(_) | NewValue::None) => NewValue::Over(ValueBytes::Given(value)),
                    _ => NewValue::Set(ValueBytes::Given(value)),
                },
                VaultWrite::Delete { .. } => NewValue::None,
                VaultWrite::Change { change, .. } => {
                    let changed = |stored: &[u8]| changed_history(stored, change);
                    match self.changed(&key, merged.get(&key), change.forgets(), changed)? {
                        Some(value) => value,
                        None => continue,
                    }
                }
                VaultWrite::Read { read_unix_ms, .. } => {
                    let read = |stored: &[u8]| read_history(stored, *read_unix_ms);
                    match self.changed(&key, merged.get(&key), false, read)? {
                        Some(value) => value,
                        None => continue,
                    }
                }
            };
            merged.insert(key, value);
        }
        Ok(())
    }

    /// What a message becomes by a change: that of this commit, or the one that is stored. `forgets`: what it said before
    /// must not be readable anywhere.
    fn changed(
        &self,
        key: &RecordKey,
        earlier: Option<&NewValue<'_>>,
        forgets: bool,
        change: impl Fn(&[u8]) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Option<NewValue<'static>>, VaultError> {
        let stored;
        let (before, is_over) = match earlier {
            Some(NewValue::None) => return Ok(None),
            Some(NewValue::Set(value)) => (&**value, false),
            Some(NewValue::Over(value)) => (&**value, true),
            None => match self.records.get(key) {
                Ok(Some(value)) => {
                    stored = value;
                    (stored.as_slice(), false)
                }
                Ok(None) | Err(VaultError::Damaged(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let Some(value) = change(before) else { return Ok(None) };
        let value = ValueBytes::Made(value);
        Ok(Some(if is_over || forgets { NewValue::Over(value) } else { NewValue::Set(value) }))
    }

    /// Stores one of the daemon's own values, durably: its keys and settings that are not the messenger's.
    ///
    /// # Errors
    /// As [`Vault::commit`].
    pub fn put_node(&self, name: &str, value: &[u8]) -> Result<(), VaultError> {
        let key = VaultKey::named(RecordKind::Node, name);
        self.commit(&[VaultWrite::Put { key, value: Zeroizing::new(value.to_vec()) }], Vec::new())?;
        Ok(())
    }

    /// A value that [`Vault::put_node`] stored.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but fails its check.
    pub fn get_node(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        self.reader().get(&VaultKey::named(RecordKind::Node, name))
    }

    fn lock_state(&self) -> MutexGuard<'_, CommitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a first state key is made: its age is all that the time is for.
fn unix_ms_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The one file in which sled keeps everything, as long as no page outgrows it.
fn database_file(records_directory: &Path) -> PathBuf {
    records_directory.join("db")
}

fn load(records: &Records) -> Result<(VaultImage, VaultHealth), VaultError> {
    let mut image = VaultImage::default();
    let mut health = VaultHealth::default();
    for kind in RecordKind::ALL.into_iter().filter(|kind| kind.loaded_at_start()) {
        for key in records.keys_of_kind(kind) {
            let key = key?;
            health.records += 1;
            match records.get(&key) {
                Ok(Some(value)) => image.records.push((kind, value)),
                Ok(None) => {}
                Err(VaultError::Damaged(_)) => {
                    health.damaged += 1;
                    if health.damaged == 1 {
                        health.first_damaged = health.records;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok((image, health))
}

#[cfg(test)]
mod tests;

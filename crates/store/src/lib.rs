//! What a node keeps on its disk, and the only crate that knows the database:
//!
//! - [`vault`]: the person's own records, sealed at rest, committed durably; [`reader`] reads them beside
//!   the core.
//! - [`pool_files`]: the strangers' envelopes, two files a topic, hour and class, no database.
//! - [`seal_at_rest`]: the key that seals the vault, in a file of its own or behind a passphrase.
//! - [`backup`]: account and history in one file, sealed under a passphrase of its own.
//! - [`new_vault`]: a vault that is filled before it is put in its place. [`wipe`]: the end of one.
//! - [`lock`]: one process a data directory. [`disk`]: free space, and the ballast that is given up for it.
//!
//! A data directory:
//! ```text
//! lock          flock, with the pid of its holder
//! vault.key     the master key, mode 0600, or sealed under a passphrase
//! vault/schema  schema number, readable without opening the database
//! vault/state.key what seals sessions: two slots, overwritten in place
//! vault/records sled's directory
//! pool/         the strangers' envelopes
//! ballast       16 MiB, given up when the disk is nearly full
//! restore.new/  a vault that is being filled; gone when it is in its place
//! ```

pub mod atomic_file;
pub mod backup;
pub mod disk;
pub mod lock;
pub mod new_vault;
pub mod pool_files;
pub mod reader;
pub mod seal_at_rest;
pub mod vault;
pub mod wipe;

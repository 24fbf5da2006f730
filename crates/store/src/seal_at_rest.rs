//! The master key under which the vault is sealed, and the file that keeps it: readable by its owner only
//! (mode 0600), or sealed under a passphrase that the person chose. Product decision 0.6: a first start never
//! blocks, so the key file comes first, and `status` asks until a choice is made.
//!
//! The passphrase never seals the records themselves: it seals the master key, so that changing it rewrites
//! one small file.
//!
//! ```text
//! magic 8 "STARKEY\0" | version 1 | protection 1
//!   1 key file:    master key 32
//!   2 passphrase:  memory_kib 4 | passes 4 | lanes 4 | salt 16 | nonce 12 | sealed master key 48
//! checksum 16      first bytes of BLAKE3 of all before it: damage is told from a wrong passphrase
//! ```
//! Argon2id (RFC 9106) makes the sealing key, ChaCha20-Poly1305 (RFC 8439) seals, with all before the nonce
//! as associated data.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::atomic_file;
use crate::vault::VAULT_DIRECTORY;

/// Name of the key file in a data directory.
pub const KEY_FILE: &str = "vault.key";

const MAGIC: &[u8; 8] = b"STARKEY\0";
const VERSION: u8 = 1;
const PROTECTION_KEY_FILE: u8 = 1;
const PROTECTION_PASSPHRASE: u8 = 2;
const CHECKSUM_BYTES: usize = 16;
/// Bytes before the protection's own part.
const HEAD_BYTES: usize = 10;
/// Bytes of the head and the Argon2id parameters and salt: the associated data.
const SEALED_HEAD_BYTES: usize = HEAD_BYTES + 12 + 16;
/// Most memory that a key file may ask for, KiB: a damaged one must not take all there is.
const MEMORY_KIB_MAX: u32 = 4 << 20;
/// Most passes and lanes that a key file may ask for.
const PASSES_MAX: u32 = 1_000;
const LANES_MAX: u32 = 64;

/// The key from which all keys of a vault come: 32 random bytes. Wiped on drop.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// A new one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// A key of its own for each use (BLAKE3's key derivation, which takes the use as its context).
    pub(crate) fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.0.as_slice()))
    }
}

/// What stands between the disk and the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyProtection {
    /// Nothing but the file's mode: whoever has the disk can read everything.
    KeyFile,
    /// A passphrase.
    Passphrase,
}

/// What a guess at the passphrase costs (Argon2id, RFC 9106). Recorded in the key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl PassphraseCost {
    /// 64 MiB, 8 passes, one lane: 0.3 to 0.5 s on one core.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 8, lanes: 1 };
    /// 64 KiB and one pass, for tests: it protects nobody.
    pub const WORTHLESS_FOR_TESTS: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };
    /// Bytes in a file: memory 4, passes 4, lanes 4.
    pub(crate) const BYTES: usize = 12;

    /// As it stands in a file.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c] = [self.memory_kib, self.passes, self.lanes].map(u32::to_le_bytes);
        let mut bytes = [0; Self::BYTES];
        for (place, byte) in bytes.iter_mut().zip(a.into_iter().chain(b).chain(c)) {
            *place = byte;
        }
        bytes
    }

    /// Of a file; none when it asks for more than a file may.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_le_bytes);
        let cost = Self { memory_kib: number(0)?, passes: number(4)?, lanes: number(8)? };
        let fits = cost.memory_kib <= MEMORY_KIB_MAX && cost.passes <= PASSES_MAX && cost.lanes <= LANES_MAX;
        fits.then_some(cost)
    }
}

/// Why there is no master key. The person's, or this computer's; never a peer's.
#[derive(Debug, Error)]
pub enum KeyError {
    /// That passphrase does not open this vault.
    #[error("that passphrase does not open this vault")]
    WrongPassphrase,
    /// A passphrase is needed.
    #[error("this vault is protected by a passphrase")]
    NeedsPassphrase,
    /// No passphrase is set.
    #[error("this vault is not protected by a passphrase")]
    NoPassphraseSet,
    /// An empty passphrase protects nothing.
    #[error("a passphrase has at least one character")]
    EmptyPassphrase,
    /// Written by a newer Starling.
    #[error("key file version {found} is newer than the {supported} that this build reads")]
    Newer {
        /// Version of the file.
        found: u8,
        /// Newest version that this build reads.
        supported: u8,
    },
    /// The key file fails its checksum or is cut.
    #[error("the key file is damaged")]
    Damaged,
    /// There is a vault, but no key file.
    #[error("the key file of this vault is missing")]
    Missing,
    /// A key file is there already.
    #[error("there is a key file already")]
    Exists,
    /// Not enough memory to hash the passphrase.
    #[error("too little memory to try the passphrase")]
    OutOfMemory,
    /// The file could not be read or written.
    #[error("the key file failed: {0}")]
    Io(#[from] io::Error),
}

/// The key file of a data directory.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

enum Contents {
    Plain(MasterKey),
    Sealed { cost: PassphraseCost, salt: [u8; 16], nonce: [u8; 12], sealed: [u8; 48], associated_data: Vec<u8> },
}

impl KeyFile {
    /// The key file of the data directory `directory`, whether it is there or not.
    pub fn of(directory: &Path) -> Self {
        Self { path: directory.join(KEY_FILE) }
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes a new master key and writes it, unprotected.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is one, and [`KeyError::Missing`] when there is a vault whose key is
    /// not here: a new key would be the end of it.
    pub fn create(&self, rng: &mut impl CryptoRng) -> Result<MasterKey, KeyError> {
        if self.exists() {
            return Err(KeyError::Exists);
        }
        if self.path.with_file_name(VAULT_DIRECTORY).exists() {
            return Err(KeyError::Missing);
        }
        let master = MasterKey::generate(rng);
        atomic_file::create_private_directory(self.path.parent().unwrap_or(Path::new(".")))?;
        atomic_file::replace(&self.path, &encode_plain(&master))?;
        Ok(master)
    }

    /// How the master key is protected.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::Damaged`], [`KeyError::Newer`], [`KeyError::Io`].
    pub fn protection(&self) -> Result<KeyProtection, KeyError> {
        Ok(match self.read()? {
            Contents::Plain(_) => KeyProtection::KeyFile,
            Contents::Sealed { .. } => KeyProtection::Passphrase,
        })
    }

    /// The master key of a file without a passphrase.
    ///
    /// # Errors
    /// [`KeyError::NeedsPassphrase`] when there is one.
    pub fn open_keyfile(&self) -> Result<MasterKey, KeyError> {
        match self.read()? {
            Contents::Plain(master) => Ok(master),
            Contents::Sealed { .. } => Err(KeyError::NeedsPassphrase),
        }
    }

    /// The master key, by its passphrase. Takes the time that was chosen with the passphrase, and its memory.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`]; [`KeyError::NoPassphraseSet`] when there is none.
    pub fn unlock(&self, passphrase: &str) -> Result<MasterKey, KeyError> {
        let Contents::Sealed { cost, salt, nonce, sealed, associated_data } = self.read()? else {
            return Err(KeyError::NoPassphraseSet);
        };
        let key = hash_passphrase(passphrase, &salt, cost)?;
        let payload = Payload { msg: &sealed, aad: &associated_data };
        let opened = ChaCha20Poly1305::new(&Key::from(*key))
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| KeyError::WrongPassphrase)?;
        let opened = Zeroizing::new(opened);
        let master: [u8; 32] = opened.as_slice().try_into().map_err(|_| KeyError::Damaged)?;
        Ok(MasterKey(Zeroizing::new(master)))
    }

    /// Protects `master` by `passphrase`, whatever protected it before. After a crash the file is the old
    /// or the new one. The blocks of an unprotected key are overwritten.
    ///
    /// # Errors
    /// [`KeyError::EmptyPassphrase`]; [`KeyError::OutOfMemory`]; [`KeyError::Io`], and the old file is
    /// still there.
    pub fn set_passphrase(
        &self,
        master: &MasterKey,
        passphrase: &str,
        cost: PassphraseCost,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::EmptyPassphrase);
        }
        let (mut salt, mut nonce) = ([0; 16], [0; 12]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let key = hash_passphrase(passphrase, &salt, cost)?;
        let mut bytes = head(PROTECTION_PASSPHRASE);
        bytes.extend_from_slice(&cost.to_bytes());
        bytes.extend_from_slice(&salt);
        let payload = Payload { msg: master.0.as_slice(), aad: &bytes };
        let sealed = ChaCha20Poly1305::new(&Key::from(*key))
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| KeyError::Damaged)?;
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        self.replace(&with_checksum(bytes))
    }

    /// Takes the passphrase away: from now on the file's mode alone protects `master`.
    ///
    /// # Errors
    /// [`KeyError::Io`], and the old file is still there.
    pub fn remove_passphrase(&self, master: &MasterKey) -> Result<(), KeyError> {
        self.replace(&encode_plain(master))
    }

    /// Replaces the file, then overwrites what the old one held, which may be a key in clear. (On a disk
    /// that never writes in place this is all that can be done.)
    fn replace(&self, contents: &[u8]) -> Result<(), KeyError> {
        let old = match OpenOptions::new().write(true).open(&self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        atomic_file::replace(&self.path, contents)?;
        if let Some(mut file) = old {
            let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(4_096);
            file.write_all(&vec![0; bytes])?;
            file.sync_all()?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Contents, KeyError> {
        // A crash while a passphrase was taken away may have left the key in clear.
        atomic_file::remove_leftover(&self.path)?;
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing),
            Err(error) => return Err(error.into()),
        };
        decode(&bytes)
    }
}

fn head(protection: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, protection]);
    bytes
}

fn with_checksum(mut bytes: Vec<u8>) -> Zeroizing<Vec<u8>> {
    let sum = blake3::hash(&bytes);
    bytes.extend(sum.as_bytes().iter().take(CHECKSUM_BYTES));
    Zeroizing::new(bytes)
}

fn encode_plain(master: &MasterKey) -> Zeroizing<Vec<u8>> {
    let mut bytes = head(PROTECTION_KEY_FILE);
    bytes.extend_from_slice(master.0.as_slice());
    with_checksum(bytes)
}

fn decode(bytes: &[u8]) -> Result<Contents, KeyError> {
    let (head, _) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(KeyError::Damaged)?;
    if !head.starts_with(MAGIC) {
        return Err(KeyError::Damaged);
    }
    if head[8] > VERSION {
        return Err(KeyError::Newer { found: head[8], supported: VERSION });
    }
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(KeyError::Damaged)?;
    if !blake3::hash(body).as_bytes().starts_with(sum) {
        return Err(KeyError::Damaged);
    }
    let rest = body.get(HEAD_BYTES..).ok_or(KeyError::Damaged)?;
    match head[9] {
        PROTECTION_KEY_FILE => {
            let master: [u8; 32] = rest.try_into().map_err(|_| KeyError::Damaged)?;
            Ok(Contents::Plain(MasterKey(Zeroizing::new(master))))
        }
        PROTECTION_PASSPHRASE => decode_sealed(body, rest).ok_or(KeyError::Damaged),
        _ => Err(KeyError::Damaged),
    }
}

fn decode_sealed(body: &[u8], rest: &[u8]) -> Option<Contents> {
    let (cost, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let cost = PassphraseCost::from_bytes(cost)?;
    let associated_data = body.get(..SEALED_HEAD_BYTES)?.to_vec();
    Some(Contents::Sealed { cost, salt: *salt, nonce: *nonce, sealed: rest.try_into().ok()?, associated_data })
}

/// The key that a passphrase and a salt make.
pub(crate) fn hash_passphrase(
    passphrase: &str,
    salt: &[u8; 16],
    cost: PassphraseCost,
) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let parameters = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| KeyError::Damaged)?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(parameters.block_count()).map_err(|_| KeyError::OutOfMemory)?;
    memory.resize(parameters.block_count(), Block::default());
    let mut key = Zeroizing::new([0; 32]);
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters).hash_password_into_with_memory(
        passphrase.as_bytes(),
        salt,
        key.as_mut_slice(),
        memory.as_mut_slice(),
    );
    memory.zeroize();
    hashed.map_err(|_| KeyError::Damaged)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const CHEAP: PassphraseCost = PassphraseCost::WORTHLESS_FOR_TESTS;

    fn key_file() -> (tempfile::TempDir, KeyFile, ChaCha20Rng) {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile::of(directory.path());
        (directory, file, ChaCha20Rng::seed_from_u64(7))
    }

    #[test]
    fn a_passphrase_is_set_changed_and_removed_and_the_key_stays() {
        let (_directory, file, mut rng) = key_file();
        assert!(matches!(file.protection(), Err(KeyError::Missing)));
        let master = file.create(&mut rng).unwrap();
        assert!(matches!(file.create(&mut rng), Err(KeyError::Exists)));
        assert_eq!(file.protection().unwrap(), KeyProtection::KeyFile);
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(file.unlock("any"), Err(KeyError::NoPassphraseSet)));

        file.set_passphrase(&master, "first", CHEAP, &mut rng).unwrap();
        assert_eq!(file.protection().unwrap(), KeyProtection::Passphrase);
        assert!(matches!(file.open_keyfile(), Err(KeyError::NeedsPassphrase)));
        assert!(matches!(file.unlock("First"), Err(KeyError::WrongPassphrase)));
        assert_eq!(file.unlock("first").unwrap().0, master.0);

        file.set_passphrase(&master, "second", CHEAP, &mut rng).unwrap();
        assert!(matches!(file.unlock("first"), Err(KeyError::WrongPassphrase)));
        assert_eq!(file.unlock("second").unwrap().0, master.0);
        assert!(matches!(file.set_passphrase(&master, "", CHEAP, &mut rng), Err(KeyError::EmptyPassphrase)));

        file.remove_passphrase(&master).unwrap();
        assert_eq!(file.open_keyfile().unwrap().0, master.0);
    }

    #[test]
    fn no_new_key_is_made_for_a_vault_whose_key_is_missing() {
        let (directory, file, mut rng) = key_file();
        fs::create_dir(directory.path().join(VAULT_DIRECTORY)).unwrap();
        assert!(matches!(file.create(&mut rng), Err(KeyError::Missing)));
        assert!(!file.exists());
    }

    #[test]
    fn a_key_behind_a_passphrase_is_in_no_file_in_clear_not_even_in_the_one_it_replaced() {
        let (directory, file, mut rng) = key_file();
        let master = file.create(&mut rng).unwrap();
        // A second name for the old file: what a disk's free blocks would still show.
        let shadow = directory.path().join("shadow");
        fs::hard_link(&file.path, &shadow).unwrap();
        file.set_passphrase(&master, "correct horse", CHEAP, &mut rng).unwrap();
        for path in [&shadow, &file.path] {
            let bytes = fs::read(path).unwrap();
            assert!(!bytes.windows(8).any(|part| part == &master.0[..8]), "{path:?} holds the key");
            assert!(!bytes.windows(7).any(|part| part == b"correct"), "{path:?} holds the passphrase");
        }
    }

    #[test]
    fn damage_at_any_byte_is_damage_and_never_a_wrong_passphrase() {
        let (_directory, file, mut rng) = key_file();
        let master = file.create(&mut rng).unwrap();
        file.set_passphrase(&master, "pass", CHEAP, &mut rng).unwrap();
        let whole = fs::read(&file.path).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            fs::write(&file.path, &bytes).unwrap();
            let error = file.unlock("pass").unwrap_err();
            assert!(matches!(error, KeyError::Damaged | KeyError::Newer { .. }), "{position}: {error}");
            fs::write(&file.path, &whole[..position]).unwrap();
            assert!(matches!(file.unlock("pass"), Err(KeyError::Damaged)), "cut at {position}");
        }
    }

    #[test]
    fn a_newer_key_file_is_named_with_both_versions() {
        let (_directory, file, mut rng) = key_file();
        file.create(&mut rng).unwrap();
        let mut bytes = fs::read(&file.path).unwrap();
        bytes[8] = 3;
        fs::write(&file.path, &bytes).unwrap();
        assert!(matches!(file.open_keyfile(), Err(KeyError::Newer { found: 3, supported: 1 })));
        assert_eq!(fs::read(&file.path).unwrap(), bytes);
    }

    #[test]
    fn a_key_file_cannot_ask_for_all_memory() {
        let (_directory, file, mut rng) = key_file();
        let master = file.create(&mut rng).unwrap();
        file.set_passphrase(&master, "pass", CHEAP, &mut rng).unwrap();
        let mut bytes = fs::read(&file.path).unwrap();
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        bytes[HEAD_BYTES..HEAD_BYTES + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        fs::write(&file.path, with_checksum(bytes)).unwrap();
        assert!(matches!(file.unlock("pass"), Err(KeyError::Damaged)));
    }

    #[test]
    fn the_standard_cost_opens_what_it_sealed() {
        let (_directory, file, mut rng) = key_file();
        let master = file.create(&mut rng).unwrap();
        file.set_passphrase(&master, "pass", PassphraseCost::STANDARD, &mut rng).unwrap();
        assert_eq!(file.unlock("pass").unwrap().0, master.0);
        assert!(matches!(file.unlock("pasS"), Err(KeyError::WrongPassphrase)));
    }
}

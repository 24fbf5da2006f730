//! `api.json` in the data directory: where the running node's API is, and the token that opens it.
//!
//! Only its owner can read it (0600). The node writes it anew at every start, with a new token, and
//! removes it when it stops.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Passphrase;
use crate::time::Time;
use crate::version::Versioned;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "api.json";
/// Name under which it is written before it is renamed.
pub const NEW_FILE_NAME: &str = "api.json.new";
/// Bytes of the file at most: a small file of our own, or not ours.
const FILE_BYTES_MAX: u64 = 4_096;

/// The bearer token: wiped on drop, never in `Debug`.
pub type Token = Passphrase;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiFile {
    /// `http://127.0.0.1:7827`, without a slash at the end.
    pub url: String,
    /// The bearer token, 64 hex digits.
    pub token: Token,
    /// Process id of the node.
    pub pid: u32,
    /// When it started.
    pub started: Time,
}

impl fmt::Debug for ApiFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiFile({}, pid {})", self.url, self.pid)
    }
}

impl ApiFile {
    /// Where it lies in `data`.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE_NAME)
    }

    /// Reads it.
    ///
    /// # Errors
    /// `NotFound` when no node wrote one; `InvalidData` when it is not one of ours.
    pub fn load(data: &Path) -> io::Result<Self> {
        use io::Read as _;
        let mut text = Zeroizing::new(String::new());
        fs::File::open(Self::path(data))?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        let file: Versioned<Self> = serde_json::from_str(&text)?;
        Ok(file.body)
    }

    /// Writes it so that only the owner can read it, and so that a reader sees the old or the new one whole.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec(&Versioned::new(self.clone()))?);
        let new = data.join(NEW_FILE_NAME);
        // One left by a crash may have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        drop(file);
        fs::rename(&new, Self::path(data))
    }

    /// Removes the file of the node that stops.
    ///
    /// # Errors
    /// What the file system says; that there is none is no error.
    pub fn remove(data: &Path) -> io::Result<()> {
        match fs::remove_file(Self::path(data)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn example() -> ApiFile {
        ApiFile {
            url: "http://127.0.0.1:7827".to_owned(),
            token: Token::new("5eed".to_owned()),
            pid: 4121,
            started: Time(1_795_442_531_208),
        }
    }

    #[test]
    fn only_the_owner_reads_it_and_it_comes_back() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(NEW_FILE_NAME), "left by a crash").unwrap();
        example().write(data.path()).unwrap();
        let mode = fs::metadata(ApiFile::path(data.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(ApiFile::load(data.path()).unwrap(), example());
        ApiFile::remove(data.path()).unwrap();
        ApiFile::remove(data.path()).unwrap();
        assert_eq!(ApiFile::load(data.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn its_text_is_stable_and_its_debug_is_silent() {
        let text = serde_json::to_string(&Versioned::new(example())).unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"url":"http://127.0.0.1:7827","token":"5eed","pid":4121,"started":"2026-11-23T14:02:11.208Z"}"#
        );
        assert!(!format!("{:?}", example()).contains("5eed"));
    }
}

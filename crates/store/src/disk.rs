//! Room on the disk. SPEC: B12; the failure table of the product.
//!
//! Below [`STRANGERS_FREE_BYTES_MIN`] nothing more is stored for strangers; below [`OWN_FREE_BYTES_MIN`] no
//! message of one's own is accepted either. The ballast is given up then, so that the state of what was
//! accepted can still be written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::atomic_file;

/// Free bytes below which strangers' envelopes are refused.
pub const STRANGERS_FREE_BYTES_MIN: u64 = 256 << 20;
/// Free bytes below which own messages are refused.
pub const OWN_FREE_BYTES_MIN: u64 = 32 << 20;
/// Bytes of the ballast file.
pub const BALLAST_BYTES: u64 = 16 << 20;
/// Name of the ballast file in a data directory.
pub const BALLAST_FILE: &str = "ballast";

/// Bytes that this process may still write where `path` lies.
///
/// # Errors
/// The file system did not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let room = rustix::fs::statvfs(path)?;
    Ok(room.f_bavail.saturating_mul(room.f_frsize))
}

/// Whether what failed may well succeed a moment later: too many files are open, or memory is short.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN]
        .iter()
        .any(|passing| Errno::from_io_error(error) == Some(*passing))
}

/// A file that holds room free for hard times.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Makes the ballast file of `directory`, if it is not there and more than `free_bytes_min` would stay
    /// free beside it. With less room than that it does without, and says so by [`Ballast::is_held`].
    ///
    /// # Errors
    /// The file could not be written; nothing of it is left then.
    pub fn ensure(directory: &Path, free_bytes_min: u64) -> io::Result<Self> {
        let ballast = Self { path: directory.join(BALLAST_FILE) };
        if ballast.is_held() || free_bytes(directory)? < free_bytes_min.saturating_add(BALLAST_BYTES) {
            return Ok(ballast);
        }
        if let Err(error) = ballast.fill() {
            ballast.release()?;
            return Err(error);
        }
        Ok(ballast)
    }

    /// Whether the whole ballast lies on the disk.
    pub fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() == BALLAST_BYTES)
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// The file could not be removed.
    pub fn release(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes bytes that no file system compresses or leaves out.
    fn fill(&self) -> io::Result<()> {
        let mut file = atomic_file::create_private(&self.path)?;
        let mut noise = blake3::Hasher::new_derive_key("starling ballast 1").finalize_xof();
        let mut block = vec![0; 1 << 16];
        for _ in 0..BALLAST_BYTES / (1 << 16) {
            noise.fill(&mut block);
            file.write_all(&block)?;
        }
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_takes_room_gives_it_back_and_is_not_made_when_room_is_short() {
        let directory = tempfile::tempdir().unwrap();
        let ballast = Ballast::ensure(directory.path(), 0).unwrap();
        assert!(ballast.is_held());
        assert!(fs::metadata(directory.path().join(BALLAST_FILE)).unwrap().len() == BALLAST_BYTES);
        ballast.release().unwrap();
        ballast.release().unwrap();
        assert!(!ballast.is_held());
        assert!(!Ballast::ensure(directory.path(), u64::MAX - BALLAST_BYTES).unwrap().is_held());
        assert!(free_bytes(directory.path()).unwrap() > 0);
    }

    #[test]
    fn half_a_ballast_of_a_crash_is_made_whole() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(BALLAST_FILE), b"half").unwrap();
        assert!(Ballast::ensure(directory.path(), 0).unwrap().is_held());
    }
}

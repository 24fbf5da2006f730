//! Files that are written to, kept open: a few hundred shelves may take late envelopes while a node catches
//! up, and a process has some thousand handles for everything.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::pool_files::names::{ShelfFile, ShelfKey};

/// Handles kept open: the open hours need 12 a topic.
const HANDLES_MAX: usize = 64;

/// Open files, the least recently used one closed first.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    files: BTreeMap<(ShelfKey, ShelfFile), (Arc<File>, u64)>,
    uses: u64,
}

impl Handles {
    /// The file, made if it is not there.
    pub(crate) fn open(&mut self, directory: &Path, key: ShelfKey, file: ShelfFile) -> io::Result<Arc<File>> {
        self.uses += 1;
        let uses = self.uses;
        if let Some((handle, used)) = self.files.get_mut(&(key, file)) {
            *used = uses;
            return Ok(Arc::clone(handle));
        }
        if self.files.len() >= HANDLES_MAX {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(place, _)| *place);
            oldest.and_then(|place| self.files.remove(&place));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let handle = options.open(key.path(directory, file))?;
        let handle = Arc::new(handle);
        self.files.insert((key, file), (Arc::clone(&handle), uses));
        Ok(handle)
    }

    /// Closes a file that was replaced or removed.
    pub(crate) fn forget(&mut self, key: ShelfKey, file: ShelfFile) {
        self.files.remove(&(key, file));
    }
}

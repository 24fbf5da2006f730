//! A shelf as it is held in memory: the summary of what is sealed, all of what is recent, and which slots
//! and lines of its files are free.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use starling_relay::admit;
use starling_relay::budget::{HourState, Rank};
use starling_wire::envelope::{Envelope, EnvelopeId, Epoch};

use crate::pool_files::entry::{ENTRY_BYTES, Entry};
use crate::pool_files::handles::Handles;
use crate::pool_files::index::SealedIndex;
use crate::pool_files::names::{ShelfFile, ShelfKey};

/// A recent entry, and its line in the file; one that was taken back from a damaged index has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recent {
    pub(crate) entry: Entry,
    pub(crate) line: Option<u32>,
}

/// The envelopes of one class in one topic-hour.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) sealed: Option<Arc<SealedIndex>>,
    pub(crate) recent: BTreeMap<EnvelopeId, Recent>,
    pub(crate) ranks: BTreeSet<Rank>,
    /// Slots of the bodies file.
    pub(crate) slots: u32,
    pub(crate) free_slots: Vec<u32>,
    /// Lines of the recent file.
    pub(crate) lines: u32,
    pub(crate) free_lines: Vec<u32>,
    /// It is being sealed, or was: nothing on it gives way any more, whatever the clock says.
    pub(crate) closed: bool,
    /// Rises with every new index, so that an outdated one is not installed.
    pub(crate) version: u64,
    /// Something on it was found damaged.
    pub(crate) suspect: bool,
}

impl Shelf {
    /// Envelopes on it.
    pub(crate) fn len(&self) -> u64 {
        self.sealed.as_ref().map_or(0, |index| u64::from(index.count)) + self.recent.len() as u64
    }

    /// Bytes of its files.
    pub(crate) fn file_bytes(&self, key: ShelfKey) -> u64 {
        let ids = self.sealed.as_ref().map_or(0, |index| index.file_bytes());
        u64::from(self.slots) * key.slot_bytes() + u64::from(self.lines) * ENTRY_BYTES as u64 + ids
    }

    /// Whether the keep rule may still replace what is on it.
    pub(crate) fn hour_state(&self, epoch: Epoch, now: Epoch) -> HourState {
        if self.closed { HourState::Closed } else { HourState::of(epoch, now) }
    }

    /// Writes a body and its entry, in the line of `replaced` if that gives way. Nothing has changed when
    /// it fails: the body goes into a slot of its own, the line is written last.
    pub(crate) fn store(
        &mut self,
        handles: &mut Handles,
        directory: &Path,
        key: ShelfKey,
        mut entry: Entry,
        body: &[u8],
        replaced: Option<EnvelopeId>,
    ) -> io::Result<Entry> {
        let replaced = replaced.and_then(|id| self.recent.get(&id)).copied();
        entry.slot = self.free_slots.last().copied().unwrap_or(self.slots);
        let line_of_old = replaced.and_then(|old| old.line);
        let line = line_of_old.or(self.free_lines.last().copied()).unwrap_or(self.lines);
        let bodies = handles.open(directory, key, ShelfFile::Bodies)?;
        bodies.write_all_at(body, u64::from(entry.slot) * key.slot_bytes())?;
        let recent = handles.open(directory, key, ShelfFile::Recent)?;
        recent.write_all_at(&entry.encode(), u64::from(line) * ENTRY_BYTES as u64)?;
        if self.free_slots.pop().is_none() {
            self.slots += 1;
        }
        if line_of_old.is_none() && self.free_lines.pop().is_none() {
            self.lines += 1;
        }
        if let Some(old) = replaced {
            self.remove(&old.entry.id);
            self.free_slots.push(old.entry.slot);
        }
        self.insert(Recent { entry, line: Some(line) });
        Ok(entry)
    }

    /// Takes an entry into the memory index.
    pub(crate) fn insert(&mut self, recent: Recent) {
        self.ranks.insert(recent.entry.rank());
        self.recent.insert(recent.entry.id, recent);
    }

    /// Takes an entry out of the memory index.
    pub(crate) fn remove(&mut self, id: &EnvelopeId) {
        if let Some(recent) = self.recent.remove(id) {
            self.ranks.remove(&recent.entry.rank());
        }
    }

    /// The entry of `id`, wherever it is.
    pub(crate) fn find(&self, directory: &Path, id: &EnvelopeId) -> io::Result<Option<Entry>> {
        match (self.recent.get(id), &self.sealed) {
            (Some(recent), _) => Ok(Some(recent.entry)),
            (None, Some(index)) => index.find(directory, id),
            (None, None) => Ok(None),
        }
    }
}

/// The body of `entry`, if its slot still holds it: hashed, and of the right shelf.
pub(crate) fn read_body(directory: &Path, key: ShelfKey, entry: &Entry) -> io::Result<Option<Envelope>> {
    match File::open(key.path(directory, ShelfFile::Bodies)) {
        Ok(file) => read_slot(&file, key, entry),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As [`read_body`], from an open file.
pub(crate) fn read_slot(bodies: &File, key: ShelfKey, entry: &Entry) -> io::Result<Option<Envelope>> {
    let mut body = vec![0; key.class.envelope_bytes()];
    match bodies.read_exact_at(&mut body, u64::from(entry.slot) * key.slot_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let Ok(checked) = admit::check_stored(body, &entry.id) else { return Ok(None) };
    let envelope = checked.into_envelope();
    let matches =
        envelope.key() == key.envelope(entry.id) && envelope.tag() == entry.tag && envelope.effort() == entry.effort;
    Ok(matches.then_some(envelope))
}

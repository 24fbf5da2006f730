//! Reading the files at open. Whatever is torn, cut, flipped or left over by a crash costs the envelopes that
//! it touched and nothing else: each recent entry has to be proved by the hash of its body.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use starling_wire::envelope::Epoch;

use crate::atomic_file;
use crate::pool_files::entry::{ENTRY_BYTES, Entry, SLOTS_MAX};
use crate::pool_files::index::{self, SealedIndex};
use crate::pool_files::names::{self, ShelfFile, ShelfKey, TEMPORARY_SUFFIX};
use crate::pool_files::shelf::{Recent, Shelf, read_slot};
use crate::pool_files::state::PoolState;

/// Holds the hour below which nothing is kept for want of room, so that a restart does not fetch it again.
const FLOOR_FILE: &str = "floor";

/// Reads all shelves of `directory`.
pub(crate) fn open(directory: &Path, late_max: usize) -> io::Result<PoolState> {
    let mut keys = BTreeSet::new();
    for file in fs::read_dir(directory)? {
        let name = file?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(TEMPORARY_SUFFIX) {
            remove_if_there(&directory.join(name))?;
        } else if let Some((key, _)) = names::parse(name) {
            keys.insert(key);
        }
    }
    let mut state = PoolState::new(read_floor(directory), late_max);
    for key in keys {
        let shelf = open_shelf(directory, key)?;
        if shelf.len() == 0 {
            ShelfFile::ALL.into_iter().try_for_each(|file| remove_if_there(&key.path(directory, file)))?;
        } else {
            state.adopt(key, shelf);
        }
    }
    Ok(state)
}

fn open_shelf(directory: &Path, key: ShelfKey) -> io::Result<Shelf> {
    let bodies = match File::open(key.path(directory, ShelfFile::Bodies)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Shelf::default()),
        Err(error) => return Err(error),
    };
    let slots = bodies.metadata()?.len() / key.slot_bytes();
    let mut shelf = Shelf { slots: u32::try_from(slots).unwrap_or(SLOTS_MAX).min(SLOTS_MAX), ..Shelf::default() };
    let damaged = match SealedIndex::open(directory, key) {
        Ok(Some(index)) if index.slots <= shelf.slots => {
            shelf.closed = true;
            shelf.sealed = Some(Arc::new(index));
            false
        }
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    read_recent(directory, key, &bodies, &mut shelf)?;
    if damaged {
        demote(directory, key, &bodies, &mut shelf)?;
    }
    find_free_slots(&mut shelf);
    Ok(shelf)
}

/// Takes in the lines of the recent file that their bodies prove. Those that a crash left behind after they
/// were merged are free lines.
fn read_recent(directory: &Path, key: ShelfKey, bodies: &File, shelf: &mut Shelf) -> io::Result<()> {
    let file = match File::open(key.path(directory, ShelfFile::Recent)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let lines = (file.metadata()?.len() / ENTRY_BYTES as u64).min(u64::from(SLOTS_MAX));
    shelf.lines = u32::try_from(lines).unwrap_or(SLOTS_MAX);
    let mut reader = BufReader::new(file);
    for line in 0..shelf.lines {
        let mut bytes = [0; ENTRY_BYTES];
        reader.read_exact(&mut bytes)?;
        let entry = Entry::decode(&bytes).filter(|entry| !shelf.recent.contains_key(&entry.id));
        match entry {
            Some(entry) if !is_sealed(directory, shelf, &entry)? && is_proved(bodies, key, &entry)? => {
                shelf.insert(Recent { entry, line: Some(line) });
            }
            _ => shelf.free_lines.push(line),
        }
    }
    Ok(())
}

/// An index that is damaged, or promises more slots than there are, becomes recent again, as far as the
/// bodies prove it. Its entries have no lines of their own: the damaged file stays until the keeper has
/// written a sound one.
fn demote(directory: &Path, key: ShelfKey, bodies: &File, shelf: &mut Shelf) -> io::Result<()> {
    for entry in index::salvage(directory, key)? {
        if !shelf.recent.contains_key(&entry.id) && is_proved(bodies, key, &entry)? {
            shelf.insert(Recent { entry, line: None });
        }
    }
    shelf.closed = true;
    shelf.suspect = true;
    Ok(())
}

/// Slots that nothing uses; those below the sealed part's end are known only to its file, and stay unused.
fn find_free_slots(shelf: &mut Shelf) {
    let first = shelf.sealed.as_ref().map_or(0, |index| index.slots);
    let used: BTreeSet<u32> = shelf.recent.values().map(|recent| recent.entry.slot).collect();
    shelf.free_slots = (first..shelf.slots).filter(|slot| !used.contains(slot)).collect();
}

fn is_sealed(directory: &Path, shelf: &Shelf, entry: &Entry) -> io::Result<bool> {
    match &shelf.sealed {
        Some(index) => Ok(index.find(directory, &entry.id)?.is_some()),
        None => Ok(false),
    }
}

/// Whether the slot of `entry` holds the envelope that it tells of.
pub(crate) fn is_proved(bodies: &File, key: ShelfKey, entry: &Entry) -> io::Result<bool> {
    Ok(read_slot(bodies, key, entry)?.is_some())
}

/// Removes a file, unless it has gone already.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_floor(directory: &Path) -> Epoch {
    let text = fs::read_to_string(directory.join(FLOOR_FILE)).unwrap_or_default();
    Epoch(text.trim().parse().unwrap_or(0))
}

/// Remembers the hour below which nothing is kept.
pub(crate) fn write_floor(directory: &Path, floor: Epoch) -> io::Result<()> {
    atomic_file::replace(&directory.join(FLOOR_FILE), format!("{}\n", floor.0).as_bytes())
}

//! All ratchet sessions, whose each is, and the tags by which their mail is recognised: one look-up tells a
//! stranger's envelope from one's own. SPEC: B7, B10.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use starling_e2ee::identity::DevicePublic;
use starling_e2ee::seal::Tag;
use starling_e2ee::session::{Position, Session, SessionId, TagIndex};

use crate::invitation::Owner;

/// Sessions of one owner. One a day can come by recovery, and each lives 29 days after its last message.
pub(crate) const SESSIONS_PER_OWNER_MAX: usize = 40;

/// Sessions of somebody in the requests box: their first, and one more in case that failed.
pub(crate) const SESSIONS_PER_REQUEST_MAX: usize = 2;

/// A session's place in this table; smaller than its id, as every tag carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

/// A session and whose it is.
pub(crate) struct Entry {
    /// The ratchet.
    pub(crate) session: Session,
    /// Whose.
    pub(crate) owner: Owner,
    watched: bool,
}

impl Entry {
    /// Whether its mail is opened.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched
    }
}

/// A session, as it is stored.
#[derive(Serialize)]
pub(crate) struct SessionRecordRef<'a> {
    owner: Owner,
    session: &'a Session,
}

/// A session, as it is read back.
#[derive(Deserialize)]
pub(crate) struct SessionRecord {
    /// Whose.
    pub(crate) owner: Owner,
    /// The ratchet.
    pub(crate) session: Session,
}

/// The table.
#[derive(Default)]
pub(crate) struct Sessions {
    entries: BTreeMap<Slot, Entry>,
    by_id: BTreeMap<SessionId, Slot>,
    by_owner: BTreeMap<Owner, BTreeSet<Slot>>,
    tags: TagIndex<(Slot, Position)>,
    next_slot: u32,
}

impl Sessions {
    /// Takes in a session. Its tags are not watched yet.
    pub(crate) fn insert(&mut self, session: Session, owner: Owner) -> Slot {
        let slot = Slot(self.next_slot);
        self.next_slot += 1;
        self.by_id.insert(session.id(), slot);
        self.by_owner.entry(owner).or_default().insert(slot);
        self.entries.insert(slot, Entry { session, owner, watched: false });
        slot
    }

    /// Takes out a session and its tags.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        self.unwatch(slot);
        let entry = self.entries.remove(&slot)?;
        self.by_id.remove(&entry.session.id());
        self.leave_owner(slot, entry.owner);
        Some(entry)
    }

    fn leave_owner(&mut self, slot: Slot, owner: Owner) {
        if let Some(slots) = self.by_owner.get_mut(&owner) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
    }

    /// Gives a session to another owner.
    pub(crate) fn set_owner(&mut self, slot: Slot, owner: Owner) {
        let Some(entry) = self.entries.get_mut(&slot) else { return };
        let before = std::mem::replace(&mut entry.owner, owner);
        self.leave_owner(slot, before);
        self.by_owner.entry(owner).or_default().insert(slot);
    }

    /// Watches all tags of a session; returns them, to be looked up in the pool.
    pub(crate) fn watch(&mut self, slot: Slot) -> Vec<Tag> {
        let Some(entry) = self.entries.get_mut(&slot) else { return Vec::new() };
        entry.watched = true;
        let tags: Vec<(Tag, Position)> = entry.session.watched().collect();
        for &(tag, position) in &tags {
            self.tags.insert(tag, (slot, position));
        }
        tags.into_iter().map(|(tag, _)| tag).collect()
    }

    /// Watches no tag of a session.
    pub(crate) fn unwatch(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(&slot).filter(|entry| entry.watched) else { return };
        entry.watched = false;
        for (tag, _) in entry.session.watched() {
            self.tags.remove(&tag);
        }
    }

    /// Takes over what a message changed among the tags of a watched session.
    pub(crate) fn update_tags(&mut self, slot: Slot, unwatch: &[Tag], watch: &[(Tag, Position)]) {
        for tag in unwatch {
            self.tags.remove(tag);
        }
        if self.entries.get(&slot).is_some_and(|entry| entry.watched) {
            for &(tag, position) in watch {
                self.tags.insert(tag, (slot, position));
            }
        }
    }

    /// The session, and the place in it, to which an envelope under `tag` belongs.
    pub(crate) fn find(&self, tag: &Tag) -> Option<(Slot, Position)> {
        self.tags.get(tag).copied()
    }

    /// One of them.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(&slot)
    }

    /// One of them.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(&slot)
    }

    /// The session called `id`.
    pub(crate) fn by_id(&self, id: SessionId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// All.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.entries.keys().copied().collect()
    }

    /// Those of `owner`.
    pub(crate) fn of(&self, owner: Owner) -> Vec<Slot> {
        self.by_owner.get(&owner).into_iter().flatten().copied().collect()
    }

    /// How many `owner` has.
    pub(crate) fn count(&self, owner: Owner) -> usize {
        self.by_owner.get(&owner).map_or(0, BTreeSet::len)
    }

    /// The best-ranked session of `owner` with `device`: the only one that is sent on.
    pub(crate) fn best(&self, owner: Owner, device: &DevicePublic) -> Option<Slot> {
        let entries = self.by_owner.get(&owner)?.iter().filter_map(|slot| Some((*slot, self.entries.get(slot)?)));
        let with_device = entries.filter(|(_, entry)| entry.session.peer() == device);
        with_device.max_by_key(|(_, entry)| entry.session.rank()).map(|(slot, _)| slot)
    }

    /// The highest generation of any session of `owner` with `device`.
    pub(crate) fn highest_generation(&self, owner: Owner, device: &DevicePublic) -> Option<u32> {
        let slots = self.by_owner.get(&owner)?.iter();
        let entries = slots.filter_map(|slot| self.entries.get(slot));
        entries.filter(|entry| entry.session.peer() == device).map(|entry| entry.session.generation()).max()
    }

    /// What is stored of a session.
    pub(crate) fn record(&self, id: SessionId) -> Option<SessionRecordRef<'_>> {
        let entry = self.entries.get(self.by_id.get(&id)?)?;
        Some(SessionRecordRef { owner: entry.owner, session: &entry.session })
    }

    /// Tags watched.
    pub(crate) fn tags_len(&self) -> usize {
        self.tags.len()
    }
}

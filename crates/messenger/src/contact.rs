//! People: who they are to us, where their device reads its mail, and what their device published.
//! SPEC: B5, B6, B7.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use starling_e2ee::identity::{DevicePublic, ListHead};
use starling_e2ee::prekey::{Bundle, Pinned};
use starling_wire::limits::NAME_BYTES_MAX;

use crate::backup::contents as backup;
use crate::trust::OtherList;
use crate::turn::{CommandError, ContactNumber};
use crate::view::{ContactState, ContactView};

/// Contacts of an account.
pub(crate) const CONTACTS_MAX: usize = 4_096;

/// Characters that do not show but change what is shown: controls, and marks that turn the writing direction, by
/// which one name can pose as another.
pub(crate) fn steers(char: char) -> bool {
    char.is_control() || matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// A name that a person may give: 1 to 64 bytes, no control characters, not blank.
pub(crate) fn check_name(name: &str) -> Result<String, CommandError> {
    let name = name.trim();
    let fine = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(steers);
    if fine { Ok(name.to_owned()) } else { Err(CommandError::BadName) }
}

/// What is left of a name that a stranger gave: control characters dropped, cut to 64 bytes.
pub(crate) fn clean_name(name: &str) -> String {
    let clean: String = name.chars().filter(|&char| !steers(char)).collect();
    let clean = clean.trim();
    clean.get(..clean.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().trim_end().to_owned()
}

/// The device of a peer for which sessions are made, and the list it speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PinnedDevice {
    /// Its keys.
    pub(crate) device: DevicePublic,
    /// Device list.
    pub(crate) list: ListHead,
}

/// A contact, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Contact {
    /// Local number.
    pub(crate) number: ContactNumber,
    /// Local name.
    pub(crate) name: String,
    /// Nobody gave the name: their own replaces it.
    pub(crate) unnamed: bool,
    /// Account key.
    pub(crate) account: [u8; 32],
    /// When added, ms since 1970.
    pub(crate) added_unix_ms: u64,
    /// When their device was last heard.
    pub(crate) last_heard_unix_ms: Option<u64>,
    /// Last message either way.
    pub(crate) last_activity_unix_ms: u64,
    /// Nothing of theirs is shown.
    pub(crate) blocked: bool,
    /// The key to their bundles; unknown until their card comes.
    pub(crate) address: Option<[u8; 32]>,
    /// Their shard.
    pub(crate) shard: u32,
    /// The invite's one-time key, until a handshake used it.
    pub(crate) one_time_key: Option<(u64, [u8; 32])>,
    /// Their device, once known.
    pub(crate) pinned: Option<PinnedDevice>,
    /// Their newest bundle.
    pub(crate) bundle: Option<Bundle>,
    /// They acknowledged something: our hello and card need not ride along any more.
    pub(crate) greeted: bool,
    /// Our count of texts in this conversation.
    pub(crate) next_sequence: u64,
    /// When we last made a handshake, ms since 1970.
    pub(crate) handshake_unix_ms: Option<u64>,
    /// Ready was announced.
    pub(crate) announced: bool,
    /// When the person last found that the account key is theirs, ms since 1970.
    pub(crate) verified_unix_ms: Option<u64>,
    /// An account of theirs that was verified has been replaced, and the person has not looked at the new one.
    pub(crate) mark_lost: bool,
    /// When a later device list of theirs came, ms since 1970.
    pub(crate) devices_changed_unix_ms: Option<u64>,
    /// Another device list of the pinned version, while the person has not decided between the two.
    pub(crate) other_list: Option<Box<OtherList>>,
    /// The list against which the person decided last: it raises no second alarm.
    pub(crate) settled_list: Option<ListHead>,
    /// Places in the conversation that texts of earlier accounts took.
    pub(crate) sequence_base: u64,
    /// One more than the highest place that a text of theirs has taken.
    pub(crate) sequences_used: u64,
    /// Seconds that messages to them are kept for after their delivery; 0 is for ever.
    pub(crate) expires_s: u32,
}

impl Contact {
    /// Somebody of whom only the account is known yet.
    pub(crate) fn new(number: ContactNumber, name: String, account: [u8; 32], unix_ms: u64) -> Self {
        Self {
            number,
            name,
            unnamed: false,
            account,
            added_unix_ms: unix_ms,
            last_heard_unix_ms: None,
            last_activity_unix_ms: unix_ms,
            blocked: false,
            address: None,
            shard: 0,
            one_time_key: None,
            pinned: None,
            bundle: None,
            greeted: false,
            next_sequence: 0,
            handshake_unix_ms: None,
            announced: false,
            verified_unix_ms: None,
            mark_lost: false,
            devices_changed_unix_ms: None,
            other_list: None,
            settled_list: None,
            sequence_base: 0,
            sequences_used: 0,
            expires_s: 0,
        }
    }

    /// As it stands in a backup: without what belongs to this device's sessions with theirs.
    pub(crate) fn to_backup(&self) -> backup::Contact {
        backup::Contact {
            number: self.number,
            name: self.name.clone(),
            unnamed: self.unnamed,
            account: self.account,
            added_unix_ms: self.added_unix_ms,
            last_heard_unix_ms: self.last_heard_unix_ms,
            last_activity_unix_ms: self.last_activity_unix_ms,
            blocked: self.blocked,
            address: self.address,
            shard: self.shard,
            pinned: self.pinned.map(Into::into),
            next_sequence: self.next_sequence,
        }
    }

    /// What else of it is in a backup, if there is any.
    pub(crate) fn to_backup_trust(&self) -> Option<backup::Trust> {
        let trust = backup::Trust {
            contact: self.number,
            verified_unix_ms: self.verified_unix_ms,
            mark_lost: self.mark_lost,
            devices_changed_unix_ms: self.devices_changed_unix_ms,
            settled_list: self.settled_list.map(|list| (list.version, list.head)),
            sequence_base: self.sequence_base,
            sequences_used: self.sequences_used,
        };
        let none = backup::Trust {
            contact: self.number,
            verified_unix_ms: None,
            mark_lost: false,
            devices_changed_unix_ms: None,
            settled_list: None,
            sequence_base: 0,
            sequences_used: 0,
        };
        (trust != none).then_some(trust)
    }

    /// Of a backup, on a new device: nothing was said to them yet, and texts are counted on
    /// from `count_from`. The key of their invite may be spent since the backup was made, and naming a spent one would not
    /// be heard. A device list that was one of two is found again with the bundle that brought it.
    pub(crate) fn from_backup(contact: backup::Contact, trust: Option<backup::Trust>, count_from: u64) -> Self {
        let backup::Contact { number, name, account, added_unix_ms, .. } = contact;
        let known = Self {
            unnamed: contact.unnamed,
            last_heard_unix_ms: contact.last_heard_unix_ms,
            last_activity_unix_ms: contact.last_activity_unix_ms,
            blocked: contact.blocked,
            address: contact.address,
            shard: contact.shard,
            pinned: contact.pinned.map(Into::into),
            next_sequence: contact.next_sequence.max(count_from),
            ..Self::new(number, name, account, added_unix_ms)
        };
        let Some(trust) = trust else { return known };
        Self {
            verified_unix_ms: trust.verified_unix_ms,
            mark_lost: trust.mark_lost,
            devices_changed_unix_ms: trust.devices_changed_unix_ms,
            settled_list: trust.settled_list.map(|(version, head)| ListHead { version, head }),
            sequence_base: trust.sequence_base,
            sequences_used: trust.sequences_used,
            ..known
        }
    }

    /// What a bundle of theirs must not be below.
    pub(crate) fn pinned_bundle(&self) -> Option<Pinned> {
        let pinned = self.pinned?;
        let seq = self.bundle.as_ref().filter(|bundle| bundle.device == pinned.device).map_or(0, |bundle| bundle.seq);
        Some(Pinned { list: pinned.list, seq })
    }

    /// What people see; `sendable` is whether messages can be sealed.
    pub(crate) fn view(&self, sendable: bool) -> ContactView {
        let state = match sendable {
            _ if self.blocked => ContactState::Blocked,
            _ if self.is_forked() => ContactState::Forked,
            true => ContactState::Ready,
            false => ContactState::WaitingForKeys,
        };
        ContactView {
            number: self.number,
            name: self.name.clone(),
            state,
            account: self.account,
            added_unix_ms: self.added_unix_ms,
            last_heard_unix_ms: self.last_heard_unix_ms,
            last_activity_unix_ms: self.last_activity_unix_ms,
            verified_unix_ms: self.verified_unix_ms,
            mark_lost: self.mark_lost,
            devices_changed_unix_ms: self.devices_changed_unix_ms,
            expires_s: self.expires_s,
        }
    }
}

/// All contacts.
#[derive(Default)]
pub(crate) struct Contacts {
    by_number: BTreeMap<ContactNumber, Contact>,
    by_account: BTreeMap<[u8; 32], ContactNumber>,
}

impl Contacts {
    /// Adds one; its account must not be there yet.
    pub(crate) fn insert(&mut self, contact: Contact) {
        self.by_account.insert(contact.account, contact.number);
        self.by_number.insert(contact.number, contact);
    }

    /// Forgets one.
    pub(crate) fn remove(&mut self, number: ContactNumber) -> Option<Contact> {
        let contact = self.by_number.remove(&number)?;
        self.by_account.remove(&contact.account);
        Some(contact)
    }

    /// One of them.
    pub(crate) fn get(&self, number: ContactNumber) -> Option<&Contact> {
        self.by_number.get(&number)
    }

    /// One of them.
    pub(crate) fn get_mut(&mut self, number: ContactNumber) -> Option<&mut Contact> {
        self.by_number.get_mut(&number)
    }

    /// The contact with this account key.
    pub(crate) fn by_account(&self, account: &[u8; 32]) -> Option<ContactNumber> {
        self.by_account.get(account).copied()
    }

    /// All, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.by_number.values()
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether nobody but `except` is called `name` (compared without case: names are typed).
    pub(crate) fn name_is_free(&self, name: &str, except: Option<ContactNumber>) -> bool {
        let name = name.to_lowercase();
        !self.iter().any(|contact| Some(contact.number) != except && contact.name.to_lowercase() == name)
    }

    /// `wanted`, or with a number behind it when somebody is called that.
    pub(crate) fn free_name(&self, wanted: &str) -> String {
        let wanted = if wanted.is_empty() { "Unnamed" } else { wanted };
        if self.name_is_free(wanted, None) {
            return wanted.to_owned();
        }
        let stem = wanted.get(..wanted.floor_char_boundary(NAME_BYTES_MAX - 6)).unwrap_or_default();
        (2..=CONTACTS_MAX + 2)
            .map(|count| format!("{stem} {count}"))
            .find(|name| self.name_is_free(name, None))
            .unwrap_or_else(|| stem.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_clean() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.free_name(""), "Unnamed");
        contacts.insert(Contact::new(ContactNumber(1), "Ana".into(), [1; 32], 0));
        assert_eq!(contacts.free_name("ana"), "ana 2");
        assert!(contacts.name_is_free("Ana", Some(ContactNumber(1))));
        assert!(!contacts.name_is_free("ANA", None));
        assert_eq!(check_name(" Bob "), Ok("Bob".into()));
        assert_eq!(check_name(" \t"), Err(CommandError::BadName));
        assert_eq!(check_name("a\u{7}b"), Err(CommandError::BadName));
        assert_eq!(clean_name("\u{1b}[31mEve\u{202E}\n"), "[31mEve");
        assert_eq!(check_name("Bob\u{2066}"), Err(CommandError::BadName));
        assert_eq!(clean_name(&"é".repeat(40)).len(), 64);
    }
}

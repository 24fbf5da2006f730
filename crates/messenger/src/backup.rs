//! What a backup holds: account, contacts, history and what keeps a conversation whole, never ratchet state, a
//! device's keys or prekeys. Who restores it is a new device of the same account. SPEC.md, "Backup".
//!
//! [`crate::turn::Command::Export`] gives all that the core knows, at one moment. The history lies in the vault: whoever
//! reads it adds the messages with smaller numbers than [`Export::before`], and the end. [`Import`] turns the records
//! of a backup into those of a new vault. How they are sealed into a file is the store's business.

pub(crate) mod contents;
mod import;

use std::collections::BTreeMap;
use std::fmt;

use rand_core::CryptoRng;
use starling_relay::pool::EnvelopePool;
use zeroize::Zeroizing;

use crate::invitation::{OwnInvite, Owner, Request, UsedInvite};
use crate::messenger::Messenger;
use crate::outbox::{Item, Load};
use crate::reassembly::PartRecord;
use crate::record::{FileRecord, HistoryRecord, VaultWrite};
use crate::stored::Dirty;
use crate::turn::MessageNumber;
use crate::view::{MessageBody, MessageView};

use contents::{encode, kind};

pub use contents::{BACKUP_RECORD_BYTES_MAX, CONTENTS_VERSION};
pub use import::{Import, ImportError, Restored, Summary};

/// One record of a backup.
#[derive(Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// What it is.
    pub kind: u16,
    /// Its bytes, at most [`BACKUP_RECORD_BYTES_MAX`]. Some are keys.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for BackupRecord {
    /// Its kind and size: what it says does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupRecord({}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// All that the core knows that belongs in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// In this order.
    pub records: Vec<BackupRecord>,
    /// The history belongs to it as far as messages have smaller numbers.
    pub before: MessageNumber,
}

/// The records of a message of the history; none of one that is to disappear, as a file would keep it. While such a
/// message waits for its delivery, it is in [`Export::records`].
/// `file` is the bytes of a file, if the message is one and they are still there.
pub fn message_records(record: &HistoryRecord, file: Option<FileRecord>) -> Vec<BackupRecord> {
    let HistoryRecord { message, message_id } = record;
    if message.expires_s > 0 {
        return Vec::new();
    }
    let file = file.map(|file| encode(kind::FILE, &contents::File { number: message.number, bytes: file.bytes }));
    let mut records: Vec<BackupRecord> = file.into_iter().collect();
    records.push(encode(kind::MESSAGE, &contents::Message::new(message, *message_id)));
    records.extend(contents::Changed::of(message, None).map(|changed| encode(kind::CHANGED, &changed)));
    records
}

/// The record of the peers met on `network`, in the daemon's encoding.
pub fn peers_record(network: &str, bytes: &[u8]) -> BackupRecord {
    encode(kind::PEERS, &contents::Peers { network: network.to_owned(), bytes: bytes.to_vec() })
}

/// The last record: after `records` others, with so many messages left out because they could not be read.
pub fn end_record(records: u64, unreadable: u64) -> BackupRecord {
    encode(kind::END, &contents::End { records, unreadable })
}

impl<P: EnvelopePool> Messenger<P> {
    /// Everything but the history, as it is now.
    pub(crate) fn export(&mut self) -> Export {
        // Written, so that the answer waits for the commit of everything that came before: the history on the disk
        // then holds every message that this export counts.
        self.mark(Dirty::Profile);
        let account = self.identity.account();
        let mut records = vec![
            encode(
                kind::HEAD,
                &contents::Head {
                    version: CONTENTS_VERSION,
                    created_unix_ms: self.now.unix_ms,
                    network: self.parameters.name.clone(),
                    account: account.public(),
                },
            ),
            encode(kind::ACCOUNT, &account),
            encode(kind::PROFILE, &self.profile.to_backup()),
        ];
        let past = |list: &starling_e2ee::identity::DeviceList| contents::PastList { list: list.encode() };
        records.extend(self.past_lists.iter().map(|list| encode(kind::PAST_LIST, &past(list))));
        if self.reads.is_on() {
            records.push(encode(kind::SETTINGS, &contents::Settings { read_receipts: true }));
        }
        self.export_people(&mut records);
        self.outbox.iter().for_each(|item| export_waiting(item, &mut records));
        records.extend(self.seen.iter().map(|(key, number, unix_ms)| {
            let (account, message_id) = key;
            encode(kind::SEEN, &contents::Seen { account, message_id, number, unix_ms })
        }));
        records.extend(self.early.iter().map(|record| encode(kind::EARLY, &contents::Early::from(record))));
        records.extend(self.reassembly.iter().map(|record| {
            let &PartRecord { key: (account, message_id), part, of, ref bytes, unix_ms } = record;
            encode(kind::PART, &contents::Part { account, message_id, part, of, bytes: bytes.clone(), unix_ms })
        }));
        Export { records, before: self.next_message() }
    }

    /// The records of a new device of this account, in the place of all of which [`RecordKind::ends_with_device`] says so:
    /// what a backup made now and restored at once would give, without its file. For a vault whose ratchets must not be
    /// used any more.
    ///
    /// # Errors
    /// [`ImportError`] when a backup of this account could not be restored.
    ///
    /// [`RecordKind::ends_with_device`]: crate::record::RecordKind::ends_with_device
    pub fn records_of_a_new_device(&mut self, rng: &mut impl CryptoRng) -> Result<Vec<VaultWrite>, ImportError> {
        let Export { records, .. } = self.export();
        let end = end_record(records.len() as u64, 0);
        let (mut import, mut writes) = (Import::new(), Vec::new());
        for record in records.iter().chain([&end]) {
            writes.extend(import.take(record.kind, &record.bytes)?);
        }
        writes.extend(import.finish(self.now.unix_ms, rng)?.writes);
        Ok(writes)
    }

    fn export_people(&self, records: &mut Vec<BackupRecord>) {
        for contact in self.contacts.iter() {
            records.push(encode(kind::CONTACT, &contact.to_backup()));
            records.extend(contact.to_backup_trust().map(|trust| encode(kind::TRUST, &trust)));
            if contact.expires_s > 0 {
                let expiry = contents::ContactExpiry { contact: contact.number, expires_s: contact.expires_s };
                records.push(encode(kind::CONTACT_EXPIRY, &expiry));
            }
        }
        records.extend(self.known_generations().values().map(|known| encode(kind::GENERATION, known)));
        records.extend(self.invitations.own.values().map(|own| encode(kind::INVITE, &invite(own))));
        records.extend(self.invitations.used.values().map(|used| encode(kind::USED_INVITE, &used_invite(used))));
        records.extend(self.invitations.requests.values().map(|asking| encode(kind::REQUEST, &request(asking))));
    }

    /// The highest generation with everybody with whom there was a session.
    fn known_generations(&self) -> BTreeMap<[u8; 32], contents::Generation> {
        let known_unix_ms = self.now.unix_ms;
        let of_contacts = self.contacts.iter().filter_map(|contact| {
            let slots = self.sessions.of(Owner::Contact(contact.number)).into_iter();
            let generation = slots.filter_map(|slot| Some(self.sessions.get(slot)?.session.generation())).max()?;
            Some(contents::Generation { account: contact.account, generation, was_contact: true, known_unix_ms })
        });
        let forgotten = self.generations.iter().map(|record| contents::Generation {
            account: record.account,
            generation: record.generation,
            was_contact: record.was_contact,
            known_unix_ms: record.forgotten_unix_ms,
        });
        let mut highest: BTreeMap<[u8; 32], contents::Generation> = BTreeMap::new();
        for known in forgotten.chain(of_contacts) {
            let generation = highest.get(&known.account).map_or(0, |before| before.generation);
            if known.generation > generation {
                highest.insert(known.account, known);
            }
        }
        highest
    }
}

/// A text on its way, unless its time to disappear runs, or a change of a message. Greetings and confirmations are made
/// anew by the restored device.
fn export_waiting(item: &Item, records: &mut Vec<BackupRecord>) {
    if let Load::Change { target, bytes } = &item.load {
        let (number, contact, message_id) = (MessageNumber(item.number), item.contact, item.message_id);
        let change = contents::WaitingChange { number, contact, message_id, target: *target, content: bytes.clone() };
        return records.push(encode(kind::WAITING_CHANGE, &change));
    }
    let Some(text) = item.text().filter(|text| text.view.expires_unix_ms.is_none()) else { return };
    let MessageView { number, expires_s, .. } = text.view;
    // What is on its way keeps its wording: some of its envelopes may have arrived.
    let mut view = text.view.clone();
    let sealed = text.sealed_text.clone().map(MessageBody::Text);
    let shown = sealed.map(|sealed| std::mem::replace(&mut view.body, sealed));
    let shown = shown.and_then(|body| if let MessageBody::Text(text) = body { Some(text) } else { None });
    if let Some(bytes) = item.file() {
        records.push(encode(kind::FILE, &contents::File { number, bytes: bytes.to_vec() }));
    }
    let message = contents::Message::new(&view, item.message_id);
    let waiting = contents::Waiting { message, answers: text.reply_to, expired_unix_ms: item.expired_unix_ms };
    records.push(encode(kind::WAITING, &waiting));
    if expires_s > 0 {
        records.push(encode(kind::WAITING_EXPIRY, &contents::WaitingExpiry { number, expires_s }));
    }
    records.extend(contents::Changed::of(&text.view, shown).map(|changed| encode(kind::CHANGED, &changed)));
}

fn invite(own: &OwnInvite) -> contents::Invite {
    contents::Invite {
        number: own.number,
        label: own.label.clone(),
        link: own.link.clone(),
        bytes: own.bytes,
        expires_unix_ms: own.expires_unix_ms,
        state: own.state,
    }
}

fn used_invite(used: &UsedInvite) -> contents::UsedInvite {
    let UsedInvite { account, key_id, used_unix_ms } = *used;
    contents::UsedInvite { account, key_id, used_unix_ms }
}

fn request(request: &Request) -> contents::Request {
    contents::Request {
        number: request.number,
        account: request.account,
        pinned: request.pinned.into(),
        name: request.name.clone(),
        received_unix_ms: request.received_unix_ms,
        card: request.card,
        messages: request.messages.clone(),
        text: request.text.clone(),
    }
}

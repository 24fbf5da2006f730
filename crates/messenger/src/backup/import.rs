//! From the records of a backup to those of a new vault, for a new device. SPEC.md, "Backup".

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use starling_e2ee::identity::{Account, DeviceList};
use thiserror::Error;

use super::contents::{self, CONTENTS_VERSION, decode, kind};
use crate::contact::Contact;
use crate::early::EarlyRecord;
use crate::file::FILE_BYTES_MAX;
use crate::generation::GenerationRecord;
use crate::invitation::{OwnInvite, Request, UsedInvite};
use crate::message_id::MessageIds;
use crate::outbox::{Item, Load, OwnText};
use crate::parts::{parts_for, parts_of};
use crate::reading::SettingsRecord;
use crate::reassembly::PartRecord;
use crate::record::{
    FileRecord, HistoryRecord, MessageIndexRecord, RecordKind, VaultKey, VaultWrite, file_key, history_key,
    message_index_key,
};
use crate::stored::{Profile, SeenRecord, early_key, number_key, part_key, put, seen_key, used_key};
use crate::turn::{ContactNumber, MessageNumber};
use crate::view::{DeliveryStage, DeliveryState, InviteState, QueuedReason, TraceLine, TraceStep};

/// Earlier device lists that are kept, the newest: each is one more device that a person had.
const PAST_LISTS_MAX: usize = 64;

/// Why records are no backup that can be restored. The file's, never a peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImportError {
    /// Written by a newer Starling.
    #[error("the contents have version {found}, and this build reads up to {supported}")]
    Newer {
        /// Version of the contents.
        found: u16,
        /// Newest version that this build reads.
        supported: u16,
    },
    /// A record is malformed, missing, or where it does not belong.
    #[error("the contents are damaged")]
    Damaged,
}

/// What is in a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// When it was made, ms since 1970.
    pub created_unix_ms: u64,
    /// Name of its network.
    pub network: String,
    /// Account key.
    pub account: [u8; 32],
    /// Own name; may be empty.
    pub name: String,
    /// Contacts.
    pub contacts: u64,
    /// Messages of all conversations.
    pub messages: u64,
    /// Those of them that were not confirmed yet, and are sent again.
    pub waiting: u64,
    /// People who wrote without an invite.
    pub requests: u64,
    /// Invites made here.
    pub invites: u64,
    /// Those of them that were open: their keys are in no backup, so they are withdrawn.
    pub open_invites: u64,
    /// Messages that could not be read when the backup was made.
    pub unreadable: u64,
}

/// The rest of a new vault's records, and what else a backup held.
#[derive(Debug)]
pub struct Restored {
    /// To be written beside those that [`Import::take`] gave.
    pub writes: Vec<VaultWrite>,
    /// What it was.
    pub summary: Summary,
    /// Network and peers, in the daemon's encoding.
    pub peers: Option<(String, Vec<u8>)>,
}

/// Takes the records of a backup, one after another.
#[derive(Default)]
pub struct Import {
    taken: u64,
    ended: bool,
    summary: Summary,
    account: Option<Account>,
    past_lists: Vec<DeviceList>,
    profile: Option<contents::Profile>,
    contacts: Vec<contents::Contact>,
    trust: BTreeMap<ContactNumber, contents::Trust>,
    expiries: BTreeMap<ContactNumber, u32>,
    waiting: BTreeSet<MessageNumber>,
    last_waiting: Option<Item>,
    last_message: Option<HistoryRecord>,
    /// The file of the message that comes next.
    file: Option<FileRecord>,
    peers: Option<(String, Vec<u8>)>,
}

impl Import {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was found so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether the end was reached.
    pub fn is_whole(&self) -> bool {
        self.ended
    }

    /// Takes the next record: what it makes in the vault.
    ///
    /// # Errors
    /// [`ImportError`] when it is not what comes next in a backup that this build reads.
    pub fn take(&mut self, kind: u16, bytes: &[u8]) -> Result<Vec<VaultWrite>, ImportError> {
        if self.ended || (self.taken == 0) != (kind == kind::HEAD) {
            return Err(ImportError::Damaged);
        }
        let writes = match kind {
            kind::HEAD => self.take_head(bytes)?,
            kind::ACCOUNT => {
                let account: Account = decode(bytes)?;
                let expected = account.public() == self.summary.account && self.account.is_none();
                self.account = Some(expected.then_some(account).ok_or(ImportError::Damaged)?);
                Vec::new()
            }
            kind::PAST_LIST => {
                let past: contents::PastList = decode(bytes)?;
                let list = DeviceList::decode(&past.list, &self.summary.account);
                self.past_lists.push(list.map_err(|_| ImportError::Damaged)?);
                Vec::new()
            }
            kind::PROFILE => {
                let profile: contents::Profile = decode(bytes)?;
                self.summary.name = profile.name.clone();
                self.profile = Some(profile);
                Vec::new()
            }
            kind::CONTACT => {
                self.contacts.push(decode(bytes)?);
                self.summary.contacts += 1;
                Vec::new()
            }
            kind::TRUST => self.take_trust(decode(bytes)?)?,
            kind::GENERATION => vec![generation(decode(bytes)?)],
            kind::INVITE => vec![self.invite(decode(bytes)?)],
            kind::USED_INVITE => vec![used_invite(decode(bytes)?)],
            kind::REQUEST => {
                self.summary.requests += 1;
                vec![request(decode(bytes)?)]
            }
            kind::WAITING => self.waiting(decode(bytes)?)?,
            kind::WAITING_EXPIRY => self.take_waiting_expiry(decode(bytes)?)?,
            kind::CHANGED => self.take_changed(decode(bytes)?)?,
            kind::WAITING_CHANGE => waiting_change(decode(bytes)?),
            kind::EARLY => vec![early(decode(bytes)?)],
            kind::PART => vec![part(decode(bytes)?)],
            kind::SETTINGS => vec![settings(decode(bytes)?)],
            kind::CONTACT_EXPIRY => self.take_contact_expiry(decode(bytes)?)?,
            kind::FILE => self.take_file(decode(bytes)?)?,
            kind::SEEN => vec![seen(decode(bytes)?)],
            kind::MESSAGE => self.message(decode(bytes)?),
            kind::PEERS => {
                let contents::Peers { network, bytes } = decode(bytes)?;
                self.peers = Some((network, bytes));
                Vec::new()
            }
            kind::END => self.take_end(&decode(bytes)?)?,
            // Within a version that this build knows, there is no kind that it does not.
            _ => return Err(ImportError::Damaged),
        };
        self.taken += 1;
        if self.file.is_some() && kind != kind::FILE {
            return Err(ImportError::Damaged);
        }
        Ok(writes)
    }

    /// It comes before its message.
    fn take_file(&mut self, file: contents::File) -> Result<Vec<VaultWrite>, ImportError> {
        let contents::File { number, bytes } = file;
        if self.file.is_some() || !(1..=FILE_BYTES_MAX).contains(&bytes.len()) {
            return Err(ImportError::Damaged);
        }
        self.file = Some(FileRecord { number, bytes });
        Ok(Vec::new())
    }

    /// The file that came before the message `record`, if that is about one.
    fn file_of(&mut self, record: &HistoryRecord) -> Option<FileRecord> {
        let is_file = record.message.body.file().is_some();
        self.file.take_if(|file| is_file && file.number == record.message.number)
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<Vec<VaultWrite>, ImportError> {
        let (version, _) = bytes.split_first_chunk::<2>().ok_or(ImportError::Damaged)?;
        let found = u16::from_le_bytes(*version);
        if found > CONTENTS_VERSION {
            return Err(ImportError::Newer { found, supported: CONTENTS_VERSION });
        }
        let head: contents::Head = decode(bytes)?;
        if head.version == 0 {
            return Err(ImportError::Damaged);
        }
        self.summary.created_unix_ms = head.created_unix_ms;
        self.summary.network = head.network;
        self.summary.account = head.account;
        Ok(Vec::new())
    }

    /// It follows its contact.
    fn take_trust(&mut self, trust: contents::Trust) -> Result<Vec<VaultWrite>, ImportError> {
        let of_last = self.contacts.last().is_some_and(|contact| contact.number == trust.contact);
        if !of_last || self.trust.insert(trust.contact, trust).is_some() {
            return Err(ImportError::Damaged);
        }
        Ok(Vec::new())
    }

    fn take_end(&mut self, end: &contents::End) -> Result<Vec<VaultWrite>, ImportError> {
        if end.records != self.taken {
            return Err(ImportError::Damaged);
        }
        self.summary.unreadable = end.unreadable;
        self.ended = true;
        Ok(Vec::new())
    }

    /// An invite whose key is gone brings nobody in: it must not look as if it did.
    fn invite(&mut self, invite: contents::Invite) -> VaultWrite {
        self.summary.invites += 1;
        let open = invite.state == InviteState::Open;
        self.summary.open_invites += u64::from(open);
        let own = OwnInvite {
            number: invite.number,
            label: invite.label,
            link: invite.link,
            bytes: invite.bytes,
            expires_unix_ms: invite.expires_unix_ms,
            state: if open { InviteState::Revoked } else { invite.state },
            key: None,
        };
        put(number_key(RecordKind::Invite, own.number.0), &own)
    }

    /// A text that goes out again, to whatever device its recipient has now. The history shows it as the outbox does,
    /// whatever became of it while the history was read.
    fn waiting(&mut self, waiting: contents::Waiting) -> Result<Vec<VaultWrite>, ImportError> {
        let contents::Waiting { message, answers, expired_unix_ms } = waiting;
        let record = message.into_record();
        let view = record.message.clone();
        let number = view.number;
        self.summary.waiting += u64::from(expired_unix_ms.is_none());
        self.summary.messages += 1;
        self.waiting.insert(number);
        let queued = TraceLine { at_unix_ms: view.created_unix_ms, step: TraceStep::Queued };
        let file = self.file_of(&record);
        if record.message.body.file().is_some() != file.is_some() {
            return Err(ImportError::Damaged);
        }
        let bytes = file.as_ref().map(|file| file.bytes.as_slice().into());
        let load = Load::Text(Box::new(OwnText { view, reply_to: answers, sealed_text: None, file: bytes }));
        let mut item = Item::new(number.0, record.message.contact, record.message_id, load);
        item.expired_unix_ms = expired_unix_ms;
        item.lines.push(queued);
        let mut writes = history(&record);
        writes.extend(outbox(&mut item));
        if let Some(file) = file {
            writes.push(put(number_key(RecordKind::WaitingFile, number.0), &file));
            writes.push(put(file_key(record.message.contact, number), &file));
        }
        self.last_waiting = Some(item);
        Ok(writes)
    }

    /// It follows its text, which is written again with it.
    fn take_waiting_expiry(&mut self, expiry: contents::WaitingExpiry) -> Result<Vec<VaultWrite>, ImportError> {
        let contents::WaitingExpiry { number, expires_s } = expiry;
        let item = self.last_waiting.as_mut().filter(|item| item.number == number.0).ok_or(ImportError::Damaged)?;
        let view = item.view_mut().filter(|view| view.expires_s == 0).ok_or(ImportError::Damaged)?;
        view.expires_s = expires_s;
        waiting_again(item)
    }

    /// It follows its message, which is written again with it.
    fn take_changed(&mut self, changed: contents::Changed) -> Result<Vec<VaultWrite>, ImportError> {
        let number = changed.number;
        if let Some(mut item) = self.last_waiting.take().filter(|item| item.number == number.0) {
            let Load::Text(text) = &mut item.load else { return Err(ImportError::Damaged) };
            text.sealed_text = changed.apply(&mut text.view);
            return waiting_again(&item);
        }
        let Some(mut record) = self.last_message.take().filter(|record| record.message.number == number) else {
            // Of a message that waits, and was taken with what has changed about it.
            return if self.waiting.contains(&number) { Ok(Vec::new()) } else { Err(ImportError::Damaged) };
        };
        changed.apply(&mut record.message);
        Ok(history(&record))
    }

    /// It follows its contact.
    fn take_contact_expiry(&mut self, expiry: contents::ContactExpiry) -> Result<Vec<VaultWrite>, ImportError> {
        let contents::ContactExpiry { contact, expires_s } = expiry;
        let of_last = self.contacts.last().is_some_and(|last| last.number == contact);
        if !of_last || self.expiries.insert(contact, expires_s).is_some() {
            return Err(ImportError::Damaged);
        }
        Ok(Vec::new())
    }

    fn message(&mut self, message: contents::Message) -> Vec<VaultWrite> {
        let waits = self.waiting.contains(&message.number());
        let record = message.into_record();
        let file = self.file_of(&record);
        if waits {
            return Vec::new();
        }
        self.summary.messages += 1;
        let mut writes = history(&record);
        writes.extend(file.map(|file| put(file_key(record.message.contact, file.number), &file)));
        self.last_message = Some(record);
        writes
    }

    /// All records were taken: makes the new device, at `now_unix_ms`, and the rest of its vault.
    ///
    /// Numbers of messages and sequences go on above everything that the old device may have used since the backup was
    /// made, and any other device that was restored from it: at the present ms since 1970, or those of the backup if this
    /// computer's clock is behind. A message id that was used twice would be taken for a copy.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when the end was not reached, or something is missing.
    pub fn finish(self, now_unix_ms: u64, rng: &mut impl CryptoRng) -> Result<Restored, ImportError> {
        let Self { ended: true, summary, account: Some(account), profile: Some(profile), .. } = self else {
            return Err(ImportError::Damaged);
        };
        let mut writes = Vec::new();
        let mut lists: BTreeMap<u32, DeviceList> = BTreeMap::new();
        for list in self.past_lists.into_iter().chain([account.list().clone()]) {
            lists.insert(list.head(&summary.account).version, list);
        }
        let spare = lists.len().saturating_sub(PAST_LISTS_MAX);
        for (version, list) in lists.into_iter().skip(spare) {
            writes.push(put(VaultKey::ordered(RecordKind::PastList, [], u64::from(version)), &list));
        }
        let ids = MessageIds::new(*profile.message_key);
        let count_from = now_unix_ms.max(summary.created_unix_ms);
        let mut next_message = profile.next_message.max(count_from);
        let mut trust = self.trust;
        for contact in self.contacts {
            let number = contact.number;
            if !contact.blocked {
                let item = greeting(number, MessageNumber(next_message), &ids);
                writes.push(put(VaultKey::ordered(RecordKind::Outbox, [], item.number), &item));
                next_message += 1;
            }
            let mut contact = Contact::from_backup(contact, trust.remove(&number), count_from);
            contact.expires_s = self.expiries.get(&number).copied().unwrap_or(0);
            writes.push(put(number_key(RecordKind::Contact, number.0), &contact));
        }
        let identity = account.new_device(rng).map_err(|_| ImportError::Damaged)?;
        writes.push(put(VaultKey::single(RecordKind::Identity), &identity));
        writes.push(put(VaultKey::single(RecordKind::Profile), &Profile::from_backup(profile, next_message)));
        Ok(Restored { writes, summary, peers: self.peers })
    }
}

/// The first thing a contact hears from the new device: else it would learn of it only by looking for its bundle.
fn greeting(contact: ContactNumber, number: MessageNumber, ids: &MessageIds) -> Item {
    Item::new(number.0, contact, ids.id(number), Load::Greeting)
}

fn history(record: &HistoryRecord) -> Vec<VaultWrite> {
    let (number, contact) = (record.message.number, record.message.contact);
    vec![
        put(history_key(contact, number), record),
        put(message_index_key(number), &MessageIndexRecord { number, contact }),
    ]
}

/// A text on its way, and what people see of it, written again.
fn waiting_again(item: &Item) -> Result<Vec<VaultWrite>, ImportError> {
    let message = item.text().map(|text| text.view.clone()).ok_or(ImportError::Damaged)?;
    let mut writes = history(&HistoryRecord { message, message_id: item.message_id });
    writes.push(put(VaultKey::ordered(RecordKind::Outbox, [], item.number), item));
    Ok(writes)
}

fn waiting_change(change: contents::WaitingChange) -> Vec<VaultWrite> {
    let contents::WaitingChange { number, contact, message_id, target, content } = change;
    outbox(&mut Item::new(number.0, contact, message_id, Load::Change { target, bytes: content }))
}

/// An item on its way, with the parts in which it goes: they had the same numbers on the device before.
fn outbox(item: &mut Item) -> Vec<VaultWrite> {
    let content_bytes = match &item.load {
        Load::Text(text) => text.content().len(),
        Load::Change { bytes, .. } => bytes.len(),
        _ => 0,
    };
    item.parts = parts_for(content_bytes);
    let stage = if item.expired_unix_ms.is_some() { DeliveryStage::Expired } else { DeliveryStage::Queued };
    let state = DeliveryState {
        stage,
        since_unix_ms: 0,
        held_by: 0,
        neighbours: 0,
        until_unix_ms: None,
        reason: (stage == DeliveryStage::Queued).then_some(QueuedReason::Stamping),
        attempts: 0,
        parts: None,
    };
    let mut parts = parts_of(item, state);
    parts.iter_mut().for_each(|part| part.expired_unix_ms = item.expired_unix_ms);
    let write = |item: &Item| put(VaultKey::ordered(RecordKind::Outbox, [], item.number), item);
    [&*item].into_iter().chain(&parts).map(write).collect()
}

fn part(part: contents::Part) -> VaultWrite {
    let contents::Part { account, message_id, part, of, bytes, unix_ms } = part;
    let record = PartRecord { key: (account, message_id), part, of, bytes, unix_ms };
    put(part_key(record.key, part), &record)
}

fn settings(settings: contents::Settings) -> VaultWrite {
    let contents::Settings { read_receipts } = settings;
    put(VaultKey::single(RecordKind::Settings), &SettingsRecord { read_receipts })
}

fn early(early: contents::Early) -> VaultWrite {
    let record = EarlyRecord::from(early);
    put(early_key(record.key), &record)
}

fn generation(known: contents::Generation) -> VaultWrite {
    let record = GenerationRecord {
        account: known.account,
        generation: known.generation,
        was_contact: known.was_contact,
        forgotten_unix_ms: known.known_unix_ms,
    };
    put(VaultKey::named(RecordKind::Generation, record.account), &record)
}

fn used_invite(used: contents::UsedInvite) -> VaultWrite {
    let contents::UsedInvite { account, key_id, used_unix_ms } = used;
    put(used_key((account, key_id)), &UsedInvite { account, key_id, used_unix_ms })
}

fn request(asking: contents::Request) -> VaultWrite {
    let request = Request {
        number: asking.number,
        account: asking.account,
        pinned: asking.pinned.into(),
        name: asking.name,
        received_unix_ms: asking.received_unix_ms,
        card: asking.card,
        messages: asking.messages,
        text: asking.text,
    };
    put(number_key(RecordKind::Request, request.number.0), &request)
}

fn seen(seen: contents::Seen) -> VaultWrite {
    let key = (seen.account, seen.message_id);
    put(seen_key(key), &SeenRecord { key, number: seen.number, unix_ms: seen.unix_ms })
}

//! What is stored, kind by kind, and how a messenger comes back from it. SPEC: B10, B15 (vault records).
//!
//! A step notes which records it touched; at its end each is written as the state then is, or deleted when
//! what it describes has gone. So a record is never out of step with the state that acts on it.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use starling_e2ee::identity::{DeviceList, Identity};
use starling_e2ee::prekey::Prekeys;
use starling_e2ee::session::{SessionId, SkippedKey};
use starling_relay::pool::EnvelopePool;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::backup::contents as backup;
use crate::clock::KnownTime;
use crate::command::ClientIdRecord;
use crate::contact::Contact;
use crate::early::EarlyRecord;
use crate::expiry::ExpiryRecord;
use crate::generation::GenerationRecord;
use crate::invitation::{OwnInvite, Request, UsedInvite};
use crate::message_id::MessageIds;
use crate::messenger::{Messenger, Setup};
use crate::outbox::Item;
use crate::post::{Post, PostId};
use crate::reading::{ReadsRecord, SettingsRecord};
use crate::reassembly::PartRecord;
use crate::receipt::ContactReceipts;
use crate::record::{
    FileRecord, HistoryRecord, MessageIndexRecord, RecordError, RecordKind, TraceRecord, VaultImage, VaultKey,
    VaultWrite, decode_record, encode_record, file_key, history_key, message_index_key, trace_key,
};
use crate::seen::SeenKey;
use crate::sessions::SessionRecord;
use crate::turn::{ContactNumber, InviteNumber, MessageNumber, Now, RequestNumber, Turn};
use crate::view::{DeliveryStage, MessageView, TraceLine};

/// A record that a step touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dirty {
    Identity,
    Prekeys,
    Profile,
    Invite(InviteNumber),
    UsedInvite(([u8; 32], u64)),
    Contact(ContactNumber),
    Session(SessionId),
    FirstContact([u8; 32]),
    Outbox(u64),
    Acks(ContactNumber),
    Cursor,
    Request(RequestNumber),
    ClientId([u8; 16]),
    BundlePost,
    Generation([u8; 32]),
    Time,
    Expiry(MessageNumber),
    Early(SeenKey),
    Part(SeenKey, u8),
    WaitingFile(u64),
    Reads(ContactNumber),
    Settings,
}

/// Own name, where mail is read, and the counters.
#[derive(Serialize, Deserialize)]
pub(crate) struct Profile {
    /// The name that friends see; may be empty.
    pub(crate) name: String,
    /// Drawn once, never rotated.
    pub(crate) shard: u32,
    /// The key to our bundles, given to those who may write to us.
    pub(crate) address: Zeroizing<[u8; 32]>,
    /// Makes message ids.
    pub(crate) message_key: Zeroizing<[u8; 32]>,
    /// Counts messages and other outbox items.
    next_message: u64,
    next_contact: u64,
    next_invite: u64,
    next_request: u64,
}

impl Profile {
    /// A new one.
    pub(crate) fn generate(name: String, rng: &mut impl CryptoRng) -> Self {
        let (mut address, mut message_key) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        rng.fill_bytes(address.as_mut_slice());
        rng.fill_bytes(message_key.as_mut_slice());
        let shard = rng.next_u32();
        Self { name, shard, address, message_key, next_message: 1, next_contact: 1, next_invite: 1, next_request: 1 }
    }
}

impl Profile {
    /// As it stands in a backup.
    pub(crate) fn to_backup(&self) -> backup::Profile {
        backup::Profile {
            name: self.name.clone(),
            shard: self.shard,
            address: self.address.clone(),
            message_key: self.message_key.clone(),
            next_message: self.next_message,
            next_contact: self.next_contact,
            next_invite: self.next_invite,
            next_request: self.next_request,
        }
    }

    /// Of a backup: address and shard stay, by them contacts find this account's mail.
    pub(crate) fn from_backup(profile: backup::Profile, next_message: u64) -> Self {
        Self {
            name: profile.name,
            shard: profile.shard,
            address: profile.address,
            message_key: profile.message_key,
            next_message,
            next_contact: profile.next_contact,
            next_invite: profile.next_invite,
            next_request: profile.next_request,
        }
    }
}

fn count(counter: &mut u64) -> u64 {
    let number = *counter;
    *counter += 1;
    number
}

/// A first contact that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstContactRecord {
    /// H(EK || ct).
    pub(crate) digest: [u8; 32],
    /// The bundle of ours that it was made with: with its private halves ends the reason to remember.
    pub(crate) bundle_seq: u32,
    /// The session it made.
    pub(crate) session: SessionId,
}

/// A received message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenRecord {
    /// Account and message id.
    pub(crate) key: SeenKey,
    /// Local number, if it was one to show.
    pub(crate) number: Option<MessageNumber>,
    /// When it came, ms since 1970.
    pub(crate) unix_ms: u64,
}

/// Acknowledgements of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AcksRecord {
    contact: ContactNumber,
    receipts: ContactReceipts,
}

/// Arrival cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct CursorRecord {
    arrival: u64,
}

/// A wall clock time that was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct TimeRecord {
    unix_ms: u64,
}

/// Why a messenger cannot start from what is stored: our disk, or a newer Starling wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// A record cannot be read.
    #[error("a stored record of kind {kind:?} cannot be read: {error}")]
    Record {
        /// Of this kind.
        kind: RecordKind,
        /// Why.
        error: RecordError,
    },
    /// A record without which there is no account.
    #[error("the stored record of kind {0:?} is missing")]
    Missing(RecordKind),
}

/// Sets a record.
pub(crate) fn put<T: Serialize>(key: VaultKey, value: &T) -> VaultWrite {
    VaultWrite::Put { key, value: encode_record(value) }
}

fn put_or_delete<T: Serialize>(key: VaultKey, value: Option<&T>) -> VaultWrite {
    match value {
        Some(value) => put(key, value),
        None => VaultWrite::Delete { key },
    }
}

/// Where a received message id lies.
pub(crate) fn seen_key((account, id): SeenKey) -> VaultKey {
    VaultKey::named(RecordKind::Seen, [account.as_slice(), &id].concat())
}

/// Where changes of a message that has not come lie.
pub(crate) fn early_key((account, id): SeenKey) -> VaultKey {
    VaultKey::named(RecordKind::Early, [account.as_slice(), &id].concat())
}

/// Where a part of a content that is not whole lies.
pub(crate) fn part_key((account, id): SeenKey, part: u8) -> VaultKey {
    VaultKey::named(RecordKind::Part, [account.as_slice(), &id, &[part]].concat())
}

/// Where an invite used here lies.
pub(crate) fn used_key((account, key_id): ([u8; 32], u64)) -> VaultKey {
    VaultKey::named(RecordKind::UsedInvite, [account.as_slice(), &key_id.to_le_bytes()].concat())
}

/// Where a numbered record lies.
pub(crate) fn number_key(kind: RecordKind, number: u64) -> VaultKey {
    VaultKey::named(kind, number.to_le_bytes())
}

impl<P: EnvelopePool> Messenger<P> {
    /// Turns what the step touched into writes.
    pub(crate) fn write_dirty(&mut self) {
        for dirty in std::mem::take(&mut self.dirty) {
            let write = self.write_of(dirty);
            self.turn.writes.push(write);
        }
    }

    fn write_of(&self, dirty: Dirty) -> VaultWrite {
        match dirty {
            Dirty::Identity => put(VaultKey::single(RecordKind::Identity), &self.identity),
            Dirty::Prekeys => put(VaultKey::single(RecordKind::Prekeys), &self.prekeys),
            Dirty::Profile => put(VaultKey::single(RecordKind::Profile), &self.profile),
            Dirty::Invite(number) => {
                put_or_delete(number_key(RecordKind::Invite, number.0), self.invitations.own.get(&number))
            }
            Dirty::UsedInvite(key) => put_or_delete(used_key(key), self.invitations.used.get(&key)),
            Dirty::Contact(number) => {
                put_or_delete(number_key(RecordKind::Contact, number.0), self.contacts.get(number))
            }
            Dirty::Session(id) => {
                put_or_delete(VaultKey::named(RecordKind::Session, id.0), self.sessions.record(id).as_ref())
            }
            Dirty::FirstContact(digest) => {
                put_or_delete(VaultKey::named(RecordKind::FirstContact, digest), self.first_contacts.get(&digest))
            }
            Dirty::Outbox(number) => {
                put_or_delete(VaultKey::ordered(RecordKind::Outbox, [], number), self.outbox.get(number))
            }
            Dirty::Acks(contact) => {
                let receipts = self.receipts.get(contact).cloned();
                let record = receipts.map(|receipts| AcksRecord { contact, receipts });
                put_or_delete(number_key(RecordKind::Acks, contact.0), record.as_ref())
            }
            Dirty::Cursor => {
                put(VaultKey::single(RecordKind::Cursor), &CursorRecord { arrival: self.inbox.stored_cursor() })
            }
            Dirty::Request(number) => {
                put_or_delete(number_key(RecordKind::Request, number.0), self.invitations.requests.get(&number))
            }
            Dirty::ClientId(id) => put_or_delete(VaultKey::named(RecordKind::ClientId, id), self.client_ids.get(&id)),
            Dirty::Generation(account) => {
                put_or_delete(VaultKey::named(RecordKind::Generation, account), self.generations.get(&account))
            }
            Dirty::Time => {
                put(VaultKey::single(RecordKind::Time), &TimeRecord { unix_ms: self.known_time.stored_unix_ms() })
            }
            Dirty::Expiry(number) => put_or_delete(number_key(RecordKind::Expiry, number.0), self.expiries.get(number)),
            Dirty::Early(key) => put_or_delete(early_key(key), self.early.get(&key)),
            Dirty::Part(key, part) => put_or_delete(part_key(key, part), self.reassembly.get(&key, part)),
            Dirty::WaitingFile(number) => {
                let file = self.outbox.get(number).and_then(Item::file);
                let record = file.map(|bytes| FileRecord { number: MessageNumber(number), bytes: bytes.to_vec() });
                put_or_delete(number_key(RecordKind::WaitingFile, number), record.as_ref())
            }
            Dirty::Reads(contact) => put_or_delete(number_key(RecordKind::Reads, contact.0), self.reads.get(contact)),
            Dirty::Settings => put(VaultKey::single(RecordKind::Settings), &self.reads.settings()),
            Dirty::BundlePost => put_or_delete(VaultKey::single(RecordKind::BundlePost), self.bundle_post.as_ref()),
        }
    }

    fn write<T: Serialize>(&mut self, key: VaultKey, value: &T) {
        self.turn.writes.push(put(key, value));
    }

    fn delete(&mut self, key: VaultKey) {
        self.turn.writes.push(VaultWrite::Delete { key });
    }

    /// Writes a message into its conversation; the first time also where to find it.
    pub(crate) fn write_history(&mut self, message: &MessageView, message_id: [u8; 16], first: bool) {
        let (number, contact) = (message.number, message.contact);
        self.write(history_key(contact, number), &HistoryRecord { message: message.clone(), message_id });
        if first {
            self.write(message_index_key(number), &MessageIndexRecord { number, contact });
        }
    }

    /// Writes the bytes of a file beside the conversation.
    pub(crate) fn write_file(&mut self, contact: ContactNumber, record: FileRecord) {
        self.write(file_key(contact, record.number), &record);
    }

    /// Writes a final message's life.
    pub(crate) fn write_trace(&mut self, number: MessageNumber, lines: Vec<TraceLine>) {
        self.write(trace_key(number), &TraceRecord { number, lines });
    }

    /// Stores a skipped message key.
    pub(crate) fn write_skipped(&mut self, key: &SkippedKey) {
        let name = [key.session().0.as_slice(), &key.tag().0].concat();
        self.write(VaultKey::named(RecordKind::Skipped, name), key);
    }

    /// Erases a skipped message key.
    pub(crate) fn delete_skipped(&mut self, session: SessionId, tag: starling_e2ee::seal::Tag) {
        self.delete(VaultKey::named(RecordKind::Skipped, [session.0.as_slice(), &tag.0].concat()));
    }

    /// Remembers a received message id.
    pub(crate) fn remember_seen(&mut self, key: SeenKey, number: Option<MessageNumber>) {
        let unix_ms = self.now.unix_ms;
        self.write(seen_key(key), &SeenRecord { key, number, unix_ms });
        if let Some(gone) = self.seen.insert(key, number, unix_ms) {
            self.delete(seen_key(gone));
        }
    }

    /// Forgets message ids whose time is over.
    pub(crate) fn expire_seen(&mut self) {
        for key in self.seen.expire(self.now.unix_ms) {
            self.delete(seen_key(key));
        }
    }

    /// A number for a message or another outbox item.
    pub(crate) fn count_message(&mut self) -> MessageNumber {
        self.mark(Dirty::Profile);
        MessageNumber(count(&mut self.profile.next_message))
    }

    /// The number that comes next.
    pub(crate) fn next_message(&self) -> MessageNumber {
        MessageNumber(self.profile.next_message)
    }

    /// Whether `number` was given to a message or another outbox item.
    pub(crate) fn was_counted(&self, number: MessageNumber) -> bool {
        number.0 > 0 && number.0 < self.profile.next_message
    }

    /// A number for a contact.
    pub(crate) fn count_contact(&mut self) -> ContactNumber {
        self.mark(Dirty::Profile);
        ContactNumber(count(&mut self.profile.next_contact))
    }

    /// A number for an invite.
    pub(crate) fn count_invite(&mut self) -> InviteNumber {
        self.mark(Dirty::Profile);
        InviteNumber(count(&mut self.profile.next_invite))
    }

    /// A number for a contact request.
    pub(crate) fn count_request(&mut self) -> RequestNumber {
        self.mark(Dirty::Profile);
        RequestNumber(count(&mut self.profile.next_request))
    }

    /// Takes up everything that was under way when `image` was last written.
    ///
    /// # Errors
    /// [`RestoreError`] when a record is damaged, missing, or of a newer version; nothing was changed then.
    pub fn restore(
        setup: Setup,
        image: VaultImage,
        pool: P,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Turn), RestoreError> {
        let mut loaded = Loaded::default();
        for (kind, value) in &image.records {
            loaded.take(*kind, value).map_err(|error| RestoreError::Record { kind: *kind, error })?;
        }
        let identity = loaded.identity.take().ok_or(RestoreError::Missing(RecordKind::Identity))?;
        let prekeys = loaded.prekeys.take().unwrap_or_default();
        let profile = loaded.profile.take().ok_or(RestoreError::Missing(RecordKind::Profile))?;
        let mut messenger = Self::empty(setup, pool, now, identity, prekeys, profile);
        messenger.ids = MessageIds::new(*messenger.profile.message_key);
        messenger.take_loaded(loaded);
        messenger.begin(rng);
        let turn = messenger.finish_step(rng);
        Ok((messenger, turn))
    }

    fn take_loaded(&mut self, mut loaded: Loaded) {
        loaded.contacts.into_iter().for_each(|contact| self.contacts.insert(contact));
        for record in loaded.sessions {
            let mut session = record.session;
            session.restore_skipped(loaded.skipped.remove(&session.id()).unwrap_or_default());
            self.sessions.insert(session, record.owner);
        }
        self.invitations.own.extend(loaded.invites.into_iter().map(|invite| (invite.number, invite)));
        for used in loaded.used_invites {
            self.invitations.remember_used(used);
        }
        self.invitations.requests.extend(loaded.requests.into_iter().map(|request| (request.number, request)));
        self.first_contacts.extend(loaded.first_contacts.into_iter().map(|record| (record.digest, record)));
        for record in loaded.seen {
            self.seen.insert(record.key, record.number, record.unix_ms);
        }
        self.seen.sort();
        loaded.acks.into_iter().for_each(|record| self.receipts.restore(record.contact, record.receipts));
        loaded.reads.into_iter().for_each(|record| self.reads.restore(record));
        self.reads.restore_settings(loaded.settings);
        loaded.expiries.into_iter().for_each(|record| self.expiries.insert(record));
        loaded.parts.into_iter().for_each(|record| self.reassembly.restore(record));
        loaded.early.into_iter().for_each(|record| self.early.restore(record));
        loaded.client_ids.into_iter().for_each(|record| self.client_ids.restore(record));
        self.inbox.restore_cursor(loaded.cursor.map_or(0, |record| record.arrival));
        self.pool.skip_arrivals_to(self.inbox.stored_cursor());
        for mut item in loaded.outbox {
            item.set_file(loaded.files.remove(&item.number));
            let queued = item.text().is_some_and(|text| text.view.state.stage == DeliveryStage::Queued);
            self.recovered += u32::from(queued);
            self.outbox.insert(item);
        }
        // Its bytes could not be read, so it can go nowhere any more; all else goes on.
        let lost = self.outbox.iter().filter(|item| item.is_file() && item.file().is_none());
        for number in lost.map(|item| item.number).collect::<Vec<_>>() {
            self.give_up(number);
        }
        for record in loaded.generations {
            self.generations.remember(record);
        }
        loaded.past_lists.sort_by_key(|list| list.head(&self.identity.public().account).version);
        self.past_lists = loaded.past_lists;
        if let Some(time) = loaded.time {
            self.known_time = KnownTime::restored(time.unix_ms, self.now);
        }
        self.bundle_post = loaded.bundle_post;
        if let Some(id) = self.bundle_post.as_ref().and_then(Post::id) {
            self.outbox.remember_id(id, PostId::Bundle);
        }
    }
}

/// Everything read from an image.
#[derive(Default)]
struct Loaded {
    identity: Option<Identity>,
    prekeys: Option<Prekeys>,
    profile: Option<Profile>,
    invites: Vec<OwnInvite>,
    used_invites: Vec<UsedInvite>,
    contacts: Vec<Contact>,
    sessions: Vec<SessionRecord>,
    skipped: BTreeMap<SessionId, Vec<SkippedKey>>,
    first_contacts: Vec<FirstContactRecord>,
    outbox: Vec<Item>,
    seen: Vec<SeenRecord>,
    acks: Vec<AcksRecord>,
    cursor: Option<CursorRecord>,
    requests: Vec<Request>,
    client_ids: Vec<ClientIdRecord>,
    bundle_post: Option<Post>,
    generations: Vec<GenerationRecord>,
    past_lists: Vec<DeviceList>,
    time: Option<TimeRecord>,
    expiries: Vec<ExpiryRecord>,
    early: Vec<EarlyRecord>,
    parts: Vec<PartRecord>,
    /// Bytes of files on their way, by the number of their item.
    files: BTreeMap<u64, Vec<u8>>,
    reads: Vec<ReadsRecord>,
    settings: SettingsRecord,
}

impl Loaded {
    fn take(&mut self, kind: RecordKind, value: &[u8]) -> Result<(), RecordError> {
        match kind {
            RecordKind::Identity => self.identity = Some(decode_record(value)?),
            RecordKind::Prekeys => self.prekeys = Some(decode_record(value)?),
            RecordKind::Profile => self.profile = Some(decode_record(value)?),
            RecordKind::Invite => self.invites.push(decode_record(value)?),
            RecordKind::UsedInvite => self.used_invites.push(decode_record(value)?),
            RecordKind::Contact => self.contacts.push(decode_record(value)?),
            RecordKind::Session => self.sessions.push(decode_record(value)?),
            RecordKind::Skipped => {
                let key: SkippedKey = decode_record(value)?;
                self.skipped.entry(key.session()).or_default().push(key);
            }
            RecordKind::FirstContact => self.first_contacts.push(decode_record(value)?),
            RecordKind::Outbox => self.outbox.push(decode_record(value)?),
            RecordKind::Seen => self.seen.push(decode_record(value)?),
            RecordKind::Acks => self.acks.push(decode_record(value)?),
            RecordKind::Cursor => self.cursor = Some(decode_record(value)?),
            RecordKind::Request => self.requests.push(decode_record(value)?),
            RecordKind::ClientId => self.client_ids.push(decode_record(value)?),
            RecordKind::BundlePost => self.bundle_post = Some(decode_record(value)?),
            RecordKind::PastList => self.past_lists.push(decode_record(value)?),
            RecordKind::Generation => self.generations.push(decode_record(value)?),
            RecordKind::Time => self.time = Some(decode_record(value)?),
            RecordKind::Expiry => self.expiries.push(decode_record(value)?),
            RecordKind::Part => self.parts.push(decode_record(value)?),
            RecordKind::Early => self.early.push(decode_record(value)?),
            RecordKind::WaitingFile => {
                let record: FileRecord = decode_record(value)?;
                self.files.insert(record.number.0, record.bytes);
            }
            RecordKind::Reads => self.reads.push(decode_record(value)?),
            RecordKind::Settings => self.settings = decode_record(value)?,
            RecordKind::History
            | RecordKind::MessageIndex
            | RecordKind::Event
            | RecordKind::Node
            | RecordKind::Trace
            | RecordKind::PageKey
            | RecordKind::File => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_e2ee::seal::Class;
    use starling_wire::limits::{BODY_LARGE_BYTES, NAME_BYTES_MAX};

    use super::*;
    use crate::command::TEXT_BYTES_MAX;
    use crate::outbox::{Load, OwnText};
    use crate::parts::part_bytes;
    use crate::post::Unstamped;
    use crate::record::RECORD_BYTES_MAX;
    use crate::view::{DeliveryState, MessageBody, Reaction, TraceStep};

    fn bytes<T: Serialize>(value: &T) -> u64 {
        encode_record(value).len() as u64
    }

    fn message(body: MessageBody) -> MessageView {
        let state = DeliveryState {
            stage: DeliveryStage::Delivered,
            since_unix_ms: 1,
            held_by: 1,
            neighbours: 1,
            until_unix_ms: Some(1),
            reason: None,
            attempts: 1,
            parts: None,
        };
        MessageView {
            number: MessageNumber(1),
            contact: ContactNumber(1),
            own: false,
            sequence: 1,
            body,
            created_unix_ms: 1,
            received_unix_ms: Some(1),
            reply_to: Some(MessageNumber(1)),
            client_id: Some([1; 16]),
            state,
            expires_s: 1,
            expires_unix_ms: Some(1),
            edited_unix_ms: Some(1),
            revision: 1,
            deleted: false,
            reactions: [true, false].map(|own| Reaction { own, emoji: "x".repeat(32), counter: 1 }).to_vec(),
        }
    }

    /// Each record that grows with what peers send, at its largest, is under half of what a record may have.
    #[test]
    fn no_peer_can_make_a_record_too_large() {
        let room = Class::Large.room_bytes();
        let history = |body| bytes(&HistoryRecord { message: message(body), message_id: [1; 16] });
        let mut sizes = vec![
            history(MessageBody::Text("a".repeat(TEXT_BYTES_MAX))),
            history(MessageBody::Unknown { kind: 9, bytes: vec![1; room] }),
        ];
        let text = MessageBody::Text("a".repeat(TEXT_BYTES_MAX));
        let own = OwnText {
            view: message(text),
            reply_to: Some([1; 16]),
            sealed_text: Some("a".repeat(TEXT_BYTES_MAX)),
            file: None,
        };
        let mut whole = own.clone();
        whole.view.body = MessageBody::Text("a".repeat(part_bytes(Class::Large)));
        whole.sealed_text = Some("a".repeat(part_bytes(Class::Large)));
        let mut item = Item::new(1, ContactNumber(1), [1; 16], Load::Text(Box::new(whole)));
        for at in 0..1_000 {
            item.trace(at, TraceStep::Held { by: 1, of: 1 });
        }
        let (topic, epoch) = (starling_wire::envelope::TopicId(0), starling_wire::envelope::Epoch(1));
        let (tag, body) = (starling_wire::envelope::Tag([1; 16]), vec![1; BODY_LARGE_BYTES]);
        // One that goes in parts has no envelope of its own.
        let mut head = item.clone();
        head.load = Load::Text(Box::new(own));
        sizes.push(bytes(&head));
        item.post = Some(Post::new(Unstamped { topic, epoch, tag, ephemeral: [1; 32], body }, 1));
        sizes.push(bytes(&item));
        sizes.push(bytes(&TraceRecord { number: MessageNumber(1), lines: item.lines }));
        let mut receipts = crate::receipt::Receipts::default();
        for number in 0..5_000u128 {
            receipts.add(ContactNumber(1), number.to_le_bytes(), 1);
        }
        let receipts = receipts.get(ContactNumber(1)).unwrap().clone();
        sizes.push(bytes(&AcksRecord { contact: ContactNumber(1), receipts }));
        sizes.push(bytes(&SeenRecord { key: ([1; 32], [1; 16]), number: Some(MessageNumber(1)), unix_ms: 1 }));
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let identity = Identity::generate(&mut rng);
        let mut prekeys = Prekeys::new();
        for hour in (0..20_000).step_by(100) {
            prekeys.renew(&identity, 1, hour, &mut rng);
        }
        sizes.push(bytes(&prekeys));
        sizes.push(bytes(&Contact::new(ContactNumber(1), "a".repeat(NAME_BYTES_MAX), [1; 32], 1)));
        assert!(sizes.iter().all(|&size| size < RECORD_BYTES_MAX / 2), "{sizes:?}");
    }
}

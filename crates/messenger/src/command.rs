//! What a person asks of the node: status, name, sending, tracing. Contacts and invites are in `people`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::Class;
use starling_wire::limits::{CAPTION_BYTES_MAX, MESSAGE_BYTES_MAX};

use crate::contact::{Contact, check_name};
use crate::expiry::check_expiry;
use crate::file::{FILE_BYTES_MAX, FileView, Voice, is_ogg_opus};
use crate::messenger::Messenger;
use crate::outbox::{Item, Load, OUTBOX_BYTES_MAX, Outbox, OwnText};
use crate::parts::part_bytes;
use crate::record::FileRecord;
use crate::stored::Dirty;
use crate::turn::{Command, CommandError, ContactNumber, MessageNumber, OutgoingFile, Output, Reply, RequestId};
use crate::view::UndeliveredView;
use crate::view::{DeliveryStage, DeliveryState, Event, MessageBody, MessageView, QueuedReason, StatusView, TraceStep};

/// Free bytes below which nothing is accepted that could be lost.
pub const DISK_REFUSES_BYTES: u64 = 32 << 20;
/// Free bytes below which people are warned and strangers' mail is no longer stored.
pub const DISK_WARNS_BYTES: u64 = 256 << 20;
/// Callers' ids that are remembered; beyond it the one of the oldest message goes.
const CLIENT_IDS_MAX: usize = 16_384;

/// What a repeated send must answer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientIdRecord {
    client_id: [u8; 16],
    number: MessageNumber,
    contact: ContactNumber,
    sequence: u64,
    created_unix_ms: u64,
    reply_to: Option<MessageNumber>,
    /// The last state, once the message has left the outbox.
    state: DeliveryState,
    expires_s: u32,
}

/// Callers' ids of messages.
#[derive(Default)]
pub(crate) struct ClientIds {
    by_id: BTreeMap<[u8; 16], ClientIdRecord>,
    order: BTreeSet<(MessageNumber, [u8; 16])>,
}

impl ClientIds {
    /// Takes up what was stored.
    pub(crate) fn restore(&mut self, record: ClientIdRecord) {
        self.order.insert((record.number, record.client_id));
        self.by_id.insert(record.client_id, record);
    }

    /// Remembers one; the one that had to go for it.
    fn insert(&mut self, record: ClientIdRecord) -> Option<[u8; 16]> {
        self.restore(record);
        if self.by_id.len() <= CLIENT_IDS_MAX {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        self.by_id.remove(&oldest);
        Some(oldest)
    }

    /// What is known under `id`.
    pub(crate) fn get(&self, id: &[u8; 16]) -> Option<&ClientIdRecord> {
        self.by_id.get(id)
    }

    /// The message is final.
    pub(crate) fn set_state(&mut self, id: &[u8; 16], state: DeliveryState) {
        if let Some(record) = self.by_id.get_mut(id) {
            record.state = state;
        }
    }
}

/// Bytes of the longest text. One that is too long for an envelope goes in parts.
pub const TEXT_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

impl Outbox {
    /// Whether no more files are taken, nor what goes in parts.
    fn is_full_of_bytes(&self) -> bool {
        let open = self.iter().filter(|item| item.expired_unix_ms.is_none());
        open.map(Item::bytes_in_parts).sum::<usize>() >= OUTBOX_BYTES_MAX
    }

    /// Texts that wait on this computer, and texts that nobody confirmed and nobody gave up.
    fn counts(&self) -> (u32, u32) {
        let mut counts = (0, 0);
        for view in self.iter().filter_map(|item| item.text()).map(|text| &text.view) {
            counts.0 += u32::from(view.state.stage == DeliveryStage::Queued);
            counts.1 += u32::from(view.state.stage < DeliveryStage::Delivered);
        }
        counts
    }

    /// Texts that nobody confirmed, the oldest first.
    fn undelivered(&self) -> Vec<UndeliveredView> {
        let texts = self.iter().filter_map(|item| Some((item, &item.text()?.view)));
        let open = texts.filter(|(_, view)| {
            use DeliveryStage::{Expired, Held, Queued, Sent};
            matches!(view.state.stage, Queued | Sent | Held | Expired)
        });
        let view = |(item, view): (&Item, &MessageView)| UndeliveredView {
            number: view.number,
            contact: view.contact,
            created_unix_ms: view.created_unix_ms,
            state: view.state,
            next_try_unix_ms: item.next_seal_unix_ms().filter(|_| item.expired_unix_ms.is_none()),
        };
        open.map(view).collect()
    }
}

/// What [`Command::Send`] carries.
struct Draft {
    contact: ContactNumber,
    text: String,
    file: Option<Box<OutgoingFile>>,
    reply_to: Option<MessageNumber>,
    client_id: Option<[u8; 16]>,
    expires_s: Option<u32>,
}

impl Draft {
    /// What people see of it.
    fn body(&self) -> MessageBody {
        match &self.file {
            None => MessageBody::Text(self.text.clone()),
            Some(file) => MessageBody::File(Box::new(FileView::new(
                &file.name,
                self.text.clone(),
                file.voice.as_ref(),
                &file.bytes,
            ))),
        }
    }
}

fn check_file(file: &OutgoingFile) -> Result<(), CommandError> {
    let (bytes, limit_bytes) = (file.bytes.len(), FILE_BYTES_MAX);
    if bytes == 0 {
        return Err(CommandError::EmptyFile);
    }
    if bytes > limit_bytes {
        return Err(CommandError::TooLarge { bytes, limit_bytes });
    }
    let voice_is_right = |voice: &Voice| voice.is_within_limits() && is_ogg_opus(&file.bytes);
    if file.voice.as_ref().is_none_or(voice_is_right) { Ok(()) } else { Err(CommandError::BadVoice) }
}

impl<P: EnvelopePool> Messenger<P> {
    pub(crate) fn on_command(&mut self, id: RequestId, command: Command, rng: &mut impl CryptoRng) {
        let reply = self.answer(command, rng).unwrap_or_else(Reply::Refused);
        self.output(Output::Reply { id, reply });
    }

    fn answer(&mut self, command: Command, rng: &mut impl CryptoRng) -> Result<Reply, CommandError> {
        match command {
            Command::Status => Ok(Reply::Status(Box::new(self.status()))),
            Command::SetName { name } => self.set_name(&name),
            Command::Address { peers } => self.own_address(peers),
            Command::CreateInvite { label, expires_s, peers } => self.create_invite(label, expires_s, peers, rng),
            Command::Invites => Ok(Reply::Invites(self.invite_views())),
            Command::RevokeInvite(number) => self.revoke_invite(number),
            Command::AddContact { invite, name, replace } => self.add_contact(&invite, name, replace, rng),
            Command::CheckInvite(invite) => self.check_invite(&invite, None).map(|()| Reply::Done),
            Command::Undelivered => Ok(Reply::Undelivered(self.outbox.undelivered())),
            Command::Contacts => Ok(Reply::Contacts(self.contact_views())),
            Command::RenameContact { contact, name } => self.rename_contact(contact, &name),
            Command::RemoveContact(contact) => self.remove_contact(contact),
            Command::SetBlocked { contact, blocked } => self.set_blocked(contact, blocked, rng),
            Command::SetVerified { contact, verified } => self.set_verified(contact, verified),
            Command::TrustList { contact, choice } => self.trust_list(contact, choice, rng),
            Command::Requests => Ok(Reply::Requests(self.request_views())),
            Command::AnswerRequest { request, accept: true, name } => self.accept_request(request, name, rng),
            Command::AnswerRequest { request, accept: false, .. } => self.refuse_request(request),
            Command::SetExpiry { contact, expires_s } => self.set_expiry(contact, expires_s),
            Command::Send { contact, text, file, reply_to, client_id, expires_s } => {
                self.send(Draft { contact, text, file, reply_to, client_id, expires_s })
            }
            Command::React { target, emoji } => self.react_to(&target, emoji),
            Command::Edit { target, text } => self.edit_text(&target, text),
            Command::Delete { target, for_both } => self.delete_for(&target, for_both),
            Command::MarkRead { contact, after, up_to } => self.mark_read(contact, after, up_to, rng),
            Command::SetReadReceipts(read_receipts) => Ok(self.set_read_receipts(read_receipts)),
            Command::Export => Ok(Reply::Export(Box::new(self.export()))),
            Command::Trace(number) => self.outbox.lines(number).map(Reply::Trace).ok_or(CommandError::NoSuchMessage),
        }
    }

    fn set_name(&mut self, name: &str) -> Result<Reply, CommandError> {
        self.profile.name = check_name(name)?;
        self.mark(Dirty::Profile);
        Ok(Reply::Done)
    }

    fn status(&self) -> StatusView {
        let (outbox_queued, outbox_undelivered) = self.outbox.counts();
        let (envelopes, envelope_bytes) = self.stored_envelopes();
        StatusView {
            name: self.profile.name.clone(),
            outbox_queued,
            outbox_undelivered,
            neighbours: u32::try_from(self.carrier.links.len()).unwrap_or(u32::MAX),
            envelopes,
            envelope_bytes,
            clock_offset_ms: self.clocks.median(self.parameters.scope, self.now),
            clock_agreeing: self.clocks.agreeing(self.parameters.scope, self.now),
            clock_holds_sends: self.clocks.holds(),
            requests: u32::try_from(self.invitations.requests.len()).unwrap_or(u32::MAX),
            forked: self.names_of(|contact| contact.is_forked() && !contact.blocked),
            marks_lost: self.names_of(|contact| contact.mark_lost),
            read_receipts: self.reads.is_on(),
            recovered: self.recovered,
            replaced: self.replaced,
            at_unix_ms: self.now.unix_ms,
        }
    }

    fn names_of(&self, wanted: impl Fn(&Contact) -> bool) -> Vec<String> {
        self.contacts.iter().filter(|contact| wanted(contact)).map(|contact| contact.name.clone()).collect()
    }

    fn stored_envelopes(&self) -> (u64, u64) {
        let (topic, now) = (self.topic(), self.epoch());
        let (mut envelopes, mut bytes) = (0, 0);
        for hours in 0..=self.parameters.lifetime_hours.saturating_add(1) {
            for class in [Class::Small, Class::Large] {
                let fill = self.pool.fill_bytes(topic, now.plus(1).minus(hours), class);
                envelopes += fill / class.envelope_bytes() as u64;
                bytes += fill;
            }
        }
        (envelopes, bytes)
    }

    fn send(&mut self, draft: Draft) -> Result<Reply, CommandError> {
        if let Some(reply) = draft.client_id.and_then(|id| self.known_send(&id, &draft)) {
            return Ok(reply);
        }
        self.check_send(&draft)?;
        let body = draft.body();
        let Draft { contact, file, reply_to, client_id, expires_s, .. } = draft;
        let answered = reply_to.map(|number| self.message_id_of(contact, number)).transpose()?;
        let number = self.count_message();
        let unix_ms = self.now.unix_ms;
        let peer = self.contacts.get_mut(contact).ok_or(CommandError::NoSuchContact)?;
        let expires_s = expires_s.unwrap_or(peer.expires_s);
        let sequence = peer.next_sequence;
        peer.next_sequence += 1;
        peer.last_activity_unix_ms = unix_ms;
        self.mark(Dirty::Contact(contact));
        let state = DeliveryState {
            neighbours: u32::try_from(self.carrier.links.len()).unwrap_or(u32::MAX),
            reason: Some(self.reason_to_wait(contact)),
            ..DeliveryState::new(DeliveryStage::Queued, unix_ms)
        };
        let view = MessageView {
            number,
            contact,
            own: true,
            sequence,
            body,
            created_unix_ms: unix_ms,
            received_unix_ms: None,
            reply_to,
            client_id,
            state,
            expires_s,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        };
        self.remember_client_id(&view);
        let view = self.queue_text(view, answered, file.map(|file| file.bytes));
        Ok(Reply::Message { message: Box::new(view), known: false })
    }

    fn set_expiry(&mut self, number: ContactNumber, expires_s: u32) -> Result<Reply, CommandError> {
        let expires_s = check_expiry(expires_s)?;
        let contact = self.contacts.get_mut(number).ok_or(CommandError::NoSuchContact)?;
        if contact.expires_s != expires_s {
            contact.expires_s = expires_s;
            self.mark(Dirty::Contact(number));
            let view = self.contact_view(number)?;
            self.event(Event::ContactChanged(view));
        }
        Ok(Reply::Contact(self.contact_view(number)?))
    }

    /// Puts a text in line; what people see of it, which says from the start in how many parts it goes.
    fn queue_text(&mut self, mut view: MessageView, reply_to: Option<[u8; 16]>, file: Option<Vec<u8>>) -> MessageView {
        let (number, contact) = (view.number, view.contact);
        let message_id = self.ids.id(number);
        let file: Option<Arc<[u8]>> = file.map(|bytes| {
            let bytes: Arc<[u8]> = bytes.as_slice().into();
            self.write_file(contact, FileRecord { number, bytes: bytes.to_vec() });
            self.mark(Dirty::WaitingFile(number.0));
            bytes
        });
        let text = OwnText { view: view.clone(), reply_to, sealed_text: None, file };
        let mut item = Item::new(number.0, contact, message_id, Load::Text(Box::new(text)));
        item.trace(self.now.unix_ms, TraceStep::Queued);
        if let Some(reason) = view.state.reason.filter(|&reason| reason != QueuedReason::Stamping) {
            item.trace(self.now.unix_ms, TraceStep::Waiting(reason));
        }
        self.queue_item(item);
        view.state.parts = self.parts_state(number.0);
        if let Some(queued) = self.outbox.get_mut(number.0).and_then(Item::view_mut) {
            queued.state = view.state;
        }
        self.write_history(&view, message_id, true);
        self.event(Event::MessageState { number, contact, state: view.state });
        view
    }

    /// The answer to a send that came before. Its body is that of the repeated request, which the caller holds
    /// against the history.
    fn known_send(&mut self, id: &[u8; 16], draft: &Draft) -> Option<Reply> {
        let record = self.client_ids.get(id)?.clone();
        let present = self.outbox.get(record.number.0).and_then(Item::text).map(|text| text.view.clone());
        let message = present.unwrap_or_else(|| MessageView {
            number: record.number,
            contact: record.contact,
            own: true,
            sequence: record.sequence,
            body: draft.body(),
            created_unix_ms: record.created_unix_ms,
            received_unix_ms: None,
            reply_to: record.reply_to,
            client_id: Some(*id),
            state: record.state,
            expires_s: record.expires_s,
            expires_unix_ms: None,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
        });
        // Written again, so that this answer does not overtake the commit of the first one.
        self.mark(Dirty::ClientId(*id));
        Some(Reply::Message { message: Box::new(message), known: true })
    }

    fn remember_client_id(&mut self, view: &MessageView) {
        let Some(client_id) = view.client_id else { return };
        self.mark(Dirty::ClientId(client_id));
        let record = ClientIdRecord {
            client_id,
            number: view.number,
            contact: view.contact,
            sequence: view.sequence,
            created_unix_ms: view.created_unix_ms,
            reply_to: view.reply_to,
            state: view.state,
            expires_s: view.expires_s,
        };
        if let Some(gone) = self.client_ids.insert(record) {
            self.mark(Dirty::ClientId(gone));
        }
    }

    fn check_send(&self, draft: &Draft) -> Result<(), CommandError> {
        self.check_accepted(draft.contact)?;
        let limit_bytes = if draft.file.is_some() { CAPTION_BYTES_MAX } else { TEXT_BYTES_MAX };
        let bytes = draft.text.len();
        if bytes == 0 && draft.file.is_none() {
            return Err(CommandError::EmptyText);
        }
        if bytes > limit_bytes {
            return Err(CommandError::TooLarge { bytes, limit_bytes });
        }
        if let Some(file) = &draft.file {
            check_file(file)?;
        }
        self.check_bytes(draft.file.as_ref().map_or(bytes, |_| usize::MAX))?;
        draft.expires_s.map(check_expiry).transpose().map(drop)
    }

    /// Whether there is room for a content of so many bytes: what fits a small envelope is always taken.
    pub(crate) fn check_bytes(&self, content_bytes: usize) -> Result<(), CommandError> {
        let is_small = content_bytes < part_bytes(starling_e2ee::seal::Class::Small);
        if !is_small && self.outbox.is_full_of_bytes() { Err(CommandError::OutboxFull) } else { Ok(()) }
    }

    /// Whether anything is accepted that is to go to a contact.
    pub(crate) fn check_accepted(&self, contact: ContactNumber) -> Result<(), CommandError> {
        if self.contacts.get(contact).ok_or(CommandError::NoSuchContact)?.blocked {
            return Err(CommandError::Blocked);
        }
        if let Some(free_bytes) = self.carrier.free_bytes.filter(|&free_bytes| free_bytes < DISK_REFUSES_BYTES) {
            return Err(CommandError::DiskFull { free_bytes });
        }
        if self.outbox.is_full() { Err(CommandError::OutboxFull) } else { Ok(()) }
    }

    /// The id under which the contact knows message `number` of the conversation: one of theirs of the last 60 days,
    /// or one of ours. A number that was never used names nothing.
    fn message_id_of(&self, contact: ContactNumber, number: MessageNumber) -> Result<[u8; 16], CommandError> {
        let account = self.contacts.get(contact).ok_or(CommandError::NoSuchContact)?.account;
        match self.seen.key_of(number) {
            Some((of, id)) if of == account => Ok(id),
            Some(_) => Err(CommandError::NoSuchMessage),
            None if self.was_counted(number) => Ok(self.ids.id(number)),
            None => Err(CommandError::NoSuchMessage),
        }
    }

    /// The message of the conversation that `id` names, if it is known here.
    pub(crate) fn message_number_of(&self, account: [u8; 32], id: &[u8; 16]) -> Option<MessageNumber> {
        let own = self.ids.number(id).filter(|&number| self.was_counted(number));
        own.or_else(|| self.seen.number(&(account, *id)))
    }

    /// The disk was measured.
    pub(crate) fn on_disk(&mut self, free_bytes: u64) {
        self.carrier.free_bytes = Some(free_bytes);
        self.judge_disk();
    }

    /// Warns when the disk is short or the pool failed; ends the warning when both are over for a while.
    pub(crate) fn judge_disk(&mut self) {
        let failed = self.carrier.has_pool_failed(self.now.monotonic_ms);
        let short = self.carrier.free_bytes.is_some_and(|free_bytes| free_bytes < DISK_WARNS_BYTES);
        let warned = failed || short;
        if warned != self.carrier.disk_warned {
            self.carrier.disk_warned = warned;
            self.warn("disk", warned);
        }
    }
}

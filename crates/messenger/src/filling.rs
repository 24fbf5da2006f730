//! What goes into one envelope: a message, and beside it whatever finds room. SPEC: B5, B9.6.
//!
//! Hello and card ride in every message until the peer's first acknowledgement; acknowledgements that are due, word of what
//! was read, and then the newest acknowledgements again, fill what is left, but for what the post-quantum ratchet would
//! use of it. An envelope is always full-sized, so none of it costs.

use starling_e2ee::record::{ACKS_MAX, CONTENT_HEAD_BYTES, RECORD_HEAD_BYTES, Record};
use starling_e2ee::seal::Class;
use starling_e2ee::session::FIRST_CONTACT_ROOM_BYTES;
use starling_relay::pool::EnvelopePool;

use crate::content::Hello;
use crate::messenger::Messenger;
use crate::outbox::{Item, Load};
use crate::parts::pieces;
use crate::sessions::Slot;
use crate::stored::Dirty;
use crate::turn::ContactNumber;

/// Records of acknowledgements in one envelope: two carry all that has room.
const ACK_RECORDS_MAX: usize = 2;
/// Bytes of a message id.
const ID_BYTES: usize = 16;
/// Under which id word of what was read goes: nobody confirms it, and nobody needs to know it again.
const READ_MESSAGE_ID: [u8; 16] = [0; 16];

/// Adds `record` if it fits in the `left` bytes.
fn add(record: Record, left: &mut usize, records: &mut Vec<Record>) {
    if let Some(rest) = left.checked_sub(record.encoded_len()) {
        *left = rest;
        records.push(record);
    }
}

impl<P: EnvelopePool> Messenger<P> {
    /// The records of an outbox item's envelope; `first` when it is a first contact, which has less room.
    pub(crate) fn item_records(&mut self, number: u64, slot: Slot, first: bool) -> Vec<Record> {
        let Some(item) = self.outbox.get(number) else { return Vec::new() };
        let contact = item.contact;
        let mut records = self.own_records(item);
        let (room, kept) = match first {
            true => (FIRST_CONTACT_ROOM_BYTES, 0),
            false => (self.class_of(item).room_bytes(), self.post_quantum_bytes(slot)),
        };
        self.add_company(contact, number, (room, kept), &mut records);
        records
    }

    /// What an item is about.
    fn own_records(&self, item: &Item) -> Vec<Record> {
        let message_id = item.message_id;
        let (part, of, bytes) = match &item.load {
            Load::PostQuantum => return Vec::new(),
            Load::Acks(ids) => return ids.chunks(ACKS_MAX).map(|ids| Record::Acks(ids.to_vec())).collect(),
            Load::Part(part) => {
                let content = self.outbox.get(part.head).map(|head| self.content_of(head)).unwrap_or_default();
                let piece = pieces(content.len()).into_iter().nth(usize::from(part.part));
                let bytes = piece.and_then(|piece| content.get(piece.range)).unwrap_or_default();
                (part.part, part.of, bytes.to_vec())
            }
            Load::Greeting | Load::Text(_) | Load::Change { .. } => (0, 1, self.content_of(item)),
        };
        vec![Record::Content { message_id, part, of, bytes }]
    }

    /// How large the envelope of an item is.
    pub(crate) fn class_of(&self, item: &Item) -> Class {
        let (head, part) = match &item.load {
            Load::Part(part) => (self.outbox.get(part.head), part.part),
            Load::Text(_) | Load::Change { .. } => (Some(item), 0),
            Load::Greeting | Load::PostQuantum | Load::Acks(_) => (None, 0),
        };
        let content_bytes = head.map_or(0, |head| self.content_of(head).len());
        pieces(content_bytes).get(usize::from(part)).map_or(Class::Small, |piece| piece.class)
    }

    /// The content of an item that has one: always the same, however often it is sealed.
    pub(crate) fn content_of(&self, item: &Item) -> Vec<u8> {
        match &item.load {
            Load::PostQuantum | Load::Acks(_) | Load::Part(_) => Vec::new(),
            Load::Greeting => self.hello(),
            Load::Change { bytes, .. } => bytes.clone(),
            Load::Text(own) => own.content(),
        }
    }

    /// The records of an envelope of acknowledgements alone, which becomes outbox item `number`.
    pub(crate) fn receipts_records(&mut self, contact: ContactNumber, slot: Slot, number: u64) -> Vec<Record> {
        let (mut records, kept) = (Vec::new(), self.post_quantum_bytes(slot));
        self.add_company(contact, number, (Class::Small.room_bytes(), kept), &mut records);
        records
    }

    fn post_quantum_bytes(&self, slot: Slot) -> usize {
        self.sessions.get(slot).map_or(0, |entry| entry.session.post_quantum_bytes(self.now.unix_ms))
    }

    fn hello(&self) -> Vec<u8> {
        Hello { name: self.profile.name.clone() }.encode()
    }

    /// Fills `room` bytes; what is said again leaves `kept` of them free, if so many are.
    fn add_company(
        &mut self,
        contact: ContactNumber,
        number: u64,
        (room, kept): (usize, usize),
        records: &mut Vec<Record>,
    ) {
        let mut left = room.saturating_sub(records.iter().map(Record::encoded_len).sum());
        if self.contacts.get(contact).is_some_and(|contact| !contact.greeted) {
            let greeting = self.outbox.greeting_of(contact).filter(|item| item.number != number);
            if let Some(message_id) = greeting.map(|item| item.message_id) {
                add(Record::Content { message_id, part: 0, of: 1, bytes: self.hello() }, &mut left, records);
            }
            let list = self.identity.list_head();
            let (shard, addr) = (self.profile.shard, *self.profile.address);
            let card = Record::Card { shard, addr, list_version: list.version, list_head: list.head };
            add(card, &mut left, records);
        }
        self.add_reads(contact, number, &mut left, records);
        let ids_within = |bytes: usize| bytes.saturating_sub(RECORD_HEAD_BYTES) / ID_BYTES;
        for round in 0..ACK_RECORDS_MAX {
            let due = self.receipts.due(contact);
            if round > 0 && due == 0 {
                break;
            }
            let spare = ids_within(left.checked_sub(kept).unwrap_or(left));
            let room = ids_within(left).min(due).max(spare).min(ACKS_MAX);
            let ids = self.receipts.take(contact, room, self.now.unix_ms);
            if ids.is_empty() {
                break;
            }
            add(Record::Acks(ids), &mut left, records);
            self.mark(Dirty::Acks(contact));
        }
    }
    /// Adds what was read of theirs, as far as it leaves their room to the acknowledgements that are due.
    fn add_reads(&mut self, contact: ContactNumber, number: u64, left: &mut usize, records: &mut Vec<Record>) {
        let acks = self.receipts.due(contact);
        let acks_bytes = acks * ID_BYTES + acks.div_ceil(ACKS_MAX) * RECORD_HEAD_BYTES;
        let room = left.saturating_sub(acks_bytes + RECORD_HEAD_BYTES + CONTENT_HEAD_BYTES);
        if let Some(bytes) = self.take_reads(contact, number, room) {
            add(Record::Content { message_id: READ_MESSAGE_ID, part: 0, of: 1, bytes }, left, records);
        }
    }
}

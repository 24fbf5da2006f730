//! What was read: telling contacts which of their messages the person has read, and hearing what they have read.
//! SPEC.md, "Reading".
//!
//! Word of it rides in whatever is sealed for a contact next, or leaves with the confirmations that are due, so that it
//! seldom costs an envelope. Nobody confirms it: a mark is due again when the envelope that carried it may not have
//! got into the network. Each mark names a message, as a later one may have been read before an earlier one came.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use starling_relay::pool::EnvelopePool;

use crate::content::{Content, READ_HEAD_BYTES, READ_IDS_MAX, READ_TIME_BYTES, Read, ReadAt};
use crate::messenger::Messenger;
use crate::outbox::Item;
use crate::reassembly::confirmed_as;
use crate::record::{MINUTE_MS, VaultWrite, history_key};
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::{CommandError, ContactNumber, MessageNumber, Reply};
use crate::view::Event;

/// Messages of one contact that were read and are to be told; beyond it the oldest goes untold.
const MARKS_MAX: usize = 1_024;
/// Own messages of one conversation that are known to be told of as read; beyond it the oldest are taken for told of.
const HEARD_MAX: usize = 1_024;
/// Bytes of a message id.
const ID_BYTES: usize = 16;

/// A message of a contact that the person has read, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    id: [u8; 16],
    /// When it was read: which minute since 1970.
    minute: u32,
    /// The outbox item whose envelope says so; none while it is due.
    carrier: Option<u64>,
}

/// What is to be told to one contact, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadsRecord {
    /// To whom.
    pub(crate) contact: ContactNumber,
    /// Oldest first.
    marks: VecDeque<Mark>,
}

/// What the person wants of the messenger as a whole, as it is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsRecord {
    /// Contacts are told what was read, and what they tell is heard.
    pub(crate) read_receipts: bool,
}

/// What was read, on both sides.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    settings: SettingsRecord,
    told: BTreeMap<ContactNumber, ReadsRecord>,
    /// Own messages of which contacts said in this run that they read them: nobody makes us tell of one for ever.
    heard: BTreeMap<ContactNumber, BTreeSet<MessageNumber>>,
}

impl Reads {
    /// Takes up the person's settings.
    pub(crate) fn restore_settings(&mut self, settings: SettingsRecord) {
        self.settings = settings;
    }

    /// Takes up what was to be told to a contact.
    pub(crate) fn restore(&mut self, record: ReadsRecord) {
        self.told.insert(record.contact, record);
    }

    /// The person's settings.
    pub(crate) fn settings(&self) -> SettingsRecord {
        self.settings
    }

    /// Whether contacts are told, and heard.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.read_receipts
    }

    /// What is stored for a contact.
    pub(crate) fn get(&self, contact: ContactNumber) -> Option<&ReadsRecord> {
        self.told.get(&contact)
    }

    /// Marks for `contact` that are in no envelope.
    pub(crate) fn due(&self, contact: ContactNumber) -> usize {
        let marks = self.told.get(&contact).map(|record| record.marks.iter());
        marks.into_iter().flatten().filter(|mark| mark.carrier.is_none()).count()
    }

    /// Contacts to whom something is due.
    pub(crate) fn contacts_due(&self) -> Vec<ContactNumber> {
        self.told.keys().copied().filter(|&contact| self.due(contact) > 0).collect()
    }

    fn add(&mut self, contact: ContactNumber, id: [u8; 16], minute: u32) {
        let record = self.told.entry(contact).or_insert_with(|| ReadsRecord { contact, marks: VecDeque::new() });
        if record.marks.iter().any(|mark| mark.id == id) {
            return;
        }
        record.marks.push_back(Mark { id, minute, carrier: None });
        if record.marks.len() > MARKS_MAX {
            record.marks.pop_front();
        }
    }

    /// Takes what is due into the envelope of outbox item `carrier`, as far as `room_bytes` of a content hold it.
    fn take(&mut self, contact: ContactNumber, carrier: u64, room_bytes: usize) -> Option<Read> {
        let mut left = room_bytes.checked_sub(READ_HEAD_BYTES)?;
        let mut times: Vec<ReadAt> = Vec::new();
        let due = self.told.get_mut(&contact)?.marks.iter_mut().filter(|mark| mark.carrier.is_none());
        for mark in due.take(READ_IDS_MAX) {
            let begins = times.last().is_none_or(|time| time.minute != mark.minute);
            let needed = ID_BYTES + if begins { READ_TIME_BYTES } else { 0 };
            let Some(rest) = left.checked_sub(needed) else { break };
            left = rest;
            if begins {
                times.push(ReadAt { minute: mark.minute, ids: Vec::new() });
            }
            times.last_mut()?.ids.push(mark.id);
            mark.carrier = Some(carrier);
        }
        (!times.is_empty()).then_some(Read { times })
    }

    /// The envelope of item `carrier` is safe: what it said needs not be said again. To whom it was.
    fn told(&mut self, carrier: u64) -> Option<ContactNumber> {
        let contact = self.carried_to(carrier)?;
        let record = self.told.get_mut(&contact)?;
        record.marks.retain(|mark| mark.carrier != Some(carrier));
        if record.marks.is_empty() {
            self.told.remove(&contact);
        }
        Some(contact)
    }

    /// The envelope of item `carrier` is given up: what it said is due again. To whom it was.
    fn untold(&mut self, carrier: u64) -> Option<ContactNumber> {
        let contact = self.carried_to(carrier)?;
        let marks = self.told.get_mut(&contact)?.marks.iter_mut();
        marks.filter(|mark| mark.carrier == Some(carrier)).for_each(|mark| mark.carrier = None);
        Some(contact)
    }

    fn carried_to(&self, carrier: u64) -> Option<ContactNumber> {
        let carries = |record: &&ReadsRecord| record.marks.iter().any(|mark| mark.carrier == Some(carrier));
        self.told.values().find(carries).map(|record| record.contact)
    }

    /// `contact` says that they read own message `number`; whether they did not before.
    fn hear(&mut self, contact: ContactNumber, number: MessageNumber) -> bool {
        let heard = self.heard.entry(contact).or_default();
        if heard.len() >= HEARD_MAX && heard.first().is_some_and(|&oldest| number <= oldest) {
            return false;
        }
        let is_new = heard.insert(number);
        if heard.len() > HEARD_MAX {
            heard.pop_first();
        }
        is_new
    }

    /// Forgets a contact.
    fn remove(&mut self, contact: ContactNumber) {
        self.told.remove(&contact);
        self.heard.remove(&contact);
    }
}

impl<P: EnvelopePool> Messenger<P> {
    /// Sets whether contacts are told what is read here, and heard. What was not told yet never is then.
    pub(crate) fn set_read_receipts(&mut self, read_receipts: bool) -> Reply {
        self.reads.settings.read_receipts = read_receipts;
        self.mark(Dirty::Settings);
        if !read_receipts {
            for contact in std::mem::take(&mut self.reads.told).into_keys() {
                self.mark(Dirty::Reads(contact));
            }
        }
        Reply::Done
    }

    /// The person has read what a contact wrote: they are told in a while. Whom the person blocks is told nothing.
    pub(crate) fn mark_read(
        &mut self,
        number: ContactNumber,
        after: Option<MessageNumber>,
        up_to: MessageNumber,
        rng: &mut impl CryptoRng,
    ) -> Result<Reply, CommandError> {
        let contact = self.contacts.get(number).ok_or(CommandError::NoSuchContact)?;
        let first = MessageNumber(after.map_or(0, |after| after.0.saturating_add(1)));
        if !self.reads.is_on() || contact.blocked || first > up_to {
            return Ok(Reply::Done);
        }
        let minute = u32::try_from(self.now.unix_ms / MINUTE_MS).unwrap_or(u32::MAX);
        for id in self.seen.ids_between(&contact.account, first, up_to) {
            self.reads.add(number, id, minute);
        }
        self.mark(Dirty::Reads(number));
        if self.reads.due(number) > 0 {
            self.schedule_receipts(number, rng);
        }
        Ok(Reply::Done)
    }

    /// What is due to a contact, for the envelope of outbox item `carrier` with so much room for a content.
    pub(crate) fn take_reads(&mut self, contact: ContactNumber, carrier: u64, room_bytes: usize) -> Option<Vec<u8>> {
        let read = self.reads.take(contact, carrier, room_bytes)?;
        self.mark(Dirty::Reads(contact));
        Some(read.encode())
    }

    /// The envelope of an outbox item is where it is kept, or was opened.
    pub(crate) fn reads_told(&mut self, carrier: u64) {
        if let Some(contact) = self.reads.told(carrier) {
            self.mark(Dirty::Reads(contact));
        }
    }

    /// An outbox item was confirmed, perhaps by its recipient opening an envelope before the present one.
    pub(crate) fn reads_of_confirmed(&mut self, carrier: u64) {
        let is_told = |item: &Item| {
            let is_first = |sealed_unix_ms: u64| item.first_sealed_unix_ms == Some(sealed_unix_ms);
            item.post.as_ref().is_some_and(|post| post.came_back || is_first(post.sealed_unix_ms))
        };
        if self.outbox.get(carrier).is_some_and(is_told) {
            self.reads_told(carrier);
        }
    }

    /// An outbox item was not sealed after all: what it was to say is due still.
    pub(crate) fn reads_unsealed(&mut self, carrier: u64) {
        if let Some(contact) = self.reads.untold(carrier) {
            self.mark(Dirty::Reads(contact));
        }
    }

    /// The envelope of an outbox item is given up: what it said goes with the next.
    pub(crate) fn reads_lost(&mut self, carrier: u64) {
        if let Some(contact) = self.reads.untold(carrier) {
            self.mark(Dirty::Reads(contact));
            self.receipts_ready.insert(contact);
            self.pump_due = true;
        }
    }

    /// What is due and waits for nothing is tried again: there may be keys to seal it with by now.
    pub(crate) fn retry_reads(&mut self) {
        for contact in self.reads.contacts_due() {
            if !self.timers.is_set(Timer::Receipts(contact)) {
                self.receipts_ready.insert(contact);
                self.pump_due = true;
            }
        }
    }

    /// Nothing is told to a contact any more.
    pub(crate) fn forget_reads(&mut self, contact: ContactNumber) {
        self.reads.remove(contact);
        self.mark(Dirty::Reads(contact));
    }

    /// A contact says what they have read. Who does not tell does not hear either.
    pub(crate) fn take_read(&mut self, contact: ContactNumber, bytes: &[u8]) {
        let Ok(Content::Read(read)) = Content::decode(bytes) else { return };
        if !self.reads.is_on() {
            return;
        }
        for ReadAt { minute, ids } in read.times {
            let read_unix_ms = (u64::from(minute) * MINUTE_MS).min(self.now.unix_ms);
            for id in ids {
                let number = self.ids.number(&id).filter(|&number| self.was_counted(number));
                let Some(number) = number.filter(|&number| self.reads.hear(contact, number)) else { continue };
                // They read all of it, whatever became of their confirmations.
                let confirmed = self.confirmations_of(contact, number);
                self.take_acks(contact, &confirmed);
                let key = history_key(contact, number);
                self.turn.writes.push(VaultWrite::Read { key, read_unix_ms });
                self.event(Event::MessageRead { number, contact });
            }
        }
    }

    /// The ids by which a contact would confirm a text that is still on its way to them, all parts of it.
    fn confirmations_of(&self, contact: ContactNumber, number: MessageNumber) -> Vec<[u8; 16]> {
        let item = self.outbox.get(number.0).filter(|item| item.contact == contact && item.text().is_some());
        let Some(item) = item else { return Vec::new() };
        match item.parts {
            1 => vec![item.message_id],
            of => (0..of).map(|part| confirmed_as(&item.message_id, part, of)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_e2ee::seal::Class;
    use starling_relay::pool::MemoryPool;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::contact::Contact;
    use crate::messenger::Setup;
    use crate::parts::part_bytes;
    use crate::record::{HistoryRecord, RecordKind, read_history};
    use crate::turn::{Command, Now, Output, Turn};
    use crate::view::DeliveryStage;

    const BOB: ContactNumber = ContactNumber(7);
    const EVE: ContactNumber = ContactNumber(8);
    const NOW: Now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };

    fn messenger(rng: &mut ChaCha20Rng) -> Messenger<MemoryPool> {
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let (mut messenger, _) = Messenger::create(setup, pool, NOW, rng);
        messenger.contacts.insert(Contact::new(BOB, "Bob".into(), [9; 32], 1));
        messenger.contacts.insert(Contact::new(EVE, "Eve".into(), [8; 32], 1));
        messenger.set_read_receipts(true);
        messenger
    }

    fn send(messenger: &mut Messenger<MemoryPool>, text: &str, rng: &mut ChaCha20Rng) -> MessageNumber {
        let (contact, text) = (BOB, text.to_owned());
        let command = Command::Send { contact, text, file: None, reply_to: None, client_id: None, expires_s: None };
        messenger.on_command(crate::turn::RequestId(1), command, rng);
        let turn = messenger.finish_step(rng);
        let number = turn.outputs.iter().find_map(|output| match output {
            Output::Reply { reply: Reply::Message { message, .. }, .. } => Some(message.number),
            _ => None,
        });
        number.expect("it is sent")
    }

    fn read(minute: u32, ids: &[[u8; 16]]) -> Vec<u8> {
        Read { times: vec![ReadAt { minute, ids: ids.to_vec() }] }.encode()
    }

    fn hear(messenger: &mut Messenger<MemoryPool>, from: ContactNumber, bytes: &[u8], rng: &mut ChaCha20Rng) -> Turn {
        messenger.take_content(from, [0; 16], bytes, rng);
        messenger.finish_step(rng)
    }

    fn told(turn: &Turn) -> Vec<MessageNumber> {
        let read = turn.outputs.iter().filter_map(|output| match output {
            Output::Event(Event::MessageRead { number, .. }) => Some(*number),
            _ => None,
        });
        read.collect()
    }

    #[test]
    fn a_text_in_parts_that_was_read_is_out_of_the_outbox_before_its_confirmations() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut messenger = messenger(&mut rng);
        let number = send(&mut messenger, &"x".repeat(5_000), &mut rng);
        let id = messenger.ids.id(number);
        let minute = u32::try_from(NOW.unix_ms / MINUTE_MS).unwrap() - 3;
        let turn = hear(&mut messenger, BOB, &read(minute, &[id]), &mut rng);
        assert_eq!((told(&turn), messenger.outbox.iter().count()), (vec![number], 0));
        // What the disk has after these writes.
        let mut stored = Vec::new();
        for write in &turn.writes {
            match write {
                VaultWrite::Put { key, value } if key.kind == RecordKind::History => stored = value.to_vec(),
                VaultWrite::Read { read_unix_ms, .. } => {
                    stored = read_history(&stored, *read_unix_ms).unwrap().to_vec()
                }
                _ => {}
            }
        }
        let record: HistoryRecord = crate::record::decode_record(&stored).unwrap();
        let state = record.message.state;
        // She wrote it after that minute, by her clock: his is behind.
        assert_eq!((state.stage, state.since_unix_ms), (DeliveryStage::Read, NOW.unix_ms));
        assert_eq!(read_history(&stored, NOW.unix_ms + 1), None, "it was read once");
        // Again, or its confirmations late: nothing more.
        assert!(told(&hear(&mut messenger, BOB, &read(minute, &[id]), &mut rng)).is_empty());
        messenger.take_acks(BOB, &[confirmed_as(&id, 0, 3), id]);
        assert!(messenger.finish_step(&mut rng).outputs.is_empty());
        assert!(!messenger.owes(BOB), "nobody confirms it");
    }

    #[test]
    fn what_an_honest_reader_would_not_say_changes_nothing() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut messenger = messenger(&mut rng);
        let number = send(&mut messenger, "hi", &mut rng);
        let id = messenger.ids.id(number);
        let not_written_yet = messenger.ids.id(MessageNumber(number.0 + 100));
        let damaged = read(1, &[id])[..20].to_vec();
        let nothing = [
            (BOB, read(1, &[[3; 16]])),
            (BOB, read(1, &[not_written_yet])),
            (BOB, damaged),
            (BOB, Read { times: Vec::new() }.encode()),
            (BOB, read(1, &[id; READ_IDS_MAX + 1])),
        ];
        for (from, bytes) in nothing {
            let turn = hear(&mut messenger, from, &bytes, &mut rng);
            assert!(turn.writes.is_empty() && turn.outputs.is_empty(), "{turn:?}");
        }
        // Somebody else who knows the id: it is in no conversation of theirs.
        let turn = hear(&mut messenger, EVE, &read(u32::MAX, &[id]), &mut rng);
        let keys: Vec<_> = turn.writes.iter().map(|write| write.key().clone()).collect();
        assert_eq!(keys, [history_key(EVE, number)]);
        assert_eq!(messenger.outbox.iter().filter(|item| item.text().is_some()).count(), 1, "it is still on its way");
        assert!(messenger.early.iter().count() == 0 && messenger.seen.iter().count() == 0, "nothing of it is kept");
    }

    #[test]
    fn ten_thousand_marks_leave_a_bounded_vault_and_tell_of_each_message_once() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut messenger = messenger(&mut rng);
        for count in 0..5_000u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&count.to_le_bytes());
            messenger.reads.add(BOB, id, 1);
        }
        assert_eq!(messenger.reads.due(BOB), MARKS_MAX);
        let newest = messenger.reads.get(BOB).unwrap().marks.back().unwrap().id;
        assert_eq!(newest[..4], 4_999u32.to_le_bytes());
        let first = send(&mut messenger, "hi", &mut rng).0;
        let ids: Vec<_> = (first + 1..first + 3_001)
            .map(|number| {
                messenger.count_message();
                messenger.ids.id(MessageNumber(number))
            })
            .collect();
        let mut heard = BTreeSet::new();
        for _ in 0..3 {
            for ids in ids.chunks(READ_IDS_MAX) {
                let turn = hear(&mut messenger, BOB, &read(1, ids), &mut rng);
                told(&turn).into_iter().for_each(|number| assert!(heard.insert(number), "{number:?} was told before"));
            }
        }
        assert_eq!((heard.len(), messenger.reads.heard[&BOB].len()), (3_000, HEARD_MAX));
    }

    #[test]
    fn what_has_no_room_waits_and_what_was_lost_is_due_again() {
        let mut reads = Reads::default();
        for count in 0..200u8 {
            reads.add(BOB, [count; 16], u32::from(count / 100));
        }
        assert!(reads.take(BOB, 1, READ_HEAD_BYTES + READ_TIME_BYTES).is_none(), "not one has room");
        assert_eq!(reads.due(BOB), 200);
        let first = reads.take(BOB, 1, part_bytes(Class::Small)).unwrap();
        let minutes: Vec<_> = first.times.iter().map(|time| (time.minute, time.ids.len())).collect();
        assert_eq!(minutes, [(0, 100), (1, 14)]);
        assert!(first.encode().len() <= part_bytes(Class::Small));
        assert_eq!(reads.take(BOB, 2, READ_HEAD_BYTES + READ_TIME_BYTES + 16).unwrap().times[0].ids, [[114; 16]]);
        assert_eq!((reads.untold(1), reads.told(2), reads.told(3)), (Some(BOB), Some(BOB), None));
        assert_eq!(reads.due(BOB), 199);
        assert_eq!(reads.take(BOB, 4, 10_000).unwrap().times[0].ids[0], [0; 16], "the oldest first");
    }
}

//! Changing messages: what a person asks for, and what a contact sends. SPEC.md, "Changes".
//!
//! A change goes the way of a text: it lies in the outbox until it is confirmed, and is sealed again like one. What it
//! does to a message that is on the disk is done there, as the messenger has no history in memory.

use starling_relay::pool::EnvelopePool;
use starling_wire::limits::MESSAGE_BYTES_MAX;

use crate::change::{Change, Wording};
use crate::content::{Content, Delete, Edit, Reaction, is_emoji};
use crate::messenger::Messenger;
use crate::outbox::{Item, Load};
use crate::record::{FileRecord, VaultWrite, file_key, history_key};
use crate::seen::SeenKey;
use crate::stored::Dirty;
use crate::turn::{CommandError, ContactNumber, MessageNumber, Reply, Target};
use crate::view::{Event, MessageBody, MessageView};

/// How long after it was written a text can be edited, and a message deleted for both: its recipient knows it by its id
/// for 60 days from when it came, and the change may be on its way for two weeks.
pub const CHANGEABLE_MS: u64 = 45 * 24 * 3_600_000;

impl<P: EnvelopePool> Messenger<P> {
    /// Sets or takes back the person's reaction.
    pub(crate) fn react_to(&mut self, target: &Target, emoji: Option<String>) -> Result<Reply, CommandError> {
        let emoji = emoji.unwrap_or_default();
        if !is_emoji(&emoji) {
            return Err(CommandError::BadEmoji);
        }
        self.check_change(target)?;
        let is_own = |load: &Load| matches!(load.change(), Some((of, Content::Reaction(_))) if of == target.message_id);
        let waits = self.outbox.iter().any(|item| is_own(&item.load));
        if emoji == target.own_reaction && !waits {
            return Ok(Reply::Done);
        }
        self.drop_unsealed(is_own);
        let number = self.count_message();
        let (created_unix_ms, counter) = (self.now.unix_ms, number.0);
        let reaction = Reaction { created_unix_ms, to: target.message_id, counter, emoji: emoji.clone() };
        self.queue_change(number, target, reaction.encode());
        self.change_message(target.contact, target.number, Change::reaction(true, counter, emoji));
        Ok(Reply::Done)
    }

    /// Gives a text of the person's another wording.
    pub(crate) fn edit_text(&mut self, target: &Target, text: String) -> Result<Reply, CommandError> {
        if !target.own {
            return Err(CommandError::NotYours);
        }
        if !target.is_text {
            return Err(CommandError::NoText);
        }
        let (bytes, limit_bytes) = (text.len(), MESSAGE_BYTES_MAX);
        if bytes == 0 {
            return Err(CommandError::EmptyText);
        }
        if bytes > limit_bytes {
            return Err(CommandError::TooLarge { bytes, limit_bytes });
        }
        self.check_bytes(bytes)?;
        self.check_change(target)?;
        self.check_age(target)?;
        let revision = self.revision_of(target).saturating_add(1);
        self.drop_unsealed(|load| matches!(load.change(), Some((of, Content::Edit(_))) if of == target.message_id));
        let number = self.count_message();
        let edited_unix_ms = self.now.unix_ms;
        let wording = Wording { revision, edited_unix_ms, text: text.clone() };
        let edit = Edit { created_unix_ms: edited_unix_ms, of: target.message_id, revision, text };
        self.queue_change(number, target, edit.encode());
        self.change_message(target.contact, target.number, Change::wording(wording));
        Ok(Reply::Done)
    }

    /// The highest revision of a text that was made here.
    fn revision_of(&self, target: &Target) -> u32 {
        let waiting = self.outbox.iter().filter_map(|item| match item.load.change()? {
            (of, Content::Edit(edit)) if of == target.message_id => Some(edit.revision),
            _ => None,
        });
        let shown = self.outbox.get(target.number.0).and_then(Item::text).map(|text| text.view.revision);
        waiting.chain(shown).fold(target.revision, u32::max)
    }

    /// Deletes a message here, and where the other side has it if it is to go for both.
    pub(crate) fn delete_for(&mut self, target: &Target, for_both: bool) -> Result<Reply, CommandError> {
        if !for_both {
            self.delete_message(target.contact, target.number);
            return Ok(Reply::Done);
        }
        if !target.own {
            return Err(CommandError::NotYours);
        }
        if target.deleted {
            return Ok(Reply::Done);
        }
        self.check_change(target)?;
        self.check_age(target)?;
        let item = self.outbox.get(target.number.0).filter(|item| item.text().is_some());
        // What never left needs no word about its end.
        let left = item.is_none_or(|item| item.was_sealed() || self.has_sealed_part(item.number));
        self.end_own(target.number);
        self.drop_changes_of(&target.message_id);
        self.change_message(target.contact, target.number, Change::deletion());
        if left {
            let number = self.count_message();
            self.queue_change(number, target, Delete { of: target.message_id }.encode());
        }
        Ok(Reply::Done)
    }

    /// Takes a text out of the outbox before its end; a time that it was given runs from now on.
    fn end_own(&mut self, number: MessageNumber) {
        self.start_expiry_of_own(number.0);
        let Some(item) = self.outbox.get(number.0) else { return };
        let message_id = item.message_id;
        if let Some(view) = item.text().map(|text| text.view.clone()) {
            self.write_history(&view, message_id, false);
            self.drop_item(number.0);
        }
    }

    fn has_sealed_part(&self, head: u64) -> bool {
        self.outbox.parts_of(head).any(Item::was_sealed)
    }

    fn check_change(&self, target: &Target) -> Result<(), CommandError> {
        if target.deleted {
            return Err(CommandError::Deleted);
        }
        self.check_accepted(target.contact)
    }

    fn check_age(&self, target: &Target) -> Result<(), CommandError> {
        let over = target.created_unix_ms.saturating_add(CHANGEABLE_MS) < self.now.unix_ms;
        if over { Err(CommandError::TooOld { limit_ms: CHANGEABLE_MS }) } else { Ok(()) }
    }

    fn queue_change(&mut self, number: MessageNumber, target: &Target, bytes: Vec<u8>) {
        let load = Load::Change { target: target.message_id, bytes };
        self.queue_item(Item::new(number.0, target.contact, self.ids.id(number), load));
    }

    /// Gives up changes that were not sealed yet: later ones say all that they said.
    fn drop_unsealed(&mut self, is_over: impl Fn(&Load) -> bool) {
        let unsealed = |item: &&Item| !item.was_sealed() && !self.has_sealed_part(item.number);
        let over = self.outbox.iter().filter(|item| is_over(&item.load)).filter(unsealed);
        for number in over.map(|item| item.number).collect::<Vec<_>>() {
            self.drop_item(number);
        }
    }

    /// Gives up all changes of a message that is no more: nothing of what they say is to stay.
    fn drop_changes_of(&mut self, message_id: &[u8; 16]) {
        let is_over = |item: &&Item| matches!(&item.load, Load::Change { target, .. } if target == message_id);
        for number in self.outbox.iter().filter(is_over).map(|item| item.number).collect::<Vec<_>>() {
            self.drop_item(number);
        }
    }

    /// Changes a message wherever it lies, and tells of it.
    fn change_message(&mut self, contact: ContactNumber, number: MessageNumber, change: Change) {
        if let Some(item) = self.outbox.get_mut(number.0).filter(|item| item.contact == contact)
            && item.change(&change)
        {
            self.mark(Dirty::Outbox(number.0));
        }
        if change.deletes {
            self.turn.writes.push(VaultWrite::Delete { key: file_key(contact, number) });
        }
        let key = history_key(contact, number);
        self.turn.writes.push(VaultWrite::Change { key, change: Box::new(change) });
        self.event(Event::MessageChanged { number, contact });
    }

    /// A contact reacts to a message of either side.
    pub(crate) fn take_reaction(&mut self, contact: ContactNumber, account: [u8; 32], reaction: Reaction) {
        let Reaction { to, counter, emoji, .. } = reaction;
        let change = Change::reaction(false, counter, emoji);
        match self.ids.number(&to) {
            Some(number) if self.was_counted(number) => self.change_message(contact, number, change),
            Some(_) => {}
            None => self.change_theirs(contact, (account, to), change),
        }
    }

    /// A contact gives a text of theirs another wording. Nobody rewords what another wrote.
    pub(crate) fn take_edit(&mut self, contact: ContactNumber, account: [u8; 32], edit: Edit) {
        let Edit { created_unix_ms, of, revision, text } = edit;
        if self.ids.number(&of).is_none() {
            let wording = Wording { revision, edited_unix_ms: created_unix_ms, text };
            self.change_theirs(contact, (account, of), Change::wording(wording));
        }
    }

    /// A contact deletes a message of theirs for both.
    pub(crate) fn take_delete(&mut self, contact: ContactNumber, account: [u8; 32], of: [u8; 16]) {
        if self.ids.number(&of).is_none() {
            self.drop_changes_of(&of);
            self.change_theirs(contact, (account, of), Change::deletion());
        }
    }

    /// Changes a message that a contact wrote, now or when it comes.
    fn change_theirs(&mut self, contact: ContactNumber, key: SeenKey, change: Change) {
        match self.seen.number(&key) {
            Some(number) => self.change_message(contact, number, change),
            // It is known, and nothing to show.
            None if self.seen.contains(&key) => {}
            None => {
                for gone in self.early.add(key, change, self.now.unix_ms) {
                    self.mark(Dirty::Early(gone));
                }
                self.mark(Dirty::Early(key));
            }
        }
    }

    /// Shows a text or file that has come, with what came about it before; what was deleted before is shown as that, and is
    /// nothing to be read.
    pub(crate) fn show(&mut self, mut message: MessageView, file: Option<Vec<u8>>, key: SeenKey) {
        if let Some(change) = self.early.take(&key) {
            self.mark(Dirty::Early(key));
            change.apply(&mut message);
        }
        self.start_expiry(&mut message);
        self.write_history(&message, key.1, true);
        let (number, contact) = (message.number, message.contact);
        if let Some(bytes) = file.filter(|_| !message.deleted) {
            self.write_file(contact, FileRecord { number, bytes });
        }
        self.event(match message.deleted {
            true => Event::MessageChanged { number, contact },
            false => Event::MessageReceived(message),
        });
    }

    /// Forgets changes whose messages did not come in time.
    pub(crate) fn expire_early(&mut self) {
        for key in self.early.expire(self.now.unix_ms) {
            self.mark(Dirty::Early(key));
        }
    }
}

impl Load {
    /// What a change of a message is about, and says.
    pub(crate) fn change(&self) -> Option<([u8; 16], Content)> {
        match self {
            Self::Change { target, bytes } => Some((*target, Content::decode(bytes).ok()?)),
            _ => None,
        }
    }
}

impl Item {
    /// Changes the text, if it is one; whether that made a difference. What its envelopes say stays, once there is one.
    pub(crate) fn change(&mut self, change: &Change) -> bool {
        let was_sealed = self.was_sealed() || self.parts > 1;
        let Load::Text(text) = &mut self.load else { return false };
        let before = if let MessageBody::Text(before) = &text.view.body { Some(before.clone()) } else { None };
        let differs = change.apply(&mut text.view);
        if let Some(before) = before.filter(|_| differs && was_sealed && change.wording.is_some()) {
            text.sealed_text.get_or_insert(before);
        }
        differs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_relay::pool::MemoryPool;
    use starling_wire::network::NetworkParameters;

    use super::*;
    use crate::contact::Contact;
    use crate::content::Text;
    use crate::messenger::Setup;
    use crate::record::RecordKind;
    use crate::turn::{Now, Output, Turn};

    const BOB: ContactNumber = ContactNumber(7);

    fn messenger(rng: &mut ChaCha20Rng) -> Messenger<MemoryPool> {
        let parameters = NetworkParameters::test("memory");
        let pool = MemoryPool::new(&parameters);
        let setup = Setup { parameters, onion_secret: [1; 32], name: String::new() };
        let now = Now { unix_ms: 1_800_000_000_000, monotonic_ms: 5_000 };
        let (mut messenger, _) = Messenger::create(setup, pool, now, rng);
        messenger.contacts.insert(Contact::new(BOB, "Bob".into(), [9; 32], 1));
        messenger
    }

    fn id(number: u32) -> [u8; 16] {
        let mut id = [0xAA; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        id
    }

    fn told(turn: &Turn) -> usize {
        turn.outputs.iter().filter(|output| matches!(output, Output::Event(_))).count()
    }

    #[test]
    fn ten_thousand_edits_of_nothing_leave_a_bounded_vault_and_tell_nobody() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut messenger = messenger(&mut rng);
        let mut stored = BTreeSet::new();
        for number in 0..10_000 {
            let edit = Edit { created_unix_ms: 1, of: id(number), revision: 1, text: "x".into() };
            messenger.take_content(BOB, id(1 << 20 | number), &edit.encode(), &mut rng);
            let turn = messenger.finish_step(&mut rng);
            assert_eq!(told(&turn), 0);
            for write in turn.writes {
                match write {
                    VaultWrite::Put { key, .. } if key.kind == RecordKind::Early => drop(stored.insert(key)),
                    VaultWrite::Delete { key } => drop(stored.remove(&key)),
                    _ => {}
                }
            }
        }
        assert_eq!((stored.len(), messenger.early.iter().count()), (256, 256));
    }

    #[test]
    fn what_comes_twice_is_done_and_told_once() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut messenger = messenger(&mut rng);
        let text = Text { sequence: 0, created_unix_ms: 1, reply_to: None, expires_s: 0, text: "hi".into() };
        let reaction = Reaction { created_unix_ms: 2, to: id(1), counter: 1, emoji: "👍".into() };
        for (number, bytes) in [(1, text.encode()), (2, reaction.encode()), (3, Delete { of: id(1) }.encode())] {
            for expected in [1, 0] {
                messenger.take_content(BOB, id(number), &bytes, &mut rng);
                let turn = messenger.finish_step(&mut rng);
                assert_eq!(told(&turn), expected);
                let changes = turn.writes.iter().filter(|write| matches!(write, VaultWrite::Change { .. })).count();
                assert_eq!(changes, if number > 1 { expected } else { 0 });
            }
        }
        assert_eq!(messenger.receipts.due(BOB), 3, "it is confirmed each time");
    }
}

//! What people do to messages that were written: reactions, other wordings, ends, times after which they disappear;
//! and that both sides have the same in the end.
//!
//! What happens to a text is told by its number, so that it costs no randomness.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use starling_messenger::FILE_BYTES_MAX;
use starling_messenger::change::Change;
use starling_messenger::record::{
    FileRecord, HistoryRecord, RecordKind, VaultKey, decode_record, file_key, history_key,
};
use starling_messenger::turn::{Command, MessageNumber, Target};
use starling_messenger::view::{DeliveryStage, MessageBody, MessageView};
use starling_wire::limits::CAPTION_BYTES_MAX;

use super::check::{Check, Rule};
use super::event::{Event, Place};
use super::people::Act;
use super::plan::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Span};
use super::world::World;

/// What stands before the number of a wording, and in no text.
const WORDING: &str = " ~";
/// How often somebody looks for a message that they mean to change.
const LOOKS: u8 = 20;
/// Bytes of the longest texts.
const LONG_BYTES: usize = 7_000;

/// What somebody does to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Sets their reaction; an empty one takes it back.
    React(&'static str),
    /// Gives it another wording.
    Edit(u32),
    /// Deletes it for both.
    Delete,
}

/// The text as it was written, of any wording of it.
fn first_wording(text: &str) -> &str {
    text.split(WORDING).next().unwrap_or_default()
}

/// What a message said first, if it says anything.
pub(super) fn text_of(view: &MessageView) -> Option<&str> {
    match &view.body {
        MessageBody::Text(text) if !view.deleted => Some(first_wording(text)),
        MessageBody::File(file) => Some(&file.text),
        MessageBody::Text(_) | MessageBody::Unknown { .. } => None,
    }
}

/// The number in `0>1 #17 xxx`; none in texts that tests write by hand.
pub(super) fn number_in(text: &str) -> Option<u64> {
    text.split_once('#')?.1.split(' ').next()?.parse().ok()
}

/// The bytes of the file that goes with a text, if one does: of every size, and told by the text.
pub(super) fn file_bytes(text: &str) -> Option<Vec<u8>> {
    let number = number_in(text).filter(|number| number % 13 == 5 && text.len() <= CAPTION_BYTES_MAX)?;
    // Most are small, as stamps of large envelopes cost what those of eight small ones do.
    let most = if number % 39 == 5 { FILE_BYTES_MAX } else { 6_000 };
    let mut bytes = vec![0; 1 + (number as usize * 7_919) % most];
    ChaCha20Rng::seed_from_u64(number).fill_bytes(&mut bytes);
    Some(bytes)
}

/// Bytes that are added to the text of this number.
pub(super) fn filler_bytes(number: usize, short: u64) -> usize {
    if number % 23 == 7 { LONG_BYTES - number % 100 } else { short as usize }
}

/// What both sides must agree about: text, end, and reactions as the writer sees them.
fn essence(view: &MessageView) -> (Option<&str>, u32, BTreeSet<(bool, &str)>) {
    let text = match &view.body {
        MessageBody::Text(text) if !view.deleted => Some(text.as_str()),
        MessageBody::File(file) => Some(file.text.as_str()),
        _ => None,
    };
    let reactions = view.shown_reactions().map(|reaction| (reaction.own == view.own, reaction.emoji.as_str()));
    (text, view.revision, reactions.collect())
}

impl World {
    /// After how many seconds a text disappears.
    pub(super) fn expires_s(&self, text: &str) -> Option<u32> {
        let number = number_in(text).filter(|number| number % 9 == 4)?;
        let longest_ms = match self.plan.span {
            Span::Minutes => HOUR_MS,
            Span::Days => 2 * DAY_MS,
            Span::Weeks => 6 * DAY_MS,
        };
        u32::try_from(60 + number * 7_919 * SECOND_MS % longest_ms / SECOND_MS).ok()
    }

    /// Foresees what is done to a text.
    pub(super) fn plan_changes(&mut self, at_ms: u64, from: Place, to: Place, text: &str) {
        let Some(number) = number_in(text) else { return };
        let slow_ms = match self.plan.span {
            Span::Minutes => 2 * MINUTE_MS,
            Span::Days => 6 * HOUR_MS,
            Span::Weeks => 2 * DAY_MS,
        };
        // Half of them at once, so that they overtake each other.
        let within_ms = if number % 40 < 20 { slow_ms } else { 3 * SECOND_MS };
        // Four texts in twenty: each deed is a message more for all nodes.
        let deeds: &[(Place, Deed)] = match number % 20 {
            3 | 14 => &[(from, Deed::Edit(1)), (to, Deed::React("👍")), (from, Deed::Delete), (from, Deed::Edit(2))],
            7 => &[(to, Deed::React("👍")), (from, Deed::React("🎉")), (to, Deed::React(""))],
            12 => &[(from, Deed::Edit(1)), (from, Deed::Edit(2)), (to, Deed::React("❤️"))],
            _ => &[],
        };
        for (round, &(node, deed)) in deeds.iter().enumerate() {
            let at_ms = at_ms + (number * 7_919 + round as u64 * 104_729) % within_ms;
            let act = Act::Change { about: text.to_owned(), deed, looks: LOOKS };
            self.queue.put(at_ms, Event::Act { node, act });
        }
    }

    /// What somebody asks of their node to do something to a message; `Err` of what they do later instead, if anything.
    pub(super) fn change_command(
        &self,
        place: Place,
        about: &str,
        deed: Deed,
        looks: u8,
    ) -> Result<Command, Option<Act>> {
        let again = || Some(Act::Change { about: about.to_owned(), deed, looks: looks - 1 }).filter(|_| looks > 1);
        let Some((from, to)) = self.checks.between(about).filter(|&(from, to)| !self.checks.is_severed(from, to))
        else {
            return Err(None);
        };
        let other = if place == from { to } else { from };
        let contact = self.nodes[place].contacts.get(&self.nodes[other].account).copied();
        let Some((contact, number)) = contact.zip(self.checks.number_at(place, about)) else { return Err(again()) };
        // It may have disappeared.
        let record = self.record(place, &history_key(contact, number)).ok_or(None)?;
        if matches!(deed, Deed::Edit(_)) && record.message.body.file().is_some() {
            return Err(None);
        }
        let target = Box::new(Target::from(&record));
        Ok(match deed {
            Deed::React(emoji) => Command::React { target, emoji: Some(emoji.to_owned()) },
            Deed::Edit(wording) => Command::Edit { target, text: format!("{about}{WORDING}{wording}") },
            Deed::Delete => Command::Delete { target, for_both: true },
        })
    }

    fn record(&self, place: Place, key: &VaultKey) -> Option<HistoryRecord> {
        decode_record(self.nodes[place].vault.get(key)?).ok()
    }

    fn record_of(&self, place: Place, other: Place, number: MessageNumber) -> Option<HistoryRecord> {
        let contact = *self.nodes[place].contacts.get(&self.nodes[other].account)?;
        self.record(place, &history_key(contact, number))
    }

    /// Each conversation as people see it: everything that came is there once, in its sender's order.
    pub(super) fn check_conversations(&mut self, place: Place) {
        let mut conversations: BTreeMap<u64, Vec<MessageView>> = BTreeMap::new();
        for (key, value) in &self.nodes[place].vault {
            if key.kind == RecordKind::History
                && let Ok(record) = decode_record::<HistoryRecord>(value)
            {
                conversations.entry(record.message.contact.0).or_default().push(record.message);
            }
        }
        let name = self.nodes[place].name.clone();
        let mut on_disk = 0;
        self.check_files(place, conversations.values().flatten());
        for mut messages in conversations.into_values() {
            starling_messenger::conversation::arrange(&mut messages);
            let theirs: Vec<&str> = messages.iter().filter(|view| !view.own).filter_map(text_of).collect();
            on_disk += messages.iter().filter(|view| !view.own).count();
            let origins: Vec<_> = theirs.iter().filter_map(|text| self.checks.origin(text)).collect();
            if !origins.is_sorted() {
                self.violated(Rule::InOrder, &name, format!("{origins:?}"));
            }
        }
        let committed = self.checks.received_on_disk(place);
        if on_disk != committed {
            let what = format!("{on_disk} messages on the disk, {committed} were committed");
            self.violated(Rule::DeliveredIsThere, &name, what);
        }
    }

    /// Each file is there, byte by byte, and nothing of one whose message is not.
    fn check_files<'a>(&mut self, place: Place, messages: impl Iterator<Item = &'a MessageView>) {
        let vault = &self.nodes[place].vault;
        let mut files = vault.keys().filter(|key| key.kind == RecordKind::File).collect::<BTreeSet<_>>();
        let mut wrong = Vec::new();
        for view in messages {
            let Some(file) = view.body.file() else { continue };
            let key = file_key(view.contact, view.number);
            let stored = vault.get(&key).and_then(|value| decode_record::<FileRecord>(value).ok());
            let bytes = stored.map(|record| record.bytes);
            if bytes.is_none() || bytes != file_bytes(&file.text) {
                wrong.push(format!("{:?} has other bytes than were sent", file.name));
            }
            files.remove(&key);
        }
        wrong.extend(files.into_iter().map(|key| format!("a file of no message: {:?}", key.order)));
        let name = self.nodes[place].name.clone();
        for what in wrong {
            self.violated(Rule::DeliveredIsThere, &name, what);
        }
    }

    /// Messages of which two people who were never parted see different things.
    pub(super) fn disagreements(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (text, from, to) in self.checks.letters_of_friends() {
            let numbers = self.checks.number_at(from, text).zip(self.checks.number_at(to, text));
            let Some((own, theirs)) = numbers else { continue };
            // What has disappeared on one side is as good as gone on the other.
            let records = self.record_of(from, to, own).zip(self.record_of(to, from, theirs));
            let Some((own, theirs)) = records else { continue };
            let (wrote, reads) = (essence(&own.message), essence(&theirs.message));
            if wrote != reads {
                let short = |view: &MessageView| {
                    let (text, revision, reactions) = essence(view);
                    (text.map(|text| text.len()), revision, format!("{reactions:?}"))
                };
                let label: String = text.chars().take(16).collect();
                let what = (short(&own.message), short(&theirs.message));
                found.push(format!("{label:?} at n{from:02} and n{to:02}: {what:?}"));
            }
            // What says nothing any more need not say that it was read.
            let state = own.message.state.stage;
            if self.checks.reading.is_to_be_known(text) && !own.message.deleted && state != DeliveryStage::Read {
                let label: String = text.chars().take(16).collect();
                found.push(format!("{label:?} was read at n{to:02}, and n{from:02} has it {state:?}"));
            }
        }
        found
    }
}

impl Check {
    /// A node's disk changes a message: an own one that is deleted for both need not arrive any more.
    pub(super) fn changed(&mut self, place: Place, key: &VaultKey, change: &Change) {
        let number = MessageNumber(key.order.unwrap_or(0));
        if change.deletes
            && let Some(text) = self.by_number.get(&(place, number))
            && let Some(letter) = self.letters.get_mut(text)
        {
            letter.deleted = true;
        }
    }

    /// A node told that a message is gone there.
    pub(super) fn is_gone(&mut self, place: Place, number: MessageNumber) {
        if !self.by_number.contains_key(&(place, number)) {
            self.gone.insert((place, number));
        }
    }

    /// Received messages of a node that are on its disk, if it is as it was committed.
    fn received_on_disk(&self, place: Place) -> usize {
        let of = |set: &BTreeSet<(Place, MessageNumber)>| set.iter().filter(|(at, _)| *at == place).count();
        self.received_by(place).len() + of(&self.late) - of(&self.gone)
    }

    /// Who wrote a text, and to whom.
    fn between(&self, text: &str) -> Option<(Place, Place)> {
        self.letters.get(text).map(|letter| (letter.from, letter.to))
    }

    /// The number of a text at its writer or its reader.
    fn number_at(&self, place: Place, text: &str) -> Option<MessageNumber> {
        let letter = self.letters.get(text)?;
        let received = || self.received.get(&(place, text.to_owned())).copied();
        if place == letter.from { letter.number } else { received() }
    }

    /// Texts between people who were never parted.
    fn letters_of_friends(&self) -> impl Iterator<Item = (&str, Place, Place)> {
        let friends = |from: Place, to: Place| !self.severed.contains_key(&(from.min(to), from.max(to)));
        let letters = self.letters.iter().map(|(text, letter)| (text.as_str(), letter.from, letter.to));
        letters.filter(move |&(_, from, to)| friends(from, to))
    }
}

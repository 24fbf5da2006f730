//! People who read what came, and who tell of it or do not; and that what is shown as read was read, and in the end all of
//! it that is told.
//!
//! Who tells, and what is read when, follows from numbers, so that it costs no randomness.

use std::collections::{BTreeMap, BTreeSet};

use starling_messenger::turn::{Command, MessageNumber};
use starling_messenger::view::{DeliveryStage, MessageView};

use super::changes::{number_in, text_of};
use super::check::Rule;
use super::event::{Event, Place};
use super::people::Act;
use super::plan::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Span};
use super::world::World;

/// Whether somebody tells what they read.
pub(super) fn tells(place: Place) -> bool {
    place % 4 != 3
}

/// Who read what.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whose node has taken that they tell.
    telling: BTreeSet<Place>,
    /// The newest message of a conversation that was shown, by reader and writer.
    newest: BTreeMap<(Place, Place), MessageNumber>,
    /// How far a reader ever meant to have read, and how far their node knows.
    asked: BTreeMap<(Place, Place), MessageNumber>,
    known: BTreeMap<(Place, Place), MessageNumber>,
    /// What was shown, by reader and writer.
    shown: BTreeMap<(Place, Place), BTreeMap<MessageNumber, String>>,
    /// Texts of which their writer is to know that they were read.
    to_be_known: BTreeSet<String>,
    /// Who blocked whom: what they read meanwhile is not told.
    blocked: BTreeSet<(Place, Place)>,
}

impl Reading {
    /// A node has taken that its person tells.
    pub(super) fn tells(&mut self, place: Place) {
        self.telling.insert(place);
    }

    /// Somebody blocked somebody for a while.
    pub(super) fn blocks(&mut self, place: Place, whom: Place) {
        self.blocked.insert((place, whom));
    }

    /// Somebody looks at a conversation: the newest message that they see there.
    pub(super) fn looks(&mut self, place: Place, whom: Place) -> Option<MessageNumber> {
        let newest = *self.newest.get(&(place, whom))?;
        let asked = self.asked.entry((place, whom)).or_insert(newest);
        *asked = newest.max(*asked);
        Some(newest)
    }

    /// Whether a text's writer is to know in the end that it was read.
    pub(super) fn is_to_be_known(&self, text: &str) -> bool {
        self.to_be_known.contains(text)
    }
}

impl World {
    /// Lets those who tell say so, when their node has run for a while.
    pub(super) fn plan_telling(&mut self) {
        for node in (0..self.plan.nodes).filter(|&place| tells(place)) {
            self.queue.put(SECOND_MS * (node as u64 + 1), Event::Act { node, act: Act::Tell });
        }
    }

    /// A text is shown: some are read after a while, with all that came before them.
    pub(super) fn plan_reading(&mut self, place: Place, view: &MessageView) {
        let Some(text) = text_of(view).map(str::to_owned) else { return };
        let Some((writer, _)) = self.checks.origin(&text) else { return };
        let pair = (place, writer);
        let reading = &mut self.checks.reading;
        let newest = reading.newest.entry(pair).or_insert(view.number);
        *newest = view.number.max(*newest);
        reading.shown.entry(pair).or_default().insert(view.number, text.clone());
        let Some(number) = number_in(&text).filter(|number| number % 3 != 1) else { return };
        let slow_ms = match self.plan.span {
            Span::Minutes => 3 * MINUTE_MS,
            Span::Days => 8 * HOUR_MS,
            Span::Weeks => 3 * DAY_MS,
        };
        let in_ms = if number % 2 == 0 { number * 104_729 % (5 * SECOND_MS) } else { number * 7_919_000 % slow_ms };
        let act = Act::Read { whom: writer, up_to: None };
        self.queue.put(self.at_ms + in_ms, Event::Act { node: place, act });
    }

    /// What a reader asks of their node, which keeps how far they had read before.
    pub(super) fn read_command(&self, place: Place, whom: Place, up_to: Option<MessageNumber>) -> Option<Command> {
        let contact = *self.nodes[place].contacts.get(&self.nodes[whom].account)?;
        let after = self.checks.reading.known.get(&(place, whom)).copied();
        let up_to = up_to.filter(|&up_to| after < Some(up_to))?;
        Some(Command::MarkRead { contact, after, up_to })
    }

    /// A node has taken that its person has read.
    pub(super) fn on_read(&mut self, place: Place, whom: Place, up_to: MessageNumber) {
        let is_friend = !self.checks.is_severed(place, whom);
        let reading = &mut self.checks.reading;
        let pair = (place, whom);
        let before = reading.known.get(&pair).copied();
        reading.known.insert(pair, up_to.max(before.unwrap_or(up_to)));
        let both_tell = reading.telling.contains(&place) && reading.telling.contains(&whom);
        let is_told = both_tell && is_friend && !reading.blocked.contains(&pair);
        if let (true, Some(shown)) = (is_told, reading.shown.get(&pair)) {
            let read = shown.iter().filter(|(number, _)| Some(**number) > before && **number <= up_to);
            reading.to_be_known.extend(read.map(|(_, text)| text.clone()));
        }
    }

    /// A node tells its person that a contact has read a message.
    pub(super) fn check_read(&mut self, place: Place, number: MessageNumber) {
        let Some(text) = self.checks.by_number.get(&(place, number)).cloned() else { return };
        let Some(letter) = self.checks.letters.get(&text).filter(|letter| !letter.deleted) else { return };
        let (name, reader) = (self.nodes[place].name.clone(), letter.to);
        let was_read = {
            let asked = self.checks.reading.asked.get(&(reader, place));
            let number = self.checks.received.get(&(reader, text.clone()));
            number.is_some() && number <= asked
        };
        if !was_read || !tells(place) || !tells(reader) {
            let what = format!("m{} is shown as read; n{reader:02} has read it: {was_read}", number.0);
            self.violated(Rule::ReadIsTrue, &name, what);
        }
        let unix_ms = self.now_of(place).unix_ms;
        self.checks.state(self.at_ms, &name, place, number, DeliveryStage::Read, unix_ms);
    }
}

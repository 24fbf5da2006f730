//! Searching the whole history: an index in memory, built at the first search and kept up by the event log. It holds
//! every text once, in small letters, and is wiped when the vault is locked or nobody searched for a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use starling_messenger::turn::{ContactNumber, MessageNumber};
use starling_messenger::view::{Event, MessageBody, MessageView};
use starling_store::reader::Reader;
use starling_store::vault::VaultError;
use zeroize::Zeroizing;

use crate::core::event_log::{Happening, LoggedEvent};

/// How long after the last search the index is kept.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// Events read at once to bring the index up to now.
const EVENTS: usize = 500;

/// A message as it is searched.
struct Entry {
    number: MessageNumber,
    contact: ContactNumber,
    text: Zeroizing<Box<str>>,
}

struct Index {
    /// In the order of their numbers.
    entries: Vec<Entry>,
    /// Number of the last event that is in it.
    seq: u64,
    used: Instant,
}

/// The index, if there is one.
#[derive(Default)]
pub(crate) struct Search {
    index: Mutex<Option<Index>>,
}

/// What was found, newest first.
pub(crate) struct Found {
    /// Messages.
    pub(crate) messages: Vec<MessageView>,
    /// Whether there are more.
    pub(crate) more: bool,
}

impl Search {
    /// Forgets everything.
    pub(crate) fn forget(&self) {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Forgets everything if nobody searched for a while.
    pub(crate) fn forget_unused(&self) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if index.as_ref().is_some_and(|index| index.used.elapsed() >= KEPT) {
            *index = None;
        }
    }

    /// The newest `limit` messages before number `before` in which all `words` occur, and whether there are more.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// The history cannot be read.
    pub(crate) fn find(
        &self,
        reader: &Reader,
        words: &[String],
        before: Option<MessageNumber>,
        limit: usize,
    ) -> Result<Found, VaultError> {
        let mut hold = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = match hold.take() {
            Some(mut index) => match index.catch_up(reader)? {
                CaughtUp::Now => index,
                CaughtUp::Gap => Index::build(reader)?,
            },
            None => Index::build(reader)?,
        };
        index.used = Instant::now();
        let found = index.find(reader, words, before, limit);
        *hold = Some(index);
        found
    }
}

enum CaughtUp {
    Now,
    /// Events are missing: the index cannot be trusted.
    Gap,
}

impl Index {
    fn build(reader: &Reader) -> Result<Self, VaultError> {
        // First the number, then the messages: what comes between is read twice and not missed.
        let mut index = Self { entries: Vec::new(), seq: reader.newest_event(), used: Instant::now() };
        reader.each_message(MessageNumber(u64::MAX), |record| -> Result<(), VaultError> {
            if let Ok(record) = record {
                index.entries.extend(entry(&record.message));
            }
            Ok(())
        })?;
        index.entries.sort_unstable_by_key(|entry| entry.number);
        Ok(index)
    }

    fn catch_up(&mut self, reader: &Reader) -> Result<CaughtUp, VaultError> {
        loop {
            let page = reader.events_since(self.seq, EVENTS)?;
            if page.gap_after(self.seq).is_some() || page.newest < self.seq {
                return Ok(CaughtUp::Gap);
            }
            let Some(last) = page.events.last().map(|stored| stored.seq) else { return Ok(CaughtUp::Now) };
            for stored in &page.events {
                let Ok(event) = LoggedEvent::decode(&stored.event.bytes) else { return Ok(CaughtUp::Gap) };
                if let Happening::Core(event) = event.happening {
                    self.take(reader, &event)?;
                }
            }
            self.seq = last;
        }
    }

    /// A message came, was written, was changed or went.
    fn take(&mut self, reader: &Reader, event: &Event) -> Result<(), VaultError> {
        let (contact, number) = match event {
            Event::MessageReceived(MessageView { contact, number, .. })
            | Event::MessageState { contact, number, .. }
            | Event::MessageChanged { contact, number }
            | Event::MessageDeleted { contact, number } => (*contact, *number),
            _ => return Ok(()),
        };
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number);
        // The state of a message changes often; its text is read when it is new, or may have gone.
        if place.is_ok() && matches!(event, Event::MessageState { .. }) {
            return Ok(());
        }
        let now = reader.message_of(contact, number)?.and_then(|record| entry(&record.message));
        match (place, now) {
            (Ok(place), Some(entry)) => self.entries[place] = entry,
            (Ok(place), None) => drop(self.entries.remove(place)),
            (Err(place), Some(entry)) => self.entries.insert(place, entry),
            (Err(_), None) => {}
        }
        Ok(())
    }

    fn find(
        &self,
        reader: &Reader,
        words: &[String],
        before: Option<MessageNumber>,
        limit: usize,
    ) -> Result<Found, VaultError> {
        let end =
            before.map_or(self.entries.len(), |before| self.entries.partition_point(|entry| entry.number < before));
        let mut found = Found { messages: Vec::new(), more: false };
        for entry in self.entries[..end].iter().rev() {
            if !words.iter().all(|word| entry.text.contains(word.as_str())) {
                continue;
            }
            if found.messages.len() >= limit {
                found.more = true;
                break;
            }
            // It may have gone in this moment.
            if let Some(record) = reader.message_of(entry.contact, entry.number)? {
                found.messages.push(record.message);
            }
        }
        Ok(found)
    }
}

fn entry(message: &MessageView) -> Option<Entry> {
    if message.deleted {
        return None;
    }
    let text = match &message.body {
        MessageBody::Text(text) => text.to_lowercase(),
        MessageBody::File(file) => format!("{}\n{}", file.text, file.name).to_lowercase(),
        MessageBody::Unknown { .. } => return None,
    };
    let text = Zeroizing::new(text.into_boxed_str());
    Some(Entry { number: message.number, contact: message.contact, text })
}

/// The words of a query, in small letters.
pub(crate) fn words(query: &str) -> Vec<String> {
    query.split_whitespace().map(str::to_lowercase).collect()
}

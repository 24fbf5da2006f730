//! Reading the vault beside the core: history, one message, its life, the event log. Reads take no part in
//! the loop, and any number of threads may read while one commits. A record may be seen in the instant before
//! its commit is durable; an event may not, because what it announces must not be undone by a crash.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use starling_messenger::record::{
    FileRecord, HistoryRecord, MessageIndexRecord, RecordKind, TraceRecord, VaultKey, decode_record, file_key,
    history_key, history_parent, message_index_key, trace_key,
};
use starling_messenger::turn::{ContactNumber, MessageNumber};
use zeroize::Zeroizing;

use crate::vault::record_key::{PARENT_BYTES, RecordKey, order_of};
use crate::vault::records::Records;
use crate::vault::{EventBytes, VaultError, event_log};

/// Records that one call returns at most.
pub const PAGE_MAX: usize = 1_000;

/// Messages of a conversation, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The messages.
    pub messages: Vec<HistoryRecord>,
    /// Whether there are older ones.
    pub more: bool,
    /// Records in the page's range that could not be read. They are kept as they are.
    pub damaged: usize,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number: from 1, without a hole.
    pub seq: u64,
    /// When and what.
    pub event: EventBytes,
}

/// Events after a number, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Number of the oldest event kept; 0 when there is none.
    pub oldest: u64,
    /// Number of the newest event that would survive a power cut; 0 when there is none.
    pub newest: u64,
}

impl EventPage {
    /// The oldest number that can still be had, if events after `since` were forgotten: the reader missed
    /// some and has to read everything anew.
    pub fn gap_after(&self, since: u64) -> Option<u64> {
        (self.oldest > since.saturating_add(1)).then_some(self.oldest)
    }
}

/// Reads a vault. Cheap to clone; the clones keep the database open until one of them closes them all.
#[derive(Debug, Clone)]
pub struct Reader {
    records: Arc<RwLock<Hold>>,
}

/// What the clones of a reader share.
#[derive(Debug)]
enum Hold {
    Open(Arc<Records>),
    Closed(Weak<Records>),
}

impl Reader {
    pub(crate) fn new(records: Arc<Records>) -> Self {
        Self { records: Arc::new(RwLock::new(Hold::Open(records))) }
    }

    /// Lets go of the vault: this reader and all its clones read nothing any more. Calls under way end first; see
    /// [`Self::is_gone`].
    pub fn close(&self) {
        let mut hold = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if let Hold::Open(records) = &*hold {
            *hold = Hold::Closed(Arc::downgrade(records));
        }
    }

    /// Whether the reader was closed and nobody holds the vault any more, so that it may be opened again.
    pub fn is_gone(&self) -> bool {
        let hold = self.records.read().unwrap_or_else(PoisonError::into_inner);
        matches!(&*hold, Hold::Closed(records) if records.strong_count() == 0)
    }

    fn records(&self) -> Result<Arc<Records>, VaultError> {
        match &*self.records.read().unwrap_or_else(PoisonError::into_inner) {
            Hold::Open(records) => Ok(records.clone()),
            Hold::Closed(_) => Err(VaultError::Closed),
        }
    }

    /// The newest messages of a conversation before the number `before`, at most `limit` and
    /// [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`VaultError::Database`]; a damaged record is only counted.
    pub fn history(
        &self,
        contact: ContactNumber,
        before: Option<MessageNumber>,
        limit: usize,
    ) -> Result<HistoryPage, VaultError> {
        let records = self.records()?;
        let prefix = records.parent_prefix(RecordKind::History, &history_parent(contact));
        let mut page = HistoryPage::default();
        let last = match before {
            None => u64::MAX,
            Some(MessageNumber(0)) => return Ok(page),
            Some(MessageNumber(number)) => number - 1,
        };
        for key in records.keys_between(ordered(prefix, 0), ordered(prefix, last)).rev() {
            if page.messages.len() >= limit.min(PAGE_MAX) {
                page.more = true;
                break;
            }
            match records.get(&key?) {
                Ok(Some(value)) => match decode_record(&value) {
                    Ok(record) => page.messages.push(record),
                    Err(_) => page.damaged += 1,
                },
                Ok(None) => {}
                Err(VaultError::Damaged(_)) => page.damaged += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// Hands every message with a number below `before` to `take`: one conversation after another, each in its order.
    /// What is committed meanwhile has larger numbers. A message that is there but cannot be read is handed on as
    /// [`VaultError::Damaged`].
    ///
    /// # Errors
    /// That of `take`, which ends it; [`VaultError::Database`], [`VaultError::Closed`].
    pub fn each_message<E: From<VaultError>>(
        &self,
        before: MessageNumber,
        mut take: impl FnMut(Result<HistoryRecord, VaultError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let records = self.records()?;
        for key in records.keys_of_kind(RecordKind::History) {
            let key = key?;
            if order_of(&key) >= before.0 {
                continue;
            }
            match records.get(&key) {
                Ok(None) => {}
                Ok(Some(value)) => take(decode_record(&value).map_err(|_| VaultError::Damaged("a message")))?,
                Err(error @ VaultError::Damaged(_)) => take(Err(error))?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// One message, by its number.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but cannot be read.
    pub fn message(&self, number: MessageNumber) -> Result<Option<HistoryRecord>, VaultError> {
        let Some(index) = self.decoded::<MessageIndexRecord>(&message_index_key(number))? else { return Ok(None) };
        self.message_of(index.contact, number)
    }

    /// One message, of a conversation.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but cannot be read.
    pub fn message_of(
        &self,
        contact: ContactNumber,
        number: MessageNumber,
    ) -> Result<Option<HistoryRecord>, VaultError> {
        self.decoded(&history_key(contact, number))
    }

    /// The bytes of a message's file; `None` when it has none, or it was deleted.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but cannot be read.
    pub fn file(&self, contact: ContactNumber, number: MessageNumber) -> Result<Option<Vec<u8>>, VaultError> {
        Ok(self.decoded::<FileRecord>(&file_key(contact, number))?.map(|file| file.bytes))
    }

    /// The life of a message that is final.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but cannot be read.
    pub fn trace(&self, number: MessageNumber) -> Result<Option<TraceRecord>, VaultError> {
        self.decoded(&trace_key(number))
    }

    /// At most `limit` (and [`PAGE_MAX`]) events after the number `since`, and the numbers of both ends. An
    /// event that is not durable yet is not there.
    ///
    /// # Errors
    /// [`VaultError::Database`]; [`VaultError::Damaged`] when an event cannot be read, as leaving it out
    /// would look like a hole.
    pub fn events_since(&self, since: u64, limit: usize) -> Result<EventPage, VaultError> {
        let records = self.records()?;
        let newest = records.durable_event();
        let mut page = EventPage { events: Vec::new(), oldest: oldest_event(&records, newest)?, newest };
        let first = since.saturating_add(1);
        if newest < first {
            return Ok(page);
        }
        for key in event_log::event_keys(&records, first, newest).take(limit.min(PAGE_MAX)) {
            let key = key?;
            // Forgotten between the two reads.
            let Some(value) = records.get(&key)? else { continue };
            let event = event_log::decode(&value).ok_or(VaultError::Damaged("an event"))?;
            page.events.push(StoredEvent { seq: order_of(&key), event });
        }
        Ok(page)
    }

    /// Number of the newest event that would survive a power cut; 0 when there is none, or the reader is closed.
    pub fn newest_event(&self) -> u64 {
        self.records().map_or(0, |records| records.durable_event())
    }

    /// The bytes of any record.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it is there but fails its check.
    pub fn get(&self, key: &VaultKey) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let records = self.records()?;
        records.get(&records.key_of(key))
    }

    fn decoded<T: serde::de::DeserializeOwned>(&self, key: &VaultKey) -> Result<Option<T>, VaultError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        decode_record(&value).map(Some).map_err(|_| VaultError::Damaged("a record is of another version or damaged"))
    }
}

fn oldest_event(records: &Records, newest: u64) -> Result<u64, VaultError> {
    let first = event_log::event_keys(records, 0, newest).next();
    Ok(first.transpose()?.map_or(0, |key| order_of(&key)))
}

fn ordered(prefix: [u8; PARENT_BYTES], order: u64) -> RecordKey {
    let mut key = RecordKey::default();
    key[..PARENT_BYTES].copy_from_slice(&prefix);
    key[PARENT_BYTES..].copy_from_slice(&order.to_be_bytes());
    key
}

//! Reads beside the core: history and events come straight from the vault, on threads that may block.

use std::sync::Arc;

use starling_api::{ApiError, Code};
use starling_messenger::record::HistoryRecord;
use starling_messenger::turn::{CommandError, ContactNumber, MessageNumber};
use starling_messenger::view::{Event, MessageView, TraceLine};
use starling_store::reader::{Reader, StoredEvent};
use starling_store::vault::VaultError;

use super::app::App;
use super::fault;
use super::search::Found;
use crate::core::event_log::{Happening, LoggedEvent};
use crate::core::handle::Unavailable;
use crate::core::preferences::Mark;

/// Unread messages that are counted of one conversation.
const UNREAD_MAX: usize = 100;

/// Runs `read` on a thread that may block.
async fn on_disk<T: Send + 'static>(
    app: &App,
    read: impl FnOnce(&Reader) -> Result<T, VaultError> + Send + 'static,
) -> Result<T, ApiError> {
    let reader = app.node.reader().map_err(|error| fault::unavailable(&error))?;
    match tokio::task::spawn_blocking(move || read(&reader)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(fault::internal("a read did not end")),
    }
}

fn failed(error: &VaultError) -> ApiError {
    if matches!(error, VaultError::Closed) {
        return fault::unavailable(&Unavailable::Locked);
    }
    tracing::error!(%error, "the vault could not be read");
    ApiError::new(Code::VaultFailed, format!("The vault could not be read: {error}."))
        .hint("Stop the node and look at its disk: starling stop")
}

/// The newest `limit` messages of a conversation that came before `before`, newest first, and whether there
/// are older ones.
pub(crate) async fn newest_messages(
    app: &App,
    contact: ContactNumber,
    before: Option<MessageNumber>,
    limit: usize,
) -> Result<(Vec<MessageView>, bool), ApiError> {
    let page = on_disk(app, move |reader| reader.history(contact, before, limit)).await?;
    if page.damaged > 0 {
        tracing::error!(damaged = page.damaged, "messages of a conversation cannot be read");
    }
    Ok((page.messages.into_iter().map(|record| record.message).collect(), page.more))
}

/// One message.
pub(crate) async fn message(app: &App, number: MessageNumber) -> Result<MessageView, ApiError> {
    record(app, number).await.map(|record| record.message)
}

/// One message, with the id under which both sides know it.
pub(crate) async fn record(app: &App, number: MessageNumber) -> Result<HistoryRecord, ApiError> {
    let record = on_disk(app, move |reader| reader.message(number)).await?;
    record.ok_or_else(|| fault::command(&CommandError::NoSuchMessage))
}

/// The bytes of a message's file, if it has one and they are still there.
pub(crate) async fn file(
    app: &App,
    contact: ContactNumber,
    number: MessageNumber,
) -> Result<Option<Vec<u8>>, ApiError> {
    on_disk(app, move |reader| reader.file(contact, number)).await
}

/// The life of a message that is final; nothing of one that was received.
pub(crate) async fn trace(app: &App, number: MessageNumber) -> Result<Vec<TraceLine>, ApiError> {
    let record = on_disk(app, move |reader| reader.trace(number)).await?;
    Ok(record.map(|record| record.lines).unwrap_or_default())
}

/// Received messages after the last one that was read or answered; at most [`UNREAD_MAX`] are counted.
pub(crate) async fn unread(
    app: &App,
    contact: ContactNumber,
    newest: &MessageView,
    mark: Mark,
) -> Result<u32, ApiError> {
    let is_new = move |message: &MessageView| !message.own && Some(message.number) > mark.read_up_to;
    if !is_new(newest) {
        return Ok(0);
    }
    let (messages, _) = newest_messages(app, contact, None, UNREAD_MAX).await?;
    let unread = messages.iter().take_while(|message| is_new(message)).count();
    Ok(u32::try_from(unread).unwrap_or(u32::MAX))
}

/// The newest `limit` messages before `before` in which all `words` occur.
pub(crate) async fn search(
    app: &Arc<App>,
    words: Vec<String>,
    before: Option<MessageNumber>,
    limit: usize,
) -> Result<Found, ApiError> {
    let searched = app.clone();
    on_disk(app, move |reader| searched.search.find(reader, &words, before, limit)).await
}

/// An event, and the message that it tells of.
pub(crate) struct ReadEvent {
    /// As the log has it.
    pub(crate) event: LoggedEvent,
    /// As the history has it, if it came, changed or was read.
    pub(crate) message: Option<Box<MessageView>>,
}

/// A piece of the event log.
pub(crate) struct EventBatch {
    /// Number of the first event that is kept after the one that was asked for.
    pub(crate) first: Option<u64>,
    /// Number of the newest event before this piece was read; 0 if there never was one.
    pub(crate) newest: u64,
    /// Events, in the order of their numbers.
    pub(crate) events: Vec<(u64, ReadEvent)>,
    /// Number of the last event that was read, whether it could be decoded or not.
    pub(crate) read_to: Option<u64>,
}

/// At most `limit` events after number `after`; nothing when the vault was locked meanwhile.
pub(crate) async fn events(reader: Reader, after: u64, limit: usize) -> Result<Option<EventBatch>, ApiError> {
    match tokio::task::spawn_blocking(move || read_events(&reader, after, limit)).await {
        Ok(Err(VaultError::Closed)) => Ok(None),
        Ok(read) => read.map(Some).map_err(|error| failed(&error)),
        Err(_) => Err(fault::internal("the event log")),
    }
}

fn read_events(reader: &Reader, after: u64, limit: usize) -> Result<EventBatch, VaultError> {
    let page = reader.events_since(after, limit)?;
    let first = page.events.first().map(|stored| stored.seq);
    let read_to = page.events.last().map(|stored| stored.seq);
    let mut events = Vec::new();
    for StoredEvent { seq, event } in page.events {
        match LoggedEvent::decode(&event.bytes) {
            Ok(event) => events.extend(with_message(reader, event)?.map(|event| (seq, event))),
            Err(error) => tracing::error!(%error, seq, "an event of the log cannot be read"),
        }
    }
    Ok(EventBatch { first, newest: page.newest, events, read_to })
}

/// An event of a message with the message as it is now, which the log does not hold; nothing when that has disappeared,
/// of which another event tells.
fn with_message(reader: &Reader, event: LoggedEvent) -> Result<Option<ReadEvent>, VaultError> {
    let about = match &event.happening {
        Happening::Core(event) => match &**event {
            Event::MessageReceived(message) => Some((message.contact, message.number)),
            Event::MessageChanged { number, contact } | Event::MessageRead { number, contact } => {
                Some((*contact, *number))
            }
            _ => None,
        },
        _ => None,
    };
    let Some((contact, number)) = about else { return Ok(Some(ReadEvent { event, message: None })) };
    let record = reader.message_of(contact, number)?;
    Ok(record.map(|record| ReadEvent { event, message: Some(Box::new(record.message)) }))
}

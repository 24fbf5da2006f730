//! The event stream: NDJSON from any point of the log, then as events happen.
//!
//! Each stream reads the log at its own pace, in batches, and only when its reader has taken what was
//! written before: a slow reader costs a place and a few buffers, never memory that grows. One that falls
//! behind what the log keeps is told so by `events.gap`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use starling_api::event::EventsGapData;
use starling_api::{ApiError, Event, EventBody, EventType, Time, node};
use starling_store::reader::Reader;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::answer::{Answer, Parameters};
use super::app::App;
use super::reads::{self, EventBatch};
use super::{convert, fault};
use crate::core::bridge::Clock;
use crate::core::handle::NodeState;

/// The paths that are answered without end.
pub(crate) const PATH: &str = "/v1/events";
pub(crate) const SOCKET_PATH: &str = "/v1/events/ws";
/// Event streams at a time.
pub(crate) const STREAMS_MAX: usize = 64;
/// Events read from the log at once.
const BATCH_EVENTS: usize = 64;

/// Query of the event stream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    since: Option<u64>,
    types: Option<String>,
}

pub(crate) async fn events(State(app): State<Arc<App>>, Parameters(query): Parameters<EventsQuery>) -> Answer {
    let types = query.types.as_deref().map(parse_types).transpose()?;
    let follower = Follower::new(app, query.since, types)?;
    let headers =
        [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let body = Body::from_stream(futures::stream::unfold(Some(follower), follow));
    Ok((headers, body).into_response())
}

fn parse_types(names: &str) -> Result<BTreeSet<EventType>, ApiError> {
    let parse = |name: &str| {
        EventType::parse(name.trim()).ok_or_else(|| {
            let known: Vec<&str> = EventType::ALL.iter().map(|known| known.as_str()).collect();
            fault::bad_field("types", format!("There are no events of type '{name}'. There are: {}.", known.join(", ")))
        })
    };
    names.split(',').map(parse).collect()
}

/// One reader of the log.
pub(crate) struct Follower {
    app: Arc<App>,
    /// Its own, so that the last events are still read when the node has closed the vault to everyone else.
    reader: Reader,
    newest: watch::Receiver<u64>,
    state: watch::Receiver<NodeState>,
    after: u64,
    types: Option<BTreeSet<EventType>>,
    _place: OwnedSemaphorePermit,
}

/// The next lines. After an error nothing more comes, and the stream ends within its body, so that its
/// reader cannot take it for the node's orderly end.
async fn follow(follower: Option<Follower>) -> Option<(Result<Bytes, ApiError>, Option<Follower>)> {
    let mut follower = follower?;
    match follower.next().await {
        Ok(lines) => lines.map(|lines| (Ok(lines), Some(follower))),
        Err(error) => Some((Err(error), None)),
    }
}

impl Follower {
    /// One that has seen everything up to number `since`, or up to now.
    ///
    /// # Errors
    /// The vault is not open; or so many follow that no more can.
    pub(crate) fn new(app: Arc<App>, since: Option<u64>, types: Option<BTreeSet<EventType>>) -> Result<Self, ApiError> {
        let reader = app.node.reader().map_err(|error| fault::unavailable(&error))?;
        let (newest, state) = (app.node.watch_events(), app.node.watch_state());
        let after = since.unwrap_or_else(|| *newest.borrow());
        let place = app.event_streams.clone().try_acquire_owned().map_err(|_| fault::slow_down())?;
        Ok(Self { app, reader, newest, state, after, types, _place: place })
    }

    /// The next lines, or nothing when the server ends or the vault is locked and all has been read. May be given up
    /// at any point, and asked again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let locked = *self.state.borrow_and_update() == NodeState::Locked;
            let ending = locked || self.app.shutdown.is_cancelled();
            self.newest.mark_unchanged();
            let Some(batch) = reads::events(self.reader.clone(), self.after, BATCH_EVENTS).await? else {
                return Ok(None);
            };
            let reach = self.app.node.network().map_or(node::Reach::Unknown, |view| convert::reach(view.reach));
            let before = self.after;
            let lines = self.lines(&batch, reach)?;
            if !lines.is_empty() {
                return Ok(Some(Bytes::from(lines)));
            }
            if self.after != before {
                continue;
            }
            if ending {
                return Ok(None);
            }
            tokio::select! {
                _ = self.newest.changed() => {}
                _ = self.state.changed() => {}
                () = self.app.shutdown.cancelled() => {}
            }
        }
    }

    /// Moves past a batch and returns its lines.
    fn lines(&mut self, batch: &EventBatch, reach: node::Reach) -> Result<Vec<u8>, ApiError> {
        let mut lines = Vec::new();
        if let Some(oldest) = gap(self.after, batch.first, batch.newest) {
            self.after = oldest.saturating_sub(1);
            let body = EventBody::EventsGap(EventsGapData { oldest });
            write_line(&mut lines, &Event { seq: self.after, time: Time(Clock::unix_ms_now()), body })?;
        }
        for (seq, read) in &batch.events {
            if *seq <= self.after {
                continue;
            }
            self.after = *seq;
            let Some(event) = convert::event(*seq, &read.event, read.message.as_deref(), reach) else { continue };
            if self
                .types
                .as_ref()
                .is_none_or(|types| event.body.event_type().is_some_and(|known| types.contains(&known)))
            {
                write_line(&mut lines, &event)?;
            }
        }
        self.after = batch.read_to.map_or(self.after, |read_to| self.after.max(read_to));
        Ok(lines)
    }
}

fn write_line(lines: &mut Vec<u8>, event: &Event) -> Result<(), ApiError> {
    serde_json::to_writer(&mut *lines, event).map_err(|_| fault::internal("an event"))?;
    lines.push(b'\n');
    Ok(())
}

/// The number at which a reader that has seen `after` must go on, if events before it are lost to it:
/// because the log no longer has them, or because `after` is of another log than this one. Numbers have
/// no holes, so the `first` that is kept after it is the next one, or something is missing.
fn gap(after: u64, first: Option<u64>, newest: u64) -> Option<u64> {
    match first {
        Some(first) => (first > after.saturating_add(1)).then_some(first),
        None => (after != newest).then_some(newest.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use starling_api::Code;

    use super::*;

    #[test]
    fn a_gap_is_told_only_when_events_are_lost() {
        // (seen, first kept after it, newest) -> goes on at
        let table = [
            ((0, None, 0), None),
            ((0, Some(1), 5), None),
            ((4, Some(5), 5), None),
            ((5, None, 5), None),
            ((5, Some(6), 5), None),
            ((3, Some(5), 9), Some(5)),
            ((0, Some(9_001), 19_000), Some(9_001)),
            ((6, None, 5), Some(6)),
            ((3, None, 0), Some(1)),
            ((3, None, 7), Some(8)),
        ];
        for ((after, first, newest), expected) in table {
            assert_eq!(gap(after, first, newest), expected, "{after} {first:?} {newest}");
        }
    }

    #[test]
    fn types_are_named_as_in_the_events() {
        let types = parse_types("message.state, message.received").unwrap();
        assert_eq!(types, BTreeSet::from([EventType::MessageState, EventType::MessageReceived]));
        for names in ["", "message", "message.state,,"] {
            assert_eq!(
                parse_types(names).map_err(|error| (error.code, error.field)),
                Err((Code::BadRequest, Some("types".to_owned())))
            );
        }
    }
}

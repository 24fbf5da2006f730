//! What the page needs beside the conversations: sessions, tickets, search, and pictures of QR codes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use starling_api::search::{Scanned, SearchQuery, SearchResults};
use starling_api::session::{OpenSession, Sessions};
use starling_api::{ApiError, Code, MessageId};
use starling_messenger::turn::MessageNumber;

use crate::core::bridge::Clock;
use crate::picture;
use crate::server::answer::{Answer, Json, Parameters, PathId, created, done, ok, read_bytes};
use crate::server::app::App;
use crate::server::sessions::Asker;
use crate::server::{convert, fault, reads, search};

/// Messages in an answer to a search, unless told otherwise, and at most.
const FOUND: u32 = 50;
const FOUND_MAX: u32 = 100;
/// Bytes of a query, and its words.
const QUERY_BYTES_MAX: usize = 256;
/// Bytes of a picture: a camera's frame, or a photograph of a screen.
const PICTURE_BYTES_MAX: usize = 8 << 20;

pub(crate) async fn new_code(State(app): State<Arc<App>>) -> Answer {
    created(app.sessions.new_code(&app.url, Clock::unix_ms_now()))
}

pub(crate) async fn open_session(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(open): Json<OpenSession>,
) -> Answer {
    let browser = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    created(app.sessions.open(&open.code, open.keep, browser, Clock::unix_ms_now())?)
}

pub(crate) async fn sessions(State(app): State<Arc<App>>, Extension(asker): Extension<Asker>) -> Answer {
    ok(Sessions { sessions: app.sessions.list(asker, Clock::unix_ms_now()) })
}

pub(crate) async fn revoke_session(State(app): State<Arc<App>>, PathId(id): PathId<'s'>) -> Answer {
    match app.sessions.revoke(id) {
        Ok(true) => done(),
        Ok(false) => Err(ApiError::new(Code::NoSuchSession, "There is no such session.").into()),
        Err(error) => {
            let message = format!("The session has ended, but comes back when the node starts again: {error}.");
            Err(ApiError::new(Code::VaultFailed, message).into())
        }
    }
}

pub(crate) async fn ticket(State(app): State<Arc<App>>, Extension(asker): Extension<Asker>) -> Answer {
    app.check_open()?;
    created(app.sessions.new_ticket(asker, Clock::unix_ms_now()))
}

pub(crate) async fn find(State(app): State<Arc<App>>, Parameters(query): Parameters<SearchQuery>) -> Answer {
    let limit = query.limit.unwrap_or(FOUND);
    if !(1..=FOUND_MAX).contains(&limit) {
        return Err(fault::bad_field("limit", format!("limit is 1 to {FOUND_MAX}.")).into());
    }
    let words = search::words(&query.q);
    if words.is_empty() || query.q.len() > QUERY_BYTES_MAX {
        return Err(fault::bad_field("q", format!("q is one word or more, of {QUERY_BYTES_MAX} bytes at most.")).into());
    }
    let before = query.before.map(|id| MessageNumber(id.0));
    let found = reads::search(&app, words, before, limit as usize).await?;
    let next = found.messages.last().map(|message| message.number).filter(|_| found.more);
    ok(SearchResults {
        messages: found.messages.iter().map(convert::message).collect(),
        before: next.map(|number| MessageId::new(number.0)),
    })
}

/// A picture in, the texts of its QR codes out. The page can make the picture, and has nothing to read it with.
pub(crate) async fn scan(body: Body) -> Answer {
    let too_large = |_| {
        let words = format!("The picture is larger than {} MB.", PICTURE_BYTES_MAX >> 20);
        ApiError::new(Code::TooLarge, words).detail("limit_bytes", PICTURE_BYTES_MAX).into()
    };
    let bytes = read_bytes(body, PICTURE_BYTES_MAX, too_large).await?;
    let read = tokio::task::spawn_blocking(move || picture::codes(&bytes)).await;
    let texts = read.map_err(|_| fault::internal("a picture"))?;
    let texts = texts.map_err(|why| ApiError::new(Code::BadRequest, format!("The picture cannot be read: {why}.")))?;
    ok(Scanned { texts })
}

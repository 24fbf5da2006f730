//! The same events over a WebSocket, for the page: a browser opens six HTTP connections to a node and no more, so that
//! many tabs with a stream each would starve the calls beside them. SPEC: product 0.5 and 4.
//!
//! Each text message holds one or more event lines. Nothing is read from the page but its end.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use serde::Deserialize;
use starling_api::{ApiError, Code};

use super::answer::{Answer, Parameters};
use super::app::App;
use super::auth::no_token;
use super::events::Follower;
use super::sessions::Asker;
use crate::core::bridge::Clock;

/// Bytes of what the page may send: it has nothing to say.
const FROM_PAGE_BYTES_MAX: usize = 1_024;
/// Close code for a session that was ended: of the range for applications, RFC 6455, section 7.4.2.
const SESSION_ENDED: u16 = 4_401;
/// Close code of an orderly end. RFC 6455, section 7.4.1.
const GOING_AWAY: u16 = 1_001;

/// Query of the event socket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocketQuery {
    ticket: String,
    since: Option<u64>,
}

pub(crate) async fn socket(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<SocketQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let asker = app.sessions.use_ticket(&query.ticket, Clock::unix_ms_now()).ok_or_else(no_token)?;
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(Code::BadRequest, "This path speaks WebSocket alone.").hint("Without it: GET /v1/events")
    })?;
    let follower = Follower::new(app.clone(), query.since, None)?;
    let upgrade = upgrade.max_message_size(FROM_PAGE_BYTES_MAX).max_frame_size(FROM_PAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| run(socket, app, follower, asker)))
}

async fn run(mut socket: WebSocket, app: Arc<App>, mut follower: Follower, asker: Asker) {
    let mut revoked = app.sessions.watch_revoked();
    let end = loop {
        tokio::select! {
            lines = follower.next() => match lines {
                Ok(Some(lines)) => {
                    let Some(message) = text(lines) else { break None };
                    if socket.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break Some((GOING_AWAY, "")),
                // Without a close frame, so that the page takes it for broken and comes again.
                Err(_) => break None,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = revoked.changed() => {
                if !app.sessions.is_open(asker, Clock::unix_ms_now()) {
                    break Some((SESSION_ENDED, "signed out"));
                }
            }
        }
    };
    if let Some((code, reason)) = end {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = socket.send(Message::Close(Some(frame))).await;
    }
}

fn text(lines: Bytes) -> Option<Message> {
    Utf8Bytes::try_from(lines).ok().map(Message::Text)
}

//! Signing in to the page: one-use codes, sessions, and tickets for the event socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::SessionId;
use crate::time::Time;

/// Answer to `POST /v1/login-codes`: what `starling open` shows or opens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginCode {
    /// 128 random bits in groups of four characters; good for one session.
    pub code: String,
    /// `http://127.0.0.1:7827/#k=CODE`: the code stands behind the `#`, which no server sees.
    pub url: String,
    /// When it is no longer good.
    pub expires: Time,
}

/// Body of `POST /v1/sessions`, which needs no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The code, in any case, with or without its hyphens.
    pub code: String,
    /// Keep this browser signed in for 30 days after its last use; a day if not.
    #[serde(default)]
    pub keep: bool,
}

/// Answer to `POST /v1/sessions`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedSession {
    /// Its id.
    pub id: SessionId,
    /// The bearer token of this session.
    pub token: String,
    /// When it ends, if it is not used before.
    pub expires: Time,
}

/// A session of a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// When it was opened.
    pub created: Time,
    /// When it was last used, to the hour.
    pub last_used: Time,
    /// When it ends, if it is not used before.
    pub expires: Time,
    /// Whether the browser was to be kept signed in.
    pub kept: bool,
    /// What the browser calls itself, at most 256 bytes.
    pub browser: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// `GET /v1/sessions`, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sessions {
    /// All that are open.
    pub sessions: Vec<Session>,
}

/// Answer to `POST /v1/events/ticket`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventTicket {
    /// For `GET /v1/events/ws?ticket=`: once, within ten seconds.
    pub ticket: String,
    /// When it is no longer good.
    pub expires: Time,
}

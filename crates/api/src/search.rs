//! Searching the history, and reading QR codes from pictures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::MessageId;
use crate::message::Message;

/// Query of `GET /v1/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchQuery {
    /// Words, at most 256 bytes: each must occur in a message, in any case, also as a part of a word.
    pub q: String,
    /// At most so many messages, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only messages that came to this node before that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
}

/// `GET /v1/search`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchResults {
    /// What was found.
    pub messages: Vec<Message>,
    /// What to give as `before` for more; `null` when there are none.
    pub before: Option<MessageId>,
}

/// Answer to `POST /v1/scan`, whose body is a picture, PNG or JPEG.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scanned {
    /// Texts of the QR codes in it, at most 16; none when no code could be read.
    pub texts: Vec<String>,
}

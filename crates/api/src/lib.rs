//! The local HTTP API, seen from outside the node: the JSON types of every call, the closed list of
//! error codes with their HTTP status and exit code, and the typed blocking client that the command
//! line, the testnet and the tests use. SPEC: the product's sections 3 and 4.
//!
//! Rules of the JSON, within version 1:
//! - every answer and every event line begins with `"v":1` ([`Versioned`]);
//! - fields are only ever added, so readers here skip what they do not know;
//! - what is absent is `null`, not missing; lists lie under a key;
//! - times are RFC 3339 in UTC with milliseconds ([`Time`]); units stand last in names (`_ms`, `_bytes`).

pub mod api_file;
pub mod backup;
pub mod client;
pub mod doctor;
pub mod error;
pub mod event;
pub mod event_stream;
pub mod file;
pub mod id;
pub mod message;
pub mod node;
pub mod openapi;
pub mod people;
pub mod search;
pub mod secret;
pub mod session;
mod strict;
pub mod time;
pub mod version;

pub use api_file::ApiFile;
pub use backup::BackupStream;
pub use client::{Client, ClientError};
pub use error::{ApiError, Code, ExitCode, Retry};
pub use event::{Event, EventBody, EventType};
pub use event_stream::{EventLine, EventStream};
pub use id::{BlobId, ContactId, ConversationId, InviteId, MessageId, RequestId, SessionId};
pub use secret::Passphrase;
pub use time::Time;
pub use version::Versioned;

//! Files of messages: pictures, voice notes, anything else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::BlobId;
use crate::strict;

/// Bytes of the largest file that goes through the network.
pub const FILE_BYTES_MAX: usize = 64_000;
/// Bytes of the body of `POST /v1/blobs`: what a file has beyond [`FILE_BYTES_MAX`] may be notes about it that are not sent.
pub const UPLOAD_BYTES_MAX: usize = 512 * 1024;

/// Answer to `POST /v1/blobs`: a file that can be attached to one message, for ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blob {
    /// What to name it by.
    pub id: BlobId,
    /// Bytes that would be sent.
    pub bytes: u32,
    /// BLAKE3-256 of them, in hex.
    pub blake3: String,
    /// Bytes of notes about a picture that were taken out of it: where it was made, when, by which camera.
    pub removed_bytes: u32,
}

/// How long a voice note is, and how loud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// Milliseconds, at most 30,000.
    pub duration_ms: u32,
    /// At most 64 levels from its beginning to its end, 255 the loudest.
    #[serde(default)]
    pub peaks: Vec<u8>,
}

/// A file in the body of `POST /v1/conversations/{id}/messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// A file that was given to `POST /v1/blobs`.
    pub blob: BlobId,
    /// What it is called, at most 255 bytes; paths are cut off.
    #[serde(default)]
    pub name: String,
    /// It was recorded to be heard: Opus in Ogg.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "strict::object")]
    pub voice: Option<Voice>,
}

/// What a file is, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// JPEG, PNG or WebP, of a size that can be shown.
    Picture,
    /// Opus in Ogg.
    Voice,
    /// Anything else.
    #[serde(other)]
    File,
}

/// A file of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// Its bytes are at `GET /v1/blobs/{id}`.
    pub id: BlobId,
    /// What its sender called it: no path, nothing that steers a terminal; may be empty.
    pub name: String,
    /// Bytes.
    pub bytes: u32,
    /// What it is.
    pub kind: AttachmentKind,
    /// E.g. `image/webp`; `application/octet-stream` of what is only to be saved.
    pub media_type: String,
    /// Pixels of a picture.
    pub width: Option<u32>,
    /// Pixels of a picture.
    pub height: Option<u32>,
    /// Of a voice note.
    pub voice: Option<Voice>,
}

//! Files: handed in to be sent, and read as they came.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse as _, Response};
use starling_api::file::{Blob, FILE_BYTES_MAX, UPLOAD_BYTES_MAX};
use starling_api::{ApiError, Code};
use starling_messenger::turn::MessageNumber;

use crate::picture::{self, Cleaned};
use crate::server::answer::{Answer, Fault, PathId, created, read_bytes};
use crate::server::app::App;
use crate::server::{convert, reads};

/// `POST /v1/blobs`
pub(crate) async fn keep(State(app): State<Arc<App>>, body: Body) -> Answer {
    app.check_open()?;
    let given = read_bytes(body, UPLOAD_BYTES_MAX, too_large).await?;
    let (removed, bytes) = match picture::clean(&given) {
        Cleaned::Other => (0, given),
        Cleaned::Picture(clean) => (given.len().saturating_sub(clean.len()), clean),
        Cleaned::Stuck => return Err(stuck()),
    };
    if bytes.is_empty() {
        return Err(ApiError::new(Code::BadRequest, "The file is empty.").into());
    }
    if bytes.len() > FILE_BYTES_MAX {
        return Err(too_large(Some(bytes.len())));
    }
    // It may have been locked meanwhile.
    app.check_open()?;
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (length, removed_bytes) = (counted(bytes.len()), counted(removed));
    created(Blob { id: app.blobs.keep(bytes, Instant::now()), bytes: length, blake3, removed_bytes })
}

fn stuck() -> Fault {
    let words =
        "This picture cannot be taken apart here, so what it may say of place, time and camera cannot be taken out.";
    ApiError::new(Code::BadRequest, words)
        .hint(
            "Save it as JPEG, PNG or WebP and send that; or pack it into an archive, to send it with all that it says.",
        )
        .into()
}

fn too_large(bytes: Option<usize>) -> Fault {
    let size = bytes.map_or_else(|| "more".to_owned(), |bytes| format!("{bytes} bytes"));
    let words = format!(
        "The file has {size}; at most {FILE_BYTES_MAX} bytes go through the network, as every node of a shard carries them."
    );
    let error = ApiError::new(Code::TooLarge, words)
        .hint("Make it smaller, or send it another way. The page makes pictures smaller by itself.")
        .detail("limit_bytes", FILE_BYTES_MAX);
    bytes.map_or_else(|| error.clone(), |bytes| error.clone().detail("bytes", bytes)).into()
}

/// `GET /v1/blobs/{id}`: what came from somebody else, so nothing of it may run, and it is what its bytes are.
pub(crate) async fn blob(State(app): State<Arc<App>>, PathId(id): PathId<'b'>) -> Result<Response, Fault> {
    let record = match reads::message(&app, MessageNumber(id.0)).await {
        Err(error) if error.code == Code::NoSuchMessage => return Err(no_such_file()),
        record => record?,
    };
    let file = record.body.file().ok_or_else(no_such_file)?;
    let bytes = reads::file(&app, record.contact, record.number).await?.ok_or_else(no_such_file)?;
    let fixed = [
        (CONTENT_TYPE, convert::media_type(file)),
        (CONTENT_DISPOSITION, "attachment"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    let mut response = bytes.into_response();
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// A file that is to be sent and is not here, or not any more.
pub(crate) fn not_handed_in() -> Fault {
    ApiError::new(Code::NoSuchFile, "The file is not here: it waits for ten minutes, and until the node is locked.")
        .hint("Hand it in again, then send.")
        .into()
}

/// The file is not there, or not any more.
fn no_such_file() -> Fault {
    ApiError::new(Code::NoSuchFile, "There is no such file; its message may have been deleted.").into()
}

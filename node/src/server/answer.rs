//! JSON in and out: every answer is JSON, errors too, whatever is wrong with the request.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use starling_api::error::ErrorBody;
use starling_api::id::Id;
use starling_api::{ApiError, Code, Versioned};
use zeroize::Zeroizing;

use super::fault::bad_field;

/// Bytes of a request's body: 64 KB of text, escaped.
pub(crate) const BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a body that is too large are read and dropped up to here, so that its sender is still listening
/// when the answer comes.
const DROPPED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The same of a body that is no JSON.
const RAW_DROPPED_BYTES_MAX: usize = 16 << 20;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) ApiError);

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer(status, ErrorBody { error: self.0 })
    }
}

/// What a route returns.
pub(crate) type Answer = Result<Response, Fault>;

/// 200 with `{"v":1, ...}`.
pub(crate) fn ok(body: impl Serialize) -> Answer {
    Ok(answer(StatusCode::OK, body))
}

/// 201 with `{"v":1, ...}`.
pub(crate) fn created(body: impl Serialize) -> Answer {
    Ok(answer(StatusCode::CREATED, body))
}

/// 204.
pub(crate) fn done() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn answer(status: StatusCode, body: impl Serialize) -> Response {
    // Plain structs with string keys: serialising them cannot fail.
    let text = serde_json::to_vec(&Versioned::new(body)).unwrap_or_default();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, text).into_response()
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let error = ApiError::new(Code::BadContentType, "The body must be JSON.")
                .hint("Send 'Content-Type: application/json'.");
            return Err(error.into());
        }
        let bytes = read(&parts.headers, body).await?;
        // A list would be taken for an object with its fields in their order.
        if bytes.trim_ascii_start().first().is_some_and(|&first| first != b'{') {
            return Err(ApiError::new(Code::BadRequest, "The body is not what this call takes: a JSON object.").into());
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) => {
                Err(ApiError::new(Code::BadRequest, format!("The body is not what this call takes: {error}.")).into())
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The body, in memory that is wiped: it may hold a passphrase.
async fn read(headers: &HeaderMap, body: Body) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > DROPPED_BYTES_MAX) {
        return Err(too_large());
    }
    // Once and large enough, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX)));
    let mut arrived = 0_usize;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::new(Code::BadRequest, "The body ended early."))?;
        arrived = arrived.saturating_add(piece.len());
        if arrived > DROPPED_BYTES_MAX {
            break;
        }
        if arrived <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&piece);
        }
    }
    if arrived > BODY_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

/// A body that is no JSON, of at most `limit` bytes. What is too large is read and dropped for a while, so that its sender
/// still listens to the answer; `too_large` is told how many bytes there were, if the end was reached.
pub(crate) async fn read_bytes(
    body: Body,
    limit: usize,
    too_large: impl FnOnce(Option<usize>) -> Fault,
) -> Result<Vec<u8>, Fault> {
    let (mut bytes, mut arrived) = (Vec::new(), 0_usize);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::new(Code::BadRequest, "The body ended early."))?;
        arrived = arrived.saturating_add(piece.len());
        if arrived <= limit {
            bytes.extend_from_slice(&piece);
        } else if arrived > RAW_DROPPED_BYTES_MAX {
            return Err(too_large(None));
        }
    }
    if arrived > limit { Err(too_large(Some(arrived))) } else { Ok(bytes) }
}

fn too_large() -> Fault {
    ApiError::new(Code::TooLarge, format!("The body is larger than {} KiB.", BODY_BYTES_MAX / 1024))
        .detail("limit_bytes", BODY_BYTES_MAX)
        .into()
}

/// The id at the end of a path. One that cannot be an id names nothing, so it is not found.
pub(crate) struct PathId<const KIND: char>(pub(crate) Id<KIND>);

impl<const KIND: char, S: Send + Sync> FromRequestParts<S> for PathId<KIND> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok().map(|Path(text)| text);
        let id = text.as_deref().and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| no_such(KIND).into())
    }
}

fn no_such(kind: char) -> ApiError {
    let (code, noun) = match kind {
        'm' => (Code::NoSuchMessage, "message"),
        'i' => (Code::NoSuchInvite, "invite"),
        'r' => (Code::NoSuchRequest, "request"),
        's' => (Code::NoSuchSession, "session"),
        'b' => (Code::NoSuchFile, "file"),
        'c' => (Code::NoSuchContact, "conversation"),
        _ => (Code::NoSuchContact, "contact"),
    };
    ApiError::new(code, format!("There is no such {noun}. An id looks like '{kind}_7kq2'."))
}

/// The query of a path.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(bad_field("query", format!("{}.", error.body_text())).into()),
        }
    }
}

/// 404 for a path that the API does not have.
pub(crate) async fn no_such_path() -> Fault {
    ApiError::new(Code::NoSuchPath, "The API has no such path.")
        .hint("Its paths begin with /v1/, e.g. /v1/status.")
        .into()
}

/// 405 for a method that a path does not know.
pub(crate) async fn bad_method() -> Fault {
    ApiError::new(Code::BadMethod, "This path does not know this method. 'Allow' names those it knows.").into()
}

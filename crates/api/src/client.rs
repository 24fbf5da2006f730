//! The typed client of the local API: blocking, loopback only, without proxies. Here is how it asks and
//! what can go wrong; one method for each call is in `calls`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::Agent;
use ureq::http::{Method, Request, Response};
use zeroize::Zeroizing;

use crate::api_file::{ApiFile, Token};
use crate::error::{ApiError, ErrorBody, ExitCode};
use crate::event::SEQ_HEADER;
use crate::version::{VERSION, Versioned, announced};

mod calls;

/// How long one call may take, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection on this machine may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: shorter than the node keeps it, so that no call meets one that is
/// just being closed.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Bytes of one answer: 500 messages of 64 KB, escaped, and room.
const ANSWER_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Why a call did not succeed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No node runs: there is no `api.json`, or nobody listens where it says.
    #[error("No node runs for {}. Start it: starling   Other folder: --data DIR", data.display())]
    NoNode {
        /// The data directory that was looked at.
        data: PathBuf,
    },
    /// Nobody listens at the address of a client that was made without a data directory.
    #[error("No node answers at {url}.")]
    NoNodeAt {
        /// Where.
        url: String,
    },
    /// `api.json` is there and cannot be used.
    #[error("{} cannot be read: {reason}", path.display())]
    ApiFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The node refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No answer in time.
    #[error("The node did not answer in time.")]
    TimedOut,
    /// The connection ended within an answer.
    #[error("The connection to the node ended: {0}")]
    Disconnected(String),
    /// Something answered that is no Starling node, or not one of this version.
    #[error("What answers at {url} is no Starling node of this version: {reason}")]
    NotUnderstood {
        /// Where.
        url: String,
        /// What was not understood.
        reason: String,
        /// The version that the answer announces, if it is a newer one.
        version: Option<u64>,
    },
}

impl ClientError {
    /// Exit code of a command that ends with it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoNode { .. } | Self::NoNodeAt { .. } | Self::Disconnected(_) => ExitCode::NoNode,
            Self::Api(error) => error.code.exit_code(),
            Self::TimedOut => ExitCode::NotInTime,
            Self::NotUnderstood { version: Some(_), .. } => ExitCode::Version,
            Self::ApiFile { .. } | Self::NotUnderstood { .. } => ExitCode::Unexpected,
        }
    }
}

/// A connection to one node's API. Cheap to make; each method is one call, and blocks.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    authorization: Option<Zeroizing<String>>,
    timeout: Duration,
    data: Option<PathBuf>,
    pid: Option<u32>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.url)
    }
}

/// What came back: status, the newest event's number, text.
struct Answer {
    status: u16,
    seq: Option<u64>,
    text: String,
}

impl Client {
    /// A client of the node that runs on the data directory `data`, by its `api.json`.
    ///
    /// # Errors
    /// [`ClientError::NoNode`] when there is none, [`ClientError::ApiFile`] when it cannot be used.
    pub fn open(data: &Path) -> Result<Self, ClientError> {
        let file = ApiFile::load(data).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ClientError::NoNode { data: data.to_owned() },
            _ => ClientError::ApiFile { path: ApiFile::path(data), reason: error.to_string() },
        })?;
        // The token goes to this machine and nowhere else, whatever the file says.
        if !is_loopback(&file.url) {
            let reason = "its url is not on this machine".to_owned();
            return Err(ClientError::ApiFile { path: ApiFile::path(data), reason });
        }
        let mut client = Self::new(&file.url, Some(&file.token));
        client.data = Some(data.to_owned());
        client.pid = Some(file.pid);
        Ok(client)
    }

    /// A client of the API at `url` (`http://127.0.0.1:7827`). Without a token it can ask for health alone.
    pub fn new(url: &str, token: Option<&Token>) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_age(IDLE_MAX)
            .build();
        let authorization =
            token.map(|token| Zeroizing::new(format!("Bearer {}", String::from_utf8_lossy(token.as_bytes()))));
        Self {
            agent: config.new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            authorization,
            timeout: TIMEOUT,
            data: None,
            pid: None,
        }
    }

    /// Another limit for each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the API is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Process id of the node, as `api.json` says.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Method::GET, path, None)?;
        self.parse(&answer.text)
    }

    fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = self.call(method, path, Some(json(body)))?;
        self.parse(&answer.text)
    }

    fn post_empty<T: Serialize>(&self, path: &str, body: Option<&T>) -> Result<(), ClientError> {
        self.call(Method::POST, path, body.map(json)).map(drop)
    }

    fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, path, None).map(drop)
    }

    /// One call; an answer that is an error becomes one.
    fn call(&self, method: Method, path: &str, body: Option<Sending>) -> Result<Answer, ClientError> {
        let response = self.run(method, path, body, Some(self.timeout))?;
        let answer = self.read(response)?;
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    fn run(
        &self,
        method: Method,
        path: &str,
        body: Option<Sending>,
        limit: Option<Duration>,
    ) -> Result<Response<ureq::Body>, ClientError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.as_str());
        }
        let result = match body {
            Some(body) => {
                let request = request.header("Content-Type", body.media_type).body(body.bytes.as_slice());
                request.map_err(ureq::Error::from).and_then(|request| self.within(limit, request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.within(limit, request)),
        };
        result.map_err(|error| self.failed(error))
    }

    fn within<B: ureq::AsSendBody>(
        &self,
        limit: Option<Duration>,
        request: Request<B>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request).timeout_global(limit).build())
    }

    fn read(&self, mut response: Response<ureq::Body>) -> Result<Answer, ClientError> {
        let status = response.status().as_u16();
        let header = response.headers().get(SEQ_HEADER);
        let seq = header.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string().map_err(|error| self.failed(error))?;
        Ok(Answer { status, seq, text })
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, ClientError> {
        match serde_json::from_str::<Versioned<T>>(text) {
            Ok(answer) => Ok(answer.body),
            Err(error) => Err(not_understood(&self.url, text, &error)),
        }
    }

    fn refused(&self, answer: &Answer) -> ClientError {
        match self.parse::<ErrorBody>(&answer.text) {
            Ok(body) => ClientError::Api(body.error),
            Err(error) => error,
        }
    }

    fn failed(&self, error: ureq::Error) -> ClientError {
        match error {
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => self.no_node(),
            ureq::Error::ConnectionFailed => self.no_node(),
            other => broken(&self.url, other),
        }
    }

    fn no_node(&self) -> ClientError {
        match &self.data {
            Some(data) => ClientError::NoNode { data: data.clone() },
            None => ClientError::NoNodeAt { url: self.url.clone() },
        }
    }
}

/// A request's body.
struct Sending {
    media_type: &'static str,
    bytes: Zeroizing<Vec<u8>>,
}

fn json<T: Serialize>(body: &T) -> Sending {
    // Plain structs with string keys: serialising them cannot fail.
    let bytes = Zeroizing::new(serde_json::to_vec(body).unwrap_or_default());
    Sending { media_type: "application/json", bytes }
}

/// An answer that is not the JSON it should be.
pub(crate) fn not_understood(url: &str, text: &str, error: &serde_json::Error) -> ClientError {
    let version = announced(text).filter(|version| *version > VERSION);
    ClientError::NotUnderstood { url: url.to_owned(), reason: error.to_string(), version }
}

/// A connection that did not hold until the end of the answer.
pub(crate) fn broken(url: &str, error: ureq::Error) -> ClientError {
    match error {
        ureq::Error::Timeout(_) => ClientError::TimedOut,
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => ClientError::TimedOut,
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            ClientError::NotUnderstood { url: url.to_owned(), reason: io.to_string(), version: None }
        }
        ureq::Error::Io(io) => ClientError::Disconnected(io.to_string()),
        ureq::Error::Protocol(error) => {
            ClientError::NotUnderstood { url: url.to_owned(), reason: error.to_string(), version: None }
        }
        other => ClientError::Disconnected(other.to_string()),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

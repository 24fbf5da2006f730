//! What every route knows, and the turns by which requests are let in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use starling_api::event::SEQ_HEADER;
use starling_api::{ApiError, Code};
use starling_messenger::turn::{Command, Reply};
use starling_wire::network::NetworkParameters;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answer::Fault;
use super::auth::Guard;
use super::blobs::Blobs;
use super::routes::backup;
use super::search::Search;
use super::sessions::Sessions;
use super::{Serving, events, fault, page};
use crate::core::Node;
use crate::core::bridge::Clock;
use crate::core::handle::NodeState;
use crate::core::preferences::Preference;

/// Requests that are worked on at a time: fewer than the core's lane holds, so that the API alone never
/// fills it.
const REQUESTS_MAX: usize = 48;
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks at whether somebody still searches.
const SEARCH_LOOK: Duration = Duration::from_secs(60);

/// What every route knows.
pub(crate) struct App {
    pub(crate) node: Node,
    pub(crate) network: NetworkParameters,
    pub(crate) storage_limit_bytes: u64,
    pub(crate) url: String,
    pub(crate) started: Instant,
    pub(crate) shutdown: CancellationToken,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) search: Search,
    pub(crate) blobs: Blobs,
    guard: Guard,
    turns: Semaphore,
}

impl App {
    pub(crate) fn new(serving: Serving, shutdown: CancellationToken) -> Arc<Self> {
        let Serving { node, network, storage_limit_bytes, sessions, url, token } = serving;
        Arc::new(Self {
            node,
            network,
            storage_limit_bytes,
            url,
            started: Instant::now(),
            shutdown,
            event_streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
            backups: Arc::new(Semaphore::new(backup::BACKUPS_MAX)),
            sessions,
            search: Search::default(),
            blobs: Blobs::default(),
            guard: Guard::new(&token),
            turns: Semaphore::new(REQUESTS_MAX),
        })
    }

    /// Wipes what was searched and files that wait when the vault is locked, and when nobody has searched for a while.
    /// Ends with the server.
    pub(crate) async fn tend_search(self: Arc<Self>) {
        let mut states = self.node.watch_state();
        loop {
            tokio::select! {
                changed = states.changed() => match changed {
                    Ok(()) if *states.borrow_and_update() == NodeState::Locked => {
                        self.search.forget();
                        self.blobs.forget_all();
                    }
                    Ok(()) => {}
                    Err(_) => return,
                },
                () = tokio::time::sleep(SEARCH_LOOK) => {
                    self.search.forget_unused();
                    self.blobs.forget_old(Instant::now());
                }
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// Asks the core; a refusal becomes an error.
    pub(crate) async fn ask(&self, command: Command) -> Result<Reply, Fault> {
        match self.node.command(command).await {
            Ok(Reply::Refused(error)) => Err(fault::command(&error).into()),
            Ok(reply) => Ok(reply),
            Err(error) => Err(fault::unavailable(&error).into()),
        }
    }

    /// Changes a preference.
    pub(crate) async fn prefer(&self, change: Preference) -> Result<(), Fault> {
        self.node.prefer(change).await.map_err(|error| fault::unavailable(&error).into())
    }

    /// Whether the vault is open.
    pub(crate) fn check_open(&self) -> Result<(), Fault> {
        self.node.reader().map(drop).map_err(|error| fault::unavailable(&error).into())
    }

    /// Number of the newest event, if the vault is open.
    pub(crate) fn newest_event(&self) -> Option<u64> {
        self.node.reader().ok()?;
        let newest = *self.node.watch_events().borrow();
        Some(newest)
    }
}

/// Lets a request through: who asks is checked first, then it waits for its turn and has a limited time.
pub(crate) async fn admit(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let session = |token: &[u8]| app.sessions.asker(token, Clock::unix_ms_now());
    match app.guard.admit(request.method(), request.uri(), request.headers(), session) {
        Ok(Some(asker)) => drop(request.extensions_mut().insert(asker)),
        Ok(None) => {}
        Err(error) => return Fault::from(error).into_response(),
    }
    // Taken before anything is read: who follows the events from here misses nothing of what was read.
    let tells = request.method() == Method::GET && !page::is_file(request.uri().path());
    let seq = tells.then(|| app.newest_event()).flatten();
    let endless = [events::PATH, events::SOCKET_PATH].contains(&request.uri().path());
    let mut response = if endless { next.run(request).await } else { in_turn(&app, request, next).await };
    if let Some(seq) = seq {
        response.headers_mut().insert(SEQ_HEADER, HeaderValue::from(seq));
    }
    response
}

async fn in_turn(app: &App, request: Request, next: Next) -> Response {
    let Ok(Ok(_turn)) = tokio::time::timeout(TURN_TIMEOUT, app.turns.acquire()).await else {
        return Fault::from(fault::slow_down()).into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let error =
                ApiError::new(Code::TimedOut, "The node did not answer in time. What was asked may still happen.")
                    .hint("A send under the same client_id is safe to repeat.");
            Fault::from(error).into_response()
        }
    }
}

//! The local HTTP API. SPEC: product 4.
//!
//! ```text
//! listener -> a place (CONNECTIONS_MAX) -> hyper -> guard (who asks) -> a turn (REQUESTS_MAX) -> routes -> node
//! ```
//! Requests that find no turn wait for one; a flood of them waits in its own connections and is bounded by
//! them. Event streams hold no turn: they have places of their own.

mod answer;
mod app;
pub(crate) mod auth;
mod blobs;
mod convert;
mod doctor;
mod event_socket;
mod events;
mod fault;
mod page;
mod reads;
mod routes;
#[cfg(test)]
mod samples;
mod search;
pub(crate) mod sessions;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use starling_api::api_file::Token;
use starling_wire::network::NetworkParameters;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core::Node;
use app::App;
use sessions::Sessions;

/// Connections at a time, event streams included.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send the head of a request, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the head of a request, and of what is buffered of its body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long answers may take that are under way when the server ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after the machine refused a connection, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the server serves.
pub(crate) struct Serving {
    /// The node.
    pub(crate) node: Node,
    /// Its network.
    pub(crate) network: NetworkParameters,
    /// Bytes that everybody's envelopes may take.
    pub(crate) storage_limit_bytes: u64,
    /// Sessions of the page.
    pub(crate) sessions: Arc<Sessions>,
    /// `http://127.0.0.1:7827`
    pub(crate) url: String,
    /// The bearer token, as it stands in `api.json`.
    pub(crate) token: Token,
}

/// Serves the API on `listeners` (bound to loopback by the caller) until `shutdown`; then ends the event
/// streams, lets answers under way finish, and returns. Call `shutdown` after the node has stopped: until
/// then the API says that it is stopping.
///
/// # Errors
/// When a listener cannot be used with the runtime.
pub(crate) async fn serve(
    serving: Serving,
    listeners: Vec<std::net::TcpListener>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let app = App::new(serving, shutdown.clone());
    tokio::spawn(app.clone().tend_search());
    let router = routes::router(app);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (acceptors, connections) = (TaskTracker::new(), TaskTracker::new());
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let acceptor = Acceptor {
            listener: TcpListener::from_std(listener)?,
            router: router.clone(),
            places: places.clone(),
            shutdown: shutdown.clone(),
            connections: connections.clone(),
        };
        acceptors.spawn(acceptor.run());
    }
    acceptors.close();
    acceptors.wait().await;
    connections.close();
    if tokio::time::timeout(END_TIMEOUT, connections.wait()).await.is_err() {
        tracing::debug!("some answers of the API did not end in time");
    }
    Ok(())
}

struct Acceptor {
    listener: TcpListener,
    router: axum::Router,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
    connections: TaskTracker,
}

impl Acceptor {
    async fn run(self) {
        while let Some(accepted) = self.shutdown.run_until_cancelled(self.accept()).await {
            match accepted {
                Ok((stream, place)) => {
                    let connection = serve_connection(stream, self.router.clone(), self.shutdown.clone(), place);
                    self.connections.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!(%error, "the API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// A connection, once there is a place for it.
    async fn accept(&self) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, place))
    }
}

async fn serve_connection(
    stream: TcpStream,
    router: axum::Router,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    // Answers and events are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the API ended early");
    }
}

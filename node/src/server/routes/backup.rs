//! `POST /v1/backup`: account, contacts and history as one sealed file, streamed while the node goes on. SPEC: product 4.
//!
//! What the core knows is taken at one moment; the history up to that moment is read beside it. Nothing of it leaves
//! unsealed, and no more than some pieces wait in memory for their reader.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse as _;
use starling_api::node::MakeBackup;
use starling_api::{ApiError, Code};
use starling_messenger::turn::{Command, Reply};
use starling_store::backup::{BackupError, BackupWriter};
use starling_store::seal_at_rest::PassphraseCost;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::core::lifecycle::PASSPHRASE_BYTES;
use crate::export;
use crate::server::answer::{Answer, Json};
use crate::server::app::App;
use crate::server::fault;

/// Backups at a time: each hashes a passphrase in 64 MiB.
pub(crate) const BACKUPS_MAX: usize = 1;
/// Pieces that wait for their reader.
const PIECES_WAITING_MAX: usize = 4;

pub(crate) async fn backup(State(app): State<Arc<App>>, Json(make): Json<MakeBackup>) -> Answer {
    app.check_open()?;
    let bytes = make.passphrase.as_bytes();
    let text = str::from_utf8(bytes).ok().filter(|text| PASSPHRASE_BYTES.contains(&text.len()));
    let passphrase = text
        .map(|text| Zeroizing::new(text.to_owned()))
        .ok_or_else(|| fault::bad_field("passphrase", "A passphrase is 8 to 1,024 bytes."))?;
    let place = app.backups.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(Code::SlowDown, "Another backup is being made.").hint("Ask again when it is done.")
    })?;
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING_MAX);
    let closing = app.node.closing().map_err(|error| fault::unavailable(&error))?;
    let to_reader = ToReader { pieces: pieces.clone(), closing, runtime: Handle::current() };
    // Argon2id takes half a second of a core: not on the runtime's threads.
    let begun = tokio::task::spawn_blocking(move || {
        BackupWriter::new(to_reader, &passphrase, PassphraseCost::STANDARD, &mut rand::rng())
    });
    let writer = begun.await.map_err(|_| fault::internal("a backup"))?.map_err(|error| failed(&error))?;
    let reader = app.node.reader().map_err(|error| fault::unavailable(&error))?;
    let Reply::Export(export) = app.ask(Command::Export).await? else { return Err(fault::internal("export").into()) };
    let network = app.network.name.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        if let Err(error) = export::write(writer, &export, &reader, &network) {
            tracing::error!(%error, "a backup was not finished");
            // The stream ends within its body, so that nobody takes it for whole.
            let _ = pieces.try_send(Err(io::Error::other("the backup was not finished")));
        }
    });
    let headers =
        [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let stream = futures::stream::unfold(waiting, |mut waiting| async {
        let piece = waiting.recv().await?;
        Some((piece, waiting))
    });
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn failed(error: &BackupError) -> ApiError {
    tracing::error!(%error, "a backup could not be begun");
    ApiError::new(Code::SlowDown, format!("The backup could not be begun: {error}."))
        .hint("Close other programs, then try again.")
}

/// Hands sealed pieces to whoever reads the answer, at their pace, until the vault is to be closed.
struct ToReader {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    closing: CancellationToken,
    runtime: Handle,
}

impl io::Write for ToReader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.pieces.send(Ok(Bytes::copy_from_slice(bytes)));
        // An error: whoever asked has gone. Nothing: the vault is to be closed.
        match self.runtime.block_on(self.closing.run_until_cancelled(sent)) {
            Some(Ok(())) => Ok(bytes.len()),
            Some(Err(_)) | None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

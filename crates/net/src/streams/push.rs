//! `push/1`: one cell of an exact length, then the end of the dialer's half; one byte comes back, 0 taken
//! or 1 refused. SPEC: B14.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use starling_wire::limits::{CELL_LARGE_BYTES, CELL_SMALL_BYTES};
use tokio::time::timeout;

use crate::event::Refusal;

/// Time for a peer's whole cell to come.
const CELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for our answer to be taken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 4_096;

const TAKEN: u8 = 0;
const REFUSED: u8 = 1;

/// Whether a cell can have this many bytes.
pub(crate) fn is_cell(bytes: usize) -> bool {
    bytes == CELL_SMALL_BYTES || bytes == CELL_LARGE_BYTES
}

/// Sends a cell and waits for the answer, `patience` in all.
pub(crate) async fn send_cell(mut stream: Stream, cell: &[u8], patience: Duration) -> Result<(), Refusal> {
    let exchange = async {
        stream.write_all(cell).await?;
        stream.close().await?;
        let mut answer = [REFUSED];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer[0])
    };
    match timeout(patience, exchange).await {
        Ok(Ok(TAKEN)) => Ok(()),
        Ok(_) => Err(Refusal::Refused),
        Err(_) => Err(Refusal::TimedOut),
    }
}

/// A peer's cell; `None` when it has no length of a cell or does not come in time.
pub(crate) async fn read_cell(stream: &mut Stream) -> Option<Vec<u8>> {
    let reading = async {
        let mut cell = Vec::with_capacity(CELL_SMALL_BYTES);
        let mut buffer = [0; READ_BYTES];
        loop {
            match stream.read(&mut buffer).await.ok()? {
                0 => return is_cell(cell.len()).then_some(cell),
                count if cell.len() + count > CELL_LARGE_BYTES => return None,
                count => cell.extend_from_slice(&buffer[..count]),
            }
        }
    };
    timeout(CELL_TIMEOUT, reading).await.ok().flatten()
}

/// Answers a peer's cell.
pub(crate) async fn answer_push(mut stream: Stream, taken: bool) {
    let answering = async {
        stream.write_all(&[if taken { TAKEN } else { REFUSED }]).await?;
        stream.close().await
    };
    let _ = timeout(ANSWER_TIMEOUT, answering).await;
}

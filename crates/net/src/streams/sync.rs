//! A `sync/1` stream: bytes in both directions, driven by the layers above.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

/// A `sync/1` stream to or from a linked peer: tokio's [`AsyncRead`] and [`AsyncWrite`]. It holds its
/// place in the limits of open streams until it is dropped, which closes it; whoever drives it sets the
/// deadlines.
pub struct SyncStream {
    inner: Compat<libp2p::Stream>,
    _places: Vec<OwnedSemaphorePermit>,
}

impl SyncStream {
    pub(crate) fn new(stream: libp2p::Stream, places: Vec<OwnedSemaphorePermit>) -> Self {
        Self { inner: stream.compat(), _places: places }
    }
}

impl fmt::Debug for SyncStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncStream")
    }
}

impl AsyncRead for SyncStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for SyncStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

//! Both halves of a QUIC stream as one pipe, which is lost, not ended, when it is dropped before it was closed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use quinn::{RecvStream, SendStream, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::hello::UNSUPPORTED;

/// What the peer of a dropped stream is told.
const DROPPED: VarInt = VarInt::from_u32(0);

pub(super) struct BulkPipe {
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    closed: bool,
}

impl BulkPipe {
    pub(super) fn new((send, recv): (SendStream, RecvStream)) -> Self {
        Self { send, recv, closed: false }
    }

    /// Tells the opener that its protocol is not spoken here.
    pub(super) async fn refuse(mut self) -> Result<(), WriteError> {
        self.send.write_all(&[UNSUPPORTED]).await?;
        self.closed = self.send.finish().is_ok();
        Ok(())
    }
}

impl AsyncRead for BulkPipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf)
    }
}

impl AsyncWrite for BulkPipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(AsyncWrite::poll_shutdown(Pin::new(&mut self.send), cx))?;
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for BulkPipe {
    fn drop(&mut self) {
        // quinn would end the stream in order, and half of an object would look like a whole one.
        if !self.closed && self.send.reset(DROPPED).is_err() {
            tracing::trace!("the stream had ended before");
        }
    }
}

//! One stream to one peer: length-prefixed frames, raw bulk bytes, and no wait without an end.
//!
//! Frames are coalesced: [`Sender::send`] buffers and [`Sender::flush`] hands over. Frames are safe to
//! cancel: a frame is queued as a whole or not at all, and a half-received one waits in the buffer. Bulk
//! bytes are not, so a stream whose bulk call was cancelled refuses every further call.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use cosmic_common::{
    id::PeerId,
    limit::{BULK_FRAME_BYTES, MESSAGE_MAX_BYTES},
    protocol::Protocol,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{error::Error, guard::Purse, metrics::Way};

mod receiver;
mod sender;

pub use receiver::Receiver;
pub use sender::Sender;

/// The longest frame either side may send; larger things go as bulk bytes.
pub const FRAME_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// A peer that makes no progress for so long in the middle of something is given up, unless the caller
/// sets another patience: long enough for a phone that changes cells.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What an idle stream reserves for reading; ten thousand idle sessions then take 20 MB.
const READ_MIN_BYTES: usize = 2 * 1024;
/// Bulk bytes are zeroed and read in windows of this size, so memory follows what really came.
const BULK_WINDOW_BYTES: usize = 4 * BULK_FRAME_BYTES;
/// Bytes of the length before each frame, big-endian.
const PREFIX_BYTES: usize = 4;

/// What a stream runs over.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Held by every stream of one connection, so that the connection knows whether it is in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage(Arc<()>);

impl Usage {
    /// Streams that live, apart from the connection itself.
    pub(crate) fn streams(&self) -> usize {
        // Both halves of a stream share one clone.
        Arc::strong_count(&self.0) - 1
    }
}

/// What both halves of a stream know.
struct Ends {
    peer: PeerId,
    protocol: Protocol,
    way: Way,
    _usage: Usage,
}

/// A two-way stream to a peer, of one protocol. Dropping it without [`close`](Self::close) loses what is
/// queued, and the peer sees a lost stream.
#[derive(Debug)]
pub struct Stream {
    sender: Sender,
    receiver: Receiver,
}

impl Stream {
    pub(crate) fn new(
        peer: PeerId,
        protocol: Protocol,
        pipe: impl Pipe + 'static,
        usage: Usage,
        way: Way,
    ) -> Self {
        let ends = Arc::new(Ends { peer, protocol, way, _usage: usage });
        let (read, write) = tokio::io::split(Box::new(pipe) as Box<dyn Pipe>);
        Self { sender: Sender::new(Arc::clone(&ends), write), receiver: Receiver::new(ends, read) }
    }

    /// The same, of which every received byte is paid from `purse`.
    pub(crate) fn paid_from(mut self, purse: Purse) -> Self {
        self.receiver.pay_from(purse);
        self
    }

    /// The authenticated peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.sender.peer()
    }

    /// The protocol this stream was opened with.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.sender.protocol()
    }

    /// Sets how long the peer may make no progress in the middle of a frame, of bulk bytes or of taking
    /// ours. Waiting for the first byte of a frame has no end but the caller's ([`within`](crate::within)).
    pub const fn set_patience(&mut self, patience: Duration) {
        self.sender.set_patience(patience);
        self.receiver.set_patience(patience);
    }

    /// Queues one frame; see [`Sender::send`].
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        self.sender.send(frame).await
    }

    /// Hands all queued frames to the transport.
    ///
    /// # Errors
    /// As [`Sender::flush`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.sender.flush().await
    }

    /// Flushes what is queued, then receives one frame; see [`Receiver::recv`].
    ///
    /// # Errors
    /// As [`Sender::flush`] and [`Receiver::recv`].
    pub async fn recv(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        self.sender.flush().await?;
        self.receiver.recv(limit).await
    }

    /// Sends raw bytes; see [`Sender::send_bulk`].
    ///
    /// # Errors
    /// As [`Sender::send_bulk`].
    pub async fn send_bulk(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sender.send_bulk(bytes).await
    }

    /// Flushes what is queued, then receives raw bytes; see [`Receiver::recv_bulk`].
    ///
    /// # Errors
    /// As [`Sender::flush`] and [`Receiver::recv_bulk`].
    pub async fn recv_bulk(&mut self, into: &mut Vec<u8>, length: usize) -> Result<(), Error> {
        self.sender.flush().await?;
        self.receiver.recv_bulk(into, length).await
    }

    /// Flushes, then tells the peer that nothing more comes. Receiving goes on until the peer does so too.
    ///
    /// # Errors
    /// As [`Sender::close`].
    pub async fn close(&mut self) -> Result<(), Error> {
        self.sender.close().await
    }

    /// Both halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// Gives the memory of an empty buffer back, unless it is small: an idle stream must not hold much.
fn rest(buffer: &mut BytesMut) {
    if buffer.capacity() > 2 * READ_MIN_BYTES {
        *buffer = BytesMut::new();
    } else {
        buffer.clear();
    }
}

impl Ends {
    /// The outcome of one step that had `patience` to make progress.
    fn progress<T>(
        &self,
        patience: Duration,
        outcome: Result<io::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, Error> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(source)) => Err(Error::lost(self.peer, source)),
            Err(_elapsed) => Err(Error::Stalled { peer: self.peer, patience }),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("peer", &self.peer)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

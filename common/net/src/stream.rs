//! One stream to one peer: length-prefixed frames, raw bulk bytes, and no wait without an end.
//!
//! Frames are coalesced: [`Sender::send`] buffers and [`Sender::flush`] hands over. Frames are safe to
//! cancel: a frame is queued as a whole or not at all, and a half-received one waits in the buffer. Bulk
//! bytes are not, so a stream whose bulk call was cancelled refuses every further call.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::{Buf as _, BufMut as _, BytesMut};
use cosmic_common::{
    id::PeerId,
    limit::{BULK_FRAME_BYTES, MESSAGE_MAX_BYTES},
    protocol::Protocol,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::{error::Error, metrics::Metrics};

/// The longest frame either side may send; larger things go as bulk bytes.
pub const FRAME_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// A peer that makes no progress for so long in the middle of something is given up, unless the caller
/// sets another patience: long enough for a phone that changes cells.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Buffered bytes from which on `send` writes before it takes another frame.
const WRITE_HIGH_BYTES: usize = BULK_FRAME_BYTES;
/// What an idle stream reserves for reading; ten thousand idle sessions then take 20 MB.
const READ_MIN_BYTES: usize = 2 * 1024;
/// What a busy stream reads at once: one frame of Noise or four of yamux.
const READ_MAX_BYTES: usize = BULK_FRAME_BYTES;
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
    metrics: Metrics,
    _usage: Usage,
}

/// A two-way stream to a peer, of one protocol. Dropping it without [`close`](Self::close) loses what is
/// queued, and the peer sees a lost stream.
#[derive(Debug)]
pub struct Stream {
    sender: Sender,
    receiver: Receiver,
}

/// The half that sends.
pub struct Sender {
    ends: Arc<Ends>,
    pipe: WriteHalf<Box<dyn Pipe>>,
    buffer: BytesMut,
    patience: Duration,
    interrupted: bool,
}

/// The half that receives.
pub struct Receiver {
    ends: Arc<Ends>,
    pipe: ReadHalf<Box<dyn Pipe>>,
    buffer: BytesMut,
    window: usize,
    patience: Duration,
    interrupted: bool,
}

impl Stream {
    pub(crate) fn new(
        peer: PeerId,
        protocol: Protocol,
        pipe: impl Pipe + 'static,
        usage: Usage,
        metrics: Metrics,
    ) -> Self {
        let ends = Arc::new(Ends { peer, protocol, metrics, _usage: usage });
        let (read, write) = tokio::io::split(Box::new(pipe) as Box<dyn Pipe>);
        Self {
            sender: Sender {
                ends: Arc::clone(&ends),
                pipe: write,
                buffer: BytesMut::new(),
                patience: PATIENCE,
                interrupted: false,
            },
            receiver: Receiver {
                ends,
                pipe: read,
                buffer: BytesMut::new(),
                window: READ_MIN_BYTES,
                patience: PATIENCE,
                interrupted: false,
            },
        }
    }

    /// The authenticated peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.sender.ends.peer
    }

    /// The protocol this stream was opened with.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.sender.ends.protocol
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

impl Sender {
    /// The authenticated peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.ends.peer
    }

    /// How long the peer may take no bytes before it is given up.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Queues one frame, and writes first if much is queued already. Nothing is promised to leave before
    /// [`flush`](Self::flush). If the call is cancelled, the frame is not queued.
    ///
    /// # Errors
    /// [`Error::FrameTooLong`], and what writing says.
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), Error> {
        let too_long = Error::FrameTooLong { length: frame.len(), limit: FRAME_MAX_BYTES };
        let length = u32::try_from(frame.len()).map_err(|_overflow| too_long.clone())?;
        if frame.len() > FRAME_MAX_BYTES {
            return Err(too_long);
        }
        self.check()?;
        if self.buffer.len() >= WRITE_HIGH_BYTES {
            self.write_buffer().await?;
        }
        self.buffer.reserve(PREFIX_BYTES + frame.len());
        self.buffer.put_u32(length);
        self.buffer.put_slice(frame);
        Ok(())
    }

    /// Hands everything queued to the transport. If cancelled, a later call goes on where this one stopped.
    ///
    /// # Errors
    /// [`Error::Lost`] or [`Error::Stalled`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.write_buffer().await?;
        let flushed = tokio::time::timeout(self.patience, self.pipe.flush()).await;
        self.ends.progress(self.patience, flushed)
    }

    /// Sends raw bytes without a length, copying nothing: the receiver knows from a frame before how many
    /// come. Queued frames go first.
    ///
    /// # Errors
    /// [`Error::Lost`] or [`Error::Stalled`].
    pub async fn send_bulk(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.check()?;
        self.write_buffer().await?;
        self.interrupted = true;
        for piece in bytes.chunks(BULK_WINDOW_BYTES) {
            let written = tokio::time::timeout(self.patience, self.pipe.write_all(piece)).await;
            self.ends.progress(self.patience, written)?;
            self.ends.metrics.sent(piece.len());
        }
        let flushed = tokio::time::timeout(self.patience, self.pipe.flush()).await;
        self.ends.progress(self.patience, flushed)?;
        self.interrupted = false;
        Ok(())
    }

    /// Flushes, then tells the peer that nothing more comes.
    ///
    /// # Errors
    /// [`Error::Lost`] or [`Error::Stalled`].
    pub async fn close(&mut self) -> Result<(), Error> {
        self.check()?;
        self.write_buffer().await?;
        let closed = tokio::time::timeout(self.patience, self.pipe.shutdown()).await;
        self.ends.progress(self.patience, closed)
    }

    fn check(&self) -> Result<(), Error> {
        if self.interrupted { Err(Error::Interrupted { peer: self.ends.peer }) } else { Ok(()) }
    }

    /// Writes the buffer out; what is written leaves it at once, so cancelling loses nothing.
    async fn write_buffer(&mut self) -> Result<(), Error> {
        while !self.buffer.is_empty() {
            let written = tokio::time::timeout(self.patience, self.pipe.write(&self.buffer)).await;
            match self.ends.progress(self.patience, written)? {
                0 => return Err(Error::lost(self.ends.peer, io::ErrorKind::WriteZero.into())),
                count => {
                    self.buffer.advance(count);
                    self.ends.metrics.sent(count);
                }
            }
        }
        rest(&mut self.buffer);
        Ok(())
    }
}

impl Receiver {
    /// The authenticated peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.ends.peer
    }

    /// How long the peer may make no progress in the middle of a frame or of bulk bytes.
    pub const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next frame, or `None` when the peer has closed its half. Safe to cancel.
    ///
    /// # Errors
    /// [`Error::FrameTooLong`] before anything is allocated, [`Error::Truncated`], [`Error::Stalled`] or
    /// [`Error::Lost`].
    pub async fn recv(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        self.check()?;
        let limit = limit.min(FRAME_MAX_BYTES);
        loop {
            if let Some(frame) = self.take_frame(limit)? {
                return Ok(Some(frame));
            }
            let began = !self.buffer.is_empty();
            if self.fill(began).await? == 0 {
                return if began { Err(Error::Truncated { peer: self.ends.peer }) } else { Ok(None) };
            }
        }
    }

    /// Appends exactly `length` raw bytes to `into`. If cancelled, the stream is of no further use.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Stalled`] or [`Error::Lost`].
    pub async fn recv_bulk(&mut self, into: &mut Vec<u8>, length: usize) -> Result<(), Error> {
        self.check()?;
        self.interrupted = true;
        let buffered = length.min(self.buffer.len());
        into.reserve(length.min(BULK_WINDOW_BYTES));
        into.put(self.buffer.split_to(buffered));
        let mut left = length - buffered;
        while left > 0 {
            let start = into.len();
            let window = left.min(BULK_WINDOW_BYTES);
            into.resize(start + window, 0);
            let mut rest = into.get_mut(start..).unwrap_or_default();
            while !rest.is_empty() {
                let read = tokio::time::timeout(self.patience, self.pipe.read(rest)).await;
                let count = self.ends.progress(self.patience, read)?;
                if count == 0 {
                    return Err(Error::Truncated { peer: self.ends.peer });
                }
                self.ends.metrics.received(count);
                rest = rest.get_mut(count..).unwrap_or_default();
            }
            left -= window;
        }
        self.interrupted = false;
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.interrupted { Err(Error::Interrupted { peer: self.ends.peer }) } else { Ok(()) }
    }

    /// The first frame of the buffer, if it is all there.
    fn take_frame(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limit {
            return Err(Error::FrameTooLong { length, limit });
        }
        let Some(frame) = self.buffer.get(PREFIX_BYTES..PREFIX_BYTES + length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.buffer.advance(PREFIX_BYTES + length);
        Ok(Some(frame))
    }

    /// Reads once into the buffer; the window grows while the peer fills it and shrinks when it rests.
    async fn fill(&mut self, hurried: bool) -> Result<usize, Error> {
        if self.buffer.is_empty() {
            rest(&mut self.buffer);
        }
        self.buffer.reserve(self.window);
        let mut into = (&mut self.buffer).limit(self.window);
        let read = self.pipe.read_buf(&mut into);
        let count = if hurried {
            let read = tokio::time::timeout(self.patience, read).await;
            self.ends.progress(self.patience, read)?
        } else {
            read.await.map_err(|source| Error::lost(self.ends.peer, source))?
        };
        self.ends.metrics.received(count);
        self.window = if count == self.window { self.window * 2 } else { self.window / 2 }
            .clamp(READ_MIN_BYTES, READ_MAX_BYTES);
        Ok(count)
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
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ends.show(f, "Sender")
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ends.show(f, "Receiver")
    }
}

impl Ends {
    fn show(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("peer", &self.peer)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

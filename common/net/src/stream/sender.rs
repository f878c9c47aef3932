//! The half of a stream that sends: frames gathered until they are flushed, bulk bytes straight through.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::{Buf as _, BufMut as _, BytesMut};
use cosmic_common::{id::PeerId, limit::BULK_FRAME_BYTES, protocol::Protocol};
use tokio::io::{AsyncWriteExt as _, WriteHalf};

use super::{BULK_WINDOW_BYTES, Ends, FRAME_MAX_BYTES, PATIENCE, PREFIX_BYTES, Pipe, rest};
use crate::error::Error;

/// Buffered bytes from which on `send` writes before it takes another frame.
const WRITE_HIGH_BYTES: usize = BULK_FRAME_BYTES;

/// The half that sends.
pub struct Sender {
    ends: Arc<Ends>,
    pipe: WriteHalf<Box<dyn Pipe>>,
    buffer: BytesMut,
    patience: Duration,
    interrupted: bool,
}

impl Sender {
    pub(super) fn new(ends: Arc<Ends>, pipe: WriteHalf<Box<dyn Pipe>>) -> Self {
        Self { ends, pipe, buffer: BytesMut::new(), patience: PATIENCE, interrupted: false }
    }

    /// The authenticated peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.ends.peer
    }

    /// The protocol the stream was opened with.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.ends.protocol
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
            self.ends.way.sent(piece.len());
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
                    self.ends.way.sent(count);
                }
            }
        }
        rest(&mut self.buffer);
        Ok(())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ends.show(f, "Sender")
    }
}

//! The half of a stream that receives: whole frames, refused by their length, and bulk bytes.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Buf as _, BufMut as _, BytesMut};
use cosmic_common::{id::PeerId, limit::BULK_FRAME_BYTES};
use tokio::io::{AsyncReadExt as _, ReadHalf};

use super::{BULK_WINDOW_BYTES, Ends, FRAME_MAX_BYTES, PATIENCE, PREFIX_BYTES, Pipe, READ_MIN_BYTES, rest};
use crate::{error::Error, guard::Purse};

/// What a busy stream reads at once: one frame of Noise or four of yamux.
const READ_MAX_BYTES: usize = BULK_FRAME_BYTES;

/// The half that receives.
pub struct Receiver {
    ends: Arc<Ends>,
    pipe: ReadHalf<Box<dyn Pipe>>,
    buffer: BytesMut,
    window: usize,
    patience: Duration,
    interrupted: bool,
    /// Of a stream that the peer opened.
    purse: Option<Box<Purse>>,
}

impl Receiver {
    pub(super) fn new(ends: Arc<Ends>, pipe: ReadHalf<Box<dyn Pipe>>) -> Self {
        let buffer = BytesMut::new();
        let (window, patience, interrupted) = (READ_MIN_BYTES, PATIENCE, false);
        Self { ends, pipe, buffer, window, patience, interrupted, purse: None }
    }

    pub(super) fn pay_from(&mut self, purse: Purse) {
        self.purse = Some(Box::new(purse));
    }

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
                self.may_receive().await;
                let read = tokio::time::timeout(self.patience, self.pipe.read(rest)).await;
                let count = self.ends.progress(self.patience, read)?;
                if count == 0 {
                    return Err(Error::Truncated { peer: self.ends.peer });
                }
                self.received(count);
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
            if let Some(purse) = &self.purse {
                purse.oversized();
            }
            return Err(Error::FrameTooLong { length, limit });
        }
        let Some(frame) = self.buffer.get(PREFIX_BYTES..PREFIX_BYTES + length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.buffer.advance(PREFIX_BYTES + length);
        Ok(Some(frame))
    }

    /// Waits while the peer owes for what it sent.
    async fn may_receive(&mut self) {
        if let Some(purse) = &mut self.purse {
            purse.ready().await;
        }
    }

    fn received(&mut self, count: usize) {
        self.ends.way.received(count);
        if let Some(purse) = &mut self.purse {
            purse.received(count);
        }
    }

    /// Reads once into the buffer; the window grows while the peer fills it and shrinks when it rests.
    async fn fill(&mut self, hurried: bool) -> Result<usize, Error> {
        if self.buffer.is_empty() {
            rest(&mut self.buffer);
        }
        self.may_receive().await;
        self.buffer.reserve(self.window);
        let mut into = (&mut self.buffer).limit(self.window);
        let read = self.pipe.read_buf(&mut into);
        let count = if hurried {
            let read = tokio::time::timeout(self.patience, read).await;
            self.ends.progress(self.patience, read)?
        } else {
            read.await.map_err(|source| Error::lost(self.ends.peer, source))?
        };
        self.received(count);
        self.window = if count == self.window { self.window * 2 } else { self.window / 2 }
            .clamp(READ_MIN_BYTES, READ_MAX_BYTES);
        Ok(count)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ends.show(f, "Receiver")
    }
}

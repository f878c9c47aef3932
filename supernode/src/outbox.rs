//! Frames on their way out, so that a task that writes never stops reading.

use std::collections::VecDeque;

use cosmic_net::{Error, Sender};

/// The sending half of a stream and what waits for it.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: Sender,
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    unflushed: bool,
}

impl Outbox {
    pub(crate) const fn new(sender: Sender) -> Self {
        Self { sender, queue: VecDeque::new(), bytes: 0, unflushed: false }
    }

    /// Queues a frame.
    pub(crate) fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.queue.push_back(frame);
    }

    /// Bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything was handed to the transport.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Hands everything over. Safe to cancel: a later call goes on where this one stopped.
    pub(crate) async fn pump(&mut self) -> Result<(), Error> {
        while let Some(frame) = self.queue.front() {
            self.sender.send(frame).await?;
            self.unflushed = true;
            self.bytes -= frame.len();
            self.queue.pop_front();
        }
        self.sender.flush().await?;
        self.unflushed = false;
        Ok(())
    }

    /// Hands everything over and ends this half of the stream.
    pub(crate) async fn close(mut self) -> Result<(), Error> {
        self.pump().await?;
        self.sender.close().await
    }
}

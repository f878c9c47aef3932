//! Streams between supernodes, and of whoever else asks: one question asked of one of them, and a protocol served.

use std::time::Duration;

use cosmic_common::{id::PeerId, protocol::Protocol, record::Record};
use cosmic_net::{Error, Stream, within};

use crate::context::Context;

/// How another supernode is asked one question, on a stream of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    /// The protocol of the question.
    pub(crate) protocol: Protocol,
    /// How long reaching it may take.
    pub(crate) open_patience: Duration,
    /// How long it may take to answer.
    pub(crate) answer_patience: Duration,
}

impl Asking {
    /// What `peer` answers; nothing if that cannot be read.
    pub(crate) async fn ask<A: Record>(
        &self,
        context: &Context,
        peer: PeerId,
        question: &impl Record,
    ) -> Result<Option<A>, Error> {
        context.net.add_addresses(peer, context.ring_view().addresses_of(&peer)).await?;
        let mut stream = context.net.open(peer, self.protocol, self.open_patience).await?;
        stream.set_patience(self.answer_patience);
        stream.send(&question.to_bytes()).await?;
        stream.flush().await?;
        let answering = within("the answer of a supernode", self.answer_patience, stream.recv(A::LIMIT));
        let frame = answering.await?.ok_or(Error::Lost { peer, source: None })?;
        Ok(A::from_bytes(&frame).ok())
    }
}

/// How the streams of a protocol are served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// What its tasks are called.
    pub(crate) name: &'static str,
    /// Streams served at once.
    pub(crate) streams_max: usize,
}

impl Serving {
    /// Begins to give each stream to `serve`, in a task of its own, until the shutdown.
    ///
    /// # Errors
    /// [`Error::NotServed`] if somebody else serves the protocol.
    pub(crate) fn start<F>(
        self,
        context: &Context,
        serve: impl Fn(Stream) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let mut incoming = context.net.accept(self.protocol)?;
        let streams = context.tasks.group(self.name, self.streams_max);
        context.tasks.spawn(self.name, move |shutdown| async move {
            while let Some(Some(stream)) = shutdown.unless(incoming.next()).await {
                let (peer, serving) = (stream.peer(), serve(stream));
                let started = streams.spawn(move |shutdown| async move {
                    if let Some(Err(error)) = shutdown.unless(serving).await {
                        tracing::debug!(peer = %peer.short(), protocol = %self.protocol, %error, "a stream ended");
                    }
                });
                if started.is_err() {
                    tracing::debug!(peer = %peer.short(), protocol = %self.protocol, "too many streams at once");
                }
            }
        });
        Ok(())
    }
}

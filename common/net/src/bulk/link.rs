//! One connection of the plane: opens streams, serves those of the peer, and ends when it is of no use.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use cosmic_common::{id::PeerId, protocol::Protocol};
use futures::{StreamExt as _, stream::FuturesUnordered};
use quinn::{Connection, VarInt};

use super::{
    hello::{self, ACCEPTED, UNSUPPORTED},
    pipe::BulkPipe,
};
use crate::{
    error::Error,
    event::Direction,
    guard::Offence,
    incoming::Inlets,
    metrics::Metrics,
    stream::{Stream, Usage},
};

/// Nothing is wrong: the connection is of no use any more.
const GOODBYE: VarInt = VarInt::from_u32(0);
/// The peer was not told of this port, or too many have come.
const REFUSED: VarInt = VarInt::from_u32(1);
/// The peer said what nobody says.
const BROKEN: VarInt = VarInt::from_u32(2);
/// How long the opener of a stream may take to name its protocol; it does so in its first packet.
const OPENING_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Link {
    pub(super) peer: PeerId,
    pub(super) direction: Direction,
    connection: Connection,
    usage: Usage,
    /// Streams there ever were.
    streams: AtomicU64,
}

/// What is wrong with the beginning of a stream.
enum Fault {
    /// It ended, as streams may.
    Ended,
    /// The whole peer is not to be believed.
    Broken,
}

impl From<quinn::WriteError> for Fault {
    fn from(_cause: quinn::WriteError) -> Self {
        Self::Ended
    }
}

impl From<quinn::ReadExactError> for Fault {
    fn from(_cause: quinn::ReadExactError) -> Self {
        Self::Ended
    }
}

impl Link {
    pub(super) fn new(peer: PeerId, direction: Direction, connection: Connection) -> Self {
        let (usage, streams) = (Usage::default(), AtomicU64::default());
        Self { peer, direction, connection, usage, streams }
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    pub(super) fn refuse(&self) {
        self.connection.close(REFUSED, b"refused");
    }

    pub(super) fn close(&self) {
        self.connection.close(GOODBYE, b"goodbye");
    }

    /// A stream of `protocol`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], or [`Error::Lost`].
    pub(super) async fn open(&self, protocol: Protocol, metrics: &Metrics) -> Result<Stream, Error> {
        let lost = |cause: io::Error| Error::lost(self.peer, cause);
        let unsupported = Error::Unsupported { peer: self.peer, protocol };
        let opening = hello::opening(protocol).ok_or_else(|| unsupported.clone())?;
        let usage = self.used();
        let mut pipe = BulkPipe::new(self.connection.open_bi().await.map_err(|cause| lost(cause.into()))?);
        pipe.send.write_all(&opening).await.map_err(|cause| lost(cause.into()))?;
        let mut answer = [UNSUPPORTED];
        pipe.recv.read_exact(&mut answer).await.map_err(|cause| lost(io::Error::other(cause)))?;
        match answer {
            [ACCEPTED] => Ok(Stream::new(self.peer, protocol, pipe, usage, metrics.by_bulk())),
            [UNSUPPORTED] => Err(unsupported),
            _ => {
                self.connection.close(BROKEN, b"no such answer");
                Err(lost(io::ErrorKind::InvalidData.into()))
            }
        }
    }

    /// Serves the streams of the peer until the connection ends, which it does after `idle` without
    /// streams, when `leash` ends, or when the peer cannot be believed.
    pub(super) async fn serve(&self, inlets: &Inlets, idle: Duration, leash: impl Future<Output = ()>) {
        let mut openings = FuturesUnordered::new();
        let mut rests = tokio::time::interval(idle);
        let mut before = u64::MAX;
        tokio::pin!(leash);
        loop {
            tokio::select! {
                pipe = self.connection.accept_bi() => match pipe {
                    Ok(halves) => openings.push(self.accept(BulkPipe::new(halves), inlets)),
                    Err(cause) => {
                        tracing::debug!(peer = %self.peer.short(), %cause, "a bulk connection ended");
                        return;
                    }
                },
                Some(accepted) = openings.next() => if let Err(Fault::Broken) = accepted {
                    tracing::debug!(peer = %self.peer.short(), "a bulk connection is closed: broken protocol");
                    inlets.guard().offence(self.peer, Offence::Malformed);
                    return self.connection.close(BROKEN, b"no such opening");
                },
                () = &mut leash => return self.close(),
                _ = rests.tick() => {
                    let now = self.streams.load(Ordering::Relaxed);
                    if self.usage.streams() == 0 && now == before {
                        return self.close();
                    }
                    before = now;
                }
            }
        }
    }

    /// Hands a stream over to whoever takes its protocol.
    async fn accept(&self, mut pipe: BulkPipe, inlets: &Inlets) -> Result<(), Fault> {
        let usage = self.used();
        let Ok(named) = tokio::time::timeout(OPENING_PATIENCE, named(&mut pipe, inlets)).await else {
            return Err(Fault::Ended);
        };
        match named? {
            Some(protocol) => {
                pipe.send.write_all(&[ACCEPTED]).await?;
                inlets.put(Stream::new(self.peer, protocol, pipe, usage, inlets.metrics().by_bulk()));
            }
            None => pipe.refuse().await?,
        }
        Ok(())
    }

    fn used(&self) -> Usage {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.usage.clone()
    }
}

/// The protocol the opener names, if it is served here.
async fn named(pipe: &mut BulkPipe, inlets: &Inlets) -> Result<Option<Protocol>, Fault> {
    let mut length = [0];
    pipe.recv.read_exact(&mut length).await?;
    let [length] = length;
    let mut name = vec![0; hello::name_length(length).ok_or(Fault::Broken)?];
    pipe.recv.read_exact(&mut name).await?;
    let served = inlets.open().find(|protocol| protocol.as_str().as_bytes() == name);
    // Other protocols are the swarm's: its limits are theirs.
    Ok(served.filter(|protocol| protocol.is_bulk()))
}

impl Drop for Link {
    fn drop(&mut self) {
        self.close();
    }
}

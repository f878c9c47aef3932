//! Streams to other supernodes, kept for the next question, and the memory of who did not answer lately.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, limit::MESSAGE_MAX_BYTES, protocol::SHARD, record::Record as _};
use cosmic_custody::message::shard::{ShardAnswer, ShardRequest};
use cosmic_net::Stream;
use cosmic_runtime::clock::Monotonic;

use super::{ANSWER_PATIENCE, Error};
use crate::context::Context;

/// How long reaching a holder may take; one that is there answers in a few round trips.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// How long one that could not be reached is asked last.
const AWAY: Duration = Duration::from_secs(10);
/// Streams kept for one holder: as many objects as are usually in flight.
const IDLE_MAX: usize = 8;
/// Unused streams older than this are not used again; the other side gives them up a while later.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Streams to other supernodes.
#[derive(Debug)]
pub struct Pool {
    context: Arc<Context>,
    idle: Mutex<HashMap<PeerId, Vec<Idle>>>,
    away: Mutex<HashMap<PeerId, Monotonic>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Monotonic,
}

impl Pool {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, idle: Mutex::default(), away: Mutex::default() }
    }

    /// Whether `holder` could not be reached lately.
    pub fn is_away(&self, holder: &PeerId) -> bool {
        let now = self.context.clock.monotonic();
        let mut away = lock(&self.away);
        away.retain(|_holder, until| *until > now);
        away.contains_key(holder)
    }

    /// Asks `holder`, with the bytes that follow the request, and gives its answer with the bytes that follow that.
    ///
    /// # Errors
    /// [`Error::Net`] or [`Error::Protocol`]; a refusal is an answer.
    pub async fn ask(
        &self,
        holder: PeerId,
        request: &ShardRequest,
        bulk: Option<&[u8]>,
    ) -> Result<(ShardAnswer, Option<Vec<u8>>), Error> {
        let frame = request.to_bytes();
        if let Some(stream) = self.kept(holder) {
            // The holder may have given the stream up meanwhile: every request may be repeated.
            match self.ask_on(stream, &frame, bulk).await {
                Err(Error::Net(error)) => {
                    tracing::debug!(holder = %holder.short(), %error, "a kept stream was of no use");
                }
                answered => return answered,
            }
        }
        let asked = match self.open(holder).await {
            Ok(stream) => self.ask_on(stream, &frame, bulk).await,
            Err(error) => Err(error.into()),
        };
        self.note(holder, &asked);
        asked
    }

    async fn open(&self, holder: PeerId) -> Result<Stream, cosmic_net::Error> {
        let ring = self.context.ring_view();
        self.context.net.add_addresses(holder, ring.addresses_of(&holder)).await?;
        self.context.net.open(holder, SHARD, OPEN_PATIENCE).await
    }

    async fn ask_on(
        &self,
        mut stream: Stream,
        frame: &[u8],
        bulk: Option<&[u8]>,
    ) -> Result<(ShardAnswer, Option<Vec<u8>>), Error> {
        let holder = stream.peer();
        stream.set_patience(ANSWER_PATIENCE);
        stream.send(frame).await?;
        if let Some(bytes) = bulk {
            stream.send_bulk(bytes).await?;
        }
        let answered =
            cosmic_net::within("the answer of a holder", ANSWER_PATIENCE, stream.recv(MESSAGE_MAX_BYTES));
        let Some(frame) = answered.await? else {
            return Err(cosmic_net::Error::Lost { peer: holder, source: None }.into());
        };
        let answer = ShardAnswer::from_bytes(&frame)
            .map_err(|_error| Error::Protocol { holder, what: "its answer cannot be read" })?;
        let bulk = match &answer {
            ShardAnswer::Follows { length, .. } => {
                let mut bytes = Vec::with_capacity(length.bytes());
                stream.recv_bulk(&mut bytes, length.bytes()).await?;
                Some(bytes)
            }
            _ => None,
        };
        self.keep(stream);
        Ok((answer, bulk))
    }

    fn note<T>(&self, holder: PeerId, asked: &Result<T, Error>) {
        let mut away = lock(&self.away);
        match asked {
            Err(Error::Net(error)) if error.is_transient() => {
                away.insert(holder, self.context.clock.monotonic().after(AWAY));
            }
            _ => {
                away.remove(&holder);
            }
        }
    }

    fn kept(&self, holder: PeerId) -> Option<Stream> {
        let now = self.context.clock.monotonic();
        let mut idle = lock(&self.idle);
        let streams = idle.get_mut(&holder)?;
        streams.retain(|one| now.since(one.since) < IDLE_TIMEOUT);
        streams.pop().map(|one| one.stream)
    }

    fn keep(&self, stream: Stream) {
        let since = self.context.clock.monotonic();
        let mut idle = lock(&self.idle);
        let streams = idle.entry(stream.peer()).or_default();
        if streams.len() < IDLE_MAX {
            streams.push(Idle { stream, since });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

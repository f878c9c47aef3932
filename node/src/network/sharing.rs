//! Chunks for other devices: who holds a session on a space takes from this device's cache what belongs to the space.

use std::time::Duration;

use cosmic_common::{id::PeerId, limit::MESSAGE_MAX_BYTES, record::Record as _};
use cosmic_custody::message::{
    bulk::BulkLength,
    object::{ObjectAnswer, ObjectRequest},
    refusal::{Refusal, RefusalCode},
};
use cosmic_net::{Error as NetError, Incoming, Stream, within};
use cosmic_runtime::{exit::sentence, shutdown::Shutdown, tasks::Group};
use rusqlite::{OptionalExtension as _, params};

use crate::node::Node;

/// Streams served at once; each has at most one chunk of 4 MiB in memory.
pub const STREAMS_MAX: usize = 8;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(30);

/// Serves chunks until the shutdown.
pub async fn serve(node: Node, mut incoming: Incoming, streams: Group, shutdown: Shutdown) {
    while let Some(Some(stream)) = shutdown.unless(incoming.next()).await {
        let (node, peer) = (node.clone(), stream.peer());
        let started = streams.spawn(move |shutdown| async move {
            if let Some(Err(error)) = shutdown.unless(requests(&node, stream)).await {
                tracing::debug!(peer = %peer.short(), %error, "a device's stream for chunks ended");
            }
        });
        if started.is_err() {
            tracing::debug!(peer = %peer.short(), "too many streams for chunks; it will ask elsewhere");
        }
    }
}

async fn requests(node: &Node, mut stream: Stream) -> Result<(), NetError> {
    let peer = stream.peer();
    while let Some(frame) = within("the next request", REST_MAX, stream.recv(MESSAGE_MAX_BYTES)).await? {
        match chunk(node, peer, &frame).await {
            Ok((length, bytes)) => {
                stream.send(&ObjectAnswer::Follows { length }.to_bytes()).await?;
                stream.send_bulk(&bytes).await?;
                node.metrics.chunks_shared.inc();
            }
            Err(refusal) => {
                let ends = refusal.code == RefusalCode::Malformed;
                stream.send(&ObjectAnswer::Refused(refusal).to_bytes()).await?;
                stream.flush().await?;
                if ends {
                    break;
                }
            }
        }
    }
    stream.close().await
}

/// What is asked for, if it is asked with a session on the space it belongs to, and if it is here.
async fn chunk(node: &Node, peer: PeerId, request: &[u8]) -> Result<(BulkLength, Vec<u8>), Refusal> {
    let request =
        ObjectRequest::from_bytes(request).map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
    let ObjectRequest::Get { session, object } = request else {
        return Err(Refusal::new(RefusalCode::NotResponsible, "a device gives chunks, and takes none"));
    };
    let Some(space) = node.sessions.space_of(peer, session) else {
        return Err(Refusal::new(RefusalCode::UnknownSession, "open the space again"));
    };
    let belongs = node.read(move |connection| {
        let mut statement =
            connection.prepare_cached("SELECT 1 FROM objects WHERE object = ?1 AND space = ?2")?;
        let found = statement.query_row(params![object.as_bytes(), space.as_bytes()], |_row| Ok(()));
        Ok(found.optional()?.is_some())
    });
    let not_here = || Refusal::new(RefusalCode::NotHere, "the chunk is not on this device");
    match belongs.await {
        Ok(true) => {}
        Ok(false) => return Err(not_here()),
        Err(error) => return Err(Refusal::new(RefusalCode::Storage, sentence(&error))),
    }
    let cache = node.cache.clone();
    let read = tokio::task::spawn_blocking(move || cache.get(&object)).await;
    match read {
        Ok(Ok(Some(bytes))) => match BulkLength::new(bytes.len()) {
            Ok(length) => Ok((length, bytes)),
            Err(error) => Err(Refusal::new(RefusalCode::TooLarge, error)),
        },
        Ok(Ok(None)) => Err(not_here()),
        Ok(Err(error)) => Err(Refusal::new(RefusalCode::Storage, sentence(&error))),
        Err(_stopping) => Err(Refusal::new(RefusalCode::Stopping, "this device is stopping")),
    }
}

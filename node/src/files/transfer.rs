//! Files in and out: cut, sealed and cached as they arrive; fetched, opened and checked as they are read.

use std::{io, ops::Range, time::Duration};

use bytes::Bytes;
use cosmic_common::id::SpaceId;
use cosmic_seal::chunk::{CHUNK_PLAIN_MAX_BYTES, ChunkReference, ChunkSecret, Padding, sealed_length};
use futures::{Stream, StreamExt as _, pin_mut, stream};

use super::{cache::Cache, rows::NewChunk};
use crate::{
    content::{CHUNKS_MAX, FileBody},
    documents::store::check_name,
    error::Error,
    network::objects,
    node::Node,
};

/// Chunks fetched ahead of the reader.
const AHEAD: usize = 3;
/// How long a chunk is asked for before the reader is told that it cannot be had: a gateway that died is noticed after
/// 6 s, and the next ones tried may be dead as well.
const FETCH_PATIENCE: Duration = Duration::from_secs(45);
/// The pause before a chunk is asked for again, unless a session begins earlier.
const RETRY: Duration = Duration::from_millis(500);

/// Stores a file whose bytes come from `pieces`: durable on this device when it returns, then uploaded.
///
/// # Errors
/// [`Error`] if the stream breaks, the file is too long, or the disk refuses; nothing is stored then.
pub async fn store(
    node: &Node,
    space: SpaceId,
    (name, media_type): (String, Option<String>),
    pieces: impl Stream<Item = Result<Bytes, io::Error>>,
) -> Result<FileBody, Error> {
    check_name("a file's name", &name)?;
    let secret = chunk_secret(node, space).await?;
    let mut body = FileBody { name, bytes: 0, media_type, chunks: Vec::new(), removed: false };
    let (mut chunks, mut plain) = (Vec::new(), new_chunk());
    pin_mut!(pieces);
    while let Some(piece) = pieces.next().await {
        let mut piece = piece.map_err(Error::Upload)?;
        while !piece.is_empty() {
            let room = CHUNK_PLAIN_MAX_BYTES - plain.len();
            plain.extend_from_slice(&piece.split_to(room.min(piece.len())));
            if plain.len() == CHUNK_PLAIN_MAX_BYTES {
                let full = std::mem::replace(&mut plain, new_chunk());
                seal(node, &secret, full, Padding::Exact, (&mut body, &mut chunks)).await?;
            }
        }
    }
    if !plain.is_empty() {
        seal(node, &secret, plain, Padding::Padme, (&mut body, &mut chunks)).await?;
    }
    let stored = body.clone();
    node.write(move |core, connection| core.put_file(connection, &space, &body, &chunks)).await?;
    Ok(stored)
}

fn new_chunk() -> Vec<u8> {
    Vec::with_capacity(sealed_length(CHUNK_PLAIN_MAX_BYTES, Padding::Exact))
}

async fn seal(
    node: &Node,
    secret: &ChunkSecret,
    plain: Vec<u8>,
    padding: Padding,
    (body, chunks): (&mut FileBody, &mut Vec<NewChunk>),
) -> Result<(), Error> {
    if body.chunks.len() >= CHUNKS_MAX {
        return Err(Error::FileTooLarge { limit_bytes: (CHUNKS_MAX * CHUNK_PLAIN_MAX_BYTES) as u64 });
    }
    let (secret, cache) = (secret.clone(), node.cache.clone());
    let chunk = blocking(move || {
        let sealed = secret.seal(plain, padding)?;
        cache.put(&sealed.reference.object, &sealed.bytes)?;
        Ok(NewChunk { reference: sealed.reference, sealed_bytes: sealed.bytes.len() })
    })
    .await?;
    body.bytes += u64::from(chunk.reference.length);
    body.chunks.push(chunk.reference);
    chunks.push(chunk);
    Ok(())
}

async fn chunk_secret(node: &Node, space: SpaceId) -> Result<ChunkSecret, Error> {
    node.write(move |core, connection| {
        core.with_space(connection, &space, |_core, space| Ok(space.secrets()?.chunk_secret()))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Offline))
}

/// The bytes of `range` of a file, chunk by chunk; the first chunk is here when this returns.
///
/// # Errors
/// [`Error`] if the first chunk cannot be had.
pub async fn read(
    node: &Node,
    space: SpaceId,
    body: FileBody,
    range: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static, Error> {
    let secret = chunk_secret(node, space).await?;
    let mut parts = Vec::new();
    let mut start = 0;
    for chunk in body.chunks {
        let end = start + u64::from(chunk.length);
        if end > range.start && start < range.end {
            let from = usize::try_from(range.start.saturating_sub(start)).unwrap_or(usize::MAX);
            let to = usize::try_from(end.min(range.end) - start).unwrap_or(usize::MAX);
            parts.push((chunk, from..to));
        }
        start = end;
    }
    let node = node.clone();
    let mut pieces = Box::pin(
        stream::iter(parts)
            .map(move |(chunk, part)| fetch_part(node.clone(), space, secret.clone(), chunk, part))
            .buffered(AHEAD),
    );
    let first = pieces.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(pieces))
}

async fn fetch_part(
    node: Node,
    space: SpaceId,
    secret: ChunkSecret,
    chunk: ChunkReference,
    part: Range<usize>,
) -> Result<Bytes, Error> {
    let sealed = fetch(&node, space, &chunk).await?;
    let plain = blocking(move || Ok(secret.open(&chunk, sealed)?)).await?;
    Ok(Bytes::from(plain).slice(part))
}

/// The sealed bytes of a chunk: from the cache, another device, or the gateway, which may change meanwhile.
async fn fetch(node: &Node, space: SpaceId, chunk: &ChunkReference) -> Result<Vec<u8>, Error> {
    let object = chunk.object;
    let cache: Cache = node.cache.clone();
    if let Some(bytes) = blocking(move || cache.get(&object)).await? {
        return Ok(bytes);
    }
    let mut sessions = node.sessions.watch();
    let until = node.clock().monotonic().after(FETCH_PATIENCE);
    while *node.online.borrow() && node.clock().monotonic() < until {
        sessions.mark_unchanged();
        match objects::fetch(node, &space, object).await {
            Ok(bytes) => {
                node.metrics.chunks_fetched.inc();
                keep(node, object, bytes.clone()).await;
                return Ok(bytes);
            }
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(object = %object.short(), reason, "a chunk was not fetched yet");
                // A new session, or a moment, may help.
                if node.clock().timeout(RETRY, sessions.changed()).await.is_none() {
                    tracing::trace!(object = %object.short(), "asking again");
                }
            }
        }
    }
    Err(Error::Unreachable)
}

/// Caches what was fetched; that the disk is full is no reason not to read.
async fn keep(node: &Node, object: cosmic_common::id::ObjectId, bytes: Vec<u8>) {
    let cache = node.cache.clone();
    let kept = blocking(move || cache.put(&object, &bytes)).await;
    let noted = match kept {
        Ok(()) => {
            node.write(move |_core, connection| {
                connection.execute("UPDATE objects SET cached = 1 WHERE object = ?1", [object.as_bytes()])?;
                Ok(())
            })
            .await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::warn!(error = cosmic_runtime::exit::sentence(&error), "a fetched chunk is not cached");
    }
}

/// The bytes a `Range` header asks for (RFC 9110, one range), or nothing if it cannot be satisfied.
#[must_use]
pub fn parse_range(text: &str, length: u64) -> Option<Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.trim(), to.trim()) {
        ("", last) => length.saturating_sub(last.parse().ok()?)..length,
        (from, "") => from.parse().ok()?..length,
        (from, to) => from.parse().ok()?..to.parse::<u64>().ok()?.saturating_add(1).min(length),
    };
    (range.start < range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_follow_the_rfc() {
        assert_eq!(parse_range("bytes=0-4", 10), Some(0..5));
        assert_eq!(parse_range("bytes=5-", 10), Some(5..10));
        assert_eq!(parse_range("bytes=-3", 10), Some(7..10));
        assert_eq!(parse_range("bytes=8-100", 10), Some(8..10));
        assert_eq!(parse_range("bytes=10-", 10), None);
        assert_eq!(parse_range("bytes=5-4", 10), None);
        assert_eq!(parse_range("chunks=1-2", 10), None);
    }
}

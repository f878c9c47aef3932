//! Uploads: chunks whose shards nobody has signed for go to the gateway, several at a time, until they are durable.

use cosmic_common::{
    id::{ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_runtime::{clock::Monotonic, shutdown::Shutdown};
use futures::{StreamExt as _, stream};
use rusqlite::params;

use super::{objects, resting::Resting};
use crate::{
    error::Error,
    event::{self, Event},
    node::Node,
    safety,
};

/// Chunks under way at once: enough to keep the gateway coding while others travel; 16 MiB at most.
const IN_FLIGHT: usize = 4;
/// Chunks taken at once: what was added meanwhile and what has rested enough is looked up after as many.
const BATCH: usize = 64;

/// Uploads whatever waits, until the shutdown.
pub async fn run(node: Node, shutdown: Shutdown) {
    let mut events = node.context.events.subscribe();
    let mut sessions = node.sessions.watch();
    let mut resting = Resting::default();
    loop {
        sessions.mark_unchanged();
        match shutdown.unless(upload_all(&node, &mut resting)).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!(%error, "uploads cannot go on now"),
        }
        let next = resting.next(node.clock().monotonic());
        let goes_on = tokio::select! {
            () = shutdown.triggered() => false,
            () = rested(&node, next) => true,
            changed = sessions.changed() => {
                // Another gateway, or the same one with others behind it.
                resting.wake_all();
                changed.is_ok()
            }
            told = event::told(&mut events, |event| matches!(event, Event::Upload { .. })) => told,
        };
        if !goes_on {
            return;
        }
    }
}

/// Waits until `next`, for ever if nothing rests.
async fn rested(node: &Node, next: Option<Monotonic>) {
    match next {
        Some(next) => node.clock().sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Tries every chunk that waits and does not rest, once.
async fn upload_all(node: &Node, resting: &mut Resting) -> Result<(), Error> {
    loop {
        let (all, now) = (node.read(waiting).await?, node.clock().monotonic());
        let ready: Vec<(SpaceId, ObjectId)> = all
            .into_iter()
            .filter(|(space, object)| node.sessions.get(space).is_some() && !resting.is_resting(object, now))
            .take(BATCH)
            .collect();
        if ready.is_empty() {
            return Ok(());
        }
        let mut uploads = stream::iter(ready)
            .map(|(space, object)| async move { (object, upload(node, space, object).await) })
            .buffer_unordered(IN_FLIGHT);
        while let Some((object, result)) = uploads.next().await {
            if matches!(result, Ok(true)) {
                resting.done(&object);
            } else {
                resting.failed(object, node.clock().monotonic());
            }
            if let Err(error) = result {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::info!(object = %object.short(), reason, "a chunk was not uploaded yet");
            }
        }
    }
}

fn waiting(connection: &rusqlite::Connection) -> Result<Vec<(SpaceId, ObjectId)>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT space, object FROM objects WHERE mine = 1 AND durable = 0 AND cached = 1")?;
    let mut rows = statement.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push((
            SpaceId::try_from(row.get_ref(0)?.as_blob()?)?,
            ObjectId::try_from(row.get_ref(1)?.as_blob()?)?,
        ));
    }
    Ok(waiting)
}

/// Uploads one chunk; whether it is as safe as the network can make it.
async fn upload(node: &Node, space: SpaceId, object: ObjectId) -> Result<bool, objects::Error> {
    let session = objects::gateway(node, &space)?;
    let cache = node.cache.clone();
    let bytes = tokio::task::spawn_blocking(move || cache.get(&object)).await;
    let bytes = match bytes {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Ok(None)) => {
            tracing::error!(object = %object.short(), "a chunk that was not uploaded is gone from the cache; store the file again");
            note_lost(node, object).await;
            return Ok(true);
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a chunk cannot be read");
            return Ok(false);
        }
        Err(_joined) => return Ok(false),
    };
    let put = objects::put(node, (space, session), object, bytes).await?;
    let complete = put.verdict.shards.len() >= put.verdict.wanted;
    let kept = node
        .write(move |core, connection| {
            let before = safety::manifest(connection, &object)?;
            connection
                .prepare_cached("UPDATE objects SET manifest = ?2, durable = ?3 WHERE object = ?1")?
                .execute(params![object.as_bytes(), put.manifest.to_bytes(), complete])?;
            safety::keep_put(connection, before.as_ref(), &put.manifest, &put.receipts)?;
            core.tell(Event::Safer { space });
            Ok(())
        })
        .await;
    if let Err(error) = kept {
        tracing::error!(%error, "receipts cannot be kept");
        return Ok(false);
    }
    if complete {
        node.metrics.chunks_uploaded.inc();
    }
    Ok(complete)
}

async fn note_lost(node: &Node, object: ObjectId) {
    let noted = node
        .write(move |_core, connection| {
            connection.execute("UPDATE objects SET cached = 0 WHERE object = ?1", [object.as_bytes()])?;
            Ok(())
        })
        .await;
    if let Err(error) = noted {
        tracing::error!(%error, "a lost chunk cannot be noted");
    }
}

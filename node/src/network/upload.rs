//! Uploads: chunks whose shards nobody has signed for go to the gateway, several at a time, until they are durable.

use std::time::Duration;

use cosmic_common::{
    id::{ObjectId, SpaceId},
    record::Record as _,
};
use cosmic_runtime::shutdown::Shutdown;
use futures::{StreamExt as _, stream};
use rusqlite::params;
use tokio::sync::broadcast::error::RecvError;

use super::objects;
use crate::{error::Error, event::Event, node::Node, safety};

/// Chunks under way at once: enough to keep the gateway coding while others travel; 16 MiB at most.
const IN_FLIGHT: usize = 4;
/// Chunks looked up at once.
const BATCH: usize = 64;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Uploads whatever waits, until the shutdown.
pub async fn run(node: Node, shutdown: Shutdown) {
    let mut events = node.context.events.subscribe();
    let mut sessions = node.sessions.watch();
    loop {
        sessions.mark_unchanged();
        match shutdown.unless(upload_all(&node)).await {
            None => return,
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                if shutdown.unless(node.clock().sleep(PAUSE)).await.is_none() {
                    return;
                }
                continue;
            }
            Some(Err(error)) => tracing::error!(%error, "uploads cannot go on now"),
        }
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                changed = sessions.changed() => if changed.is_ok() { break } else { return },
                event = events.recv() => match event {
                    Ok(Event::Upload { .. }) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

/// Uploads what can be uploaded now; whether nothing failed that should be tried again soon.
async fn upload_all(node: &Node) -> Result<bool, Error> {
    let mut clean = true;
    loop {
        let waiting = node.read(waiting).await?;
        let reachable: Vec<(SpaceId, ObjectId)> =
            waiting.into_iter().filter(|(space, _)| node.sessions.get(space).is_some()).collect();
        if reachable.is_empty() {
            return Ok(clean);
        }
        let mut done = 0;
        let mut uploads = stream::iter(reachable)
            .map(|(space, object)| async move { (object, upload(node, space, object).await) })
            .buffer_unordered(IN_FLIGHT);
        while let Some((object, result)) = uploads.next().await {
            match result {
                Ok(true) => done += 1,
                Ok(false) => clean = false,
                Err(error) => {
                    clean = false;
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::info!(object = %object.short(), reason, "a chunk was not uploaded yet");
                }
            }
        }
        if done == 0 {
            return Ok(clean);
        }
    }
}

fn waiting(connection: &rusqlite::Connection) -> Result<Vec<(SpaceId, ObjectId)>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT space, object FROM objects WHERE mine = 1 AND durable = 0 AND cached = 1 LIMIT {BATCH}"
    ))?;
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
    let put = objects::put(node, session, object, bytes).await?;
    let complete = put.verdict.shards.len() >= put.verdict.wanted;
    let kept = node
        .write(move |core, connection| {
            connection
                .prepare_cached("UPDATE objects SET manifest = ?2, durable = ?3 WHERE object = ?1")?
                .execute(params![object.as_bytes(), put.manifest.to_bytes(), complete])?;
            for signed in &put.receipts {
                safety::keep(connection, signed)?;
            }
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

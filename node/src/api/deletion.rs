//! What became of a removed file, over HTTP: which supernodes have signed that they deleted their parts of it.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, State},
};
use cosmic_common::id::{ObjectId, PeerId};
use cosmic_custody::{Deletion, message::care::RemovalProgress};
use serde_json::{Value, json};

use crate::{error::Error, files::rows, network::objects, node::Node};

/// What all chunks come to.
#[derive(Debug, Default)]
struct Sum {
    deleted: usize,
    under_way: usize,
    holders: BTreeSet<PeerId>,
    pending: u32,
    silent: u32,
}

impl Sum {
    /// Counts one chunk; a deletion counts if its holder signed it, for this chunk.
    fn count(&mut self, object: &ObjectId, progress: &RemovalProgress) {
        let deletions = progress.deletions.iter().filter_map(|bytes| Deletion::open(bytes).ok());
        let mut signed = 0;
        for deletion in deletions.filter(|deletion| deletion.object == *object && !deletion.shards.is_empty())
        {
            self.holders.insert(deletion.holder);
            signed += 1;
        }
        self.under_way += usize::from(progress.under_way);
        self.deleted += usize::from(!progress.under_way && signed > 0);
        self.pending = self.pending.max(progress.keeping);
        self.silent = self.silent.max(progress.silent);
    }

    /// `deleted` by everybody; `deleting`; `waiting` until the replicas of the space have seen the removal.
    const fn state(&self, objects: usize) -> &'static str {
        if self.deleted == objects {
            "deleted"
        } else if self.under_way + self.deleted > 0 {
            "deleting"
        } else {
            "waiting"
        }
    }
}

pub(super) async fn of_file(
    State(node): State<Node>,
    Path((space, name)): Path<(String, String)>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&space).await?;
    let chunks = node.read(move |connection| rows::removed_chunks(connection, &space, &name)).await?;
    let mut sum = Sum::default();
    let state = match objects::removals(&node, &space, &chunks).await {
        Ok(progress) => {
            chunks.iter().zip(&progress).for_each(|(object, progress)| sum.count(object, progress));
            sum.state(chunks.len())
        }
        Err(_nobody) if chunks.is_empty() => "deleted",
        Err(error) => {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::debug!(space = %space.short(), reason, "nobody says what became of a removed file");
            "unknown"
        }
    };
    Ok(Json(json!({
        "state": state, "chunks": chunks.len(), "chunks_deleted": sum.deleted, "holders_deleted": sum.holders,
        "holders_pending": sum.pending, "holders_silent": sum.silent, "objects": chunks,
    })))
}

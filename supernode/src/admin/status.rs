//! `/status`: what this supernode is and keeps, as one JSON object.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Door;
use crate::{quota::Totals, retire, turn::Turn};

/// The status of the supernode behind `door`.
pub(super) async fn status(door: &Door) -> Value {
    let context = &door.context;
    let ring = context.ring_view();
    let quotas = door.quotas.clone();
    let totals = match tokio::task::spawn_blocking(move || quotas.totals()).await {
        Ok(Ok(totals)) => totals,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the counters of used space cannot be read");
            Totals::default()
        }
        Err(_stopping) => Totals::default(),
    };
    let everybody = ring.atlas.everybody();
    let zones: BTreeSet<&str> = everybody.sites().iter().map(|site| site.zone.as_str()).collect();
    let own = ring.members.get(&context.peer);
    let here = ring.atlas.ring_of(&context.peer);
    let class = here.class();
    json!({
        "peer": context.peer,
        "version": crate::VERSION,
        "ready": context.health.is_ready(),
        "troubles": context.health.troubles(),
        "incarnation": context.incarnation,
        "network": ring.network(),
        "member": ring.members.is_active(&context.peer),
        "stage": retire::name(&door.leaving.stage()),
        "zone": own.map(|member| member.zone.as_str()),
        "region": own.map(|member| member.region.as_str()),
        "addresses": context.net.listening(),
        "bulk": context.net.bulk_address(),
        "turn": door.turn.as_ref().map(Turn::status),
        "ring": {
            "members": everybody.len(),
            "members_of_region": here.len(),
            "regions": ring.atlas.regions().count(),
            "zones": zones.len(),
            "digest": ring.atlas.digest(),
            "class": format!("{} of {}", class.k, class.n),
        },
        "recoding": door.care.classes(),
        "connections": context.net.connected().await.map(|peers| peers.len()).unwrap_or_default(),
        "pressure": context.net.watch().pressure,
        "sessions": context.sessions.len(),
        "spaces": totals.spaces,
        "entries": totals.entries,
        "entry_bytes": totals.entry_bytes,
        "dropped_bodies": totals.dropped_bodies,
        "dropped_bytes": totals.dropped_bytes,
        "objects": totals.objects,
        "shards": totals.shards,
        "shard_bytes": totals.shard_bytes,
        "bytes_used": totals.entry_bytes + totals.shard_bytes,
        "cold": {
            "state": door.cold.state().name(),
            "shards": totals.cold_shards,
            "shard_bytes": totals.cold_shard_bytes,
            "hot_bytes": totals.hot_bytes(),
        },
    })
}

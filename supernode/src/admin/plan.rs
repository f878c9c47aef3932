//! What a change of this supernode's own record would move, before its operator signs it.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use cosmic_common::id::PeerId;
use cosmic_custody::moves::{Movement, PartitionLoad};
use cosmic_ring::{Atlas, Class, RegionShape, Site, Table};
use cosmic_runtime::http::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Door, Refused};
use crate::quota::{Totals, totals};

/// What the record would say; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// How much it takes, against others.
    pub weight: Option<u16>,
    /// What may fail with it.
    pub zone: Option<String>,
    /// Whether it leaves.
    #[serde(default)]
    pub leave: bool,
    /// Bytes each member may give and take in a second.
    pub bytes_per_second: u64,
}

/// Plans on a thread where building tables hinders nobody.
pub(super) async fn plan(
    State(door): State<Door>,
    Query(request): Query<PlanRequest>,
) -> Result<Json<Value>, Refused> {
    let planned = tokio::task::spawn_blocking(move || planned(&door, &request)).await;
    planned.map_err(Refused::failed)?.map(Json)
}

fn planned(door: &Door, request: &PlanRequest) -> Result<Value, Refused> {
    let (ring, me) = (door.context.ring_view(), door.context.peer);
    let before = &ring.atlas.ring_of(&me);
    let after = changed(before, me, request, &ring.members.config().classes).map_err(|detail| {
        Refused(
            Problem::new(StatusCode::BAD_REQUEST, "ring-plan", "this change cannot be planned")
                .detail(detail),
        )
    })?;
    let used = totals(&door.context.store).map_err(Refused::failed)?;
    let load = load(before, me, &used);
    let movement = Movement::between(before, &after, |_partition| load);
    let members: BTreeMap<String, Value> = movement
        .members
        .iter()
        .map(|(peer, member)| {
            let line = json!({
                "bytes_before": member.before, "bytes_after": member.after,
                "incoming": member.incoming, "outgoing": member.outgoing,
            });
            (peer.to_string(), line)
        })
        .collect();
    let class = |class: Class| format!("{} of {}", class.k, class.n);
    Ok(json!({
        "bytes": movement.bytes,
        "bytes_least": movement.optimum,
        "partitions": movement.partitions,
        "partitions_all": before.partitions().count(),
        "seconds": movement.duration(request.bytes_per_second).as_secs(),
        "class_before": class(before.class()),
        "class_after": class(after.class()),
        "estimated_from": "what this supernode keeps, moving within the ring of its region",
        "region": ring.atlas.region_of(&me).map(cosmic_ring::Label::as_str),
        "region_is_home_after": is_home_after(&ring.atlas, me, request.leave),
        "members": members,
    }))
}

/// The table if the record of `me` said what is asked for.
fn changed(
    before: &Table,
    me: PeerId,
    request: &PlanRequest,
    classes: &[cosmic_ring::ClassStep],
) -> Result<Table, String> {
    let mut sites: Vec<Site> = before.sites().to_vec();
    let Some(own) = sites.iter_mut().find(|site| site.peer == me) else {
        return Err("this supernode is no active member of the ring".to_owned());
    };
    own.weight = request.weight.unwrap_or(own.weight);
    if own.weight == 0 {
        return Err("a weight is at least 1; to leave, say so".to_owned());
    }
    if let Some(zone) = &request.zone {
        own.zone = zone.parse().map_err(|error| format!("{error}"))?;
    }
    if request.leave {
        sites.retain(|site| site.peer != me);
    }
    let class = if request.leave { Class::for_members(sites.len(), classes) } else { before.class() };
    let bits = before.partitions().count().trailing_zeros();
    Ok(Table::of(sites, u8::try_from(bits).unwrap_or(u8::MAX), class))
}

/// Whether spaces that name no region have their home in the region of `me` after the change; if no longer, all of them move
/// to other regions.
fn is_home_after(atlas: &Atlas, me: PeerId, leave: bool) -> bool {
    let regions: Vec<RegionShape> = atlas.regions().collect();
    let own = regions.iter().find(|region| atlas.region_of(&me) == Some(&region.name));
    own.is_some_and(|own| own.is_wide && (regions.len() == 1 || !leave || own.stays_wide))
}

/// What lies in a partition on average, as far as this supernode can tell from what it keeps itself.
fn load(table: &Table, me: PeerId, used: &Totals) -> PartitionLoad {
    let n = usize::from(table.class().n);
    let holds = |count: usize| {
        let held = |partition| table.walk(partition).take(count).any(|site| site.peer == me);
        u64::try_from(table.partitions().filter(|partition| held(*partition)).count())
            .unwrap_or(u64::MAX)
            .max(1)
    };
    let (shards_in, entries_in) = (holds(n), holds(cosmic_ring::table::REPLICAS));
    PartitionLoad {
        objects: used.objects / shards_in,
        shard_bytes: used.shard_bytes / shards_in,
        shards: 0,
        entry_bytes: used.entry_bytes / entries_in,
    }
}

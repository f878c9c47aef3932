//! Accounts: what spaces and the operators that sponsor them keep here, and may keep.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use cosmic_common::id::OperatorId;
use cosmic_custody::{Quota, Usage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Door, Refused, operator_id, space_id};
use crate::{accounts::Accounts, quota};

/// What to change about a quota; what is absent stays.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaChange {
    /// Bytes of entries that may be kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_bytes_max: Option<u64>,
    /// Bytes of shards that may be kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_bytes_max: Option<u64>,
}

impl QuotaChange {
    fn applied(self, before: Quota) -> Quota {
        Quota {
            entry_bytes: self.entry_bytes_max.unwrap_or(before.entry_bytes),
            shard_bytes: self.shard_bytes_max.unwrap_or(before.shard_bytes),
        }
    }
}

/// What is used of what may be, and whose it is; no limit that was not set.
fn line(usage: &Usage, quota: Option<Quota>, whose: (&str, Option<OperatorId>)) -> Value {
    let limit = |of: fn(Quota) -> u64| quota.map(of).filter(|bytes| *bytes != u64::MAX);
    json!({
        whose.0: whose.1,
        "bytes": usage.entry_bytes + usage.shard_bytes,
        "entry_bytes_max": limit(|quota| quota.entry_bytes),
        "shard_bytes_max": limit(|quota| quota.shard_bytes),
        "entries": usage.entries,
        "entry_bytes": usage.entry_bytes,
        "shards": usage.shards,
        "shard_bytes": usage.shard_bytes,
    })
}

/// A space's quota, what it uses, and who sponsors it.
pub(super) async fn show(
    State(door): State<Door>,
    Path(space): Path<String>,
) -> Result<Json<Value>, Refused> {
    let space = space_id(&space)?;
    let quota = door.quotas.quota(&space).map_err(Refused::failed)?;
    let usage = door.quotas.usage(&space).map_err(Refused::failed)?;
    Ok(Json(line(&usage, Some(quota), ("sponsor", door.context.accounts.sponsor(&space)))))
}

pub(super) async fn set(
    door: State<Door>,
    Path(space): Path<String>,
    Json(change): Json<QuotaChange>,
) -> Result<Json<Value>, Refused> {
    let id = space_id(&space)?;
    let before = door.quotas.quota(&id).map_err(Refused::failed)?;
    door.quotas.set(id, change.applied(before)).await.map_err(Refused::failed)?;
    show(door, Path(space)).await
}

/// The quota of all spaces that an operator sponsors, and what they use together.
pub(super) async fn show_operator(
    State(door): State<Door>,
    Path(operator): Path<String>,
) -> Result<Json<Value>, Refused> {
    Ok(Json(told(&door.context.accounts, operator_id(&operator)?)?))
}

fn told(accounts: &Accounts, operator: OperatorId) -> Result<Value, Refused> {
    let usage = accounts.usage(&operator).map_err(Refused::failed)?;
    Ok(line(&usage, accounts.quota(&operator).map_err(Refused::failed)?, ("operator", Some(operator))))
}

pub(super) async fn set_operator(
    State(door): State<Door>,
    Path(operator): Path<String>,
    Json(change): Json<QuotaChange>,
) -> Result<Json<Value>, Refused> {
    let (accounts, operator) = (&door.context.accounts, operator_id(&operator)?);
    let before = accounts.quota(&operator).map_err(Refused::failed)?;
    let before = before.unwrap_or(Quota { entry_bytes: u64::MAX, shard_bytes: u64::MAX });
    accounts.set_quota(operator, Some(change.applied(before))).await.map_err(Refused::failed)?;
    Ok(Json(told(accounts, operator)?))
}

/// From now on it may keep whatever there is room for.
pub(super) async fn lift_operator(
    State(door): State<Door>,
    Path(operator): Path<String>,
) -> Result<Json<Value>, Refused> {
    let (accounts, operator) = (&door.context.accounts, operator_id(&operator)?);
    accounts.set_quota(operator, None).await.map_err(Refused::failed)?;
    Ok(Json(told(accounts, operator)?))
}

/// What is used, by space, by sponsor and in all, from the counters: nothing is walked but them.
pub(super) async fn usage(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    let context = Arc::clone(&door.context);
    let counting = move || Ok((quota::by_space(&context.store)?, context.accounts.operators()?));
    let counted = tokio::task::spawn_blocking(counting).await.map_err(Refused::failed)?;
    let (spaces, operators) = counted.map_err(|error: cosmic_store::Error| Refused::failed(error))?;
    let total = quota::sum_of(spaces.values());
    let accounts = &door.context.accounts;
    let space = |(space, used): (_, &quota::Totals)| {
        json!({
            "space": space, "sponsor": accounts.sponsor(space),
            "entries": used.entries, "entry_bytes": used.entry_bytes,
            "objects": used.objects, "shards": used.shards, "shard_bytes": used.shard_bytes,
            "cold_shards": used.cold_shards, "cold_shard_bytes": used.cold_shard_bytes,
            "dropped_bodies": used.dropped_bodies, "dropped_bytes": used.dropped_bytes,
            "bytes": used.entry_bytes + used.shard_bytes,
        })
    };
    let own = door.context.ring_view().members.get(&door.context.peer).map(|member| member.operator);
    Ok(Json(json!({
        "operator": own,
        "bytes": total.entry_bytes + total.shard_bytes,
        "hot_bytes": total.hot_bytes(),
        "total": total,
        "spaces": spaces.iter().map(space).collect::<Vec<_>>(),
        "operators": operators.into_iter().map(|operator| told(accounts, operator)).collect::<Result<Vec<_>, _>>()?,
    })))
}

//! Operators: who counts in this network and by whom, and what they sign about each other, which is passed on.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use cosmic_common::{id::OperatorId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Admission, Members, Vouches};
use cosmic_runtime::http::Problem;
use serde_json::{Value, json};

use super::{Door, Refused, operator_id};

/// Everybody who counts by the configuration or by vouches, and everybody who has a supernode in the ring.
pub(super) async fn show(State(door): State<Door>) -> Json<Value> {
    let ring = door.context.ring_view();
    let (members, config) = (&ring.members, ring.members.config());
    let running = members.active().map(|member| member.operator);
    let named = config.operators.iter().chain(members.trusted().places.keys()).copied();
    let operators: std::collections::BTreeSet<OperatorId> = named.chain(running).collect();
    let admission = match config.admission {
        Admission::Open => "open",
        Admission::AllowList => "allow-list",
        Admission::Vouched => "vouched",
    };
    Json(json!({
        "admission": admission,
        "operators": operators.iter().map(|operator| describe(members, operator)).collect::<Vec<_>>(),
        "banned": config.banned,
    }))
}

fn describe(members: &Members, operator: &OperatorId) -> Value {
    let place = members.trusted().places.get(operator);
    let list = members.vouches_of(operator).map(|list| &list.unverified().operators);
    json!({
        "operator": operator,
        "rank": place.map(|place| place.rank),
        "flow": place.map(|place| place.flow),
        "supernodes": members.active().filter(|member| member.operator == *operator).count(),
        "vouched_for_by": members.vouchers_of(operator),
        "vouches_for": list,
    })
}

/// The exact bytes of whom `operator` vouches for, for it to sign anew; empty if no vouches of it count.
pub(super) async fn record(
    State(door): State<Door>,
    Path(operator): Path<String>,
) -> Result<Vec<u8>, Refused> {
    let operator = operator_id(&operator)?;
    Ok(door.context.ring_view().members.vouches_of(&operator).map(Signed::to_bytes).unwrap_or_default())
}

/// Takes encoded signed vouches of any operator and passes them on.
pub(super) async fn set(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Refused> {
    let refused = |detail: String| {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "vouches", "these vouches are not accepted");
        Refused(problem.detail(detail))
    };
    let list = Signed::<Vouches>::from_bytes(&body).map_err(|error| refused(error.to_string()))?;
    let operator = list.unverified().operator;
    let news =
        door.membership.vouch(list).map_err(|error| refused(cosmic_runtime::exit::sentence(&error)))?;
    if !news {
        return Err(refused(format!("newer vouches of {} are known", operator.short())));
    }
    let ring = door.membership.ring();
    Ok(Json(ring.map_or(Value::Null, |ring| describe(&ring.members, &operator))))
}

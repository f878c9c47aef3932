//! Member records: that of this supernode shown, and replaced by one its operator signed anew; those of others passed on.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
};
use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Member, State as MemberState};
use cosmic_runtime::http::Problem;
use serde_json::{Value, json};

use super::{Door, Refused};

/// The word for a state.
pub(super) const fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Active => "active",
        MemberState::Retired => "retired",
        MemberState::Lost => "lost",
    }
}

pub(super) async fn show(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    let record = door.home.member().map_err(Refused::failed)?;
    Ok(Json(record.as_ref().map_or(Value::Null, |record| {
        let member = record.unverified();
        json!({
            "peer": member.peer,
            "operator": member.operator,
            "sequence": member.sequence,
            "state": state_name(member.state),
            "zone": member.zone.as_str(),
            "region": member.region.as_str(),
            "weight": member.weight,
        })
    })))
}

/// The exact bytes of what the ring knows of `peer`, for its operator to sign anew.
pub(super) async fn record(State(door): State<Door>, Path(peer): Path<String>) -> Result<Vec<u8>, Refused> {
    let unknown = || {
        Refused(Problem::new(StatusCode::NOT_FOUND, "no-member", "no such supernode is a member of the ring"))
    };
    let peer: PeerId = peer.parse().map_err(|_error| unknown())?;
    door.context.ring_view().members.record(&peer).map(Signed::to_bytes).ok_or_else(unknown)
}

/// Takes the encoded signed record and announces it; its own is kept for the next start. One about another supernode may
/// come to any: who is gone for good cannot say so itself.
pub(super) async fn set(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Refused> {
    let refused = |detail: String| {
        let problem =
            Problem::new(StatusCode::BAD_REQUEST, "member-record", "this member record is not accepted");
        Refused(problem.detail(detail))
    };
    let record = Signed::<Member>::from_bytes(&body).map_err(|error| refused(error.to_string()))?;
    let unsuited = |error: cosmic_membership::Error| refused(cosmic_runtime::exit::sentence(&error));
    if record.unverified().peer == door.context.peer {
        door.membership.announce(record.clone()).map_err(unsuited)?;
        door.home.set_member(&record).map_err(Refused::failed)?;
    } else {
        let peer = record.unverified().peer;
        if !door.membership.pass_on(record).map_err(unsuited)? {
            return Err(refused(format!("a newer record about {} is known", peer.short())));
        }
    }
    show(State(door)).await
}

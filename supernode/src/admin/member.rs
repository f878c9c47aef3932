//! The member record of this supernode: shown, and replaced by one its operator signed anew.

use axum::{Json, body::Bytes, extract::State, http::StatusCode};
use cosmic_common::record::Record as _;
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

/// Takes the encoded signed record, announces it and keeps it for the next start.
pub(super) async fn set(State(door): State<Door>, body: Bytes) -> Result<Json<Value>, Refused> {
    let refused = |detail: String| {
        let problem =
            Problem::new(StatusCode::BAD_REQUEST, "member-record", "this member record is not accepted");
        Refused(problem.detail(detail))
    };
    let record = Signed::<Member>::from_bytes(&body).map_err(|error| refused(error.to_string()))?;
    door.membership
        .announce(record.clone())
        .map_err(|error| refused(cosmic_runtime::exit::sentence(&error)))?;
    door.home.set_member(&record).map_err(Refused::failed)?;
    show(State(door)).await
}

//! The admin door: what this supernode is, does and keeps, for programs and for people.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::{get, post, put},
};
use cosmic_common::id::{OperatorId, PeerId, SpaceId};
use cosmic_runtime::{
    admin::Admin,
    http::{Problem, Token, guard_hosts},
};
use serde_json::{Value, json};

use crate::{
    care::Care, cold::Cold, context::Context, home::Home, packs::Packs, quota::Quotas, retire::Leaving,
    scrub::Scrub, summary::Summaries, turn::Turn,
};

mod accounts;
mod backup;
mod bans;
mod care;
mod cooling;
mod deletions;
mod dump;
mod leaving;
mod member;
mod network;
mod operators;
mod page;
mod plan;
mod scrubbing;
mod status;

pub use accounts::QuotaChange;
pub use backup::BackupRequest;
pub use bans::LiftRequest;
pub use plan::PlanRequest;

/// What the routes need.
#[derive(Clone)]
pub struct Door {
    /// The supernode.
    pub context: Arc<Context>,
    /// What spaces use.
    pub quotas: Quotas,
    /// Who looks after what is kept.
    pub care: Care,
    /// The way out of the ring.
    pub leaving: Leaving,
    /// Who passes a new member record on.
    pub membership: cosmic_membership::Handle,
    /// Where a new member record is kept.
    pub home: Arc<Home>,
    /// Who packs entries.
    pub packs: Packs,
    /// Who reads everything again.
    pub scrub: Scrub,
    /// Where the bytes of old shards lie.
    pub cold: Cold,
    /// What the network says of itself.
    pub summaries: Summaries,
    /// The relay for browsers, if there is one.
    pub turn: Option<Turn>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("peer", &self.context.peer).finish_non_exhaustive()
    }
}

/// All routes: `/health`, `/ready`, `/metrics`, `/status` and `/` for everyone who reaches the door, `/api/v1/…` for
/// who brings `token`.
pub fn router(door: Door, admin: Admin, token: &Token, host_names: Vec<String>) -> Router {
    let of_status = door.clone();
    let admin = admin.status(move || {
        let door = of_status.clone();
        async move { status::status(&door).await }
    });
    let api = Router::new()
        .route("/api/v1/dump/records", get(dump::records))
        .route("/api/v1/dump/raw", get(dump::raw))
        .route("/api/v1/quota/{space}", get(accounts::show).put(accounts::set))
        .route("/api/v1/peers", get(peers))
        .route("/api/v1/bans", get(bans::show))
        .route("/api/v1/bans/lift", post(bans::lift))
        .route("/api/v1/ring", get(ring))
        .route("/api/v1/network", get(network::show))
        .route("/api/v1/care/audit", get(care::audits))
        .route("/api/v1/packs", get(packs))
        .route("/api/v1/care/deletion", get(deletions::show))
        .route("/api/v1/care/deletion/{object}", get(deletions::receipts))
        .route("/api/v1/care/repair", get(care::show))
        .route("/api/v1/care/repair/pause", post(care::pause))
        .route("/api/v1/care/repair/resume", post(care::resume))
        .route("/api/v1/care/repair/throttle", put(care::throttle))
        .route("/api/v1/ring/plan", get(plan::plan))
        .route("/api/v1/backup", post(backup::make))
        .route("/api/v1/retire", get(leaving::show))
        .route("/api/v1/drain", post(leaving::drain).delete(leaving::resume))
        .route("/api/v1/usage", get(accounts::usage))
        .route("/api/v1/scrub", get(scrubbing::show))
        .route("/api/v1/scrub/{act}", post(scrubbing::act))
        .route("/api/v1/cold", get(cooling::show))
        .route("/api/v1/cold/{act}", post(cooling::act))
        .route("/api/v1/member", get(member::show).put(member::set))
        .route("/api/v1/member/{peer}", get(member::record))
        .route("/api/v1/operators", get(operators::show))
        .route(
            "/api/v1/operators/{operator}/quota",
            get(accounts::show_operator).put(accounts::set_operator).delete(accounts::lift_operator),
        )
        .route("/api/v1/vouches", put(operators::set))
        .route("/api/v1/vouches/{operator}", get(operators::record))
        .with_state(door.clone());
    let page = Router::new().route("/", get(show_page)).with_state(door);
    guard_hosts(admin.router().merge(page).merge(token.guard(api)), host_names)
}

async fn show_page(State(door): State<Door>) -> Html<String> {
    Html(page::page(&status::status(&door).await))
}

async fn packs(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    Ok(Json(door.packs.status().await.map_err(Refused::failed)?))
}

fn space_id(text: &str) -> Result<SpaceId, Refused> {
    text.parse().map_err(|error| {
        Refused(
            Problem::new(StatusCode::BAD_REQUEST, "space-id", "this is no space id")
                .detail(format!("{error}")),
        )
    })
}

fn operator_id(text: &str) -> Result<OperatorId, Refused> {
    text.parse().map_err(|error| {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "operator-id", "this is no operator id");
        Refused(problem.detail(format!("{error}")))
    })
}

async fn peers(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    let connected = door.context.net.connected().await.map_err(Refused::failed)?;
    let ring = Arc::clone(&door.context.ring.borrow());
    let describe = |peer: &PeerId| {
        let member = ring.members.get(peer);
        json!({
            "peer": peer,
            "role": if ring.members.is_active(peer) { "supernode" } else { "other" },
            "zone": member.map(|member| member.zone.as_str()),
            "addresses": ring.addresses_of(peer),
        })
    };
    Ok(Json(connected.iter().map(describe).collect()))
}

async fn ring(State(door): State<Door>) -> Json<Value> {
    let ring = Arc::clone(&door.context.ring.borrow());
    let members: Vec<Value> = ring
        .members
        .records()
        .map(|record| {
            let member = record.unverified();
            json!({
                "peer": member.peer,
                "operator": member.operator,
                "state": member::state_name(member.state),
                "zone": member.zone.as_str(),
                "region": member.region.as_str(),
                "weight": member.weight,
                "addresses": ring.addresses_of(&member.peer),
            })
        })
        .collect();
    let class = |class: cosmic_ring::Class| format!("{} of {}", class.k, class.n);
    let rings = ring.atlas.rings();
    let sites: Vec<Value> = rings.iter().flat_map(|ring| shares(ring)).collect();
    let regions = ring.atlas.regions().map(|region| {
        json!({
            "region": region.name.as_str(),
            "members": region.members,
            "class": class(region.class),
            "home": region.is_wide,
        })
    });
    let regions: Vec<Value> = regions.collect();
    Json(json!({
        "partitions": ring.atlas.everybody().partitions().count(),
        "shares": sites,
        "regions": regions,
        "network": ring.network(),
        "configuration": ring.members.config().version,
        "digest": ring.atlas.digest(),
        "class": class(ring.atlas.ring_of(&door.context.peer).class()),
        "members": members,
    }))
}

/// Of how many partitions each member is a replica and a holder.
fn shares(table: &cosmic_ring::Table) -> Vec<Value> {
    let mut counts: std::collections::BTreeMap<PeerId, [u64; 2]> = std::collections::BTreeMap::new();
    for partition in table.partitions() {
        let depths = [cosmic_ring::table::REPLICAS, usize::from(table.class().n)];
        for (kind, depth) in depths.into_iter().enumerate() {
            for site in table.walk(partition).take(depth) {
                if let Some(count) = counts.entry(site.peer).or_default().get_mut(kind) {
                    *count += 1;
                }
            }
        }
    }
    let line = |(peer, [replica, holder]): (PeerId, [u64; 2])| json!({ "peer": peer, "replica_of": replica, "holder_of": holder });
    counts.into_iter().map(line).collect()
}

/// A request that was not carried out.
#[derive(Debug)]
struct Refused(Problem);

impl Refused {
    fn failed(error: impl std::error::Error) -> Self {
        let sentence = cosmic_runtime::exit::sentence(&error);
        Self(
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the supernode could not do it")
                .detail(sentence),
        )
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

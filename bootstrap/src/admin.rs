//! The admin door: what this bootstrap node is and knows, and the way in for a new configuration.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_membership::{BootstrapPeer, NetworkFile};
use cosmic_net::Handle as Net;
use cosmic_ring::{Admission, NetworkConfig};
use cosmic_runtime::{
    admin::Admin,
    exit::sentence,
    health::Health,
    http::{Problem, Token, guard_hosts},
};
use serde_json::{Value, json};

use crate::home::Home;

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Door {
    /// What is known of the network.
    pub membership: cosmic_membership::Handle,
    /// Who is connected.
    pub net: Net,
    /// Whether everything is well.
    pub health: Health,
    /// Where a new configuration is kept.
    pub home: Arc<Home>,
}

/// All routes: `/health`, `/ready`, `/metrics` and `/status` for everyone who reaches the door, `/api/v1/…` for who
/// brings `token`.
pub fn router(door: Door, admin: Admin, token: &Token, host_names: Vec<String>) -> Router {
    let of_status = door.clone();
    let admin = admin.status(move || {
        let door = of_status.clone();
        async move { status(&door).await }
    });
    let api = Router::new()
        .route("/api/v1/network", get(network))
        .route("/api/v1/configuration", get(configuration).put(configure))
        .route("/api/v1/peers", get(peers))
        .layer(DefaultBodyLimit::max(Signed::<NetworkConfig>::LIMIT))
        .with_state(door);
    guard_hosts(admin.router().merge(token.guard(api)), host_names)
}

/// `/status`: what this bootstrap node is and knows, as one JSON object.
async fn status(door: &Door) -> Value {
    let ring = door.membership.ring();
    let config = ring.as_ref().map(|ring| ring.members.config());
    let described = ring.as_ref().map(|ring| {
        let everybody = ring.atlas.everybody();
        let zones: BTreeSet<&str> = everybody.sites().iter().map(|site| site.zone.as_str()).collect();
        let class = everybody.class();
        json!({
            "members": everybody.len(),
            "zones": zones.len(),
            "regions": ring.atlas.regions().count(),
            "digest": ring.atlas.digest(),
            "class": format!("{} of {}", class.k, class.n),
        })
    });
    json!({
        "peer": door.net.local_peer(),
        "version": crate::VERSION,
        "ready": door.health.is_ready(),
        "troubles": door.health.troubles(),
        "network": door.membership.network(),
        "configuration": config.map(|config| config.version),
        "admission": config.map(|config| admission_name(config.admission)),
        "operators": config.map(|config| config.operators.len()),
        "trusted_operators": ring.as_ref().map(|ring| ring.members.trusted().places.len()),
        "addresses": door.net.listening(),
        "ring": described.unwrap_or_else(|| json!({ "members": 0 })),
        "connections": door.net.connected().await.map(|peers| peers.len()).unwrap_or_default(),
    })
}

/// What somebody needs to join.
async fn network(State(door): State<Door>) -> Json<NetworkFile> {
    let (own, ring) = (door.net.local_peer(), door.membership.ring());
    let mut doors: Vec<BootstrapPeer> =
        ring.as_deref().map(|ring| doors(ring.members.config())).unwrap_or_default();
    if !doors.iter().any(|known| known.peer == own) {
        doors.insert(0, BootstrapPeer { peer: own, addresses: door.net.listening() });
    }
    Json(NetworkFile { network: door.membership.network(), bootstrap: doors })
}

/// The bootstrap nodes a configuration names.
#[must_use]
pub fn doors(config: &NetworkConfig) -> Vec<BootstrapPeer> {
    let door =
        |door: &cosmic_ring::Door| BootstrapPeer { peer: door.peer, addresses: door.addresses.clone() };
    config.doors.iter().map(door).collect()
}

async fn configuration(State(door): State<Door>) -> Result<Response, Refused> {
    let ring = door.membership.ring().ok_or_else(Refused::not_joined)?;
    let kind = (header::CONTENT_TYPE, "application/octet-stream");
    Ok(([kind], ring.members.signed_config().to_bytes()).into_response())
}

/// Takes over a configuration that the holder of the network key signed, and passes it on.
async fn configure(State(door): State<Door>, bytes: Bytes) -> Result<Json<Value>, Refused> {
    let config = Signed::from_bytes(&bytes).map_err(Refused::bad)?;
    if !door.membership.apply_config(config.clone()).map_err(Refused::bad)? {
        return Err(Refused::outdated());
    }
    door.home.set_configuration(&config).map_err(Refused::failed)?;
    Ok(Json(json!({ "version": config.unverified().version })))
}

async fn peers(State(door): State<Door>) -> Result<Json<Value>, Refused> {
    let connected = door.net.connected().await.map_err(Refused::failed)?;
    let ring = door.membership.ring();
    let describe = |peer: &PeerId| {
        let ring = ring.as_deref();
        let member = ring.and_then(|ring| ring.members.get(peer));
        let role = match ring {
            Some(ring) if ring.members.is_active(peer) => "supernode",
            Some(ring) if ring.members.config().is_door(peer) => "bootstrap",
            _ => "other",
        };
        json!({
            "peer": peer,
            "role": role,
            "zone": member.map(|member| member.zone.as_str()),
            "addresses": door.membership.addresses_of(peer),
        })
    };
    Ok(Json(connected.iter().map(describe).collect()))
}

/// An admission as people write it.
#[must_use]
pub const fn admission_name(admission: Admission) -> &'static str {
    match admission {
        Admission::Open => "open",
        Admission::AllowList => "allow-list",
        Admission::Vouched => "vouched",
    }
}

/// A request that was not carried out.
#[derive(Debug)]
struct Refused(Problem);

impl Refused {
    fn bad(error: impl std::error::Error) -> Self {
        let problem =
            Problem::new(StatusCode::BAD_REQUEST, "configuration", "the configuration is not valid");
        Self(problem.detail(sentence(&error)))
    }

    fn outdated() -> Self {
        let problem = Problem::new(StatusCode::CONFLICT, "outdated", "a newer configuration is known");
        Self(problem.detail("somebody changed it at the same time; try again"))
    }

    fn not_joined() -> Self {
        let problem =
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-joined", "no configuration is known yet");
        Self(problem.detail("another bootstrap node of this network has to be reached first"))
    }

    fn failed(error: impl std::error::Error) -> Self {
        let problem =
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the bootstrap node could not do it");
        Self(problem.detail(sentence(&error)))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

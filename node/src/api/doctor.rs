//! What works, what does not, and why: the picture a person gets who asks why a device is not reached, or reaches nobody.

use std::time::Duration;

use axum::{Json, extract};
use cosmic_net::{Compared, Direction, Nat, Path, Reachability, Router, Situation, Transport, Version};
use serde_json::{Value, json};

use crate::{
    error::Error,
    node::{Node, space_ids},
};

/// How far the clock may be from those of supernodes without anybody noticing.
const CLOCK_WELL: Duration = Duration::from_secs(10);
/// From here on what was just made is not valid yet elsewhere, or has expired.
const CLOCK_ALLOWED: Duration = Duration::from_secs(5 * 60);

/// One thing that was looked at.
struct Check {
    name: &'static str,
    state: State,
    reason: String,
}

/// How it is with that.
#[derive(Clone, Copy)]
enum State {
    Works,
    Limited,
    Broken,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Limited => "limited",
            Self::Broken => "does not work",
        }
    }
}

fn works(name: &'static str, reason: impl Into<String>) -> Check {
    Check { name, state: State::Works, reason: reason.into() }
}

fn limited(name: &'static str, reason: impl Into<String>) -> Check {
    Check { name, state: State::Limited, reason: reason.into() }
}

fn broken(name: &'static str, reason: impl Into<String>) -> Check {
    Check { name, state: State::Broken, reason: reason.into() }
}

pub(super) async fn doctor(extract::State(node): extract::State<Node>) -> Result<Json<Value>, Error> {
    let situation = situation(&node).await?;
    let mut checks = vec![online(&node), supernodes(&node), connections(&situation), spaces(&node).await?];
    checks.extend([
        reached(&situation),
        nat(&situation),
        relays(&situation),
        holes(&situation),
        router(&situation),
        neighbours(&situation),
        directory(&situation),
        clock(&situation),
        version(&node, &situation),
    ]);
    let checks: Vec<Value> = checks
        .into_iter()
        .map(|Check { name, state, reason }| json!({"check": name, "state": state.name(), "reason": reason}))
        .collect();
    Ok(Json(json!({"version": crate::VERSION, "checks": checks})))
}

async fn situation(node: &Node) -> Result<Situation, Error> {
    node.net.situation().await.map_err(|error| {
        tracing::debug!(%error, "the network is not running");
        Error::Offline
    })
}

fn online(node: &Node) -> Check {
    if *node.online.borrow() {
        works("online", "-")
    } else {
        broken("online", "switched off; run: cosmic-node network online")
    }
}

fn supernodes(node: &Node) -> Check {
    match node.gateways.list().len() {
        0 => broken(
            "supernodes",
            "none is known; start with --network FILE, and see that a bootstrap node runs",
        ),
        known => works("supernodes", format!("{known} known")),
    }
}

fn connections(situation: &Situation) -> Check {
    let (relayed, direct): (Vec<&Path>, Vec<&Path>) = situation.paths.iter().partition(|path| path.relayed);
    match (direct.len(), relayed.len()) {
        (0, 0) => broken("connections", "no peer is connected; is there a network?"),
        (direct, 0) => works("connections", format!("{direct} direct")),
        (direct, relayed) => limited(
            "connections",
            format!("{direct} direct, {relayed} through a relay, which is slower; see NAT and hole punching"),
        ),
    }
}

async fn spaces(node: &Node) -> Result<Check, Error> {
    let spaces = node.read(space_ids).await?;
    let unserved = spaces.iter().filter(|space| node.sessions.get(space).is_none()).count();
    Ok(match unserved {
        0 => works("spaces", format!("{}, each with a gateway", spaces.len())),
        some => {
            broken("spaces", format!("{some} have no gateway now; they sync as soon as a supernode answers"))
        }
    })
}

fn reached(situation: &Situation) -> Check {
    let name = "reached from outside";
    match situation.reachability {
        Reachability::Public => {
            let at: Vec<_> = situation.external.iter().map(ToString::to_string).collect();
            works(name, format!("at {}", at.join(", ")))
        }
        Reachability::Private if situation.reservations.is_empty() => broken(
            name,
            "no supernode reached this device, and no relay has a place for it; forward the port, or see relays",
        ),
        Reachability::Private => {
            limited(name, "only through relays: no supernode reached this device itself")
        }
        Reachability::Unknown if situation.relays_known == 0 => {
            limited(name, "unknown: no supernode is there to try")
        }
        Reachability::Unknown => limited(name, "unknown: too few supernodes have answered yet"),
    }
}

fn nat(situation: &Situation) -> Check {
    let name = "NAT";
    match situation.nat {
        Nat::Open => works(name, "none: others see an address of this device"),
        Nat::Independent => works(name, "endpoint-independent mapping: holes can be punched"),
        Nat::Dependent => limited(
            name,
            "endpoint-dependent (symmetric): holes are hardly ever punched; switch UPnP on in the router or forward the port",
        ),
        Nat::Unknown => limited(name, "unknown: fewer than two supernodes have told over QUIC what they see"),
    }
}

fn relays(situation: &Situation) -> Check {
    let (held, known) = (situation.reservations.len(), situation.relays_known);
    match (held, known) {
        (0, 0) => limited("relays", "no supernode is known"),
        (0, known) if situation.reachability == Reachability::Public => {
            works("relays", format!("none of {known} is needed"))
        }
        (0, known) => broken(
            "relays",
            format!(
                "none of {known} has granted a reservation; they may be full, switched off, or out of reach"
            ),
        ),
        (held, known) => works("relays", format!("reachable through {held} of {known}")),
    }
}

fn holes(situation: &Situation) -> Check {
    match (situation.punched, situation.not_punched) {
        (0, 0) => works("hole punching", "not tried yet"),
        (0, failed) => limited(
            "hole punching",
            format!("{failed} failed; what is synced with those devices goes by a relay"),
        ),
        (punched, failed) => works("hole punching", format!("{punched} punched, {failed} failed")),
    }
}

fn router(situation: &Situation) -> Check {
    let name = "UPnP";
    match situation.router {
        Router::Mapped => works(name, "the router gave a port"),
        Router::Silent => limited(name, "switched off, or the router has not answered"),
        Router::Absent => limited(name, "no router here speaks it"),
        Router::Nested => {
            limited(name, "the router itself has no public address: another one stands before it")
        }
    }
}

fn neighbours(situation: &Situation) -> Check {
    works("local network", format!("{} peers found by mDNS", situation.nearby))
}

/// The second way to the network, for when the ring is out of reach.
fn directory(situation: &Situation) -> Check {
    let (name, health) = ("directory", situation.directory);
    let searched = health.search.map_or_else(
        || "not searched yet".to_owned(),
        |search| match (search.copies, search.ago.as_secs()) {
            (0, ago) => format!("nothing found {ago} s ago"),
            (copies, ago) => format!("found {ago} s ago at {copies} servers"),
        },
    );
    match (health.servers, health.remembered) {
        (0, 0) => broken(
            name,
            "no server is known: if all supernodes moved, this device would not find them; let it reach one once",
        ),
        (0, remembered) => limited(
            name,
            format!("no server has answered yet, {remembered} are remembered from before; {searched}"),
        ),
        (servers, _) if health.search.is_some_and(|search| search.copies == 0) => limited(
            name,
            format!("{servers} servers, but {searched}; add a bootstrap node that runs to the network file"),
        ),
        (servers, _) => works(name, format!("{servers} servers; {searched}")),
    }
}

/// What expires, expires by the clock of whoever looks: invitations, delegations, the times that people are shown.
fn clock(situation: &Situation) -> Check {
    let name = "clock";
    let Some(Compared { ahead_ms, servers }) = situation.clock else {
        return limited(name, "unknown: no supernode has told its time yet");
    };
    let apart = Duration::from_millis(ahead_ms.unsigned_abs());
    if apart <= CLOCK_WELL {
        return works(name, format!("within {} s of {servers} supernodes", CLOCK_WELL.as_secs()));
    }
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let reason = format!("{} s {way} {servers} supernodes; let the system set it (NTP)", apart.as_secs());
    if apart <= CLOCK_ALLOWED { limited(name, reason) } else { broken(name, reason) }
}

/// Whether others have gone on to a newer version.
fn version(node: &Node, situation: &Situation) -> Check {
    let supernodes = node.gateways.list();
    let is_supernode = |path: &&Path| supernodes.iter().any(|supernode| supernode.peer == path.peer);
    let told: Vec<Version> =
        situation.paths.iter().filter(is_supernode).filter_map(|path| path.version).collect();
    let newest = told.iter().max();
    match (newest, crate::VERSION.parse::<Version>()) {
        (Some(newest), Ok(own)) if *newest > own => {
            let newer = told.iter().filter(|version| **version > own).count();
            limited(
                "version",
                format!(
                    "{own} here, up to {newest} at {newer} of {} supernodes: update this node",
                    told.len()
                ),
            )
        }
        (None, _) => works("version", format!("{} here; no supernode is connected", crate::VERSION)),
        (Some(_), _) => {
            works("version", format!("{} here, none newer at {} supernodes", crate::VERSION, told.len()))
        }
    }
}

pub(super) async fn peers(extract::State(node): extract::State<Node>) -> Result<Json<Value>, Error> {
    let gateways = node.gateways.list();
    let situation = situation(&node).await?;
    let peers: Vec<Value> = situation
        .paths
        .iter()
        .map(|path| {
            let supernode = gateways.iter().find(|gateway| gateway.peer == path.peer);
            json!({
                "peer": path.peer,
                "role": if supernode.is_some() { "supernode" } else { "peer" },
                "zone": supernode.map(|known| &known.zone),
                "path": if path.relayed { "relayed" } else { "direct" },
                "transport": transport(path),
                "version": path.version.map(|version| version.to_string()),
                "dialed_by": match path.direction {
                    Direction::Outbound => "us",
                    Direction::Inbound => "peer",
                },
                "address": path.address,
            })
        })
        .collect();
    Ok(Json(json!({"peers": peers})))
}

/// What carries the path; the legs of a circuit may be of either kind.
fn transport(path: &Path) -> &'static str {
    match Transport::of(&path.address) {
        Some(Transport::Quic) => "quic",
        Some(Transport::Tcp) => "tcp",
        Some(Transport::WebSocket) => "websocket",
        Some(Transport::Relay) => "circuit",
        _ => "other",
    }
}

//! Who merges the summaries of a region: the first three of its members by rendezvous hash, others each hour. Nobody is elected,
//! and nobody holds the office for long.

use cosmic_common::{
    hash,
    id::{NetworkId, PeerId},
    time::Timestamp,
};
use cosmic_ring::{Label, Members};

/// Aggregators of a region: one that lies is outvoted, one that is away is not missed.
pub const AGGREGATORS: usize = 3;
/// How long they are it, in milliseconds: as long as it takes at most until others replace three who are all away.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// The number of the hour, from 1970 on.
#[must_use]
pub const fn hour(time: Timestamp) -> u64 {
    time.unix_ms() / HOUR_MS
}

/// The aggregators of `region` in an hour, the first first; fewer if it has fewer active members.
#[must_use]
pub fn aggregators(members: &Members, region: &Label, hour: u64) -> Vec<PeerId> {
    let here = members.active().filter(|member| member.region == *region).map(|member| member.peer);
    first(members.network(), region, hour, here)
}

/// The first of `peers`, all of one region.
#[must_use]
pub fn first(
    network: NetworkId,
    region: &Label,
    hour: u64,
    peers: impl IntoIterator<Item = PeerId>,
) -> Vec<PeerId> {
    let parts = |peer: &PeerId| {
        hash::derive(
            "cosmic aggregator 1",
            &[network.as_bytes(), &hour.to_be_bytes(), peer.as_bytes(), region.as_str().as_bytes()],
        )
    };
    let mut weighed: Vec<_> = peers.into_iter().map(|peer| (parts(&peer), peer)).collect();
    weighed.sort_unstable_by(|one, other| other.cmp(one));
    weighed.truncate(AGGREGATORS);
    weighed.into_iter().map(|(_weight, peer)| peer).collect()
}

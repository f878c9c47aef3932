//! Listings: what stands in the directory under a place, and how two of them become one.
//!
//! A listing is a few signed presences. Whoever keeps one takes from what comes only what counts, so that a listing gets
//! better by passing through honest hands, and a liar can leave out but neither invent nor push out.

use std::collections::{BTreeMap, btree_map::Entry};

use cosmic_common::{
    hash,
    id::{NetworkId, OperatorId, PeerId},
    record::Record,
};
use cosmic_identity::signed::Signed;
use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::{
    label::Label,
    members::Members,
    presence::{Presence, verify_presence},
};

/// Presences of one listing: finding one that answers is enough, since the ring tells the rest.
pub const LISTED_MAX: usize = 12;
/// Presences of one operator in a listing: nobody fills one alone.
pub const LISTED_OF_ONE_OPERATOR_MAX: usize = 3;
/// Places of one listing, apart from each other in the directory: who stands close to one key stands close to no other.
pub const COPIES: u8 = 3;

/// The signed presences under one place.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listing {
    /// Encoded signed presences, those that are closest to the place first.
    #[n(1)]
    pub presences: Vec<ByteVec>,
}

impl Record for Listing {
    const NAME: &'static str = "listing";
    // 12 signed presences of at most 1,248 bytes.
    const LIMIT: usize = 15 * 1024;
}

/// Under which keys supernodes of `region` are listed; everybody who serves, where no region is named.
#[must_use]
pub fn places(network: NetworkId, region: Option<&Label>) -> Vec<[u8; 32]> {
    let region = region.map(Label::as_str).unwrap_or_default().as_bytes();
    let place = |copy: u8| hash::derive("cosmic directory place 1", &[network.as_bytes(), &[copy], region]);
    (0..COPIES).map(place).collect()
}

/// By what a listing is judged.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// The network.
    pub network: NetworkId,
    /// The time, in Unix milliseconds.
    pub now_ms: u64,
    /// Who is in the network; `None` where that is not known, or may be out of date: then every signature counts.
    pub members: Option<&'a Members>,
}

impl Judge<'_> {
    /// The listing under `place` once `value` has come to what was `known`; `None` if nothing of `value` counts.
    #[must_use]
    pub fn judge(&self, place: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        let mut counting = self.counting(place, value);
        if counting.is_empty() {
            return None;
        }
        for (peer, presence) in known.map(|known| self.counting(place, known)).unwrap_or_default() {
            keep_later(&mut counting, peer, presence);
        }
        Some(self.listing(place, counting).to_bytes())
    }

    /// The presences of a listing that count, with nobody's signature taken on trust.
    #[must_use]
    pub fn present(&self, place: &[u8], value: &[u8]) -> Vec<Presence> {
        let counting = self.counting(place, value);
        counting.into_values().map(|presence| presence.unverified().clone()).collect()
    }

    fn counting(&self, place: &[u8], value: &[u8]) -> BTreeMap<PeerId, Signed<Presence>> {
        let mut counting = BTreeMap::new();
        let Ok(listing) = Listing::from_bytes(value) else { return counting };
        for bytes in listing.presences.iter().take(LISTED_MAX) {
            let Ok(presence) = Signed::<Presence>::from_bytes(bytes) else { continue };
            let claimed = presence.unverified();
            // The cheap questions first: a signature costs a thousand times as much.
            if claimed.counts_at(self.now_ms)
                && self.belongs(place, &claimed.peer)
                && verify_presence(&presence, self.network).is_ok()
            {
                keep_later(&mut counting, claimed.peer, presence);
            }
        }
        counting
    }

    /// Whether `peer` is listed under `place`.
    fn belongs(&self, place: &[u8], peer: &PeerId) -> bool {
        let Some(members) = self.members else { return true };
        let is = |region: Option<&Label>| {
            places(self.network, region).iter().any(|named| named.as_slice() == place)
        };
        match members.get(peer).filter(|_| members.is_active(peer)) {
            Some(member) => is(None) || is(Some(&member.region)),
            None => members.config().is_door(peer) && is(None),
        }
    }

    /// The closest ones, few of each operator.
    fn listing(&self, place: &[u8], counting: BTreeMap<PeerId, Signed<Presence>>) -> Listing {
        let distance = |peer: &PeerId| hash::derive("cosmic listing distance 1", &[peer.as_bytes(), place]);
        let mut closest: Vec<_> = counting.into_iter().collect();
        closest.sort_by_cached_key(|(peer, _presence)| distance(peer));
        let mut of: BTreeMap<OperatorId, usize> = BTreeMap::new();
        let few = |(peer, _): &(PeerId, Signed<Presence>)| {
            let operator = self.members.and_then(|members| members.get(peer)).map(|member| member.operator);
            let Some(operator) = operator else { return true };
            let listed = of.entry(operator).or_default();
            *listed += 1;
            *listed <= LISTED_OF_ONE_OPERATOR_MAX
        };
        let listed = closest.into_iter().filter(few).take(LISTED_MAX);
        Listing { presences: listed.map(|(_peer, presence)| presence.to_bytes().into()).collect() }
    }
}

fn keep_later(counting: &mut BTreeMap<PeerId, Signed<Presence>>, peer: PeerId, presence: Signed<Presence>) {
    match counting.entry(peer) {
        Entry::Vacant(vacant) => drop(vacant.insert(presence)),
        Entry::Occupied(mut kept) => {
            let order = |presence: &Signed<Presence>| (presence.unverified().said_ms, presence.to_bytes());
            if order(&presence) > order(kept.get()) {
                kept.insert(presence);
            }
        }
    }
}

//! Gateways: the supernodes of the ring, how far and how loaded they were, and which of them failed lately.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_ring::{
    Candidate, Label, Regions,
    gateway::{ASKED, ASKED_UNKNOWN, Seen, draw, is_near},
};
use tokio::sync::watch;

/// How long a gateway that failed is passed over while others are there.
const SHUNNED: Duration = Duration::from_secs(15);
/// How long what a gateway said of itself is believed: the spaces of a device that starts choose by one answer.
const FRESH: Duration = Duration::from_secs(10);
/// How long a round trip is remembered: a device may be somewhere else after it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A supernode that may be a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Who.
    pub peer: PeerId,
    /// Its capacity as its operator states it.
    pub weight: u16,
    /// Its zone.
    pub zone: String,
    /// Its region.
    pub region: Label,
}

/// The supernodes that are known, what was seen of them, and which failed lately.
#[derive(Debug)]
pub struct Gateways {
    known: watch::Sender<Vec<Gateway>>,
    failed: Mutex<BTreeMap<PeerId, Timestamp>>,
    seen: Mutex<BTreeMap<PeerId, (Timestamp, Seen)>>,
}

impl Default for Gateways {
    fn default() -> Self {
        Self { known: watch::Sender::new(Vec::new()), failed: Mutex::default(), seen: Mutex::default() }
    }
}

impl Gateways {
    fn failed(&self) -> MutexGuard<'_, BTreeMap<PeerId, Timestamp>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PeerId, (Timestamp, Seen)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ring has changed.
    pub fn set(&self, gateways: Vec<Gateway>) {
        self.seen().retain(|peer, _seen| gateways.iter().any(|gateway| gateway.peer == *peer));
        self.known.send_if_modified(|known| {
            let changed = *known != gateways;
            *known = gateways;
            changed
        });
    }

    /// Told whenever the ring changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<Gateway>> {
        self.known.subscribe()
    }

    /// The known gateways.
    #[must_use]
    pub fn list(&self) -> Vec<Gateway> {
        self.known.borrow().clone()
    }

    /// Some gateways to ask, drawn by weight: of those that did not fail lately (of all if all did) the ones in `regions`, as long
    /// as one there works (one that stands elsewhere passes on what it may not keep); of these the ones named in `advised`, if
    /// any is; of these the ones that are near, or were never asked.
    #[must_use]
    pub fn draw(
        &self,
        regions: &Regions,
        advised: &[PeerId],
        now: Timestamp,
        seed: &[u8; 32],
    ) -> Vec<Candidate> {
        let known = self.known.borrow();
        let failed = self.failed();
        let shunned = |peer: &PeerId| failed.get(peer).is_some_and(|at| now.since(*at) < SHUNNED);
        let mut left: Vec<&Gateway> = known.iter().collect();
        narrow(&mut left, |gateway| !shunned(&gateway.peer));
        narrow(&mut left, |gateway| regions.permits(&gateway.region));
        narrow(&mut left, |gateway| advised.contains(&gateway.peer));
        let seen = self.seen();
        let round_trip = |gateway: &Gateway| {
            let (at, seen) = seen.get(&gateway.peer)?;
            (now.since(*at) < REMEMBERED).then_some(seen.round_trip)
        };
        let nearest = left.iter().filter_map(|gateway| round_trip(gateway).flatten()).min();
        left.retain(|gateway| round_trip(gateway).is_none_or(|round_trip| is_near(round_trip, nearest)));
        let is_unknown = left.iter().any(|gateway| round_trip(gateway).is_none());
        let candidate = |gateway: &&Gateway| Candidate { peer: gateway.peer, weight: gateway.weight };
        let candidates: Vec<Candidate> = left.iter().map(candidate).collect();
        draw(&candidates, if is_unknown { ASKED_UNKNOWN } else { ASKED }, seed)
    }

    /// What `peer` said a moment ago.
    #[must_use]
    pub fn fresh(&self, peer: &PeerId, now: Timestamp) -> Option<Seen> {
        let seen = self.seen();
        seen.get(peer).filter(|(at, _seen)| now.since(*at) < FRESH).map(|(_at, seen)| seen.clone())
    }

    /// A gateway answered.
    pub fn note(&self, seen: Seen, now: Timestamp) {
        self.seen().insert(seen.candidate.peer, (now, seen));
    }

    /// `peer` could not be reached, or broke off.
    pub fn failed_now(&self, peer: PeerId, now: Timestamp) {
        self.seen().remove(&peer);
        self.failed().insert(peer, now);
    }

    /// `peer` answers again.
    pub fn works(&self, peer: &PeerId) {
        self.failed().remove(peer);
    }
}

/// Leaves those that are `wanted`, if any is.
fn narrow(gateways: &mut Vec<&Gateway>, wanted: impl Fn(&Gateway) -> bool) {
    if gateways.iter().any(|gateway| wanted(gateway)) {
        gateways.retain(|gateway| wanted(gateway));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use cosmic_common::{id::PeerId, time::Timestamp};
    use cosmic_ring::{Candidate, Regions, gateway::Seen};

    use super::{Gateway, Gateways};

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn gateway(number: u8, weight: u16) -> Gateway {
        let region = if number < 10 { "near" } else { "far" };
        Gateway { peer: peer(number), weight, zone: String::new(), region: region.parse().unwrap() }
    }

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(1_000_000)
    }

    /// Whom 100 draws name, and which of them first.
    fn drawn(gateways: &Gateways, regions: &Regions, advised: &[PeerId]) -> (BTreeSet<PeerId>, Vec<PeerId>) {
        let draws: Vec<_> =
            (0..100).map(|draw| gateways.draw(regions, advised, now(), &[draw; 32])).collect();
        let all = draws.iter().flatten().map(|candidate| candidate.peer).collect();
        (all, draws.iter().filter_map(|drawn| drawn.first()).map(|candidate| candidate.peer).collect())
    }

    fn peers(numbers: &[u8]) -> BTreeSet<PeerId> {
        numbers.iter().map(|number| peer(*number)).collect()
    }

    #[test]
    fn draws_follow_weights_and_pass_over_the_failed() {
        let (gateways, all) = (Gateways::default(), Regions::ALL);
        assert!(gateways.draw(&all, &[], now(), &[7; 32]).is_empty());
        gateways.set(vec![gateway(1, 1), gateway(2, 9)]);
        let (_, first) = drawn(&gateways, &all, &[]);
        assert!(first.iter().filter(|first| **first == peer(2)).count() > 75, "nine times as likely");
        gateways.failed_now(peer(2), now());
        assert_eq!(drawn(&gateways, &all, &[]).0, peers(&[1]));
        gateways.failed_now(peer(1), now());
        assert_eq!(
            drawn(&gateways, &all, &[]).0,
            peers(&[1, 2]),
            "with nobody else left the failed are tried"
        );
        gateways.works(&peer(1));
        assert_eq!(drawn(&gateways, &all, &[]).0, peers(&[1]));
    }

    #[test]
    fn a_gateway_in_the_regions_of_the_space_comes_first_and_who_was_advised_among_them() {
        let (gateways, near) = (Gateways::default(), Regions::named(["near"]));
        gateways.set(vec![gateway(1, 1), gateway(2, 1), gateway(11, 50)]);
        assert_eq!(drawn(&gateways, &near, &[]).0, peers(&[1, 2]));
        assert_eq!(drawn(&gateways, &near, &[peer(2), peer(11), peer(77)]).0, peers(&[2]));
        gateways.failed_now(peer(2), now());
        assert_eq!(drawn(&gateways, &near, &[peer(2)]).0, peers(&[1]), "the advised one failed");
        gateways.failed_now(peer(1), now());
        assert_eq!(drawn(&gateways, &near, &[]).0, peers(&[11]), "one far away is better than none");
    }

    #[test]
    fn who_was_found_far_is_not_asked_again_while_others_are_near_or_unknown() {
        let (gateways, all) = (Gateways::default(), Regions::ALL);
        gateways.set((1..7).map(|number| gateway(number, 1)).collect());
        assert_eq!(gateways.draw(&all, &[], now(), &[0; 32]).len(), 4, "nothing is known yet");
        for (number, ms) in [(1, 8), (2, 30), (3, 200), (4, 300), (5, 9)] {
            let candidate = Candidate { peer: peer(number), weight: 1 };
            let round_trip = Some(Duration::from_millis(ms));
            gateways.note(Seen { candidate, round_trip, report: None }, now());
        }
        assert_eq!(drawn(&gateways, &all, &[]).0, peers(&[1, 2, 5, 6]));
        gateways.failed_now(peer(6), now());
        assert_eq!(gateways.draw(&all, &[], now(), &[0; 32]).len(), 2);
        assert!(gateways.fresh(&peer(1), now()).is_some());
        assert!(gateways.fresh(&peer(1), now().after(Duration::from_secs(11))).is_none());
        let later = now().after(Duration::from_secs(601));
        assert_eq!(gateways.draw(&all, &[], later, &[0; 32]).len(), 4, "what was measured is forgotten");
    }
}

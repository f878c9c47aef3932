//! Gateways: the supernodes of the ring, of which a device picks one by capacity and passes over those that failed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_ring::{Label, Regions};
use tokio::sync::watch;

/// How long a gateway that failed is passed over while others are there.
const SHUNNED: Duration = Duration::from_secs(15);

/// A supernode that may be a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Who.
    pub peer: PeerId,
    /// Its capacity as its operator states it.
    pub weight: u32,
    /// Its zone.
    pub zone: String,
    /// Its region.
    pub region: Label,
}

/// The supernodes that are known, and which failed lately.
#[derive(Debug)]
pub struct Gateways {
    known: watch::Sender<Vec<Gateway>>,
    failed: Mutex<BTreeMap<PeerId, Timestamp>>,
}

impl Default for Gateways {
    fn default() -> Self {
        Self { known: watch::Sender::new(Vec::new()), failed: Mutex::default() }
    }
}

impl Gateways {
    fn failed(&self) -> MutexGuard<'_, BTreeMap<PeerId, Timestamp>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ring has changed.
    pub fn set(&self, gateways: Vec<Gateway>) {
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

    /// A gateway, drawn by weight from `draw` among those that did not fail lately (among all if all did): in one of `regions`,
    /// as long as one there works. One that stands elsewhere passes on what it may not keep.
    #[must_use]
    pub fn pick(&self, regions: &Regions, now: Timestamp, draw: u64) -> Option<PeerId> {
        let known = self.known.borrow();
        let failed = self.failed();
        let shunned = |peer: &PeerId| failed.get(peer).is_some_and(|at| now.since(*at) < SHUNNED);
        let of = |wanted: &dyn Fn(&Gateway) -> bool| -> Vec<&Gateway> {
            known.iter().filter(|gateway| wanted(gateway)).collect()
        };
        let is_near = |gateway: &Gateway| regions.permits(&gateway.region);
        let mut candidates = of(&|gateway| is_near(gateway) && !shunned(&gateway.peer));
        if candidates.is_empty() {
            candidates = of(&|gateway| !shunned(&gateway.peer));
        }
        if candidates.is_empty() {
            candidates = known.iter().collect();
        }
        let total: u64 = candidates.iter().map(|gateway| u64::from(gateway.weight.max(1))).sum();
        let mut left = draw.checked_rem(total)?;
        candidates
            .into_iter()
            .find(|gateway| {
                let weight = u64::from(gateway.weight.max(1));
                let here = left < weight;
                left = left.saturating_sub(weight);
                here
            })
            .map(|gateway| gateway.peer)
    }

    /// `peer` could not be reached, or broke off.
    pub fn failed_now(&self, peer: PeerId, now: Timestamp) {
        self.failed().insert(peer, now);
    }

    /// `peer` answers again.
    pub fn works(&self, peer: &PeerId) {
        self.failed().remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use cosmic_common::{id::PeerId, time::Timestamp};

    use cosmic_ring::Regions;

    use super::{Gateway, Gateways};

    fn gateway(number: u8, weight: u32) -> Gateway {
        let region = if number < 10 { "near" } else { "far" };
        let peer = PeerId::from_bytes([number; 32]);
        Gateway { peer, weight, zone: String::new(), region: region.parse().unwrap() }
    }

    #[test]
    fn draws_follow_weights_and_pass_over_the_failed() {
        let gateways = Gateways::default();
        let now = Timestamp::from_unix_ms(1_000_000);
        let all = Regions::ALL;
        assert_eq!(gateways.pick(&all, now, 7), None);
        gateways.set(vec![gateway(1, 1), gateway(2, 3)]);
        let count = |number: u8| {
            let peer = PeerId::from_bytes([number; 32]);
            (0..400).filter(|draw| gateways.pick(&all, now, *draw) == Some(peer)).count()
        };
        assert_eq!((count(1), count(2)), (100, 300));
        gateways.failed_now(PeerId::from_bytes([2; 32]), now);
        assert_eq!((count(1), count(2)), (400, 0));
        gateways.failed_now(PeerId::from_bytes([1; 32]), now);
        assert_eq!(count(1) + count(2), 400, "with nobody else left the failed are tried again");
        gateways.works(&PeerId::from_bytes([1; 32]));
        assert_eq!(count(1), 400);
    }

    #[test]
    fn a_gateway_in_the_regions_of_the_space_comes_first() {
        let gateways = Gateways::default();
        let now = Timestamp::from_unix_ms(1_000_000);
        gateways.set(vec![gateway(1, 1), gateway(2, 1), gateway(11, 50)]);
        let regions = Regions::named(["near"]);
        let picked = || -> std::collections::BTreeSet<PeerId> {
            (0..400).filter_map(|draw| gateways.pick(&regions, now, draw)).collect()
        };
        let peers = |numbers: &[u8]| numbers.iter().map(|number| PeerId::from_bytes([*number; 32])).collect();
        assert_eq!(picked(), peers(&[1, 2]));
        gateways.failed_now(PeerId::from_bytes([1; 32]), now);
        assert_eq!(picked(), peers(&[2]));
        gateways.failed_now(PeerId::from_bytes([2; 32]), now);
        assert_eq!(picked(), peers(&[11]), "one far away is better than none");
    }
}

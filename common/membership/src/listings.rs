//! Listings: what this process lets the directory keep, what it says there of itself, and whom it finds there.
//!
//! The ring tells all this sooner. The directory is asked by who reaches nobody of the ring any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_net::{Handle as Net, Validator};
use cosmic_ring::{Label, Listing, Presence, listing::places};
use tracing::debug;

use crate::ledger::Ledger;

/// How long putting or finding a record may take: longer than the directory's own patience with a question.
const PATIENCE: Duration = Duration::from_secs(40);
/// Regions in which somebody is looked for; one who is found knows the others.
const REGIONS_MAX: usize = 4;

/// Judges the records of the directory by what the process knows of its network; refuses all before it knows which that is.
#[derive(Debug, Default)]
pub struct Listings {
    ledger: OnceLock<Arc<Ledger>>,
}

impl Listings {
    /// From now on records are judged by `ledger`.
    pub(crate) fn begin(&self, ledger: Arc<Ledger>) {
        if self.ledger.set(ledger).is_err() {
            debug!("records are judged by what was known first");
        }
    }
}

impl Validator for Listings {
    fn judge(&self, key: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        self.ledger.get()?.judge(|judge| judge.judge(key, known, value))
    }

    fn signatures(&self, value: &[u8]) -> usize {
        Listing::from_bytes(value).map_or(0, |listing| listing.presences.len())
    }
}

/// Says at all its places that this process is there; whether somebody keeps it.
pub(crate) async fn publish(net: Net, ledger: Arc<Ledger>) -> bool {
    let Some((presence, region)) = ledger.presence() else { return false };
    let listing = Listing { presences: vec![presence.to_bytes().into()] }.to_bytes();
    let mut kept = false;
    for place in all_places(&ledger, region.into_iter()) {
        match net.publish(&place, &listing, PATIENCE).await {
            Ok(()) => kept = true,
            Err(error) => debug!(%error, "the directory does not list this process"),
        }
    }
    kept
}

/// Whoever is listed, in general and in some regions of the ring as it was known last.
pub(crate) async fn find(net: Net, ledger: Arc<Ledger>) -> Vec<Presence> {
    let regions = ledger.view().map(|view| view.atlas.regions().map(|region| region.name).collect());
    let regions: Vec<Label> = regions.unwrap_or_default();
    let mut found: BTreeMap<PeerId, Presence> = BTreeMap::new();
    let searches = all_places(&ledger, regions.into_iter().take(REGIONS_MAX)).map(|place| {
        let (net, ledger) = (net.clone(), Arc::clone(&ledger));
        async move {
            let value =
                net.find(&place, PATIENCE).await.inspect_err(|error| debug!(%error, "not found")).ok();
            value.flatten().and_then(|value| ledger.judge(|judge| Some(judge.present(&place, &value))))
        }
    });
    for presence in futures::future::join_all(searches).await.into_iter().flatten().flatten() {
        let known = found.get(&presence.peer);
        if known.is_none_or(|known| known.said_ms < presence.said_ms) {
            found.insert(presence.peer, presence);
        }
    }
    found.into_values().collect()
}

fn all_places(ledger: &Ledger, regions: impl Iterator<Item = Label>) -> impl Iterator<Item = [u8; 32]> {
    let network = ledger.network();
    std::iter::once(None).chain(regions.map(Some)).flat_map(move |region| places(network, region.as_ref()))
}

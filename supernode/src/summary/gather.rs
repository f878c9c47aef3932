//! Gathering: what aggregators say of their regions, from them or from whoever gathered it before. All of it is signed by them.

use std::collections::BTreeSet;

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_ring::Label;
use cosmic_runtime::exit::sentence;
use cosmic_summary::{RegionSummary, SummaryAnswer, SummaryRequest, Why, World, message::Gathered};
use futures::{StreamExt as _, stream};

use super::{AT_ONCE, Summaries, metrics::Of};
use crate::duty::RingView;

/// Regions that are asked at once, three members of each.
const REGIONS_AT_ONCE: usize = 8;
/// Answers taken from one member at once: sixteen regions each, and a network has no more regions than members.
const PAGES_MAX: usize = 256;

impl Summaries {
    /// Exchanges regions for ever, and shows what is known.
    pub(super) async fn watch(self) {
        let context = &self.0.context;
        // At the start the regions are merged first.
        context.clock.sleep(self.0.rhythm.tell * 2).await;
        loop {
            let view = context.ring_view();
            let own = self.region(&view);
            if own.as_ref().is_some_and(|region| self.merges(&view, region)) {
                self.ask_regions(&view, own.as_ref()).await;
            } else {
                self.ask_own_region(&view, own.as_ref()).await;
            }
            self.show(&view, &self.world());
            context.clock.sleep(self.0.rhythm.world).await;
        }
    }

    /// The world as it is known, after others were asked if what is known is not of the last minutes.
    pub(super) async fn look(&self) -> World {
        let clock = &self.0.context.clock;
        let mut asked = self.0.asking.lock().await;
        let now = clock.monotonic();
        if asked.is_none_or(|asked| now.since(asked) >= self.0.rhythm.tell) {
            let view = self.0.context.ring_view();
            let own = self.region(&view);
            self.ask_own_region(&view, own.as_ref()).await;
            self.ask_silent(&view).await;
            *asked = Some(clock.monotonic());
        }
        drop(asked);
        self.world()
    }

    /// The world as it is known.
    fn world(&self) -> World {
        let (view, now) = (self.0.context.ring_view(), self.0.context.clock.now());
        let mut collection = self.collection();
        collection.forget(&view.members, now, self.0.rhythm.summary_age());
        let known = collection.clone();
        drop(collection);
        World::of(&known)
    }

    /// Asks the aggregators of the own region for all they know.
    async fn ask_own_region(&self, view: &RingView, own: Option<&Label>) {
        let peers = own.map(|region| self.aggregators(view, region)).unwrap_or_default();
        self.gather(peers, SummaryRequest::Regions { after: None }).await;
    }

    /// Asks the aggregators of every other region for theirs.
    async fn ask_regions(&self, view: &RingView, own: Option<&Label>) {
        let others: Vec<Label> =
            view.atlas.regions().map(|region| region.name).filter(|name| Some(name) != own).collect();
        self.ask_each(view, &others).await;
    }

    /// Asks the aggregators of those regions of which nobody was heard.
    async fn ask_silent(&self, view: &RingView) {
        let silent = self.silent(view);
        self.ask_each(view, &silent).await;
    }

    async fn ask_each(&self, view: &RingView, regions: &[Label]) {
        let questions: Vec<(Vec<PeerId>, SummaryRequest)> = regions
            .iter()
            .map(|region| (self.aggregators(view, region), SummaryRequest::Region(region.clone())))
            .collect();
        let asking = questions.into_iter().map(|(peers, request)| self.gather(peers, request));
        stream::iter(asking).buffer_unordered(REGIONS_AT_ONCE).collect::<()>().await;
    }

    /// The regions of which nobody was heard.
    pub(super) fn silent(&self, view: &RingView) -> Vec<Label> {
        let known: BTreeSet<Label> = self.collection().newest().map(|(name, _told)| name.clone()).collect();
        view.atlas.regions().map(|region| region.name).filter(|name| !known.contains(name)).collect()
    }

    /// Asks all of `peers`, and takes what counts of what they say.
    pub(super) async fn gather(&self, peers: Vec<PeerId>, request: SummaryRequest) {
        let asking = peers.into_iter().map(|peer| self.gather_from(peer, request.clone()));
        stream::iter(asking).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn gather_from(&self, peer: PeerId, mut request: SummaryRequest) {
        for _page in 0..PAGES_MAX {
            match self.ask(peer, &request).await {
                Ok(SummaryAnswer::Gathered { told, more }) => {
                    self.take(peer, &told);
                    match told.last().and_then(region_of).filter(|_region| more) {
                        Some(after) => request = SummaryRequest::Regions { after: Some(after) },
                        None => return,
                    }
                }
                Ok(_other) => return,
                Err(error) => {
                    tracing::debug!(peer = %peer.short(), reason = sentence(&error), "an aggregator was not heard");
                    return;
                }
            }
        }
    }

    fn take(&self, peer: PeerId, told: &[Gathered]) {
        let (view, now) = (self.0.context.ring_view(), self.0.context.clock.now());
        let refused = self.collection().take_all(told, &view.members, now, self.0.rhythm.summary_age());
        for error in refused {
            self.0.metrics.refused(Why::from(&error));
            tracing::debug!(peer = %peer.short(), reason = sentence(&error), "a summary does not count");
        }
    }

    /// Shows the own region and the world in the metrics.
    pub(super) fn show(&self, view: &RingView, world: &World) {
        let metrics = &self.0.metrics;
        metrics.show(Of::World, &world.states, &world.figures, &world.latency);
        let own = self.region(view);
        if let Some(region) = world.regions.iter().find(|region| Some(&region.name) == own.as_ref()) {
            metrics.show(Of::Region, &region.states, &region.figures, &region.latency);
        }
        metrics.silent_regions.set(i64::try_from(self.silent(view).len()).unwrap_or(i64::MAX));
    }
}

fn region_of(gathered: &Gathered) -> Option<Label> {
    let signed = Signed::<RegionSummary>::from_bytes(&gathered.region).ok()?;
    Some(signed.unverified().region.clone())
}

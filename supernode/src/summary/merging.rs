//! The office of an aggregator: the words of the region are merged and signed, and what fellow aggregators say is fetched.

use cosmic_identity::signed::Signed;
use cosmic_ring::Label;
use cosmic_summary::{Frame, SummaryRequest, collection::Told, merge};

use super::Summaries;
use crate::duty::RingView;

impl Summaries {
    /// Merges for ever, whenever it is this supernode's office.
    pub(super) async fn merge(self) {
        let context = &self.0.context;
        // At the start the others speak first.
        context.clock.sleep(self.0.rhythm.tell).await;
        loop {
            let view = context.ring_view();
            self.reports().forget(&view.members, context.clock.now(), &self.0.rhythm);
            if let Some(region) = self.region(&view).filter(|region| self.merges(&view, region)) {
                self.merge_once(region.clone()).await;
                let fellows = self.aggregators(&view, &region);
                self.gather(fellows, SummaryRequest::Region(region)).await;
            }
            context.clock.sleep(self.0.rhythm.region).await;
        }
    }

    async fn merge_once(&self, region: Label) {
        let summaries = self.clone();
        let merged = tokio::task::spawn_blocking(move || summaries.merged(&region)).await;
        let Ok(told) = merged else { return };
        let (view, now) = (self.0.context.ring_view(), self.0.context.clock.now());
        let taken = self.collection().take(told, &view.members, now, self.0.rhythm.summary_age());
        match taken {
            Ok(_is_news) => drop(self.0.metrics.merged.inc()),
            // The hour ended, or the members changed, while it was merged.
            Err(error) => tracing::debug!(%error, "the own summary of the region does not count any more"),
        }
    }

    /// What this supernode says of its region. Blocks.
    fn merged(&self, region: &Label) -> Told {
        let context = &self.0.context;
        let (view, now) = (context.ring_view(), context.clock.now());
        let frame =
            Frame { network: view.network(), region: region.clone(), aggregator: context.peer, time: now };
        let (region, zones) = self.merged_words(&view, frame);
        Told { region: Signed::sign(region, &context.key), zones: Signed::sign(zones, &context.key) }
    }

    fn merged_words(
        &self,
        view: &RingView,
        frame: Frame,
    ) -> (cosmic_summary::RegionSummary, cosmic_summary::ZoneTable) {
        let (now, within) = (frame.time, self.0.heard_within);
        let (liveness, ring) = (self.0.care.present(), view.atlas.ring_of(&self.0.context.peer));
        let region = frame.region.clone();
        let reports = self.reports();
        let reporters = reports.reporters(&region, &view.members, &ring, |peer| {
            liveness.last_heard(peer).is_some_and(|heard| now.since(heard) <= within)
        });
        merge(frame, &reporters)
    }
}

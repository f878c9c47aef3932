//! The own word: how this supernode is, what it keeps, and which devices are here, told to those who merge.

use std::time::Duration;

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_custody::retire::Stage;
use cosmic_identity::signed::Signed;
use cosmic_runtime::{clock::Monotonic, exit::sentence};
use cosmic_summary::{
    DeviceSketch, Figures, LatencySketch, MemberState, MemberSummary, Pseudonym, SummaryAnswer,
    SummaryRequest, day,
};
use futures::{StreamExt as _, stream};

use super::{AT_ONCE, Summaries, WAITS_MAX, lock};
use crate::{context::Context, duty::RingView, quota};

/// Counting what is kept takes at most this part of the time, in a supernode of however many spaces.
const COUNTING_PART: u32 = 20;

/// What was counted last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    kept: Figures,
    next: Option<Monotonic>,
}

impl Summaries {
    /// Tells for ever.
    pub(super) async fn tell(self) {
        loop {
            self.tell_once().await;
            self.0.context.clock.sleep(self.0.rhythm.tell).await;
        }
    }

    async fn tell_once(&self) {
        let view = self.0.context.ring_view();
        let Some(region) = self.region(&view) else { return };
        let word = self.word(&view).await;
        let signed = Signed::sign(word, &self.0.context.key);
        let me = self.0.context.peer;
        let mut told = self.told(&view, &region);
        if told.remove(&me) {
            self.hear(&signed, me);
        }
        let request = SummaryRequest::Tell(signed.to_bytes());
        let telling = told.into_iter().map(|peer| self.tell_to(peer, &request));
        stream::iter(telling).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn tell_to(&self, peer: PeerId, request: &SummaryRequest) {
        match self.ask(peer, request).await {
            Ok(SummaryAnswer::Noted) => drop(self.0.metrics.told.inc()),
            Ok(_other) => drop(self.0.metrics.untold.inc()),
            Err(error) => {
                self.0.metrics.untold.inc();
                tracing::debug!(peer = %peer.short(), reason = sentence(&error), "an aggregator was not told");
            }
        }
    }

    async fn word(&self, view: &RingView) -> MemberSummary {
        let context = &self.0.context;
        let time = context.clock.now();
        let here = context.sessions.devices();
        let mut devices = DeviceSketch::new();
        for device in &here {
            devices.insert(Pseudonym::of(device, &view.network(), day(time)));
        }
        let kept = self.kept().await;
        let disk = context.store.room().unwrap_or_else(|error| {
            tracing::debug!(%error, "the room on the disk is not known");
            cosmic_store::Space::default()
        });
        let figures = Figures {
            devices: here.len() as u64,
            capacity_bytes: disk.total_bytes,
            free_bytes: disk.free_bytes,
            ..kept
        };
        let (network, peer, state) = (view.network(), context.peer, self.state());
        MemberSummary { network, peer, time, state, figures, devices, latency: self.latency() }
    }

    fn state(&self) -> MemberState {
        if self.0.leaving.stage() != Stage::Serving {
            MemberState::Leaving
        } else if self.0.context.health.is_well() {
            MemberState::Well
        } else {
            MemberState::Troubled
        }
    }

    /// How long devices waited during the last words.
    fn latency(&self) -> LatencySketch {
        let mut waits = lock(&self.0.waits);
        waits.push_back(self.0.context.metrics.waits.take());
        if waits.len() > WAITS_MAX {
            waits.pop_front();
        }
        let mut all = LatencySketch::new();
        for one in waits.iter() {
            all.merge(one);
        }
        all
    }

    /// What is kept here, counted now or a while ago.
    async fn kept(&self) -> Figures {
        let clock = &self.0.context.clock;
        let begun = clock.monotonic();
        let counted = *lock(&self.0.counted);
        if counted.next.is_some_and(|next| begun < next) {
            return counted.kept;
        }
        let context = std::sync::Arc::clone(&self.0.context);
        let Ok(Ok(kept)) = tokio::task::spawn_blocking(move || kept(&context)).await else {
            tracing::warn!("what is kept here could not be counted");
            return counted.kept;
        };
        let took: Duration = clock.monotonic().since(begun);
        let next = begun.after(took.saturating_mul(COUNTING_PART));
        *lock(&self.0.counted) = Counted { kept, next: Some(next) };
        kept
    }
}

/// What is kept here; of what others keep as well the part of this supernode. Blocks.
fn kept(context: &Context) -> Result<Figures, cosmic_store::Error> {
    let atlas = std::sync::Arc::clone(&context.ring_view().atlas);
    let (mut spaces, mut entries, mut objects, mut kept_bytes) = (0.0, 0.0, 0.0, 0);
    for (space, used) in quota::by_space(&context.store)? {
        kept_bytes += used.entry_bytes + used.shard_bytes;
        let ring = atlas.ring(&space, &context.residences.regions(&space));
        let replicas: Vec<PeerId> = ring.replicas_of(&space).collect();
        if used.entries > 0 && replicas.contains(&context.peer) {
            let part = 1.0 / replicas.len() as f64;
            spaces += part;
            entries += part * used.entries as f64;
        }
        let holders = usize::from(ring.class().n).min(ring.len()).max(1);
        objects += used.objects as f64 / holders as f64;
    }
    let [spaces_milli, entries_milli, objects_milli] = [spaces, entries, objects].map(milli);
    Ok(Figures { spaces_milli, entries_milli, objects_milli, kept_bytes, ..Figures::default() })
}

fn milli(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates, and the rest is rounded away"
    )]
    let milli = (number * 1000.0).round() as u64;
    milli
}

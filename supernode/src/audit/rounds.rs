//! The rounds: whoever it is the turn of is asked about a shard drawn at random; what was found once, or others told, is
//! asked for again.

use std::time::Duration;

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
};
use cosmic_custody::{
    Suspect,
    audit::rota,
    message::care::{CareAnswer, CareRequest},
};
use cosmic_erasure::Manifest;
use cosmic_runtime::random;
use cosmic_store::Span;
use futures::{StreamExt as _, stream};

use super::{Audits, lock};
use crate::{
    care::{Care, Error},
    tables::KEPT,
};

/// How often is looked whether a new slot has begun, and whether something is to be asked for again.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Questions at once.
const AT_ONCE: usize = 4;
/// Shards asked for again at one look; the rest waits for the next.
const AGAIN_MAX: usize = 64;
/// Own rows read to find an object the holder has part of.
const ROWS_READ: usize = 2048;
/// Objects the holder is asked about before one is chosen: a question of 2 kB.
const CANDIDATES: usize = 64;

impl Audits {
    /// Audits for ever.
    pub(crate) async fn run(self, care: Care) {
        let context = &self.0.context;
        self.remember().await;
        let mut last = None;
        loop {
            self.learn_members();
            self.ask_again(&care).await;
            let slot = rota::slot(context.clock.now(), self.0.every);
            if last.replace(slot) != Some(slot) {
                self.round(&care, slot).await;
            }
            self.look_at_lost(&care).await;
            self.count();
            context.clock.sleep(self.0.every.min(LOOK_EVERY)).await;
        }
    }

    /// Takes over whose this supernode is, and forgets those who left the ring.
    fn learn_members(&self) {
        let members = &self.0.context.ring_view().members;
        let mut docket = self.docket();
        if let Some(me) = members.get(&self.0.context.peer) {
            docket.belongs_to(me.operator);
        }
        docket.retain(|holder| members.is_active(holder));
    }

    /// Audits those whose turn it is to be audited by this supernode.
    async fn round(&self, care: &Care, slot: u64) {
        let me = self.0.context.peer;
        if !self.0.context.ring_view().members.is_active(&me) {
            return;
        }
        let present = care.others_heard();
        // Everybody who is there besides the holder: this supernode instead of it.
        let auditors = present.len();
        let mut mine = present;
        mine.retain(|holder| rota::is_mine(&me, holder, auditors, slot));
        let auditing = mine.into_iter().map(|holder| self.audit(care, holder));
        stream::iter(auditing).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn audit(&self, care: &Care, holder: PeerId) {
        match self.draw(care, holder).await {
            Ok(Some((manifest, suspect))) => {
                self.question(care, &manifest, suspect).await;
            }
            Ok(None) => {
                tracing::trace!(holder = %holder.short(), "it has no object that this supernode has part of");
            }
            Err(error) => {
                self.0.metrics.audits_unanswered.inc();
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(holder = %holder.short(), reason, "an audit could not begin");
            }
        }
    }

    /// A shard of `holder` of which object this supernode has another.
    async fn draw(&self, care: &Care, holder: PeerId) -> Result<Option<(Manifest, Suspect)>, Error> {
        let audits = self.clone();
        let reading = tokio::task::spawn_blocking(move || audits.candidates(&holder));
        let objects = reading.await.map_err(|_gone| Error::Stopping)??;
        if objects.is_empty() {
            return Ok(None);
        }
        let CareAnswer::Surveyed(kept) = care.ask(holder, &CareRequest::Survey(objects.clone())).await?
        else {
            return Err(crate::care::unexpected(holder));
        };
        let shards = objects.iter().zip(kept).flat_map(|(object, kept)| {
            let suspect = |index| Suspect { holder, object: *object, index };
            kept.own.iter().map(suspect).collect::<Vec<_>>()
        });
        let mut shards: Vec<Suspect> = shards.collect();
        if shards.is_empty() {
            return Ok(None);
        }
        let [drawn, ..] = random::bytes::<2>().map(usize::from);
        let suspect = shards.swap_remove(drawn % shards.len());
        Ok(self.manifest(&suspect.object)?.map(|manifest| (manifest, suspect)))
    }

    /// Objects of which a part is here, from a place in the table drawn at random: first those of which the ring gives
    /// `holder` one.
    fn candidates(&self, holder: &PeerId) -> Result<Vec<ObjectId>, Error> {
        let store = &self.0.context.store;
        let from = (ObjectId::from_bytes(random::bytes()), u8::MAX);
        let holders = std::sync::Arc::clone(&self.0.shards.holders().borrow());
        let (mut theirs, mut others): (Vec<ObjectId>, Vec<ObjectId>) = Default::default();
        let mut seen = None;
        let after = store.scan(&KEPT, &Span::all().after(&from), ROWS_READ);
        // Behind the end the beginning follows; what comes twice is skipped below.
        for item in after.chain(store.scan(&KEPT, &Span::all(), ROWS_READ)) {
            let ((object, _index), row) = item?;
            if seen.replace(object) == Some(object) || theirs.contains(&object) || others.contains(&object) {
                continue;
            }
            let table = holders.table(&row.space, &self.0.context.residences.regions(&row.space));
            let should = table.holders(&object, usize::from(table.class().n));
            let list = if should.contains(holder) { &mut theirs } else { &mut others };
            if list.len() < CANDIDATES {
                list.push(object);
            }
            if theirs.len() == CANDIDATES {
                break;
            }
        }
        theirs.extend(others);
        theirs.truncate(CANDIDATES);
        Ok(theirs)
    }

    /// Asks again for what was found once some time ago, and for what others complained about.
    async fn ask_again(&self, care: &Care) {
        let now = self.0.context.clock.now();
        let mut suspects: Vec<Suspect> = self.docket().due(now).take(AGAIN_MAX).collect();
        let hints = std::mem::take(&mut *lock(&self.0.hints));
        suspects.extend(hints);
        let asking = suspects.into_iter().map(|suspect| self.confirm(care, suspect));
        stream::iter(asking).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Has those objects looked at that lost a shard: they are mended if they need it.
    async fn look_at_lost(&self, care: &Care) {
        let lost = std::mem::take(&mut *lock(&self.0.lost));
        if lost.is_empty() {
            return;
        }
        if let Err(error) = care.examine(lost.into_iter().collect()).await {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::warn!(reason, "objects that lost a shard could not be looked at");
        }
    }

    /// Asks for one shard again.
    pub(crate) async fn confirm(&self, care: &Care, suspect: Suspect) {
        match self.manifest(&suspect.object) {
            Ok(Some(manifest)) => {
                self.question(care, &manifest, suspect).await;
            }
            // Nothing of the object is here any more: others ask.
            Ok(None) => self.restored(suspect).await,
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(reason, "a manifest kept here cannot be read");
            }
        }
    }

    /// The manifest of an object of which something is kept here.
    pub(super) fn manifest(&self, object: &ObjectId) -> Result<Option<Manifest>, Error> {
        let bytes = self.0.shards.keeper().manifest(object)?;
        Ok(bytes.and_then(|bytes| Manifest::from_bytes(&bytes).ok()))
    }
}

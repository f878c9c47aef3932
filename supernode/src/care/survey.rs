//! Surveys: who keeps what of many objects, in one question to each holder.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
};
use cosmic_custody::{
    Assignment, HandOff, Health, HeldCopy, Need, Ring, Subject, Target, assign,
    handoff::Verdict,
    message::care::{CareAnswer, CareRequest, Surveyed},
    repair::queue::Input,
};
use cosmic_erasure::Manifest;
use cosmic_ring::Table;
use futures::{StreamExt as _, stream};

use super::{ASKED_AT_ONCE, Care, Error, ask::unexpected, lock};

/// Proofs asked for again in one comparison; the rest is not believed until the next.
const CONFIRMED_MAX: usize = 64;

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// The holders by the table: enough to find everything in its place.
    Holders,
    /// Every member that may answer.
    Everyone,
}

impl Care {
    /// Looks at objects of which something is kept here, and tells the queue how they are. Those that seem to be in danger
    /// are looked for everywhere first.
    pub(crate) async fn examine(&self, objects: Vec<ObjectId>) -> Result<(), Error> {
        let doubtful = self.compare(objects, Whom::Holders).await?;
        if !doubtful.is_empty() {
            self.compare(doubtful, Whom::Everyone).await?;
        }
        Ok(())
    }

    /// Asks for `objects`; those in danger are returned, or, if everyone was asked, told to the queue.
    pub(super) async fn compare(&self, objects: Vec<ObjectId>, whom: Whom) -> Result<Vec<ObjectId>, Error> {
        let care = self.clone();
        let reading = tokio::task::spawn_blocking(move || care.manifests(&objects));
        let manifests = reading.await.map_err(|_gone| Error::Stopping)??;
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let table = holders.table();
        let answers = self.survey(self.questions(manifests.iter().map(|one| &one.0), table, whom)).await;
        if whom == Whom::Everyone {
            let objects = manifests.iter().map(|(manifest, ..)| manifest.object());
            self.confirm(objects, &answers).await;
        }
        let mut in_danger = Vec::new();
        let mut told = Vec::new();
        let mut strays = Vec::new();
        {
            let liveness = self.liveness();
            let ring = Ring { table, liveness: &liveness, now: self.now() };
            for (manifest, own, handed) in manifests {
                let object = manifest.object();
                let mut copies = copies(self.me(), own);
                let silent = |peer: &PeerId| !answers.contains_key(peer) && *peer != self.me();
                for (peer, kept) in &answers {
                    copies.extend(kept.get(&object).into_iter().flat_map(|kept| self::copies(*peer, *kept)));
                }
                // Of those who do not answer it is believed that they have what they were given.
                let planned = assign(&table.holders(&object, manifest.codec().n()), manifest.codec());
                let believed = planned.into_iter().filter(|shard| silent(&shard.holder));
                copies.extend(believed.map(|shard| HeldCopy {
                    index: shard.index,
                    holder: shard.holder,
                    handed_off: false,
                }));
                self.0.audits.believe(object, &mut copies);
                let subject = Subject::new(&manifest, copies);
                strays.extend(self.strays(table, &subject));
                let mut health = subject.health(ring);
                let mut able = subject.able(ring);
                let standing = holders.standing();
                let is_overdue =
                    |one: &HandOff| one.verdict(false, &liveness, standing, ring.now) == Verdict::Repair;
                if is_handed_off(&subject, &health, ring) {
                    // Who keeps what is missing gives it to its owner, and mends the object itself if he does not come.
                    if handed.iter().any(is_overdue) {
                        able = vec![self.me()];
                    } else {
                        health.need = Need::Later;
                    }
                }
                if health.need >= Need::Repair {
                    in_danger.push(object);
                    if whom == Whom::Holders {
                        continue;
                    }
                }
                let moved = manifest.codec().k().saturating_add(health.missing.len());
                told.push(Input::Examined {
                    object,
                    need: health.need,
                    danger: health.danger(subject.codec, ring.now),
                    able,
                    bytes: subject.shard_bytes.saturating_mul(u64::try_from(moved).unwrap_or(u64::MAX)),
                });
            }
        }
        told.into_iter().for_each(|input| self.tell(input));
        if !strays.is_empty() {
            self.0.shards.keeper().note_strays(&strays).await?;
        }
        Ok(in_danger)
    }

    /// What is kept here of an object and belongs elsewhere by the table, as far as is known: it is looked at again before
    /// anything is moved.
    fn strays(&self, table: &Table, subject: &Subject) -> Vec<(ObjectId, u8)> {
        let own = subject.copies.iter().filter(|copy| !copy.handed_off);
        let own: Vec<Assignment> =
            own.map(|copy| Assignment { index: copy.index, holder: copy.holder }).collect();
        let may_take = |peer: &PeerId| self.0.audits.is_trusted(peer);
        let target = Target::of(table, &subject.object, subject.codec, &own, may_take);
        let mine = target.strays.into_iter().filter(|copy| copy.holder == self.me());
        mine.map(|copy| (subject.object, copy.index)).collect()
    }

    /// Which objects each of those asked is asked for.
    fn questions<'a>(
        &self,
        manifests: impl Iterator<Item = &'a Manifest>,
        table: &Table,
        whom: Whom,
    ) -> BTreeMap<PeerId, Vec<ObjectId>> {
        let heard = self.keepers_heard();
        let mut questions: BTreeMap<PeerId, Vec<ObjectId>> = BTreeMap::new();
        for manifest in manifests {
            let object = manifest.object();
            let asked = match whom {
                Whom::Holders => table.holders(&object, manifest.codec().n()),
                Whom::Everyone => heard.clone(),
            };
            for peer in asked.into_iter().filter(|peer| heard.contains(peer)) {
                questions.entry(peer).or_default().push(object);
            }
        }
        questions
    }

    /// Asks holders for proofs of what they say that they have and are known to have lost: it may have been given again.
    async fn confirm(
        &self,
        objects: impl Iterator<Item = ObjectId>,
        answers: &HashMap<PeerId, HashMap<ObjectId, Surveyed>>,
    ) {
        let mut suspects = Vec::new();
        for object in objects {
            for (peer, kept) in answers {
                let said: Vec<_> =
                    kept.get(&object).into_iter().flat_map(|kept| copies(*peer, *kept)).collect();
                suspects.extend(self.0.audits.found_lost(object, &said));
            }
        }
        for suspect in suspects.into_iter().take(CONFIRMED_MAX) {
            self.0.audits.confirm(self, suspect).await;
        }
    }

    /// The manifests of those objects of which something is kept here, and what that is.
    fn manifests(&self, objects: &[ObjectId]) -> Result<Vec<(Manifest, Surveyed, Vec<HandOff>)>, Error> {
        let keeper = self.0.shards.keeper();
        let mut manifests = Vec::with_capacity(objects.len());
        for object in objects {
            let own = keeper.surveyed(object)?;
            let Some(bytes) = keeper.manifest(object)? else { continue };
            let handed = if own.handed_off.is_empty() { Vec::new() } else { keeper.handed_off(object)? };
            match Manifest::from_bytes(&bytes) {
                Ok(manifest) => manifests.push((manifest, own, handed)),
                Err(error) => {
                    tracing::warn!(object = %object.short(), %error, "a manifest kept here cannot be read");
                }
            }
        }
        Ok(manifests)
    }

    /// What those who answer keep.
    pub(super) async fn survey(
        &self,
        questions: BTreeMap<PeerId, Vec<ObjectId>>,
    ) -> HashMap<PeerId, HashMap<ObjectId, Surveyed>> {
        let asking = questions.into_iter().map(|(peer, objects)| async move {
            let answer = self.ask(peer, &CareRequest::Survey(objects.clone())).await;
            let kept = match answer {
                Ok(CareAnswer::Surveyed(kept)) if kept.len() == objects.len() => Ok(kept),
                Ok(_other) => Err(unexpected(peer)),
                Err(error) => Err(error),
            };
            match kept {
                Ok(kept) => Some((peer, objects.into_iter().zip(kept).collect())),
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::debug!(peer = %peer.short(), reason, "a supernode did not say what it keeps");
                    None
                }
            }
        });
        let answers = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE);
        answers.filter_map(|answer| async move { answer }).collect().await
    }

    /// What everybody who answers keeps of these objects.
    pub(crate) async fn survey_everyone(
        &self,
        objects: &[ObjectId],
    ) -> HashMap<PeerId, HashMap<ObjectId, Surveyed>> {
        let questions = self.keepers_heard().into_iter().map(|peer| (peer, objects.to_vec()));
        self.survey(questions.collect()).await
    }

    /// Looks again at what waits in the queue for others: they may have mended it.
    pub(super) async fn look_again(&self, objects_max: usize) -> Result<(), Error> {
        let queued: BTreeSet<ObjectId> =
            lock(&self.0.queue).items().map(|(object, _danger)| *object).take(objects_max).collect();
        if !queued.is_empty() {
            self.compare(queued.into_iter().collect(), Whom::Everyone).await?;
        }
        Ok(())
    }
}

/// Whether all that is missing is kept for its owners by members that are there, and the object in no panic.
fn is_handed_off(subject: &Subject, health: &Health, ring: Ring<'_>) -> bool {
    let kept = |index: u8| {
        subject.copies.iter().any(|copy| {
            copy.index == index && copy.handed_off && ring.liveness.is_present(&copy.holder, ring.now)
        })
    };
    health.need == Need::Repair && health.missing.iter().all(kept)
}

fn copies(holder: PeerId, kept: Surveyed) -> Vec<HeldCopy> {
    let own = kept.own.iter().map(|index| HeldCopy { index, holder, handed_off: false });
    let others = kept.handed_off.iter().map(|index| HeldCopy { index, holder, handed_off: true });
    own.chain(others).collect()
}

//! Surveys: who keeps what of many objects, in one question to each holder.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Assignment, Course, HandOff, Health, HeldCopy, Liveness, Need, Recode, Ring, Standing, Subject, Target,
    assign,
    handoff::Verdict,
    message::care::{CareAnswer, CareRequest, SURVEY_MAX, Surveyed},
    repair::queue::Input,
};
use cosmic_erasure::{Codec, Manifest};
use cosmic_ring::{Class, Table};
use futures::{StreamExt as _, stream};

use super::{
    ASKED_AT_ONCE, Care, Error,
    ask::unexpected,
    codings::{Answers, Other, Which},
    lock,
};
use crate::holders::Holders;

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

/// What is kept here of one object, and which other codings of it are asked for.
struct Here {
    manifest: Manifest,
    /// The ring it is placed by.
    table: Arc<Table>,
    own: Surveyed,
    handed: Vec<HandOff>,
    others: Vec<Other>,
}

/// What objects are looked at with.
struct Scene<'a> {
    liveness: &'a Liveness,
    now: Timestamp,
    standing: &'a Standing,
    answers: &'a Answers,
    first: &'a HashMap<ObjectId, Codec>,
}

/// What was found of one object.
struct Looked {
    object: ObjectId,
    need: Need,
    /// What the queue is told.
    input: Input,
    /// What is kept here of it and belongs elsewhere.
    strays: Vec<(ObjectId, u8)>,
    /// Whether it lies in the class of the ring as well, and the shards here may go.
    is_given_up: bool,
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
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let (care, by, all) = (self.clone(), Arc::clone(&holders), objects.clone());
        let reading = tokio::task::spawn_blocking(move || care.here(&by, &objects, whom));
        let here = reading.await.map_err(|_gone| Error::Stopping)??;
        let answers = self.survey(self.questions(&here, whom)).await;
        if whom == Whom::Everyone {
            self.confirm(here.iter().map(|one| one.manifest.coding()), &answers).await;
        }
        // What is not here any more is nobody's business here.
        let mut gone: BTreeSet<ObjectId> = all.into_iter().collect();
        for one in &here {
            gone.remove(&one.manifest.coding());
        }
        gone.into_iter().for_each(|object| self.tell(Input::Gone { object }));
        let others: Vec<Other> = here.iter().flat_map(|one| &one.others).copied().collect();
        let first = self.first_codecs(&others, &answers).await;
        let mut looked = Vec::with_capacity(here.len());
        {
            let liveness = self.liveness();
            let (now, standing) = (self.now(), holders.standing());
            let scene = Scene { liveness: &liveness, now, standing, answers: &answers, first: &first };
            looked.extend(here.iter().map(|one| self.look(one, &scene)));
        }
        let mut in_danger = Vec::new();
        let mut strays = Vec::new();
        for one in looked {
            strays.extend(one.strays);
            if one.need >= Need::Repair {
                in_danger.push(one.object);
                if whom == Whom::Holders {
                    continue;
                }
            }
            self.tell(one.input);
            if one.is_given_up {
                strays.extend(self.give_up(one.object).await?);
            }
        }
        if !strays.is_empty() {
            self.0.shards.keeper().note_strays(&strays).await?;
        }
        Ok(in_danger)
    }

    /// How one object is, by what everybody said.
    fn look(&self, one: &Here, scene: &Scene<'_>) -> Looked {
        let Scene { liveness, now, standing, answers, first } = *scene;
        let Here { manifest, table, own, handed, others } = one;
        let ring = Ring { table, liveness, now };
        let (object, codec) = (manifest.coding(), manifest.codec());
        let mut copies = copies(self.me(), *own);
        let silent = |peer: &PeerId| !answers.contains_key(peer) && *peer != self.me();
        for (peer, kept) in answers {
            copies.extend(kept.get(&object).into_iter().flat_map(|kept| self::copies(*peer, *kept)));
        }
        // Of those who do not answer it is believed that they have what they were given.
        let planned = assign(&ring.table.holders(&object, codec.n()), codec);
        let believed = planned.into_iter().filter(|shard| silent(&shard.holder));
        let believe =
            |shard: Assignment| HeldCopy { index: shard.index, holder: shard.holder, handed_off: false };
        copies.extend(believed.map(believe));
        self.0.audits.believe(object, &mut copies);
        let subject = Subject::new(manifest, copies);
        let strays = self.strays(ring.table, &subject);
        let mut health = subject.health(ring);
        let mut able = subject.able(ring);
        let is_overdue =
            |one: &HandOff| one.verdict(false, ring.liveness, standing, ring.now) == Verdict::Repair;
        if is_handed_off(&subject, &health, ring) {
            // Who keeps what is missing gives it to its owner, and mends the object itself if he does not come.
            if handed.iter().any(is_overdue) {
                able = vec![self.me()];
            } else {
                health.need = Need::Later;
            }
        }
        let siblings = self.siblings(manifest, others, answers, first);
        let course = self.course((codec, health), &siblings, ring);
        match course {
            Course::Care => {}
            Course::Leave | Course::GiveUp(_) => health.need = Need::Later,
            Course::Recode(_) => health.need = Need::Recode,
        }
        let moved = match course {
            // Read once, and placed at twice its length.
            Course::Recode(_) => 3 * codec.k(),
            Course::Care | Course::Leave | Course::GiveUp(_) => {
                codec.k().saturating_add(health.missing.len())
            }
        };
        let input = Input::Examined {
            object,
            need: health.need,
            danger: health.danger(codec, ring.now),
            able,
            bytes: subject.shard_bytes.saturating_mul(u64::try_from(moved).unwrap_or(u64::MAX)),
        };
        let is_given_up = matches!(course, Course::GiveUp(_));
        Looked { object, need: health.need, input, strays, is_given_up }
    }

    /// What is kept here of a coding that is not needed any more, what is kept for others as well: it goes as strays go.
    async fn give_up(&self, coding: ObjectId) -> Result<Vec<(ObjectId, u8)>, Error> {
        let keeper = self.0.shards.keeper();
        for handed in keeper.handed_off(&coding)? {
            keeper.adopt(coding, handed.index).await?;
        }
        Ok(keeper.surveyed(&coding)?.own.iter().map(|index| (coding, index)).collect())
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
    fn questions(&self, here: &[Here], whom: Whom) -> BTreeMap<PeerId, Vec<ObjectId>> {
        let heard = self.keepers_heard();
        let mut questions: BTreeMap<PeerId, Vec<ObjectId>> = BTreeMap::new();
        let own = here.iter().map(|one| (&one.table, one.manifest.coding(), one.manifest.codec().n()));
        let others = here.iter().flat_map(|one| one.others.iter().map(move |other| (&one.table, other)));
        let others = others.map(|(table, other)| {
            let class = usize::from(table.class().n);
            (table, other.coding, other.codec.map_or(class, Codec::n))
        });
        for (table, object, n) in own.chain(others) {
            let asked = match whom {
                Whom::Holders => table.holders(&object, n),
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

    /// What is kept here of these objects. Blocks.
    fn here(&self, holders: &Holders, objects: &[ObjectId], whom: Whom) -> Result<Vec<Here>, Error> {
        let keeper = self.0.shards.keeper();
        let mut here = Vec::with_capacity(objects.len());
        let which = |manifest: &Manifest, class: Class| match whom {
            // Of what never was in another class there is nothing else, or it is found when it is mended.
            Whom::Everyone if manifest.is_anew() || self.recode(class, manifest.codec()) != Recode::Not => {
                Which::All
            }
            Whom::Everyone | Whom::Holders => Which::Due,
        };
        for object in objects {
            let own = keeper.surveyed(object)?;
            let (Some(bytes), Some(space)) = (keeper.manifest(object)?, keeper.space_of(object)?) else {
                continue;
            };
            let handed = if own.handed_off.is_empty() { Vec::new() } else { keeper.handed_off(object)? };
            match Manifest::from_bytes(&bytes) {
                Ok(manifest) => {
                    let table = self.0.shards.table(holders, &space);
                    let which = which(&manifest, table.class());
                    let others = self.others_of(&manifest, table.class(), which)?;
                    here.push(Here { manifest, table, own, handed, others });
                }
                Err(error) => {
                    tracing::warn!(object = %object.short(), %error, "a manifest kept here cannot be read");
                }
            }
        }
        Ok(here)
    }

    /// What those who answer keep.
    pub(super) async fn survey(
        &self,
        questions: BTreeMap<PeerId, Vec<ObjectId>>,
    ) -> HashMap<PeerId, HashMap<ObjectId, Surveyed>> {
        let asking = questions.into_iter().map(|(peer, objects)| async move {
            match self.surveyed(peer, &objects).await {
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

    async fn surveyed(&self, peer: PeerId, objects: &[ObjectId]) -> Result<Vec<Surveyed>, Error> {
        let mut all = Vec::with_capacity(objects.len());
        for some in objects.chunks(usize::try_from(SURVEY_MAX).unwrap_or(usize::MAX)) {
            match self.ask(peer, &CareRequest::Survey(some.to_vec())).await? {
                CareAnswer::Surveyed(kept) if kept.len() == some.len() => all.extend(kept),
                _other => return Err(unexpected(peer)),
            }
        }
        Ok(all)
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

pub(super) fn copies(holder: PeerId, kept: Surveyed) -> Vec<HeldCopy> {
    let own = kept.own.iter().map(|index| HeldCopy { index, holder, handed_off: false });
    let others = kept.handed_off.iter().map(|index| HeldCopy { index, holder, handed_off: true });
    own.chain(others).collect()
}

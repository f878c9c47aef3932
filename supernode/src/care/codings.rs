//! Codings: what there is of an object in other classes than the one that lies here, and what becomes of each.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Coded, Course, Health, HeldCopy, Recode, Recoding, Ring, Subject, message::care::Surveyed,
};
use cosmic_erasure::{Codec, Manifest, coded_anew};
use cosmic_ring::{Class, Table};
use cosmic_store::Store;

use super::{Care, Error, lock, survey::copies};
use crate::tables::{FACTS, Fact};

/// What everybody said that he keeps.
pub(crate) type Answers = HashMap<PeerId, HashMap<ObjectId, Surveyed>>;

/// Another coding of an object than the one that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Other {
    /// Its name.
    pub(crate) coding: ObjectId,
    /// How it is coded; not known of the first coding, which is called like the object, until somebody shows its manifest.
    pub(crate) codec: Option<Codec>,
    /// What is kept of it here.
    own: Surveyed,
}

/// Which codings of an object to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one it is to have, if it lies in another.
    Due,
    /// All it may have.
    All,
}

impl Care {
    /// Whether what is coded with `codec` is to be coded anew, in a ring of this class.
    pub(crate) fn recode(&self, class: Class, codec: Codec) -> Recode {
        lock(&self.0.recoding).verdict_in(class, codec, self.0.config.recode_after(), self.now())
    }

    /// Since when the ring has the class that it has, and whether that is long enough.
    pub(super) fn class(&self) -> (Class, Timestamp, bool) {
        let (class, since) = lock(&self.0.recoding).since();
        (class, since, since.after(self.0.config.recode_after()) <= self.now())
    }

    /// Takes over which class the ring has now. Since when is remembered, or a restart would begin the rest anew.
    pub(super) async fn learn_class(&self) -> Result<(), Error> {
        let class = Arc::clone(self.0.shards.holders().borrow().atlas()).ring_of(&self.me()).class();
        let (before, after) = {
            let mut recoding = lock(&self.0.recoding);
            let before = recoding.since();
            recoding.observe(class, self.now());
            (before, recoding.since())
        };
        let store = &self.0.context.store;
        if before != after || !store.contains(&FACTS, &(Fact::Class as u8))? {
            let mut batch = store.batch();
            batch.put(&FACTS, &(Fact::Class as u8), &fact(after));
            store.commit(batch).await?;
        }
        Ok(())
    }

    /// Other codings of the object of `manifest`, whose space is placed by a ring of this class, and what is kept of them here. Blocks.
    pub(crate) fn others_of(
        &self,
        manifest: &Manifest,
        class: Class,
        which: Which,
    ) -> Result<Vec<Other>, Error> {
        let object = manifest.object();
        let codecs: Vec<Codec> = match (which, self.recode(class, manifest.codec())) {
            (Which::All, _) => self.0.context.codecs(),
            (Which::Due, Recode::Now { class }) => Codec::new(class.k, class.n).into_iter().collect(),
            (Which::Due, Recode::Not | Recode::Later { .. }) => Vec::new(),
        };
        let first = (!codecs.is_empty()).then_some((object, None));
        let anew = codecs.into_iter().map(|codec| (coded_anew(&object, codec), Some(codec)));
        let others = first.into_iter().chain(anew).filter(|(coding, _codec)| *coding != manifest.coding());
        let keeper = self.0.shards.keeper();
        others.map(|(coding, codec)| Ok(Other { coding, codec, own: keeper.surveyed(&coding)? })).collect()
    }

    /// How first codings are coded of which somebody has something.
    pub(crate) async fn first_codecs(&self, others: &[Other], answers: &Answers) -> HashMap<ObjectId, Codec> {
        let mut codecs = HashMap::new();
        let unknown: BTreeSet<ObjectId> =
            others.iter().filter(|other| other.codec.is_none()).map(|other| other.coding).collect();
        for object in unknown {
            let has = |(_peer, kept): &(&PeerId, &HashMap<_, Surveyed>)| {
                kept.get(&object).is_some_and(|kept| !kept.own.is_empty())
            };
            let mut holders = vec![self.me()];
            holders.extend(answers.iter().filter(has).map(|(peer, _kept)| *peer));
            for holder in holders {
                let Ok(kept) = self.0.shards.which(holder, object).await else { continue };
                let manifest = Manifest::from_bytes(&kept.manifest).ok();
                if let Some(manifest) = manifest.filter(|manifest| manifest.object() == object) {
                    codecs.insert(object, manifest.codec());
                    break;
                }
            }
        }
        codecs
    }

    /// The other codings of the object of `manifest` of which somebody who answered has something.
    pub(crate) fn siblings(
        &self,
        manifest: &Manifest,
        others: &[Other],
        answers: &Answers,
        first: &HashMap<ObjectId, Codec>,
    ) -> Vec<Subject> {
        let mut siblings = Vec::new();
        for other in others {
            let Some(codec) = other.codec.or_else(|| first.get(&other.coding).copied()) else { continue };
            let mut all: Vec<HeldCopy> = copies(self.me(), other.own);
            for (peer, kept) in answers {
                all.extend(kept.get(&other.coding).into_iter().flat_map(|kept| copies(*peer, *kept)));
            }
            self.0.audits.believe(other.coding, &mut all);
            if !all.is_empty() {
                let subject = Subject::coded_anew(&manifest.object(), manifest.length(), codec, all);
                siblings.push(Subject { object: other.coding, ..subject });
            }
        }
        siblings
    }

    /// What becomes of the coding of this codec and health, when there are these others.
    pub(crate) fn course(
        &self,
        (codec, health): (Codec, Health),
        siblings: &[Subject],
        ring: Ring<'_>,
    ) -> Course {
        let others: Vec<Coded> = siblings
            .iter()
            .map(|subject| Coded { codec: subject.codec, health: subject.health(ring) })
            .collect();
        Coded { codec, health }.course(&others, self.recode(ring.table.class(), codec), ring.table.len())
    }

    /// The coding of an object in the class of the ring, if what lies here in another class is to be given up for it, with
    /// where its shards are and belong. None if `manifest` is not given up.
    pub(crate) async fn heir(
        &self,
        manifest: &Manifest,
        answers: &Answers,
        table: &Table,
    ) -> Option<Subject> {
        let others = self.others_of(manifest, table.class(), Which::Due).ok()?;
        let first = self.first_codecs(&others, answers).await;
        let siblings = self.siblings(manifest, &others, answers, &first);
        let Class { k, n } = table.class();
        let is_right = |subject: &Subject| (subject.codec.k(), subject.codec.n()) == (k.into(), n.into());
        siblings.into_iter().find(is_right)
    }

    /// The names of the codings an asking about these objects has to name as well.
    pub(crate) fn with_heirs(&self, manifests: &[(Manifest, SpaceId)]) -> Result<Vec<ObjectId>, Error> {
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let mut names = BTreeSet::new();
        for (manifest, space) in manifests {
            let class = self.0.shards.table(&holders, space).class();
            names.insert(manifest.coding());
            names.extend(self.others_of(manifest, class, Which::Due)?.iter().map(|other| other.coding));
        }
        Ok(names.into_iter().collect())
    }
}

/// The class of the ring and since when, as it was remembered; from now on if it was not.
pub(super) fn remembered(store: &Store, class: Class, now: Timestamp) -> Recoding {
    let known = store.get(&FACTS, &(Fact::Class as u8)).ok().flatten();
    let known = known.and_then(|bytes| <[u8; 10]>::try_from(bytes.as_ref()).ok());
    match known {
        Some([k, n, since @ ..]) => {
            let since = Timestamp::from_unix_ms(u64::from_be_bytes(since));
            Recoding::new(Class { k, n }, since.min(now))
        }
        None => Recoding::new(class, now),
    }
}

fn fact((class, since): (Class, Timestamp)) -> Bytes {
    let mut bytes = vec![class.k, class.n];
    bytes.extend(since.unix_ms().to_be_bytes());
    bytes.into()
}

//! Getting an object: any k of its shards, the nearest first, one more when those asked take too long.
//!
//! Nothing that came is believed: the object's own hash proves all shards that were used. When it does not come out
//! right, each shard is held against the manifest, and the wrong ones are named and asked for elsewhere. A
//! manifest of which k right shards are another object was forged; another one that was seen is tried then, as it is when
//! there are too few shards of the first: an object that is being coded anew has two.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{Ask, Found, Outcome, Search};
use cosmic_erasure::{Codec, Coder, Error as CodingError, Manifest, Rebuilt};
use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{Error, Objects, is_meant};
use crate::shards::{self, Giving, Metrics};

/// How often a search begins anew because somebody lied: each time one lie more is known.
const ATTEMPTS_MAX: usize = 8;
/// How often everybody is asked again because somebody could not be reached.
const RETRIES_MAX: u32 = 2;
/// The pause before the first of these; longer before each.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Puts whoever lied behind everybody else.
const LIAR_RANK: u64 = 1000;

/// What a holder answered.
enum Answer {
    Shard(shards::Found),
    Which(shards::Kept),
    Placement(cosmic_custody::Placement),
    /// It has nothing.
    Nothing,
    /// It could not be asked, and may answer in a moment.
    Missed,
}

/// How a round of collecting ended.
enum Round {
    /// Enough shards of the manifest are there.
    Enough,
    /// The manifest names another codec than was looked for, so other holders.
    OtherCodec,
    /// Everybody was asked, and these are all.
    Lost(usize),
}

/// What is known of an object while it is looked for.
struct Hunt {
    /// The object, or the name of a coding of it.
    object: ObjectId,
    /// The manifest that shards are collected for, with its bytes.
    manifest: Option<(Manifest, Vec<u8>)>,
    /// Manifests that are not the object's, or of whose shards there were too few.
    passed: HashSet<Vec<u8>>,
    /// Whether another manifest than the one collected for was seen.
    others_seen: bool,
    /// Whether one of the same coding was.
    rival_seen: bool,
    /// Whether somebody could not be asked.
    missed: bool,
    /// Whether every shard is held against the manifest as it comes.
    check_each: bool,
    shards: Vec<Option<Vec<u8>>>,
    from: BTreeMap<u8, PeerId>,
    /// Wrong shards and who gave them.
    wrong: BTreeSet<(PeerId, u8)>,
}

impl Objects {
    /// The object, rebuilt from any k shards. Wrong shards that were met are replaced at their holders; `space` is
    /// charged where a shard was not charged before.
    ///
    /// # Errors
    /// [`Error::NotHere`] or [`Error::TooFew`].
    pub async fn get(&self, space: SpaceId, object: ObjectId) -> Result<Rebuilt, Error> {
        // One that cannot be read is as good as none: others have it.
        let beside = self.0.shards.keeper().manifest(&object).ok().flatten();
        let mut hunt = Hunt::new(object, beside.as_deref());
        let (mut found, mut retries) = (0, 0);
        for _attempt in 0..ATTEMPTS_MAX {
            match self.collect(space, &mut hunt).await? {
                Round::Enough => {
                    if let Some(rebuilt) = self.rebuild(&mut hunt).await? {
                        self.0.shards.metrics().objects_served.inc();
                        self.mend(space, &hunt, &rebuilt);
                        return Ok(rebuilt);
                    }
                }
                Round::OtherCodec => {}
                Round::Lost(all) => {
                    found = all;
                    if hunt.others_seen || hunt.is_of_another_name() {
                        hunt.pass_over(self.0.shards.metrics());
                    } else if hunt.missed && retries < RETRIES_MAX {
                        retries += 1;
                        self.0.clock.sleep(RETRY_PAUSE * retries).await;
                    } else {
                        break;
                    }
                }
            }
        }
        Err(match hunt.manifest {
            None => Error::NotHere { object },
            Some((manifest, _)) => {
                Error::TooFew { object, what: "found", got: found, needed: manifest.codec().k() }
            }
        })
    }

    /// Asks until enough shards of one manifest are there.
    async fn collect(&self, space: SpaceId, hunt: &mut Hunt) -> Result<Round, Error> {
        let shards = &self.0.shards;
        let holders = Arc::clone(&shards.holders().borrow());
        let codec = match &hunt.manifest {
            Some((manifest, _bytes)) => manifest.codec(),
            None => self.plan(&space, &hunt.object)?.codec,
        };
        hunt.begin(codec);
        let lied = |peer: &PeerId| hunt.wrong.iter().any(|(holder, _index)| holder == peer);
        let rank = |peer: &PeerId| if lied(peer) { LIAR_RANK } else { shards.rank(peer) };
        let regions = shards.regions(&space);
        let sources = holders.sources((&space, &regions), &hunt.object, codec);
        let mut search = Search::new(codec.k(), 0, sources, rank);
        let mut open = FuturesUnordered::new();
        loop {
            for ask in search.asks() {
                if matches!(ask, Ask::Which { .. }) {
                    shards.metrics().searches_beyond_ring.inc();
                }
                let name = hunt.name();
                open.push(async move { (ask, self.ask(name, ask).await) });
            }
            match search.outcome() {
                Outcome::Enough => return Ok(Round::Enough),
                Outcome::Lost { found } => return Ok(Round::Lost(found.len())),
                Outcome::Searching => {}
            }
            match self.0.clock.timeout(self.0.hedge_after, open.next()).await {
                None => search.hurry(),
                Some(None) => return Ok(Round::Lost(search.found().len())),
                Some(Some((ask, answer))) => {
                    let found = hunt.take_in(ask, answer, shards.metrics());
                    if hunt.manifest.as_ref().is_some_and(|(manifest, _bytes)| manifest.codec() != codec) {
                        return Ok(Round::OtherCodec);
                    }
                    search.answered(ask, found);
                }
            }
        }
    }

    async fn ask(&self, object: ObjectId, ask: Ask) -> Answer {
        let shards = &self.0.shards;
        let answered = match ask {
            Ask::Shard { holder, index } => shards.take_of(holder, object, index).await.map(Answer::Shard),
            Ask::Which { holder } => shards.which_of(holder, object).await.map(Answer::Which),
            Ask::Placement { holder } => {
                let placement = shards.placement(holder, object).await;
                placement.map(|placement| placement.map_or(Answer::Nothing, Answer::Placement))
            }
        };
        answered.unwrap_or_else(|error| {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::debug!(object = %object.short(), ?ask, reason, "nothing was found there");
            if error.may_pass() { Answer::Missed } else { Answer::Nothing }
        })
    }

    /// The object; `None` if a lie was found out, and the search has to begin anew.
    async fn rebuild(&self, hunt: &mut Hunt) -> Result<Option<Rebuilt>, Error> {
        let object = hunt.object;
        let Some((manifest, _bytes)) = hunt.manifest.clone() else { return Ok(None) };
        let coder = self.coder(object, manifest.codec())?;
        let shards = std::mem::take(&mut hunt.shards);
        match rebuild(coder, manifest, shards).await? {
            Ok(rebuilt) => {
                hunt.accuse(rebuilt.wrong(), self.0.shards.metrics());
                Ok(Some(rebuilt))
            }
            Err(CodingError::TooFewShards { wrong, .. }) if !wrong.is_empty() => {
                hunt.accuse(&wrong, self.0.shards.metrics());
                hunt.check_each = true;
                Ok(None)
            }
            Err(CodingError::ForgedManifest) => {
                hunt.disbelieve(self.0.shards.metrics());
                Ok(None)
            }
            Err(source) => Err(Error::Coding { object, source }),
        }
    }

    /// Replaces wrong shards at their holders, after the answer.
    fn mend(&self, space: SpaceId, hunt: &Hunt, rebuilt: &Rebuilt) {
        let Some((manifest, manifest_bytes)) = hunt.manifest.clone().filter(|_| !hunt.wrong.is_empty())
        else {
            return;
        };
        let (objects, wrong, object) = (self.clone(), hunt.wrong.clone(), manifest.object());
        let bytes = rebuilt.parts().collect::<Vec<_>>().concat();
        self.afterwards(async move {
            let (Ok(_turn), Ok(coder)) = (objects.turn().await, objects.coder(object, manifest.codec())) else { return };
            let coded = tokio::task::spawn_blocking(move || coder.encode_known(object, bytes)).await;
            let Ok(Ok(encoded)) = coded else { return };
            for (holder, index) in wrong {
                let bytes = encoded.shard(index).unwrap_or_default();
                let (manifest, manifest_bytes) = (&manifest, manifest_bytes.as_slice());
                let giving = Giving { holder, owner: None, space, manifest, manifest_bytes, index, bytes };
                match objects.0.shards.give(giving).await {
                    Ok(_receipt) => {
                        objects.0.shards.metrics().shards_mended.inc();
                        tracing::info!(holder = %holder.short(), object = %object.short(), index, "a wrong shard was replaced");
                    }
                    Err(error) => {
                        let reason = cosmic_runtime::exit::sentence(&error);
                        tracing::warn!(holder = %holder.short(), object = %object.short(), index, reason, "a wrong shard could not be replaced");
                    }
                }
            }
        });
    }
}

/// Rebuilds on a thread where computing hinders nobody.
async fn rebuild(
    coder: Arc<Coder>,
    manifest: Manifest,
    mut shards: Vec<Option<Vec<u8>>>,
) -> Result<Result<Rebuilt, CodingError>, Error> {
    let rebuilding = tokio::task::spawn_blocking(move || coder.rebuild(&manifest, &mut shards));
    rebuilding.await.map_err(|_gone| Error::Stopping)
}

impl Hunt {
    fn new(object: ObjectId, manifest: Option<&[u8]>) -> Self {
        let mut hunt = Self {
            object,
            manifest: None,
            passed: HashSet::new(),
            others_seen: false,
            rival_seen: false,
            missed: false,
            check_each: false,
            shards: Vec::new(),
            from: BTreeMap::new(),
            wrong: BTreeSet::new(),
        };
        if let Some(bytes) = manifest {
            hunt.believe(bytes);
        }
        hunt
    }

    /// Begins to collect under `codec`, with nothing.
    fn begin(&mut self, codec: Codec) {
        self.shards = vec![None; codec.n()];
        self.from.clear();
        self.others_seen = false;
        self.rival_seen = false;
        self.missed = false;
    }

    /// The name by which shards are asked for: that of the coding, once it is known.
    fn name(&self) -> ObjectId {
        self.manifest.as_ref().map_or(self.object, |(manifest, _bytes)| manifest.coding())
    }

    /// Whether shards were asked for by another name than the one given, so that others may be found by that.
    fn is_of_another_name(&self) -> bool {
        self.manifest.is_some() && self.name() != self.object
    }

    /// Whether `bytes` are the manifest that shards are collected for; the first that could be the object's is taken.
    fn believe(&mut self, bytes: &[u8]) -> bool {
        if let Some((manifest, believed)) = &self.manifest {
            let same = believed == bytes;
            if !same && Manifest::from_bytes(bytes).is_ok_and(|other| other.coding() == manifest.coding()) {
                self.rival_seen = true;
            }
            self.others_seen |= !same && !self.passed.contains(bytes);
            return same;
        }
        if self.passed.contains(bytes) {
            return false;
        }
        let manifest = Manifest::from_bytes(bytes).ok().filter(|manifest| is_meant(manifest, &self.object));
        self.manifest = manifest.map(|manifest| (manifest, bytes.to_vec()));
        self.manifest.is_some()
    }

    /// Gives the manifest up: it is not the object's.
    fn disbelieve(&mut self, metrics: &Metrics) {
        if let Some((_manifest, bytes)) = self.manifest.take() {
            metrics.manifests_forged.inc();
            tracing::warn!(object = %self.object.short(), "a manifest is not the object's, and is not used");
            self.passed.insert(bytes);
        }
        self.check_each = true;
    }

    /// Gives the manifest up, because there are too few shards of it. What another one of the same name was seen beside is a lie.
    fn pass_over(&mut self, metrics: &Metrics) {
        if self.rival_seen {
            return self.disbelieve(metrics);
        }
        self.passed.extend(self.manifest.take().map(|(_manifest, bytes)| bytes));
        self.check_each = true;
    }

    /// Notes which of the shards that were collected are wrong.
    fn accuse(&mut self, wrong: &[u8], metrics: &Metrics) {
        for index in wrong {
            if let Some(holder) = self.from.get(index) {
                metrics.shards_wrong.inc();
                tracing::warn!(holder = %holder.short(), object = %self.object.short(), index, "a shard was wrong");
                self.wrong.insert((*holder, *index));
            }
        }
    }

    fn take_in(&mut self, ask: Ask, answer: Answer, metrics: &Metrics) -> Found {
        match (ask, answer) {
            (Ask::Shard { holder, index }, Answer::Shard(found)) => {
                if self.take_shard(holder, index, found, metrics) { Found::Shard } else { Found::Nothing }
            }
            (Ask::Which { .. }, Answer::Which(kept)) => {
                let held = !kept.manifest.is_empty() && self.believe(&kept.manifest);
                if held { Found::Held(kept.indices) } else { Found::Nothing }
            }
            (Ask::Placement { .. }, Answer::Placement(placement)) => Found::Placement(placement),
            (Ask::Shard { .. } | Ask::Which { .. } | Ask::Placement { .. }, answer) => {
                self.missed |= matches!(answer, Answer::Missed);
                Found::Nothing
            }
        }
    }

    fn take_shard(&mut self, holder: PeerId, index: u8, found: shards::Found, metrics: &Metrics) -> bool {
        if self.wrong.contains(&(holder, index)) || !self.believe(&found.manifest) {
            return false;
        }
        let Some((manifest, _bytes)) = &self.manifest else { return false };
        let fits = found.bytes.len() == manifest.shard_bytes();
        let right = fits && (!self.check_each || manifest.check_shard(index, &found.bytes).is_ok());
        self.from.insert(index, holder);
        if !right {
            self.accuse(&[index], metrics);
            return false;
        }
        match self.shards.get_mut(usize::from(index)) {
            Some(place) => {
                *place = Some(found.bytes);
                true
            }
            None => false,
        }
    }
}

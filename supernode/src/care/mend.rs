//! Mending one object: everybody is asked what he keeps, k shards are read, the missing ones made and placed; when the new
//! holders have signed, the placement record says so.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::{
    Assignment, Course, Held, HeldCopy, Means, Need, ObjectCustody, Placement, Promise, Receipt, RepairPlan,
    Ring, Standing, Stuck, Subject, Suspect, assign,
    message::care::{CareAnswer, CareRequest},
    placement_record, plan_repair,
    repair::queue::Failure,
};
use cosmic_erasure::Manifest;
use cosmic_ring::Table;
use futures::{StreamExt as _, stream};

use super::{ASKED_AT_ONCE, Care, Error, ask::unexpected};
use crate::{
    holders::Holders,
    shards::{self, Giving},
};

/// Why a repair did not succeed, and what it moved.
#[derive(Debug)]
pub(super) struct Undone {
    pub(super) failure: Failure,
    pub(super) bytes: u64,
}

impl Undone {
    pub(super) const fn nothing(failure: Failure) -> Self {
        Self { failure, bytes: 0 }
    }
}

/// The object, and what its holders signed.
pub(super) struct Patient {
    pub(super) space: SpaceId,
    pub(super) manifest: Manifest,
    manifest_bytes: Vec<u8>,
    pub(super) holders: Arc<Holders>,
    pub(super) table: Arc<Table>,
    pub(super) standing: Standing,
    pub(super) custody: ObjectCustody,
    pub(super) copies: Vec<HeldCopy>,
    /// The record before, and who of it did not answer.
    record: Option<Placement>,
    answered: BTreeSet<PeerId>,
}

impl Patient {
    /// Takes in a receipt for a shard of this object; the copy it proves.
    fn count(&mut self, holder: PeerId, bytes: &[u8]) -> Option<HeldCopy> {
        let receipt = Receipt::open(bytes).ok().filter(|receipt| receipt.holder == holder)?;
        let Held::Shard { object, index, hash } = receipt.held else { return None };
        if object != self.manifest.coding() || self.manifest.shard(index) != Some(hash) {
            return None;
        }
        // Whoever retired does not count for a level, and can be read from all the same.
        drop(self.custody.hear(&receipt, &mut self.standing));
        Some(HeldCopy { index, holder, handed_off: receipt.promise == Promise::Forwards })
    }
}

impl Care {
    /// Mends `object`, or codes it anew; the bytes that were moved.
    pub(super) async fn mend(&self, object: ObjectId) -> Result<u64, Undone> {
        let mut patient = self.patient(object).await.map_err(|error| local(&error))?;
        match self.decide(&patient).await.map_err(|error| local(&error))? {
            (Course::Care, _) => {}
            (Course::Leave | Course::GiveUp(_), _) => return Ok(0),
            (Course::Recode(codec), right) => return self.code_anew(&patient, codec, right).await,
        }
        let Some(plan) = self.plan(&patient).map_err(Undone::nothing)? else { return Ok(0) };
        let adopted = self.adopt(&mut patient, &plan).await;
        let mut bytes = 0;
        let mut placed = Vec::new();
        if !plan.make.is_empty() {
            let shards = self.read(&patient, &plan, &mut bytes).await?;
            let made =
                self.make(&patient, &plan, shards).await.map_err(|failure| Undone { failure, bytes })?;
            placed = self.place(&mut patient, made, &mut bytes).await;
        }
        if adopted + placed.len() > 0 {
            self.record(&patient, &placed).await;
        }
        let all = adopted == plan.adopt.len() && placed.len() == plan.make.len();
        if all { Ok(bytes.max(1)) } else { Err(Undone { failure: Failure::Unplaced, bytes }) }
    }

    /// The coding that lies here, as everybody says that it is.
    async fn patient(&self, object: ObjectId) -> Result<Patient, Error> {
        let keeper = self.0.shards.keeper();
        let missing = shards::Error::NotHere { object, index: 0 };
        let (Some(space), Some(bytes)) = (keeper.space_of(&object)?, keeper.manifest(&object)?) else {
            return Err(missing.into());
        };
        let Ok(manifest) = Manifest::from_bytes(&bytes) else { return Err(missing.into()) };
        self.asked(space, manifest).await
    }

    /// Asks everybody.
    pub(super) async fn asked(&self, space: SpaceId, manifest: Manifest) -> Result<Patient, Error> {
        let (shards, object) = (&self.0.shards, manifest.coding());
        let holders = Arc::clone(&shards.holders().borrow());
        let mut patient = Patient {
            space,
            custody: ObjectCustody::new(&manifest),
            manifest_bytes: manifest.to_bytes(),
            manifest,
            standing: holders.standing().clone(),
            table: shards.table(&holders, &space),
            holders,
            copies: Vec::new(),
            record: None,
            answered: BTreeSet::new(),
        };
        let mut asked = self.keepers_heard();
        asked.push(self.me());
        let asking = asked.into_iter().map(|peer| async move { (peer, shards.which(peer, object).await) });
        let mut answers = stream::iter(asking).buffer_unordered(ASKED_AT_ONCE);
        while let Some((peer, answer)) = answers.next().await {
            let Ok(kept) = answer else { continue };
            patient.answered.insert(peer);
            if kept.manifest == patient.manifest_bytes {
                let copies: Vec<_> =
                    kept.receipts.iter().filter_map(|receipt| patient.count(peer, receipt)).collect();
                patient.copies.extend(copies);
            }
        }
        patient.record = self.placement(&object).await;
        self.believe(&mut patient);
        for suspect in self.0.audits.found_lost(object, &patient.copies) {
            self.0.audits.confirm(self, suspect).await;
        }
        self.0.audits.believe(object, &mut patient.copies);
        Ok(patient)
    }

    /// The placement record of `object`, the latest of those that its keepers have.
    pub(crate) async fn placement(&self, object: &ObjectId) -> Option<Placement> {
        let mut latest: Option<Placement> = None;
        for keeper in self.keepers(object) {
            let found = self.0.shards.placement(keeper, *object).await.unwrap_or_default();
            latest = match (latest.take(), found) {
                (Some(one), Some(other)) => one.newer(other),
                (one, other) => one.or(other),
            };
        }
        latest
    }

    /// Of those who do not answer it is believed that they have what the record says, or else the table.
    fn believe(&self, patient: &mut Patient) {
        let (object, codec) = (patient.manifest.coding(), patient.manifest.codec());
        let planned = assign(&patient.table.holders(&object, codec.n()), codec);
        let recorded = patient.record.iter().flat_map(|record| &record.holders);
        let recorded = recorded.map(|(index, holding)| Assignment { index: *index, holder: holding.peer });
        let mut believed: Vec<Assignment> = recorded.collect();
        if believed.is_empty() {
            believed = planned;
        }
        believed.retain(|shard| !patient.answered.contains(&shard.holder));
        let copy =
            |shard: Assignment| HeldCopy { index: shard.index, holder: shard.holder, handed_off: false };
        patient.copies.extend(believed.into_iter().map(copy));
    }

    /// What is to be done; nothing if the object turned out to be well.
    fn plan(&self, patient: &Patient) -> Result<Option<RepairPlan>, Failure> {
        let shards = &self.0.shards;
        let liveness = self.liveness();
        let ring = Ring { table: &patient.table, liveness: &liveness, now: self.now() };
        let subject = Subject::new(&patient.manifest, patient.copies.clone());
        let health = subject.health(ring);
        if health.need < Need::Repair {
            return Ok(None);
        }
        let audits = &self.0.audits;
        let may_take = |peer: &PeerId| self.may_take(patient, peer);
        // Who lost a shard of this object gets none again while there is somebody else.
        let has_lost = |peer: &PeerId| {
            let suspect = |index| Suspect { holder: *peer, object: subject.object, index };
            (0_u8..).take(subject.codec.n()).any(|index| audits.is_found_lost(&suspect(index)))
        };
        let may_take_again = |peer: &PeerId| may_take(peer) && !has_lost(peer);
        let rank = |peer: &PeerId| shards.rank(peer);
        let means = Means { me: self.me(), ring, may_take: &may_take_again, rank: &rank };
        let planned = match plan_repair(&subject, &health, &means) {
            Err(Stuck::NoPlace { .. }) => {
                plan_repair(&subject, &health, &Means { may_take: &may_take, ..means })
            }
            planned => planned,
        };
        planned.map(Some).map_err(Failure::Stuck)
    }

    /// Whether a member may be given a shard.
    pub(super) fn may_take(&self, patient: &Patient, peer: &PeerId) -> bool {
        patient.holders.contains(peer) && !self.0.shards.is_away(peer) && self.0.audits.is_trusted(peer)
    }

    /// Lets keepers take over what they kept for others; how many did.
    pub(super) async fn adopt(&self, patient: &mut Patient, plan: &RepairPlan) -> usize {
        let mut adopted = 0;
        for Assignment { index, holder } in &plan.adopt {
            match self.keep_as_own(*holder, plan.object, *index).await {
                Ok(receipt) => adopted += usize::from(patient.count(*holder, &receipt).is_some()),
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::debug!(holder = %holder.short(), index, reason, "a shard was not taken over");
                }
            }
        }
        adopted
    }

    async fn keep_as_own(&self, holder: PeerId, object: ObjectId, index: u8) -> Result<Vec<u8>, Error> {
        if holder == self.me() {
            return Ok(self.0.shards.keeper().adopt(object, index).await?);
        }
        match self.ask(holder, &CareRequest::Keep { object, index }).await? {
            CareAnswer::Kept { receipt } => Ok(receipt),
            _other => Err(unexpected(holder)),
        }
    }

    /// k right shards, the spare ones asked where others fail.
    pub(super) async fn read(
        &self,
        patient: &Patient,
        plan: &RepairPlan,
        bytes: &mut u64,
    ) -> Result<Vec<Option<Vec<u8>>>, Undone> {
        let codec = patient.manifest.codec();
        let mut shards: Vec<Option<Vec<u8>>> = vec![None; codec.n()];
        let mut reading: stream::FuturesUnordered<_> =
            plan.read.iter().map(|shard| self.take(patient, *shard)).collect();
        let mut spare = plan.spare.iter();
        let mut found = 0;
        while let Some((shard, taken)) = reading.next().await {
            if let Some(taken) = taken {
                if shard.holder != self.me() {
                    let length = u64::try_from(taken.len()).unwrap_or(u64::MAX);
                    *bytes = bytes.saturating_add(length);
                    self.0.metrics.bytes_read.inc_by(length);
                }
                if let Some(place) = shards.get_mut(usize::from(shard.index)).filter(|place| place.is_none())
                {
                    *place = Some(taken);
                    found += 1;
                }
            } else if let Some(next) = spare.next() {
                reading.push(self.take(patient, *next));
            }
        }
        if found < codec.k() {
            return Err(Undone { failure: Failure::Unread, bytes: *bytes });
        }
        Ok(shards)
    }

    async fn take(&self, patient: &Patient, shard: Assignment) -> (Assignment, Option<Vec<u8>>) {
        let Assignment { index, holder } = shard;
        let object = patient.manifest.coding();
        match self.0.shards.take(holder, object, index).await {
            Ok(found) if patient.manifest.check_shard(index, &found.bytes).is_ok() => {
                (shard, Some(found.bytes))
            }
            Ok(_wrong) => {
                self.0.shards.metrics().shards_wrong.inc();
                tracing::warn!(holder = %holder.short(), object = %object.short(), index, "a shard was wrong");
                (shard, None)
            }
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(holder = %holder.short(), index, reason, "a shard could not be read");
                (shard, None)
            }
        }
    }

    /// The missing shards, on a thread where computing hinders nobody.
    async fn make(
        &self,
        patient: &Patient,
        plan: &RepairPlan,
        mut shards: Vec<Option<Vec<u8>>>,
    ) -> Result<Vec<(Assignment, Vec<u8>)>, Failure> {
        let manifest = patient.manifest.clone();
        let Ok(coder) = self.0.objects.coder(manifest.object(), manifest.codec()) else {
            return Err(Failure::Local);
        };
        let wanted = plan.make.clone();
        let making = move || {
            let made = wanted
                .into_iter()
                .map(|shard| Ok((shard, coder.rebuild_shard(&manifest, &mut shards, shard.index)?)));
            made.collect::<Result<Vec<_>, cosmic_erasure::Error>>()
        };
        match tokio::task::spawn_blocking(making).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => {
                tracing::warn!(object = %plan.object.short(), %error, "shards could not be made again");
                Err(Failure::Unread)
            }
            Err(_stopping) => Err(Failure::Local),
        }
    }

    /// Gives the new shards to their holders; those who signed.
    pub(super) async fn place(
        &self,
        patient: &mut Patient,
        made: Vec<(Assignment, Vec<u8>)>,
        moved: &mut u64,
    ) -> Vec<Assignment> {
        let mut placed = Vec::with_capacity(made.len());
        for (shard, bytes) in made {
            let Assignment { index, holder } = shard;
            let (manifest, manifest_bytes) = (&patient.manifest, &patient.manifest_bytes[..]);
            let space = patient.space;
            let giving =
                Giving { holder, owner: None, space, manifest, manifest_bytes, index, bytes: &bytes };
            let given = self.0.shards.give(giving).await;
            match given {
                Ok(receipt) if patient.count(holder, &receipt).is_some() => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    self.0.metrics.bytes_rebuilt.inc_by(length);
                    if holder != self.me() {
                        *moved = moved.saturating_add(length);
                    }
                    self.0
                        .audits
                        .restored(Suspect { holder, object: patient.manifest.coding(), index })
                        .await;
                    placed.push(shard);
                }
                Ok(_other) => {
                    tracing::warn!(holder = %holder.short(), index, "a holder signed for something else");
                }
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::info!(holder = %holder.short(), index, reason, "a shard was not placed");
                }
            }
        }
        placed
    }

    /// Tells the keepers of the placement record who has what now. Whoever is silent keeps its place where nobody else is.
    pub(super) async fn record(&self, patient: &Patient, placed: &[Assignment]) {
        let (ring, now) = (patient.holders.digest(), self.now());
        let mut record = placement_record(placed, &patient.custody, &patient.standing, ring, now);
        let silent = patient.record.iter().flat_map(|record| &record.holders);
        for (index, holding) in silent.filter(|(_index, holding)| !patient.answered.contains(&holding.peer)) {
            record.holders.entry(*index).or_insert(*holding);
        }
        self.note(&record).await;
    }

    /// Tells the keepers of a placement record about it.
    pub(crate) async fn note(&self, record: &Placement) {
        for keeper in self.keepers(&record.object) {
            if let Err(error) = self.0.shards.note(keeper, record).await {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(keeper = %keeper.short(), reason, "a placement record was not kept");
            }
        }
    }
}

pub(super) fn local(error: &Error) -> Undone {
    let reason = cosmic_runtime::exit::sentence(error);
    tracing::warn!(reason, "a repair could not begin");
    Undone::nothing(Failure::Local)
}

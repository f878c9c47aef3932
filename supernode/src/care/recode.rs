//! Coding one object anew: read from the coding it has, held against its id, coded in the class of the ring, and given to the
//! holders by that. What an attempt before has placed stays there.

use cosmic_common::id::{ObjectId, PeerId};
use cosmic_custody::{Care as Bounds, Course, Means, Ring, Subject, plan_recode, repair::queue::Failure};
use cosmic_erasure::{Codec, Encoded};

use super::{
    Care, Error,
    codings::Which,
    mend::{Patient, Undone, local},
};

impl Care {
    /// What becomes of the coding that is to be mended.
    pub(super) async fn decide(&self, patient: &Patient) -> Result<(Course, Option<Subject>), Error> {
        let others = self.others_of(&patient.manifest, patient.table.class(), Which::All)?;
        let names: Vec<ObjectId> = others.iter().map(|other| other.coding).collect();
        let answers = self.survey_everyone(&names).await;
        let first = self.first_codecs(&others, &answers).await;
        let mut siblings = self.siblings(&patient.manifest, &others, &answers, &first);
        let liveness = self.liveness();
        let ring = Ring { table: &patient.table, liveness: &liveness, now: self.now() };
        let subject = Subject::new(&patient.manifest, patient.copies.clone());
        let course = self.course((subject.codec, subject.health(ring)), &siblings, ring);
        let right = match course {
            Course::Recode(codec) => siblings.iter().position(|sibling| sibling.codec == codec),
            Course::Care | Course::Leave | Course::GiveUp(_) => None,
        };
        Ok((course, right.map(|place| siblings.swap_remove(place))))
    }

    /// Codes an object anew with `codec`, or completes the coding that is there; the bytes that were moved.
    pub(super) async fn code_anew(
        &self,
        patient: &Patient,
        codec: Codec,
        right: Option<Subject>,
    ) -> Result<u64, Undone> {
        let (object, length) = (patient.manifest.object(), patient.manifest.length());
        // The first coding may be that of the ring's class itself, when the ring is again as it was.
        let is_anew = right.as_ref().is_none_or(|right| right.object != object);
        let right = right.unwrap_or_else(|| Subject::coded_anew(&object, length, codec, Vec::new()));
        let from = Subject::new(&patient.manifest, patient.copies.clone());
        let plan = self.plan_anew(patient, &from, &right)?;
        let mut bytes = 0;
        let encoded = self.object_anew(patient, codec, self.read(patient, &plan, &mut bytes).await?).await;
        let encoded = encoded.map_err(|failure| Undone { failure, bytes })?;
        let manifest = encoded.manifest().clone();
        let manifest = if is_anew { manifest.anew() } else { manifest };
        let undone = |error: &Error| Undone { bytes, ..local(error) };
        // What is there already counts by what is signed for it.
        let mut anew = self.asked(patient.space, manifest).await.map_err(|error| undone(&error))?;
        let right = Subject { object: right.object, ..Subject::new(&anew.manifest, anew.copies.clone()) };
        let plan = self.plan_anew(patient, &from, &right).map_err(|undone| Undone { bytes, ..undone })?;
        let adopted = self.adopt(&mut anew, &plan).await;
        let shard = |index: u8| encoded.shard(index).unwrap_or_default().to_vec();
        let made = plan.make.iter().map(|place| (*place, shard(place.index))).collect();
        let placed = self.place(&mut anew, made, &mut bytes).await;
        if adopted + placed.len() > 0 {
            self.record(&anew, &placed).await;
        }
        let signed = anew.custody.verdict(&anew.standing).shards.len();
        if signed < Bounds::of(codec).wanted {
            return Err(Undone { failure: Failure::Unplaced, bytes });
        }
        self.0.metrics.objects_recoded.inc();
        self.0.metrics.bytes_recoded.inc_by(bytes);
        tracing::info!(object = %object.short(), from = %from.codec, to = %codec, bytes, "an object was coded anew");
        Ok(bytes.max(1))
    }

    fn plan_anew(
        &self,
        patient: &Patient,
        from: &Subject,
        right: &Subject,
    ) -> Result<cosmic_custody::RepairPlan, Undone> {
        let liveness = self.liveness();
        let ring = Ring { table: &patient.table, liveness: &liveness, now: self.now() };
        let may_take = |peer: &PeerId| self.may_take(patient, peer);
        let rank = |peer: &PeerId| self.0.shards.rank(peer);
        let means = Means { me: self.me(), ring, may_take: &may_take, rank: &rank };
        let plan = plan_recode(from, right, &right.health(ring), &means);
        plan.map_err(|stuck| Undone::nothing(Failure::Stuck(stuck)))
    }

    /// The object out of k of its shards, coded anew. That it comes out with its own id proves every shard that was used.
    async fn object_anew(
        &self,
        patient: &Patient,
        codec: Codec,
        mut shards: Vec<Option<Vec<u8>>>,
    ) -> Result<Encoded, Failure> {
        let manifest = patient.manifest.clone();
        let object = manifest.object();
        let coders = (self.0.objects.coder(object, manifest.codec()), self.0.objects.coder(object, codec));
        let (Ok(before), Ok(after)) = coders else { return Err(Failure::Local) };
        let coding = move || {
            let rebuilt = before.rebuild(&manifest, &mut shards)?;
            after.encode_known(object, rebuilt.into_vec())
        };
        match tokio::task::spawn_blocking(coding).await {
            Ok(Ok(encoded)) => Ok(encoded),
            Ok(Err(error)) => {
                tracing::warn!(object = %object.short(), %error, "an object could not be coded anew");
                Err(Failure::Unread)
            }
            Err(_stopping) => Err(Failure::Local),
        }
    }
}

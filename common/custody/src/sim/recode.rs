//! Objects that lie in another class than the ring's: coded anew, and given up in the old one.

use cosmic_common::id::{ObjectId, PeerId};
use cosmic_erasure::{Codec, codings};

use super::{
    node::{Answer, Message},
    world::World,
};
use crate::{
    Assignment, Coded, Course, Health, Means, ObjectCustody, Ring, Subject, Target,
    choice::RECODE_AFTER,
    message::shard::Indices,
    plan_recode,
    release::{Asked, Keep, RELEASE_DELAY, coding_needless},
    repair::queue::{Failure as Why, Input},
};

impl World {
    /// What becomes of a coding, and the coding it is to become if there is something of it.
    pub(super) fn course(
        &mut self,
        me: usize,
        subject: &Subject,
        health: Health,
    ) -> (Course, Option<Subject>) {
        let object = subject.object;
        let others: Vec<ObjectId> = self
            .manifests
            .range(codings(&object))
            .map(|(coding, _)| *coding)
            .filter(|other| *other != object)
            .collect();
        let (table, now) = (self.table(me), self.now);
        let siblings: Vec<Subject> = others
            .into_iter()
            .map(|other| {
                let n = self.manifests[&other].codec().n();
                self.survey(me, other, &table.holders(&other, n)).0
            })
            .filter(|sibling| !sibling.copies.is_empty())
            .collect();
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now };
        let coded: Vec<Coded> =
            siblings.iter().map(|one| Coded { codec: one.codec, health: one.health(ring) }).collect();
        let verdict = self.nodes[me].recoding.verdict(subject.codec, RECODE_AFTER, now);
        let course = Coded { codec: subject.codec, health }.course(&coded, verdict, table.len());
        let right = match course {
            Course::Recode(codec) => siblings.into_iter().find(|sibling| sibling.codec == codec),
            Course::Care | Course::Leave | Course::GiveUp(_) => None,
        };
        (course, right)
    }

    /// Codes an object anew. A message that is lost, or a holder that is away, leaves it half done.
    pub(super) fn recode(
        &mut self,
        me: usize,
        from: &Subject,
        codec: Codec,
        right: Option<Subject>,
    ) -> Input {
        let object = from.object;
        let coding = self.coded(self.manifests[&object].object(), codec);
        let length = self.manifests[&object].length();
        let right = right.unwrap_or_else(|| Subject {
            object: coding,
            ..Subject::coded_anew(&object, length, codec, Vec::new())
        });
        let table = self.table(me);
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now: self.now };
        let (docket, now) = (&self.nodes[me].docket, self.now);
        let may_take = |peer: &PeerId| docket.repute(peer).is_trusted(now);
        let means = Means { me: self.nodes[me].peer, ring, may_take: &may_take, rank: &|_| 0 };
        let plan = match plan_recode(from, &right, &right.health(ring), &means) {
            Ok(plan) => plan,
            Err(stuck) => {
                self.seen.stuck += 1;
                return Input::Failed { object, failure: Why::Stuck(stuck), bytes: 0 };
            }
        };
        match self.carry_out_plan(me, &plan, object) {
            Input::Failed { failure, bytes, .. } => Input::Failed { object, failure, bytes },
            _ => {
                self.seen.recoded += 1;
                Input::Mended { object, bytes: 0 }
            }
        }
    }

    /// Asks whether the shards of `coding` here may go for the same object coded with `codec`, and lets them.
    pub(super) fn yield_to(&mut self, me: usize, coding: ObjectId, codec: Codec) {
        for handed in self.nodes[me].has(coding, true).iter() {
            self.nodes[me].copies.get_mut(&(coding, handed)).unwrap().owner = None;
        }
        let heir = self.coded(self.manifests[&coding].object(), codec);
        let table = self.table(me);
        let (subject, _) = self.survey(me, heir, &table.holders(&heir, codec.n()));
        let own = subject.copies.iter().filter(|copy| !copy.handed_off);
        let held: Vec<Assignment> =
            own.map(|copy| Assignment { index: copy.index, holder: copy.holder }).collect();
        let (docket, now) = (&self.nodes[me].docket, self.now);
        let target = Target::of(&table, &heir, codec, &held, |peer| docket.repute(peer).is_trusted(now));
        let reasons = self.ask_heirs(me, heir, &target);
        for index in self.nodes[me].has(coding, false).iter() {
            let copy = self.nodes[me].copies.get_mut(&(coding, index)).unwrap();
            let is_last =
                copy.release.settled.is_some() && copy.release.rests_until(RELEASE_DELAY, now).is_none();
            // Who gives it up has read the object from the other coding, and asks again: a holder may have found a loss.
            let reasons = match &reasons {
                Ok(()) if is_last && !self.reads(me, heir, &target) => Err(Keep::Owed(Vec::new())),
                Ok(()) if is_last => self.ask_heirs(me, heir, &target),
                said => said.clone(),
            };
            let copy = self.nodes[me].copies.get_mut(&(coding, index)).unwrap();
            if copy.release.ask(reasons, RELEASE_DELAY, now).is_ok() {
                let there =
                    self.nodes.iter().flat_map(|node| node.has(heir, false).iter()).collect::<Indices>();
                assert!(
                    there.len() >= crate::Care::of(codec).wanted,
                    "I9: as many signed as a write waits for"
                );
                self.seen.yielded += 1;
                self.let_go(me, coding, index);
            }
        }
    }

    fn ask_heirs(&mut self, me: usize, heir: ObjectId, target: &Target) -> Result<(), Keep> {
        let mut standing = (*self.standings[self.nodes[me].version]).clone();
        let mut receipts = Vec::new();
        for shard in &target.shards {
            if let Some(Answer::Held(held)) = self.ask(me, shard.holder, Message::Which(heir)) {
                receipts.extend(held);
            }
        }
        let mut fresh = ObjectCustody::new(&self.manifests[&heir]);
        receipts.iter().for_each(|receipt| drop(fresh.hear(receipt, &mut standing)));
        let side = self.side(&self.nodes[me].peer);
        let (liveness, docket) = (&self.heard[side], &self.nodes[me].docket);
        let (standing, now) = (&standing, self.now);
        let asked = Asked { target, fresh: &fresh, standing, liveness, docket, now };
        coding_needless(self.manifests[&heir].codec(), &asked)
    }

    /// Whether k shards are read that are right.
    fn reads(&mut self, me: usize, coding: ObjectId, target: &Target) -> bool {
        let mut read = Indices::default();
        for shard in &target.shards {
            let get = Message::Get { object: coding, index: shard.index };
            if matches!(self.ask(me, shard.holder, get), Some(Answer::Bytes { right: true })) {
                read.insert(shard.index);
            }
        }
        read.len() >= self.manifests[&coding].codec().k()
    }
}

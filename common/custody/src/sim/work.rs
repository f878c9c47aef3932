//! What a supernode does by itself: examine, repair, move, release, audit, leave. Every decision is a rule's.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::id::{ObjectId, OperatorId, PeerId};
use cosmic_ring::Table;

use super::{
    node::{Answer, Message},
    world::World,
};
use crate::{
    Assignment, Course, HandOff, HeldCopy, Means, Need, ObjectCustody, Presence, RepairPlan, Ring, Subject,
    Suspect, Target,
    audit::{
        docket::Failure,
        evidence::Finding,
        rota::{AUDIT_EVERY, is_mine, slot},
    },
    handoff::Verdict,
    message::shard::Indices,
    plan_repair,
    release::{Asked, Keep, RELEASE_DELAY, shard_needless},
    repair::queue::{Failure as Why, Input, Output},
    retire::{Input as Way, Left},
};

/// Earlier tables whose holders are asked too.
const EARLIER: usize = 3;

impl World {
    pub(super) fn work(&mut self, me: usize, tick: u64) {
        let class = self.table(me).class();
        self.nodes[me].recoding.observe(class, self.now);
        let calm_or_wild = self.calm || self.plan.wild;
        let every = if calm_or_wild { 8 } else { 16 };
        let mut objects: Vec<ObjectId> = self.nodes[me].copies.keys().map(|(object, _)| *object).collect();
        objects.extend(self.nodes[me].queue.items().map(|(object, _)| *object));
        objects.sort_unstable();
        objects.dedup();
        for object in objects {
            // Each supernode looks at each object in its turn, and not all at one moment.
            let phase = u64::from(object.as_bytes()[0]) + u64::from(self.nodes[me].peer.as_bytes()[0]);
            if (tick + phase).is_multiple_of(every) && !self.is_being_removed(&object) {
                self.examine(me, object);
            }
        }
        let outputs = self.nodes[me].queue.handle(Input::Tick, self.now);
        self.carry(me, outputs);
        if tick.is_multiple_of(if calm_or_wild { 2 } else { 24 }) {
            self.audit(me);
        }
        self.leave(me);
    }

    pub(super) fn table(&self, me: usize) -> Arc<Table> {
        Arc::clone(&self.tables[self.nodes[me].version])
    }

    fn operator(&self, peer: &PeerId) -> OperatorId {
        self.nodes[self.place_of[peer]].operator
    }

    /// Asks everybody who may have part of the object, and joins what they say to what the record says of the others.
    pub(super) fn survey(&mut self, me: usize, object: ObjectId, target: &[PeerId]) -> (Subject, Indices) {
        let n = self.manifests[&object].codec().n();
        let known = self.records.get(&object).cloned();
        let mut peers: Vec<PeerId> = target.to_vec();
        match &known {
            Some(copies) => peers.extend(copies.iter().map(|copy| copy.holder)),
            // The record is lost: everybody is asked.
            None => peers.extend(self.nodes.iter().map(|node| node.peer)),
        }
        let version = self.nodes[me].version;
        for table in self.tables[..version].iter().rev().take(EARLIER) {
            peers.extend(table.holders(&object, n));
        }
        peers.push(self.nodes[me].peer);
        peers.sort_unstable();
        peers.dedup();
        let side = self.side(&self.nodes[me].peer);
        let (mut copies, mut signed) = (Vec::new(), Indices::default());
        for holder in peers {
            self.ask_again(me, object, holder);
            match self.ask(me, holder, Message::Survey(object)) {
                Some(Answer::Surveyed(answer)) => {
                    let copy = |index, handed_off| HeldCopy { index, holder, handed_off };
                    answer.own.iter().for_each(|index| signed.insert(index));
                    copies.extend(answer.own.iter().map(|index| copy(index, false)));
                    copies.extend(answer.handed_off.iter().map(|index| copy(index, true)));
                }
                _ if self.heard[side].presence(&holder, self.now) == Presence::Gone => {}
                _ => copies.extend(known.iter().flatten().filter(|copy| copy.holder == holder)),
            }
        }
        self.records.insert(object, copies.clone());
        let docket = &self.nodes[me].docket;
        let suspect = |copy: &HeldCopy| Suspect { holder: copy.holder, object, index: copy.index };
        copies.retain(|copy| !docket.is_lost(&suspect(copy), self.now));
        (Subject::new(&self.manifests[&object], copies), signed)
    }

    /// A shard that counts as lost is challenged before anybody acts on it: it may have been given again.
    fn ask_again(&mut self, me: usize, object: ObjectId, holder: PeerId) {
        for index in (0_u8..).take(self.manifests[&object].codec().n()) {
            let suspect = Suspect { holder, object, index };
            if self.nodes[me].docket.is_found_lost(&suspect) {
                let answer = self.ask(me, holder, Message::Challenge { object, index });
                if matches!(answer, Some(Answer::Bytes { right: true })) {
                    self.nodes[me].docket.proved(suspect, self.now);
                }
            }
        }
    }

    fn examine(&mut self, me: usize, object: ObjectId) {
        let table = self.table(me);
        let codec = self.manifests[&object].codec();
        let holders = table.holders(&object, codec.n());
        let (subject, signed) = self.survey(me, object, &holders);
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now: self.now };
        let mut health = subject.health(ring);
        let is_given_up = match self.course(me, &subject, health).0 {
            Course::Care => None,
            Course::Leave => {
                health.need = Need::Later;
                None
            }
            Course::Recode(_) => {
                health.need = Need::Recode;
                None
            }
            Course::GiveUp(codec) => {
                health.need = Need::Later;
                Some(codec)
            }
        };
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now: self.now };
        let input = Input::Examined {
            object,
            need: health.need,
            danger: health.danger(codec, self.now),
            able: subject.able(ring),
            bytes: subject.shard_bytes,
        };
        let outputs = self.nodes[me].queue.handle(input, self.now);
        self.carry(me, outputs);
        self.acknowledge(object, signed.len());
        match is_given_up {
            Some(codec) => self.yield_to(me, object, codec),
            None => self.bring_home(me, &subject, &table),
        }
    }

    /// Strays go where they belong, what is kept for others to them; and what is needless goes.
    fn bring_home(&mut self, me: usize, subject: &Subject, table: &Table) {
        let (object, codec, peer) = (subject.object, subject.codec, self.nodes[me].peer);
        let side = self.side(&peer);
        let own: Vec<Assignment> = subject
            .copies
            .iter()
            .filter(|copy| !copy.handed_off)
            .map(|copy| Assignment { index: copy.index, holder: copy.holder })
            .collect();
        let (docket, now) = (&self.nodes[me].docket, self.now);
        let target = Target::of(table, &object, codec, &own, |peer| docket.repute(peer).is_trusted(now));
        let mine = self.nodes[me].has(object, false);
        for shard in &target.wanted {
            if mine.contains(shard.index) && shard.holder != peer {
                if !self.nodes[me].liar && !self.is_right(me, object, shard.index) {
                    // What it reads is not taken, and the scrub looks at it.
                    self.nodes[me].copies.remove(&(object, shard.index));
                    continue;
                }
                let put = Message::Put {
                    object,
                    index: shard.index,
                    owner: None,
                    right: self.is_right(me, object, shard.index),
                };
                if matches!(self.ask(me, shard.holder, put), Some(Answer::Kept)) {
                    self.seen.moved += 1;
                    self.nodes[me].docket.restored(&suspect(object, *shard));
                }
            }
        }
        for index in self.nodes[me].has(object, true).iter() {
            let Some((owner, since)) = self.nodes[me].copies[&(object, index)].owner else { continue };
            let signed = own
                .iter()
                .any(|copy| copy.index == index && self.heard[side].is_present(&copy.holder, self.now));
            let hand_off = HandOff { object, index, owner, since };
            let standing = Arc::clone(&self.standings[self.nodes[me].version]);
            match hand_off.verdict(signed, &self.heard[side], &standing, self.now) {
                Verdict::Give => {
                    let put =
                        Message::Put { object, index, owner: None, right: self.is_right(me, object, index) };
                    self.seen.given += u64::from(matches!(self.ask(me, owner, put), Some(Answer::Kept)));
                }
                Verdict::Drop => self.let_go(me, object, index),
                Verdict::Wait { .. } | Verdict::Repair => {}
            }
        }
        for index in mine.iter() {
            let copy = Assignment { index, holder: peer };
            if !target.shards.contains(&copy) {
                self.release(me, copy, subject, &target);
            } else if let Some(kept) = self.nodes[me].copies.get_mut(&(object, index)) {
                // What belongs here again is promised again.
                drop(kept.release.ask(Err(Keep::Belongs), RELEASE_DELAY, self.now));
            }
        }
    }

    fn is_right(&self, me: usize, object: ObjectId, index: u8) -> bool {
        self.nodes[me].copies.get(&(object, index)).is_some_and(|copy| copy.real)
    }

    fn release(&mut self, me: usize, mine: Assignment, subject: &Subject, target: &Target) {
        let (object, codec) = (subject.object, subject.codec);
        if let Some(heir) = target.shards.iter().find(|shard| shard.index == mine.index).copied() {
            self.challenge(me, object, heir);
        }
        let mut standing = (*self.standings[self.nodes[me].version]).clone();
        let mut fresh = ObjectCustody::new(&self.manifests[&object]);
        let mut receipts = Vec::new();
        for shard in &target.shards {
            if let Some(Answer::Held(held)) = self.ask(me, shard.holder, Message::Which(object)) {
                receipts.extend(held);
            }
        }
        receipts.iter().for_each(|receipt| standing.observe(receipt));
        receipts.iter().for_each(|receipt| drop(fresh.insert(receipt, &standing)));
        let side = self.side(&self.nodes[me].peer);
        let asked = Asked {
            target,
            fresh: &fresh,
            standing: &standing,
            liveness: &self.heard[side],
            docket: &self.nodes[me].docket,
            now: self.now,
        };
        let reasons = shard_needless(mine, codec, &asked);
        let Some(copy) = self.nodes[me].copies.get_mut(&(object, mine.index)) else { return };
        if copy.release.ask(reasons, RELEASE_DELAY, self.now).is_ok() {
            for shard in &target.shards {
                let holder = &self.nodes[self.place_of[&shard.holder]];
                assert!(
                    holder.copies.contains_key(&(object, shard.index)),
                    "I9: all who should have it signed for it"
                );
            }
            self.seen.freed += 1;
            self.let_go(me, object, mine.index);
        }
    }

    pub(super) fn let_go(&mut self, me: usize, object: ObjectId, index: u8) {
        self.nodes[me].copies.remove(&(object, index));
        self.judge("a copy was freed");
    }

    fn carry(&mut self, me: usize, outputs: Vec<Output>) {
        let mut open = outputs;
        while let Some(output) = open.pop() {
            let input = match output {
                Output::AskLease(object) => self.lease(me, object),
                Output::Mend { object, .. } => self.mend(me, object),
                Output::EndLease(object) => {
                    for keeper in self.keepers(me, &object) {
                        self.ask(me, keeper, Message::EndLease(object));
                    }
                    continue;
                }
                Output::Wake(_) => continue,
            };
            open.extend(self.nodes[me].queue.handle(input, self.now));
        }
    }

    fn keepers(&self, me: usize, object: &ObjectId) -> Vec<PeerId> {
        let table = self.table(me);
        table.replicas(table.partition_of(object.as_bytes())).collect()
    }

    fn lease(&mut self, me: usize, object: ObjectId) -> Input {
        for keeper in self.keepers(me, &object) {
            if let Some(Answer::Leased(lease)) = self.ask(me, keeper, Message::Lease(object)) {
                return Input::Leased { object, lease };
            }
        }
        Input::NobodyLeases { object }
    }

    fn mend(&mut self, me: usize, object: ObjectId) -> Input {
        let bytes = 0;
        // A liar takes the lease and says that it is done.
        if self.nodes[me].liar {
            return Input::Mended { object, bytes };
        }
        let table = self.table(me);
        let codec = self.manifests[&object].codec();
        let (subject, _) = self.survey(me, object, &table.holders(&object, codec.n()));
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now: self.now };
        let health = subject.health(ring);
        match self.course(me, &subject, health) {
            (Course::Recode(codec), right) => return self.recode(me, &subject, codec, right),
            (Course::Leave | Course::GiveUp(_), _) => return Input::Mended { object, bytes },
            (Course::Care, _) => {}
        }
        if health.need < Need::Repair {
            return Input::Mended { object, bytes };
        }
        let side = self.side(&self.nodes[me].peer);
        let ring = Ring { table: &table, liveness: &self.heard[side], now: self.now };
        let docket = &self.nodes[me].docket;
        let now = self.now;
        let may_take = |peer: &PeerId| docket.repute(peer).is_trusted(now);
        let means = Means { me: self.nodes[me].peer, ring, may_take: &may_take, rank: &|_| 0 };
        let plan = match plan_repair(&subject, &health, &means) {
            Ok(plan) => plan,
            Err(stuck) => {
                self.seen.stuck += 1;
                return Input::Failed { object, failure: Why::Stuck(stuck), bytes };
            }
        };
        let done = self.carry_out_plan(me, &plan, object);
        self.seen.mended += u64::from(matches!(done, Input::Mended { .. }));
        done
    }

    /// Carries out a plan that reads shards of the coding `from`.
    pub(super) fn carry_out_plan(&mut self, me: usize, plan: &RepairPlan, from: ObjectId) -> Input {
        let (object, bytes) = (plan.object, plan.bytes());
        let k = self.manifests[&from].codec().k();
        let mut read = Indices::default();
        for source in plan.read.iter().chain(&plan.spare) {
            if read.len() >= k || read.contains(source.index) {
                continue;
            }
            match self.ask(me, source.holder, Message::Get { object: from, index: source.index }) {
                Some(Answer::Bytes { right: true }) => read.insert(source.index),
                // I4: what is read is held against the manifest, and what is wrong is evidence.
                Some(Answer::Bytes { right: false }) => {
                    self.found(me, suspect(from, *source), Finding::Wrong)
                }
                Some(Answer::Refused) => self.found(me, suspect(from, *source), Finding::Denied),
                _ => {}
            }
        }
        if !plan.make.is_empty() && read.len() < k {
            return Input::Failed { object, failure: Why::Unread, bytes };
        }
        let mut placed = 0;
        for shard in &plan.make {
            let put = Message::Put { object, index: shard.index, owner: None, right: true };
            if matches!(self.ask(me, shard.holder, put), Some(Answer::Kept)) {
                placed += 1;
                self.nodes[me].docket.restored(&suspect(object, *shard));
            }
        }
        for shard in &plan.adopt {
            let keep = Message::Keep { object, index: shard.index };
            if matches!(self.ask(me, shard.holder, keep), Some(Answer::Kept)) {
                placed += 1;
                self.seen.adopted += 1;
            }
        }
        if placed < plan.make.len() + plan.adopt.len() {
            return Input::Failed { object, failure: Why::Unplaced, bytes };
        }
        Input::Mended { object, bytes }
    }

    // ---- audits ----

    fn audit(&mut self, me: usize) {
        let peer = self.nodes[me].peer;
        let present: Vec<PeerId> = self.heard[self.side(&peer)].present(self.now).copied().collect();
        let (slot, others) = (slot(self.now, AUDIT_EVERY), present.len().saturating_sub(1));
        let mine: BTreeSet<ObjectId> = self.nodes[me].copies.keys().map(|(object, _)| *object).collect();
        for holder in present.into_iter().filter(|holder| is_mine(&peer, holder, others, slot)) {
            let shards = mine.iter().flat_map(|object| {
                let copies = self.records.get(object).into_iter().flatten();
                let theirs = copies.filter(|copy| copy.holder == holder && !copy.handed_off);
                theirs.map(|copy| (*object, Assignment { index: copy.index, holder }))
            });
            let shards: Vec<(ObjectId, Assignment)> = shards.collect();
            let Some((object, shard)) = self.chance.pick(&shards).copied() else { continue };
            self.challenge(me, object, shard);
            // A liar speaks ill of others.
            if self.nodes[me].liar {
                self.seen.slandered += 1;
                let slander = self.failure(me, suspect(object, shard), Finding::Wrong);
                self.report(me, slander);
            }
        }
    }

    fn challenge(&mut self, me: usize, object: ObjectId, shard: Assignment) {
        let suspect = suspect(object, shard);
        match self.ask(me, shard.holder, Message::Challenge { object, index: shard.index }) {
            Some(Answer::Bytes { right: true }) => self.nodes[me].docket.proved(suspect, self.now),
            Some(Answer::Bytes { right: false }) => self.found(me, suspect, Finding::Wrong),
            Some(Answer::Refused) => self.found(me, suspect, Finding::Denied),
            _ => {}
        }
    }

    /// This supernode found a shard wrong or denied, notes it and tells everybody.
    fn found(&mut self, me: usize, suspect: Suspect, finding: Finding) {
        if suspect.holder == self.nodes[me].peer {
            return;
        }
        let failure = self.failure(me, suspect, finding);
        let is_news = self.nodes[me].docket.failed(failure, true, self.now);
        self.seen.found_lost += u64::from(is_news);
        self.report(me, failure);
    }

    fn failure(&self, me: usize, suspect: Suspect, finding: Finding) -> Failure {
        let (witness, accused) = (self.nodes[me].operator, self.operator(&suspect.holder));
        Failure { suspect, witness, accused, finding, time: self.now }
    }

    fn report(&mut self, me: usize, failure: Failure) {
        let mut others: Vec<PeerId> = self.nodes.iter().map(|node| node.peer).collect();
        others.remove(me);
        for peer in others {
            self.ask(me, peer, Message::Report(failure));
        }
    }

    // ---- leaving ----

    pub(super) fn leave(&mut self, me: usize) {
        let left = Left { shards: self.nodes[me].copies.len() as u64, ..Left::default() };
        self.nodes[me].retirement.handle(Way::Left(left), self.now);
    }
}

const fn suspect(object: ObjectId, shard: Assignment) -> Suspect {
    Suspect { holder: shard.holder, object, index: shard.index }
}

//! Writes, and removals of what nobody claims any more.

use std::sync::Arc;

use cosmic_common::id::{ObjectId, PeerId};
use cosmic_erasure::{Codec, Coder, Manifest};
use cosmic_ring::Class;

use super::{
    node::{Answer, Message, SPACE},
    world::{Object, World},
};
use crate::{Care, Choice, HeldCopy, Removal, Removing, message::shard::Indices, removal::REMOVAL_DELAY};

impl World {
    pub(super) fn write(&mut self) {
        let on: Vec<usize> = (0..self.nodes.len())
            .filter(|place| {
                self.nodes[*place].is_on()
                    && self.tables[self.nodes[*place].version]
                        .sites()
                        .iter()
                        .any(|site| site.peer == self.nodes[*place].peer)
            })
            .collect();
        let Some(gateway) = self.chance.pick(&on).copied() else { return };
        let side = self.side(&self.nodes[gateway].peer);
        let table = Arc::clone(&self.tables[self.nodes[gateway].version]);
        let is_there = |peer: &PeerId| self.heard[side].is_present(peer, self.now);
        let Class { k, n } = Choice::of(table.sites(), is_there, &[]).class;
        if n < 3 {
            return;
        }
        let number = self.objects.len().to_be_bytes();
        let bytes = number.repeat(16);
        let manifest = self.code(Codec::new(k, n).unwrap(), &bytes);
        let object = manifest.object();
        self.manifests.insert(object, Arc::new(manifest));
        self.objects.push(Object { id: object, bytes, acknowledged: false, removed: None });
        self.seen.written += 1;

        let holders = table.holders(&object, table.len());
        let mut stand_ins = holders.iter().skip(usize::from(n)).copied();
        let mut copies = Vec::new();
        for (index, holder) in (0..n).zip(&holders) {
            let put = Message::Put { object, index, owner: None, right: true };
            if matches!(self.ask(gateway, *holder, put), Some(Answer::Kept)) {
                copies.push(HeldCopy { index, holder: *holder, handed_off: false });
            } else if let Some(stand_in) = stand_ins.next() {
                let put = Message::Put { object, index, owner: Some(*holder), right: true };
                if matches!(self.ask(gateway, stand_in, put), Some(Answer::Kept)) {
                    copies.push(HeldCopy { index, holder: stand_in, handed_off: true });
                }
            }
        }
        let signed = copies.iter().filter(|copy| !copy.handed_off).count();
        self.records.insert(object, copies);
        self.acknowledge(object, signed);
    }

    fn code(&mut self, codec: Codec, bytes: &[u8]) -> Manifest {
        let key = (u8::try_from(codec.k()).unwrap(), u8::try_from(codec.n()).unwrap());
        let coder = self.coders.entry(key).or_insert_with(|| Coder::new(codec).unwrap());
        coder.encode(bytes.to_vec()).unwrap().manifest().clone()
    }

    /// The name of `object` in this codec, coded anew if it does not lie in it.
    pub(super) fn coded(&mut self, object: ObjectId, codec: Codec) -> ObjectId {
        if self.manifests[&object].codec() == codec {
            return object;
        }
        let bytes = self.objects.iter().find(|known| known.id == object).unwrap().bytes.clone();
        let manifest = self.code(codec, &bytes).anew();
        let coding = manifest.coding();
        self.manifests.entry(coding).or_insert_with(|| Arc::new(manifest));
        coding
    }

    /// The device gets its receipts, now or after a repair.
    pub(super) fn acknowledge(&mut self, coding: ObjectId, signed: usize) {
        let (object, codec) = (self.manifests[&coding].object(), self.manifests[&coding].codec());
        let kept: Indices = self.nodes.iter().flat_map(|node| node.has(coding, false).iter()).collect();
        let known = self.objects.iter_mut().find(|other| other.id == object).unwrap();
        if known.acknowledged || signed < Care::of(codec).wanted {
            return;
        }
        assert!(kept.len() >= signed, "I5: who signs has it");
        known.acknowledged = true;
        self.seen.acknowledged += 1;
        self.judge("an acknowledgement");
    }

    pub(super) fn remove(&mut self) {
        let live: Vec<usize> =
            (0..self.objects.len()).filter(|place| self.objects[*place].removed.is_none()).collect();
        if live.len() * 2 < self.plan.objects as usize {
            return;
        }
        let Some(place) = self.chance.pick(&live).copied() else { return };
        let object = self.objects[place].id;
        let holders = self.nodes.iter().filter(|node| node.has_any(&object));
        let removing = Removing::new(object, holders.map(|node| node.peer));
        self.objects[place].removed = Some((self.now, removing));
    }

    /// Somebody claims an object again while its removal waits, and does not put it again: nobody told him to.
    pub(super) fn claim_again(&mut self) {
        let waits = |place: &usize| {
            let removed = self.objects[*place].removed.as_ref();
            removed.is_some_and(|(since, _removing)| self.now < since.after(REMOVAL_DELAY))
        };
        let waiting: Vec<usize> = (0..self.objects.len()).filter(waits).collect();
        let Some(place) = self.chance.pick(&waiting).copied() else { return };
        // Nobody looked after it meanwhile; what is lost already was lost as a removed object.
        let id = self.objects[place].id;
        if self.survives(&id, None) {
            self.objects[place].removed = None;
            self.seen.claimed_again += 1;
        }
    }

    /// Whether a replica that is there says that an object is being removed: nobody mends it then.
    pub(super) fn is_being_removed(&self, coding: &ObjectId) -> bool {
        let object = &self.manifests[coding].object();
        let latest = self.tables.last().unwrap();
        let mut replicas = latest.replicas_of(&SPACE);
        replicas.any(|replica| self.nodes[self.place_of[&replica]].is_on())
            && self.objects.iter().any(|other| other.id == *object && other.removed.is_some())
    }

    /// The replicas of the space ask everybody who has part of a removed object, until everybody signed.
    pub(super) fn remove_objects(&mut self) {
        let latest = self.tables.len() - 1;
        let replicas: Vec<PeerId> = self.tables[latest].replicas_of(&SPACE).collect();
        for place in 0..self.objects.len() {
            let Some((since, mut removing)) = self.objects[place].removed.clone() else { continue };
            let object = self.objects[place].id;
            // Somebody may have been given a shard by a repair that was on its way.
            for node in self.nodes.iter().filter(|node| node.is_on()) {
                if node.has_any(&object) {
                    removing.found(node.peer);
                }
            }
            let standing = Arc::clone(&self.standings[latest]);
            let mut owed: Vec<PeerId> = removing.owed(&standing).copied().collect();
            // Who retired has a duty until it is empty.
            owed.extend(self.retired.iter().filter(|peer| self.nodes[self.place_of[*peer]].has_any(&object)));
            for replica in &replicas {
                let from = self.place_of[replica];
                if !self.nodes[from].is_on() {
                    continue;
                }
                for holder in &owed {
                    let (time, retained_until) = (self.now, since.after(REMOVAL_DELAY));
                    let removal = Removal { space: SPACE, object, replica: *replica, time, retained_until };
                    if let Some(Answer::Deleted(deletion)) = self.ask(from, *holder, Message::Remove(removal))
                    {
                        removing.insert(&deletion);
                    }
                }
            }
            self.objects[place].removed = Some((since, removing));
        }
        // A liar that is a replica tries to remove what is still wanted; alone it must not succeed.
        for replica in replicas {
            let from = self.place_of[&replica];
            if self.nodes[from].liar && self.nodes[from].is_on() {
                let victim = self.chance.below(self.objects.len());
                let (time, retained_until, object) = (self.now, self.now, self.objects[victim].id);
                let removal = Removal { space: SPACE, object, replica, time, retained_until };
                let holders: Vec<PeerId> = self.nodes.iter().map(|node| node.peer).collect();
                for holder in holders {
                    self.ask(from, holder, Message::Remove(removal.clone()));
                }
            }
        }
    }
}

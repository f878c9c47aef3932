//! The judge: what must hold after every step, and what must have become of everything in the end.

use cosmic_common::id::ObjectId;

use super::{node::Power, world::World};
use crate::{Care, removal::REMOVAL_DELAY};

impl World {
    /// Nothing that was acknowledged, and not removed, has fewer than k shards on disks, ever.
    pub(super) fn judge(&self, after: &str) {
        for object in self.objects.iter().filter(|object| object.acknowledged && object.removed.is_none()) {
            let k = self.manifests[&object.id].codec().k();
            let real = self.real(&object.id, None);
            assert!(real.len() >= k, "{:?} has {} of {k} shards after {after}", object.id, real.len());
        }
    }

    /// Everything there is to know about an object, for whoever looks into a failing seed.
    fn explain(&self, object: &ObjectId) -> String {
        let table = self.tables.last().unwrap();
        let codec = self.manifests[object].codec();
        let mut text = format!("{object:?}, {codec}, {} members; belongs to:", table.len());
        for holder in table.holders(object, codec.n()) {
            text += &format!(" {}", holder.short());
        }
        for node in self.nodes.iter().filter(|node| node.power != Power::Out) {
            let copies: Vec<_> = node.copies.range((*object, 0)..=(*object, u8::MAX)).collect();
            let kinds = copies
                .iter()
                .map(|((_, index), copy)| (*index, copy.real, copy.owner.is_some(), copy.release.settled));
            text += &format!(
                "\n{} {:?} liar {} version {} doom {:?} copies {:?} waits for {:?} and distrusts",
                node.peer.short(),
                node.power,
                node.liar,
                node.version,
                node.dooms.get(object).map(|doom| doom.fate(self.now, REMOVAL_DELAY)),
                kinds.collect::<Vec<_>>(),
                node.queue.why(object, self.now),
            );
            for other in
                self.nodes.iter().filter(|other| !node.docket.repute(&other.peer).is_trusted(self.now))
            {
                text += &format!(" {}", other.peer.short());
            }
        }
        text + &format!("\nrecord {:?}", self.records.get(object))
    }

    /// What liars pretended to keep was found out and made again elsewhere, as far as there are others.
    pub(super) fn assert_rebuilt(&self) {
        let table = self.tables.last().unwrap();
        let honest = table.sites().iter().filter(|site| !self.nodes[self.place_of[&site.peer]].liar).count();
        for object in self.objects.iter().filter(|object| object.removed.is_none()) {
            let codec = self.manifests[&object.id].codec();
            let (real, wanted) = (self.real(&object.id, None).len(), Care::of(codec).wanted.min(honest));
            // What never was acknowledged may be gone.
            assert!(
                real >= wanted || real < codec.k(),
                "{real} shards are left: {}",
                self.explain(&object.id)
            );
        }
    }

    /// Everything is where it belongs, and nowhere else.
    pub(super) fn assert_healed(&self) {
        self.assert_rebuilt();
        let table = self.tables.last().unwrap();
        for object in &self.objects {
            let with = |handed_off: bool| {
                self.nodes.iter().map(|node| node.has(object.id, handed_off).len()).sum::<usize>()
            };
            assert!(with(true) == 0, "it is still kept for others: {}", self.explain(&object.id));
            if let Some((_, removing)) = &object.removed {
                assert!(with(false) == 0, "it was removed: {}", self.explain(&object.id));
                assert!(removing.done(self.standings.last().unwrap()).is_some());
                continue;
            }
            let (codec, real) = (self.manifests[&object.id].codec(), self.real(&object.id, None).len());
            // With fewer places than shards, each shard stays where it is until the object is coded anew.
            if table.len() >= codec.n() && real >= codec.k() {
                assert!(with(false) <= codec.n(), "there are too many copies: {}", self.explain(&object.id));
                let retired = self.retired.iter().map(|peer| &self.nodes[self.place_of[peer]]);
                let left = retired.filter(|node| !node.has(object.id, false).is_empty()).count();
                assert!(left == 0, "who retired still has it: {}", self.explain(&object.id));
            }
        }
    }
}

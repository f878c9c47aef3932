//! The judge: what must hold after every step, and what must have become of everything in the end.

use std::sync::Arc;

use cosmic_common::id::ObjectId;
use cosmic_erasure::{Manifest, codings};

use super::{node::Power, world::World};
use crate::{Care, removal::REMOVAL_DELAY};

impl World {
    /// Nothing that was acknowledged, and not removed, has fewer than k shards of every coding on disks, ever.
    pub(super) fn judge(&self, after: &str) {
        for object in self.objects.iter().filter(|object| object.acknowledged && object.removed.is_none()) {
            assert!(
                self.survives(&object.id, None),
                "after {after} it is lost: {}",
                self.explain(&object.id)
            );
        }
    }

    /// Everything there is to know about an object, for whoever looks into a failing seed.
    fn explain(&self, object: &ObjectId) -> String {
        let all = self.manifests.range(codings(object)).map(|(coding, _)| self.explain_coding(coding));
        all.collect::<Vec<_>>().join("\n\n")
    }

    fn explain_coding(&self, object: &ObjectId) -> String {
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
            let is_whole = |(coding, manifest): (&ObjectId, &Arc<Manifest>)| {
                self.real(coding, None).len() >= Care::of(manifest.codec()).wanted.min(honest)
            };
            // What never was acknowledged may be gone.
            assert!(
                self.manifests.range(codings(&object.id)).any(is_whole) || !self.survives(&object.id, None),
                "shards are missing: {}",
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
                let codings = self.manifests.range(codings(&object.id)).map(|(coding, _)| *coding);
                let all = |coding| self.nodes.iter().map(move |node| node.has(coding, handed_off).len());
                codings.flat_map(all).sum::<usize>()
            };
            assert!(with(true) == 0, "it is still kept for others: {}", self.explain(&object.id));
            if let Some((_, removing)) = &object.removed {
                assert!(with(false) == 0, "it was removed: {}", self.explain(&object.id));
                assert!(removing.done(self.standings.last().unwrap()).is_some());
                continue;
            }
            if self.survives(&object.id, None) {
                let n = usize::from(table.class().n);
                assert!(with(false) <= n, "there are too many copies: {}", self.explain(&object.id));
                let is_right = |(coding, manifest): (&ObjectId, &Arc<Manifest>)| {
                    let codec = manifest.codec();
                    let is_of_class = (codec.k(), codec.n()) == (table.class().k.into(), n);
                    is_of_class || self.nodes.iter().all(|node| node.has(*coding, false).is_empty())
                };
                let all_are = self.manifests.range(codings(&object.id)).all(is_right);
                assert!(all_are, "it lies in another class: {}", self.explain(&object.id));
                let retired = self.retired.iter().map(|peer| &self.nodes[self.place_of[peer]]);
                let left = retired.filter(|node| node.has_any(&object.id)).count();
                assert!(left == 0, "who retired still has it: {}", self.explain(&object.id));
            }
        }
    }
}

//! What happens to the world: machines fail, disks rot, zones are cut off, records are lost.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::id::ObjectId;
use cosmic_erasure::codings;

use super::{
    node::Power,
    world::{DAY, HOUR, World},
};
use crate::message::shard::Indices;

impl World {
    pub(super) fn misfortune(&mut self) {
        self.machines_fail();
        let day_parts = u64::from(24 / self.plan.tick_hours);
        let (wild, per_day) = (self.plan.wild, |times: u64| times / day_parts);
        if self.chance.happens(per_day(if wild { 300 } else { 120 })) {
            self.change_ring();
        }
        if self.sites.len() < self.plan.nodes as usize && self.chance.happens(per_day(990)) {
            self.join(false);
            self.ring_changed();
        }
        if (self.objects.len() as u64) < u64::from(self.plan.objects) && self.chance.happens(per_day(500)) {
            self.write();
        }
        if self.chance.happens(per_day(60)) {
            self.remove();
        }
        if self.chance.happens(per_day(60)) {
            self.claim_again();
        }
        if self.chance.happens(per_day(if wild { 500 } else { 100 })) {
            self.rot();
        }
        if self.chance.happens(per_day(100)) {
            let object = self.chance.below(self.objects.len());
            self.records.remove(&self.objects[object].id);
        }
        match self.island {
            Some((_, until)) if until <= self.now => self.island = None,
            None if self.chance.happens(per_day(80)) => {
                let zone = u32::try_from(self.chance.below(self.plan.zones as usize)).unwrap();
                let hours = u32::try_from(1 + self.chance.below(30)).unwrap();
                self.island = Some((zone, self.now.after(HOUR * hours)));
            }
            Some(_) | None => {}
        }
    }

    fn machines_fail(&mut self) {
        for place in 0..self.nodes.len() {
            if !self.nodes[place].is_on() {
                if let Power::Destroyed { until, returns: false } = self.nodes[place].power
                    && until <= self.now
                {
                    self.declare_lost(place);
                }
                continue;
            }
            if self.nodes[place].fails_at > self.now {
                continue;
            }
            let for_good = self.chance.happens(if self.plan.wild { 250 } else { 100 });
            let up = self.uptime();
            if for_good && self.bears_the_loss_of(place) {
                let returns = self.chance.happens(300);
                let hours = u32::try_from(6 + self.chance.below(140)).unwrap();
                let until = self.now.after(HOUR * hours);
                self.nodes[place].power = Power::Destroyed { until, returns };
                self.nodes[place].lose_everything(self.now);
                self.nodes[place].fails_at = until.after(up);
                self.seen.destroyed += 1;
                self.judge("a disk died");
            } else {
                self.seen.spared += u64::from(for_good);
                let until = self.now.after(self.chance.weibull(Duration::from_hours(7), 0.6));
                self.nodes[place].power = Power::Off { until };
                self.nodes[place].fails_at = until.after(up);
            }
        }
    }

    pub(super) fn uptime(&mut self) -> Duration {
        // For good every 180 days on the average, as in the model of docs/storage.md; wild rings every 32.
        let days = if self.plan.wild { 8 } else { 18 };
        self.chance.weibull(DAY * days, 0.8)
    }

    /// Whether every object has more than k shards without this disk's: at most n - k losses before repair could act.
    fn bears_the_loss_of(&self, place: usize) -> bool {
        let objects: BTreeSet<ObjectId> =
            self.nodes[place].copies.keys().map(|(object, _)| *object).collect();
        objects.iter().all(|object| self.survives(object, Some(place)) || !self.is_promised(object))
    }

    /// Whether any coding of the object has k shards on disks, those of `without` left out.
    pub(super) fn survives(&self, object: &ObjectId, without: Option<usize>) -> bool {
        let mut codings = self.manifests.range(codings(object));
        codings.any(|(coding, manifest)| self.real(coding, without).len() >= manifest.codec().k())
    }

    pub(super) fn is_promised(&self, coding: &ObjectId) -> bool {
        let object = &self.manifests[coding].object();
        let object = self.objects.iter().find(|other| other.id == *object).unwrap();
        object.acknowledged && object.removed.is_none()
    }

    /// The different shards of a coding that are really on a disk, those of `without` left out.
    pub(super) fn real(&self, object: &ObjectId, without: Option<usize>) -> Indices {
        let nodes = self.nodes.iter().enumerate().filter(|(place, _)| Some(*place) != without);
        nodes
            .flat_map(|(_, node)| node.copies.range((*object, 0)..=(*object, u8::MAX)))
            .filter(|(_, copy)| copy.real)
            .map(|((_, index), _)| *index)
            .collect()
    }

    fn rot(&mut self) {
        let place = self.chance.below(self.nodes.len());
        let keys: Vec<_> =
            self.nodes[place].copies.iter().filter(|(_, copy)| copy.real).map(|(key, _)| *key).collect();
        let Some((object, index)) = self.chance.pick(&keys).copied() else { return };
        if self.survives(&object, Some(place)) || !self.is_promised(&object) {
            self.nodes[place].copies.get_mut(&(object, index)).unwrap().real = false;
            self.seen.rotted += 1;
        }
    }
}

//! The ring of the world: who joins, is re-weighted, retires, or is declared lost.

use std::sync::Arc;

use cosmic_common::{
    hash,
    id::{OperatorId, PeerId},
};
use cosmic_ring::{Class, Site, State, Table};

use super::{
    node::{Node, Power},
    world::World,
};
use crate::{
    Standing,
    retire::{Input as Way, Stage},
};

/// Partitions of the small rings, in bits.
const BITS: u8 = 6;

impl World {
    pub(super) fn join(&mut self, liar: bool) {
        let number = u32::try_from(self.nodes.len()).unwrap();
        let id = |kind: u8, number: u32| hash::derive("cosmic sim", &[&[kind], &number.to_be_bytes()]);
        let peer = PeerId::from_bytes(id(0, number));
        let operator = if liar { 0 } else { 1 + number % self.plan.operators };
        let operator = OperatorId::from_bytes(id(1, operator));
        let zone = number % self.plan.zones;
        let mut node = Node::new(peer, operator, self.tables.len().saturating_sub(1), self.now);
        node.liar = liar;
        let up = self.uptime();
        node.fails_at = self.now.after(up);
        self.place_of.insert(peer, self.nodes.len());
        self.zone_of.insert(peer, zone);
        self.nodes.push(node);
        let weight = u16::try_from(1 + self.chance.below(2)).unwrap();
        self.sites.push(Site { peer, operator, zone: format!("zone-{zone}").parse().unwrap(), weight });
    }

    pub(super) fn change_ring(&mut self) {
        match self.chance.below(4) {
            0 if self.sites.len() < self.plan.nodes as usize * 5 / 4 => self.join(false),
            1 => {
                let place = self.chance.below(self.sites.len());
                self.sites[place].weight = u16::try_from(1 + self.chance.below(3)).unwrap();
            }
            2 => {
                let site = self.chance.below(self.sites.len());
                let peer = self.sites[site].peer;
                let place = self.place_of[&peer];
                if !self.nodes[place].is_on() || self.nodes[place].liar {
                    return;
                }
                self.sites.remove(site);
                self.retired.insert(peer);
                self.ring_changed();
                let version = self.tables.len() - 1;
                self.nodes[place].version = version;
                self.nodes[place].retirement.handle(Way::Record(Some(State::Retired)), self.now);
                return;
            }
            _ => return,
        }
        self.ring_changed();
    }

    pub(super) fn declare_lost(&mut self, place: usize) {
        let peer = self.nodes[place].peer;
        self.nodes[place].power = Power::Out;
        self.sites.retain(|site| site.peer != peer);
        self.retired.remove(&peer);
        self.ring_changed();
    }

    pub(super) fn ring_changed(&mut self) {
        let class = Class::for_members(self.sites.len(), &[]);
        let table = Arc::new(Table::of(self.sites.clone(), BITS, class));
        let members = table.sites().iter().map(|site| (site.peer, site.zone.as_str(), None));
        self.standings.push(Arc::new(Standing::new(members)));
        for liveness in &mut self.heard {
            let active = table.sites().iter().map(|site| site.peer);
            liveness.members(active, self.retired.iter().copied(), self.now);
        }
        self.tables.push(table);
    }

    /// Somebody retired is done when it says that nothing is left, and only then.
    pub(super) fn retire_those_who_may(&mut self) {
        for place in 0..self.nodes.len() {
            // Somebody who knows an earlier table may have given it something since.
            self.leave(place);
            if let Stage::Empty { .. } = self.nodes[place].retirement.stage()
                && self.nodes[place].is_on()
            {
                assert!(self.nodes[place].copies.is_empty(), "it said that nothing is left");
                self.nodes[place].power = Power::Out;
                self.seen.emptied += 1;
            }
        }
    }
}

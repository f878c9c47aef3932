//! The world: time, churn, messages, and the judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Coder, Manifest};
use cosmic_ring::{Site, Table};

use super::{
    chance::Chance,
    node::{Answer, Message, Node, Power, Scene},
};
use crate::{HeldCopy, Liveness, Patience, Removing, Standing};

pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Days of peace in which everything has to heal.
const CALM_DAYS: u32 = 30;

#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) nodes: u32,
    pub(super) zones: u32,
    pub(super) operators: u32,
    pub(super) objects: u32,
    pub(super) days: u32,
    pub(super) tick_hours: u32,
    /// All of one operator, and no more than an object of the narrowest class may lose.
    pub(super) liars: u32,
    /// Machines fail as often as a seed can bear, instead of as often as they do.
    pub(super) wild: bool,
}

macro_rules! seen {
    ($($name:ident),*) => {
        /// What a run exercised.
        #[derive(Debug, Default)]
        pub(super) struct Seen { $(pub(super) $name: u64),* }
        impl Seen {
            pub(super) fn add(&mut self, other: &Self) { $(self.$name += other.$name;)* }
        }
    };
}
seen!(
    written,
    acknowledged,
    mended,
    stuck,
    adopted,
    given,
    freed,
    destroyed,
    spared,
    rotted,
    emptied,
    deleted,
    claimed_again,
    disagreed,
    found_lost,
    slandered,
    moved,
    recoded,
    yielded
);

pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) bytes: Vec<u8>,
    pub(super) acknowledged: bool,
    pub(super) removed: Option<(Timestamp, Removing)>,
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
    pub(super) nodes: Vec<Node>,
    pub(super) place_of: BTreeMap<PeerId, usize>,
    pub(super) zone_of: BTreeMap<PeerId, u32>,
    pub(super) sites: Vec<Site>,
    pub(super) retired: BTreeSet<PeerId>,
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) standings: Vec<Arc<Standing>>,
    /// By the name of the coding.
    pub(super) manifests: BTreeMap<ObjectId, Arc<Manifest>>,
    pub(super) objects: Vec<Object>,
    /// The placement records: advice, and sometimes lost.
    pub(super) records: BTreeMap<ObjectId, Vec<HeldCopy>>,
    /// Who hears whom: on the main land, and in the zone that is cut off.
    pub(super) heard: [Liveness; 2],
    pub(super) island: Option<(u32, Timestamp)>,
    pub(super) late: Vec<(Timestamp, PeerId, usize, Message)>,
    pub(super) coders: BTreeMap<(u8, u8), Coder>,
    pub(super) calm: bool,
    pub(super) seen: Seen,
    pub(super) ticks: u64,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let now = Timestamp::from_unix_ms(1_760_000_000_000);
        let mut world = Self {
            chance: Chance::new(seed),
            plan,
            now,
            nodes: Vec::new(),
            place_of: BTreeMap::new(),
            zone_of: BTreeMap::new(),
            sites: Vec::new(),
            retired: BTreeSet::new(),
            tables: Vec::new(),
            standings: Vec::new(),
            manifests: BTreeMap::new(),
            objects: Vec::new(),
            records: BTreeMap::new(),
            heard: [Liveness::new(Patience::default()), Liveness::new(Patience::default())],
            island: None,
            late: Vec::new(),
            coders: BTreeMap::new(),
            calm: false,
            seen: Seen::default(),
            ticks: 0,
        };
        for number in 0..plan.nodes {
            world.join(number < plan.liars);
        }
        world.ring_changed();
        for node in &mut world.nodes {
            node.version = 0;
        }
        (0..plan.objects / 2).for_each(|_| world.write());
        world
    }

    pub(super) fn rage(&mut self) {
        let ticks = self.plan.days * 24 / self.plan.tick_hours;
        for _ in 0..ticks {
            self.misfortune();
            self.tick();
        }
    }

    /// No more churn and no more lost messages. Machines that can come back do, those that cannot are declared lost.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.island = None;
        let mut changed = false;
        for place in 0..self.nodes.len() {
            match self.nodes[place].power {
                Power::Off { .. } => self.nodes[place].power = Power::On,
                Power::Destroyed { .. } => {
                    self.nodes[place].power = Power::Out;
                    let peer = self.nodes[place].peer;
                    self.sites.retain(|site| site.peer != peer);
                    self.retired.remove(&peer);
                    changed = true;
                }
                Power::On | Power::Out => {}
            }
        }
        if changed {
            self.ring_changed();
        }
        self.peace();
    }

    fn peace(&mut self) {
        for _ in 0..CALM_DAYS * 24 / self.plan.tick_hours {
            self.tick();
        }
    }

    /// The liars' operator is admitted no more, so that all that is left of them is what they did.
    pub(super) fn expel_the_liars(&mut self) {
        let liars: Vec<usize> = (0..self.nodes.len()).filter(|place| self.nodes[*place].liar).collect();
        if liars.is_empty() {
            return;
        }
        for place in liars {
            self.nodes[place].lose_everything(self.now);
            if self.nodes[place].power != Power::Out {
                self.declare_lost(place);
            }
        }
        self.peace();
    }

    fn tick(&mut self) {
        self.ticks += 1;
        self.now = self.now.after(HOUR * self.plan.tick_hours);
        let now = self.now;
        for node in &mut self.nodes {
            match node.power {
                Power::Off { until } if until <= now => {
                    node.power = Power::On;
                    node.restart(now);
                }
                Power::Destroyed { until, returns: true } if until <= now => node.power = Power::On,
                _ => {}
            }
        }
        self.listen();
        self.deliver_late();
        let order: Vec<usize> = {
            let mut order: Vec<usize> =
                (0..self.nodes.len()).filter(|place| self.nodes[*place].is_on()).collect();
            (1..order.len()).rev().for_each(|place| order.swap(place, self.chance.below(place + 1)));
            order
        };
        let latest = self.tables.len() - 1;
        if order.iter().any(|place| self.nodes[*place].version != latest) {
            self.seen.disagreed += 1;
        }
        for place in order {
            if self.nodes[place].version < latest && (self.calm || self.chance.happens(400)) {
                self.nodes[place].version = latest;
            }
            self.work(place, self.ticks);
        }
        self.remove_objects();
        self.retire_those_who_may();
        self.judge("a tick");
    }

    fn listen(&mut self) {
        let now = self.now;
        for node in self.nodes.iter().filter(|node| node.is_on()) {
            let side = usize::from(self.island.is_some_and(|(zone, _)| self.zone_of[&node.peer] == zone));
            self.heard[side].heard(&node.peer, now);
            // Without an island both hear everything, so that a new one begins with what everybody knew.
            if self.island.is_none() {
                self.heard[1 - side].heard(&node.peer, now);
            }
        }
    }

    pub(super) fn side(&self, peer: &PeerId) -> usize {
        usize::from(self.island.is_some_and(|(zone, _)| self.zone_of[peer] == zone))
    }

    fn deliver_late(&mut self) {
        let now = self.now;
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now);
        self.late = late;
        let due: Vec<_> = due;
        for (_, from, to, message) in due {
            if self.nodes[to].is_on() {
                self.carry_out(from, to, message);
            }
        }
    }

    /// One question and its answer; None if either is lost, or the other is not there.
    pub(super) fn ask(&mut self, from: usize, to: PeerId, message: Message) -> Option<Answer> {
        let to = *self.place_of.get(&to)?;
        let from = self.nodes[from].peer;
        if !self.nodes[to].is_on() || self.side(&from) != self.side(&self.nodes[to].peer) {
            return None;
        }
        if self.calm {
            return Some(self.carry_out(from, to, message));
        }
        if self.chance.happens(30) {
            return None;
        }
        if self.chance.happens(20) {
            let hours = u32::try_from(self.chance.below(10)).unwrap();
            self.late.push((self.now.after(HOUR * hours), from, to, message.clone()));
        }
        let answer = self.carry_out(from, to, message);
        (!self.chance.happens(30)).then_some(answer)
    }

    fn carry_out(&mut self, from: PeerId, to: usize, message: Message) -> Answer {
        let scene = Scene { from, tables: &self.tables, manifests: &self.manifests, now: self.now };
        let removal = matches!(message, Message::Remove(_));
        let answer = self.nodes[to].answer(message, &scene);
        if let (true, Answer::Deleted(deletion)) = (removal, &answer) {
            let object = self.objects.iter().find(|object| object.id == deletion.object).unwrap();
            let since = object.removed.as_ref().map(|(since, _)| *since);
            if !deletion.shards.is_empty() {
                assert!(since.is_some_and(|since| self.now.since(since) >= DAY), "deleted before its time");
                self.seen.deleted += 1;
            }
        }
        answer
    }
}

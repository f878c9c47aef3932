//! The world: time, churn, messages, and the judge.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{
    hash,
    id::{ObjectId, OperatorId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Coder, Manifest};
use cosmic_ring::{Class, Site, State, Table};

use super::{
    chance::Chance,
    node::{Answer, Message, Node, Power, SPACE, Scene},
};
use crate::{
    Care, Choice, HeldCopy, Liveness, Patience, Removal, Removing, Standing,
    message::shard::Indices,
    retire::{Input as Way, Stage},
};

const BITS: u8 = 6;
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
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
    disagreed,
    found_lost,
    slandered,
    moved
);

pub(super) struct Object {
    pub(super) id: ObjectId,
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
    sites: Vec<Site>,
    retired: BTreeSet<PeerId>,
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) standings: Vec<Arc<Standing>>,
    pub(super) manifests: BTreeMap<ObjectId, Arc<Manifest>>,
    pub(super) objects: Vec<Object>,
    /// The placement records: advice, and sometimes lost.
    pub(super) records: BTreeMap<ObjectId, Vec<HeldCopy>>,
    /// Who hears whom: on the main land, and in the zone that is cut off.
    pub(super) heard: [Liveness; 2],
    island: Option<(u32, Timestamp)>,
    late: Vec<(Timestamp, PeerId, usize, Message)>,
    coders: BTreeMap<(u8, u8), Coder>,
    pub(super) calm: bool,
    pub(super) seen: Seen,
    ticks: u64,
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

    // ---- what happens ----

    fn misfortune(&mut self) {
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

    fn uptime(&mut self) -> Duration {
        // For good every 180 days on the average, as in the model of docs/storage.md; wild rings every 32.
        let days = if self.plan.wild { 8 } else { 18 };
        self.chance.weibull(DAY * days, 0.8)
    }

    /// Whether every object has more than k shards without this disk's: at most n - k losses before repair could act.
    fn bears_the_loss_of(&self, place: usize) -> bool {
        let objects: BTreeSet<ObjectId> =
            self.nodes[place].copies.keys().map(|(object, _)| *object).collect();
        objects.iter().all(|object| {
            let k = self.manifests[object].codec().k();
            self.real(object, Some(place)).len() >= k || !self.is_promised(object)
        })
    }

    fn is_promised(&self, object: &ObjectId) -> bool {
        let object = self.objects.iter().find(|other| other.id == *object).unwrap();
        object.acknowledged && object.removed.is_none()
    }

    /// The different shards of an object that are really on a disk, those of `without` left out.
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
        let k = self.manifests[&object].codec().k();
        if self.real(&object, Some(place)).len() >= k || !self.is_promised(&object) {
            self.nodes[place].copies.get_mut(&(object, index)).unwrap().real = false;
            self.seen.rotted += 1;
        }
    }

    fn join(&mut self, liar: bool) {
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

    fn change_ring(&mut self) {
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

    fn declare_lost(&mut self, place: usize) {
        let peer = self.nodes[place].peer;
        self.nodes[place].power = Power::Out;
        self.sites.retain(|site| site.peer != peer);
        self.retired.remove(&peer);
        self.ring_changed();
    }

    fn ring_changed(&mut self) {
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
    fn retire_those_who_may(&mut self) {
        for place in 0..self.nodes.len() {
            if let Stage::Empty { .. } = self.nodes[place].retirement.stage()
                && self.nodes[place].is_on()
            {
                assert!(self.nodes[place].copies.is_empty(), "it said that nothing is left");
                self.nodes[place].power = Power::Out;
                self.seen.emptied += 1;
            }
        }
    }

    // ---- writes and removals ----

    fn write(&mut self) {
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
        let coder = self
            .coders
            .entry((k, n))
            .or_insert_with(|| Coder::new(cosmic_erasure::Codec::new(k, n).unwrap()).unwrap());
        let bytes = number.repeat(16);
        let manifest = Arc::new(coder.encode(bytes).unwrap().manifest().clone());
        let object = manifest.object();
        self.manifests.insert(object, Arc::clone(&manifest));
        self.objects.push(Object { id: object, acknowledged: false, removed: None });
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

    /// The device gets its receipts, now or after a repair.
    pub(super) fn acknowledge(&mut self, object: ObjectId, signed: usize) {
        let codec = self.manifests[&object].codec();
        let kept: Indices = self.nodes.iter().flat_map(|node| node.has(object, false).iter()).collect();
        let known = self.objects.iter_mut().find(|other| other.id == object).unwrap();
        if known.acknowledged || signed < Care::of(codec).wanted {
            return;
        }
        assert!(kept.len() >= signed, "I5: who signs has it");
        known.acknowledged = true;
        self.seen.acknowledged += 1;
        self.judge("an acknowledgement");
    }

    fn remove(&mut self) {
        let live: Vec<usize> =
            (0..self.objects.len()).filter(|place| self.objects[*place].removed.is_none()).collect();
        if live.len() * 2 < self.plan.objects as usize {
            return;
        }
        let Some(place) = self.chance.pick(&live).copied() else { return };
        let object = self.objects[place].id;
        let holders = self.nodes.iter().filter(|node| node.copies.keys().any(|(other, _)| *other == object));
        let removing = Removing::new(object, holders.map(|node| node.peer));
        self.objects[place].removed = Some((self.now, removing));
    }

    /// The replicas of the space ask everybody who has part of a removed object, until everybody signed.
    fn remove_objects(&mut self) {
        let latest = self.tables.len() - 1;
        let replicas: Vec<PeerId> = self.tables[latest].replicas_of(&SPACE).collect();
        for place in 0..self.objects.len() {
            let Some((since, mut removing)) = self.objects[place].removed.clone() else { continue };
            let object = self.objects[place].id;
            // Somebody may have been given a shard by a repair that was on its way.
            for node in self.nodes.iter().filter(|node| node.is_on()) {
                if node.copies.range((object, 0)..=(object, u8::MAX)).next().is_some() {
                    removing.found(node.peer);
                }
            }
            let standing = Arc::clone(&self.standings[latest]);
            let mut owed: Vec<PeerId> = removing.owed(&standing).copied().collect();
            // Who retired has a duty until it is empty.
            owed.extend(
                self.retired
                    .iter()
                    .filter(|peer| !self.nodes[self.place_of[*peer]].has(object, false).is_empty()),
            );
            for replica in &replicas {
                let from = self.place_of[replica];
                if !self.nodes[from].is_on() {
                    continue;
                }
                for holder in &owed {
                    let (time, retained_until) = (self.now, self.now);
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

    // ---- the judge ----

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
                node.dooms.get(object).map(|doom| doom.fate(self.now)),
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

//! One supernode: what it keeps, the machines that decide for it, and how it answers.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use cosmic_common::{
    id::{Hash, Incarnation, ObjectId, OperatorId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_erasure::{Manifest, codings};
use cosmic_ring::{Class, Table};

use crate::{
    Deletion, Docket, Doom, Duty, Fate, Held, Lease, Leases, Promise, Queue, Receipt, Recoding, Release,
    Removal, Retirement,
    audit::docket::Failure,
    message::{care::Surveyed, shard::Indices},
    removal::{Heard, REMOVAL_DELAY},
    repair::{budget::Allowance, queue::Settings},
};

pub(super) const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);

/// A shard as a supernode keeps it, or says that it does.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    /// Whom it is kept for, and since when.
    pub(super) owner: Option<(PeerId, Timestamp)>,
    /// Whether the bytes are really there. Nobody but the world knows without reading.
    pub(super) real: bool,
    pub(super) release: Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    Off {
        until: Timestamp,
    },
    /// The disk is gone. It comes back empty, or is declared lost.
    Destroyed {
        until: Timestamp,
        returns: bool,
    },
    /// It left the ring, empty or dead.
    Out,
}

pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) operator: OperatorId,
    pub(super) liar: bool,
    pub(super) power: Power,
    pub(super) fails_at: Timestamp,
    pub(super) life: u8,
    /// The table it knows.
    pub(super) version: usize,
    pub(super) copies: BTreeMap<(ObjectId, u8), Copy>,
    pub(super) puts: BTreeMap<ObjectId, Timestamp>,
    pub(super) dooms: BTreeMap<ObjectId, Doom>,
    pub(super) queue: Queue,
    pub(super) leases: Leases,
    pub(super) docket: Docket,
    pub(super) retirement: Retirement,
    pub(super) recoding: Recoding,
}

/// What one supernode asks of another.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Put { object: ObjectId, index: u8, owner: Option<PeerId>, right: bool },
    Get { object: ObjectId, index: u8 },
    Survey(ObjectId),
    Which(ObjectId),
    Keep { object: ObjectId, index: u8 },
    Challenge { object: ObjectId, index: u8 },
    Lease(ObjectId),
    EndLease(ObjectId),
    Remove(Removal),
    Report(Failure),
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Kept,
    /// Bytes: right, or wrong as whoever holds them against the manifest finds.
    Bytes {
        right: bool,
    },
    Surveyed(Surveyed),
    Held(Vec<Receipt>),
    Leased(Option<Lease>),
    Deleted(Deletion),
    Noted,
    Refused,
}

/// What the node needs of the world to answer.
pub(super) struct Scene<'a> {
    pub(super) from: PeerId,
    pub(super) tables: &'a [Arc<Table>],
    pub(super) manifests: &'a BTreeMap<ObjectId, Arc<Manifest>>,
    pub(super) now: Timestamp,
}

/// Where the copies of all codings of an object are.
fn all_of(object: &ObjectId) -> RangeInclusive<(ObjectId, u8)> {
    (*codings(object).start(), 0)..=(*codings(object).end(), u8::MAX)
}

impl Node {
    pub(super) fn new(peer: PeerId, operator: OperatorId, version: usize, now: Timestamp) -> Self {
        let mut node = Self {
            peer,
            operator,
            liar: false,
            power: Power::On,
            fails_at: now,
            life: 1,
            version,
            copies: BTreeMap::new(),
            puts: BTreeMap::new(),
            dooms: BTreeMap::new(),
            queue: Queue::new(peer, Settings::default(), now),
            leases: Leases::default(),
            docket: Docket::new(operator),
            retirement: Retirement::default(),
            recoding: Recoding::new(Class { k: 1, n: 1 }, now),
        };
        node.restart(now);
        node
    }

    /// What was only in memory is gone.
    pub(super) fn restart(&mut self, now: Timestamp) {
        let allowance = Allowance { uplink: None, ..Allowance::default() };
        self.queue = Queue::new(self.peer, Settings { allowance, at_once: 4 }, now);
        self.leases = Leases::default();
    }

    /// The disk is gone with everything on it.
    pub(super) fn lose_everything(&mut self, now: Timestamp) {
        self.copies.clear();
        self.puts.clear();
        self.dooms.clear();
        self.docket = Docket::new(self.operator);
        self.life += 1;
        self.restart(now);
    }

    pub(super) fn is_on(&self) -> bool {
        self.power == Power::On
    }

    pub(super) fn is_doomed(&self, object: &ObjectId, now: Timestamp) -> bool {
        let mut dooms = self.dooms.range(codings(object));
        dooms.any(|(_, doom)| doom.fate(now, REMOVAL_DELAY) != Fate::Kept)
    }

    /// Whether anything of the object is here, in whatever coding.
    pub(super) fn has_any(&self, object: &ObjectId) -> bool {
        self.copies.range(all_of(object)).next().is_some()
    }

    pub(super) fn has(&self, object: ObjectId, handed_off: bool) -> Indices {
        let range = (object, 0)..=(object, u8::MAX);
        let copies = self.copies.range(range).filter(|(_, copy)| copy.owner.is_some() == handed_off);
        copies.map(|((_, index), _)| *index).collect()
    }

    pub(super) fn answer(&mut self, message: Message, scene: &Scene<'_>) -> Answer {
        let now = scene.now;
        match message {
            Message::Put { object, index, owner, right } => {
                if !right {
                    return Answer::Refused;
                }
                let is_anew = scene.manifests[&object].is_anew();
                if is_anew && self.is_doomed(&object, now) {
                    return Answer::Refused;
                }
                let owner = owner.map(|owner| (owner, now));
                let fresh = Copy { owner, real: !self.liar, release: Release::default() };
                let kept = self.copies.entry((object, index)).or_insert_with(|| fresh.clone());
                // Its own stays its own; what it kept for another becomes its own if it is given to it.
                if owner.is_none() || kept.owner.is_some() {
                    kept.owner = owner;
                }
                kept.real |= !self.liar;
                self.puts.insert(object, now);
                if let Some(doom) = self.dooms.get_mut(&object).filter(|_| !is_anew) {
                    doom.put_again();
                }
                Answer::Kept
            }
            Message::Get { object, index } | Message::Challenge { object, index } => {
                let Some(copy) = self.copies.get(&(object, index)) else { return Answer::Refused };
                let right = copy.real;
                if !right && !self.liar {
                    // It finds its own loss when it reads, and says so from then on.
                    self.copies.remove(&(object, index));
                    return Answer::Refused;
                }
                Answer::Bytes { right }
            }
            Message::Survey(object) => Answer::Surveyed(Surveyed {
                own: self.has(object, false),
                handed_off: self.has(object, true),
            }),
            Message::Which(object) => Answer::Held(self.receipts(object, scene)),
            Message::Keep { object, index } => match self.copies.get_mut(&(object, index)) {
                Some(copy) => {
                    copy.owner = None;
                    Answer::Kept
                }
                None => Answer::Refused,
            },
            Message::Lease(object) => Answer::Leased(self.leases.ask(object, scene.from, now)),
            Message::EndLease(object) => {
                self.leases.end(&object, &scene.from);
                Answer::Noted
            }
            Message::Remove(removal) => self.remove(&removal, scene),
            Message::Report(failure) => {
                self.docket.failed(failure, false, now);
                Answer::Noted
            }
        }
    }

    fn receipts(&self, object: ObjectId, scene: &Scene<'_>) -> Vec<Receipt> {
        let Some(manifest) = scene.manifests.get(&object) else { return Vec::new() };
        let copies = self.copies.range((object, 0)..=(object, u8::MAX));
        let doomed = self.is_doomed(&object, scene.now);
        copies
            .map(|((_, index), copy)| Receipt {
                held: Held::Shard { object, index: *index, hash: manifest.shard(*index).unwrap() },
                promise: if copy.owner.is_some() || doomed {
                    Promise::Forwards
                } else {
                    copy.release.promise()
                },
                holder: self.peer,
                incarnation: Incarnation::from_bytes([self.life; 16]),
                ring: Hash::from_bytes([0; 32]),
                time: scene.now,
            })
            .collect()
    }

    fn remove(&mut self, removal: &Removal, scene: &Scene<'_>) -> Answer {
        let (object, now) = (removal.object, scene.now);
        let shards: Indices = self.copies.range(all_of(&object)).map(|((_, index), _)| *index).collect();
        if !shards.is_empty() {
            let table = &scene.tables[self.version];
            let duty =
                Duty::of(&SPACE, table, scene.tables[..self.version].iter().rev().take(3).map(Arc::as_ref));
            let operator = |peer: &PeerId| {
                let tables = scene.tables.iter().rev().take(4);
                tables
                    .flat_map(|table| table.sites())
                    .find(|site| site.peer == *peer)
                    .map(|site| site.operator)
            };
            let put = self.puts.range(codings(&object)).map(|(_, put)| *put).max().unwrap_or_default();
            let doom = self.dooms.entry(object).or_default();
            doom.insert(removal, Heard { duty: &duty, operator: &operator, put, now, delay: REMOVAL_DELAY });
            if doom.fate(now, REMOVAL_DELAY) != Fate::Gone {
                return Answer::Noted;
            }
            self.copies.retain(|(other, _), _| !codings(&object).contains(other));
            self.dooms.remove(&object);
        }
        let incarnation = Incarnation::from_bytes([self.life; 16]);
        Answer::Deleted(Deletion { object, shards, holder: self.peer, incarnation, time: now })
    }
}

//! The ring of the model: members, tables, the object, and the rules of this room as the model asks them.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{
    id::{Hash, OperatorId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Codec, Manifest};
use cosmic_ring::{Class, Table};

use super::state::{Age, Signed};
use crate::{
    Assignment, Docket, Held, Liveness, ObjectCustody, Promise, Receipt, Release, Standing, Target,
    release::{Asked, Keep, RELEASE_DELAY, shard_needless},
    tests::rings,
};

const NOW: Timestamp = rings::START;

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) k: u8,
    pub(super) n: u8,
    /// The members of each table, one after the other.
    pub(super) tables: &'static [&'static [u8]],
    /// How many disks may be lost, n - k at most.
    pub(super) losses: u8,
    /// How many shards may arrive twice.
    pub(super) repeats: u8,
}

/// What can be taken away from the rules, to see that it is missed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) delay: Duration,
    /// Whether each asking begins without the receipts of the one before.
    pub(super) asks_anew: bool,
    /// Whether others have to sign at all.
    pub(super) wants_receipts: bool,
    /// Whether a copy whose release has begun is promised as if it stayed.
    pub(super) promises_all: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { delay: RELEASE_DELAY, asks_anew: true, wants_receipts: true, promises_all: false }
    }
}

/// The same for all states.
pub(super) struct Ring {
    pub(super) plan: Plan,
    pub(super) rules: Rules,
    pub(super) peers: Vec<PeerId>,
    pub(super) codec: Codec,
    manifest: Manifest,
    tables: Vec<(Table, Standing, Liveness)>,
    docket: Docket,
}

impl Ring {
    pub(super) fn new(plan: Plan, rules: Rules) -> Self {
        let codec = rings::codec(plan.k, plan.n);
        let table = |members: &&[u8]| {
            let sites = members.iter().map(|number| rings::site(u32::from(*number), 0, u32::from(*number)));
            let table = rings::table_of(sites.collect(), Class { k: plan.k, n: plan.n });
            let standing =
                Standing::new(table.sites().iter().map(|site| (site.peer, site.zone.as_str(), None)));
            let liveness = rings::liveness(&table);
            (table, standing, liveness)
        };
        let last = plan.tables.iter().flat_map(|members| members.iter()).max().unwrap();
        Self {
            plan,
            rules,
            peers: (0..=*last).map(|number| rings::peer(u32::from(number))).collect(),
            codec,
            manifest: rings::manifest(codec),
            tables: plan.tables.iter().map(table).collect(),
            docket: Docket::new(OperatorId::from_bytes([0; 32])),
        }
    }

    /// Which supernode of the model this is.
    pub(super) fn number(&self, peer: &PeerId) -> usize {
        self.peers.iter().position(|other| other == peer).unwrap()
    }

    /// Who is to get which shard when the object is written under a table.
    pub(super) fn plan_write(&self, version: usize) -> Vec<Assignment> {
        crate::plan_placement(&self.tables[version].0, &self.manifest.object(), self.codec)
    }

    pub(super) fn target(&self, version: usize, held: &[Assignment]) -> Target {
        Target::of(&self.tables[version].0, &self.manifest.object(), self.codec, held, |_| true)
    }

    /// What a holder promises about a copy.
    pub(super) fn promise(&self, age: Age) -> Promise {
        if self.rules.promises_all { Promise::Keeps } else { self.release_of(age).promise() }
    }

    /// What these receipts say by a table.
    pub(super) fn custody(&self, version: usize, signed: &BTreeSet<Signed>) -> (ObjectCustody, Standing) {
        let (mut custody, mut standing) =
            (ObjectCustody::new(&self.manifest), self.tables[version].1.clone());
        let receipts: Vec<Receipt> = signed.iter().map(|signed| self.receipt(signed)).collect();
        receipts.iter().for_each(|receipt| standing.observe(receipt));
        // Who is no member cannot be counted.
        receipts.iter().for_each(|receipt| drop(custody.insert(receipt, &standing)));
        (custody, standing)
    }

    fn receipt(&self, signed: &Signed) -> Receipt {
        let hash = self.manifest.shard(signed.index).unwrap();
        Receipt {
            held: Held::Shard { object: self.manifest.object(), index: signed.index, hash },
            promise: if signed.keeps { Promise::Keeps } else { Promise::Forwards },
            holder: self.peers[signed.holder],
            incarnation: rings::life(1 + signed.life),
            ring: Hash::from_bytes([0; 32]),
            time: NOW,
        }
    }

    /// One asking of a holder about its copy: the age of the release after it, or that the copy may go.
    pub(super) fn ask(&self, asking: &Asking<'_>) -> Result<(), Age> {
        let target = self.target(asking.version, asking.held);
        let (fresh, standing) = self.custody(asking.version, asking.signed);
        let asked = Asked {
            target: &target,
            fresh: &fresh,
            standing: &standing,
            liveness: &self.tables[asking.version].2,
            docket: &self.docket,
            now: NOW,
        };
        let reasons = match shard_needless(asking.mine, self.codec, &asked) {
            Err(Keep::Owed(_)) if !self.rules.wants_receipts => Ok(()),
            reasons => reasons,
        };
        let mut release = self.release_of(asking.age);
        release.ask(reasons, self.rules.delay, NOW).map_err(|_keep| match release.settled {
            None => Age::Needed,
            Some(NOW) => Age::Settled,
            Some(_) => Age::DelayOver,
        })
    }

    /// The model counts no hours: what matters is whether the delay is over.
    fn release_of(&self, age: Age) -> Release {
        let before =
            Timestamp::from_unix_ms(NOW.unix_ms() - u64::try_from(RELEASE_DELAY.as_millis()).unwrap());
        Release::since(match age {
            Age::Needed => None,
            Age::Settled => Some(NOW),
            Age::DelayOver => Some(before),
        })
    }
}

/// A holder asks whether its copy may go.
pub(super) struct Asking<'a> {
    pub(super) version: usize,
    pub(super) mine: Assignment,
    pub(super) held: &'a [Assignment],
    pub(super) signed: &'a BTreeSet<Signed>,
    pub(super) age: Age,
}

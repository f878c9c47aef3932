//! Rings, objects and receipts for the tests of rules.

use std::time::Duration;

use cosmic_common::{
    hash,
    id::{Hash, Incarnation, ObjectId, OperatorId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Codec, Coder, Manifest};
use cosmic_ring::{Class, Site, Table};

use crate::{
    Assignment, Held, HeldCopy, Liveness, ObjectCustody, Patience, Promise, Receipt, Standing, Subject,
};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const START: Timestamp = Timestamp::from_unix_ms(1_760_000_000_000);

pub(crate) fn hours(count: u64) -> Timestamp {
    START.after(HOUR * u32::try_from(count).unwrap())
}

/// A peer whose id looks like a key.
pub(crate) fn peer(number: u32) -> PeerId {
    PeerId::from_bytes(hash::derive("cosmic test peer", &[&number.to_be_bytes()]))
}

pub(crate) fn object(number: u32) -> ObjectId {
    ObjectId::from_bytes(hash::derive("cosmic test object", &[&number.to_be_bytes()]))
}

pub(crate) fn site(number: u32, zone: u32, operator: u32) -> Site {
    Site {
        peer: peer(number),
        operator: OperatorId::from_bytes(hash::derive("cosmic test operator", &[&operator.to_be_bytes()])),
        zone: format!("zone-{zone}").parse().unwrap(),
        weight: 1,
    }
}

/// `count` members in `zones` zones, each of its own operator.
pub(crate) fn sites(count: u32, zones: u32) -> Vec<Site> {
    (0..count).map(|number| site(number, number % zones, number)).collect()
}

pub(crate) fn table_of(sites: Vec<Site>, class: Class) -> Table {
    Table::of(sites, 6, class)
}

/// The table of `count` members in `zones` zones, in the class of so many.
pub(crate) fn table(count: u32, zones: u32) -> Table {
    table_of(sites(count, zones), Class::for_members(count as usize, &[]))
}

pub(crate) fn codec(k: u8, n: u8) -> Codec {
    Codec::new(k, n).unwrap()
}

/// All of them heard at `START`.
pub(crate) fn liveness(table: &Table) -> Liveness {
    let mut liveness = Liveness::new(Patience::default());
    liveness.members(table.sites().iter().map(|site| site.peer), [], START);
    liveness
}

/// All of them heard at `now`, except `silent`.
pub(crate) fn hear(liveness: &mut Liveness, silent: &[PeerId], now: Timestamp) {
    let all: Vec<PeerId> = liveness.active().copied().collect();
    all.iter().filter(|peer| !silent.contains(peer)).for_each(|peer| liveness.heard(peer, now));
}

pub(crate) fn standing(table: &Table) -> Standing {
    Standing::new(table.sites().iter().map(|site| (site.peer, site.zone.as_str(), Some(life(1)))))
}

pub(crate) fn life(number: u8) -> Incarnation {
    Incarnation::from_bytes([number; 16])
}

/// The object `number` as its holders by `table` have it.
pub(crate) fn subject(table: &Table, number: u32, codec: Codec) -> Subject {
    let object = object(number);
    let holders = table.holders(&object, codec.n());
    let copies =
        (0_u8..).zip(holders).map(|(index, holder)| HeldCopy { index, holder, handed_off: false }).collect();
    Subject { object, codec, shard_bytes: 1000, copies }
}

pub(crate) fn manifest(codec: Codec) -> Manifest {
    let coder = Coder::new(codec).unwrap();
    coder.encode(b"an object of some bytes, more than there are shards".to_vec()).unwrap().manifest().clone()
}

pub(crate) fn receipt(manifest: &Manifest, shard: Assignment, life: Incarnation, time: Timestamp) -> Receipt {
    let hash = manifest.shard(shard.index).unwrap();
    Receipt {
        held: Held::Shard { object: manifest.coding(), index: shard.index, hash },
        promise: Promise::Keeps,
        holder: shard.holder,
        incarnation: life,
        ring: Hash::from_bytes([0; 32]),
        time,
    }
}

/// What these holders sign now.
pub(crate) fn custody(manifest: &Manifest, signed: &[Assignment], standing: &Standing) -> ObjectCustody {
    let mut custody = ObjectCustody::new(manifest);
    for shard in signed {
        custody.insert(&receipt(manifest, *shard, life(1), START), standing).unwrap();
    }
    custody
}

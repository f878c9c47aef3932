//! Levels rise only by honest, current, distinct promises, in whatever order they come.

use std::{collections::BTreeSet, sync::LazyLock};

use cosmic_common::{
    hash,
    heads::Head,
    id::{EntryId, Hash, Incarnation, LogId, ObjectId, OperatorId, PeerId, SpaceId},
    time::Timestamp,
};
use cosmic_erasure::{Codec, Coder, Manifest};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{Class, Consent, Label, Member, Members, NetworkConfig, Site, State, Table};
use proptest::prelude::*;

use super::{
    log::{Duty, LogCustody, LogReach},
    object::{ObjectCustody, ObjectVerdict, shards_wanted},
};
use crate::{
    Error, Level,
    receipt::{Held, Promise, Receipt},
    standing::Standing,
};

const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
const LOG: LogId = LogId::from_bytes([2; 32]);
/// Where our copy of the log ends.
const OUR_END: u64 = 20;

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn life(number: u8) -> Incarnation {
    Incarnation::from_bytes([number; 16])
}

/// Entry `seq` of our branch, or of another.
fn entry(seq: u64, branch: u8) -> EntryId {
    EntryId::from_bytes(hash::derive("cosmic test entry 1", &[&seq.to_be_bytes(), &[branch]]))
}

fn is_ours(head: &Head) -> bool {
    head.seq <= OUR_END && head.entry == entry(head.seq, 0)
}

fn codec(k: u8, n: u8) -> Codec {
    Codec::new(k, n).unwrap()
}

/// The manifest of one small object under a codec.
fn manifest(codec: Codec) -> Manifest {
    Coder::new(codec).unwrap().encode(b"an object of some bytes".to_vec()).unwrap().manifest().clone()
}

static THREE_OF_SIX: LazyLock<Manifest> = LazyLock::new(|| manifest(codec(3, 6)));

fn object() -> ObjectId {
    THREE_OF_SIX.object()
}

/// The hash of a shard under 3 of 6; of no shard for other indices.
fn shard_hash(index: u8) -> Hash {
    THREE_OF_SIX.shard(index).unwrap_or_else(|| hash::plain(&[index]))
}

fn receipt(held: Held, holder: u8, time: u64) -> Receipt {
    Receipt {
        held,
        promise: Promise::Keeps,
        holder: peer(holder),
        incarnation: life(1),
        ring: Hash::from_bytes([0; 32]),
        time: Timestamp::from_unix_ms(time),
    }
}

fn log_receipt(holder: u8, seq: u64) -> Receipt {
    receipt(Held::Log { space: SPACE, log: LOG, head: Head { seq, entry: entry(seq, 0) } }, holder, seq)
}

fn shard_receipt(holder: u8, index: u8) -> Receipt {
    receipt(Held::Shard { object: object(), index, hash: shard_hash(index) }, holder, 1)
}

fn copy_receipt(holder: u8, index: u8) -> Receipt {
    let hash = manifest(codec(1, 3)).shard(0).unwrap();
    receipt(Held::Shard { object: object(), index, hash }, holder, 1)
}

/// Six members, two in each of three zones; their records name no life.
fn six() -> Standing {
    Standing::new(
        [(1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "b"), (6, "c")].map(|(n, z)| (peer(n), z, None)),
    )
}

fn duty() -> Duty {
    Duty { current: vec![peer(1), peer(2), peer(3)], earlier: vec![peer(4)] }
}

fn reach(receipts: &[Receipt], duty: &Duty, standing: &Standing) -> LogReach {
    let mut custody = LogCustody::new(SPACE, LOG);
    for receipt in receipts {
        // Refused receipts must change nothing; that is what these tests look at.
        let _refused = custody.insert(receipt, standing);
    }
    custody.reach(duty, standing, is_ours)
}

fn verdict(receipts: &[Receipt], manifest: &Manifest, standing: &Standing) -> ObjectVerdict {
    let mut custody = ObjectCustody::new(manifest);
    for receipt in receipts {
        let _refused = custody.insert(receipt, standing);
    }
    custody.verdict(standing)
}

#[test]
fn two_of_three_replicas_make_replicated() {
    let standing = six();
    assert_eq!(reach(&[], &duty(), &standing).level(0), Level::Local);
    let one = reach(&[log_receipt(1, 9)], &duty(), &standing);
    assert_eq!((one.level(9), one.level(10)), (Level::Accepted, Level::Local));
    let two = reach(&[log_receipt(1, 9), log_receipt(2, 7)], &duty(), &standing);
    assert_eq!(
        (two.level(7), two.level(8), two.level(10)),
        (Level::Replicated, Level::Accepted, Level::Local)
    );
    let gateway = reach(&[log_receipt(6, 9), log_receipt(1, 9)], &duty(), &standing);
    assert_eq!(gateway.level(9), Level::Accepted, "a supernode without duty is no replica");
}

#[test]
fn a_gateway_that_only_forwards_is_no_replica() {
    let mut forwarding = log_receipt(2, 9);
    forwarding.promise = Promise::Forwards;
    assert_eq!(reach(&[forwarding, log_receipt(1, 9)], &duty(), &six()).level(9), Level::Accepted);
}

#[test]
fn two_replicas_in_one_zone_are_not_enough_where_there_are_two_zones() {
    let duty = Duty { current: vec![peer(1), peer(4), peer(2)], earlier: vec![] };
    let same = [log_receipt(1, 9), log_receipt(4, 9)];
    assert_eq!(reach(&same, &duty, &six()).level(9), Level::Accepted);
    let three = [log_receipt(1, 9), log_receipt(4, 9), log_receipt(2, 8)];
    assert_eq!(reach(&three, &duty, &six()).replicated, Some(8));
    let one_zone = Standing::new([1, 2, 4].map(|n| (peer(n), "a", None)));
    assert_eq!(reach(&same, &duty, &one_zone).level(9), Level::Replicated);
}

#[test]
fn a_small_ring_replicates_to_all_it_has_and_says_so() {
    let alone = Duty { current: vec![peer(1)], earlier: vec![] };
    let standing = Standing::new([(peer(1), "a", None)]);
    let verdict = reach(&[log_receipt(1, 9)], &alone, &standing);
    assert!(verdict.reduced && verdict.level(9) == Level::Replicated);
    let pair = Duty { current: vec![peer(1), peer(2)], earlier: vec![] };
    assert_eq!(reach(&[log_receipt(1, 9)], &pair, &six()).level(9), Level::Accepted);
    let nobody = reach(&[log_receipt(1, 9)], &Duty::default(), &six());
    assert_eq!(nobody.level(9), Level::Accepted);
}

#[test]
fn a_new_life_voids_what_the_old_one_said() {
    let mut standing = six();
    let receipts = [log_receipt(1, 9), log_receipt(2, 9)];
    assert_eq!(reach(&receipts, &duty(), &standing).level(9), Level::Replicated);
    let elsewhere =
        Receipt { incarnation: life(2), time: Timestamp::from_unix_ms(99), ..shard_receipt(2, 0) };
    standing.observe(&elsewhere);
    assert_eq!(reach(&receipts, &duty(), &standing).level(9), Level::Accepted);
    let mut renewed = six();
    renewed.inherit(&standing);
    assert_eq!(reach(&receipts, &duty(), &renewed).level(9), Level::Accepted);
    let recorded = Standing::new([(1, "a"), (2, "b")].map(|(n, z)| (peer(n), z, Some(life(2)))));
    assert_eq!(reach(&receipts, &duty(), &recorded).level(9), Level::Local);
}

#[test]
fn a_receipt_ahead_of_us_does_not_hide_the_one_before() {
    let ahead = log_receipt(1, OUR_END + 5);
    assert_eq!(reach(&[log_receipt(1, 9), ahead], &duty(), &six()).accepted, Some(9));
}

#[test]
fn replicas_of_an_earlier_table_count_while_they_are_members() {
    let receipts = [log_receipt(4, 9), log_receipt(2, 9)];
    assert_eq!(reach(&receipts, &duty(), &six()).level(9), Level::Replicated);
    let without_4 = Standing::new([(1, "a"), (2, "b"), (3, "c")].map(|(n, z)| (peer(n), z, None)));
    assert_eq!(reach(&receipts, &duty(), &without_4).level(9), Level::Accepted);
}

#[test]
fn standing_is_of_active_members_with_the_life_their_record_names() {
    let [network_key, operator] = [50, 51].map(|number| SecretKey::from_seed(&[number; 32]));
    let mut config = NetworkConfig::new(&network_key);
    config.operators.insert(operator.operator_id());
    let network = config.network();
    let mut members = Members::new(Signed::sign(config, &network_key), network).unwrap();
    let keys = [60, 61, 62].map(|number| SecretKey::from_seed(&[number; 32]));
    let told = [(State::Active, Some(life(4))), (State::Retired, None), (State::Active, None)];
    for (key, (state, incarnation)) in keys.iter().zip(told) {
        let member = Member {
            network,
            operator: operator.operator_id(),
            peer: key.peer_id(),
            consent: Consent::give(key, network, operator.operator_id(), 1),
            sequence: 1,
            state,
            weight: 1,
            zone: "a".parse().unwrap(),
            region: "r".parse().unwrap(),
            addresses: Vec::new(),
            incarnation,
        };
        members.insert(Signed::sign(member, &operator)).unwrap();
    }
    let standing = Standing::of(&members);
    let [recorded, retired, silent] = keys.map(|key| key.peer_id());
    assert!(!standing.contains(&retired) && standing.zone(&silent) == Some("a"));
    let duty = Duty { current: vec![recorded, silent], earlier: vec![] };
    let from = |holder, lived| Receipt { holder, incarnation: life(lived), ..log_receipt(1, 9) };
    let level =
        |lived| reach(&[from(recorded, lived), from(silent, 1), from(retired, 1)], &duty, &standing).level(9);
    assert_eq!((level(4), level(3)), (Level::Replicated, Level::Accepted));
}

#[test]
fn duty_follows_the_tables() {
    let table = |numbers: &[u8]| {
        let site = |number: &u8| Site {
            peer: peer(*number),
            operator: OperatorId::from_bytes([*number; 32]),
            zone: format!("zone-{number}").parse::<Label>().unwrap(),
            weight: 1,
        };
        Table::of(numbers.iter().map(site).collect(), 6, Class::for_members(numbers.len(), &[]))
    };
    let (now, before) = (table(&[1, 2, 3]), table(&[3, 4, 5]));
    let duty = Duty::of(&SPACE, &now, [&before, &now]);
    assert_eq!(duty.current.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3].map(peer)));
    assert_eq!(duty.earlier, [peer(4), peer(5)]);
    assert!(!duty.is_reduced() && Duty::of(&SPACE, &table(&[1, 2]), []).is_reduced());
}

#[test]
fn what_is_owed_is_what_is_not_signed() {
    let standing = six();
    let mut custody = LogCustody::new(SPACE, LOG);
    custody.insert(&log_receipt(1, 9), &standing).unwrap();
    custody.insert(&log_receipt(2, 4), &standing).unwrap();
    let head = Head { seq: 9, entry: entry(9, 0) };
    let owed = custody.owed(&duty(), &standing, head, is_ours);
    assert_eq!(
        owed.iter().map(|debt| (debt.holder, debt.from)).collect::<Vec<_>>(),
        [(peer(2), 5), (peer(3), 0)]
    );
}

#[test]
fn three_of_six_is_durable_when_all_six_signed() {
    let standing = six();
    let all: Vec<Receipt> = (0..6).map(|index| shard_receipt(index + 1, index)).collect();
    let levels: Vec<Level> =
        (0..=6).map(|count| verdict(&all[..count], &THREE_OF_SIX, &standing).level).collect();
    let durable = Level::Durable { survives: 3 };
    assert_eq!(
        levels,
        [
            Level::Local,
            Level::Local,
            Level::Local,
            Level::Accepted,
            Level::Replicated,
            Level::Replicated,
            durable
        ]
    );
    assert_eq!(verdict(&all, &THREE_OF_SIX, &standing).survives_zones, 1);
}

#[test]
fn shards_heaped_on_one_holder_survive_less() {
    let heaped: Vec<Receipt> = (0..6).map(|index| shard_receipt(index / 3 + 1, index)).collect();
    let verdict = verdict(&heaped, &THREE_OF_SIX, &six());
    assert_eq!((verdict.survives, verdict.holders), (1, 2));
}

#[test]
fn fewer_than_three_copies_are_never_durable() {
    let standing = six();
    let copies: Vec<Receipt> = (0..3).map(|index| copy_receipt(index + 1, index)).collect();
    for (n, level) in [(1, Level::Replicated), (2, Level::Replicated), (3, Level::Durable { survives: 2 })] {
        let verdict = verdict(&copies[..usize::from(n)], &manifest(codec(1, n)), &standing);
        assert_eq!((verdict.level, verdict.reduced), (level, n < 3));
    }
}

#[test]
fn a_whole_object_at_its_gateway_is_accepted() {
    let whole = Receipt { promise: Promise::Forwards, ..receipt(Held::Object { object: object() }, 1, 1) };
    assert_eq!(verdict(&[whole], &THREE_OF_SIX, &six()).level, Level::Accepted);
}

#[test]
fn what_cannot_count_is_refused_by_name() {
    let standing = six();
    let mut custody = ObjectCustody::new(&THREE_OF_SIX);
    assert!(matches!(custody.insert(&shard_receipt(9, 0), &standing), Err(Error::NotAMember { .. })));
    assert!(matches!(custody.insert(&log_receipt(1, 0), &standing), Err(Error::Foreign { .. })));
    let beyond = shard_receipt(1, 7);
    assert!(matches!(custody.insert(&beyond, &standing), Err(Error::WrongShard { index: 7, .. })));
}

#[test]
fn wide_classes_do_not_wait_for_stragglers() {
    let full = |k, n| shards_wanted(codec(k, n));
    assert_eq!([full(1, 3), full(3, 6), full(5, 10), full(8, 14), full(10, 20)], [3, 6, 9, 13, 17]);
}

fn any_promise() -> impl Strategy<Value = Promise> {
    prop_oneof![Just(Promise::Keeps), Just(Promise::Forwards)]
}

/// Receipts of members and strangers, of two lives, on our branch and another, for our log and another's.
fn any_log_receipt() -> impl Strategy<Value = Receipt> {
    (1_u8..9, 0..OUR_END + 5, 0_u8..2, 1_u8..3, any_promise(), 0_u64..10, 0_u8..5).prop_map(
        |(holder, seq, branch, lived, promise, time, foreign)| {
            let log = if foreign == 0 { LogId::from_bytes([9; 32]) } else { LOG };
            let head = Head { seq, entry: entry(seq, branch) };
            let held = Held::Log { space: SPACE, log, head };
            Receipt { promise, incarnation: life(lived), ..receipt(held, holder, time) }
        },
    )
}

fn any_shard_receipt() -> impl Strategy<Value = Receipt> {
    (1_u8..9, 0_u8..7, 0_u8..5, 1_u8..3, any_promise(), 0_u64..10, 0_u8..5).prop_map(
        |(holder, index, wrong, lived, promise, time, foreign)| {
            let object = if foreign == 0 { ObjectId::from_bytes([9; 32]) } else { object() };
            let hash = if wrong == 0 { shard_hash(99) } else { shard_hash(index) };
            let held = Held::Shard { object, index, hash };
            Receipt { promise, incarnation: life(lived), ..receipt(held, holder, time) }
        },
    )
}

/// Receipts, and the same ones in another order, some of them twice.
fn shuffled(
    receipt: impl Strategy<Value = Receipt> + Clone,
) -> impl Strategy<Value = (Vec<Receipt>, Vec<Receipt>)> {
    prop::collection::vec(receipt, 0..30).prop_flat_map(|receipts| {
        let mut repeated = receipts.clone();
        repeated.extend(receipts.iter().step_by(3).cloned());
        (Just(receipts), Just(repeated).prop_shuffle())
    })
}

fn observed(receipts: &[Receipt]) -> Standing {
    let mut standing = six();
    receipts.iter().for_each(|receipt| standing.observe(receipt));
    standing
}

proptest! {
    #[test]
    fn any_order_of_log_receipts_gives_one_verdict((one, other) in shuffled(any_log_receipt().boxed())) {
        prop_assert_eq!(reach(&one, &duty(), &observed(&one)), reach(&other, &duty(), &observed(&other)));
        prop_assert_eq!(reach(&one, &duty(), &six()), reach(&other, &duty(), &six()));
    }

    #[test]
    fn any_order_of_shard_receipts_gives_one_verdict((one, other) in shuffled(any_shard_receipt().boxed())) {
        let (first, second) = (observed(&one), observed(&other));
        prop_assert_eq!(verdict(&one, &THREE_OF_SIX, &first), verdict(&other, &THREE_OF_SIX, &second));
    }

    #[test]
    fn replicated_needs_two_current_replicas_of_ours(
        receipts in prop::collection::vec(any_log_receipt(), 0..30), seq in 0..OUR_END,
    ) {
        let standing = observed(&receipts);
        let level = reach(&receipts, &duty(), &standing).level(seq);
        let newest = |holder: &PeerId| {
            let theirs = receipts.iter().filter(|receipt| receipt.holder == *holder);
            theirs.map(|receipt| (receipt.time, receipt.incarnation)).max().map(|(_, life)| life)
        };
        let covering = |receipt: &&Receipt| matches!(
            receipt.held,
            Held::Log { log, head, .. } if log == LOG && head.seq >= seq && is_ours(&head)
        ) && standing.contains(&receipt.holder) && newest(&receipt.holder) == Some(receipt.incarnation);
        let honest: Vec<&Receipt> = receipts.iter().filter(covering).collect();
        let replicas: BTreeSet<&PeerId> = honest
            .iter()
            .filter(|receipt| receipt.promise == Promise::Keeps)
            .map(|receipt| &receipt.holder)
            .filter(|holder| duty().current.contains(holder) || duty().earlier.contains(holder))
            .collect();
        let zones: BTreeSet<_> = replicas.iter().filter_map(|holder| standing.zone(holder)).collect();
        if level >= Level::Replicated {
            prop_assert!(zones.len() >= 2, "{replicas:?}");
        }
        if level >= Level::Accepted {
            prop_assert!(!honest.is_empty());
        }
    }

    #[test]
    fn an_object_survives_the_loss_of_any_holders_it_says(
        kept in prop::collection::btree_set((1_u8..7, 0_u8..6), 0..14),
    ) {
        let receipts: Vec<Receipt> = kept.iter().map(|(holder, index)| shard_receipt(*holder, *index)).collect();
        let told = verdict(&receipts, &THREE_OF_SIX, &six());
        for dead in (0_u8..64).filter(|dead| dead.count_ones() <= u32::from(told.survives)) {
            let left: BTreeSet<u8> =
                kept.iter().filter(|(holder, _)| dead >> (holder - 1) & 1 == 0).map(|(_, index)| *index).collect();
            prop_assert!(told.level < Level::Accepted || left.len() >= 3, "{told:?} without {dead:06b}");
        }
        let different: BTreeSet<u8> = kept.iter().map(|(_, index)| *index).collect();
        prop_assert_eq!(told.shards.iter().collect::<BTreeSet<u8>>(), different.clone());
        prop_assert_eq!(told.level.survives().is_some(), different.len() == 6 && told.survives > 0);
    }

    #[test]
    fn shards_of_no_use_raise_no_level(receipts in prop::collection::vec(any_shard_receipt(), 0..60)) {
        let standing = observed(&receipts);
        let useful: BTreeSet<u8> = receipts
            .iter()
            .filter(|receipt| receipt.promise == Promise::Keeps && standing.contains(&receipt.holder))
            .filter_map(|receipt| match receipt.held {
                Held::Shard { object: of, index, hash }
                    if index < 6 && of == object() && hash == shard_hash(index) => Some(index),
                Held::Shard { .. } | Held::Log { .. } | Held::Object { .. } => None,
            })
            .collect();
        let told = verdict(&receipts, &THREE_OF_SIX, &standing);
        prop_assert!(told.shards.iter().all(|index| useful.contains(&index)));
        prop_assert!(told.level < Level::Accepted || useful.len() >= 3);
        prop_assert!(told.level.survives().is_none() || useful.len() == 6);
    }

    #[test]
    fn strangers_and_other_logs_change_nothing(
        receipts in prop::collection::vec(any_log_receipt(), 0..20), noise in prop::collection::vec(any_log_receipt(), 0..20),
    ) {
        let standing = six();
        let mut with_noise = receipts.clone();
        with_noise.extend(noise.into_iter().map(|receipt| Receipt { holder: peer(7), ..receipt }));
        prop_assert_eq!(reach(&receipts, &duty(), &standing), reach(&with_noise, &duty(), &standing));
    }
}

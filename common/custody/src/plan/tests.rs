//! A search finds whatever can be found, whoever is dead and whatever moved; plans and debts add up.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    id::{Hash, Incarnation, ObjectId, OperatorId, PeerId},
    time::Timestamp,
};
use cosmic_erasure::{Codec, Coder, Manifest};
use cosmic_ring::{Class, Label, Site, Table};
use proptest::prelude::*;

use super::{
    place::{Assignment, assign, codec, owed, placement_record, plan_placement, stand_ins},
    search::{Ask, Found, Outcome, Search, Sources},
};
use crate::{
    count::object::ObjectCustody,
    message::shard::Indices,
    placement::{Holding, Placement},
    receipt::{Held, Promise, Receipt},
    standing::Standing,
};

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn shards(pairs: impl IntoIterator<Item = (u8, u8)>) -> Vec<Assignment> {
    pairs.into_iter().map(|(index, holder)| Assignment { index, holder: peer(holder) }).collect()
}

/// Who is alive, what they hold, and the placement record if it is still there.
struct World {
    alive: BTreeMap<PeerId, Indices>,
    record: Option<Placement>,
}

impl World {
    fn answer(&self, ask: Ask) -> Found {
        match ask {
            Ask::Shard { holder, index } => match self.alive.get(&holder) {
                Some(held) if held.contains(index) => Found::Shard,
                _ => Found::Nothing,
            },
            Ask::Placement { holder } if self.alive.contains_key(&holder) => {
                self.record.clone().map_or(Found::Nothing, Found::Placement)
            }
            Ask::Which { holder } => {
                self.alive.get(&holder).map_or(Found::Nothing, |held| Found::Held(*held))
            }
            Ask::Placement { .. } => Found::Nothing,
        }
    }

    /// Runs the search to its end; gives its outcome and everything it asked, in order.
    fn run(&self, search: &mut Search) -> (Outcome, Vec<Ask>) {
        let mut asked = Vec::new();
        while search.outcome() == Outcome::Searching {
            let asks = search.asks();
            assert!(!asks.is_empty(), "a search without open questions must ask or end");
            for ask in asks {
                asked.push(ask);
                search.answered(ask, self.answer(ask));
            }
        }
        (search.outcome(), asked)
    }
}

fn six_holders() -> BTreeMap<PeerId, Indices> {
    (0..6).map(|index| (peer(index + 1), [index].into_iter().collect())).collect()
}

fn record(pairs: impl IntoIterator<Item = (u8, u8)>) -> Placement {
    let holding = |number| Holding { peer: peer(number), incarnation: Incarnation::from_bytes([1; 16]) };
    Placement {
        object: ObjectId::from_bytes([1; 32]),
        ring: Hash::from_bytes([2; 32]),
        time: Timestamp::from_unix_ms(1),
        holders: pairs.into_iter().map(|(index, number)| (index, holding(number))).collect(),
    }
}

#[test]
fn the_current_table_suffices_when_it_is_right() {
    let sources = Sources { current: shards((0..6).map(|i| (i, i + 1))), ..Sources::default() };
    let mut search = Search::new(3, 1, sources, |_| 0);
    let world = World { alive: six_holders(), record: None };
    let (outcome, asked) = world.run(&mut search);
    assert_eq!((outcome, asked.len()), (Outcome::Enough, 4));
}

#[test]
fn the_nearest_are_asked_first() {
    let sources = Sources { current: shards((0..6).map(|i| (i, i + 1))), ..Sources::default() };
    let mut search = Search::new(3, 0, sources, |peer| u64::from(10 - peer.as_bytes()[0]));
    let asked: Vec<PeerId> = search
        .asks()
        .into_iter()
        .filter_map(|ask| match ask {
            Ask::Shard { holder, .. } => Some(holder),
            Ask::Placement { .. } | Ask::Which { .. } => None,
        })
        .collect();
    assert_eq!(asked, [peer(6), peer(5), peer(4)]);
}

#[test]
fn sources_are_opened_in_their_order_and_only_when_needed() {
    let sources = Sources {
        current: shards((0..6).map(|i| (i, i + 11))),
        placement_keepers: vec![peer(1), peer(2)],
        earlier: shards((0..6).map(|i| (i, i + 1))),
        everyone: (1..7).map(peer).collect(),
    };
    let with_record = World { alive: six_holders(), record: Some(record([(3, 4), (4, 5), (5, 6)])) };
    let (outcome, asked) = with_record.run(&mut Search::new(3, 1, sources.clone(), |_| 0));
    assert_eq!(outcome, Outcome::Enough);
    assert!(!asked.iter().any(|ask| matches!(ask, Ask::Which { .. })), "{asked:?}");

    let without = World { alive: six_holders(), record: None };
    let (outcome, asked) = without.run(&mut Search::new(3, 1, sources.clone(), |_| 0));
    assert_eq!(outcome, Outcome::Enough);
    assert!(!asked.iter().any(|ask| matches!(ask, Ask::Which { .. })), "earlier tables come before everyone");

    let only_everyone = Sources { earlier: Vec::new(), ..sources };
    let (outcome, _) = without.run(&mut Search::new(3, 1, only_everyone, |_| 0));
    assert_eq!(outcome, Outcome::Enough);
}

#[test]
fn in_a_hurry_more_are_asked_without_waiting() {
    let sources = Sources {
        current: shards((0..4).map(|i| (i, i + 1))),
        everyone: (1..7).map(peer).collect(),
        ..Sources::default()
    };
    let mut search = Search::new(3, 0, sources, |_| 0);
    assert_eq!(search.asks().len(), 3);
    assert!(search.asks().is_empty());
    search.hurry();
    assert_eq!(search.asks(), [Ask::Shard { holder: peer(4), index: 3 }]);
    search.hurry();
    assert!(search.asks().iter().all(|ask| matches!(ask, Ask::Which { .. })));
    assert_eq!(search.outcome(), Outcome::Searching);
}

#[test]
fn answers_nobody_asked_for_change_nothing() {
    let mut search = Search::new(1, 0, Sources::default(), |_| 0);
    search.answered(Ask::Shard { holder: peer(1), index: 0 }, Found::Shard);
    assert!(search.found().is_empty());
    assert!(search.asks().is_empty());
    assert_eq!(search.outcome(), Outcome::Lost { found: Indices::default() });
}

fn manifest() -> Manifest {
    let coder = Coder::new(Codec::new(3, 6).unwrap()).unwrap();
    coder.encode(b"an object of some bytes".to_vec()).unwrap().manifest().clone()
}

fn receipt(manifest: &Manifest, shard: Assignment) -> Receipt {
    let hash = manifest.shard(shard.index).unwrap();
    Receipt {
        held: Held::Shard { object: manifest.object(), index: shard.index, hash },
        promise: Promise::Keeps,
        holder: shard.holder,
        incarnation: Incarnation::from_bytes([1; 16]),
        ring: Hash::from_bytes([0; 32]),
        time: Timestamp::from_unix_ms(1),
    }
}

/// A ring of `count` members in three zones, each of its own operator.
fn table(count: u8) -> Table {
    let site = |number: u8| Site {
        peer: peer(number),
        operator: OperatorId::from_bytes([number; 32]),
        zone: format!("zone-{}", number % 3).parse::<Label>().unwrap(),
        weight: 1,
    };
    Table::of((1..=count).map(site).collect(), 6, Class::for_members(usize::from(count), &[]))
}

#[test]
fn the_codec_follows_the_class_of_the_ring() {
    let codecs: Vec<(usize, usize)> =
        [1, 2, 3, 5, 6, 9].map(|count| codec(&table(count)).unwrap()).map(|c| (c.k(), c.n())).to_vec();
    assert_eq!(codecs, [(1, 1), (1, 2), (1, 3), (1, 3), (3, 6), (3, 6)]);
}

#[test]
fn those_who_step_in_have_no_shard_of_the_object() {
    let (table, codec) = (table(8), Codec::new(3, 6).unwrap());
    let object = ObjectId::from_bytes([77; 32]);
    let plan = plan_placement(&table, &object, codec);
    let planned: BTreeSet<PeerId> = plan.iter().map(|shard| shard.holder).collect();
    assert_eq!(planned.len(), 6);
    let away: Vec<PeerId> = plan.iter().take(3).map(|shard| shard.holder).collect();
    let meanwhile = stand_ins(&table, &object, codec, |peer| away.contains(peer));
    assert_eq!(meanwhile.len(), 2, "eight members have two to spare");
    assert!(meanwhile.iter().all(|one| !planned.contains(&one.holder) && away.contains(&one.owner)));
    assert!(stand_ins(&table, &object, codec, |_| false).is_empty());
}

#[test]
fn a_search_over_tables_finds_an_object_the_ring_moved_away_from() {
    let (before, now) = (table(6), table(12));
    let codec = Codec::new(3, 6).unwrap();
    let object = ObjectId::from_bytes([77; 32]);
    let placed = plan_placement(&before, &object, codec);
    let alive: BTreeMap<PeerId, Indices> =
        placed.iter().skip(3).map(|shard| (shard.holder, [shard.index].into_iter().collect())).collect();
    let world = World { alive, record: None };
    for earlier in [vec![&before], vec![]] {
        let sources = Sources::of(&object, codec, &now, earlier);
        assert_eq!(world.run(&mut Search::new(3, 1, sources, |_| 0)).0, Outcome::Enough);
    }
}

#[test]
fn too_few_holders_leave_shards_without_a_place() {
    let codec = Codec::new(3, 6).unwrap();
    let holders: Vec<PeerId> = (1..=8).map(peer).collect();
    assert_eq!(assign(&holders, codec), shards((0..6).map(|i| (i, i + 1))));
    assert_eq!(assign(&holders[..4], codec), shards((0..4).map(|i| (i, i + 1))));
}

#[test]
fn a_placement_names_the_planned_holder_of_two() {
    let manifest = manifest();
    let standing = Standing::new((1..9).map(|number| (peer(number), "a", None)));
    for (planned, other) in [(2, 8), (8, 2)] {
        let plan = shards([(0, 1), (1, planned)]);
        let mut custody = ObjectCustody::new(&manifest);
        for shard in shards([(0, 1), (1, planned), (1, other)]) {
            custody.insert(&receipt(&manifest, shard), &standing).unwrap();
        }
        let ring = Hash::from_bytes([3; 32]);
        let record = placement_record(&plan, &custody, &standing, ring, Timestamp::from_unix_ms(5));
        let holders: Vec<_> = record.holders.iter().map(|(index, holding)| (*index, holding.peer)).collect();
        assert_eq!(holders, [(0, peer(1)), (1, peer(planned))]);
    }
}

proptest! {
    #[test]
    fn whatever_can_be_found_is_found(
        held in prop::collection::btree_set((1_u8..12, 0_u8..6), 0..16),
        current in prop::collection::btree_set((0_u8..6, 1_u8..14), 0..7),
        earlier in prop::collection::btree_set((0_u8..6, 1_u8..14), 0..7),
        recorded in prop::option::of(prop::collection::btree_map(0_u8..40, 1_u8..14, 0..7)),
        spare in 0_usize..3,
        hurry_every in 1_usize..5,
    ) {
        let mut alive: BTreeMap<PeerId, Indices> = BTreeMap::new();
        held.iter().for_each(|(holder, index)| alive.entry(peer(*holder)).or_default().insert(*index));
        let world = World { alive, record: recorded.map(record) };
        let sources = Sources {
            current: shards(current),
            placement_keepers: (1..4).map(peer).collect(),
            earlier: shards(earlier),
            everyone: (1..14).map(peer).collect(),
        };
        let mut search = Search::new(3, spare, sources, |_| 0);
        let mut waiting = Vec::new();
        let mut asked = BTreeSet::new();
        let mut rounds = 0;
        while search.outcome() == Outcome::Searching {
            rounds += 1;
            prop_assert!(rounds < 1_000, "the search does not end");
            if rounds % hurry_every == 0 {
                search.hurry();
            }
            for ask in search.asks() {
                prop_assert!(asked.insert(ask), "{ask:?} asked twice");
                waiting.push(ask);
            }
            // Answers come in the order in which the questions were least recently asked, then most recently.
            let ask = if rounds % 2 == 0 { waiting.pop() } else { (!waiting.is_empty()).then(|| waiting.remove(0)) };
            prop_assert!(ask.is_some(), "nothing is open and nothing was asked");
            if let Some(ask) = ask {
                search.answered(ask, world.answer(ask));
            }
        }
        let different: BTreeSet<u8> = held.iter().map(|(_, index)| *index).collect();
        if different.len() >= 3 {
            prop_assert_eq!(search.outcome(), Outcome::Enough);
        } else {
            prop_assert_eq!(search.outcome(), Outcome::Lost { found: different.into_iter().collect() });
        }
    }

    #[test]
    fn nothing_is_owed_exactly_when_all_planned_holders_signed(
        signed in prop::collection::btree_set((0_u8..6, 1_u8..9), 0..12),
    ) {
        let manifest = manifest();
        let standing = Standing::new((1..9).map(|number| (peer(number), "a", None)));
        let plan = shards((0..6).map(|index| (index, index + 1)));
        let mut custody = ObjectCustody::new(&manifest);
        for shard in shards(signed.clone()) {
            custody.insert(&receipt(&manifest, shard), &standing).unwrap();
        }
        let missing = shards((0..6).map(|i| (i, i + 1)).filter(|pair| !signed.contains(pair)));
        prop_assert_eq!(owed(&plan, &custody, &standing), missing);
    }
}

//! Trust through vouches: what flows from the roots decides, and operators somebody invented gain nothing.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{hash, id::OperatorId};
use cosmic_identity::signed::Signed;
use proptest::{collection::vec, prelude::*};

use super::{members, network, network_key, operator, signed, supernode, vouched_config, vouches};
use crate::{
    Admission, Error, Members, NetworkAnswer, NetworkConfig, NetworkRequest, Outcome, Taken, Trusted,
    Vouches,
    tests::{member, people::exchange},
    trust::{KEEPS, LISTS_MAX, RANKS, trusted},
    vouches::VOUCHES_MAX,
};

type Web = BTreeMap<OperatorId, BTreeSet<OperatorId>>;

fn id(kind: u8, number: usize) -> OperatorId {
    OperatorId::from_bytes(*hash::plain(&[[kind].as_slice(), &number.to_be_bytes()].concat()).as_bytes())
}

fn honest(number: usize) -> OperatorId {
    id(0, number)
}

fn sybil(number: usize) -> OperatorId {
    id(1, number)
}

/// The first `count` honest operators.
fn roots(count: usize) -> BTreeSet<OperatorId> {
    (0..count).map(honest).collect()
}

/// `voucher` vouches for `operator`, if it has a vouch left.
fn add(web: &mut Web, voucher: OperatorId, operator: OperatorId) {
    let list = web.entry(voucher).or_default();
    if list.len() < VOUCHES_MAX {
        list.insert(operator);
    }
}

fn who(roots: &BTreeSet<OperatorId>, banned: &BTreeSet<OperatorId>, web: &Web) -> Trusted {
    trusted(roots, banned, |operator| web.get(operator))
}

fn rank(trusted: &Trusted, operator: &OperatorId) -> Option<usize> {
    trusted.places.get(operator).map(|place| place.rank)
}

/// Vouches among 40 honest operators, most of them of the first ones, so that all ranks appear.
fn any_web() -> impl Strategy<Value = Web> {
    vec((0_usize..20, 0_usize..40), 0..240).prop_map(|vouches| {
        let mut web = Web::new();
        for (voucher, operator) in vouches {
            add(&mut web, honest(voucher), honest(operator));
        }
        web
    })
}

/// Adds vouches among Sybils, of Sybils for honest operators, and of honest ones for Sybils.
fn attack(web: &mut Web, among: &[(usize, usize)], outward: &[(usize, usize)], fooled: &[(usize, usize)]) {
    among.iter().for_each(|(from, to)| add(web, sybil(*from), sybil(*to)));
    outward.iter().for_each(|(from, to)| add(web, sybil(*from), honest(*to)));
    fooled.iter().for_each(|(from, to)| add(web, honest(*from), sybil(*to)));
}

/// What the vouches of honest operators for Sybils carry, and how many Sybils count.
fn gain(trusted: &Trusted, web: &Web, sybils: usize) -> (u32, u32) {
    let sybils: BTreeSet<_> = (0..sybils).map(sybil).collect();
    let fooled = web.iter().filter(|(voucher, _list)| !sybils.contains(voucher)).map(|(voucher, list)| {
        let carries = rank(trusted, voucher).map_or(0, |rank| RANKS[rank].carries);
        carries * u32::try_from(list.intersection(&sybils).count()).unwrap()
    });
    let admitted = sybils.iter().filter(|sybil| trusted.places.contains_key(sybil)).count();
    (fooled.sum(), u32::try_from(admitted).unwrap())
}

/// The greatest flow that gives everybody who counts what it keeps, through vouches that carry what the rank of their giver says.
fn greatest_flow(trusted: &Trusted, web: &Web) -> u32 {
    let numbers: BTreeMap<_, _> = trusted.places.keys().zip(2_usize..).collect();
    let (source, sink, count) = (0, 1, numbers.len() + 2);
    let mut left = vec![vec![0_u32; count]; count];
    for (operator, place) in &trusted.places {
        let number = numbers[operator];
        match place.rank {
            0 => left[source][number] = u32::MAX / 4,
            _ => left[number][sink] = KEEPS,
        }
        for other in web.get(operator).into_iter().flatten().filter_map(|other| numbers.get(other)) {
            left[number][*other] += RANKS[place.rank].carries;
        }
    }
    // Edmonds and Karp: the shortest way that has something left, until there is none.
    let mut flow = 0;
    loop {
        let (mut before, mut queue) = (vec![usize::MAX; count], vec![source]);
        let mut at = 0;
        while let Some(node) = queue.get(at).copied() {
            at += 1;
            for next in 0..count {
                if next != source && before[next] == usize::MAX && left[node][next] > 0 {
                    before[next] = node;
                    queue.push(next);
                }
            }
        }
        if before[sink] == usize::MAX {
            return flow;
        }
        let way = || {
            std::iter::successors(Some(sink), |node| (before[*node] != source).then(|| before[*node]))
                .map(|node| (before[node], node))
        };
        let least = way().map(|(from, to)| left[from][to]).min().unwrap();
        for (from, to) in way() {
            left[from][to] -= least;
            left[to][from] += least;
        }
        flow += least;
    }
}

#[test]
fn a_rank_can_fill_every_vouch_it_gives_and_nobody_but_a_root_admits_alone() {
    let most = u32::try_from(VOUCHES_MAX).unwrap();
    for rank in &RANKS[1..] {
        assert_eq!(rank.needs, KEEPS + most * rank.carries);
        assert!(rank.carries < KEEPS);
    }
    assert!(RANKS.windows(2).all(|pair| pair[0].carries > pair[1].carries));
    assert_eq!(RANKS[0].carries, RANKS[1].needs, "the word of a root is enough");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn sybils_get_no_more_than_the_vouches_for_them_carry(
        mut web in any_web(), count in 1_usize..6,
        among in vec((0_usize..60, 0_usize..60), 0..600),
        outward in vec((0_usize..60, 0_usize..40), 0..60),
        fooled in vec((0_usize..40, 0_usize..60), 0..24),
    ) {
        attack(&mut web, &among, &outward, &fooled);
        let trusted = who(&roots(count), &BTreeSet::new(), &web);
        let (carried, admitted) = gain(&trusted, &web, 60);
        prop_assert!(admitted * KEEPS <= carried, "{admitted} Sybils by vouches that carry {carried}");
    }

    #[test]
    fn sybils_nobody_vouches_for_change_nothing(
        mut web in any_web(), count in 1_usize..6,
        among in vec((0_usize..60, 0_usize..60), 0..300), outward in vec((0_usize..60, 0_usize..40), 0..60),
    ) {
        let before = who(&roots(count), &BTreeSet::new(), &web);
        attack(&mut web, &among, &outward, &[]);
        prop_assert_eq!(who(&roots(count), &BTreeSet::new(), &web), before);
    }

    #[test]
    fn a_vouch_more_takes_trust_from_nobody(
        web in any_web(), count in 1_usize..6, more in vec((0_usize..40, 0_usize..60), 1..6),
    ) {
        let before = who(&roots(count), &BTreeSet::new(), &web);
        let mut richer = web;
        more.iter().for_each(|(voucher, operator)| add(&mut richer, honest(*voucher), honest(*operator)));
        let after = who(&roots(count), &BTreeSet::new(), &richer);
        for operator in before.places.keys() {
            prop_assert!(rank(&after, operator) <= rank(&before, operator) && after.places.contains_key(operator));
        }
    }

    #[test]
    fn a_ban_lets_nobody_in(web in any_web(), count in 1_usize..6, out in vec(0_usize..40, 1..4)) {
        let banned: BTreeSet<_> = out.into_iter().map(honest).collect();
        let (all, fewer) = (who(&roots(count), &BTreeSet::new(), &web), who(&roots(count), &banned, &web));
        prop_assert!(fewer.places.keys().all(|operator| all.places.contains_key(operator) && !banned.contains(operator)));
    }

    #[test]
    fn all_who_count_can_be_given_what_they_keep_at_once(web in any_web(), count in 1_usize..6) {
        let trusted = who(&roots(count), &BTreeSet::new(), &web);
        let fed = trusted.places.values().filter(|place| place.rank > 0).count();
        prop_assert_eq!(greatest_flow(&trusted, &web), KEEPS * u32::try_from(fed).unwrap());
    }
}

#[test]
fn two_whom_a_root_trusts_admit_a_third_and_one_alone_does_not() {
    let web = |vouches: &[(usize, usize)]| {
        let mut web = Web::new();
        vouches.iter().for_each(|(voucher, operator)| add(&mut web, honest(*voucher), honest(*operator)));
        who(&roots(1), &BTreeSet::new(), &web)
    };
    assert_eq!(rank(&web(&[(0, 1), (1, 2)]), &honest(2)), None);
    assert_eq!(rank(&web(&[(0, 1), (0, 3), (1, 2), (3, 2)]), &honest(2)), Some(3));
    let five: Vec<_> = (1..6).flat_map(|voucher| [(0, voucher), (voucher, 9)]).collect();
    assert_eq!(rank(&web(&five), &honest(9)), Some(2), "so well known that its own word counts");
    assert_eq!(rank(&web(&[(1, 2), (2, 1), (3, 1)]), &honest(1)), None, "a circle beside the roots");
}

#[test]
fn the_lists_nearest_to_the_roots_are_looked_at_first() {
    let mut web = Web::new();
    for number in 0..100 {
        for other in 0..VOUCHES_MAX {
            add(&mut web, honest(number), honest(100 + number * VOUCHES_MAX + other));
        }
    }
    let near = (0..1600).map(|number| honest(100 + number));
    near.clone().for_each(|voucher| add(&mut web, voucher, honest(9999)));
    let trusted = who(&roots(100), &BTreeSet::new(), &web);
    assert_eq!(trusted.vouchers.len(), LISTS_MAX);
    assert!(roots(100).is_subset(&trusted.vouchers));
    assert!(near.into_iter().all(|operator| rank(&trusted, &operator) == Some(1)));
}

fn know(lists: &[Signed<Vouches>]) -> Members {
    let mut known = members(vouched_config(&[1]));
    known.vouch(lists.to_vec()).unwrap();
    known
}

fn of(number: u16) -> OperatorId {
    operator(number).operator_id()
}

/// Root 1 vouches for 2 and 3, and they for 4.
fn lists() -> Vec<Signed<Vouches>> {
    vec![vouches(1, 1, &[2, 3]), vouches(2, 1, &[4]), vouches(3, 1, &[4])]
}

#[test]
fn records_count_with_the_vouches_and_go_with_them() {
    let mut known = know(&[]);
    assert!(matches!(known.insert(signed(member(4, 4), 4)), Err(Error::NotAdmitted { .. })));
    assert_eq!(known.vouch(lists()).unwrap(), Taken { inserted: 3, refused: 0 });
    known.insert(signed(member(4, 4), 4)).unwrap();
    known.insert(signed(member(1, 1), 1)).unwrap();
    assert_eq!(known.vouchers_of(&of(4)), [of(2), of(3)].into());
    known.vouch(vec![vouches(2, 2, &[])]).unwrap();
    assert!(!known.admits(&of(4)) && known.get(&supernode(4).peer_id()).is_none(), "one is not enough");
    assert!(known.admits(&of(2)) && known.get(&supernode(1).peer_id()).is_some());
    assert_eq!(known.vouch(lists()).unwrap(), Taken::default(), "what was withdrawn is not told again");
    assert!(!known.admits(&of(4)));
}

#[test]
fn what_a_stranger_vouches_for_is_not_kept_and_what_a_former_one_did_is() {
    let mut known = know(&[]);
    assert_eq!(known.vouch(vec![vouches(9, 1, &[8])]).unwrap(), Taken { inserted: 0, refused: 1 });
    known.vouch(lists()).unwrap();
    let digest = known.vouches_digest();
    known.vouch(vec![vouches(1, 2, &[])]).unwrap();
    assert_eq!((known.vouches().count(), known.admits(&of(4))), (1, false));
    known.vouch(vec![vouches(1, 3, &[2, 3])]).unwrap();
    assert!(known.admits(&of(4)), "2 and 3 need not sign again");
    assert_ne!(known.vouches_digest(), digest);
}

#[test]
fn only_what_an_operator_signed_within_bounds_counts() {
    let mut known = know(&[]);
    let forged = Signed::sign(vouches(1, 1, &[2]).unverified().clone(), &operator(2));
    assert!(matches!(known.vouch(vec![forged]), Err(Error::VouchesSignature { .. })));
    let many = vouches(1, 1, &(2..19).collect::<Vec<_>>());
    assert!(matches!(known.vouch(vec![many]), Err(Error::Vouches { found: 17 })));
    let elsewhere = Vouches {
        network: NetworkConfig::new(&operator(5)).network(),
        ..vouches(1, 1, &[2]).unverified().clone()
    };
    let elsewhere = Signed::sign(elsewhere, &operator(1));
    assert!(matches!(known.vouch(vec![vouches(1, 1, &[2]), elsewhere]), Err(Error::OtherNetwork { .. })));
    assert_eq!(known.vouches_digest(), None, "all or nothing");
}

#[test]
fn a_configuration_bans_and_roots_come_and_go() {
    let mut known = know(&lists());
    known.insert(signed(member(4, 4), 4)).unwrap();
    let adopt = |known: &mut Members, config: NetworkConfig| {
        assert!(known.adopt(Signed::sign(config, &network_key())).unwrap());
    };
    let banned = [of(3)].into();
    adopt(&mut known, NetworkConfig { version: 2, banned, ..vouched_config(&[1]) });
    assert!(known.admits(&of(2)) && !known.admits(&of(3)) && !known.admits(&of(4)));
    assert_eq!(known.records().count(), 0);
    adopt(&mut known, NetworkConfig { version: 3, ..vouched_config(&[2, 3]) });
    assert!(known.admits(&of(4)) && !known.admits(&of(1)));
    let allow = NetworkConfig { version: 4, admission: Admission::AllowList, ..vouched_config(&[1]) };
    adopt(&mut known, allow);
    assert!(known.admits(&of(1)) && !known.admits(&of(4)) && known.vouches_digest().is_none());
}

#[test]
fn a_joiner_learns_the_vouches_by_the_exchange_that_follows() {
    let mut known = know(&lists());
    known.insert(signed(member(4, 4), 4)).unwrap();
    let answer = NetworkAnswer::to(&NetworkRequest { network: network(), region: None }, &known, &[7; 32]);
    let mut joined = answer.open(network()).unwrap();
    assert_eq!(joined.records().count(), 0);
    assert_eq!(exchange(&mut joined, &mut known), (Outcome::Equal, Outcome::Equal));
    assert!(joined.admits(&of(4)) && joined.get(&supernode(4).peer_id()).is_some());
}

/// Lists of a few operators, of which some follow on others.
fn any_lists() -> impl Strategy<Value = Vec<Signed<Vouches>>> {
    vec((1_u16..6, 0_u64..3, vec(1_u16..7, 0..5)), 0..16).prop_map(|lists| {
        lists.into_iter().map(|(of, sequence, operators)| vouches(of, sequence, &operators)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lists_make_the_same_web_in_any_order(
        (lists, shuffled) in any_lists().prop_flat_map(|lists| (Just(lists.clone()), Just(lists).prop_shuffle())),
    ) {
        let (one, other) = (know(&lists), know(&shuffled));
        prop_assert_eq!(one.vouches_digest(), other.vouches_digest());
        prop_assert_eq!(one.trusted(), other.trusted());
        prop_assert!(one.vouches().eq(other.vouches()));
    }

    /// Under way a list may hide what the other would have told: then they find out that they differ, and the next time they do not.
    #[test]
    fn two_exchanges_at_most_make_both_sides_trust_the_same(lists in any_lists(), sides in vec(0_u8..3, 16), running in vec(1_u16..7, 0..6)) {
        let on = |side: u8| -> Members {
            let heard = lists.iter().zip(&sides).filter(|(_, at)| **at == side || **at == 2);
            let mut known = know(&heard.map(|(list, _)| list.clone()).collect::<Vec<_>>());
            for number in &running {
                assert!(matches!(known.insert(signed(member(*number, *number), *number)), Ok(_) | Err(Error::NotAdmitted { .. })));
            }
            known
        };
        let (mut one, mut other) = (on(0), on(1));
        let mut rounds = 1;
        while exchange(&mut one, &mut other) != (Outcome::Equal, Outcome::Equal) {
            rounds += 1;
            prop_assert!(rounds <= 3, "they never agree");
        }
        prop_assert_eq!(one.trusted(), other.trusted());
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.vouches_digest(), other.vouches_digest());
    }
}

//! Configuration, members and their exchange: only what is signed by the right key counts, in any order.

use std::collections::BTreeSet;

use cosmic_common::record::Record;
use cosmic_identity::signed::Signed;
use proptest::{collection::vec, prelude::*};

use super::{
    config, endpoint, key, label, member, members, network, network_key, open_config, operator, signed,
    supernode,
};
use crate::{
    Admission, Consent, Door, Error, Exchange, Inserted, Member, Members, NetworkAnswer, NetworkConfig,
    NetworkRequest, Outcome, RingMessage, State,
};

/// Records of a few peers by a few operators, some of one number, in any state.
fn any_records() -> impl Strategy<Value = Vec<Signed<Member>>> {
    vec((0_u16..6, 0_u16..3, 0_u64..3, 0_u64..4, 0_u8..3), 0..24).prop_map(|records| {
        let record = |(number, of, term, sequence, state): (u16, u16, u64, u64, u8)| {
            let operator = operator(of).operator_id();
            let state = [State::Active, State::Retired, State::Lost][usize::from(state)];
            let consent = Consent::give(&supernode(number), network(), operator, term);
            signed(Member { consent, sequence, state, ..member(number, of) }, of)
        };
        records.into_iter().map(record).collect()
    })
}

fn know(config: NetworkConfig, records: &[Signed<Member>]) -> Members {
    let mut known = members(config);
    for record in records {
        match known.insert(record.clone()) {
            Ok(_) | Err(Error::NotAdmitted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    known
}

/// Carries messages both ways until both sides are done; the outcomes.
pub(super) fn exchange(one: &mut Members, other: &mut Members) -> (Outcome, Outcome) {
    let (mut left, hello) = Exchange::open(one);
    let (mut right, greeting) = Exchange::open(other);
    let (mut to_left, mut to_right) = (vec![greeting], vec![hello]);
    let (mut ends, mut rounds) = ((None, None), 0);
    while ends.0.is_none() || ends.1.is_none() {
        rounds += 1;
        assert!(rounds < 10, "an exchange takes four turns");
        for message in std::mem::take(&mut to_right) {
            let step = right.handle(other, message).unwrap();
            to_left.extend(step.send);
            ends.1 = ends.1.or(step.outcome);
        }
        for message in std::mem::take(&mut to_left) {
            let step = left.handle(one, message).unwrap();
            to_right.extend(step.send);
            ends.0 = ends.0.or(step.outcome);
        }
    }
    (ends.0.unwrap(), ends.1.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn members_are_the_same_in_any_order(
        (records, shuffled) in any_records().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
    ) {
        let (one, other) = (know(open_config(), &records), know(open_config(), &shuffled));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert!(one.records().eq(other.records()));
        let again = know(open_config(), &[records.clone(), records].concat());
        prop_assert_eq!(again.digest(), one.digest(), "hearing twice changes nothing");
    }

    #[test]
    fn an_exchange_makes_both_sides_equal(records in any_records(), sides in vec(0_u8..3, 24), newer: bool) {
        let of = |side: u8| -> Vec<Signed<Member>> {
            records.iter().zip(&sides).filter(|(_, at)| **at == side || **at == 2).map(|(record, _)| record.clone()).collect()
        };
        let later = NetworkConfig { version: 2, admission: Admission::AllowList, ..config(&[0, 1]) };
        let mut one = know(if newer { later } else { open_config() }, &of(0));
        let mut other = know(open_config(), &of(1));
        prop_assert_eq!(exchange(&mut one, &mut other), (Outcome::Equal, Outcome::Equal));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.config(), other.config());
        if !newer {
            prop_assert_eq!(one.digest(), know(open_config(), &records).digest(), "and both know all");
        }
    }

    #[test]
    fn endpoints_are_the_same_on_both_sides_after_an_exchange(
        said in vec((0_u16..6, 0_u64..4, 0_u8..3), 0..20),
    ) {
        let records: Vec<_> = (0..4).map(|number| signed(member(number, 1), 1)).collect();
        let (mut one, mut other) = (know(config(&[1]), &records), know(config(&[1]), &records[1..]));
        for (number, sequence, side) in said {
            for (at, known) in [(0, &mut one), (1, &mut other)] {
                if side == at || side == 2 {
                    match known.insert_endpoint(endpoint(number, sequence)) {
                        Ok(_) => {}
                        Err(Error::Stranger(peer)) => prop_assert!(known.get(&peer).is_none()),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
        prop_assert_eq!(exchange(&mut one, &mut other), (Outcome::Equal, Outcome::Equal));
        prop_assert!(one.endpoints().eq(other.endpoints()));
        prop_assert_eq!(one.endpoints_digest(), other.endpoints_digest());
    }

    #[test]
    fn no_message_makes_an_exchange_panic(
        messages in vec(prop_oneof![
            Just(RingMessage::Sent),
            Just(RingMessage::Inventory([].into(), [].into(), [].into())),
            Just(RingMessage::Records(vec![])),
            vec(any::<u8>(), 0..200).prop_map(|bytes| RingMessage::Records(vec![bytes])),
            vec(any::<u8>(), 0..200).prop_map(RingMessage::Config),
            any::<u8>().prop_map(|version| {
                let known = know(NetworkConfig { version: version.into(), ..open_config() }, &[]);
                Exchange::open(&known).1
            }),
        ], 0..12),
    ) {
        let mut known = know(open_config(), &[signed(member(1, 1), 1)]);
        let before = known.digest();
        let mut exchange = Exchange::open(&known).0;
        for message in messages {
            if exchange.handle(&mut known, message).is_err() {
                break;
            }
        }
        prop_assert_eq!(known.digest(), before);
    }
}

#[test]
fn a_configuration_counts_only_for_the_pinned_network() {
    let stranger = key(9, 9);
    let other = NetworkConfig::new(&stranger);
    assert!(matches!(
        Members::new(Signed::sign(other, &stranger), network()),
        Err(Error::OtherNetwork { pinned, .. }) if pinned == network()
    ));
    let forged = Signed::sign(config(&[1]), &stranger);
    assert!(matches!(Members::new(forged, network()), Err(Error::ConfigSignature(_))));
}

#[test]
fn a_configuration_out_of_bounds_is_refused() {
    let refused =
        |config: NetworkConfig| Members::new(Signed::sign(config, &network_key()), network()).unwrap_err();
    for bits in [0, 17] {
        assert!(matches!(
            refused(NetworkConfig { partition_bits: bits, ..config(&[]) }),
            Error::PartitionBits(_)
        ));
    }
    let door = Door { peer: supernode(1).peer_id(), addresses: vec![] };
    assert!(matches!(refused(NetworkConfig { doors: vec![door], ..config(&[]) }), Error::ConfigBounds(_)));
    let step = |members, k, n| crate::ClassStep { members, k, n };
    for classes in [
        vec![step(6, 6, 6)],
        vec![step(5, 3, 6)],
        vec![step(6, 0, 6)],
        vec![step(40, 3, 33)],
        vec![step(10, 3, 6), step(10, 5, 10)],
    ] {
        assert!(matches!(refused(NetworkConfig { classes, ..config(&[]) }), Error::Class { .. }));
    }
}

#[test]
fn a_newer_configuration_drops_operators_it_no_longer_lists() {
    let mut known = know(config(&[1, 2]), &[signed(member(1, 1), 1), signed(member(2, 2), 2)]);
    let later = NetworkConfig { version: 2, ..config(&[2]) };
    assert!(known.adopt(Signed::sign(later, &network_key())).unwrap());
    assert_eq!(known.records().count(), 1);
    assert!(
        !known.adopt(Signed::sign(config(&[1, 2]), &network_key())).unwrap(),
        "an older one changes nothing"
    );
    assert!(matches!(known.insert(signed(member(1, 1), 1)), Err(Error::NotAdmitted { .. })));
    let stranger = Signed::sign(NetworkConfig { version: 9, ..config(&[1]) }, &key(9, 9));
    assert!(matches!(known.adopt(stranger), Err(Error::ConfigSignature(_))));
}

#[test]
fn only_records_signed_and_consented_to_count() {
    let mut known = members(config(&[1, 2]));
    assert!(matches!(known.insert(signed(member(1, 3), 3)), Err(Error::NotAdmitted { .. })));
    assert!(matches!(known.insert(signed(member(1, 1), 2)), Err(Error::MemberSignature { .. })));
    // Operator 2 speaks for a supernode that consented to operator 1.
    let taken_over = Member { consent: member(1, 1).consent, sequence: 9, ..member(1, 2) };
    assert!(matches!(known.insert(signed(taken_over, 2)), Err(Error::Consent { .. })));
    let elsewhere = Member { network: NetworkConfig::new(&key(9, 9)).network(), ..member(1, 1) };
    assert!(matches!(known.insert(signed(elsewhere, 1)), Err(Error::OtherNetwork { .. })));
    for weight in [0, 65] {
        assert!(matches!(known.insert(signed(Member { weight, ..member(1, 1) }, 1)), Err(Error::Weight(_))));
    }
    let many = vec!["/dns/a/tcp/1".parse().unwrap(); 17];
    assert!(matches!(
        known.insert(signed(Member { addresses: many, ..member(1, 1) }, 1)),
        Err(Error::Addresses { .. })
    ));
    assert_eq!(known.insert(signed(member(1, 1), 1)).unwrap(), Inserted::New);
    assert_eq!(known.insert(signed(member(1, 1), 1)).unwrap(), Inserted::Known);
}

#[test]
fn a_supernode_that_moves_to_another_operator_is_not_called_back() {
    let mut known = know(config(&[1, 2]), &[signed(member(1, 1), 1)]);
    let operator_id = operator(2).operator_id();
    let moved = Member { consent: Consent::give(&supernode(1), network(), operator_id, 2), ..member(1, 2) };
    assert_eq!(known.insert(signed(moved, 2)).unwrap(), Inserted::Newer);
    let called_back = Member { sequence: u64::MAX, state: State::Lost, ..member(1, 1) };
    assert_eq!(known.insert(signed(called_back, 1)).unwrap(), Inserted::Known);
    assert!(known.is_active(&supernode(1).peer_id()));
}

#[test]
fn where_a_process_is_only_it_says_itself() {
    let mut known = know(config(&[1]), &[signed(member(1, 1), 1)]);
    let peer = supernode(1).peer_id();
    assert!(matches!(known.insert_endpoint(endpoint(2, 1)), Err(Error::Stranger(_))));
    let forged = Signed::sign(endpoint(1, 9).unverified().clone(), &supernode(2));
    assert!(matches!(known.insert_endpoint(forged), Err(Error::EndpointSignature { .. })));
    assert_eq!(known.insert_endpoint(endpoint(1, 2)).unwrap(), Inserted::New);
    assert_eq!(known.insert_endpoint(endpoint(1, 1)).unwrap(), Inserted::Known);
    assert_eq!(known.insert_endpoint(endpoint(1, 3)).unwrap(), Inserted::Newer);
    assert_eq!(known.endpoint(&peer).unwrap().sequence, 3);
    let without = NetworkConfig { version: 2, ..config(&[2]) };
    known.adopt(Signed::sign(without, &network_key())).unwrap();
    assert!(known.endpoint(&peer).is_none(), "who is no longer a member is forgotten with the record");
}

#[test]
fn who_left_is_known_but_not_active() {
    let mut known = know(config(&[1]), &[signed(member(1, 1), 1)]);
    let retired = Member { sequence: 2, state: State::Retired, ..member(1, 1) };
    known.insert(signed(retired, 1)).unwrap();
    known.insert(signed(member(1, 1), 1)).unwrap();
    let peer = supernode(1).peer_id();
    assert!(!known.is_active(&peer) && known.get(&peer).is_some() && known.active().count() == 0);
}

#[test]
fn a_joiner_needs_the_network_id_alone() {
    let records: Vec<_> = (0..50).map(|number| signed(member(number, 1), 1)).collect();
    let known = know(config(&[1]), &records);
    let request = NetworkRequest { network: network(), region: None };
    let answer = NetworkAnswer::to(&request, &known, &[7; 32]);
    let joined = answer.open(network()).unwrap();
    assert_eq!((joined.config(), joined.records().count()), (known.config(), 32));
    assert_ne!(answer, NetworkAnswer::to(&request, &known, &[8; 32]), "another seed, other members");
    let elsewhere = NetworkRequest { network: NetworkConfig::new(&key(9, 9)).network(), region: None };
    let refusal = NetworkAnswer::to(&elsewhere, &known, &[7; 32]);
    assert!(matches!(refusal.open(elsewhere.network), Err(Error::UnknownNetwork { .. })));
}

/// Under the old configuration a stranger's later record hides the one that counts under the new.
#[test]
fn a_record_that_the_newer_configuration_drops_hides_nothing() {
    let moved = Member {
        consent: Consent::give(&supernode(1), network(), operator(2).operator_id(), 2),
        ..member(1, 2)
    };
    let mut outdated = know(open_config(), &[signed(moved, 2)]);
    let mut current = know(NetworkConfig { version: 2, ..config(&[1]) }, &[signed(member(1, 1), 1)]);
    assert_eq!(exchange(&mut outdated, &mut current), (Outcome::Equal, Outcome::Equal));
    assert_eq!(outdated.get(&supernode(1).peer_id()), Some(&member(1, 1)));
}

#[test]
fn a_liar_in_an_exchange_is_found_out() {
    let mut known = know(config(&[1]), &[]);
    let mut exchange = Exchange::open(&known).0;
    let hello = Exchange::open(&know(config(&[1]), &[signed(member(1, 1), 1)])).1;
    assert!(matches!(exchange.handle(&mut known, RingMessage::Sent), Err(Error::OutOfTurn { .. })));
    assert_eq!(exchange.handle(&mut known, hello).unwrap().send.len(), 1);
    exchange.handle(&mut known, RingMessage::Inventory([].into(), [].into(), [].into())).unwrap();
    let forged = signed(member(2, 1), 2).to_bytes();
    assert!(matches!(
        exchange.handle(&mut known, RingMessage::Records(vec![forged])),
        Err(Error::MemberSignature { .. })
    ));
}

#[test]
fn a_stranger_by_the_new_configuration_is_refused_and_counted() {
    let mut known = know(NetworkConfig { version: 2, ..config(&[1]) }, &[]);
    let mut exchange = Exchange::open(&known).0;
    let theirs = know(open_config(), &[signed(member(5, 5), 5)]);
    exchange.handle(&mut known, Exchange::open(&theirs).1).unwrap();
    exchange
        .handle(
            &mut known,
            RingMessage::Inventory(theirs.inventory(), theirs.editions(), theirs.vouches_editions()),
        )
        .unwrap();
    let records = theirs.records().map(Record::to_bytes).collect();
    let step = exchange.handle(&mut known, RingMessage::Records(records)).unwrap();
    assert_eq!((step.inserted, step.refused), (0, 1));
}

#[test]
fn labels_are_short_and_plain() {
    assert_eq!(label("eu-west.1").to_string(), "eu-west.1");
    for text in ["", "EU", "a b", "ü", &"a".repeat(33)] {
        assert!(text.parse::<crate::Label>().is_err(), "{text}");
    }
}

#[test]
fn a_newcomer_is_told_of_all_operators_and_regions_and_of_those_who_said_where_they_are() {
    let mut known = members(config(&[1, 2, 3, 4, 5]));
    for number in 0..60 {
        known.insert(signed(member(number, 1), 1)).unwrap();
    }
    for of in 2..=5 {
        let region = label(&format!("far-{of}"));
        known.insert(signed(Member { region, ..member(100 + of, of) }, of)).unwrap();
    }
    for number in (20..60).chain(102..=105) {
        known.insert_endpoint(endpoint(number, 1)).unwrap();
    }
    for seed in 0..50 {
        let answer =
            NetworkAnswer::to(&NetworkRequest { network: network(), region: None }, &known, &[seed; 32]);
        let told = answer.open(network()).unwrap();
        let named: Vec<_> = told.active().collect();
        assert_eq!(named.len(), 32);
        let operators: BTreeSet<_> = named.iter().map(|member| member.operator).collect();
        let regions: BTreeSet<_> = named.iter().map(|member| member.region.clone()).collect();
        assert_eq!(
            (operators.len(), regions.len()),
            (5, 5),
            "one operator with most of the members hides nobody"
        );
        assert!(
            named.iter().all(|member| known.endpoint(&member.peer).is_some()),
            "who is silent comes last"
        );
    }
    for number in 150..180 {
        let region = label("home");
        known.insert(signed(Member { region, ..member(number, 1) }, 1)).unwrap();
        known.insert_endpoint(endpoint(number, 1)).unwrap();
    }
    let request = NetworkRequest { network: network(), region: Some(label("home")) };
    let told = NetworkAnswer::to(&request, &known, &[7; 32]).open(network()).unwrap();
    let near = told.active().filter(|member| member.region == label("home")).count();
    assert!((16..32).contains(&near), "{near}: at least half of its region, and others");
    let operators: BTreeSet<_> = told.active().map(|member| member.operator).collect();
    assert_eq!(operators.len(), 5);
}

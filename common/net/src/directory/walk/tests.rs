//! The rules of a walk, one by one.

use std::net::Ipv4Addr;

use cosmic_common::id::PeerId;

use super::{ASKED_MAX, DOUBTS_MAX, Distance, NAMED_CLOSEST, NAMED_SPREAD, NEAREST, OF_SUBNET_MAX, PARALLEL};
use super::{Place, Server, Walk, named};
use crate::guard::Origin;

const SELF: [u8; 32] = [0xff; 32];
const TARGET: Place = Place([0; 32]);

/// Somebody so far from the target, in a subnet of this number.
fn server(distance: usize, subnet: usize) -> Server {
    let [.., a, b] = u32::try_from(distance).unwrap().to_be_bytes();
    let mut place = [0; 32];
    (place[0], place[1]) = (a, b);
    Server { subnets: vec![block(subnet)], ..nearby(place) }
}

fn nearby(place: [u8; 32]) -> Server {
    Server {
        peer: PeerId::from_bytes(place),
        place: Place(place),
        addresses: Vec::new(),
        subnets: Vec::new(),
    }
}

fn block(number: usize) -> crate::guard::Block {
    let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
    Origin::of(Ipv4Addr::new(60 + a, b, c, 1).into()).subnet
}

fn walk(table: Vec<Server>) -> Walk {
    Walk::new((PeerId::from_bytes(SELF), Place(SELF)), TARGET, table, [7; 32])
}

/// Asks everybody the walk leads to; `answer` says whom they name, or nothing if they are silent. Who was asked.
fn through(walk: &mut Walk, answer: impl Fn(&Server) -> Option<Vec<Server>>) -> Vec<Server> {
    let mut asked = Vec::new();
    while let Some((server, _near)) = walk.next() {
        match answer(&server) {
            Some(named) => walk.answered(&server, named),
            None => walk.failed(&server),
        }
        asked.push(server);
    }
    asked
}

#[test]
fn a_small_network_is_asked_as_a_whole_and_nobody_twice() {
    let all: Vec<Server> = (1..=15).map(|number| server(number, number)).collect();
    let mut walk = walk(vec![all[14].clone()]);
    let asked = through(&mut walk, |_| Some(all.clone()));
    assert_eq!(asked.len(), all.len());
    assert!(walk.next().is_none());
}

#[test]
fn so_many_are_asked_at_once_and_of_a_large_network_those_near_the_key() {
    let all: Vec<Server> = (1..=400).map(|number| server(number, number)).collect();
    let mut begun = walk(all.clone());
    assert_eq!(std::iter::from_fn(|| begun.next()).count(), PARALLEL);
    // The own twenty nearest stand as near to the own place as the border is from the key.
    let around = (1..=20).map(|number| {
        let mut place = SELF;
        place[1] ^= number;
        nearby(place)
    });
    let mut walk = walk(all.iter().cloned().chain(around).collect());
    let asked = through(&mut walk, |_| Some(Vec::new()));
    assert!((NEAREST..3 * NEAREST).contains(&asked.len()), "{}", asked.len());
    assert!(all.iter().take(NEAREST).all(|near| asked.contains(near)));
}

#[test]
fn a_subnet_is_asked_twice_unless_there_is_hardly_anybody_else() {
    let crowd: Vec<Server> = (1..=60).map(|number| server(number, 0)).collect();
    let others: Vec<Server> = (100..140).map(|number| server(number, number)).collect();
    let mut large = walk(others.iter().chain(&crowd).cloned().collect());
    let asked = through(&mut large, |_| Some(Vec::new()));
    assert_eq!(asked.iter().filter(|server| crowd.contains(server)).count(), OF_SUBNET_MAX);
    assert!(others.iter().take(NEAREST - OF_SUBNET_MAX).all(|other| asked.contains(other)));
    let mut small = walk(crowd.clone());
    assert_eq!(through(&mut small, |_| Some(Vec::new())).len(), NEAREST);
}

#[test]
fn who_names_servers_that_are_not_there_is_not_believed_for_long() {
    let liar = server(500, 500);
    let others: Vec<Server> = (200..200 + NEAREST).map(|number| server(number, number)).collect();
    let made_up: Vec<Server> = (1..=32).map(|number| server(number, number)).collect();
    let mut walk = walk(others.iter().chain([&liar]).cloned().collect());
    let asked = through(&mut walk, |asked| match asked {
        _ if made_up.contains(asked) => None,
        _ if *asked == liar => Some(made_up.clone()),
        _ => Some(Vec::new()),
    });
    assert!(others.iter().all(|other| asked.contains(other)));
    let wasted = asked.iter().filter(|asked| made_up.contains(asked)).count();
    assert!(wasted <= DOUBTS_MAX, "{wasted}");
}

#[test]
fn a_walk_ends_whoever_goes_on_naming_others() {
    let mut walk = walk(vec![server(1, 1)]);
    let mut asked = 0;
    while let Some((next, _near)) = walk.next() {
        asked += 1;
        let further = (0..32).map(|number| {
            let mut place = [0; 32];
            place[..2].copy_from_slice(&u16::try_from(asked).unwrap().to_be_bytes());
            place[2] = number;
            Server { subnets: vec![block(asked * 32 + usize::from(number))], ..nearby(place) }
        });
        if asked % 2 == 0 {
            walk.failed(&next);
        } else {
            walk.answered(&next, further.collect());
        }
    }
    assert!(asked <= ASKED_MAX);
}

#[test]
fn every_other_step_leads_somewhere_else_in_the_region() {
    let mut walk = walk((1..=400).map(|number| server(number, number)).collect());
    let places: Vec<Place> = std::iter::from_fn(|| walk.next()).map(|(_, near)| near).collect();
    let elsewhere: std::collections::BTreeSet<_> = places.iter().filter(|near| **near != TARGET).collect();
    assert_eq!((places.len(), elsewhere.len()), (PARALLEL, PARALLEL / 2));
    let mut small = [0; 32];
    small[1] = 0x1f;
    for drawn in [[0; 32], [0x55; 32], [0xff; 32]] {
        let scaled = TARGET.distance(&Place(small)).scaled(drawn);
        assert!(
            scaled
                < TARGET.distance(&Place(
                    [0, 0x20].into_iter().chain([0; 30]).collect::<Vec<_>>().try_into().unwrap()
                ))
        );
    }
    assert_eq!(Distance::MAX.scaled([0x55; 32]), TARGET.distance(&Place([0x55; 32])));
}

#[test]
fn an_answer_names_the_closest_of_many_subnets_and_some_of_all() {
    let crowd = (1..=100).map(|number| server(number, 0));
    let others = (200..300).map(|number| server(number, number));
    let named = named(&TARGET, crowd.chain(others).collect());
    assert_eq!(named.len(), NAMED_CLOSEST + NAMED_SPREAD);
    let of_crowd = named.iter().take(NAMED_CLOSEST).filter(|server| server.subnets == [block(0)]);
    assert_eq!(of_crowd.count(), OF_SUBNET_MAX);
    assert!(named.iter().any(|named| named.place > server(280, 0).place), "somebody far away is among them");
}

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    connections_per_address: 5,
    connections_per_subnet: 8,
    pending_per_address: 3,
    arrivals_per_minute: 600,
    ..Limits::PUBLIC
};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn places(public: Limits) -> Places {
    Places::new(&Config { public, ..Config::default() }, 8)
}

fn origin(third: u8, last: u8) -> Origin {
    Origin::of(Ipv4Addr::new(198, 51, third, last).into())
}

/// A step of one address: it comes, gets through its handshake, or goes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive,
    Establish,
    Leave,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8, u8, u64)>> {
    let step = prop_oneof![3 => Just(Step::Arrive), 2 => Just(Step::Establish), 2 => Just(Step::Leave)];
    prop::collection::vec((step, 0_u8..3, 0_u8..4, 0_u64..300), 1..400)
}

proptest! {
    /// No address and no subnet ever has more than it may, and who left has left room.
    #[test]
    fn nobody_has_more_than_he_may(steps in steps()) {
        let mut places = places(LIMITS);
        let mut open: Vec<(Origin, Phase)> = Vec::new();
        let mut now = 0;
        for (step, third, last, pause) in steps {
            now += pause;
            let origin = origin(third, last);
            let own = |phase: Phase| move |(from, is): &(Origin, Phase)| *from == origin && *is == phase;
            match step {
                Step::Arrive => if places.arrive(origin, Phase::Pending, at(now)).is_ok() {
                    open.push((origin, Phase::Pending));
                },
                Step::Establish => if let Some(found) = open.iter().position(own(Phase::Pending)) {
                    open[found].1 = Phase::Established;
                    places.establish(origin);
                },
                Step::Leave => if let Some(found) = open.iter().position(|(from, _)| *from == origin) {
                    let (_, phase) = open.swap_remove(found);
                    places.leave(origin, phase, at(now));
                },
            }
            let count = |of: &dyn Fn(&Origin) -> bool, pending: bool| {
                let all = open.iter().filter(|(from, is)| of(from) && (!pending || *is == Phase::Pending));
                u32::try_from(all.count()).unwrap()
            };
            prop_assert!(count(&|from| from.host == origin.host, false) <= LIMITS.connections_per_address);
            prop_assert!(count(&|from| from.subnet == origin.subnet, false) <= LIMITS.connections_per_subnet);
            prop_assert!(count(&|from| from.host == origin.host, true) <= LIMITS.pending_per_address);
            prop_assert!(count(&|from| from.subnet == origin.subnet, true) <= 4 * LIMITS.pending_per_address);
        }
        for (origin, phase) in open {
            places.leave(origin, phase, at(now));
        }
        prop_assert!(places.arrive(origin(0, 0), Phase::Pending, at(now + 60_000)).is_ok());
    }

    /// However many addresses come, the table stays bounded and those with connections are never forgotten.
    #[test]
    fn the_table_is_bounded_and_forgets_only_the_idle(addresses in prop::collection::vec(any::<u32>(), 1..300)) {
        let mut places = places(LIMITS);
        places.blocks_max = 64;
        let guest = origin(0, 1);
        for _ in 0..2 {
            places.arrive(guest, Phase::Pending, at(0)).unwrap();
            places.establish(guest);
        }
        for (now, address) in (1..).zip(addresses) {
            let other = Origin::of(Ipv4Addr::from_bits(address | 0x0100_0000).into());
            if other.subnet != guest.subnet && places.arrive(other, Phase::Pending, at(now)).is_ok() {
                places.leave(other, Phase::Pending, at(now));
            }
            prop_assert!(places.blocks.len() <= places.blocks_max + 1);
        }
        prop_assert_eq!(places.blocks[&guest.host].established, 2);
        prop_assert_eq!(places.blocks[&guest.subnet].established, 2);
    }
}

#[test]
fn each_limit_says_which_it_is() {
    let mut places = places(LIMITS);
    let come = |places: &mut Places, origin| places.arrive(origin, Phase::Established, at(0));
    for _ in 0..3 {
        places.arrive(origin(9, 1), Phase::Pending, at(0)).unwrap();
    }
    assert_eq!(places.arrive(origin(9, 1), Phase::Pending, at(0)), Err(Full::Pending));
    for _ in 0..5 {
        come(&mut places, origin(1, 1)).unwrap();
    }
    assert_eq!(come(&mut places, origin(1, 1)), Err(Full::Address));
    for _ in 0..3 {
        come(&mut places, origin(1, 2)).unwrap();
    }
    assert_eq!(come(&mut places, origin(1, 3)), Err(Full::Subnet));
    assert_eq!(come(&mut places, origin(2, 1)), Ok(()), "others are let in");
}

#[test]
fn arrivals_come_back_with_time() {
    let mut places = places(Limits { arrivals_per_minute: 60, ..LIMITS });
    let come_and_go = |places: &mut Places, now| {
        let come = places.arrive(origin(1, 1), Phase::Pending, at(now));
        if come.is_ok() {
            places.leave(origin(1, 1), Phase::Pending, at(now));
        }
        come
    };
    for _ in 0..30 {
        come_and_go(&mut places, 0).unwrap();
    }
    assert_eq!(come_and_go(&mut places, 0), Err(Full::Arrivals));
    come_and_go(&mut places, 1000).unwrap();
    assert_eq!(come_and_go(&mut places, 1000), Err(Full::Arrivals));
}

#[test]
fn own_networks_have_limits_of_their_own() {
    let mut places = places(LIMITS);
    let near = Origin::of(IpAddr::from([127, 0, 0, 1]));
    for _ in 0..100 {
        places.arrive(near, Phase::Pending, at(0)).unwrap();
    }
}

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::guard::{config::Limits, cost::Cost};

const SPACE: Protocol = cosmic_common::protocol::SPACE;
const RING: Protocol = cosmic_common::protocol::RING;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn peer(number: u16) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn config() -> Config {
    let public = Limits { strangers_us_per_sec: 3000, ..Limits::PUBLIC };
    Config { stranger_us_per_sec: 1000, member_us_per_sec: 100_000, public, ..Config::default() }
}

proptest! {
    /// If everybody waits as long as he is told, the strangers of one address together get no more than it may have, and what
    /// each of them used before he was told.
    #[test]
    fn nobody_spends_more_than_comes(spendings in prop::collection::vec((0_u16..20, 1_u64..1000), 1..400)) {
        let config = config();
        let (mut purses, places) = (Purses::new(&config), Places::new(&config, 8));
        let origin = Origin::of(Ipv4Addr::new(192, 0, 2, 1).into());
        let (mut waits, mut spent, mut now) = ([0_u64; 20], 0, 0);
        for (number, units) in spendings {
            now = now.max(waits[usize::from(number)]);
            let stranger = (peer(number), Standing::Stranger);
            let wait = purses.charge(stranger, SPACE, Some((origin, &places)), units, at(now));
            waits[usize::from(number)] = now + u64::try_from(wait.as_millis()).unwrap();
            spent += units;
        }
        prop_assert!(spent * 1000 <= 30_000 * 1000 + now * 3000 + 20 * 1000 * 1000);
    }
}

#[test]
fn the_table_is_bounded_and_debts_outlast_floods() {
    let config = config();
    let (mut purses, places) = (Purses::new(&config), Places::new(&config, 8));
    let debtor = (peer(u16::MAX), Standing::Stranger);
    assert!(purses.charge(debtor, SPACE, None, 20_000, at(0)) > Duration::ZERO);
    let origin = Origin::of(Ipv4Addr::new(192, 0, 2, 1).into());
    for number in 0..3 * PURSES_MAX {
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let other = (PeerId::from_bytes(bytes), Standing::Stranger);
        purses.charge(other, SPACE, Some((origin, &places)), 1, at(0));
        assert!(purses.purses.len() <= PURSES_MAX + 1);
    }
    let other = (peer(1), Standing::Stranger);
    assert!(purses.charge(debtor, SPACE, None, 0, at(0)) > Duration::ZERO);
    assert!(
        purses.charge(other, SPACE, Some((origin, &places)), 0, at(0)) > Duration::ZERO,
        "and that of the address"
    );
}

#[test]
fn purses_are_of_one_peer_and_one_protocol_and_standing_fills_them() {
    let mut purses = Purses::new(&config());
    let mut charge = |number, standing, protocol, units| {
        purses.charge((peer(number), standing), protocol, None, units, at(0)) > Duration::ZERO
    };
    assert!(charge(1, Standing::Stranger, SPACE, 10_001));
    assert!(charge(1, Standing::Stranger, SPACE, 0), "it still owes");
    assert!(!charge(1, Standing::Stranger, RING, 1), "another protocol");
    assert!(!charge(2, Standing::Stranger, SPACE, 1), "another peer");
    assert!(!charge(1, Standing::Member, SPACE, 10_001), "it has proven itself");
    assert!(charge(1, Standing::Member, SPACE, 1_000_000), "but may not have everything");
    assert!(!charge(3, Standing::Ring, SPACE, u64::MAX), "the ring never waits");
}

#[test]
fn the_ledger_has_one_unit_and_nothing_is_free() {
    for (cost, units) in [
        (Cost::Stream, 100),
        (Cost::Bytes(0), 0),
        (Cost::Bytes(1), 1),
        (Cost::Bytes(64 * 1024), 66),
        (Cost::Signatures(9), 252),
        (Cost::DiskReads(3), 300),
        (Cost::DiskReads(usize::MAX), u64::MAX),
    ] {
        assert_eq!(cost.units(), units, "{cost:?}");
    }
}

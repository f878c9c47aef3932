use proptest::prelude::*;

use super::*;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_unix_ms(secs * 1000)
}

fn peer(number: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

proptest! {
    /// A peer is a member exactly while a proof of it stands, and for an hour after.
    #[test]
    fn membership_follows_from_proofs(steps in prop::collection::vec((any::<bool>(), 0_u64..3000), 1..60)) {
        let mut standings = Standings::default();
        let (mut now, mut proofs, mut last) = (0, 0_u32, None);
        for (proves, pause) in steps {
            now += pause;
            if proves {
                standings.prove(peer(1), at(now));
                (proofs, last) = (proofs + 1, Some(now));
            } else if proofs > 0 {
                standings.withdraw(&peer(1), at(now));
                (proofs, last) = (proofs - 1, Some(now));
            }
            for later in [0, 1800, 3599, 3600, 9999] {
                let expected = proofs > 0 || last.is_some_and(|last| now + later - last < 3600);
                let standing = standings.of(&peer(1), at(now + later));
                prop_assert_eq!(standing == Standing::Member, expected);
            }
            prop_assert_eq!(standings.of(&peer(2), at(now)), Standing::Stranger);
        }
    }
}

#[test]
fn the_ring_stands_above_all_and_ends_with_the_ring() {
    let mut standings = Standings::default();
    standings.prove(peer(1), at(0));
    standings.set_ring([peer(1), peer(2)].into());
    assert_eq!(
        [1, 2, 3].map(|number| standings.of(&peer(number), at(0))),
        [Standing::Ring, Standing::Ring, Standing::Stranger]
    );
    standings.set_ring(HashSet::new());
    assert_eq!(
        [1, 2].map(|number| standings.of(&peer(number), at(0))),
        [Standing::Member, Standing::Stranger]
    );
}

#[test]
fn the_table_is_bounded_and_sessions_are_never_forgotten() {
    let mut standings = Standings::default();
    standings.prove(peer(0), at(0));
    for number in 1..3 * MEMBERS_MAX {
        standings.prove(peer(number), at(1));
        standings.withdraw(&peer(number), at(1));
        assert!(standings.members.len() <= MEMBERS_MAX);
    }
    assert_eq!(standings.of(&peer(0), at(1)), Standing::Member);
    assert_eq!(standings.of(&peer(3 * MEMBERS_MAX - 1), at(1)), Standing::Member);
}

use proptest::prelude::*;

use super::*;
use crate::guard::origin::Origin;

const BAN: Duration = Duration::from_secs(600);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_unix_ms(secs * 1000)
}

fn peer(number: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn banned(offences: &Offences, number: usize, now: u64) -> bool {
    offences.is_banned(Offender::Peer(peer(number)), at(now))
}

proptest! {
    /// A ban begins only with a score that was reached within the life of the offences, lasts as long as it should, and ends.
    #[test]
    fn bans_follow_from_evidence_and_end(steps in prop::collection::vec((0_usize..6, 0_u64..900), 1..80)) {
        let mut offences = Offences::default();
        let (mut now, mut history, mut until) = (0, Vec::new(), 0);
        for (kind, pause) in steps {
            now += pause;
            prop_assert_eq!(banned(&offences, 1, now), now < until);
            history.push((now, Offence::ALL[kind].weight()));
            let begins = offences.count_peer(peer(1), Offence::ALL[kind], BAN, at(now));
            // The same sum, from the whole history instead of step by step.
            let score = history.iter().map(|(then, weight)| {
                f64::from(*weight) * (-f64::from(u32::try_from(now - then).unwrap()) / 300.0).exp2()
            }).sum::<f64>();
            if (score - 80.0).abs() > 1e-6 {
                prop_assert_eq!(begins, score >= 80.0 && now >= until);
            }
            if begins {
                until = now + 600;
            }
            prop_assert_eq!(banned(&offences, 1, now), now < until);
        }
        prop_assert!(!banned(&offences, 1, now + 600), "every ban ends");
        prop_assert!(!banned(&offences, 2, now), "nobody else is banned");
    }
}

#[test]
fn what_happens_to_honest_peers_bans_nobody() {
    let mut offences = Offences::default();
    // A probe of the port every five seconds for a day, and a malformed message every five minutes.
    for now in (0..86_400).step_by(5) {
        let address = Origin::of([192, 0, 2, 1].into()).host;
        let limit = crate::guard::config::Limits::PUBLIC.ban_score;
        assert!(!offences.count((Offender::Address(address), limit), Offence::Handshake, BAN, at(now)));
        if now % 300 == 0 {
            assert!(!offences.count_peer(peer(2), Offence::Malformed, BAN, at(now)));
        }
    }
}

#[test]
fn two_lies_are_enough_and_a_pardon_ends_a_ban() {
    let mut offences = Offences::default();
    assert!(!offences.count_peer(peer(1), Offence::BadSignature, BAN, at(0)));
    assert!(offences.count_peer(peer(1), Offence::WrongBytes, BAN, at(180)));
    assert!(!offences.count_peer(peer(1), Offence::WrongBytes, BAN, at(180)), "it is banned already");
    assert_eq!(offences.banned(at(280)), [(Offender::Peer(peer(1)), Duration::from_secs(500))]);
    assert!(offences.pardon(Offender::Peer(peer(1)), at(280)));
    assert!(!banned(&offences, 1, 280));
    assert!(!offences.pardon(Offender::Peer(peer(1)), at(280)));
}

#[test]
fn the_table_is_bounded_and_bans_outlast_a_flood_of_new_offenders() {
    let mut offences = Offences::default();
    for _ in 0..2 {
        offences.count_peer(peer(0), Offence::ForgedProof, BAN, at(0));
    }
    for number in 1..3 * OFFENDERS_MAX {
        offences.count_peer(peer(number), Offence::Handshake, BAN, at(1));
        assert!(offences.records.len() <= OFFENDERS_MAX);
    }
    assert!(banned(&offences, 0, 1));
}

use super::*;

fn server(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn address(port: u16) -> Multiaddr {
    format!("/ip4/203.0.113.7/udp/{port}/quic-v1").parse().unwrap()
}

fn table(servers: u8) -> Reach {
    let mut reach = Reach::default();
    reach.set_servers((1..=servers).map(server));
    reach
}

#[test]
fn three_servers_have_to_agree() {
    let mut reach = table(6);
    reach.candidate(&address(1));
    let questions = reach.questions();
    assert_eq!(questions.len(), SERVERS);
    assert!(questions.iter().all(|(_, asked)| asked == &[address(1)]));
    assert!(reach.questions().is_empty(), "nobody is asked twice");
    assert_eq!(reach.state(), Reachability::Unknown);
    reach.answered(server(1), [(address(1), Some(true))]);
    reach.answered(server(2), [(address(1), Some(true))]);
    assert_eq!(reach.state(), Reachability::Unknown, "two of them lie");
    reach.answered(server(3), [(address(1), Some(false))]);
    assert_eq!(reach.state(), Reachability::Unknown);
    reach.answered(server(4), [(address(1), Some(true))]);
    assert_eq!((reach.state(), reach.confirmed()), (Reachability::Public, vec![address(1)]));
}

#[test]
fn strangers_and_refused_questions_do_not_count() {
    let mut reach = table(1);
    reach.candidate(&address(1));
    reach.answered(server(9), [(address(1), Some(true))]);
    reach.answered(server(1), [(address(1), None)]);
    assert_eq!(reach.state(), Reachability::Unknown);
    reach.answered(server(1), [(address(1), Some(false))]);
    assert_eq!(reach.state(), Reachability::Private, "one server is enough where there is only one");
}

#[test]
fn a_new_candidate_is_asked_about_and_a_silent_server_again() {
    let mut reach = table(1);
    reach.candidate(&address(1));
    assert_eq!(reach.questions(), [(server(1), vec![address(1)])]);
    reach.candidate(&address(2));
    reach.candidate(&address(2));
    assert_eq!(reach.questions(), [(server(1), vec![address(2)])]);
    reach.silent(&server(1));
    assert_eq!(reach.questions(), [(server(1), vec![address(1), address(2)])]);
}

#[test]
fn a_changed_network_makes_everything_unknown() {
    let mut reach = table(1);
    reach.candidate(&address(1));
    reach.answered(server(1), [(address(1), Some(true))]);
    assert_eq!(reach.state(), Reachability::Public);
    reach.forget();
    assert_eq!(reach.state(), Reachability::Unknown);
    reach.candidate(&address(3));
    assert_eq!(reach.questions(), [(server(1), vec![address(3)])]);
}

#[test]
fn the_kind_of_nat_shows_in_what_others_see() {
    let mut reach = table(3);
    let own = ["/ip4/192.168.1.2/udp/7420/quic-v1".parse().unwrap()];
    assert_eq!(reach.nat(&own), Nat::Unknown);
    reach.observed(server(1), &address(7));
    assert_eq!(reach.nat(&own), Nat::Unknown);
    reach.observed(server(2), &address(7));
    assert_eq!(reach.nat(&own), Nat::Independent);
    reach.observed(server(3), &address(8));
    assert_eq!(reach.nat(&own), Nat::Dependent);
    assert_eq!(reach.nat(&[address(7420)]), Nat::Open);
}

#[test]
fn candidates_and_observers_are_bounded() {
    let mut reach = table(1);
    for port in 1..100 {
        reach.candidate(&address(port));
        reach.observed(server(u8::try_from(port).unwrap()), &address(port));
    }
    let circuit = "/ip4/203.0.113.7/udp/1/quic-v1/p2p-circuit".parse().unwrap();
    reach.candidate(&circuit);
    assert_eq!(reach.candidates.len(), CANDIDATES_MAX);
    assert_eq!(reach.observed.len(), OBSERVERS_MAX);
    assert!(!reach.candidates.contains(&circuit));
}

#[test]
fn one_wrong_clock_of_a_server_changes_nothing() {
    let mut reach = table(4);
    assert_eq!(reach.clock(), None);
    for (number, ahead_ms) in [(1, 40), (2, -9_000_000), (3, 10), (4, 35), (9, 5)] {
        reach.compared(server(number), ahead_ms);
    }
    assert_eq!(reach.clock(), Some(Compared { ahead_ms: 35, servers: 4 }), "strangers are not asked");
    reach.set_servers([server(2)]);
    assert_eq!(reach.clock(), Some(Compared { ahead_ms: -9_000_000, servers: 1 }));
}

//! One dial for all, the preferred transport first, and one side that closes what is too much.

use super::*;

const NEAR: PeerId = PeerId::from_bytes([1; 32]);
const FAR: PeerId = PeerId::from_bytes([2; 32]);

fn quic() -> Multiaddr {
    "/ip4/192.0.2.1/udp/7410/quic-v1".parse().unwrap()
}

fn tcp() -> Multiaddr {
    "/ip4/192.0.2.1/tcp/7410".parse().unwrap()
}

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn connection(number: usize, address: Multiaddr) -> Connection {
    Connection { id: id(number), address, direction: Direction::Outbound }
}

fn peers() -> Peers<u32> {
    let mut peers = Peers::new(NEAR, Transport::Quic);
    peers.book.add(FAR, [tcp(), quic()]);
    peers
}

#[test]
fn callers_share_one_dial_and_all_are_served() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert_eq!(peers.want(FAR, 2), Want::Join);
    let established = peers.established(FAR, connection(1, quic()));
    assert_eq!(established, Established { first: true, surplus: false, waiters: vec![1, 2] });
    assert_eq!(peers.want(FAR, 3), Want::Connected(3, id(1)));
    assert_eq!(peers.head_start_over(&FAR), None, "nothing is dialed once a connection stands");
    assert_eq!(peers.waiting, 0);
}

#[test]
fn the_other_transport_follows_a_failure() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert_eq!(peers.failed(&FAR, id(1)), Failed::Dial(vec![tcp()]));
    peers.dialing(FAR, id(2));
    assert_eq!(peers.failed(&FAR, id(2)), Failed::Refuse(vec![1]));
    assert_eq!(peers.want(FAR, 2), Want::Dial(vec![quic()]), "a later caller tries again");
}

#[test]
fn the_other_transport_follows_the_head_start() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert!(peers.has_later(&FAR));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![tcp()]));
    peers.dialing(FAR, id(2));
    assert_eq!(peers.failed(&FAR, id(1)), Failed::Wait, "the second dial is still under way");
    assert_eq!(peers.established(FAR, connection(2, tcp())).waiters, [1]);
}

#[test]
fn the_lower_peer_closes_the_worse_connection() {
    let mut peers = peers();
    assert_eq!(
        peers.established(FAR, connection(1, tcp())),
        Established { first: true, surplus: false, waiters: vec![] }
    );
    assert!(peers.established(FAR, connection(2, quic())).surplus);
    assert_eq!(peers.surplus(&FAR), [id(1)]);
    assert_eq!(peers.closed(&FAR, id(1)), None, "one is left");
    assert_eq!(peers.surplus(&FAR), []);
    assert_eq!(peers.closed(&FAR, id(2)), Some(connection(2, quic())));
    assert_eq!(peers.connected().count(), 0);

    let mut higher: Peers<u32> = Peers::new(FAR, Transport::Tcp);
    higher.established(NEAR, connection(1, tcp()));
    assert!(!higher.established(NEAR, connection(2, quic())).surplus, "the higher peer leaves it");
}

#[test]
fn a_peer_that_connects_again_is_used_where_it_is_now() {
    let mut peers: Peers<u32> = Peers::new(NEAR, Transport::Tcp);
    peers.established(FAR, connection(1, tcp()));
    assert!(peers.established(FAR, connection(2, tcp())).surplus);
    assert_eq!(peers.want(FAR, 1), Want::Connected(1, id(2)));
    assert_eq!(peers.surplus(&FAR), [id(1)], "the one that stood before may be dead");
}

#[test]
fn a_refusal_is_remembered_until_something_is_heard_of_the_peer() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![tcp()]));
    peers.dialing(FAR, id(2));
    assert!(peers.refused(&FAR));
    assert!(!peers.refused(&FAR), "one moment is enough");
    assert_eq!(peers.failed(&FAR, id(2)), Failed::Wait, "QUIC is still tried");
    assert_eq!(peers.refusal_stands(&FAR), [1]);
    assert_eq!(peers.waiting, 0);
    assert_eq!(peers.want(FAR, 2), Want::Away(2));
    assert_eq!(peers.failed(&FAR, id(1)), Failed::Wait, "nobody waits for that dial any more");
    peers.told(FAR, [tcp()]);
    assert_eq!(peers.want(FAR, 3), Want::Away(3), "this address is known to be of no use");
    peers.told(FAR, ["/ip4/192.0.2.2/tcp/7410".parse().unwrap()]);
    assert!(matches!(peers.want(FAR, 4), Want::Dial(_)));
}

#[test]
fn a_refusal_does_not_stand_when_another_transport_connects() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert!(peers.refused(&FAR));
    assert_eq!(peers.established(FAR, connection(1, quic())).waiters, [1]);
    assert_eq!(peers.refusal_stands(&FAR), [0_u32; 0]);
    assert_eq!(peers.want(FAR, 2), Want::Connected(2, id(1)));
    peers.closed(&FAR, id(1));
    assert!(matches!(peers.want(FAR, 3), Want::Dial(_)));
}

#[test]
fn waiting_is_bounded() {
    let mut peers = peers();
    for number in 0..4096 {
        assert_ne!(peers.want(FAR, number), Want::Busy(number));
    }
    assert_eq!(peers.want(FAR, 5000), Want::Busy(5000));
    peers.dialing(FAR, id(1));
    assert_eq!(peers.failed(&FAR, id(1)), Failed::Dial(vec![tcp()]));
    peers.dialing(FAR, id(2));
    assert_eq!(peers.failed(&FAR, id(7)), Failed::Wait, "not one of ours");
    assert!(matches!(peers.failed(&FAR, id(2)), Failed::Refuse(waiters) if waiters.len() == 4096));
    assert_eq!(peers.waiting, 0);
}

#[test]
fn a_peer_without_addresses_is_left_to_the_directory() {
    let mut peers: Peers<u32> = Peers::new(NEAR, Transport::Quic);
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![]));
}

fn through_a_relay() -> Multiaddr {
    crate::address::circuit(&quic(), libp2p::identity::Keypair::generate_ed25519().public().to_peer_id())
}

#[test]
fn circuits_come_last_and_give_way_to_a_direct_connection() {
    let (mut peers, circuit) = (peers(), through_a_relay());
    assert!(!peers.told(FAR, [circuit.clone()]), "nobody waits");
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![tcp()]));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![circuit.clone()]));
    peers.established(FAR, connection(2, circuit));
    assert!(peers.overtaken(&FAR).is_empty(), "there is no other way");
    peers.established(FAR, connection(1, tcp()));
    assert_eq!(peers.overtaken(&FAR), [id(2)]);
    assert_eq!(
        peers.connection(&FAR).unwrap().id,
        id(1),
        "a direct one, though not of the preferred transport"
    );
}

#[test]
fn who_waits_is_dialed_at_new_addresses_too() {
    let mut peers = peers();
    assert_eq!(peers.want(FAR, 1), Want::Dial(vec![quic()]));
    peers.dialing(FAR, id(1));
    let elsewhere: Multiaddr = "/ip4/192.0.2.9/udp/7410/quic-v1".parse().unwrap();
    assert!(!peers.told(FAR, [tcp()]), "nothing new");
    assert!(peers.told(FAR, [elsewhere.clone()]));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![tcp()]));
    assert_eq!(peers.head_start_over(&FAR), Some(vec![elsewhere]));
    peers.established(FAR, connection(1, quic()));
    assert!(!peers.told(FAR, [through_a_relay()]), "a connection stands");
}

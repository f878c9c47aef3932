//! The book stays bounded and puts what works first.

use super::*;

fn address(port: usize) -> Multiaddr {
    format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
}

fn peer(number: usize) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

#[test]
fn one_peer_keeps_the_newest_and_those_that_worked() {
    let mut book = Book::default();
    book.add(peer(1), (0..ADDRESSES_MAX).map(address));
    book.worked(&peer(1), &address(5));
    book.failed(&peer(1), &address(6));
    book.add(peer(1), [address(100)]);
    let known = book.of(&peer(1));
    assert_eq!(known.len(), ADDRESSES_MAX);
    assert_eq!(known.first(), Some(&address(5)));
    assert_eq!(known.last(), Some(&address(100)));
    assert!(!known.contains(&address(6)), "what failed is displaced first");
    book.add(peer(1), (0..1000).map(address));
    assert_eq!(book.of(&peer(1)).len(), ADDRESSES_MAX);
}

#[test]
fn the_peers_told_of_longest_ago_are_forgotten() {
    let mut book = Book::default();
    for number in 0..PEERS_MAX {
        book.add(peer(number), [address(1)]);
    }
    book.add(peer(0), [address(2)]);
    book.add(peer(PEERS_MAX), [address(1)]);
    assert_eq!(book.of(&peer(0)).len(), 2, "told of again");
    assert!(book.of(&peer(1)).is_empty(), "the oldest");
    assert_eq!((book.entries.len(), book.by_age.len()), (PEERS_MAX, PEERS_MAX));
    book.add(peer(PEERS_MAX + 1), []);
    assert!(!book.entries.contains_key(&peer(PEERS_MAX + 1)), "nothing to remember");
}

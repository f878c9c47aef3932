//! Ids and addresses there and back, and what is refused.

use cosmic_identity::key::SecretKey;

use super::*;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn peers_keep_their_name_in_both_spellings() {
    for seed in 0..20 {
        let peer = SecretKey::from_seed(&[seed; 32]).peer_id();
        let named = from_peer(&peer).unwrap();
        assert_eq!(to_peer(&named), Some(peer));
        assert!(named.to_string().starts_with("12D3KooW"));
    }
    // The key of RFC 8032, test 1: base58 of 00 24 08 01 12 20 and the public key, computed by hand.
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let seed: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&seed[2 * n..2 * n + 2], 16).unwrap()).collect();
    let peer = SecretKey::from_seed(&seed.try_into().unwrap()).peer_id();
    assert_eq!(from_peer(&peer).unwrap().to_string(), "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV");
    assert_eq!(from_peer(&PeerId::from_bytes([2; 32])), None, "no point of the curve");
    assert_eq!(to_peer(&libp2p::PeerId::from_multihash(other_key()).unwrap()), None, "another kind of key");
}

/// The peer id of a key too long to be inlined: a SHA-256 hash, of which the key cannot be told.
fn other_key() -> libp2p::multihash::Multihash<64> {
    libp2p::multihash::Multihash::wrap(0x12, &[7; 32]).unwrap()
}

#[test]
fn transports_are_told_from_addresses() {
    assert_eq!(Transport::of(&address("/ip4/192.0.2.1/udp/7410/quic-v1")), Some(Transport::Quic));
    assert_eq!(Transport::of(&address("/dns4/example.org/tcp/7410")), Some(Transport::Tcp));
    assert_eq!(Transport::of(&address("/memory/7")), Some(Transport::Memory));
    assert_eq!(Transport::of(&address("/ip4/192.0.2.1/udp/7410")), None);
    assert_eq!(Transport::of(&address("/nonsense")), None);
    assert!(matches!(to_multiaddr(&address("/nonsense")), Err(Error::Address { source: Some(_), .. })));
    assert!(matches!(
        to_multiaddr(&address("/ip4/192.0.2.1/udp/1")),
        Err(Error::Address { source: None, .. })
    ));
}

#[test]
fn only_what_leads_to_the_peer_is_dialed() {
    let peer = SecretKey::from_seed(&[1; 32]).peer_id();
    let other = SecretKey::from_seed(&[2; 32]).peer_id();
    let plain = "/ip4/192.0.2.1/tcp/7410";
    let with = |peer| address(&format!("{plain}/p2p/{}", from_peer(&peer).unwrap()));
    let bare = || -> Multiaddr { plain.parse().unwrap() };
    let told = [address(plain), with(peer), with(other), address("/nonsense")];
    assert_eq!(dialable(&peer, &told), [bare()]);
    assert_eq!(dialable(&other, &[with(other)]), [bare()]);
    let many: Vec<Address> = (1..100).map(|port| address(&format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
    assert_eq!(dialable(&peer, &many).len(), ADDRESSES_MAX);
}

#[test]
fn long_addresses_are_not_told() {
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(300)).parse().unwrap();
    assert_eq!(from_multiaddr(&long), None);
}

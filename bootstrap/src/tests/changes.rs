//! Each change is one version on, signed by the one key, and never out of bounds.

use cosmic_ring::{Admission, Door, NetworkConfig, config::DOORS_MAX};

use super::{network_key, operator};
use crate::change::{Change, Error, apply};
use cosmic_identity::key::SecretKey;

fn door(number: u8, address: &str) -> Door {
    let peer = SecretKey::from_seed(&[number; 32]).peer_id();
    Door { peer, addresses: vec![address.parse().unwrap()] }
}

#[test]
fn a_change_is_signed_one_version_on_and_no_change_is_not() {
    let key = network_key();
    let first = NetworkConfig::new(&key);
    let admitted = apply(&first, Change::Admit(vec![operator(2), operator(3)]), &key).unwrap().unwrap();
    let second = admitted.verify(first.key.as_bytes()).unwrap();
    assert_eq!((second.version, second.operators.len()), (2, 2));
    assert!(apply(second, Change::Admit(vec![operator(3)]), &key).unwrap().is_none());
    let removed = apply(second, Change::Remove(vec![operator(2)]), &key).unwrap().unwrap();
    assert!(!removed.unverified().admits(&operator(2)) && removed.unverified().admits(&operator(3)));
    assert!(matches!(apply(second, Change::Remove(vec![operator(9)]), &key), Err(Error::NoOperator(_))));
    let anew =
        apply(second, Change::Sign { admission: Some(Admission::Open), doors: None }, &key).unwrap().unwrap();
    assert!(anew.unverified().admits(&operator(9)));
    assert_eq!(anew.unverified().version, 3);
}

#[test]
fn a_banned_operator_counts_in_no_network_until_it_is_pardoned() {
    let key = network_key();
    let open = NetworkConfig { admission: Admission::Open, ..NetworkConfig::new(&key) };
    let banned = apply(&open, Change::Ban(vec![operator(2)]), &key).unwrap().unwrap();
    let banned = banned.unverified();
    assert!(!banned.admits(&operator(2)) && banned.admits(&operator(3)));
    let refused = apply(banned, Change::Pardon(vec![operator(3)]), &key);
    assert!(matches!(refused, Err(Error::NoBan(_))));
    let pardoned = apply(banned, Change::Pardon(vec![operator(2)]), &key).unwrap().unwrap();
    assert!(pardoned.unverified().admits(&operator(2)));
}

#[test]
fn only_the_key_of_the_network_signs() {
    let other = SecretKey::from_seed(&[9; 32]);
    let refused = apply(&NetworkConfig::new(&network_key()), Change::Admit(vec![operator(2)]), &other);
    assert!(matches!(refused, Err(Error::OtherKey { .. })));
}

#[test]
fn a_bootstrap_node_that_moved_is_named_once_and_there_is_a_bound() {
    let key = network_key();
    let mut config = NetworkConfig::new(&key);
    for (number, address) in [(1, "/memory/1"), (2, "/memory/2"), (1, "/memory/3")] {
        let next = apply(&config, Change::Reside(door(number, address)), &key).unwrap().unwrap();
        config = next.unverified().clone();
    }
    assert_eq!(config.doors, [door(1, "/memory/3"), door(2, "/memory/2")]);
    let many = (0..=u8::try_from(DOORS_MAX).unwrap()).map(|number| door(number, "/memory/1")).collect();
    let refused = apply(&config, Change::Sign { admission: None, doors: Some(many) }, &key);
    assert!(matches!(refused, Err(Error::Bounds(_))));
}

//! The bytes of version 1: pinned, read back, and nothing else accepted.

use std::fmt::Debug;

use cosmic_common::{
    address::Address,
    heads::{Head, Heads},
    id::{ChannelId, EntryId, EpochId, Hash, LogId, PeerId, SpaceId, WriterId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::signed::Signed;
use cosmic_log::{fork::ForkProof, kind::Kind};
use proptest::prelude::*;

use super::world::{Pen, key};
use crate::{
    card::Card,
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Durability, Genesis, Policy, membership_channel},
    record::{
        ACKNOWLEDGED_MAX, AcknowledgementRecord, CopyRecord, EpochRecord, KEM_KEY_BYTES, MembershipRecord,
        Revocation, kem_hash,
    },
    rights::{Channels, Right, Rights, Role},
    root::{channel_root, membership_root},
    session::SessionProof,
    ticket::Ticket,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a golden file, whose lines may break anywhere.
fn golden(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|character| !character.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

fn pinned<T: Record + PartialEq + Debug>(text: &str, value: &T) {
    assert_eq!(hex(&value.to_bytes()), hex(&golden(text)), "{}", T::NAME);
    assert_eq!(&T::from_bytes(&golden(text)).unwrap(), value);
}

fn genesis() -> Genesis {
    let regions = vec!["eu-north".to_owned(), "eu-west".to_owned()];
    let policy = Policy { regions, retention_secs: Some(86_400), durability: Durability::Compact };
    Genesis { root: key(1).writer_id(), nonce: [2; 16], policy }
}

fn space() -> SpaceId {
    genesis().space_id()
}

fn delegation() -> Delegation {
    Delegation {
        space: space(),
        rights: Role::Editor.rights().union(Rights::of(&[Right::Invite])),
        channels: Channels::Only([ChannelId::from_bytes([3; 32]), ChannelId::from_bytes([4; 32])].into()),
        audience: key(2).writer_id(),
        bearer: Bearer::Ticket,
        kem_hash: Some(Hash::from_bytes([5; 32])),
        caveats: Caveats {
            expires: Some(Timestamp::from_unix_ms(1_800_000_000_000)),
            max_bytes: Some(1 << 30),
        },
        parent: Some(EntryId::from_bytes([6; 32])),
    }
}

fn heads() -> Heads {
    let head = |seq, byte| Head { seq, entry: EntryId::from_bytes([byte; 32]) };
    [(LogId::from_bytes([7; 32]), head(0, 8)), (LogId::from_bytes([9; 32]), head(300, 10))].into()
}

fn epoch() -> EpochRecord {
    EpochRecord { parents: vec![EpochId::from_bytes([11; 32])], commitment: Hash::from_bytes([12; 32]) }
}

fn acknowledgement(count: usize) -> AcknowledgementRecord {
    let ids = (0..count).map(|n| EntryId::from_bytes([u8::try_from(n).unwrap() + 20; 32]));
    AcknowledgementRecord { snapshots: ids.collect() }
}

fn fork_proof() -> MembershipRecord {
    let (pen, _) =
        Pen::open(space(), ChannelId::from_bytes([3; 32]), &key(2), 1, Some(EntryId::from_bytes([6; 32])));
    let [one, other] = [1, 2].map(|byte| pen.draft(Kind::Change, vec![byte], &[]));
    MembershipRecord::ForkProof(*pen.state.open(), Box::new(ForkProof::between(&one, &other).unwrap()))
}

fn proof() -> SessionProof {
    SessionProof {
        space: space(),
        delegation: None,
        key: key(1).writer_id(),
        client: PeerId::from_bytes([13; 32]),
        server: PeerId::from_bytes([14; 32]),
        nonce: [15; 32],
        protocol: "/cosmic/space/1".to_owned(),
        genesis: Some(genesis()),
    }
}

fn ticket() -> Ticket {
    let addresses = vec!["/ip4/192.0.2.7/udp/7410/quic-v1".parse::<Address>().unwrap()];
    Ticket::new(space(), &[16; 32], vec![(PeerId::from_bytes([17; 32]), addresses)]).unwrap()
}

#[test]
fn golden_records_stay_what_they_are() {
    pinned(include_str!("../../golden/genesis.v1.hex"), &genesis());
    pinned(include_str!("../../golden/membership-genesis.v1.hex"), &MembershipRecord::Genesis(genesis()));
    pinned(
        include_str!("../../golden/membership-delegation.v1.hex"),
        &MembershipRecord::Delegation(delegation()),
    );
    let revocation = Revocation { target: EntryId::from_bytes([6; 32]), cut: heads() };
    pinned(
        include_str!("../../golden/membership-revocation.v1.hex"),
        &MembershipRecord::Revocation(revocation),
    );
    let kem_key = MembershipRecord::KemKey(vec![18; KEM_KEY_BYTES]);
    pinned(include_str!("../../golden/membership-kem-key.v1.hex"), &kem_key);
    pinned(include_str!("../../golden/membership-fork-proof.v1.hex"), &fork_proof());
    pinned(include_str!("../../golden/epoch.v1.hex"), &epoch());
    let copy =
        CopyRecord { epoch: epoch().id(), recipient: kem_hash(&[18; KEM_KEY_BYTES]), sealed: vec![19; 48] };
    pinned(include_str!("../../golden/copy.v1.hex"), &copy);
    pinned(include_str!("../../golden/acknowledgement.v1.hex"), &acknowledgement(2));
    pinned(include_str!("../../golden/session-proof.v1.hex"), &Signed::sign(proof(), &key(1)));
    pinned(include_str!("../../golden/ticket.v1.hex"), &ticket());
    let address = "/ip4/192.0.2.7/udp/7420/quic-v1".parse().unwrap();
    let stated = Timestamp::from_unix_ms(1_800_000_000_000);
    let card = Card { peer: PeerId::from_bytes([20; 32]), addresses: vec![address], stated };
    pinned(include_str!("../../golden/card.v1.hex"), &card);
    assert_eq!(*ticket().to_text(), include_str!("../../golden/ticket.v1.txt").trim());
}

#[test]
fn an_acknowledgement_names_some_snapshots_and_not_more() {
    let most = acknowledgement(ACKNOWLEDGED_MAX);
    assert_eq!(AcknowledgementRecord::from_bytes(&most.to_bytes()).unwrap(), most);
    assert!(AcknowledgementRecord::from_bytes(&acknowledgement(ACKNOWLEDGED_MAX + 1).to_bytes()).is_err());
    let (pen, open) = Pen::open(space(), ChannelId::from_bytes([3; 32]), &key(2), 1, None);
    let of = |kind, body| AcknowledgementRecord::of(&pen.draft(kind, body, &[]));
    assert_eq!(of(Kind::Acknowledgement, most.to_bytes()), most.snapshots);
    assert_eq!(of(Kind::Acknowledgement, Vec::new()), [], "one that only names heads");
    assert_eq!(of(Kind::Acknowledgement, vec![7; 40]), [], "nothing that can be read");
    assert_eq!(of(Kind::Change, most.to_bytes()), [], "another kind");
    assert_eq!(AcknowledgementRecord::of(&open), []);
}

#[test]
fn golden_ids_stay_what_they_are() {
    let ids = [
        ("space", *space().as_bytes()),
        ("membership channel", *membership_channel(&space()).as_bytes()),
        ("epoch", *epoch().id().as_bytes()),
        ("kem key", *kem_hash(&[18; KEM_KEY_BYTES]).as_bytes()),
        ("channel root", *channel_root(&ChannelId::from_bytes([3; 32]), &heads()).as_bytes()),
        ("membership root", *membership_root(&space(), &heads()).as_bytes()),
        ("ticket key", ticket().signing_key().public()),
        ("ticket kem seed", *ticket().kem_seed()),
    ];
    let text: String = ids.iter().map(|(name, id)| format!("{name}: {}\n", hex(id))).collect();
    assert_eq!(text, include_str!("../../golden/ids.v1.txt"));
}

#[test]
fn roots_differ_where_heads_do() {
    let channel = ChannelId::from_bytes([3; 32]);
    let root = channel_root(&channel, &heads());
    let mut later = heads();
    later.values_mut().for_each(|head| head.seq += 1);
    let mut fewer = heads();
    fewer.pop_first();
    for other in [later, fewer, Heads::new()] {
        assert_ne!(channel_root(&channel, &other), root);
    }
    assert_ne!(channel_root(&ChannelId::from_bytes([4; 32]), &heads()), root);
}

fn any_delegation() -> impl Strategy<Value = Delegation> {
    let channels = prop_oneof![
        Just(Channels::All),
        prop::collection::btree_set(any::<[u8; 32]>().prop_map(ChannelId::from_bytes), 1..5)
            .prop_map(Channels::Only),
    ];
    let limits = (any::<Option<u64>>(), any::<Option<u64>>());
    let keys = (any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), any::<Option<[u8; 32]>>());
    (0..32_u8, channels, any::<bool>(), limits, keys).prop_map(|(rights, channels, ticket, limits, keys)| {
        Delegation {
            space: space(),
            rights: Rights::from_bits(rights).unwrap(),
            channels,
            audience: WriterId::from_bytes(keys.0),
            bearer: if ticket { Bearer::Ticket } else { Bearer::Member },
            kem_hash: keys.1.map(Hash::from_bytes),
            caveats: Caveats { expires: limits.0.map(Timestamp::from_unix_ms), max_bytes: limits.1 },
            parent: keys.2.map(EntryId::from_bytes),
        }
    })
}

proptest! {
    #[test]
    fn delegations_round_trip(delegation in any_delegation()) {
        let record = MembershipRecord::Delegation(delegation);
        prop_assert_eq!(MembershipRecord::from_bytes(&record.to_bytes()).unwrap(), record);
    }

    #[test]
    fn any_changed_byte_is_refused_or_means_something_else(
        delegation in any_delegation(),
        place: prop::sample::Index,
        flip in 1..=u8::MAX,
    ) {
        let record = MembershipRecord::Delegation(delegation);
        let mut bytes = record.to_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(read) = MembershipRecord::from_bytes(&bytes) {
            prop_assert_ne!(read, record);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let refused = [
            MembershipRecord::from_bytes(&bytes).is_ok_and(|record| record.check().is_ok()),
            EpochRecord::from_bytes(&bytes).is_ok(),
            CopyRecord::from_bytes(&bytes).is_ok(),
            AcknowledgementRecord::from_bytes(&bytes).is_ok(),
            Signed::<SessionProof>::from_bytes(&bytes).is_ok(),
        ];
        prop_assert_eq!(refused, [false; 5]);
    }

    #[test]
    fn no_text_panics_and_tickets_round_trip(text in "(cosmic1)?[a-z2-7]{0,200}", seed: [u8; 32], peers in 0..4_usize) {
        prop_assert!(text.parse::<Ticket>().is_err());
        let peers = vec![(PeerId::from_bytes(seed), vec!["/ip6/::1/tcp/1".parse().unwrap(); peers]); peers];
        let ticket = Ticket::new(space(), &seed, peers).unwrap();
        prop_assert_eq!(ticket.to_text().parse::<Ticket>().unwrap(), ticket);
    }

    #[test]
    fn rights_are_a_set(one in 0..32_u8, other in 0..32_u8) {
        let (one, other) = (Rights::from_bits(one).unwrap(), Rights::from_bits(other).unwrap());
        prop_assert_eq!(one.is_within(other), one.iter().all(|right| other.has(right)));
        prop_assert!(one.is_within(one.union(other)) && one.intersection(other).is_within(one));
    }
}

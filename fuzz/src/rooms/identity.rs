//! Texts of common and identity: ids, addresses, DIDs; signatures that are none.

use cosmic_common::{
    address::Address,
    id::{EntryId, Incarnation, PeerId},
};
use cosmic_identity::{
    did::{from_did, to_did},
    key::SecretKey,
    signature::{Domain, PublicKey, Signature},
};

use crate::{Room, check, sampled};

/// The room.
pub const ROOM: Room = Room {
    name: "identity",
    decoders: &[
        sampled(|| vec![peer().to_string().into()], check::text::<EntryId>),
        sampled(Vec::new, check::text::<Incarnation>),
        sampled(|| vec![b"/ip4/192.0.2.1/udp/4001/quic-v1".to_vec()], check::text::<Address>),
        sampled(|| vec![to_did(&peer()).into()], did),
        sampled(|| vec![[*peer().as_bytes(); 4].concat()], signature),
    ],
};

fn peer() -> PeerId {
    SecretKey::from_seed(&[7; 32]).peer_id()
}

fn did(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(peer) = from_did(text) else { return };
    assert_eq!(to_did(&peer), text);
    assert!(PeerId::try_from(peer.as_bytes().as_slice()) == Ok(peer));
}

/// Nobody signed these bytes, whatever key and signature are made up.
fn signature(bytes: &[u8]) {
    let Some((key, rest)) = bytes.split_first_chunk::<32>() else { return };
    let Some((signature, message)) = rest.split_first_chunk::<64>() else { return };
    let Ok(key) = PublicKey::from_bytes(key) else { return };
    assert!(key.verify(Domain::new("cosmic/fuzz/1"), message, &Signature::from_bytes(*signature)).is_err());
}

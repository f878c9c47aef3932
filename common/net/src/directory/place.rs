//! Where peers and keys stand in the directory, and how far they are from each other.

use cosmic_common::id::PeerId;
use libp2p::kad::{KBucketKey, RecordKey};

use crate::address::from_peer;

const BYTES: usize = 32;

/// A point of the key space: the hash by which Kademlia sorts a peer or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(pub(super) [u8; BYTES]);

/// How far two places are apart, by exclusive or.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Distance([u8; BYTES]);

impl Place {
    /// Where a record of this key stands.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        Self::read(&KBucketKey::new(RecordKey::new(&key)))
    }

    /// Where a peer stands; `None` if its id is no point of the curve, so that nobody can be it.
    pub(crate) fn of_peer(peer: &PeerId) -> Option<Self> {
        from_peer(peer).map(|named| Self::of_named(&named))
    }

    /// The same of a peer as libp2p names it.
    pub(crate) fn of_named(peer: &libp2p::PeerId) -> Self {
        Self::read(&KBucketKey::from(*peer))
    }

    pub(crate) fn distance(&self, other: &Self) -> Distance {
        Distance(xor(self.0, other.0))
    }

    pub(crate) const fn from_bytes(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    /// The place so far from here.
    pub(crate) fn at(&self, distance: Distance) -> Self {
        Self(xor(self.0, distance.0))
    }

    fn read<T>(key: &KBucketKey<T>) -> Self {
        let mut place = [0; BYTES];
        place.iter_mut().zip(key.hashed_bytes()).for_each(|(byte, hashed)| *byte = *hashed);
        Self(place)
    }
}

impl Distance {
    /// Between opposite places.
    pub(crate) const MAX: Self = Self([u8::MAX; BYTES]);

    /// A distance of the same scale, from bytes drawn at random: less than the next power of two.
    pub(crate) fn scaled(self, drawn: [u8; BYTES]) -> Self {
        let mut scaled = drawn;
        for (byte, own) in scaled.iter_mut().zip(self.0) {
            // All bits below the first one that is set.
            *byte &= u8::MAX.checked_shr(own.leading_zeros()).unwrap_or_default();
            if own != 0 {
                break;
            }
        }
        Self(scaled)
    }
}

fn xor(mut one: [u8; BYTES], other: [u8; BYTES]) -> [u8; BYTES] {
    one.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
    one
}

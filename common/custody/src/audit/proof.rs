//! Proofs: some groups of a shard with the hashes that bind them to the shard's hash (BLAKE3, bao with groups of 16 KiB).

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        outboard::PreOrderMemOutboard,
        sync::{DecodeResponseIter, encode_ranges_validated},
    },
};
use cosmic_common::{
    hash,
    id::{Hash, ObjectId, PeerId},
};
use minicbor::{Decode, Encode};

use crate::message::bounded;

/// The bytes of one group.
pub const GROUP_BYTES: usize = 16 * 1024;
/// Groups one challenge asks for: who has lost a tenth of a shard is found by 27 of 100 challenges.
pub const GROUPS: usize = 3;
/// BLAKE3 chunks of 1 KiB in a group, as a power of two.
const GROUP_LOG: u8 = 4;

/// A question that only a holder of the shard can answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Challenge {
    /// The object.
    #[n(0)]
    pub object: ObjectId,
    /// Which shard.
    #[n(1)]
    pub index: u8,
    /// The groups, ascending.
    #[cbor(n(2), decode_with = "bounded::values::<_, _, { GROUPS as u64 }>")]
    pub groups: Vec<u32>,
}

/// Why a proof is none.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Groups the shard does not have, or not in ascending order.
    #[error("the shard has {groups} groups of 16 KiB; the challenge asks for others")]
    NoSuchGroup {
        /// Groups it has.
        groups: u32,
    },
    /// The bytes at hand are not the shard.
    #[error("the shard is not what its hash says")]
    Wrong,
    /// The proof does not lead to the shard's hash.
    #[error("the proof does not hold")]
    Broken(#[source] bao_tree::io::DecodeError),
    /// Bytes after its end.
    #[error("{bytes} bytes follow the proof")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

impl Challenge {
    /// A challenge of `holder` about a shard of `length` bytes; the same seed makes the same.
    #[must_use]
    pub fn draw(object: ObjectId, index: u8, length: usize, holder: &PeerId, seed: &[u8; 32]) -> Self {
        let count = groups_of(length);
        let mut groups: Vec<u32> = (0..count).take(GROUPS).collect();
        let first = count.saturating_sub(u32::try_from(groups.len()).unwrap_or(u32::MAX));
        // A sample without replacement (Floyd): each further one is drawn from one more than before.
        for ((place, most), drawn) in (first..count).enumerate().zip(0_u32..) {
            let [a, b, c, d, e, f, g, h, ..] = hash::derive(
                "cosmic audit 1",
                &[seed, holder.as_bytes(), object.as_bytes(), &[index], &drawn.to_be_bytes()],
            );
            let number = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the upper half of the product is at most most"
            )]
            let group = ((number * (u128::from(most) + 1)) >> 64) as u32;
            let taken = groups.iter().take(place).any(|known| *known == group);
            if let Some(slot) = groups.get_mut(place) {
                *slot = if taken { most } else { group };
            }
        }
        groups.sort_unstable();
        Self { object, index, groups }
    }

    /// The proof of a holder that has the shard.
    ///
    /// # Errors
    /// [`ProofError::NoSuchGroup`], or [`ProofError::Wrong`] if `shard` does not have the hash: the holder found its own
    /// loss and should say so.
    pub fn prove(&self, shard: &[u8], expected: &Hash) -> Result<Vec<u8>, ProofError> {
        let ranges = self.ranges(shard.len())?;
        let outboard = PreOrderMemOutboard::create(shard, group());
        if outboard.root.as_bytes() != expected.as_bytes() {
            return Err(ProofError::Wrong);
        }
        let mut proof = Vec::with_capacity(GROUPS * (GROUP_BYTES + 1024));
        encode_ranges_validated(shard, &outboard, &ranges, &mut proof).map_err(|_error| ProofError::Wrong)?;
        Ok(proof)
    }

    /// Checks a proof against the hash and length that the manifest has for the shard.
    ///
    /// # Errors
    /// [`ProofError`] if it proves nothing.
    pub fn check(&self, proof: &[u8], expected: &Hash, length: usize) -> Result<(), ProofError> {
        let ranges = self.ranges(length)?;
        let tree = BaoTree::new(u64::try_from(length).unwrap_or(u64::MAX), group());
        let root = blake3::Hash::from_bytes(*expected.as_bytes());
        let mut rest = proof;
        for item in DecodeResponseIter::new(root, tree, &mut rest, &ranges) {
            item.map_err(ProofError::Broken)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(ProofError::TooLong { bytes: rest.len() }) }
    }

    fn ranges(&self, length: usize) -> Result<ChunkRanges, ProofError> {
        let groups = groups_of(length);
        let is_ascending = self.groups.is_sorted_by(|one, other| one < other);
        if self.groups.is_empty() || !is_ascending || self.groups.iter().any(|group| *group >= groups) {
            return Err(ProofError::NoSuchGroup { groups });
        }
        let range = |group: u32| {
            let first = u64::from(group) << GROUP_LOG;
            ChunkRanges::from(ChunkNum(first)..ChunkNum(first + (1 << GROUP_LOG)))
        };
        Ok(self.groups.iter().fold(ChunkRanges::empty(), |all, group| all | range(*group)))
    }
}

/// How many groups a shard of `length` bytes has; the last may be short.
#[must_use]
pub fn groups_of(length: usize) -> u32 {
    u32::try_from(length.div_ceil(GROUP_BYTES)).unwrap_or(u32::MAX)
}

const fn group() -> BlockSize {
    BlockSize::from_chunk_log(GROUP_LOG)
}

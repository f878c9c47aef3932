//! The first record of a space: its root key and its policy; the hash of its bytes names the space.

use cosmic_common::{
    hash,
    id::{ChannelId, SpaceId, WriterId},
    record::Record,
};
use minicbor::{Decode, Encode};

use crate::refusal::Refusal;

/// Regions a policy may name.
pub const REGIONS_MAX: usize = 16;
/// The longest name of a region.
pub const REGION_MAX_BYTES: usize = 32;

/// How many losses the objects of a space shall survive, beyond what the network's size decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Durability {
    /// What the network offers at its present size.
    #[default]
    #[n(0)]
    Standard,
    /// Less space, fewer losses survived (4 of 6 instead of 3 of 6).
    #[n(1)]
    Compact,
}

/// What the creator asks of those who store the space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Policy {
    /// Regions that may keep data of the space; empty means all.
    #[n(1)]
    pub regions: Vec<String>,
    /// How long replaced entries are kept, in seconds; `None` means for good.
    #[n(2)]
    pub retention_secs: Option<u64>,
    /// How many losses its objects shall survive.
    #[n(3)]
    pub durability: Durability,
}

/// The record whose hash is the space id; body of the second entry of the creator's membership log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Genesis {
    /// The creator's writer key, from which all rights flow.
    #[n(1)]
    pub root: WriterId,
    /// Random, so that one key can found many spaces.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// What the creator asks of those who store the space.
    #[n(3)]
    pub policy: Policy,
}

impl Record for Genesis {
    const NAME: &'static str = "genesis";
    const LIMIT: usize = 1024;
}

impl Genesis {
    /// The id of the space this record founds.
    #[must_use]
    pub fn space_id(&self) -> SpaceId {
        SpaceId::from_bytes(hash::derive("cosmic space 1", &[&self.to_bytes()]))
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let regions = &self.policy.regions;
        let named = regions.iter().all(|region| (1..=REGION_MAX_BYTES).contains(&region.len()));
        if regions.len() > REGIONS_MAX || !named {
            return Err(Refusal::OutOfBounds { record: Self::NAME, field: "regions" });
        }
        Ok(())
    }
}

/// The channel that holds the membership of `space`.
#[must_use]
pub fn membership_channel(space: &SpaceId) -> ChannelId {
    ChannelId::from_bytes(hash::derive("cosmic membership 1", &[space.as_bytes()]))
}

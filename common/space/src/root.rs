//! Roots: one hash over the heads of a channel, by which two replicas see that they hold the same.

use cosmic_common::{
    heads::Heads,
    id::{ChannelId, Hash, SpaceId},
};

use crate::genesis::membership_channel;

/// The root of `channel` at `heads`: equal if and only if the heads are.
#[must_use]
pub fn channel_root(channel: &ChannelId, heads: &Heads) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("cosmic root 1");
    hasher.update(channel.as_bytes());
    for (log, head) in heads {
        hasher.update(log.as_bytes());
        hasher.update(&head.seq.to_be_bytes());
        hasher.update(head.entry.as_bytes());
    }
    Hash::from_bytes(*hasher.finalize().as_bytes())
}

/// The root of the membership of `space` at `heads`.
#[must_use]
pub fn membership_root(space: &SpaceId, heads: &Heads) -> Hash {
    channel_root(&membership_channel(space), heads)
}

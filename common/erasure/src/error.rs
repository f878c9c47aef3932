//! What can be wrong with a codec, an object, a manifest or a shard.

use cosmic_common::limit::{OBJECT_MAX_BYTES, SHARDS_MAX};

use crate::codec::Codec;

/// Why something was not coded, rebuilt or believed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Numbers that make no code.
    #[error("{k} of {n} is no codec: k is 1 (copies) or less than n, and n at most {SHARDS_MAX}")]
    Codec {
        /// Shards that would suffice.
        k: u8,
        /// Shards in all.
        n: u8,
    },
    /// A codec id this build does not know.
    #[error("codec {id} is not known here; update CosmicSync")]
    UnknownCodec {
        /// The id in the manifest.
        id: u8,
    },
    /// A length no object has.
    #[error("an object has 1 to {OBJECT_MAX_BYTES} bytes, this one has {bytes}")]
    ObjectLength {
        /// Bytes it has.
        bytes: usize,
    },
    /// The manifest was made with another codec than the coder's.
    #[error("the manifest says {manifest}, but the coder is made for {coder}")]
    OtherCodec {
        /// The codec in the manifest.
        manifest: Codec,
        /// The codec of the coder.
        coder: Codec,
    },
    /// An index past the last shard.
    #[error("there is no shard {index} in {codec}")]
    NoSuchShard {
        /// The index asked for.
        index: usize,
        /// The codec of the object.
        codec: Codec,
    },
    /// A shard that is not the one its manifest names.
    #[error(
        "shard {index} is wrong: its {bytes} bytes do not have the hash in the manifest; take it from elsewhere and repair that holder"
    )]
    WrongShard {
        /// Which shard.
        index: u8,
        /// Bytes that came.
        bytes: usize,
    },
    /// Fewer right shards than suffice.
    #[error("{right} right shards, {needed} are needed; wrong ones: {wrong:?}")]
    TooFewShards {
        /// Shards that are right.
        right: usize,
        /// Shards that suffice.
        needed: usize,
        /// Indices of the wrong ones, which are no longer among the shards given.
        wrong: Vec<u8>,
    },
    /// Every shard is as the manifest says, but together they are another object.
    #[error("the manifest is forged: shards that match it are not the object it names")]
    ForgedManifest,
    /// The codec library refused.
    #[error("the codec refused its input")]
    Backend(#[from] reed_solomon_erasure::Error),
}

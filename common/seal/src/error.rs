//! Why something cannot be sealed or opened.

use cosmic_common::id::{EpochId, Hash};

/// Why something cannot be sealed or opened. Never tells a key or plaintext.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plain body is larger than an entry may carry.
    #[error("a body has at most {limit} plain bytes, this one has {found}; write it as an object")]
    BodyTooLong {
        /// Plain bytes of the body.
        found: usize,
        /// Plain bytes a body may have.
        limit: usize,
    },
    /// A sealed body has a length that no body has.
    #[error("a sealed body has {found} bytes, no body has; the entry is not from an honest writer")]
    SealedBodyLength {
        /// Sealed bytes that came.
        found: usize,
    },
    /// A body does not open: another epoch, another core, or damaged bytes.
    #[error("the body does not open under this epoch and core: wrong epoch secret or damaged bytes")]
    BodyRefused {
        /// What the cipher says.
        source: chacha20poly1305::Error,
    },
    /// A body opens, but its writer did not seal it as version 1 says.
    #[error("the body opens, but {reason}; its writer runs a faulty build")]
    BodyForm {
        /// What is not as it must be.
        reason: &'static str,
    },
    /// zstd could not be set up, or refuses the content of a body.
    #[error("zstd cannot {doing} (a body has at most {limit} plain bytes)")]
    Compression {
        /// What was tried.
        doing: &'static str,
        /// Plain bytes a body may have.
        limit: usize,
        /// What zstd says.
        source: std::io::Error,
    },
    /// A plain chunk is larger than an object can carry.
    #[error("a chunk has at most {limit} plain bytes, this one has {found}; cut the file smaller")]
    ChunkTooLong {
        /// Plain bytes of the chunk.
        found: usize,
        /// Plain bytes a chunk may have.
        limit: usize,
    },
    /// A sealed chunk has another length than its reference says.
    #[error("a chunk of {plain} plain bytes is not {found} bytes when sealed; fetch the object again")]
    ChunkLength {
        /// Sealed bytes that came.
        found: usize,
        /// Plain bytes the reference names.
        plain: u32,
    },
    /// A chunk does not open: another space, another chunk, or damaged bytes.
    #[error("the chunk does not open: it is of another space or damaged; fetch the object again")]
    ChunkRefused {
        /// What the cipher says.
        source: ring::error::Unspecified,
    },
    /// A chunk opens, but is not the content its reference names.
    #[error("the chunk opens, but is not the content that its reference names; its writer is faulty")]
    ChunkContent,
    /// Bytes are not a public key of X-Wing.
    #[error("{found} bytes that are not a public key of X-Wing (1,216 bytes)")]
    KemKey {
        /// Bytes that came.
        found: usize,
        /// What HPKE says.
        source: hpke::HpkeError,
    },
    /// An epoch secret could not be sealed to a recipient.
    #[error("no copy of epoch {epoch} could be sealed to the key {recipient}")]
    CopyNotSealed {
        /// The epoch to copy.
        epoch: EpochId,
        /// The hash of the recipient's public key.
        recipient: Hash,
        /// What HPKE says.
        source: hpke::HpkeError,
    },
    /// A copy is for another key than ours.
    #[error("the copy is for the key {recipient}, not for ours; look for a copy of our own")]
    CopyForAnother {
        /// The hash of the key it is for.
        recipient: Hash,
    },
    /// A copy is of another epoch than the record beside it.
    #[error("the copy is of epoch {copy}, the record of epoch {record}; give the two that belong together")]
    CopyOfAnotherEpoch {
        /// The epoch the copy names.
        copy: EpochId,
        /// The epoch of the record.
        record: EpochId,
    },
    /// A copy does not open: sealed for another space or epoch, or damaged.
    #[error("the copy of epoch {epoch} does not open with our key: damaged, or sealed for another space")]
    CopyRefused {
        /// The epoch the copy names.
        epoch: EpochId,
        /// What HPKE says.
        source: hpke::HpkeError,
    },
    /// A copy opens, but holds other secrets than the epoch commits to.
    #[error("the copy of epoch {epoch} holds other secrets than the epoch commits to; ask another member")]
    Commitment {
        /// The epoch the copy names.
        epoch: EpochId,
    },
}

//! What can be wrong with what a peer asks or signs.

use cosmic_common::{
    id::{OperatorId, PeerId},
    limit::OBJECT_MAX_BYTES,
    record::RecordError,
};
use cosmic_identity::signature::SignatureError;

use crate::quota::Ceiling;

/// Why something was not counted, kept or accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bulk bytes of a length no object has.
    #[error("{bytes} bulk bytes were announced; an object has 1 to {OBJECT_MAX_BYTES}")]
    BulkLength {
        /// Bytes that were announced.
        bytes: usize,
    },
    /// Bytes that are no receipt.
    #[error("a receipt could not be read")]
    Unreadable(#[from] RecordError),
    /// A receipt that its holder did not sign.
    #[error("the receipt of {} was not signed by it", holder.short())]
    Forged {
        /// Who should have signed.
        holder: PeerId,
        /// What the check found.
        source: SignatureError,
    },
    /// A receipt in somebody else's name.
    #[error("only {} can sign its receipts", holder.short())]
    AnothersReceipt {
        /// Whose name it bears.
        holder: PeerId,
    },
    /// Evidence that its auditor did not sign.
    #[error("the evidence of {} was not signed by it", auditor.short())]
    ForgedEvidence {
        /// Who should have signed.
        auditor: PeerId,
        /// What the check found.
        source: SignatureError,
    },
    /// Evidence in somebody else's name.
    #[error("only {} can sign its evidence", auditor.short())]
    AnothersEvidence {
        /// Whose name it bears.
        auditor: PeerId,
    },
    /// A removal or deletion that its author did not sign.
    #[error("the removal or deletion of {} was not signed by it", peer.short())]
    ForgedRemoval {
        /// Who should have signed.
        peer: PeerId,
        /// What the check found.
        source: SignatureError,
    },
    /// A removal or deletion in somebody else's name.
    #[error("only {} can sign its removals and deletions", peer.short())]
    AnothersRemoval {
        /// Whose name it bears.
        peer: PeerId,
    },
    /// A receipt of somebody who is no current member.
    #[error("{} is no current member of the ring", holder.short())]
    NotAMember {
        /// Who signed it.
        holder: PeerId,
    },
    /// A receipt for something else than what is counted.
    #[error("the receipt of {} is for something else", holder.short())]
    Foreign {
        /// Who signed it.
        holder: PeerId,
    },
    /// A receipt for bytes that are not the shard's.
    #[error("{} signed for a shard {index} that is not the object's", holder.short())]
    WrongShard {
        /// Who signed it.
        holder: PeerId,
        /// Which shard.
        index: u8,
    },
    /// A space would keep more than it may.
    #[error(
        "the space keeps {used} bytes of {ceiling} here and may keep {limit}; {bytes} more do not fit. Delete something, \
         or ask the operator for a larger quota"
    )]
    OverQuota {
        /// Which limit.
        ceiling: Ceiling,
        /// Bytes kept.
        used: u64,
        /// Bytes that were to come.
        bytes: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The spaces of a sponsor would keep more than they may together.
    #[error(
        "what operator {} has kept here is {used} bytes of {ceiling} and may be {limit}; {bytes} more do not fit. Delete \
         something, or ask the operator of this supernode for a larger quota",
        operator.short()
    )]
    OperatorOverQuota {
        /// The sponsor.
        operator: OperatorId,
        /// Which limit.
        ceiling: Ceiling,
        /// Bytes kept.
        used: u64,
        /// Bytes that were to come.
        bytes: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// A class of the network configuration that objects cannot be coded in.
    #[error("objects cannot be coded {k} of {n}, as the network's configuration says")]
    Class {
        /// Shards that should suffice.
        k: u8,
        /// Shards in all.
        n: u8,
        /// What the codec says.
        source: cosmic_erasure::Error,
    },
}

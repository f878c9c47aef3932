//! What can be wrong with what a peer asks or signs.

use cosmic_common::{id::PeerId, limit::OBJECT_MAX_BYTES, record::RecordError};
use cosmic_identity::signature::SignatureError;

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
}

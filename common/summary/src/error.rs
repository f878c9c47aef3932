//! Why a summary does not count.

use cosmic_common::{
    id::{NetworkId, PeerId},
    record::RecordError,
};
use cosmic_identity::signature::SignatureError;
use cosmic_ring::Label;

/// Why a summary does not count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the summary cannot be read")]
    Unreadable(#[from] RecordError),
    /// It is of another network.
    #[error("the summary is of network {}, not of this one", found.short())]
    OtherNetwork {
        /// The one it names.
        found: NetworkId,
    },
    /// Somebody brought another's summary.
    #[error("the summary is {}'s, and each brings its own", of.short())]
    Anothers {
        /// Whose it is.
        of: PeerId,
    },
    /// Who states it is no active member.
    #[error("{} is no active member of the network", .0.short())]
    NotAMember(PeerId),
    /// It came to somebody who does not merge it.
    #[error("{} is in region {region}, whose summaries are merged by others", of.short())]
    NotMine {
        /// Whose it is.
        of: PeerId,
        /// Where that one is.
        region: Label,
    },
    /// Its author is no aggregator of the region at that time.
    #[error("{} does not merge the summaries of region {region}", of.short())]
    NotAnAggregator {
        /// Who states it.
        of: PeerId,
        /// Of which region.
        region: Label,
    },
    /// Two parts that do not belong together.
    #[error("the table of zones of {} belongs to another summary", .0.short())]
    Mismatch(PeerId),
    /// It is too old, not newer than what is known, or from the future.
    #[error("the summary of {} is from another time", .0.short())]
    Stale(PeerId),
    /// A state that nobody can state of himself.
    #[error("{} states what only others can see", .0.short())]
    State(PeerId),
    /// Its author did not sign it.
    #[error("the summary of {} is not signed by it", of.short())]
    Forged {
        /// Whose it claims to be.
        of: PeerId,
        /// Why not.
        source: SignatureError,
    },
}

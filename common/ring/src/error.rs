//! What can be wrong with a configuration, a member record or a peer's messages.

use cosmic_common::{
    id::{NetworkId, OperatorId, PeerId},
    record::RecordError,
};
use cosmic_identity::signature::SignatureError;

use crate::{
    config::PARTITION_BITS_MAX, label::LABEL_MAX_BYTES, member::WEIGHT_MAX, members::MEMBERS_MAX,
    vouches::VOUCHES_MAX,
};

/// Why something was not believed or not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that are no record of ours.
    #[error("a record of the network cannot be read")]
    Record(#[from] RecordError),
    /// A configuration or member record of another network than the pinned one.
    #[error("this belongs to network {found}, not to {pinned}; check the network id you were given")]
    OtherNetwork {
        /// The network it belongs to.
        found: NetworkId,
        /// The network that is pinned here.
        pinned: NetworkId,
    },
    /// The peer does not know the network that is pinned here.
    #[error("the peer is not in network {pinned}; ask a bootstrap node of that network")]
    UnknownNetwork {
        /// The network that is pinned here.
        pinned: NetworkId,
    },
    /// The configuration was not signed by its network key.
    #[error("the network configuration is not signed by the network key")]
    ConfigSignature(#[source] SignatureError),
    /// A configuration outside its bounds.
    #[error("the network configuration is out of bounds: {0}")]
    ConfigBounds(&'static str),
    /// Partition bits that make no table.
    #[error("partition bits are 1 to {PARTITION_BITS_MAX}, not {0}")]
    PartitionBits(u8),
    /// A class that makes no sense.
    #[error("{k} of {n} from {members} members on is no class: 1 ≤ k < n ≤ 32 and n ≤ members, ascending")]
    Class {
        /// Members from which on it holds.
        members: u16,
        /// Shards that suffice.
        k: u8,
        /// Shards in all.
        n: u8,
    },
    /// The operator is not in the allow-list, or not vouched for by enough others.
    #[error(
        "operator {operator} is not admitted; the owner of the network key admits operators with `cosmic-bootstrap network admit`, and in a vouched network operators vouch for it with `cosmic-supernode operator vouch`"
    )]
    NotAdmitted {
        /// Who signed.
        operator: OperatorId,
    },
    /// The member record was not signed by its operator.
    #[error("the member record of {peer} is not signed by its operator")]
    MemberSignature {
        /// Whose record.
        peer: PeerId,
        /// What is wrong.
        source: SignatureError,
    },
    /// The member never agreed to be run by this operator.
    #[error("{peer} did not consent to its operator")]
    Consent {
        /// Whose record.
        peer: PeerId,
        /// What is wrong.
        source: SignatureError,
    },
    /// The endpoint was not signed by the peer it is about.
    #[error("the endpoint of {peer} is not signed by itself")]
    EndpointSignature {
        /// Whose endpoint.
        peer: PeerId,
        /// What is wrong.
        source: SignatureError,
    },
    /// The vouches were not signed by their operator.
    #[error("the vouches of operator {operator} are not signed by it")]
    VouchesSignature {
        /// Whose vouches.
        operator: OperatorId,
        /// What is wrong.
        source: SignatureError,
    },
    /// More vouches than an operator may give.
    #[error("an operator vouches for at most {VOUCHES_MAX} others, not for {found}; withdraw some first")]
    Vouches {
        /// How many there are.
        found: usize,
    },
    /// An endpoint of somebody who has no part in the network.
    #[error("{0} is neither a member nor a bootstrap node, so its addresses are not kept")]
    Stranger(PeerId),
    /// A weight outside its bounds.
    #[error("a weight is 1 to {WEIGHT_MAX}, not {0}")]
    Weight(u16),
    /// More addresses than a record may have.
    #[error("a record has at most {max} addresses, this one has {found}")]
    Addresses {
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: usize,
    },
    /// A text that cannot name a zone or region.
    #[error("a zone or region has 1 to {LABEL_MAX_BYTES} of the characters a-z, 0-9, - and .")]
    Label,
    /// As many members as there may be.
    #[error("there are {MEMBERS_MAX} member records already")]
    Full,
    /// A message that cannot come now; the connection should be closed.
    #[error("the peer sent {found} out of turn")]
    OutOfTurn {
        /// What came.
        found: &'static str,
    },
}

//! The network configuration: what everybody in a network agrees on, because its network key signed it.

use std::{cmp::Ordering, collections::BTreeSet, fmt};

use cosmic_common::{
    address::Address,
    hash,
    id::{Hash, NetworkId, OperatorId, PeerId},
    limit::ADDRESSES_MAX,
    record::Record,
};
use cosmic_identity::{
    key::SecretKey,
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{
    class::{ClassStep, check_steps},
    error::Error,
};

/// Operators one configuration may list, and ban.
pub const OPERATORS_MAX: usize = 1024;
/// Doors one configuration may list; a joiner needs one that answers.
pub const DOORS_MAX: usize = 16;
/// Classes one configuration may list; the table of `docs/storage.md` has four beyond copies.
pub const STEPS_MAX: usize = 8;
/// The partitions of a network that says nothing else: 4,096, enough for some 80 members (`docs/protocol/ring.md`).
pub const PARTITION_BITS: u8 = 12;
/// More would make a table of more than 65,536 lists.
pub const PARTITION_BITS_MAX: u8 = 16;

/// The public half of a network key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct NetworkKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

/// Whose member records count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Admission {
    /// Anybody's: for tests and sandboxes.
    #[n(0)]
    Open,
    /// Those of the operators listed.
    #[n(1)]
    AllowList,
    /// Those of the operators listed, who are the roots, and of whom trust flows to from them (`trust.rs`).
    #[n(2)]
    Vouched,
}

/// A bootstrap node: where a joiner may knock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Door {
    /// Who answers there.
    #[n(0)]
    pub peer: PeerId,
    /// Where.
    #[n(1)]
    pub addresses: Vec<Address>,
}

/// What everybody in a network agrees on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NetworkConfig {
    /// The key that signs configurations; its hash names the network.
    #[n(1)]
    pub key: NetworkKey,
    /// The higher version counts.
    #[n(2)]
    pub version: u64,
    /// Whose member records count.
    #[n(3)]
    pub admission: Admission,
    /// The operators that are admitted; the roots, if others are admitted by vouches.
    #[n(4)]
    pub operators: BTreeSet<OperatorId>,
    /// The key space has 2 to this power partitions.
    #[n(5)]
    pub partition_bits: u8,
    /// Classes by number of members; empty for [`crate::class::DEFAULT_STEPS`].
    #[n(6)]
    pub classes: Vec<ClassStep>,
    /// The bootstrap nodes.
    #[n(7)]
    pub doors: Vec<Door>,
    /// Operators that never count, whoever vouches for them.
    #[n(8)]
    #[cbor(skip_if = "BTreeSet::is_empty")]
    pub banned: BTreeSet<OperatorId>,
}

impl NetworkKey {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The network this key makes.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        NetworkId::from_bytes(hash::derive("cosmic network 1", &[&self.0]))
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKey(of {})", self.network().short())
    }
}

impl NetworkConfig {
    /// The first configuration of the network of `key`: an empty allow-list, no doors, defaults.
    #[must_use]
    pub fn new(key: &SecretKey) -> Self {
        Self {
            key: NetworkKey(key.public()),
            version: 1,
            admission: Admission::AllowList,
            operators: BTreeSet::new(),
            partition_bits: PARTITION_BITS,
            classes: Vec::new(),
            doors: Vec::new(),
            banned: BTreeSet::new(),
        }
    }

    /// The network it describes.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.key.network()
    }

    /// Whether member records of `operator` count by the configuration alone; vouches may admit others
    /// ([`crate::Members::admits`]).
    #[must_use]
    pub fn admits(&self, operator: &OperatorId) -> bool {
        (self.admission == Admission::Open || self.operators.contains(operator))
            && !self.banned.contains(operator)
    }

    /// Whether `peer` is one of the bootstrap nodes.
    #[must_use]
    pub fn is_door(&self, peer: &PeerId) -> bool {
        self.doors.iter().any(|door| door.peer == *peer)
    }

    /// Checks the bounds that the encoding leaves open.
    ///
    /// # Errors
    /// [`Error`] that names what is out of bounds.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=PARTITION_BITS_MAX).contains(&self.partition_bits) {
            return Err(Error::PartitionBits(self.partition_bits));
        }
        if self.operators.len() > OPERATORS_MAX {
            return Err(Error::ConfigBounds("at most 1,024 operators"));
        }
        if self.banned.len() > OPERATORS_MAX {
            return Err(Error::ConfigBounds("at most 1,024 banned operators"));
        }
        if self.doors.len() > DOORS_MAX {
            return Err(Error::ConfigBounds("at most 16 bootstrap nodes"));
        }
        if self.doors.iter().any(|door| !(1..=ADDRESSES_MAX).contains(&door.addresses.len())) {
            return Err(Error::ConfigBounds("1 to 16 addresses for each bootstrap node"));
        }
        if self.classes.len() > STEPS_MAX {
            return Err(Error::ConfigBounds("at most 8 classes"));
        }
        check_steps(&self.classes)
    }
}

/// Checks that `config` is one of `network`, signed by its key and within bounds.
///
/// # Errors
/// [`Error`] that says what is wrong.
pub fn verify(config: &Signed<NetworkConfig>, network: NetworkId) -> Result<&NetworkConfig, Error> {
    let found = config.unverified().network();
    if found != network {
        return Err(Error::OtherNetwork { found, pinned: network });
    }
    let key = config.unverified().key;
    let config = config.verify(key.as_bytes()).map_err(Error::ConfigSignature)?;
    config.check()?;
    Ok(config)
}

/// Which of two configurations of one network counts: the higher version, and of one version signed twice the one with the greater hash.
#[must_use]
pub fn compare(one: &Signed<NetworkConfig>, other: &Signed<NetworkConfig>) -> Ordering {
    let rank = |config: &Signed<NetworkConfig>| (config.unverified().version, mark(config));
    rank(one).cmp(&rank(other))
}

/// The hash that tells two signed configurations apart.
pub(crate) fn mark(config: &Signed<NetworkConfig>) -> Hash {
    hash::plain(&config.to_bytes())
}

impl Record for NetworkConfig {
    const NAME: &'static str = "network configuration";
    // 1,024 operators and as many banned ones of 34 bytes, and 16 doors of 16 addresses of 259 bytes.
    const LIMIT: usize = 160 * 1024;
}

impl SignedRecord for NetworkConfig {
    const DOMAIN: Domain = Domain::new("cosmic/network-config/1");
}

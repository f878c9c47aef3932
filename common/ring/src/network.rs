//! `/cosmic/network/1`: a joiner knows the network's id and asks anybody for the rest.

use cosmic_common::{
    id::NetworkId,
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use cosmic_identity::signed::Signed;
use minicbor::{Decode, Encode};

use crate::{
    config::{Admission, NetworkConfig},
    error::Error,
    label::Label,
    list,
    member::Member,
    members::Members,
    newcomers,
};

/// Members one answer names: enough for one of them to be there.
pub const SAMPLE: usize = 32;

/// What a joiner asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NetworkRequest {
    /// The network it was told to join.
    #[n(1)]
    pub network: NetworkId,
    /// Where it stands, if it knows; who is older answers as if it did not.
    #[n(64)]
    pub region: Option<Label>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum NetworkAnswer {
    /// The network is not the one asked about.
    #[n(0)]
    OtherNetwork,
    /// This is the network.
    #[n(1)]
    Network {
        /// The encoded signed configuration.
        #[cbor(n(0), with = "minicbor::bytes")]
        config: Vec<u8>,
        /// Encoded signed records of some active members, at most [`SAMPLE`].
        #[cbor(n(1), with = "list")]
        members: Vec<Vec<u8>>,
    },
}

impl NetworkAnswer {
    /// The answer of somebody who knows `members`; `seed` chooses which of them it names.
    #[must_use]
    pub fn to(request: &NetworkRequest, members: &Members, seed: &[u8; 32]) -> Self {
        if request.network != members.network() {
            return Self::OtherNetwork;
        }
        Self::Network {
            config: members.signed_config().to_bytes(),
            members: newcomers::choose(members, request.region.as_ref(), SAMPLE, seed)
                .into_iter()
                .map(Signed::to_bytes)
                .collect(),
        }
    }

    /// What the answer tells about `network`, everything verified.
    ///
    /// # Errors
    /// [`Error`] if the peer knows another network, or anything in its answer is not valid.
    pub fn open(&self, network: NetworkId) -> Result<Members, Error> {
        let Self::Network { config, members } = self else {
            return Err(Error::UnknownNetwork { pinned: network });
        };
        let mut known = Members::new(Signed::<NetworkConfig>::from_bytes(config)?, network)?;
        for record in members.iter().take(SAMPLE) {
            match known.insert(Signed::<Member>::from_bytes(record)?) {
                // By whom its operator is vouched for is told by the exchange that follows.
                Err(Error::NotAdmitted { .. }) if known.config().admission == Admission::Vouched => {}
                inserted => drop(inserted?),
            }
        }
        Ok(known)
    }
}

impl Record for NetworkRequest {
    const NAME: &'static str = "network request";
    // An id, and a region of at most 32 bytes.
    const LIMIT: usize = 96;
}

impl Record for NetworkAnswer {
    const NAME: &'static str = "network answer";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

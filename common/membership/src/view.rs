//! The ring as it is known now, whole and unchanging, for everybody who has to decide by it.

use std::{collections::BTreeMap, sync::Arc};

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
    limit::ADDRESSES_MAX,
};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Atlas, Members, NetworkConfig};

/// What is known of the network at one moment, everything verified.
#[derive(Debug, Clone)]
pub struct RingView {
    /// The configuration that counts.
    pub config: Signed<NetworkConfig>,
    /// All member records.
    pub members: Members,
    /// Where things belong.
    pub atlas: Arc<Atlas>,
    /// Where members and bootstrap nodes may be reached; nobody without a known address.
    pub endpoints: BTreeMap<PeerId, Vec<Address>>,
}

impl RingView {
    /// The view of `members`; the atlas of `before` serves again if it still holds.
    pub(crate) fn of(members: &Members, before: Option<&Self>) -> Self {
        let same = before.filter(|before| {
            before.members.digest() == members.digest() && before.config == *members.signed_config()
        });
        Self {
            config: members.signed_config().clone(),
            members: members.clone(),
            atlas: same.map_or_else(|| Arc::new(Atlas::build(members)), |before| Arc::clone(&before.atlas)),
            endpoints: endpoints(members),
        }
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.members.network()
    }

    /// Where `peer` may be reached.
    #[must_use]
    pub fn addresses_of(&self, peer: &PeerId) -> &[Address] {
        self.endpoints.get(peer).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The addresses to tell others: loopback means something to them only if there is nothing else, since then all run on
/// one machine.
#[must_use]
pub fn presentable(mut addresses: Vec<Address>) -> Vec<Address> {
    let is_loopback = |address: &Address| {
        let text = address.as_str();
        text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
    };
    if !addresses.iter().all(is_loopback) {
        addresses.retain(|address| !is_loopback(address));
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// What the process itself says comes before what its operator or the configuration says.
fn endpoints(members: &Members) -> BTreeMap<PeerId, Vec<Address>> {
    let doors = members.config().doors.iter().map(|door| (door.peer, &door.addresses));
    let records = members.active().map(|member| (member.peer, &member.addresses));
    let said = members.endpoints().map(|endpoint| endpoint.unverified());
    let said = said.map(|endpoint| (endpoint.peer, &endpoint.addresses));
    let mut endpoints = BTreeMap::new();
    for (peer, addresses) in doors.chain(records).chain(said) {
        let dialable: Vec<Address> =
            addresses.iter().filter(|address| !has_no_port(address)).cloned().collect();
        if !dialable.is_empty() {
            endpoints.insert(peer, dialable);
        }
    }
    endpoints
}

/// Port 0 means: any free one, told once it runs.
fn has_no_port(address: &Address) -> bool {
    let parts: Vec<&str> = address.as_str().split('/').collect();
    parts.windows(2).any(|pair| matches!(pair, ["tcp" | "udp", "0"]))
}

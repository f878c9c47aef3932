//! Stream protocols: the names two peers agree on before they speak (`docs/protocol/net.md`).

use std::fmt;

/// The name of a stream protocol, `/cosmic/<what>/<version>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol {
    name: &'static str,
    bulk: bool,
}

impl Protocol {
    /// The protocol of exactly this name, which starts with `/`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(matches!(name.as_bytes(), [b'/', ..]), "a protocol's name starts with /");
        Self { name, bulk: false }
    }

    /// Such a protocol whose streams move objects or shards: it travels by the bulk plane where there is one.
    #[must_use]
    pub const fn bulk(name: &'static str) -> Self {
        Self { bulk: true, ..Self::new(name) }
    }

    /// Whether its streams move objects or shards.
    #[must_use]
    pub const fn is_bulk(self) -> bool {
        self.bulk
    }

    /// The name as it stands on the wire and in session proofs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Anyone to a bootstrap node or supernode: the signed network configuration and first peers.
pub const NETWORK: Protocol = Protocol::new("/cosmic/network/1");
/// Any two peers: member records of the ring, by digests.
pub const RING: Protocol = Protocol::new("/cosmic/ring/1");
/// Device to gateway or device to device: one session on one space.
pub const SPACE: Protocol = Protocol::new("/cosmic/space/1");
/// Anyone to a supernode: how loaded it is as a gateway, and where else to go.
pub const GATEWAY: Protocol = Protocol::new("/cosmic/gateway/1");
/// Device to gateway, and gateway to replica: where the devices of a space are.
pub const MEETING: Protocol = Protocol::new("/cosmic/meeting/1");
/// Device to gateway: credentials of the relay for browsers.
pub const TURN: Protocol = Protocol::new("/cosmic/turn/1");
/// Supernode to supernode: entries of the spaces both keep.
pub const REPLICA: Protocol = Protocol::new("/cosmic/replica/1");
/// Device to gateway: sealed chunks in and out.
pub const OBJECT: Protocol = Protocol::bulk("/cosmic/object/1");
/// Supernode to supernode: shards, manifests and placements.
pub const SHARD: Protocol = Protocol::bulk("/cosmic/shard/1");
/// Device to supernode or bootstrap node: whether others reach it from outside.
pub const REACH: Protocol = Protocol::new("/cosmic/reach/1");
/// Anyone to a bootstrap node or supernode: what the directory has under a key, or is to keep there, and who is near.
pub const DIRECTORY: Protocol = Protocol::new("/cosmic/directory/1");
/// Any two peers: where the bulk plane of the other one is, and for how long it may be used.
pub const BULK: Protocol = Protocol::new("/cosmic/bulk/1");

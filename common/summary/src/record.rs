//! What is signed: the summary of a member, of a region, and of its zones.

use cosmic_common::{
    id::{NetworkId, PeerId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{
    signature::{Domain, SignatureError},
    signed::{Signed, SignedRecord},
};
use cosmic_ring::Label;
use minicbor::{Decode, Decoder, Encode, decode};

use crate::{
    devices::DeviceSketch,
    error::Error,
    figures::{Figures, MemberState, States},
    latency::LatencySketch,
};

/// The largest summary, with its signature.
pub const SUMMARY_MAX_BYTES: usize = 8 * 1024;
/// Bytes of a signature and what binds it to a record.
const SIGNATURE_BYTES: usize = 96;
/// Zones a table may list: those with the most members.
pub const ZONES_MAX: usize = 60;

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MemberSummary {
    /// The network.
    #[n(1)]
    pub network: NetworkId,
    /// The member, who signs.
    #[n(2)]
    pub peer: PeerId,
    /// When, by its clock.
    #[n(3)]
    pub time: Timestamp,
    /// How it is: the first three only.
    #[n(4)]
    pub state: MemberState,
    /// Its numbers.
    #[n(5)]
    pub figures: Figures,
    /// Its devices, by their pseudonyms of the day of `time`.
    #[n(6)]
    pub devices: DeviceSketch,
    /// How long its devices waited, lately.
    #[n(7)]
    pub latency: LatencySketch,
}

/// What an aggregator says of its region.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RegionSummary {
    /// The network.
    #[n(1)]
    pub network: NetworkId,
    /// The region.
    #[n(2)]
    pub region: Label,
    /// Who merged it, and signs.
    #[n(3)]
    pub aggregator: PeerId,
    /// When, by its clock.
    #[n(4)]
    pub time: Timestamp,
    /// How the members of the region are.
    #[n(5)]
    pub states: States,
    /// Their numbers; each device counts once.
    #[n(6)]
    pub figures: Figures,
    /// Their devices; absent if the sketches do not merge into one of the allowed size.
    #[n(7)]
    pub devices: Option<DeviceSketch>,
    /// How long devices usually waited.
    #[n(8)]
    pub latency: LatencySketch,
}

/// What the same aggregator says of the zones.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ZoneTable {
    /// The network.
    #[n(1)]
    pub network: NetworkId,
    /// The region.
    #[n(2)]
    pub region: Label,
    /// Who merged it, and signs.
    #[n(3)]
    pub aggregator: PeerId,
    /// The time of the region's summary.
    #[n(4)]
    pub time: Timestamp,
    /// The zones, in the order of their names.
    #[n(5)]
    #[cbor(decode_with = "lines")]
    pub zones: Vec<ZoneLine>,
    /// Further zones, with fewer members than these.
    #[n(6)]
    pub left_off: u32,
}

/// One zone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ZoneLine {
    /// Its name.
    #[n(0)]
    pub zone: Label,
    /// How its members are.
    #[n(1)]
    pub states: States,
    /// Their numbers.
    #[n(2)]
    pub figures: Figures,
}

fn lines<C>(d: &mut Decoder<'_>, context: &mut C) -> Result<Vec<ZoneLine>, decode::Error> {
    let position = d.position();
    let count = d
        .array()?
        .filter(|count| *count <= ZONES_MAX as u64)
        .ok_or_else(|| decode::Error::message("more zones than allowed").at(position))?;
    (0..count).map(|_zone| d.decode_with(context)).collect()
}

/// Something of a network that somebody signs.
pub(crate) trait Stated: SignedRecord {
    /// The network it is about.
    fn network(&self) -> NetworkId;
    /// Who signs it.
    fn author(&self) -> PeerId;
}

/// The record, if its author signed it about `network`.
pub(crate) fn open<T: Stated>(signed: &Signed<T>, network: NetworkId) -> Result<&T, Error> {
    let stated = signed.unverified();
    if stated.network() != network {
        return Err(Error::OtherNetwork { found: stated.network() });
    }
    let of = stated.author();
    signed.verify(of.as_bytes()).map_err(|source: SignatureError| Error::Forged { of, source })
}

impl Stated for MemberSummary {
    fn network(&self) -> NetworkId {
        self.network
    }

    fn author(&self) -> PeerId {
        self.peer
    }
}

impl Stated for RegionSummary {
    fn network(&self) -> NetworkId {
        self.network
    }

    fn author(&self) -> PeerId {
        self.aggregator
    }
}

impl Stated for ZoneTable {
    fn network(&self) -> NetworkId {
        self.network
    }

    fn author(&self) -> PeerId {
        self.aggregator
    }
}

impl Record for MemberSummary {
    const NAME: &'static str = "member summary";
    const LIMIT: usize = SUMMARY_MAX_BYTES - SIGNATURE_BYTES;
}

impl Record for RegionSummary {
    const NAME: &'static str = "region summary";
    const LIMIT: usize = SUMMARY_MAX_BYTES - SIGNATURE_BYTES;
}

impl Record for ZoneTable {
    const NAME: &'static str = "zone table";
    const LIMIT: usize = SUMMARY_MAX_BYTES - SIGNATURE_BYTES;
}

impl SignedRecord for MemberSummary {
    const DOMAIN: Domain = Domain::new("cosmic/member-summary/1");
}

impl SignedRecord for RegionSummary {
    const DOMAIN: Domain = Domain::new("cosmic/region-summary/1");
}

impl SignedRecord for ZoneTable {
    const DOMAIN: Domain = Domain::new("cosmic/zone-table/1");
}

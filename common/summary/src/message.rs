//! `/cosmic/summary/1`: members tell their aggregators, and anybody of the network asks them what they gathered.

use cosmic_common::{
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use cosmic_ring::Label;
use minicbor::{Decode, Decoder, Encode, decode};

use crate::{error::Error, record::SUMMARY_MAX_BYTES};

/// The name of the protocol.
pub const PROTOCOL: &str = "/cosmic/summary/1";
/// Words of aggregators in one answer: 16 regions of three, 16 KiB each.
pub const GATHERED_MAX: usize = 48;

/// What a member asks of another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SummaryRequest {
    /// This is my summary: a signed [`MemberSummary`](crate::MemberSummary).
    #[n(0)]
    Tell(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// What do you know of this region?
    #[n(1)]
    Region(#[n(0)] Label),
    /// What do you know of all regions whose names come after this one?
    #[n(2)]
    Regions {
        /// None to begin with.
        #[n(0)]
        after: Option<Label>,
    },
}

/// What the other one answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SummaryAnswer {
    /// To `Tell`.
    #[n(0)]
    Noted,
    /// To `Region` and `Regions`.
    #[n(1)]
    Gathered {
        /// Words of aggregators, all there are on each region.
        #[cbor(n(0), decode_with = "gathered")]
        told: Vec<Gathered>,
        /// Whether there is more after the last of these regions.
        #[n(1)]
        more: bool,
    },
    /// To anything.
    #[n(2)]
    Refused(#[n(0)] Why),
}

/// The word of one aggregator, as it signed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Gathered {
    /// The signed [`RegionSummary`](crate::RegionSummary).
    #[cbor(n(0), with = "minicbor::bytes")]
    pub region: Vec<u8>,
    /// The signed [`ZoneTable`](crate::ZoneTable).
    #[cbor(n(1), with = "minicbor::bytes")]
    pub zones: Vec<u8>,
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Why {
    /// The bytes are no request, or no summary.
    #[n(0)]
    Malformed,
    /// Who asks is no active member of the network.
    #[n(1)]
    NotAMember,
    /// The region is merged by others.
    #[n(2)]
    NotMine,
    /// Too old, or from the future.
    #[n(3)]
    Stale,
    /// Not signed by whom it names, or not his to bring.
    #[n(4)]
    Forged,
}

impl Why {
    /// What it means, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "it cannot be read",
            Self::NotAMember => "only active members of the network take part",
            Self::NotMine => "the region is merged by others",
            Self::Stale => "it is too old, or from the future: compare the clocks",
            Self::Forged => "it is not signed by whom it names",
        }
    }
}

impl From<&Error> for Why {
    fn from(error: &Error) -> Self {
        match error {
            Error::Unreadable(_) | Error::State(_) | Error::Mismatch(_) => Self::Malformed,
            Error::NotAMember(_) | Error::OtherNetwork { .. } => Self::NotAMember,
            Error::NotMine { .. } | Error::NotAnAggregator { .. } => Self::NotMine,
            Error::Stale(_) => Self::Stale,
            Error::Anothers { .. } | Error::Forged { .. } => Self::Forged,
        }
    }
}

fn gathered<C>(d: &mut Decoder<'_>, context: &mut C) -> Result<Vec<Gathered>, decode::Error> {
    let position = d.position();
    let count = d
        .array()?
        .filter(|count| *count <= GATHERED_MAX as u64)
        .ok_or_else(|| decode::Error::message("more summaries than allowed").at(position))?;
    (0..count).map(|_word| d.decode_with(context)).collect()
}

impl Record for SummaryRequest {
    const NAME: &'static str = "summary request";
    const LIMIT: usize = SUMMARY_MAX_BYTES + 64;
    const SHAPE: Shape = Shape::Value;
}

impl Record for SummaryAnswer {
    const NAME: &'static str = "summary answer";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}

//! Cards: where a device of a space is, for the other members alone.

use cosmic_common::{
    address::Address, id::PeerId, limit::ADDRESS_MAX_BYTES, record::Record, time::Timestamp,
};
use minicbor::{Decode, Encode};

/// Addresses a card names.
pub const CARD_ADDRESSES_MAX: usize = 8;

/// Where a device is. Sealed before it leaves the device, and believed by members alone: a wrong one costs a dial, since a
/// session needs a proof.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Card {
    /// The device.
    #[n(1)]
    pub peer: PeerId,
    /// Where it may be reached, the best first.
    #[n(2)]
    pub addresses: Vec<Address>,
    /// When it said so.
    #[n(3)]
    pub stated: Timestamp,
}

impl Record for Card {
    const NAME: &'static str = "card";
    const LIMIT: usize = 64 + CARD_ADDRESSES_MAX * (ADDRESS_MAX_BYTES + 3);
}

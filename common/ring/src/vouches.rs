//! Vouches: the operators an operator trusts to run supernodes, signed by it as one list.
//!
//! One list and not a record for each: a newer list withdraws whatever it does not name, and nothing is left behind.

use std::collections::BTreeSet;

use cosmic_common::{
    hash,
    id::{NetworkId, OperatorId},
    record::Record,
};
use cosmic_identity::{
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{endpoint::Edition, error::Error};

/// Operators one operator may vouch for; what a rank needs is reckoned for as many (`trust.rs`).
pub const VOUCHES_MAX: usize = 16;

/// Whom an operator vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Vouches {
    /// The network in which it does.
    #[n(1)]
    pub network: NetworkId,
    /// Who vouches and signs this.
    #[n(2)]
    pub operator: OperatorId,
    /// Unix milliseconds, or any number that grows: of one operator's lists the latest counts.
    #[n(3)]
    pub sequence: u64,
    /// For whom; at most [`VOUCHES_MAX`].
    #[n(4)]
    pub operators: BTreeSet<OperatorId>,
}

impl Vouches {
    /// Checks the bounds that the encoding leaves open.
    ///
    /// # Errors
    /// [`Error::Vouches`] if there are too many.
    pub fn check(&self) -> Result<(), Error> {
        let found = self.operators.len();
        if found > VOUCHES_MAX { Err(Error::Vouches { found }) } else { Ok(()) }
    }
}

/// Checks bounds and the operator's signature; not whether that operator's word counts.
///
/// # Errors
/// [`Error`] that says what is wrong.
pub fn verify_vouches(record: &Signed<Vouches>, network: NetworkId) -> Result<&Vouches, Error> {
    let claimed = record.unverified();
    if claimed.network != network {
        return Err(Error::OtherNetwork { found: claimed.network, pinned: network });
    }
    claimed.check()?;
    let operator = claimed.operator;
    record.verify(operator.as_bytes()).map_err(|source| Error::VouchesSignature { operator, source })
}

/// The place of `record` among all of its operator.
pub(crate) fn edition(record: &Signed<Vouches>) -> Edition {
    Edition { sequence: record.unverified().sequence, hash: hash::plain(&record.to_bytes()) }
}

impl Record for Vouches {
    const NAME: &'static str = "vouches";
    // 16 operators and two ids of 34 bytes, a number, a signature.
    const LIMIT: usize = 1024;
}

impl SignedRecord for Vouches {
    const DOMAIN: Domain = Domain::new("cosmic/vouches/1");
}

//! Member records: what an operator signs about one of its supernodes, and that supernode's consent.

use cosmic_common::{
    address::Address,
    hash,
    id::{Hash, Incarnation, NetworkId, OperatorId, PeerId},
    limit::ADDRESSES_MAX,
    record::Record,
};
use cosmic_identity::{
    key::SecretKey,
    signature::{Domain, Signature, verify},
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{error::Error, label::Label, members::Version};

/// The largest weight: a member takes at most this many times what one of weight 1 takes.
pub const WEIGHT_MAX: u16 = 64;

/// What a consent's signature is about; the signed bytes are network ‖ operator ‖ term as 8 bytes, big-endian.
const CONSENT: Domain = Domain::new("cosmic/member-consent/1");

/// Whether a supernode is part of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum State {
    /// It keeps what belongs to it.
    #[n(0)]
    Active,
    /// It left; what it kept was moved.
    #[n(1)]
    Retired,
    /// It is gone for good, with what it kept.
    #[n(2)]
    Lost,
}

/// A supernode's word that it is run by an operator. Without it, any operator could speak for any supernode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Consent {
    /// When it chose its operator, as Unix milliseconds or any number that grows: its latest choice counts.
    #[n(0)]
    pub term: u64,
    /// The supernode's signature.
    #[n(1)]
    pub signature: Signature,
}

/// What an operator says about one supernode.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Member {
    /// The network it belongs to.
    #[n(1)]
    pub network: NetworkId,
    /// Who runs it and signs this.
    #[n(2)]
    pub operator: OperatorId,
    /// The supernode.
    #[n(3)]
    pub peer: PeerId,
    /// Its consent to being run by this operator.
    #[n(4)]
    pub consent: Consent,
    /// The number of this record; of one operator's records about one peer the highest counts.
    #[n(5)]
    pub sequence: u64,
    /// Whether it is part of the ring.
    #[n(6)]
    pub state: State,
    /// How much it takes, against others.
    #[n(7)]
    pub weight: u16,
    /// What may fail as one: a house, a provider, a rack.
    #[n(8)]
    pub zone: Label,
    /// Where it is, for rules about places.
    #[n(9)]
    pub region: Label,
    /// Where it may be reached.
    #[n(10)]
    pub addresses: Vec<Address>,
    /// The life of its data, if the operator says it.
    #[n(11)]
    pub incarnation: Option<Incarnation>,
}

impl Consent {
    /// The word of the supernode with the key `peer` that `operator` runs it in `network` from `term` on.
    #[must_use]
    pub fn give(peer: &SecretKey, network: NetworkId, operator: OperatorId, term: u64) -> Self {
        Self { term, signature: peer.sign(CONSENT, &consent_bytes(network, operator, term)) }
    }
}

impl Member {
    /// Checks the bounds that the encoding leaves open.
    ///
    /// # Errors
    /// [`Error`] that names what is out of bounds.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=WEIGHT_MAX).contains(&self.weight) {
            return Err(Error::Weight(self.weight));
        }
        if self.addresses.len() > ADDRESSES_MAX {
            return Err(Error::Addresses { found: self.addresses.len(), max: ADDRESSES_MAX });
        }
        Ok(())
    }
}

/// Checks bounds, the consent and the operator's signature; not whether that operator is admitted.
///
/// # Errors
/// [`Error`] that says what is wrong.
pub fn verify_member(record: &Signed<Member>, network: NetworkId) -> Result<&Member, Error> {
    let claimed = record.unverified();
    let peer = claimed.peer;
    if claimed.network != network {
        return Err(Error::OtherNetwork { found: claimed.network, pinned: network });
    }
    claimed.check()?;
    let consent = consent_bytes(network, claimed.operator, claimed.consent.term);
    verify(peer.as_bytes(), CONSENT, &consent, &claimed.consent.signature)
        .map_err(|source| Error::Consent { peer, source })?;
    record.verify(claimed.operator.as_bytes()).map_err(|source| Error::MemberSignature { peer, source })
}

/// The place of a record among all about the same peer.
pub(crate) fn version(record: &Signed<Member>) -> Version {
    let Member { consent, sequence, .. } = record.unverified();
    Version { term: consent.term, sequence: *sequence, hash: mark(record) }
}

fn mark(record: &Signed<Member>) -> Hash {
    hash::plain(&record.to_bytes())
}

fn consent_bytes(network: NetworkId, operator: OperatorId, term: u64) -> Vec<u8> {
    [network.as_bytes().as_slice(), operator.as_bytes(), &term.to_be_bytes()].concat()
}

impl Record for Member {
    const NAME: &'static str = "member record";
    // 16 addresses of 259 bytes, two labels of 34, ids, signature and numbers.
    const LIMIT: usize = 5 * 1024;
}

impl SignedRecord for Member {
    const DOMAIN: Domain = Domain::new("cosmic/member/1");
}

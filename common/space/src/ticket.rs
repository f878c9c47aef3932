//! Tickets: an invitation to a space as one string, a bearer secret.

use std::{fmt, str::FromStr};

use cosmic_common::{
    address::Address,
    hash,
    id::{PeerId, SpaceId, base32},
    limit::{ADDRESS_MAX_BYTES, ADDRESSES_MAX},
    record::{Record, RecordError},
};
use cosmic_identity::key::SecretKey;
use minicbor::{Decode, Encode};
use zeroize::{Zeroize, Zeroizing};

/// What every ticket starts with: the name and the version of the text form.
const PREFIX: &str = "cosmic1";
/// A mistyped ticket passes unnoticed once in four billion times.
const CHECKSUM_BYTES: usize = 4;
/// Peers a ticket may name.
pub const TICKET_PEERS_MAX: usize = 4;

/// An invitation: whoever holds it can join, until the delegation to its key expires or is revoked.
#[derive(PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ticket {
    #[n(1)]
    space: SpaceId,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    seed: [u8; 32],
    #[n(3)]
    peers: Vec<(PeerId, Vec<Address>)>,
}

impl Record for Ticket {
    const NAME: &'static str = "ticket";
    const LIMIT: usize = 128 + TICKET_PEERS_MAX * (40 + ADDRESSES_MAX * (ADDRESS_MAX_BYTES + 3));
}

/// Why a text is not a ticket. Never repeats the text, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// It does not start as tickets do.
    #[error("a ticket starts with {PREFIX}; was it copied in full?")]
    Prefix,
    /// It holds a character outside a–z and 2–7, or is cut in the middle of one.
    #[error("after {PREFIX} a ticket holds only the characters a-z and 2-7; was it copied in full?")]
    Alphabet,
    /// Characters are missing or wrong.
    #[error("the ticket is mistyped or incomplete; copy it again")]
    Checksum,
    /// The content is malformed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// More peers or addresses than allowed.
    #[error("a ticket names at most {TICKET_PEERS_MAX} peers of {ADDRESSES_MAX} addresses each")]
    TooManyPeers,
}

impl Ticket {
    /// An invitation to `space` whose keys follow from `seed`, which must be random and used once.
    ///
    /// # Errors
    /// [`TicketError::TooManyPeers`] if `peers` or the addresses of one of them are too many.
    pub fn new(
        space: SpaceId,
        seed: &[u8; 32],
        peers: Vec<(PeerId, Vec<Address>)>,
    ) -> Result<Self, TicketError> {
        let ticket = Self { space, seed: *seed, peers };
        ticket.check()?;
        Ok(ticket)
    }

    /// The space it invites to.
    #[must_use]
    pub const fn space(&self) -> SpaceId {
        self.space
    }

    /// Where the space may be found.
    #[must_use]
    pub fn peers(&self) -> &[(PeerId, Vec<Address>)] {
        &self.peers
    }

    /// The key the ticket's delegation was made to.
    #[must_use]
    pub fn signing_key(&self) -> SecretKey {
        SecretKey::from_seed(&Zeroizing::new(hash::derive("cosmic ticket key 1", &[&self.seed])))
    }

    /// The seed of the key-agreement key to which the space's secrets are sealed for the ticket.
    #[must_use]
    pub fn kem_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hash::derive("cosmic ticket kem 1", &[&self.seed]))
    }

    /// The ticket as one string, short enough for a QR code.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.to_bytes());
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let mut text = Zeroizing::new(String::from(PREFIX));
        base32().encode_append(&bytes, &mut text);
        text
    }

    fn check(&self) -> Result<(), TicketError> {
        let within = self.peers.len() <= TICKET_PEERS_MAX
            && self.peers.iter().all(|(_, addresses)| addresses.len() <= ADDRESSES_MAX);
        if within { Ok(()) } else { Err(TicketError::TooManyPeers) }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = hash::derive("cosmic ticket checksum 1", &[bytes]);
    [a, b, c, d]
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket; spaces around it and upper case (as in small QR codes) do not matter.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let limit = PREFIX.len() + (Self::LIMIT + CHECKSUM_BYTES) * 2;
        if text.len() > limit {
            return Err(TicketError::Checksum);
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let encoded = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        let bytes = base32().decode(encoded.as_bytes()).map_err(|_error| TicketError::Alphabet)?;
        let bytes = Zeroizing::new(bytes);
        let (record, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Checksum)?;
        if checksum(record) != *sum {
            return Err(TicketError::Checksum);
        }
        let ticket = Self::from_bytes(record)?;
        ticket.check()?;
        Ok(ticket)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("space", &self.space)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

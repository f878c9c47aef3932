//! Delegations: rights passed from one key to another, never more than the giver has.

use cosmic_common::{
    id::{EntryId, Hash, SpaceId, WriterId},
    record::Record,
    time::Timestamp,
};
use minicbor::{Decode, Encode};

use crate::{
    refusal::Refusal,
    rights::{CHANNELS_MAX, Channels, Right, Rights},
};

/// Who bears the audience's secret key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Bearer {
    /// One device.
    #[n(0)]
    Member,
    /// Whoever has a ticket. Such a key passes its rights on to the keys of members, and for itself
    /// only reads.
    #[n(1)]
    Ticket,
}

/// Limits a peer puts on sessions and on what it takes in. They never decide whether an entry
/// counts, because replicas would then disagree with their clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Caveats {
    /// No session from then on; for a ticket: no redemption from then on.
    #[n(1)]
    pub expires: Option<Timestamp>,
    /// At most this many bytes of entries and objects.
    #[n(2)]
    pub max_bytes: Option<u64>,
}

impl Caveats {
    /// The tighter of both, limit by limit.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        Self {
            expires: least(self.expires, other.expires),
            max_bytes: least(self.max_bytes, other.max_bytes),
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

/// Rights given to a key. Named by the id of the entry that carries it; given by that entry's writer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Delegation {
    /// The space.
    #[n(1)]
    pub space: SpaceId,
    /// What the audience may do.
    #[n(2)]
    pub rights: Rights,
    /// Where.
    #[n(3)]
    pub channels: Channels,
    /// The key that is given the rights.
    #[n(4)]
    pub audience: WriterId,
    /// Who bears the audience's secret key.
    #[n(5)]
    pub bearer: Bearer,
    /// The hash of the audience's key-agreement key, to which epoch secrets may be sealed.
    #[n(6)]
    pub kem_hash: Option<Hash>,
    /// Limits on sessions and on what is taken in.
    #[n(7)]
    pub caveats: Caveats,
    /// The delegation the giver acts under; none if it is the root of the space.
    #[n(8)]
    pub parent: Option<EntryId>,
}

impl Record for Delegation {
    const NAME: &'static str = "delegation";
    const LIMIT: usize = 1024 + CHANNELS_MAX * 34;
}

impl Delegation {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let out_of_bounds = |field| Refusal::OutOfBounds { record: Self::NAME, field };
        if self.rights.is_empty() {
            return Err(out_of_bounds("rights"));
        }
        match &self.channels {
            Channels::Only(channels) if !(1..=CHANNELS_MAX).contains(&channels.len()) => {
                Err(out_of_bounds("channels"))
            }
            Channels::Only(_) | Channels::All => Ok(()),
        }
    }

    /// Whether somebody may give this who holds `parent`. The entry's writer and the depth of the
    /// chain are the caller's to check.
    pub(crate) fn check_within(&self, parent: &Self) -> Result<(), Refusal> {
        match (parent.bearer, self.bearer) {
            (Bearer::Ticket, Bearer::Ticket) => return Err(Refusal::TicketFromTicket),
            (Bearer::Member, _) if !parent.rights.has(Right::Invite) => {
                return Err(Refusal::Lacks { right: Right::Invite });
            }
            (Bearer::Member | Bearer::Ticket, _) => {}
        }
        if !self.rights.is_within(parent.rights) {
            return Err(Refusal::Widens { what: "rights" });
        }
        if !self.channels.is_within(&parent.channels) {
            return Err(Refusal::Widens { what: "channels" });
        }
        Ok(())
    }

    /// What the audience may do itself: the key of a ticket only reads, whatever it may pass on.
    #[must_use]
    pub fn own_rights(&self) -> Rights {
        match self.bearer {
            Bearer::Member => self.rights,
            Bearer::Ticket => self.rights.intersection(Rights::of(&[Right::Relay, Right::Read])),
        }
    }
}

//! What an entry is, and how urgent.

use minicbor::{Decode, Encode};

/// What an entry is: it decides who may write it and whether its body is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// Entry 0 of every log: which writer, space, channel and incarnation it belongs to.
    #[n(0)]
    Open,
    /// Changes to documents.
    #[n(1)]
    Change,
    /// Documents as they are, in place of the entries it covers.
    #[n(2)]
    Snapshot,
    /// A membership record: genesis, delegation, revocation, KEM key, fork proof.
    #[n(3)]
    Membership,
    /// A new key epoch.
    #[n(4)]
    Epoch,
    /// An epoch's secret, sealed to one recipient.
    #[n(5)]
    Copy,
    /// What its writer has received, so that others may compact.
    #[n(6)]
    Acknowledgement,
    /// A file's name, size and chunks.
    #[n(7)]
    File,
    /// The end of other entries' bodies.
    #[n(8)]
    Tombstone,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Open,
        Self::Change,
        Self::Snapshot,
        Self::Membership,
        Self::Epoch,
        Self::Copy,
        Self::Acknowledgement,
        Self::File,
        Self::Tombstone,
    ];

    /// Whether the body is sealed under a key epoch, and so the header must name one.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::Change | Self::Snapshot | Self::File)
    }

    /// The kind of this number on the wire.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }
}

/// How urgent an entry is, the most urgent first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Priority {
    /// Who is there and where their cursor is.
    #[n(0)]
    Presence,
    /// Somebody waits for it.
    #[n(1)]
    Interactive,
    /// Ordinary work.
    #[default]
    #[n(2)]
    Normal,
    /// Work nobody waits for; deferred on metered links.
    #[n(3)]
    Background,
    /// Large imports; deferred on metered links.
    #[n(4)]
    Bulk,
}

impl Priority {
    const ALL: [Self; 5] = [Self::Presence, Self::Interactive, Self::Normal, Self::Background, Self::Bulk];

    /// The priority of this number on the wire.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }
}

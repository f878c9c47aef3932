//! What an entry is, and how urgent.

use minicbor::{Decode, Encode};

/// The kind of an entry; it says whether the body is sealed or clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// The first entry of a log, clear: who writes where, by which delegation.
    #[n(0)]
    Open,
    /// Changes of documents, sealed.
    #[n(1)]
    Change,
    /// Documents as they stand, sealed; it covers the entries named in its clear field.
    #[n(2)]
    Snapshot,
    /// A membership record, clear.
    #[n(3)]
    Membership,
    /// A new key epoch, clear: parents and a commitment, no secret.
    #[n(4)]
    Epoch,
    /// An epoch's secret for one recipient; the record is clear, the secret in it is sealed.
    #[n(5)]
    Copy,
    /// Heads this writer has stored, clear.
    #[n(6)]
    Acknowledgement,
    /// A file, sealed; the objects it needs stand in the clear field.
    #[n(7)]
    File,
    /// Removal of the targets named in the clear field.
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

    /// The kind with this number on the wire.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }

    /// Whether the body can only be read by members of the space.
    #[must_use]
    pub const fn is_sealed(self) -> bool {
        matches!(self, Self::Change | Self::Snapshot | Self::File)
    }

    /// Whether entries of this kind stand in the membership channel and nowhere else (open entries stand in both).
    #[must_use]
    pub const fn is_membership(self) -> bool {
        matches!(self, Self::Membership | Self::Epoch | Self::Copy)
    }
}

/// How soon an entry should travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Priority {
    /// Who is here, what is being typed.
    #[n(0)]
    Presence,
    /// Somebody waits for it.
    #[n(1)]
    Interactive,
    /// Ordinary changes.
    #[default]
    #[n(2)]
    Normal,
    /// May wait for a better moment.
    #[n(3)]
    Background,
    /// Large and patient.
    #[n(4)]
    Bulk,
}

impl Priority {
    const ALL: [Self; 5] = [Self::Presence, Self::Interactive, Self::Normal, Self::Background, Self::Bulk];

    /// The priority with this number on the wire.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied())
    }
}

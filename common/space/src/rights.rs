//! Rights, the roles that name sets of them, and the channels they reach.

use std::{collections::BTreeSet, fmt, str::FromStr};

use cosmic_common::id::ChannelId;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Channels one delegation may list.
pub const CHANNELS_MAX: usize = 256;

/// One thing a key may do in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Store and forward ciphertext of the space.
    Relay,
    /// Be given the entries and key copies of the space.
    Read,
    /// Append entries.
    Write,
    /// Pass rights on.
    Invite,
    /// Revoke what others were given.
    Admin,
}

impl Right {
    /// Every right, weakest first.
    pub const ALL: [Self; 5] = [Self::Relay, Self::Read, Self::Write, Self::Invite, Self::Admin];

    const fn bit(self) -> u8 {
        match self {
            Self::Relay => 1,
            Self::Read => 1 << 1,
            Self::Write => 1 << 2,
            Self::Invite => 1 << 3,
            Self::Admin => 1 << 4,
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Read => "read",
            Self::Write => "write",
            Self::Invite => "invite",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rights; one byte on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rights(u8);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// Every right.
    pub const ALL: Self = Self(0b1_1111);

    /// The set of these rights.
    #[must_use]
    pub fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |bits, right| bits | right.bit()))
    }

    /// The set with these bits, if each of them is a right.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits, as they stand on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether `right` is one of them.
    #[must_use]
    pub const fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether each of these is also in `other`.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The rights that are in one of the two.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The rights that are in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights of the set, weakest first.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Right::name).collect();
        f.write_str(&names.join(", "))
    }
}

impl<C> Encode<C> for Rights {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.u8(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Rights {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        Self::from_bits(d.u8()?).ok_or_else(|| decode::Error::message("an unknown right").at(position))
    }
}

/// A word for a usual set of rights.
///
/// `Owner` and `Admin` name the same rights. The owner is who holds the root key, and no revocation
/// reaches that one; everybody else with all rights is an admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The root key itself.
    Owner,
    /// Everything, given by somebody.
    Admin,
    /// Reads and writes.
    Editor,
    /// Reads.
    Viewer,
    /// Keeps and forwards what it cannot read.
    Relay,
}

impl Role {
    /// The rights the role stands for.
    #[must_use]
    pub const fn rights(self) -> Rights {
        match self {
            Self::Owner | Self::Admin => Rights::ALL,
            Self::Editor => Rights(0b111),
            Self::Viewer => Rights(0b11),
            Self::Relay => Rights(0b1),
        }
    }

    /// The role that somebody with exactly these delegated rights has; `None` is a custom set.
    #[must_use]
    pub fn of(rights: Rights) -> Option<Self> {
        [Self::Admin, Self::Editor, Self::Viewer, Self::Relay]
            .into_iter()
            .find(|role| role.rights() == rights)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of owner, admin, editor, viewer, relay")]
pub struct ParseRoleError;

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        [Self::Owner, Self::Admin, Self::Editor, Self::Viewer, Self::Relay]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or(ParseRoleError)
    }
}

/// Which channels of a space rights reach. Everybody reaches the membership channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Channels {
    /// Each channel, also those made later.
    #[n(0)]
    All,
    /// These alone.
    #[n(1)]
    Only(#[n(0)] BTreeSet<ChannelId>),
}

impl Channels {
    /// Whether `channel` is one of them.
    #[must_use]
    pub fn reach(&self, channel: &ChannelId) -> bool {
        match self {
            Self::All => true,
            Self::Only(channels) => channels.contains(channel),
        }
    }

    /// Whether each of these is also in `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Only(_)) => false,
            (Self::Only(these), Self::Only(those)) => these.is_subset(those),
        }
    }
}

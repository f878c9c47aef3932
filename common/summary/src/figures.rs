//! The numbers of a summary, and the states of members.

use minicbor::{Decode, Encode};

/// One of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Devices with an open session.
    Devices,
    /// Spaces, in thousandths.
    Spaces,
    /// Entries that are kept and not packed, in thousandths.
    Entries,
    /// Objects, in thousandths.
    Objects,
    /// Bytes kept: entries and shards, each copy counted.
    Bytes,
    /// Bytes the disks have.
    Capacity,
    /// Bytes of them that are free.
    Free,
}

/// The numbers of a member, a zone, a region, or the world.
///
/// A supernode cannot read what it keeps, so it knows no documents. It knows spaces, entries and objects; each is kept by several,
/// and each of them states its part in thousandths, so that all parts together are one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Figures {
    /// Devices with an open session.
    #[n(0)]
    pub devices: u64,
    /// Spaces, in thousandths.
    #[n(1)]
    pub spaces_milli: u64,
    /// Entries that are kept and not packed, in thousandths.
    #[n(2)]
    pub entries_milli: u64,
    /// Objects, in thousandths.
    #[n(3)]
    pub objects_milli: u64,
    /// Bytes kept: entries and shards, each copy counted.
    #[n(4)]
    pub kept_bytes: u64,
    /// Bytes the disks have.
    #[n(5)]
    pub capacity_bytes: u64,
    /// Bytes of them that are free.
    #[n(6)]
    pub free_bytes: u64,
}

/// By what members have more or less of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Their weight.
    Weight,
    /// The replicas the ring gives them.
    Replicas,
    /// The shards it gives them.
    Shards,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Devices, Self::Spaces, Self::Entries, Self::Objects, Self::Bytes, Self::Capacity, Self::Free];

    /// How far for each unit of weight from what is usual a member may be without doubt: small networks differ more, and lies as
    /// small do no harm.
    pub(crate) const fn harmless(self) -> u64 {
        match self {
            Self::Devices => 8,
            Self::Spaces => 16_000,
            Self::Entries => 1_000_000,
            Self::Objects => 256_000,
            Self::Bytes => 1 << 30,
            Self::Capacity | Self::Free => 16 << 30,
        }
    }

    /// By what members have more or less of it.
    pub(crate) const fn goes_by(self) -> By {
        match self {
            Self::Devices | Self::Capacity | Self::Free => By::Weight,
            Self::Spaces | Self::Entries => By::Replicas,
            Self::Objects | Self::Bytes => By::Shards,
        }
    }

    /// Whether it says something of what the ring gives to members, whether they are there or not.
    pub(crate) const fn is_of_the_ring(self) -> bool {
        matches!(self, Self::Spaces | Self::Entries | Self::Objects)
    }
}

impl Figures {
    /// One of the numbers.
    #[must_use]
    pub const fn get(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Devices => self.devices,
            Measure::Spaces => self.spaces_milli,
            Measure::Entries => self.entries_milli,
            Measure::Objects => self.objects_milli,
            Measure::Bytes => self.kept_bytes,
            Measure::Capacity => self.capacity_bytes,
            Measure::Free => self.free_bytes,
        }
    }

    /// The numbers that `of` gives for each measure.
    pub fn each(mut of: impl FnMut(Measure) -> u64) -> Self {
        Self {
            devices: of(Measure::Devices),
            spaces_milli: of(Measure::Spaces),
            entries_milli: of(Measure::Entries),
            objects_milli: of(Measure::Objects),
            kept_bytes: of(Measure::Bytes),
            capacity_bytes: of(Measure::Capacity),
            free_bytes: of(Measure::Free),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::each(|measure| self.get(measure).saturating_add(other.get(measure)))
    }
}

/// How a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum MemberState {
    /// It says that it keeps its promises.
    #[n(0)]
    Well,
    /// It says that it cannot keep all of them.
    #[n(1)]
    Troubled,
    /// It says that it is about to leave: drained, retiring or retired.
    #[n(2)]
    Leaving,
    /// It is there and says nothing of itself.
    #[n(3)]
    Untold,
    /// It was not heard.
    #[n(4)]
    Away,
}

impl MemberState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Well, Self::Troubled, Self::Leaving, Self::Untold, Self::Away];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Troubled => "troubled",
            Self::Leaving => "leaving",
            Self::Untold => "untold",
            Self::Away => "away",
        }
    }
}

/// How many members are how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct States {
    /// [`MemberState::Well`].
    #[n(0)]
    pub well: u32,
    /// [`MemberState::Troubled`].
    #[n(1)]
    pub troubled: u32,
    /// [`MemberState::Leaving`].
    #[n(2)]
    pub leaving: u32,
    /// [`MemberState::Untold`].
    #[n(3)]
    pub untold: u32,
    /// [`MemberState::Away`].
    #[n(4)]
    pub away: u32,
}

impl States {
    /// How many are so.
    #[must_use]
    pub const fn get(&self, state: MemberState) -> u32 {
        match state {
            MemberState::Well => self.well,
            MemberState::Troubled => self.troubled,
            MemberState::Leaving => self.leaving,
            MemberState::Untold => self.untold,
            MemberState::Away => self.away,
        }
    }

    /// The numbers that `of` gives for each state.
    pub fn each(mut of: impl FnMut(MemberState) -> u32) -> Self {
        Self {
            well: of(MemberState::Well),
            troubled: of(MemberState::Troubled),
            leaving: of(MemberState::Leaving),
            untold: of(MemberState::Untold),
            away: of(MemberState::Away),
        }
    }

    /// Counts one more.
    pub fn add(&mut self, state: MemberState) {
        *self = Self::each(|one| self.get(one) + u32::from(one == state));
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self::each(|state| self.get(state).saturating_add(other.get(state)))
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> u32 {
        MemberState::ALL.iter().fold(0, |sum, state| sum.saturating_add(self.get(*state)))
    }
}

//! Regions: in which of them the data of a space may lie.

use std::collections::BTreeSet;

use crate::label::Label;

/// Where the data of a space may lie, as its genesis says.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Regions(Option<BTreeSet<Label>>);

impl Regions {
    /// Everywhere: the genesis names none.
    pub const ALL: Self = Self(None);

    /// Those that a genesis names; everywhere if it names none. A name that no region can have permits nothing, and never
    /// everything: a space whose names are all such lies nowhere.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = names.into_iter().peekable();
        let is_named = names.peek().is_some();
        Self(is_named.then(|| names.filter_map(|name| name.parse().ok()).collect()))
    }

    /// Whether data of the space may lie in `region`.
    #[must_use]
    pub fn permits(&self, region: &Label) -> bool {
        self.0.as_ref().is_none_or(|named| named.contains(region))
    }

    /// Whether it may lie everywhere.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// The regions that are named, in their order; nothing if it may lie everywhere.
    pub fn names(&self) -> impl Iterator<Item = &Label> {
        self.0.iter().flatten()
    }
}

impl std::fmt::Display for Regions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.names().map(Label::as_str).collect();
        match (self.is_all(), names.is_empty()) {
            (true, _) => f.write_str("all regions"),
            (false, true) => f.write_str("no region there can be"),
            (false, false) => f.write_str(&names.join(", ")),
        }
    }
}

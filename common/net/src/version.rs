//! Which version a peer says it runs.

use std::{fmt, str::FromStr};

/// What peers call themselves in their introduction, before the version.
const NAME: &str = "cosmicsync/";

/// A released version of CosmicSync. What comes before a release counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The version in how a peer calls itself.
    pub(crate) fn of_agent(agent: &str) -> Option<Self> {
        agent.strip_prefix(NAME)?.parse().ok()
    }
}

/// Something else than three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is three numbers with dots between them")]
pub struct ParseVersionError;

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let release = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = release.split('.').map(|number| number.parse().map_err(|_error| ParseVersionError));
        let mut next = || numbers.next().ok_or(ParseVersionError)?;
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() { Err(ParseVersionError) } else { Ok(version) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let of = |text: &str| text.parse::<Version>();
        assert!(of("0.10.0").unwrap() > of("0.9.12").unwrap());
        assert_eq!(of("1.2.3-rc.1+build").unwrap().to_string(), "1.2.3");
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.99999999999"] {
            assert_eq!(of(wrong), Err(ParseVersionError), "{wrong}");
        }
        assert_eq!(Version::of_agent("cosmicsync/0.1.0"), of("0.1.0").ok());
        assert_eq!(Version::of_agent("rust-libp2p/0.1.0"), None);
    }
}

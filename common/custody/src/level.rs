//! Levels: how safe a thing is, in the four promises of the write path.

use std::fmt;

/// How safe an entry, an object, a document or a file is. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// On this device's disk.
    Local,
    /// Durable on one supernode at least.
    Accepted,
    /// On enough supernodes that losing any one of them loses nothing; on a ring of fewer than
    /// three, on as many as there are (the verdict says so).
    Replicated,
    /// At its full strength: every loss of up to `survives` holders leaves enough to rebuild it.
    Durable {
        /// Receipts less the shards that suffice.
        survives: u8,
    },
}

impl Level {
    /// The level of a thing made of parts: that of its weakest part. None for a thing without parts.
    #[must_use]
    pub fn weakest(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().min()
    }

    /// The name without the number, as in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Accepted => "accepted",
            Self::Replicated => "replicated",
            Self::Durable { .. } => "durable",
        }
    }

    /// The weakest level with this name: what `--wait NAME` waits for.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Local, Self::Accepted, Self::Replicated, Self::Durable { survives: 0 }]
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// How many losses a durable thing survives; None below `durable`.
    #[must_use]
    pub const fn survives(self) -> Option<u8> {
        match self {
            Self::Durable { survives } => Some(survives),
            Self::Local | Self::Accepted | Self::Replicated => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable { survives } => write!(f, "durable (survives {survives} losses)"),
            Self::Local | Self::Accepted | Self::Replicated => f.write_str(self.name()),
        }
    }
}

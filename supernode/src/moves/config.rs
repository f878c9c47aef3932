//! The settings of moves.

use std::time::Duration;

use cosmic_custody::{release::RELEASE_DELAY, retire::DRAIN};
use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// How often is looked for what belongs elsewhere, and how long copies are kept after it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often is looked for what is to be moved or freed.
    pub look_every_secs: u64,
    /// How long a copy is kept after all who should have it have signed: the time to take a change of the ring back.
    pub free_after_secs: u64,
    /// How long devices have to find another gateway when this supernode is drained or retired.
    pub drain_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { look_every_secs: 60, free_after_secs: RELEASE_DELAY.as_secs(), drain_secs: DRAIN.as_secs() }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.look_every_secs == 0 {
            mistakes.refuse("look_every_secs", "must be at least 1");
        }
        if self.free_after_secs == 0 {
            mistakes.refuse("free_after_secs", "must be at least 1: no asking may last as long");
        }
    }

    /// How often is looked.
    #[must_use]
    pub const fn look_every(&self) -> Duration {
        Duration::from_secs(self.look_every_secs)
    }

    pub(super) const fn free_after(&self) -> Duration {
        Duration::from_secs(self.free_after_secs)
    }

    /// How long devices have to find another gateway.
    #[must_use]
    pub const fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_secs)
    }
}

//! The settings of packs.

use std::time::Duration;

use cosmic_custody::{PackRules, release::RELEASE_DELAY};
use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// When entries are packed, and when replicas free their copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often is looked for what is due.
    pub look_every_secs: u64,
    /// Entries of a log are packed once they make so many bytes,
    pub full_bytes: u64,
    /// or once the log has not grown for so long
    pub idle_after_secs: u64,
    /// and they make so many bytes,
    pub idle_bytes: u64,
    /// or once the first of them is so old.
    pub age_secs: u64,
    /// How long a replica keeps its own copy after all shards were signed for.
    pub free_after_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        let PackRules { full_bytes, idle_after, idle_bytes, age } = PackRules::default();
        Self {
            look_every_secs: 60,
            full_bytes,
            idle_after_secs: idle_after.as_secs(),
            idle_bytes,
            age_secs: age.as_secs(),
            free_after_secs: RELEASE_DELAY.as_secs(),
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.look_every_secs == 0 {
            mistakes.refuse("look_every_secs", "must be at least 1");
        }
        if self.idle_bytes > self.full_bytes {
            mistakes.refuse("idle_bytes", "must not be more than full_bytes");
        }
    }

    pub(super) const fn rules(&self) -> PackRules {
        PackRules {
            full_bytes: self.full_bytes,
            idle_after: Duration::from_secs(self.idle_after_secs),
            idle_bytes: self.idle_bytes,
            age: Duration::from_secs(self.age_secs),
        }
    }

    pub(super) const fn look_every(&self) -> Duration {
        Duration::from_secs(self.look_every_secs)
    }

    pub(super) const fn free_after(&self) -> Duration {
        Duration::from_secs(self.free_after_secs)
    }
}

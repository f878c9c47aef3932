//! The settings of summaries.

use std::time::Duration;

use cosmic_runtime::config::Mistakes;
use cosmic_summary::Rhythm;
use serde::{Deserialize, Serialize};

/// The longest interval: a summary that is older than a day says nothing.
const EVERY_MAX_SECS: u64 = 24 * 60 * 60;

/// How often supernodes tell, merge and exchange. All of a network should have the same: who tells more seldom than others expect
/// counts as silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often this supernode tells the aggregators of its region how it is.
    pub tell_every_secs: u64,
    /// How often aggregators merge their region.
    pub region_every_secs: u64,
    /// How often regions are exchanged.
    pub world_every_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        let Rhythm { tell, region, world } = Rhythm::default();
        Self {
            tell_every_secs: tell.as_secs(),
            region_every_secs: region.as_secs(),
            world_every_secs: world.as_secs(),
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.tell_every_secs == 0 {
            mistakes.refuse("tell_every_secs", "must be at least 1");
        }
        if self.region_every_secs < self.tell_every_secs || self.world_every_secs < self.region_every_secs {
            mistakes.refuse("region_every_secs", "must lie between tell_every_secs and world_every_secs");
        }
        if self.world_every_secs > EVERY_MAX_SECS {
            mistakes.refuse("world_every_secs", "must be a day at most");
        }
    }

    pub(super) const fn rhythm(&self) -> Rhythm {
        Rhythm {
            tell: Duration::from_secs(self.tell_every_secs),
            region: Duration::from_secs(self.region_every_secs),
            world: Duration::from_secs(self.world_every_secs),
        }
    }
}

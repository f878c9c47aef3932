//! The settings of deletion.

use std::time::Duration;

use cosmic_custody::removal::REMOVAL_DELAY;
use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// How long an upload may wait for an entry that claims it: a device that has lost its network in between has a week.
const LEASE: Duration = Duration::from_hours(7 * 24);
/// Doublings of the pause between two askings: from a minute to an hour.
const DOUBLINGS_MAX: u32 = 6;

/// How long things stay, and how often is looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long an object that nobody claims any more stays at each holder, and a body that a snapshot replaces at each replica.
    pub delay_secs: u64,
    /// How long an object that nobody has claimed yet is kept.
    pub lease_secs: u64,
    /// How often is looked whether something is to be done.
    pub look_every_secs: u64,
    /// How soon those are asked again who did not answer or have not deleted yet; later and later, at most 64 times as late.
    pub ask_every_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay_secs: REMOVAL_DELAY.as_secs(),
            lease_secs: LEASE.as_secs(),
            look_every_secs: 10,
            ask_every_secs: 60,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.look_every_secs == 0 || self.ask_every_secs == 0 {
            mistakes.refuse("look_every_secs", "and ask_every_secs must be at least 1");
        }
    }

    /// How long an object stays that nobody claims any more.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        Duration::from_secs(self.delay_secs)
    }

    /// How long an object that nobody has claimed yet is kept.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }

    pub(crate) const fn look_every(&self) -> Duration {
        Duration::from_secs(self.look_every_secs)
    }

    /// The pause after this many askings in vain.
    pub(super) fn pause(&self, tries: u32) -> Duration {
        Duration::from_secs(self.ask_every_secs).saturating_mul(1 << tries.min(DOUBLINGS_MAX))
    }
}

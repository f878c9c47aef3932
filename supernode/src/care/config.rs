//! The settings of care.

use std::time::Duration;

use cosmic_custody::{
    Patience, audit::rota::AUDIT_EVERY, choice::RECODE_AFTER, repair::budget::Allowance,
    repair::queue::Settings,
};
use cosmic_runtime::config::Mistakes;
use serde::{Deserialize, Serialize};

/// When silence begins to mean something, how often is looked, and what repairs may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A supernode silent for so long gets nothing new.
    pub away_after_secs: u64,
    /// A supernode silent for so long is offline: the shards it has of narrow classes are made again elsewhere.
    pub offline_after_secs: u64,
    /// The same for wide classes, which can wait.
    pub wide_after_secs: u64,
    /// How often every other supernode is asked whether it is there.
    pub ping_every_secs: u64,
    /// How often all that is kept here is compared with the other holders, when nothing else is a reason to.
    pub walk_every_secs: u64,
    /// How long the ring has had another class before what lies in the old one is coded anew.
    pub recode_after_secs: u64,
    /// How often every other supernode is asked by one of all the others to prove that it has a shard.
    pub audit_every_secs: u64,
    /// Bytes this supernode can send in a second; repairs take their shares of it.
    pub uplink_bytes_per_sec: u64,
    /// What repairs may take of it, in thousandths.
    pub share_permille: u16,
    /// What they may take while an object is about to be lost.
    pub panic_share_permille: u16,
    /// Repairs at once; each holds an object in memory twice.
    pub repairs_at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        let Patience { away_after, offline_after, wide_after } = Patience::default();
        let Settings { allowance, at_once } = Settings::default();
        Self {
            away_after_secs: away_after.as_secs(),
            offline_after_secs: offline_after.as_secs(),
            wide_after_secs: wide_after.as_secs(),
            ping_every_secs: 60,
            // 32 bytes for each object and holder: at a million objects of 6 holders 9 kB/s.
            walk_every_secs: 6 * 60 * 60,
            recode_after_secs: RECODE_AFTER.as_secs(),
            audit_every_secs: AUDIT_EVERY.as_secs(),
            uplink_bytes_per_sec: allowance.uplink.unwrap_or(u64::MAX),
            share_permille: allowance.share,
            panic_share_permille: allowance.panic_share,
            repairs_at_once: at_once,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.ping_every_secs == 0 || self.walk_every_secs == 0 {
            mistakes.refuse("ping_every_secs", "and walk_every_secs must be at least 1");
        }
        if self.audit_every_secs == 0 {
            mistakes.refuse("audit_every_secs", "must be at least 1");
        }
        if self.away_after_secs > self.offline_after_secs || self.offline_after_secs > self.wide_after_secs {
            mistakes.refuse("offline_after_secs", "must lie between away_after_secs and wide_after_secs");
        }
        if self.away_after_secs <= self.ping_every_secs {
            mistakes.refuse(
                "away_after_secs",
                "must be longer than ping_every_secs, or everybody would seem to be away",
            );
        }
        if self.share_permille > 1000 || self.panic_share_permille > 1000 {
            mistakes.refuse("share_permille", "and panic_share_permille are thousandths: 1000 is all");
        }
        if !(1..=64).contains(&self.repairs_at_once) {
            mistakes.refuse("repairs_at_once", "must lie between 1 and 64");
        }
    }

    pub(super) const fn patience(&self) -> Patience {
        Patience {
            away_after: Duration::from_secs(self.away_after_secs),
            offline_after: Duration::from_secs(self.offline_after_secs),
            wide_after: Duration::from_secs(self.wide_after_secs),
        }
    }

    pub(super) const fn settings(&self) -> Settings {
        let allowance = Allowance {
            uplink: Some(self.uplink_bytes_per_sec),
            share: self.share_permille,
            panic_share: self.panic_share_permille,
        };
        Settings { allowance, at_once: self.repairs_at_once }
    }

    pub(super) const fn ping_every(&self) -> Duration {
        Duration::from_secs(self.ping_every_secs)
    }

    pub(crate) const fn audit_every(&self) -> Duration {
        Duration::from_secs(self.audit_every_secs)
    }

    pub(super) const fn recode_after(&self) -> Duration {
        Duration::from_secs(self.recode_after_secs)
    }

    pub(super) const fn walk_every(&self) -> Duration {
        Duration::from_secs(self.walk_every_secs)
    }
}

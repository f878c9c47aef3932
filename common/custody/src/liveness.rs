//! Liveness: which members are there, away, offline or gone, from when they were last heard.
//!
//! ```text
//!           1 h              4 h
//! present ──────▶ away ───────────▶ offline        gone: lost, by its record, or unknown
//!    ▲              │                  │
//!    └────────── heard ◀───────────────┘
//! ```
//! A retired member is leaving: nothing new is for it, but as long as it is heard it has what it had, and passes it on.
//! Absence alone changes no ring table. It makes repair begin, each class after its own patience ([`crate::care::Care`]).

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};

use crate::care::{Care, PATIENCE_NARROW, PATIENCE_WIDE};

/// When silence begins to mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Shorter silences are ignored: restarts, updates, a cable.
    pub away_after: Duration,
    /// From here on the member counts as offline; the narrow classes wait no longer.
    pub offline_after: Duration,
    /// How long the wide classes wait ([`crate::care::Care::is_wide`]).
    pub wide_after: Duration,
}

impl Patience {
    /// How long a class waits for a holder.
    #[must_use]
    pub const fn of(&self, care: &Care) -> Duration {
        if care.is_wide { self.wide_after } else { self.offline_after }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            away_after: Duration::from_hours(1),
            offline_after: PATIENCE_NARROW,
            wide_after: PATIENCE_WIDE,
        }
    }
}

/// Whether a supernode is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It was heard lately.
    Present,
    /// It gets nothing new, and is waited for.
    Away {
        /// When it was last heard.
        since: Timestamp,
    },
    /// Its shards count as missing for the order of repairs, and are made again after the patience of their class.
    Offline {
        /// When it was last heard.
        since: Timestamp,
    },
    /// Lost or unknown.
    Gone,
}

/// When each active or retired member was last heard.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    patience: Patience,
    heard: BTreeMap<PeerId, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    last: Timestamp,
    is_active: bool,
}

impl Liveness {
    /// Nobody is known yet.
    #[must_use]
    pub const fn new(patience: Patience) -> Self {
        Self { patience, heard: BTreeMap::new() }
    }

    /// How long is waited.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        self.patience
    }

    /// These are the active and the retired members from now on. One that was not known counts as heard now: after a
    /// restart of our own everybody has the whole time to be heard again. All others are gone.
    pub fn members(
        &mut self,
        active: impl IntoIterator<Item = PeerId>,
        retired: impl IntoIterator<Item = PeerId>,
        now: Timestamp,
    ) {
        let before = std::mem::take(&mut self.heard);
        let last = |peer: &PeerId| before.get(peer).map_or(now, |heard| heard.last);
        let retired = retired.into_iter().map(|peer| (peer, Heard { last: last(&peer), is_active: false }));
        self.heard = retired.collect();
        let active = active.into_iter().map(|peer| (peer, Heard { last: last(&peer), is_active: true }));
        self.heard.extend(active);
    }

    /// A member answered, asked or sent something that only it can.
    pub fn heard(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(heard) = self.heard.get_mut(peer) {
            heard.last = now.max(heard.last);
        }
    }

    /// When `peer` was last heard; none of those who are gone.
    #[must_use]
    pub fn last_heard(&self, peer: &PeerId) -> Option<Timestamp> {
        self.heard.get(peer).map(|heard| heard.last)
    }

    /// Whether `peer` is there.
    #[must_use]
    pub fn presence(&self, peer: &PeerId, now: Timestamp) -> Presence {
        let Some(since) = self.last_heard(peer) else { return Presence::Gone };
        let silence = now.since(since);
        if silence >= self.patience.offline_after {
            Presence::Offline { since }
        } else if silence >= self.patience.away_after {
            Presence::Away { since }
        } else {
            Presence::Present
        }
    }

    /// Whether `peer` was heard lately.
    #[must_use]
    pub fn is_present(&self, peer: &PeerId, now: Timestamp) -> bool {
        self.presence(peer, now) == Presence::Present
    }

    /// Whether `peer` is offline or gone.
    #[must_use]
    pub fn is_offline(&self, peer: &PeerId, now: Timestamp) -> bool {
        matches!(self.presence(peer, now), Presence::Offline { .. } | Presence::Gone)
    }

    /// When the shards of `peer` count as missing for somebody of this patience: never before it is offline; then at once
    /// if it is leaving, since it will not come back; at once if it is gone.
    #[must_use]
    pub fn missing_from(&self, peer: &PeerId, patience: Duration) -> Timestamp {
        let offline = self.patience.offline_after;
        self.heard.get(peer).map_or(Timestamp::from_unix_ms(0), |heard| {
            heard.last.after(if heard.is_active { patience.max(offline) } else { offline })
        })
    }

    /// Whether the shards of `peer` count as missing for somebody of this patience.
    #[must_use]
    pub fn is_missing(&self, peer: &PeerId, patience: Duration, now: Timestamp) -> bool {
        self.missing_from(peer, patience) <= now
    }

    /// The active members.
    pub fn active(&self) -> impl Iterator<Item = &PeerId> {
        self.heard.iter().filter(|(_peer, heard)| heard.is_active).map(|(peer, _heard)| peer)
    }

    /// The active and the retired members.
    pub fn known(&self) -> impl Iterator<Item = &PeerId> {
        self.heard.keys()
    }

    /// The active members that were heard lately.
    pub fn present(&self, now: Timestamp) -> impl Iterator<Item = &PeerId> {
        self.active().filter(move |peer| self.is_present(peer, now))
    }

    /// When the next member changes its presence if nobody is heard until then.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let Patience { away_after, offline_after, .. } = self.patience;
        self.heard
            .values()
            .flat_map(|heard| [heard.last.after(away_after), heard.last.after(offline_after)])
            .filter(|change| *change > now)
            .min()
    }
}

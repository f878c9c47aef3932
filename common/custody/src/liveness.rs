//! Liveness: which members are there, away, offline or gone, from when they were last heard.
//!
//! ```text
//!           1 h              4 h
//! present ──────▶ away ───────────▶ offline        gone: no longer an active member, by its record
//!    ▲              │                  │
//!    └────────── heard ◀───────────────┘
//! ```
//! Absence alone changes no ring table. It makes repair begin, each class after its own patience ([`crate::care::Care`]).

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};

/// When silence begins to mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Shorter silences are ignored: restarts, updates, a cable.
    pub away_after: Duration,
    /// From here on the member counts as offline.
    pub offline_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { away_after: Duration::from_hours(1), offline_after: Duration::from_hours(4) }
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
    /// Retired, lost or unknown: no active member.
    Gone,
}

/// When each active member was last heard.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    patience: Patience,
    heard: BTreeMap<PeerId, Timestamp>,
}

impl Liveness {
    /// Nobody is known yet.
    #[must_use]
    pub const fn new(patience: Patience) -> Self {
        Self { patience, heard: BTreeMap::new() }
    }

    /// These are the active members from now on. One that was not known counts as heard now: after a restart of our own
    /// everybody has the whole time to be heard again. The others are gone.
    pub fn members(&mut self, active: impl IntoIterator<Item = PeerId>, now: Timestamp) {
        let before = std::mem::take(&mut self.heard);
        self.heard =
            active.into_iter().map(|peer| (peer, before.get(&peer).copied().unwrap_or(now))).collect();
    }

    /// A member answered, asked or sent something that only it can.
    pub fn heard(&mut self, peer: &PeerId, now: Timestamp) {
        if let Some(last) = self.heard.get_mut(peer) {
            *last = now.max(*last);
        }
    }

    /// When `peer` was last heard; none of those who are no active members.
    #[must_use]
    pub fn last_heard(&self, peer: &PeerId) -> Option<Timestamp> {
        self.heard.get(peer).copied()
    }

    /// Whether `peer` is there.
    #[must_use]
    pub fn presence(&self, peer: &PeerId, now: Timestamp) -> Presence {
        let Some(since) = self.heard.get(peer).copied() else { return Presence::Gone };
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

    /// When the shards of `peer` count as missing for somebody of this patience: at once if it is gone, and never before it is offline.
    #[must_use]
    pub fn missing_from(&self, peer: &PeerId, patience: Duration) -> Timestamp {
        let patience = patience.max(self.patience.offline_after);
        self.heard.get(peer).map_or(Timestamp::from_unix_ms(0), |since| since.after(patience))
    }

    /// Whether the shards of `peer` count as missing for somebody of this patience.
    #[must_use]
    pub fn is_missing(&self, peer: &PeerId, patience: Duration, now: Timestamp) -> bool {
        self.missing_from(peer, patience) <= now
    }

    /// The active members.
    pub fn active(&self) -> impl Iterator<Item = &PeerId> {
        self.heard.keys()
    }

    /// The active members that were heard lately.
    pub fn present(&self, now: Timestamp) -> impl Iterator<Item = &PeerId> {
        self.heard.keys().filter(move |peer| self.is_present(peer, now))
    }

    /// When the next member changes its presence if nobody is heard until then.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let Patience { away_after, offline_after } = self.patience;
        self.heard
            .values()
            .flat_map(|since| [since.after(away_after), since.after(offline_after)])
            .filter(|change| *change > now)
            .min()
    }
}

//! One round over what belongs elsewhere: how much there is, and what each waits for.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::PeerId;
use cosmic_custody::Keep;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use serde::Serialize;
use serde_json::{Value, json};

/// Supernodes that are named as those who are waited for.
const NAMED_MAX: usize = 16;

/// What a copy waits for, as a label and as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// Somebody has not taken, or not signed for, what he should have.
    Owed,
    /// Somebody who should have it is not there.
    Away,
    /// It is where it should be; the delay runs.
    Delay,
    /// The ring has fewer supernodes than the object has shards.
    RingTooSmall,
    /// The object is being deleted.
    Removed,
    /// The operator paused repairs and moves.
    Paused,
    /// It could not be read, or asking took too long.
    Failed,
}

/// The label of a count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: Why,
}

impl Why {
    pub(super) const ALL: [Self; 7] =
        [Self::Owed, Self::Away, Self::Delay, Self::RingTooSmall, Self::Removed, Self::Paused, Self::Failed];

    /// Why a copy is kept; none if it is no stray.
    fn of(keep: &Keep) -> Option<Self> {
        match keep {
            Keep::Belongs => None,
            Keep::Owed(_) | Keep::LogOwed(_) | Keep::Unnoted(_) => Some(Self::Owed),
            Keep::Away(_) => Some(Self::Away),
            Keep::OnlyOne | Keep::TooSmall => Some(Self::RingTooSmall),
            Keep::Delay { .. } => Some(Self::Delay),
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Owed => "those who should have it have not all taken it or signed for it yet",
            Self::Away => "somebody who should have it is not there; start it, or declare it lost",
            Self::Delay => "it is where it should be, and is freed here after moves.free_after_secs",
            Self::RingTooSmall => {
                "the ring has fewer supernodes than the object has shards; bring another supernode in"
            }
            Self::Removed => "the object is being deleted, here as well",
            Self::Paused => {
                "repairs and moves are paused; let them go on with: cosmic-supernode repair resume"
            }
            Self::Failed => "it could not be read or asked about; see the log",
        }
    }
}

/// What a round found.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    waiting: BTreeMap<Why, u64>,
    waits_for: BTreeSet<PeerId>,
}

impl Round {
    /// One more waits for this.
    pub(super) fn waits(&mut self, why: Why) {
        *self.waiting.entry(why).or_default() += 1;
    }

    /// One more is kept for this reason.
    pub(super) fn keeps(&mut self, keep: &Keep) {
        if let Some(why) = Why::of(keep) {
            self.waits(why);
        }
        let peers: Vec<PeerId> = match keep {
            Keep::Owed(shards) => shards.iter().map(|shard| shard.holder).collect(),
            Keep::LogOwed(debts) => debts.iter().map(|debt| debt.holder).collect(),
            Keep::Unnoted(peers) | Keep::Away(peers) => peers.clone(),
            Keep::Belongs | Keep::OnlyOne | Keep::TooSmall | Keep::Delay { .. } => Vec::new(),
        };
        self.waits_for.extend(peers);
        while self.waits_for.len() > NAMED_MAX {
            self.waits_for.pop_last();
        }
    }

    /// How many wait for this.
    pub(super) fn count(&self, why: Why) -> u64 {
        self.waiting.get(&why).copied().unwrap_or_default()
    }

    pub(super) fn status(&self) -> Value {
        let line =
            |(why, count): (&Why, &u64)| json!({ "reason": why, "count": count, "sentence": why.sentence() });
        json!({
            "waiting": self.waiting.values().sum::<u64>(),
            "reasons": self.waiting.iter().map(line).collect::<Vec<_>>(),
            "waits_for": self.waits_for,
        })
    }
}

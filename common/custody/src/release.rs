//! Release: when a copy that belongs elsewhere now may go. The last thing that happens after a change of the ring.
//!
//! ```text
//!            all who should have the rest signed        the delay is over, and all signed again
//! Needed ─────────────────────────────────────▶ Settled ────────────────────────────────────────▶ free
//!    ▲                                             │ one of them no longer does
//!    └─────────────────────────────────────────────┘
//! ```
//! The delay is between two askings, so that a copy never goes on the word of yesterday. Who asks is the one who would
//! free its own copy; nobody frees another's.

use std::{collections::BTreeSet, time::Duration};

use cosmic_common::{heads::Head, id::PeerId, time::Timestamp};
use cosmic_erasure::Codec;

use crate::{
    audit::{docket::Docket, evidence::Suspect},
    care::Care,
    count::{
        log::{Duty, LogCustody, LogDebt},
        object::ObjectCustody,
    },
    liveness::Liveness,
    plan::{place::Assignment, target::Target},
    receipt::Promise,
    standing::Standing,
};

/// How long a copy that is not needed any more is kept (`docs/storage.md`): long enough for an operator to take a change back.
pub const RELEASE_DELAY: Duration = Duration::from_hours(24);

/// Why a copy is still kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// It belongs here.
    Belongs,
    /// These should have a shard and have not signed for it in the life they live now, or are known to have lost it.
    Owed(Vec<Assignment>),
    /// These replicas have not signed for the log up to its end.
    LogOwed(Vec<LogDebt>),
    /// These replicas have not noted the pack that the entries lie in.
    Unnoted(Vec<PeerId>),
    /// Those who signed, and are not there now to say it again.
    Away(Vec<PeerId>),
    /// The ring has no place for every shard, and this one is nowhere else.
    OnlyOne,
    /// Fewer places than shards that suffice: nothing goes.
    TooSmall,
    /// Everything is signed for; the delay runs.
    Delay {
        /// Until when.
        until: Timestamp,
    },
}

/// Since when everything that should be elsewhere has been. Kept beside the copy, so that a restart does not begin anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Release {
    /// When all had signed for the first time, without one failing to since.
    pub settled: Option<Timestamp>,
}

impl Release {
    /// A release as it was kept.
    #[must_use]
    pub const fn since(settled: Option<Timestamp>) -> Self {
        Self { settled }
    }

    /// Until when nobody needs to be asked, because the delay runs.
    #[must_use]
    pub fn rests_until(&self, delay: Duration, now: Timestamp) -> Option<Timestamp> {
        self.settled.map(|settled| settled.after(delay)).filter(|until| now < *until)
    }

    /// What a receipt for the copy promises meanwhile: from the first asking on it may be gone tomorrow, so that nobody else,
    /// who knows another table, may free his own on the word of it. A copy that belongs here again is asked about once more
    /// ([`Keep::Belongs`]), or it would never be promised again.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        if self.settled.is_some() { Promise::Forwards } else { Promise::Keeps }
    }

    /// One asking: whether the reasons of the rules below are all gone. Free is `Ok`, once they have been for the delay.
    ///
    /// # Errors
    /// [`Keep`] that says what the copy is still kept for.
    pub fn ask(&mut self, reasons: Result<(), Keep>, delay: Duration, now: Timestamp) -> Result<(), Keep> {
        if let Err(keep) = reasons {
            self.settled = None;
            return Err(keep);
        }
        let until = self.settled.get_or_insert(now).after(delay);
        if now < until { Err(Keep::Delay { until }) } else { Ok(()) }
    }
}

/// Whether nothing speaks for keeping the copy `mine` of a shard, by what holders signed in this asking (`fresh`, made of
/// receipts that were asked for now) and who is there.
///
/// # Errors
/// The [`Keep`] that speaks for it.
pub fn shard_needless(mine: Assignment, codec: Codec, asked: &Asked<'_>) -> Result<(), Keep> {
    let target = asked.target;
    if target.shards.contains(&mine) {
        return Err(Keep::Belongs);
    }
    is_in_place(codec, asked)?;
    let is_elsewhere = target.shards.iter().any(|shard| shard.index == mine.index);
    if target.shards.len() < codec.n() && !is_elsewhere {
        return Err(Keep::OnlyOne);
    }
    Ok(())
}

/// Whether nothing speaks for keeping the entries of a run at a replica, whose pack is the object that was asked about:
/// every shard of it is in its place.
///
/// # Errors
/// The [`Keep`] that speaks for it.
pub fn run_needless(codec: Codec, asked: &Asked<'_>) -> Result<(), Keep> {
    is_in_place(codec, asked)?;
    if asked.target.shards.len() < codec.n() {
        return Err(Keep::TooSmall);
    }
    Ok(())
}

/// Whether nothing speaks for keeping a shard of one coding, when the object was coded anew and that coding is the one that was
/// asked about: as many as a write waits for signed for their shards of it, are there, and are not known to have lost them.
///
/// # Errors
/// The [`Keep`] that speaks for it.
pub fn coding_needless(codec: Codec, asked: &Asked<'_>) -> Result<(), Keep> {
    let Asked { target, fresh, standing, liveness, docket, now } = *asked;
    let is_kept = |shard: &&Assignment| {
        let suspect = Suspect { holder: shard.holder, object: fresh.coding(), index: shard.index };
        fresh.keeps(&shard.holder, shard.index, standing)
            && liveness.is_present(&shard.holder, now)
            && !docket.is_lost(&suspect, now)
    };
    let (kept, owed): (Vec<&Assignment>, Vec<&Assignment>) = target.shards.iter().partition(is_kept);
    if kept.len() >= Care::of(codec).wanted {
        return Ok(());
    }
    Err(if target.shards.len() < codec.n() {
        Keep::TooSmall
    } else {
        Keep::Owed(owed.into_iter().copied().collect())
    })
}

/// Whether all who should have a shard signed for it, are there, and are not known to have lost it.
fn is_in_place(codec: Codec, asked: &Asked<'_>) -> Result<(), Keep> {
    let Asked { target, fresh, standing, liveness, docket, now } = *asked;
    let is_lost = |shard: &Assignment| {
        let suspect = Suspect { holder: shard.holder, object: fresh.coding(), index: shard.index };
        docket.is_lost(&suspect, now)
    };
    if target.shards.len() < codec.k() {
        return Err(Keep::TooSmall);
    }
    let owed: Vec<Assignment> = target
        .shards
        .iter()
        .filter(|shard| !fresh.keeps(&shard.holder, shard.index, standing) || is_lost(shard))
        .copied()
        .collect();
    if !owed.is_empty() {
        return Err(Keep::Owed(owed));
    }
    let away: Vec<PeerId> = target
        .shards
        .iter()
        .map(|shard| shard.holder)
        .filter(|peer| !liveness.is_present(peer, now))
        .collect();
    if away.is_empty() { Ok(()) } else { Err(Keep::Away(away)) }
}

/// What one asking found about an object.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where its shards belong by the current table.
    pub target: &'a Target,
    /// What holders signed in this asking.
    pub fresh: &'a ObjectCustody,
    /// Whose word counts.
    pub standing: &'a Standing,
    /// Who is there.
    pub liveness: &'a Liveness,
    /// Which shards are known to be lost. Before it asks, a holder challenges the one who has its index by the target: what
    /// is signed for is not always there.
    pub docket: &'a Docket,
    /// Now.
    pub now: Timestamp,
}

/// Whether nothing speaks for keeping the copy of a log at `me`, a replica by an earlier table: all replicas by the
/// current one signed in this asking for everything up to `head`, the last entry kept here. A log that goes on elsewhere
/// is signed for up to heads that are not known here; those count that were shown to go on from ours.
///
/// # Errors
/// The [`Keep`] that speaks for it.
pub fn log_needless(
    me: &PeerId,
    duty: &Duty,
    head: Head,
    asked: &AskedLog<'_>,
    is_ours: impl Fn(&Head) -> bool,
) -> Result<(), Keep> {
    let AskedLog { fresh, beyond, standing, liveness, now } = *asked;
    if duty.current.contains(me) {
        return Err(Keep::Belongs);
    }
    if duty.current.is_empty() {
        return Err(Keep::TooSmall);
    }
    let owed = fresh.owed(duty, standing, head, |head| is_ours(head) || beyond.contains(head));
    if !owed.is_empty() {
        return Err(Keep::LogOwed(owed));
    }
    let away: Vec<PeerId> =
        duty.current.iter().filter(|peer| !liveness.is_present(peer, now)).copied().collect();
    if away.is_empty() { Ok(()) } else { Err(Keep::Away(away)) }
}

/// What one asking found about a log.
#[derive(Debug, Clone, Copy)]
pub struct AskedLog<'a> {
    /// What replicas signed in this asking.
    pub fresh: &'a LogCustody,
    /// Heads behind the end of the log here whose holder showed, in this asking, that the last entry kept here is part of
    /// its log: entries are chained, and so everything before it is.
    pub beyond: &'a BTreeSet<Head>,
    /// Whose word counts.
    pub standing: &'a Standing,
    /// Who is there.
    pub liveness: &'a Liveness,
    /// Now.
    pub now: Timestamp,
}

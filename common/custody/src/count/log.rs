//! How safe the entries of one log are.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::Head,
    id::{EntryId, LogId, PeerId, SpaceId},
};
use cosmic_ring::{Table, table::REPLICAS};

use super::lives::{Lives, Said};
use crate::{
    error::Error,
    level::Level,
    receipt::{Held, Promise, Receipt},
    standing::Standing,
};

/// Receipts of replicas that make an entry `replicated` (W = 2 of 3).
pub const WRITE_QUORUM: usize = 2;
/// Heads remembered of one holder's promises about one log: the highest. A receipt beyond what is known here of the log
/// does not count yet, and must not push out the one before it, which does.
const HEADS_MAX: usize = 4;

/// The supernodes responsible for a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duty {
    /// The replicas by the current ring table.
    pub current: Vec<PeerId>,
    /// Replicas by earlier tables. Their word counts while they are members: they give up their copy only
    /// after all current replicas have signed.
    pub earlier: Vec<PeerId>,
}

impl Duty {
    /// Who is responsible for the logs of `space`: by the current table, and by earlier ones.
    #[must_use]
    pub fn of<'a>(space: &SpaceId, current: &Table, earlier: impl IntoIterator<Item = &'a Table>) -> Self {
        let current: Vec<PeerId> = current.replicas_of(space).collect();
        let mut before: Vec<PeerId> =
            earlier.into_iter().flat_map(|table| table.replicas_of(space)).collect();
        before.sort_unstable();
        before.dedup();
        before.retain(|peer| !current.contains(peer));
        Self { current, earlier: before }
    }

    /// Receipts that make an entry `replicated`: two, or as many as there are supernodes.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.current.len().min(WRITE_QUORUM)
    }

    /// Whether the ring is too small for three replicas, so that `replicated` means less than it should.
    #[must_use]
    pub fn is_reduced(&self) -> bool {
        self.current.len() < REPLICAS
    }

    /// Whether `peer` is a replica by any of these tables.
    #[must_use]
    pub fn includes(&self, peer: &PeerId) -> bool {
        self.current.contains(peer) || self.earlier.contains(peer)
    }
}

/// The receipts for one log.
#[derive(Debug, Clone)]
pub struct LogCustody {
    space: SpaceId,
    log: LogId,
    lives: Lives<Promises>,
}

/// The highest heads one holder promised to forward and to keep, in one life.
#[derive(Debug, Clone, Default)]
struct Promises {
    forwards: BTreeSet<(u64, EntryId)>,
    keeps: BTreeSet<(u64, EntryId)>,
}

/// How far each level reaches in a log: sequence numbers of the last entry at that level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogReach {
    /// Everything up to here is on one supernode.
    pub accepted: Option<u64>,
    /// Everything up to here is on a quorum of replicas.
    pub replicated: Option<u64>,
    /// Whether the ring is too small for three replicas ([`Duty::is_reduced`]).
    pub reduced: bool,
}

impl LogReach {
    /// The level of the entry at `seq`.
    #[must_use]
    pub fn level(&self, seq: u64) -> Level {
        if self.replicated.is_some_and(|last| seq <= last) {
            Level::Replicated
        } else if self.accepted.is_some_and(|last| seq <= last) {
            Level::Accepted
        } else {
            Level::Local
        }
    }
}

/// What a replica has not signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDebt {
    /// The replica.
    pub holder: PeerId,
    /// The first entry it has not signed for.
    pub from: u64,
}

impl LogCustody {
    /// No receipts yet.
    #[must_use]
    pub fn new(space: SpaceId, log: LogId) -> Self {
        Self { space, log, lives: Lives::default() }
    }

    /// Adds a verified receipt.
    ///
    /// # Errors
    /// [`Error::NotAMember`] or [`Error::Foreign`]: it can never count here, and is not kept.
    pub fn insert(&mut self, receipt: &Receipt, standing: &Standing) -> Result<(), Error> {
        if !standing.contains(&receipt.holder) {
            return Err(Error::NotAMember { holder: receipt.holder });
        }
        let head = match receipt.held {
            Held::Log { space, log, head } if space == self.space && log == self.log => head,
            Held::Log { .. } | Held::Shard { .. } | Held::Object { .. } => {
                return Err(Error::Foreign { holder: receipt.holder });
            }
        };
        self.lives.insert(receipt, |promises| {
            let heads = match receipt.promise {
                Promise::Forwards => &mut promises.forwards,
                Promise::Keeps => &mut promises.keeps,
            };
            heads.insert((head.seq, head.entry));
            if heads.len() > HEADS_MAX {
                heads.pop_first();
            }
        });
        Ok(())
    }

    /// How far each level reaches. `is_ours` says whether a head lies in the log as it is known here; a
    /// receipt for another branch, or for what is not known here, is not counted.
    #[must_use]
    pub fn reach(&self, duty: &Duty, standing: &Standing, is_ours: impl Fn(&Head) -> bool) -> LogReach {
        let mut accepted = None;
        let mut kept = Vec::new();
        for Said { peer, said: promises, .. } in self.lives.current(standing) {
            let keeps = highest(&promises.keeps, &is_ours);
            accepted = accepted.max(keeps).max(highest(&promises.forwards, &is_ours));
            if let Some(seq) = keeps.filter(|_| duty.includes(peer)) {
                kept.push((seq, *peer));
            }
        }
        LogReach { accepted, replicated: quorum_seq(kept, duty, standing), reduced: duty.is_reduced() }
    }

    /// What the current replicas have not signed for, of a log that ends at `head`. `is_ours` says whether a head lies in
    /// that log, or goes on from its end: who signed for more than we have signed for what we have.
    #[must_use]
    pub fn owed(
        &self,
        duty: &Duty,
        standing: &Standing,
        head: Head,
        is_ours: impl Fn(&Head) -> bool,
    ) -> Vec<LogDebt> {
        let kept: BTreeMap<&PeerId, u64> = self
            .lives
            .current(standing)
            .filter_map(|Said { peer, said, .. }| Some((peer, highest(&said.keeps, &is_ours)?)))
            .collect();
        duty.current
            .iter()
            .map(|holder| LogDebt { holder: *holder, from: kept.get(holder).map_or(0, |seq| seq + 1) })
            .filter(|debt| debt.from <= head.seq)
            .collect()
    }

    /// Forgets the receipts of those who are no longer members.
    pub fn retain_members(&mut self, standing: &Standing) {
        self.lives.retain(standing);
    }
}

fn highest(heads: &BTreeSet<(u64, EntryId)>, is_ours: impl Fn(&Head) -> bool) -> Option<u64> {
    heads.iter().rev().find(|(seq, entry)| is_ours(&Head { seq: *seq, entry: *entry })).map(|(seq, _)| *seq)
}

/// The highest sequence number that a quorum keeps, in as many zones as the quorum could have.
fn quorum_seq(mut kept: Vec<(u64, PeerId)>, duty: &Duty, standing: &Standing) -> Option<u64> {
    let quorum = duty.quorum();
    let zones_there_are: BTreeSet<_> = duty.current.iter().filter_map(|peer| standing.zone(peer)).collect();
    let zones_wanted = zones_there_are.len().min(quorum);
    kept.sort_unstable_by(|one, other| other.cmp(one));
    let mut zones = BTreeSet::new();
    kept.iter().zip(1..).find_map(|((seq, peer), count)| {
        zones.extend(standing.zone(peer));
        (quorum > 0 && count >= quorum && zones.len() >= zones_wanted).then_some(*seq)
    })
}

//! What nobody honest does, by whom, and for how long he is kept out: scores that fade, and bans that end.

use std::{collections::HashMap, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use prometheus_client::encoding::EncodeLabelValue;

use super::origin::Block;

/// The score at which a peer is kept out: two lies within three minutes that a broken program does not tell.
const PEER_BAN_SCORE: u32 = 80;
/// A score is half as high after five minutes.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// Offenders remembered; beyond that those who are not banned go first, the longest quiet first. 1 MB.
const OFFENDERS_MAX: usize = 8192;

/// Evidence that a peer is not honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[non_exhaustive]
pub enum Offence {
    /// A signature under a record or entry that does not hold.
    BadSignature,
    /// A session proof that was not made by who brings it, or not for this session.
    ForgedProof,
    /// A frame longer than its protocol allows.
    OversizedFrame,
    /// Bytes that hash to something else than they were announced as.
    WrongBytes,
    /// A message that cannot be read, or has no place where it came.
    Malformed,
    /// A handshake that was none.
    Handshake,
}

impl Offence {
    pub(crate) const ALL: [Self; 6] = [
        Self::BadSignature,
        Self::ForgedProof,
        Self::OversizedFrame,
        Self::WrongBytes,
        Self::Malformed,
        Self::Handshake,
    ];

    /// How much it weighs against a ban, at 80 for a peer.
    const fn weight(self) -> u32 {
        match self {
            // Nothing but intent, or a disk that lies, makes these.
            Self::BadSignature | Self::ForgedProof | Self::WrongBytes => 50,
            // So does a peer of another version now and then.
            Self::OversizedFrame | Self::Malformed => 25,
            // So does whoever looks every few seconds whether the port is open.
            Self::Handshake => 1,
        }
    }
}

/// Who may be kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Offender {
    Peer(PeerId),
    Address(Block),
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Offences {
    records: HashMap<Offender, Record>,
}

#[derive(Debug)]
struct Record {
    score: f64,
    at: Timestamp,
    banned_until: Option<Timestamp>,
}

impl Offences {
    /// `offender` did it, and is kept out for `ban` when its score reaches `limit`: whether that begins now.
    pub(crate) fn count(
        &mut self,
        (offender, limit): (Offender, u32),
        offence: Offence,
        ban: Duration,
        now: Timestamp,
    ) -> bool {
        if self.records.len() >= OFFENDERS_MAX && !self.records.contains_key(&offender) {
            self.forget(now);
        }
        let record =
            self.records.entry(offender).or_insert(Record { score: 0.0, at: now, banned_until: None });
        record.score = record.score_at(now) + f64::from(offence.weight());
        record.at = record.at.max(now);
        let begins = record.score >= f64::from(limit) && !record.is_banned(now);
        if begins {
            record.banned_until = Some(now.after(ban));
        }
        begins
    }

    /// The same of a peer.
    pub(crate) fn count_peer(
        &mut self,
        peer: PeerId,
        offence: Offence,
        ban: Duration,
        now: Timestamp,
    ) -> bool {
        self.count((Offender::Peer(peer), PEER_BAN_SCORE), offence, ban, now)
    }

    /// Whether `offender` is kept out now.
    pub(crate) fn is_banned(&self, offender: Offender, now: Timestamp) -> bool {
        self.records.get(&offender).is_some_and(|record| record.is_banned(now))
    }

    /// Who is kept out now, and for how long still, the longest first.
    pub(crate) fn banned(&self, now: Timestamp) -> Vec<(Offender, Duration)> {
        let left = |record: &Record| {
            record.banned_until.map(|until| until.since(now)).filter(|left| !left.is_zero())
        };
        let mut banned: Vec<_> =
            self.records.iter().filter_map(|(offender, record)| Some((*offender, left(record)?))).collect();
        banned.sort_unstable_by_key(|(offender, left)| (std::cmp::Reverse(*left), *offender));
        banned
    }

    /// Forgets what `offender` did; whether it was kept out.
    pub(crate) fn pardon(&mut self, offender: Offender, now: Timestamp) -> bool {
        self.records.remove(&offender).is_some_and(|record| record.is_banned(now))
    }

    fn forget(&mut self, now: Timestamp) {
        let mut records: Vec<_> = self
            .records
            .iter()
            .map(|(offender, record)| (record.is_banned(now), record.at, *offender))
            .collect();
        records.sort_unstable();
        for (_, _, offender) in records.iter().take(records.len().div_ceil(2)) {
            self.records.remove(offender);
        }
    }
}

impl Record {
    fn score_at(&self, now: Timestamp) -> f64 {
        self.score * (-now.since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
    }

    fn is_banned(&self, now: Timestamp) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests;

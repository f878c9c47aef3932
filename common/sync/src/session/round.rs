//! Rounds: both sides agree on a head set, wait until they hold it, and compare roots over it.
//!
//! ```text
//! idle ─ quiet, or their Mark ─► marking ─ both Marks ─► filling ─ all here ─► (identifying) ─► rooted ─ both Roots ─► idle
//! ```
//! A mark says "what I told you up to here counts". The stream keeps order, so both sides know the same
//! head set without sending it. Writes go on meanwhile and belong to the next round.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    hash,
    heads::{Head, Heads},
    id::{ChannelId, EntryId, Hash, LogId},
};
use cosmic_space::root::channel_root;

use super::{Phase, Session, Step};
use crate::{
    door::{End, Output, Place, Report, Ticket, Timer},
    ledger::{Held, Tier},
    message::{Mark, Message, Roots},
    refusal::Refusal,
};

/// Hashed over the roots of all shared channels for reports; never on the wire.
const COMBINED_CONTEXT: &str = "cosmic combined root 1";

/// Entries by log, as one side has told them.
type Counts = BTreeMap<LogId, u64>;

/// One round under way.
#[derive(Debug)]
pub(super) struct Round {
    number: u64,
    /// What we had told when we sent our mark, where it is more than agreed before.
    told: Counts,
    /// What they had told when their mark came.
    theirs: Option<Counts>,
    stage: Stage,
    their_roots: Option<BTreeMap<ChannelId, Hash>>,
}

#[derive(Debug)]
enum Stage {
    /// Their mark is awaited.
    Marking,
    /// The head set is agreed; these logs are not here yet.
    Filling { target: Counts, missing: BTreeSet<LogId> },
    /// The driver looks up entries below heads that have moved on.
    Identifying { target: Counts, ticket: Ticket, places: Vec<Place>, heads: BTreeMap<ChannelId, Heads> },
    /// Our roots are sent.
    Rooted { target: Counts, roots: BTreeMap<ChannelId, Hash> },
}

impl Session {
    pub(super) fn is_identifying(&self) -> bool {
        self.round.as_ref().is_some_and(|round| matches!(round.stage, Stage::Identifying { .. }))
    }

    /// Sends our mark.
    pub(super) fn begin_round(&mut self) {
        let number = self.next_round;
        self.next_round += 1;
        let told = self.counts(|view| view.told);
        self.round = Some(Round { number, told, theirs: None, stage: Stage::Marking, their_roots: None });
        self.send(Message::Mark(Mark { round: number }));
    }

    fn counts(&self, of: impl Fn(&crate::ledger::View) -> u64) -> Counts {
        self.ledger.moved.iter().filter_map(|log| Some((*log, of(self.ledger.view(log)?)))).collect()
    }

    /// Their mark: with ours, the head set of the round is known.
    pub(super) fn marked(&mut self, mark: Mark) -> Step {
        if self.round.is_none() && mark.round == self.next_round {
            self.begin_round();
        }
        let theirs = self.counts(|view| view.theirs);
        let round = self.round.as_mut().filter(|round| round.number == mark.round && round.theirs.is_none());
        let round = round.ok_or(Refusal::OutOfPlace("a mark"))?;
        let mut target = round.told.clone();
        for (log, count) in &theirs {
            let agreed = target.entry(*log).or_default();
            *agreed = (*agreed).max(*count);
        }
        target.retain(|log, count| self.ledger.view(log).is_some_and(|view| *count > view.agreed));
        round.theirs = Some(theirs);
        round.stage = Stage::Filling { missing: target.keys().copied().collect(), target };
        self.phase = Phase::Open;
        Ok(())
    }

    /// Moves the round on as far as it goes.
    pub(super) fn advance_round(&mut self) -> Step {
        if self.is_filled() {
            self.collect_heads();
        }
        self.conclude();
        Ok(())
    }

    /// Whether the agreed head set is here, as far as it can be.
    fn is_filled(&mut self) -> bool {
        let membership_complete = self.ledger.due(Tier::Membership).missing.is_empty();
        let Some(Round { stage: Stage::Filling { target, missing }, .. }) = &mut self.round else {
            return false;
        };
        while let Some(log) = missing.first() {
            let wanted = target.get(log).copied().unwrap_or(0);
            let done = self.ledger.view(log).is_none_or(|view| match view.held {
                None => view.count() >= wanted,
                Some(Held::Waiting) => view.count() >= wanted || membership_complete,
                Some(Held::Aside) => true,
            });
            if !done {
                return false;
            }
            missing.pop_first();
        }
        true
    }

    /// The heads of the agreed set in the channels where it moved; those we have passed are looked up.
    fn collect_heads(&mut self) {
        let Some(round) = &mut self.round else { return };
        let Stage::Filling { target, .. } = &mut round.stage else { return };
        let target = std::mem::take(target);
        let of_target = target.keys().filter_map(|log| Some(self.ledger.view(log)?.channel));
        let channels: BTreeSet<ChannelId> = of_target.chain(self.differing.iter().copied()).collect();
        let mut places = Vec::new();
        let mut heads = BTreeMap::new();
        for channel in channels {
            let mut of_channel = Heads::new();
            for (log, view) in self.ledger.logs_of(&channel) {
                let wanted = target.get(log).copied().unwrap_or(view.agreed);
                let (Some(seq), Some(mine)) = (wanted.checked_sub(1), view.mine) else { continue };
                if mine.seq > seq {
                    places.push(Place { channel, log: *log, seq });
                } else {
                    of_channel.insert(*log, mine);
                }
            }
            heads.insert(channel, of_channel);
        }
        if places.is_empty() {
            self.send_roots(target, &heads);
            return;
        }
        let ticket = self.ticket();
        self.outputs.push(Output::Identify { ticket, places: places.clone() });
        if let Some(round) = &mut self.round {
            round.stage = Stage::Identifying { target, ticket, places, heads };
        }
    }

    pub(super) fn identified(&mut self, ticket: Ticket, ids: &[EntryId]) -> Step {
        let Some(round) = &mut self.round else { return Ok(()) };
        let Stage::Identifying { target, ticket: asked, places, heads } = &mut round.stage else {
            return Ok(());
        };
        if *asked != ticket {
            return Ok(());
        }
        if ids.len() != places.len() {
            return Err(End::Unable);
        }
        let (target, mut heads) = (std::mem::take(target), std::mem::take(heads));
        for (place, entry) in places.iter().zip(ids) {
            let head = Head { seq: place.seq, entry: *entry };
            heads.entry(place.channel).or_default().insert(place.log, head);
        }
        self.send_roots(target, &heads);
        Ok(())
    }

    fn send_roots(&mut self, target: Counts, heads: &BTreeMap<ChannelId, Heads>) {
        let Some(round) = &mut self.round else { return };
        let roots: BTreeMap<ChannelId, Hash> =
            heads.iter().map(|(channel, heads)| (*channel, channel_root(channel, heads))).collect();
        let message = Message::Root(Roots { round: round.number, roots: roots.clone() });
        round.stage = Stage::Rooted { target, roots };
        self.send(message);
    }

    /// Their roots, which may come before ours are ready.
    pub(super) fn compared(&mut self, roots: Roots) -> Step {
        if let Some(channel) = roots.roots.keys().find(|channel| !self.shares(channel)) {
            return Err(Refusal::Channel(*channel).into());
        }
        let round = self.round.as_mut().filter(|round| {
            round.number == roots.round && round.theirs.is_some() && round.their_roots.is_none()
        });
        round.ok_or(Refusal::OutOfPlace("roots"))?.their_roots = Some(roots.roots);
        Ok(())
    }

    /// Compares, when both sides' roots are here.
    fn conclude(&mut self) {
        let is_ready =
            |round: &mut Round| round.their_roots.is_some() && matches!(round.stage, Stage::Rooted { .. });
        let Some(round) = self.round.take_if(is_ready) else { return };
        let (Stage::Rooted { target, roots }, Some(theirs)) = (round.stage, round.their_roots) else {
            return;
        };
        for (log, count) in &target {
            self.ledger.change(log, |view| view.agreed = *count);
        }
        let first_time = self.differing.is_empty() || round.number == 0;
        let all: BTreeSet<ChannelId> = roots.keys().chain(theirs.keys()).copied().collect();
        self.differing =
            all.into_iter().filter(|channel| roots.get(channel) != theirs.get(channel)).collect();
        self.roots.extend(roots);
        if self.differing.is_empty() {
            self.status.rounds_equal += 1;
            let root = self.combined_root();
            self.report(Report::Equal { round: round.number, root });
            return;
        }
        self.status.rounds_differing += 1;
        let channels = self.differing.iter().copied().collect();
        self.report(Report::Differ { round: round.number, channels, stays: !first_time });
        if first_time {
            self.try_lower_rung();
        }
    }

    /// Tells every head of the differing channels again, with ids, and compares once more.
    fn try_lower_rung(&mut self) {
        self.tell_channels(&self.differing.clone());
        self.begin_round();
    }

    /// One hash over all shared channels.
    pub(super) fn combined_root(&self) -> Hash {
        let parts: Vec<&[u8]> = self
            .roots
            .iter()
            .flat_map(|(channel, root)| [channel.as_bytes().as_slice(), root.as_bytes().as_slice()])
            .collect();
        Hash::from_bytes(hash::derive(COMBINED_CONTEXT, &parts))
    }

    /// Waits for quiet when heads have moved since the last round.
    pub(super) fn arm_quiet(&mut self) {
        if !self.timers.quiet_runs && self.round.is_none() && !self.ledger.moved.is_empty() {
            self.timers.quiet_runs = true;
            self.timers.first_change = self.now;
            self.outputs.push(Output::Arm { timer: Timer::Quiet, after: self.config.quiet() });
        }
    }

    pub(super) fn quiet_fired(&mut self) {
        self.timers.quiet_runs = false;
        if self.phase != Phase::Open || self.round.is_some() || self.ledger.moved.is_empty() {
            return;
        }
        let to_quiet = self.config.quiet().saturating_sub(self.now.since(self.timers.changed));
        let to_latest = self.config.root_latest().saturating_sub(self.now.since(self.timers.first_change));
        let after = to_quiet.min(to_latest);
        if after.is_zero() {
            self.begin_round();
            return;
        }
        self.timers.quiet_runs = true;
        self.outputs.push(Output::Arm { timer: Timer::Quiet, after });
    }
}

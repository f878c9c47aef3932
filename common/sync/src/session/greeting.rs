//! From hello to open: channel roots are compared first, and heads are told only where those differ.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, LogId},
};
use cosmic_space::root::channel_root;

use super::{Phase, Session, Step};
use crate::{
    config::{CHANNELS_MAX, HEADS_MAX},
    door::Report,
    ledger::Held,
    message::{Hello, Interest, Message, Told},
    refusal::Refusal,
};

impl Session {
    /// Their hello: what is shared, and where the two differ.
    pub(super) fn greeted(&mut self, hello: Hello) -> Step {
        let asked_for = if let Interest::Only(channels) = &hello.interest { channels.len() } else { 0 };
        if hello.roots.len().max(asked_for) > CHANNELS_MAX {
            return Err(Refusal::TooManyChannels.into());
        }
        self.outbox.open(hello.window_bytes.min(self.config.window_bytes));
        self.their_interest = hello.interest;
        self.phase = Phase::Comparing;
        let shared: BTreeSet<ChannelId> = self
            .roots
            .keys()
            .chain(hello.roots.keys())
            .filter(|channel| self.shares(channel))
            .copied()
            .collect();
        if shared.len() > CHANNELS_MAX {
            return Err(Refusal::TooManyChannels.into());
        }
        // Channels that came up after our hello stay in the ledger: they will be pushed.
        let (interest, membership) = (self.their_interest.clone(), self.membership);
        self.ledger.keep_channels(|channel| *channel == membership || interest.has(channel));
        let ours = std::mem::take(&mut self.roots);
        let mut differing = BTreeSet::new();
        for channel in shared {
            let none = channel_root(&channel, &Heads::new());
            let (mine, theirs) =
                (ours.get(&channel).unwrap_or(&none), hello.roots.get(&channel).unwrap_or(&none));
            self.roots.insert(channel, *mine);
            if mine == theirs {
                self.settle(&channel);
            } else {
                differing.insert(channel);
            }
        }
        self.compare(differing);
        Ok(())
    }

    /// A channel with equal roots: the peer has what our hello summed up.
    fn settle(&mut self, channel: &ChannelId) {
        let logs: Vec<LogId> = self.ledger.logs_of(channel).map(|(log, _)| *log).collect();
        for log in logs {
            self.ledger.change(&log, |view| {
                view.peer_has(view.told);
                view.offered = view.told;
                view.agreed = view.told;
            });
        }
    }

    /// Tells all heads where roots differ, or finds the first round done.
    fn compare(&mut self, differing: BTreeSet<ChannelId>) {
        if differing.is_empty() {
            self.phase = Phase::Open;
            self.next_round = 1;
            self.status.rounds_equal += 1;
            let root = self.combined_root();
            self.report(Report::Equal { round: 0, root });
            return;
        }
        // Heads told by the hello were summed up only; now they are told one by one, as they are now.
        self.tell_channels(&differing);
        self.differing = differing;
        self.begin_round();
    }

    /// Tells all heads of some channels, so that the peer can fetch what it lacks and find forks.
    pub(super) fn tell_channels(&mut self, channels: &BTreeSet<ChannelId>) {
        let mut all = Vec::new();
        for channel in channels {
            for (log, head) in self.ledger.heads_of(channel) {
                self.ledger.change(&log, |view| {
                    view.told = view.count();
                    view.offered = view.told;
                });
                all.push((*channel, log, head));
            }
        }
        self.send_heads(&all);
    }

    /// Sends heads in messages of bounded size, with the acknowledgement as it stands.
    pub(super) fn send_heads(&mut self, heads: &[(ChannelId, LogId, Head)]) {
        for part in heads.chunks(HEADS_MAX) {
            let mut by_channel: BTreeMap<ChannelId, Heads> = BTreeMap::new();
            for (channel, log, head) in part {
                by_channel.entry(*channel).or_default().insert(*log, *head);
            }
            let taken_bytes = self.inbox.acknowledge();
            self.send(Message::Heads(Told { heads: by_channel, taken_bytes }));
        }
    }

    /// Heads they told: what they have, and what of ours they have stored.
    pub(super) fn told(&mut self, told: Told) -> Step {
        self.outbox.acknowledged(told.taken_bytes)?;
        for (channel, heads) in told.heads {
            if !self.shares(&channel) {
                return Err(Refusal::Channel(channel).into());
            }
            for (log, head) in heads {
                self.told_head(channel, log, head)?;
            }
        }
        Ok(())
    }

    fn told_head(&mut self, channel: ChannelId, log: LogId, head: Head) -> Step {
        let end = head.seq.checked_add(1).ok_or(Refusal::Sequence(log))?;
        self.ledger.admit(channel, log)?;
        let forked = self.ledger.change(&log, |view| {
            view.peer_has(end);
            let forked = view.mine.is_some_and(|mine| mine.seq == head.seq && mine.entry != head.entry);
            let newly = forked && view.held != Some(Held::Aside);
            if newly {
                view.held = Some(Held::Aside);
            }
            newly
        });
        self.outbox.peer_has(&log, end);
        self.timers.changed = self.now;
        if forked == Some(true) {
            self.report(Report::Forked { channel, log });
        }
        Ok(())
    }
}

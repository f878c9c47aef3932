//! What the writer of a space knows of packs: the tails of its logs, and which runs of entries it may forget.

use cosmic_common::{id::LogId, time::Timestamp};
use cosmic_custody::Packed;
use cosmic_log::chain::LogState;
use cosmic_store::Span;

use super::{
    actor::Actor,
    append::Waiter,
    error::Error,
    handle::{Reply, Run, Thin},
};
use crate::tables::{ACKNOWLEDGED, Account, ENTRIES, FREEING, PACKS, REPLACED, TAILS};
use crate::{deletion, packs::first_freed};

impl Actor {
    /// Notes that runs lie in packs; the answer comes once that is durable.
    pub(super) fn packed(&mut self, runs: &[Run], reply: Reply<()>) {
        if self.relay.is_some() {
            drop(reply.send(Err(Error::NoReplica)));
            return;
        }
        for run in runs {
            self.note(run);
        }
        self.gathering.waiters.push(Waiter::Settle(reply));
    }

    fn note(&mut self, run: &Run) {
        let Packed { log, from, to, object } = run.packed;
        if self.state.logs.get(&log).is_none_or(|state| state.head().seq < to) {
            return;
        }
        let (space, batch) = (self.id, self.gathering.batch_mut());
        batch.put(&PACKS, &(space, log, to), &(from, object));
        batch.put(&FREEING, &(space, log, to), &Timestamp::default());
        deletion::note_pack(batch, space, &run.packed);
        let Some(tail) = self.state.tails.get(&log).copied().filter(|tail| tail.from == from) else { return };
        match tail.behind(run.entries, run.bytes) {
            Some(left) => {
                batch.put(&TAILS, &(space, log), &left);
                self.state.tails.insert(log, left);
            }
            None => {
                batch.delete(&TAILS, &(space, log));
                self.state.tails.remove(&log);
            }
        }
    }

    /// Forgets the entries of a run; the answer comes once that is durable.
    pub(super) fn free(&mut self, run: &Run, reply: Reply<()>) {
        if self.relay.is_some() {
            drop(reply.send(Err(Error::NoReplica)));
            return;
        }
        let Packed { log, from, to, .. } = run.packed;
        let (space, batch) = (self.id, self.gathering.batch_mut());
        batch.delete_span(&ENTRIES, &Span::range((log, first_freed(from))..=(log, to)));
        batch.delete(&FREEING, &(space, log, to));
        self.context.accounts.take_off(batch, &space, Account::Entries, run.entries);
        self.context.accounts.take_off(batch, &space, Account::EntryBytes, run.bytes);
        let usage = &mut self.state.usage;
        usage.entries = usage.entries.saturating_sub(run.entries);
        usage.entry_bytes = usage.entry_bytes.saturating_sub(run.bytes);
        self.gathering.waiters.push(Waiter::Settle(reply));
    }

    /// Forgets the bodies of a run that snapshots replace: its headers lie in the table from now on, and its pack is
    /// removed; the answer comes once that is durable.
    pub(super) fn thin(&mut self, thin: Thin, reply: Reply<()>) {
        if self.relay.is_some() {
            drop(reply.send(Err(Error::NoReplica)));
            return;
        }
        let Packed { log, to, object, .. } = thin.packed;
        let (space, now, batch) = (self.id, self.context.clock.now(), self.gathering.batch_mut());
        let entries = u64::try_from(thin.rows.len()).unwrap_or(u64::MAX);
        let bytes = thin.rows.iter().map(|(_seq, row)| row.len() as u64).sum::<u64>();
        for (seq, row) in &thin.rows {
            batch.put_slice(&ENTRIES, &(log, *seq), row);
        }
        for seq in &thin.replaced {
            batch.delete(&REPLACED, &(space, log, *seq));
        }
        for snapshot in &thin.snapshots {
            batch.delete_span(&ACKNOWLEDGED, &Span::prefix(&(space, *snapshot)));
        }
        batch.delete(&PACKS, &(space, log, to)).delete(&FREEING, &(space, log, to));
        deletion::unpack(batch, space, object, now);
        for (of, before, after) in [
            (Account::Entries, thin.entries, entries),
            (Account::EntryBytes, thin.bytes, bytes),
            (Account::DroppedBodies, 0, thin.bodies),
            (Account::DroppedBytes, 0, thin.body_bytes),
        ] {
            self.context.accounts.take_off(batch, &space, of, before);
            self.context.accounts.add(batch, &space, of, i64::try_from(after).unwrap_or(i64::MAX));
        }
        let usage = &mut self.state.usage;
        usage.entries = usage.entries.saturating_sub(thin.entries).saturating_add(entries);
        usage.entry_bytes = usage.entry_bytes.saturating_sub(thin.bytes).saturating_add(bytes);
        self.gathering.waiters.push(Waiter::Settle(reply));
    }

    /// An entry is kept from now on. Without its membership a space cannot be opened: that is not packed.
    pub(super) fn grow_tail(&mut self, log: LogId, seq: u64, bytes: usize) {
        let is_membership = |state: &LogState| state.open().channel == self.state.membership.channel();
        if self.state.logs.get(&log).is_some_and(is_membership) {
            return;
        }
        let now = self.context.clock.now();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let tail = self.state.tails.entry(log).or_insert_with(|| cosmic_custody::Tail::new(seq, now));
        tail.grow(bytes, now);
    }
}

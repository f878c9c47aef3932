//! Forgetting: the entries of a space that others keep by the ring go, log by log, its membership at the end.

use cosmic_common::{
    heads::Head,
    id::{ChannelId, Hash, LogId},
};
use cosmic_store::Span;

use super::{actor::Actor, append::Waiter, error::Error, handle::Reply};
use crate::{
    duty,
    tables::{
        ACKNOWLEDGED, Account, BODIES, CLAIMANTS, CLAIMS, ENTRIES, FORKS, FREEING, LEAVING, LOGS, ORDER,
        PACKED, PACKS, REMOVALS, REPLACED, SNAPSHOTS, SPACES, TAILS, TOMBSTONES, UNSETTLED, USAGE,
    },
};

/// Logs that are to be forgotten together.
#[derive(Debug, Clone)]
pub struct Forgotten {
    /// The logs, and where they ended when their replicas were asked.
    pub logs: Vec<(ChannelId, LogId, Head)>,
    /// How many entries they have here.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The ring table by which the replicas were asked.
    pub ring: Hash,
    /// Whether nothing else of the space is left.
    pub is_last: bool,
}

impl Actor {
    /// Forgets logs; the answer comes once that is durable.
    pub(super) fn forget(&mut self, part: &Forgotten, reply: Reply<()>) {
        match self.may_forget(part) {
            Ok(true) => {}
            Ok(false) => return drop(reply.send(Err(Error::StillReplica))),
            Err(error) => return drop(reply.send(Err(error.into()))),
        }
        let (space, batch) = (self.id, self.gathering.batch_mut());
        for (channel, log, _head) in &part.logs {
            batch.delete_span(&ENTRIES, &Span::prefix(log));
            batch.delete_span(&FORKS, &Span::prefix(log));
            batch.delete_span(&PACKS, &Span::prefix(&(space, *log)));
            batch.delete_span(&FREEING, &Span::prefix(&(space, *log)));
            batch.delete_span(&BODIES, &Span::prefix(log));
            batch.delete_span(&REPLACED, &Span::prefix(&(space, *log)));
            batch.delete(&TAILS, &(space, *log)).delete(&LOGS, &(space, *channel, *log));
        }
        self.context.accounts.take_off(batch, &space, Account::Entries, part.entries);
        self.context.accounts.take_off(batch, &space, Account::EntryBytes, part.bytes);
        if part.is_last {
            batch.delete_span(&ORDER, &Span::prefix(&space));
            batch.delete_span(&CLAIMS, &Span::prefix(&space));
            batch.delete_span(&CLAIMANTS, &Span::prefix(&space));
            batch.delete_span(&PACKED, &Span::prefix(&space));
            batch.delete_span(&TOMBSTONES, &Span::prefix(&space));
            batch.delete_span(&UNSETTLED, &Span::prefix(&space));
            batch.delete_span(&REMOVALS, &Span::prefix(&space));
            batch.delete_span(&SNAPSHOTS, &Span::prefix(&space));
            batch.delete_span(&ACKNOWLEDGED, &Span::prefix(&space));
            batch.delete(&SPACES, &space).delete(&LEAVING, &space);
            for of in [Account::DroppedBodies, Account::DroppedBytes] {
                let counted = self.context.store.get(&USAGE, &(space, of as u8)).ok().flatten();
                self.context.accounts.add(
                    self.gathering.batch_mut(),
                    &space,
                    of,
                    -counted.unwrap_or_default(),
                );
            }
        }
        self.gathering.waiters.push(Waiter::Settle(reply));
    }

    /// Whether everything is still as it was when the replicas were asked: another ring might have made this one of them.
    fn may_forget(&self, part: &Forgotten) -> Result<bool, cosmic_store::Error> {
        let is_same_ring = duty::digest(&self.context.ring_view()) == part.ring;
        if self.relay.is_none() || self.is_replica() || !is_same_ring {
            return Ok(false);
        }
        for (channel, log, head) in &part.logs {
            let row = self.context.store.get(&LOGS, &(self.id, *channel, *log))?;
            if row.is_none_or(|row| row.head != *head) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A space that was on its way out belongs here again: before anything is signed for it that is written down.
    pub(super) fn stay(&mut self) -> Result<(), Error> {
        if self.context.store.contains(&LEAVING, &self.id)? {
            let space = self.id;
            self.gathering.batch_mut().delete(&LEAVING, &space);
            self.cut();
        }
        Ok(())
    }
}

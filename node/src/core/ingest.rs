//! Entries from others: judged, stored, and applied as soon as what they rest on is here.

use std::collections::BTreeMap;

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, LogId, SpaceId},
};
use cosmic_log::{entry::Entry, fork::ForkProof};
use cosmic_space::{
    admission::{Comparison, Verdict, admit, compare},
    refusal::Refusal,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Core, space::Space};
use crate::error::Error;

/// What became of the entries of one log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOutcome {
    /// Where the log ends now.
    pub head: Option<Head>,
    /// Whether the rest is another branch than ours.
    pub forked: bool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Ingested {
    /// By log.
    pub logs: BTreeMap<LogId, LogOutcome>,
    /// New entries.
    pub stored: usize,
}

impl Core {
    /// Stores a batch of entries that a peer sent, in the order they came. Each frame is checked to be of the
    /// log and place its run says.
    ///
    /// # Errors
    /// [`Error::Space`] or [`Error::Entry`] if an entry can never stand (nothing of the batch is stored then), or
    /// the database's error.
    pub fn ingest(&mut self, connection: &Connection, id: &SpaceId, runs: &[Run]) -> Result<Ingested, Error> {
        self.with_space(connection, id, |core, space| {
            let mut ingested = Ingested::default();
            for run in runs {
                let entries: Vec<Entry> =
                    run.frames.iter().map(|frame| Entry::from_bytes(frame)).collect::<Result<_, _>>()?;
                if run.channel == space.membership_channel() {
                    space.membership.learn(&entries);
                }
                let outcome = space.ingest_run(core, connection, run, &entries, &mut ingested.stored)?;
                ingested.logs.insert(run.log, outcome);
            }
            if ingested.stored > 0 {
                space.take_secrets(core, connection)?;
                space.apply_waiting(core, connection)?;
                space.acknowledge(core, connection)?;
            }
            Ok(ingested)
        })
    }
}

/// Consecutive entries of one log, as a peer sent them.
#[derive(Debug, Clone)]
pub struct Run {
    /// The channel.
    pub channel: ChannelId,
    /// The log.
    pub log: LogId,
    /// The place of the first.
    pub from: u64,
    /// The entries.
    pub frames: Vec<Vec<u8>>,
}

impl Space {
    fn ingest_run(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        run: &Run,
        entries: &[Entry],
        stored: &mut usize,
    ) -> Result<LogOutcome, Error> {
        let mut outcome = LogOutcome::default();
        for (entry, seq) in entries.iter().zip(run.from..) {
            if entry.core().log != run.log || entry.core().seq != seq {
                return Err(Refusal::Chain(cosmic_log::chain::Refusal::OtherLog).into());
            }
            match admit(&self.membership, self.logs.get(&run.log), entry) {
                Verdict::Admit(state) => {
                    if state.open().channel != run.channel || state.open().space != self.id {
                        return Err(Refusal::OtherSpace.into());
                    }
                    self.store(core, connection, state, entry, false)?;
                    self.waiting.insert(run.log);
                    *stored += 1;
                }
                Verdict::Taken => {
                    if self.is_fork(connection, entry)? {
                        outcome.forked = true;
                        break;
                    }
                }
                // The log ends here for now; the session asks again when membership has moved.
                Verdict::Wait(_missing) => break,
                Verdict::Refuse(refusal) => return Err(refusal.into()),
            }
        }
        outcome.head = self.logs.get(&run.log).map(cosmic_log::chain::LogState::head);
        Ok(outcome)
    }

    /// Whether a taken place holds another entry; the proof is kept then.
    fn is_fork(&self, connection: &Connection, theirs: &Entry) -> Result<bool, Error> {
        let core = theirs.core();
        let Some(state) = self.logs.get(&core.log) else { return Ok(false) };
        let ours: Option<Vec<u8>> = connection
            .prepare_cached("SELECT bytes FROM entries WHERE log = ?1 AND seq = ?2")?
            .query_row(params![core.log.as_bytes(), core.seq], |row| row.get(0))
            .optional()?;
        let Some(ours) = ours else { return Ok(false) };
        match compare(state, &Entry::from_bytes(&ours)?, theirs) {
            Comparison::Duplicate => Ok(false),
            Comparison::Forged(refusal) => Err(refusal.into()),
            Comparison::Fork(proof) => {
                keep_proof(connection, core.log, core.seq, &proof)?;
                Ok(true)
            }
        }
    }
}

fn keep_proof(connection: &Connection, log: LogId, seq: u64, proof: &ForkProof) -> Result<(), Error> {
    let bytes = cosmic_common::record::Record::to_bytes(proof);
    connection.execute(
        "INSERT OR IGNORE INTO forks (log, seq, proof) VALUES (?1, ?2, ?3)",
        params![log.as_bytes(), seq, bytes],
    )?;
    tracing::warn!(log = %log.short(), seq, "a writer has forked its log; the proof is kept");
    Ok(())
}

/// Whether the entry is here, and whether it was applied.
pub(super) fn is_applied(connection: &Connection, entry: &EntryId) -> Result<bool, Error> {
    let applied: Option<bool> = connection
        .prepare_cached("SELECT applied FROM entries WHERE id = ?1")?
        .query_row([entry.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(applied.unwrap_or(false))
}

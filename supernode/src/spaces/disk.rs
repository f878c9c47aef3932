//! A space on disk: reading it into memory, and the rows of each entry.

use cosmic_common::id::SpaceId;
use cosmic_log::{chain::LogState, entry::Entry};
use cosmic_store::{Batch, Span};

use super::{
    error::Error,
    state::{State, Taken},
};
use crate::{
    accounts::Accounts,
    context::Context,
    tables::{self, Account, ENTRIES, LOGS, LogRow, ORDER, SPACES, TAILS},
};

/// Membership entries of one space: far more than people can make, and a bound on what is loaded.
const MEMBERSHIP_MAX: usize = 1 << 20;
/// Logs of one space: what a sync session can speak about, many times over.
const LOGS_MAX: usize = 1 << 20;

/// Reads a space as it was left. Blocks.
pub(super) fn load(context: &Context, space: SpaceId) -> Result<State, Error> {
    let store = &context.store;
    let quota = tables::quota(store, &space, context.limits.quota)?;
    let mut state = State::new(space, tables::usage(store, &space)?, quota);
    state.known = store.get(&SPACES, &space)?.is_some();
    if !state.known {
        return Ok(state);
    }
    let mut membership = Vec::new();
    for row in store.scan(&ORDER, &Span::prefix(&space), MEMBERSHIP_MAX) {
        let ((_, order), place) = row?;
        state.next_order = order + 1;
        if let Some(bytes) = store.get(&ENTRIES, &place)? {
            membership.push(Entry::from_bytes(&bytes)?);
        }
    }
    state.membership.learn(&membership);
    for entry in &membership {
        state.membership.insert(entry)?;
    }
    for row in store.scan(&LOGS, &Span::prefix(&space), LOGS_MAX) {
        let ((_, _, log), LogRow { open, head }) = row?;
        state.logs.insert(log, LogState::restore(open, head));
    }
    for row in store.scan(&TAILS, &Span::prefix(&space), LOGS_MAX) {
        let ((_, log), tail) = row?;
        state.tails.insert(log, tail);
    }
    Ok(state)
}

/// Adds the rows of an entry that was just taken to a batch. The row of its log comes when the batch is cut.
pub(super) fn put_entry(accounts: &Accounts, batch: &mut Batch, state: &State, entry: &Entry, taken: &Taken) {
    let core = entry.core();
    batch.put_slice(&ENTRIES, &(core.log, core.seq), entry.as_bytes());
    if let Taken::New { order: Some(order), .. } = taken {
        batch.put(&ORDER, &(state.space, *order), &(core.log, core.seq));
    }
    let bytes = i64::try_from(entry.as_bytes().len()).unwrap_or(i64::MAX);
    accounts.add(batch, &state.space, Account::Entries, 1);
    accounts.add(batch, &state.space, Account::EntryBytes, bytes);
}

/// Adds the row of a log as it stands now.
pub(super) fn put_log(batch: &mut Batch, space: &SpaceId, state: &LogState) {
    let row = LogRow { open: *state.open(), head: state.head() };
    batch.put(&LOGS, &(*space, state.open().channel, state.log()), &row);
}

//! What a read met and could not use: told to the scrub, which looks at it at once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use cosmic_common::id::{LogId, SpaceId};
use cosmic_store::{Span, Store};
use tokio::sync::Notify;

use super::Thing;
use crate::tables::{LOGS, LogRow};

/// Things that wait to be looked at; more are found by the round.
const SUSPECTS_MAX: usize = 1024;

/// Things that wait to be looked at. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Suspects(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    things: Mutex<BTreeSet<Thing>>,
    told: Notify,
    emptied: Notify,
}

impl Suspects {
    /// Lets the scrub look at `thing`.
    pub fn report(&self, thing: Thing) {
        let mut things = self.0.things.lock().unwrap_or_else(PoisonError::into_inner);
        if things.len() < SUSPECTS_MAX {
            things.insert(thing);
        }
        drop(things);
        self.0.told.notify_one();
    }

    /// Lets the scrub look at entry `seq` of `log`; the row of the log. Blocks while it looks for that.
    pub fn report_entry(&self, store: &Store, space: SpaceId, log: LogId, seq: u64) -> Option<LogRow> {
        let mut rows = store.scan(&LOGS, &Span::prefix(&space), usize::MAX).filter_map(Result::ok);
        let ((_, channel, _), row) = rows.find(|((_, _, other), _)| *other == log)?;
        self.report(Thing::Entry { space, channel, log, seq });
        Some(row)
    }

    /// Waits until all that were reported were looked at.
    pub(crate) async fn emptied(&self) {
        let emptied = self.0.emptied.notified();
        if !self.0.things.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            emptied.await;
        }
    }

    /// Waits for the next one. Safe to cancel.
    pub async fn next(&self) -> Thing {
        loop {
            let told = self.0.told.notified();
            let first = self.0.things.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            if let Some(thing) = first {
                return thing;
            }
            self.0.emptied.notify_waiters();
            told.await;
        }
    }
}

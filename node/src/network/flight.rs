//! Entries on their way to the gateway, for the batching rule; and when to ask again for receipts that did not come.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cosmic_common::id::LogId;
use cosmic_custody::message::ATTEST_MAX;
use cosmic_runtime::clock::Monotonic;

/// How long changes wait for the receipts of the entries before them, to be sealed together.
const BATCH_PATIENCE: Duration = Duration::from_millis(200);
/// The first pause before receipts are asked for again, doubled each time.
const ASK_FIRST: Duration = Duration::from_secs(2);
/// The longest pause: as long as a replica that comes back may take to be noticed.
const ASK_LAST: Duration = Duration::from_secs(60);

/// What is on its way to the gateway: entries that are here, and that it neither signed for nor is known to hold.
#[derive(Debug, Default)]
pub(super) struct Flight {
    logs: BTreeMap<LogId, Leg>,
    flying: BTreeSet<LogId>,
    since: Option<Monotonic>,
}

/// One log: how many entries are here, and how many there.
#[derive(Debug, Clone, Copy)]
struct Leg {
    here: u64,
    there: u64,
}

impl Flight {
    /// Nothing is on its way of what stands in `logs`, up to these last entries.
    pub(super) fn new(logs: Vec<(LogId, u64)>) -> Self {
        let leg = |last: u64| Leg { here: last + 1, there: last + 1 };
        let logs = logs.into_iter().map(|(log, last)| (log, leg(last))).collect();
        Self { logs, ..Self::default() }
    }

    /// A log has grown here, up to the entry `last`.
    pub(super) fn grown(&mut self, log: LogId, last: u64) {
        let leg = self.logs.entry(log).or_insert(Leg { here: 0, there: 0 });
        leg.here = leg.here.max(last + 1);
        if leg.there < leg.here {
            self.flying.insert(log);
        }
    }

    /// Somebody signed for a log up to the entry `last`.
    pub(super) fn arrived(&mut self, log: LogId, last: u64) {
        if let Some(leg) = self.logs.get_mut(&log) {
            leg.there = leg.there.max(last.saturating_add(1));
            if leg.there >= leg.here {
                self.flying.remove(&log);
            }
        }
    }

    /// Takes note of what the gateway holds without having signed for it: `holds` says how many entries of a log. The
    /// logs it should be asked to sign for.
    pub(super) fn reached(&mut self, holds: impl Fn(&LogId) -> u64) -> Vec<LogId> {
        let reached: Vec<(LogId, u64)> = self
            .flying
            .iter()
            .filter_map(|log| Some((*log, self.logs.get(log)?.there, holds(log))))
            .filter_map(|(log, there, held)| Some((log, held.checked_sub(1)?)).filter(|_| held > there))
            .take(usize::try_from(ATTEST_MAX).unwrap_or(usize::MAX))
            .collect();
        for (log, last) in &reached {
            self.arrived(*log, *last);
        }
        reached.into_iter().map(|(log, _last)| log).collect()
    }

    /// Entries on their way, as of `now`.
    pub(super) fn entries(&mut self, now: Monotonic) -> usize {
        let legs = self.flying.iter().filter_map(|log| self.logs.get(log));
        let entries: u64 = legs.map(|leg| leg.here.saturating_sub(leg.there)).sum();
        self.since = if entries == 0 { None } else { self.since.or(Some(now)) };
        usize::try_from(entries).unwrap_or(usize::MAX)
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    /// When changes have waited long enough, if any may be waiting.
    pub(super) fn overdue_at(&self) -> Option<Monotonic> {
        self.since.map(|since| since.after(BATCH_PATIENCE))
    }

    /// Nothing counts as on its way any more.
    pub(super) fn give_up(&mut self) {
        for log in std::mem::take(&mut self.flying) {
            if let Some(leg) = self.logs.get_mut(&log) {
                leg.there = leg.here;
            }
        }
    }
}

/// When receipts are asked for again: at the beginning, whenever both sides hold the same, and then ever more rarely
/// while some are owed.
#[derive(Debug, Default)]
pub(super) struct Asking {
    at: Option<Monotonic>,
    pause: Duration,
}

impl Asking {
    /// What is not signed for now may have been lost on its way.
    pub(super) fn begin(&mut self, now: Monotonic) {
        *self = Self { at: Some(now), pause: ASK_FIRST };
    }

    /// When to ask, if at all.
    pub(super) const fn at(&self) -> Option<Monotonic> {
        self.at
    }

    /// It was asked; `settled` if nothing was owed.
    pub(super) fn asked(&mut self, now: Monotonic, settled: bool) {
        self.at = (!settled).then(|| now.after(self.pause));
        self.pause = (self.pause * 2).min(ASK_LAST);
    }
}

/// When packs are asked for: at once when somebody wants one, again when its entries have become safe enough for a
/// replica to pack them, and ever more rarely while no answer comes.
#[derive(Debug, Default)]
pub(super) struct Wanting {
    asking: Asking,
    early: bool,
}

impl Wanting {
    /// Something is wanted, or may be.
    pub(super) fn begin(&mut self, now: Monotonic) {
        self.asking.begin(now);
    }

    /// Entries have become safer: those it was too early for may be ready.
    pub(super) fn safer(&mut self, now: Monotonic) {
        if self.early {
            self.begin(now);
        }
    }

    /// When to ask, if at all.
    pub(super) const fn at(&self) -> Option<Monotonic> {
        self.asking.at()
    }

    /// It was asked; `none` if there was nothing to ask for now, `early` if it was too early for something.
    pub(super) fn asked(&mut self, now: Monotonic, none: bool, early: bool) {
        self.asking.asked(now, none && !early);
        self.early = early;
    }
}

#[cfg(test)]
mod tests {
    use cosmic_common::time::Timestamp;
    use cosmic_runtime::clock::Clock;

    use super::*;

    fn start() -> Monotonic {
        Clock::manual(Timestamp::default()).0.monotonic()
    }

    fn log(byte: u8) -> LogId {
        LogId::from_bytes([byte; 32])
    }

    #[test]
    fn what_stood_before_is_not_on_its_way() {
        let mut flight = Flight::new(vec![(log(1), 4)]);
        assert_eq!(flight.entries(start()), 0);
        flight.grown(log(1), 6);
        flight.grown(log(2), 0);
        assert_eq!(flight.entries(start()), 3);
        flight.arrived(log(1), 5);
        assert_eq!(flight.entries(start()), 2);
        flight.arrived(log(1), 6);
        flight.arrived(log(2), 0);
        assert_eq!(flight.entries(start()), 0);
        assert_eq!(flight.overdue_at(), None);
    }

    #[test]
    fn what_the_gateway_got_elsewhere_is_asked_for_once() {
        let mut flight = Flight::default();
        flight.grown(log(1), 2);
        assert_eq!(flight.reached(|_log| 0), []);
        assert_eq!(flight.reached(|_log| 2), [log(1)]);
        assert_eq!(flight.entries(start()), 1);
        assert_eq!(flight.reached(|_log| 3), [log(1)]);
        assert_eq!(flight.reached(|_log| 3), []);
        assert_eq!(flight.entries(start()), 0);
    }

    #[test]
    fn waiting_ends_from_the_first_entry_on() {
        let (begun, later) = (start(), start().after(Duration::from_millis(150)));
        let mut flight = Flight::default();
        flight.grown(log(1), 0);
        assert_eq!(flight.entries(begun), 1);
        flight.grown(log(1), 1);
        assert_eq!(flight.entries(later), 2);
        assert_eq!(flight.overdue_at(), Some(begun.after(BATCH_PATIENCE)));
        flight.give_up();
        assert_eq!(flight.entries(later), 0);
    }

    #[test]
    fn a_pack_is_wanted_again_when_its_entries_are_safer() {
        let now = start();
        let mut wanting = Wanting::default();
        wanting.safer(now);
        assert_eq!(wanting.at(), None);
        wanting.begin(now);
        wanting.asked(now, true, true);
        assert_eq!(wanting.at(), Some(now.after(ASK_FIRST)));
        wanting.safer(now);
        assert_eq!(wanting.at(), Some(now));
        wanting.asked(now, false, false);
        wanting.safer(now);
        assert_eq!(wanting.at(), Some(now.after(ASK_FIRST)), "an answer is under way");
        wanting.asked(now, true, false);
        assert_eq!(wanting.at(), None);
    }

    #[test]
    fn asking_becomes_rarer_and_ends() {
        let now = start();
        let mut asking = Asking::default();
        assert_eq!(asking.at(), None);
        asking.begin(now);
        assert_eq!(asking.at(), Some(now));
        asking.asked(now, false);
        assert_eq!(asking.at(), Some(now.after(ASK_FIRST)));
        for _ in 0..10 {
            asking.asked(now, false);
        }
        assert_eq!(asking.at(), Some(now.after(ASK_LAST)));
        asking.asked(now, true);
        assert_eq!(asking.at(), None);
    }
}

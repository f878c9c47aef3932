//! The repair queue of one supernode: the most endangered object first, within the budget, each item with its reason.
//!
//! ```text
//!            my turn, budget, room               granted                 done
//! Waiting ───────────────────────▶ Asking lease ─────────▶ Mending ──────────────▶ gone
//!    ▲                                  │ another's            │ failed, or lease over
//!    └──────────── until then ──────────┴──────────────────────┘
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cosmic_common::{
    id::{ObjectId, PeerId},
    time::Timestamp,
};

use super::{
    budget::{Allowance, Budget},
    health::{Danger, Need},
    lease::{LEASE, Lease, Turn, turn},
    plan::Stuck,
};
use crate::plan::rendezvous::rendezvous;

/// Objects one supernode keeps in mind for repair; beyond that the least endangered are forgotten until they are examined again.
pub const QUEUE_MAX: usize = 100_000;
/// The first pause after a failure; doubled after each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
/// The longest pause: what was stuck for days still goes on soon after its reason is gone.
const PAUSE_MOST: Duration = Duration::from_mins(30);
/// Doublings from the first to more than the longest pause.
const DOUBLINGS_MAX: u32 = 6;

/// What is set by the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What repairs may take.
    pub allowance: Allowance,
    /// Repairs at once; each holds an object in memory twice.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowance: Allowance::default(), at_once: 2 }
    }
}

/// What the queue learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An object was looked at.
    Examined {
        /// The object.
        object: ObjectId,
        /// What it needs.
        need: Need,
        /// How near it is to its end (`since` is replaced by when the queue first heard of it).
        danger: Danger,
        /// Those who can repair it.
        able: Vec<PeerId>,
        /// The bytes a repair will move, as far as known.
        bytes: u64,
    },
    /// Nothing of an object is kept here any more.
    Gone {
        /// The object.
        object: ObjectId,
    },
    /// A keeper of the placement record answered about a lease: mine, or another's. None: it has no room for more.
    Leased {
        /// The object.
        object: ObjectId,
        /// The lease that holds.
        lease: Option<Lease>,
    },
    /// No keeper of the placement record answered: the repair goes on without, since twice the work harms nobody.
    NobodyLeases {
        /// The object.
        object: ObjectId,
    },
    /// A repair is done, and the new receipts are in.
    Mended {
        /// The object.
        object: ObjectId,
        /// Bytes that were really moved.
        bytes: u64,
    },
    /// A repair did not succeed.
    Failed {
        /// The object.
        object: ObjectId,
        /// Why.
        failure: Failure,
        /// Bytes that were moved in vain.
        bytes: u64,
    },
    /// The operator stops repairs; those under way end.
    Pause,
    /// The operator lets them go on.
    Resume,
    /// Another allowance.
    Throttle(Allowance),
    /// People wait longer than they should, or do not.
    Pressure {
        /// Whether they do.
        pressed: bool,
    },
    /// Members came, went, or changed: what failed before may succeed now.
    RingChanged,
    /// Time has passed.
    Tick,
}

/// Why a repair did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing can be done now.
    Stuck(Stuck),
    /// Fewer than k of those asked gave their shard.
    Unread,
    /// New holders did not take theirs.
    Unplaced,
    /// It was not done within one lease.
    Late,
    /// The supernode's own disk or memory.
    Local,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Ask the keepers of the placement record of this object for a lease.
    AskLease(ObjectId),
    /// Plan and carry out the repair of this object, in the time of one lease. `panic` says which budget it counts against.
    Mend {
        /// The object.
        object: ObjectId,
        /// Whether it is in panic.
        panic: bool,
    },
    /// Tell the keepers of the placement record that the lease is not needed any more.
    EndLease(ObjectId),
    /// Come back at this time at the latest.
    Wake(Timestamp),
}

/// Why an object in the queue is not mended this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// It is being mended.
    Mending {
        /// Since when.
        since: Timestamp,
    },
    /// The operator paused repairs.
    Paused,
    /// Another supernode comes first for this object.
    Turn {
        /// Who.
        peer: PeerId,
        /// When it is ours.
        from: Timestamp,
    },
    /// This supernode has no part of it, and so cannot mend it.
    NotOurs,
    /// Another holds the lease.
    Leased {
        /// Who.
        peer: PeerId,
        /// Until when.
        until: Timestamp,
    },
    /// A lease was asked for.
    AskingLease {
        /// Since when.
        since: Timestamp,
    },
    /// The last attempt failed.
    Retry {
        /// Why.
        failure: Failure,
        /// How many did.
        attempts: u32,
        /// When the next one is.
        at: Timestamp,
    },
    /// The budget is used up.
    Budget {
        /// When there is more; none if it is nothing at all.
        until: Option<Timestamp>,
    },
    /// More endangered objects come first.
    Behind {
        /// How many.
        others: usize,
    },
}

/// The queue of one supernode.
#[derive(Debug, Clone)]
pub struct Queue {
    me: PeerId,
    at_once: usize,
    budget: Budget,
    paused: bool,
    items: BTreeMap<ObjectId, Item>,
    /// All of them, the most endangered first.
    order: BTreeSet<(Danger, ObjectId)>,
    /// Those that nothing but budget and room keeps from being mended, in the same order.
    ready: BTreeSet<(Danger, ObjectId)>,
    /// Those that have to wait until a moment.
    timers: BTreeSet<(Timestamp, ObjectId)>,
    /// Those a lease was asked for, and those that are being mended.
    busy: BTreeSet<ObjectId>,
}

#[derive(Debug, Clone)]
struct Item {
    danger: Danger,
    panic: bool,
    /// Those who can mend it, by rendezvous.
    order: Vec<PeerId>,
    bytes: u64,
    attempts: u32,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Its turn is looked at.
    Idle,
    Leased(Lease),
    Retry(Failure, Timestamp),
    Asking(Timestamp),
    Mending(Timestamp),
}

/// What was found about an object.
struct Wish {
    danger: Danger,
    panic: bool,
    able: Vec<PeerId>,
    bytes: u64,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub const fn new(me: PeerId, settings: Settings, now: Timestamp) -> Self {
        Self {
            me,
            at_once: settings.at_once,
            budget: Budget::new(settings.allowance, now),
            paused: false,
            items: BTreeMap::new(),
            order: BTreeSet::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            busy: BTreeSet::new(),
        }
    }

    /// Takes in what happened, and says what is to be done now.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Examined { object, need, danger, able, bytes } => {
                if need >= Need::Recode {
                    let danger = Danger { calm: need == Need::Recode, ..danger };
                    self.want(object, Wish { danger, panic: need == Need::Panic, able, bytes }, now);
                } else if !self.busy.contains(&object) {
                    self.forget(&object);
                }
            }
            Input::Gone { object } => {
                if !self.busy.contains(&object) {
                    self.forget(&object);
                }
            }
            Input::Leased { object, lease } => outputs.extend(self.leased(object, lease, now)),
            Input::NobodyLeases { object } => {
                let lease = Lease { peer: self.me, until: now.after(LEASE) };
                outputs.extend(self.leased(object, Some(lease), now));
            }
            Input::Mended { object, bytes } => {
                if self.settle(&object, bytes, now) {
                    self.forget(&object);
                    outputs.push(Output::EndLease(object));
                }
            }
            Input::Failed { object, failure, bytes } => {
                if self.settle(&object, bytes, now) {
                    self.retry(&object, failure, now);
                    outputs.push(Output::EndLease(object));
                }
            }
            Input::Pause => self.paused = true,
            Input::Resume => self.paused = false,
            Input::Throttle(allowance) => self.budget.allow(allowance),
            Input::Pressure { pressed: true } => self.budget.pressed(),
            Input::Pressure { pressed: false } => self.budget.eased(),
            Input::RingChanged => self.begin_anew(now),
            Input::Tick => {}
        }
        self.give_up_late_ones(now);
        self.wake_those_due(now);
        self.begin(now, &mut outputs);
        outputs.extend(self.next_wake(now).map(Output::Wake));
        outputs
    }

    /// Why `object` is not mended this moment; none if it is not in the queue.
    #[must_use]
    pub fn why(&self, object: &ObjectId, now: Timestamp) -> Option<Waiting> {
        let item = self.items.get(object)?;
        if let Some(obstacle) = self.obstacle(item, now) {
            return Some(obstacle);
        }
        if self.paused {
            return Some(Waiting::Paused);
        }
        let before = self.ready.range(..(item.danger, *object)).count();
        let others = before.saturating_add(self.busy.len());
        Some(match self.budget.ready_at(item.panic, now) {
            Some(at) if at <= now => Waiting::Behind { others },
            until => Waiting::Budget { until },
        })
    }

    /// The objects in the queue, the most endangered first.
    pub fn items(&self) -> impl Iterator<Item = (&ObjectId, &Danger)> {
        self.order.iter().map(|(danger, object)| (object, danger))
    }

    /// How many objects are in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many of them are in danger, or are only to be coded anew, and the bytes that will be moved for these.
    #[must_use]
    pub fn backlog(&self, calm: bool) -> (usize, u64) {
        let items = self.items.values().filter(|item| item.danger.calm == calm);
        items.fold((0, 0), |(count, bytes), item| (count + 1, item.bytes.saturating_add(bytes)))
    }

    /// Whether the operator paused repairs.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    fn want(&mut self, object: ObjectId, wish: Wish, now: Timestamp) {
        let before = self.items.get(&object).cloned();
        let was_busy = self.busy.contains(&object);
        self.forget(&object);
        let Wish { mut danger, panic, able, bytes } = wish;
        danger.since = before.as_ref().map_or(now, |item| item.danger.since);
        let (state, attempts) = before.map_or((State::Idle, 0), |item| (item.state, item.attempts));
        let order = rendezvous(&object, able);
        self.order.insert((danger, object));
        self.items.insert(object, Item { danger, panic, order, bytes, attempts, state });
        if was_busy {
            self.busy.insert(object);
        } else {
            self.file(&object, now);
        }
        if self.items.len() > QUEUE_MAX {
            let mut last = self.order.iter().rev().map(|(_danger, object)| *object);
            let last = last.find(|object| !self.busy.contains(object));
            last.into_iter().for_each(|object| self.forget(&object));
        }
    }

    fn forget(&mut self, object: &ObjectId) {
        if let Some(item) = self.items.remove(object) {
            let key = (item.danger, *object);
            self.order.remove(&key);
            self.ready.remove(&key);
            if let Some(until) = self.obstacle(&item, Timestamp::default()).and_then(Waiting::until) {
                self.timers.remove(&(until, *object));
            }
            self.busy.remove(object);
        }
    }

    /// Puts an item where it is found again: among the ready ones, or under the moment at which it may be.
    fn file(&mut self, object: &ObjectId, now: Timestamp) {
        let Some(item) = self.items.get(object) else { return };
        let key = (item.danger, *object);
        match self.obstacle(item, now) {
            None => {
                self.ready.insert(key);
            }
            Some(obstacle) => {
                self.ready.remove(&key);
                self.timers.extend(obstacle.until().map(|until| (until, *object)));
            }
        }
    }

    fn wake_those_due(&mut self, now: Timestamp) {
        while let Some((_until, object)) =
            self.timers.first().copied().filter(|(until, _object)| *until <= now)
        {
            self.timers.pop_first();
            if let Some(item) = self.items.get_mut(&object) {
                if !self.busy.contains(&object) {
                    item.state = State::Idle;
                }
                self.file(&object, now);
            }
        }
    }

    fn leased(&mut self, object: ObjectId, lease: Option<Lease>, now: Timestamp) -> Option<Output> {
        let (me, paused) = (self.me, self.paused);
        let item = self.items.get_mut(&object)?;
        if !matches!(item.state, State::Asking(_)) {
            return None;
        }
        let (bytes, panic) = (item.bytes, item.panic);
        item.state = match lease {
            Some(lease) if lease.peer == me && !paused => {
                item.state = State::Mending(now);
                return Some(Output::Mend { object, panic });
            }
            Some(lease) if lease.peer != me => State::Leased(lease),
            Some(_) | None => State::Leased(Lease { peer: me, until: now.after(PAUSE_FIRST) }),
        };
        self.budget.refund(bytes);
        self.busy.remove(&object);
        self.file(&object, now);
        None
    }

    /// Settles the account of an attempt; whether one was under way.
    fn settle(&mut self, object: &ObjectId, bytes: u64, now: Timestamp) -> bool {
        let Some(item) = self.items.get(object) else { return false };
        if !matches!(item.state, State::Mending(_)) {
            return false;
        }
        // What was thought to be moved was paid when it began.
        if bytes > item.bytes {
            self.budget.spend(bytes - item.bytes, item.panic, now);
        } else {
            self.budget.refund(item.bytes - bytes);
        }
        true
    }

    fn retry(&mut self, object: &ObjectId, failure: Failure, now: Timestamp) {
        if let Some(item) = self.items.get_mut(object) {
            let doublings = item.attempts.min(DOUBLINGS_MAX);
            item.attempts = item.attempts.saturating_add(1);
            let pause = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MOST);
            item.state = State::Retry(failure, now.after(pause));
            self.busy.remove(object);
            self.file(object, now);
        }
    }

    /// Forgets the failures of all that waits for another attempt.
    fn begin_anew(&mut self, now: Timestamp) {
        let failed = |(object, item): (&ObjectId, &Item)| match item.state {
            State::Retry(_failure, at) => Some((*object, at)),
            State::Idle | State::Leased(_) | State::Asking(_) | State::Mending(_) => None,
        };
        let failed: Vec<(ObjectId, Timestamp)> = self.items.iter().filter_map(failed).collect();
        for (object, at) in failed {
            self.timers.remove(&(at, object));
            if let Some(item) = self.items.get_mut(&object) {
                (item.state, item.attempts) = (State::Idle, 0);
            }
            self.file(&object, now);
        }
    }

    /// A lease that was asked for or given and is over frees its place: the house has stopped, or will.
    fn give_up_late_ones(&mut self, now: Timestamp) {
        let is_late = |object: &&ObjectId| self.deadline(object).is_none_or(|deadline| deadline <= now);
        let late: Vec<ObjectId> = self.busy.iter().filter(is_late).copied().collect();
        for object in late {
            self.busy.remove(&object);
            self.retry(&object, Failure::Late, now);
        }
    }

    fn deadline(&self, object: &ObjectId) -> Option<Timestamp> {
        match self.items.get(object)?.state {
            State::Asking(since) | State::Mending(since) => Some(since.after(LEASE)),
            State::Idle | State::Leased(_) | State::Retry(..) => None,
        }
    }

    fn begin(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        while !self.paused && self.busy.len() < self.at_once {
            let Some((danger, object)) = self.ready.first().copied() else { return };
            let Some(item) = self.items.get_mut(&object) else { return };
            if self.budget.ready_at(item.panic, now) != Some(now) {
                return;
            }
            self.budget.spend(item.bytes, item.panic, now);
            item.state = State::Asking(now);
            self.ready.remove(&(danger, object));
            self.busy.insert(object);
            outputs.push(Output::AskLease(object));
        }
    }

    /// What stands in the way of this object alone.
    fn obstacle(&self, item: &Item, now: Timestamp) -> Option<Waiting> {
        match item.state {
            State::Mending(since) => Some(Waiting::Mending { since }),
            State::Asking(since) => Some(Waiting::AskingLease { since }),
            State::Leased(Lease { peer, until }) => Some(Waiting::Leased { peer, until }),
            State::Retry(failure, at) => Some(Waiting::Retry { failure, attempts: item.attempts, at }),
            State::Idle => match turn(&item.order, self.me, item.danger.since, now) {
                Turn::Mine => None,
                Turn::Later { peer, from } => Some(Waiting::Turn { peer, from }),
                Turn::Never => Some(Waiting::NotOurs),
            },
        }
    }

    fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(until, _object)| *until);
        let deadline = self.busy.iter().filter_map(|object| self.deadline(object)).min();
        let may_begin = !self.paused && self.busy.len() < self.at_once;
        let ready = self.ready.first().filter(|_| may_begin).and_then(|(_danger, object)| {
            let panic = self.items.get(object)?.panic;
            self.budget.ready_at(panic, now)
        });
        [timer, deadline, ready].into_iter().flatten().min()
    }
}

impl Waiting {
    /// When it is over by itself, if there is such a moment and the queue need not be told.
    const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Turn { from: until, .. } | Self::Leased { until, .. } | Self::Retry { at: until, .. } => {
                Some(until)
            }
            Self::Mending { .. }
            | Self::AskingLease { .. }
            | Self::Paused
            | Self::NotOurs
            | Self::Budget { .. }
            | Self::Behind { .. } => None,
        }
    }
}

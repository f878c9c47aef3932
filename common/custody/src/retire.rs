//! Retire: how a supernode leaves without leaving anything behind, and says when it is done.
//!
//! ```text
//! Serving ─ drain ─▶ Draining ───── no clients ─────▶ Drained ─ retired by record ─▶ Moving ─ nothing kept ─▶ Empty
//!    ▲                  │                                 │
//!    └──── resume ──────┴─────────────────────────────────┘
//! ```
//! Clients have 60 s to go elsewhere; then they are cut off. Drained, it still keeps what it has: that is for maintenance.
//! Only the record of its operator starts the move: from then on no table names it, its copies are strays, and each goes
//! when its release ([`crate::release`]) says so.

use std::time::Duration;

use cosmic_common::time::Timestamp;
use cosmic_ring::State;

/// How long clients have to find another gateway before the rest are cut off.
pub const DRAIN: Duration = Duration::from_secs(60);

/// Where a supernode stands on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It serves clients.
    Serving,
    /// It takes no new ones and asks those it has to go elsewhere.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// It has no clients, and keeps what it has.
    Drained,
    /// It left the ring and passes on what it has.
    Moving {
        /// Since when.
        since: Timestamp,
        /// What is left.
        left: Left,
    },
    /// Nothing is left: the process may be ended and the disk wiped.
    Empty {
        /// Since when.
        since: Timestamp,
    },
}

/// What a supernode still keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Shards, those of others and whole objects included.
    pub shards: u64,
    /// Logs.
    pub logs: u64,
    /// Entries it owes to replicas.
    pub forwards: u64,
    /// Bytes of all.
    pub bytes: u64,
}

impl Left {
    /// Whether nothing is.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.shards == 0 && self.logs == 0 && self.forwards == 0
    }
}

/// What happens to a supernode on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Its operator drains it.
    Drain,
    /// Its operator lets it serve again.
    Resume,
    /// The state its member record has now; none if it never had one.
    Record(Option<State>),
    /// How many clients it has.
    Clients(usize),
    /// What it still keeps, counted by its store.
    Left(Left),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Take no new clients, and ask those there are to go elsewhere.
    TurnAway,
    /// Close the sessions of those who are still there.
    CutOff,
    /// Take clients again.
    Welcome,
    /// Pass on what is kept: hand every stray to where it belongs.
    Move,
    /// Say that nothing is left.
    SayEmpty,
    /// Come back at this time.
    Wake(Timestamp),
}

/// The way out of one supernode.
#[derive(Debug, Clone, Copy)]
pub struct Retirement {
    stage: Stage,
    clients: usize,
    drain: Duration,
    /// Whether those who were still there were cut off.
    is_cut_off: bool,
}

impl Default for Retirement {
    fn default() -> Self {
        Self::new(DRAIN)
    }
}

impl Retirement {
    /// A supernode that serves, and gives its clients so long to go elsewhere.
    #[must_use]
    pub const fn new(drain: Duration) -> Self {
        Self { stage: Stage::Serving, clients: 0, drain, is_cut_off: false }
    }

    /// Where it stands.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes in what happened, and says what is to be done now.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Drain => self.drain(now, &mut outputs),
            Input::Resume => {
                if matches!(self.stage, Stage::Draining { .. } | Stage::Drained) {
                    self.stage = Stage::Serving;
                    outputs.push(Output::Welcome);
                }
            }
            Input::Record(state) => self.record(state, now, &mut outputs),
            Input::Clients(clients) => self.clients = clients,
            Input::Left(left) => self.left(left, now, &mut outputs),
            Input::Tick => {}
        }
        if let Stage::Draining { since } = self.stage {
            let end = since.after(self.drain);
            if self.clients == 0 {
                self.stage = Stage::Drained;
            } else if now < end {
                outputs.push(Output::Wake(end));
            } else if !self.is_cut_off {
                self.is_cut_off = true;
                outputs.push(Output::CutOff);
            }
        }
        outputs
    }

    fn drain(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Draining { since: now };
            self.is_cut_off = false;
            outputs.push(Output::TurnAway);
        }
    }

    fn record(&mut self, state: Option<State>, now: Timestamp, outputs: &mut Vec<Output>) {
        match state {
            // A supernode that is declared lost while it lives has everything it had: it passes it on as well.
            Some(State::Retired | State::Lost) => {
                if matches!(self.stage, Stage::Serving | Stage::Draining { .. } | Stage::Drained) {
                    if self.stage == Stage::Serving {
                        outputs.push(Output::TurnAway);
                    }
                    if self.clients > 0 {
                        outputs.push(Output::CutOff);
                    }
                    self.stage = Stage::Moving { since: now, left: Left::default() };
                    outputs.push(Output::Move);
                }
            }
            Some(State::Active) => {
                if matches!(self.stage, Stage::Moving { .. } | Stage::Empty { .. }) {
                    self.stage = Stage::Serving;
                    outputs.push(Output::Welcome);
                }
            }
            None => {}
        }
    }

    fn left(&mut self, left: Left, now: Timestamp, outputs: &mut Vec<Output>) {
        match self.stage {
            Stage::Moving { .. } if left.is_nothing() => {
                self.stage = Stage::Empty { since: now };
                outputs.push(Output::SayEmpty);
            }
            Stage::Moving { since, .. } => {
                self.stage = Stage::Moving { since, left };
                outputs.push(Output::Move);
            }
            // A write that was on its way came in after all.
            Stage::Empty { since } if !left.is_nothing() => {
                self.stage = Stage::Moving { since, left };
                outputs.push(Output::Move);
            }
            Stage::Serving | Stage::Draining { .. } | Stage::Drained | Stage::Empty { .. } => {}
        }
    }
}

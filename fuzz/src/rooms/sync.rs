//! Messages of sync, and a session whose peer says anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, EntryId, Hash, LogId},
    record::Record,
    time::Timestamp,
};
use cosmic_sync::{
    config::Config,
    door::{Aside, Growth, Input, Outcome, Output, Report, StoreFailure, Summary, Ticket, Timer},
    message::{Frame, Hello, Interest, Mark, Message, Roots, Run, Span, StopReason, Told},
    session::Session,
};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "sync",
    decoders: &[decoder("message", check::only_record::<Message>), sampled(session_samples, session)],
};

const LOGS: u8 = 6;
const INTEREST: u8 = 8;

fn session_samples() -> Vec<Vec<u8>> {
    vec![
        // A hello, heads, a mark; then entries and stores in turn.
        vec![
            0, 0, 9, 9, 1, 1, 1, 1, 7, 0, 3, 0, 3, 1, 1, 0, 2, 2, 8, 0, 9, 3, 1, 1, 2, 2, 8, 0, 5, 0, 4, 0, 1,
        ],
        vec![0, 3, 200, 200, 4, 3, 0, 2, 1, 1, 0, 5, 10, 1, 11, 0, 8, 8, 12, 4, 1],
    ]
}

fn channel(number: u8) -> ChannelId {
    ChannelId::from_bytes([number % 4; 32])
}

/// Each log has its channel, and the peer may name another one.
fn log(number: u8) -> LogId {
    LogId::from_bytes([number % LOGS; 32])
}

fn head(end: u64, branch: u8) -> Option<Head> {
    Some(Head { seq: end.checked_sub(1)?, entry: EntryId::from_bytes([branch; 32]) })
}

/// One session with its driver, which answers as its contract says.
struct World {
    session: Session,
    now_ms: u64,
    /// How far the logs here go.
    ends: BTreeMap<LogId, u64>,
    jobs: VecDeque<Output>,
    armed: BTreeSet<Timer>,
    ended: bool,
    bytes_out: usize,
}

/// Whatever the peer says: no panic, at most one load and one timer of a kind, valid messages, silence after the end.
fn session(bytes: &[u8]) {
    const STEPS_MAX: usize = 400;
    let mut script = Script(bytes);
    let (mut world, outputs) = World::new(script.byte());
    world.take(outputs);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        if let Some(input) = world.input(&mut script) {
            world.put(input);
        }
    }
    std::hint::black_box(world.session.status());
    assert!(world.bytes_out < 64 << 20, "{} bytes sent", world.bytes_out);
}

impl World {
    fn new(shape: u8) -> (Self, Vec<Output>) {
        let mut channels: BTreeMap<ChannelId, Heads> = BTreeMap::new();
        let mut ends = BTreeMap::new();
        for number in (0..LOGS).filter(|number| shape >> number & 1 == 1) {
            let end = u64::from(number) + 1;
            channels.entry(channel(number)).or_default().extend(head(end, 0).map(|head| (log(number), head)));
            ends.insert(log(number), end);
        }
        let interest = match shape >> 6 {
            0 => Interest::Only([channel(1), channel(2)].into()),
            _ => Interest::All,
        };
        let config = Config { batch_bytes: 300, window_bytes: 1_000, ..Config::default() };
        let summary = Summary { membership: channel(0), channels, interest };
        let (session, outputs) =
            Session::open(config, summary, Timestamp::default()).expect("a small replica");
        let (jobs, armed) = (VecDeque::new(), BTreeSet::new());
        (Self { session, now_ms: 0, ends, jobs, armed, ended: false, bytes_out: 0 }, outputs)
    }

    fn put(&mut self, input: Input) {
        let outputs = self.session.handle(input, Timestamp::from_unix_ms(self.now_ms));
        assert!(!self.ended || outputs.is_empty(), "{outputs:?} after the end");
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            assert!(!self.ended, "{output:?} after the end");
            match output {
                Output::Send(message) => {
                    let bytes = message.to_bytes();
                    self.bytes_out += bytes.len();
                    assert_eq!(Message::from_bytes(&bytes).ok(), Some(message));
                }
                Output::Arm { timer, .. } => assert!(self.armed.insert(timer), "{timer:?} runs twice"),
                Output::Report(Report::Ended(_)) => self.ended = true,
                Output::Report(_) => {}
                Output::Load { .. } => {
                    let loading = self.jobs.iter().any(|job| matches!(job, Output::Load { .. }));
                    assert!(!loading, "two loads at once");
                    self.jobs.push_back(output);
                }
                job => self.jobs.push_back(job),
            }
        }
    }

    fn input(&mut self, script: &mut Script<'_>) -> Option<Input> {
        let received = Input::Received;
        Some(match script.byte() % 14 {
            0 => received(Message::Hello(hello(script))),
            1 => received(Message::Heads(told(script))),
            2 => {
                let span = |script: &mut Script<'_>| Span { from: script.place(), to: script.place() };
                let wants = (0..script.byte() % 4).map(|_| (log(script.byte()), span(script))).collect();
                received(Message::Want(wants))
            }
            3 => received(Message::Entries((0..script.byte() % 4).map(|_| run(script)).collect())),
            4 => received(Message::Mark(Mark { round: script.place() })),
            5 => received(Message::Root(Roots { round: script.place(), roots: roots(script) })),
            6 => match Message::from_bytes(script.piece()) {
                Ok(message) => received(message),
                Err(_) => Input::Malformed,
            },
            7 => return self.grow(script),
            8 | 9 | 10 => return self.work(script),
            11 => {
                self.now_ms += script.place().min(60_000) * 10;
                let timer = if script.byte() % 2 == 0 { Timer::Quiet } else { Timer::Patience };
                self.armed.remove(&timer).then_some(Input::Fired(timer))?
            }
            12 => {
                let at = usize::from(script.byte()) % self.jobs.len().max(1);
                self.jobs.rotate_left(at.min(self.jobs.len()));
                return None;
            }
            _ => match script.byte() {
                0 => received(Message::Stop(StopReason::Closing)),
                1 => Input::Close,
                2 => Input::PeerGone,
                _ => return None,
            },
        })
    }

    fn grow(&mut self, script: &mut Script<'_>) -> Option<Input> {
        let number = script.byte() % LOGS;
        let count = u64::from(script.byte() % 4) + 1;
        let end = self.ends.entry(log(number)).or_default();
        *end += count;
        let frames = if script.byte() % 2 == 0 { frames(count, 70) } else { Vec::new() };
        Some(Input::Grown(Growth {
            channel: channel(number),
            log: log(number),
            head: head(*end, 0)?,
            frames,
        }))
    }

    /// The driver answers its oldest request, fully, in part or not.
    fn work(&mut self, script: &mut Script<'_>) -> Option<Input> {
        let how = script.byte();
        Some(match self.jobs.pop_front()? {
            Output::Load { ticket, .. } if how == 255 => Input::LoadFailed(ticket),
            Output::Load { ticket, ranges, max_bytes } => {
                let mut left = (max_bytes / 70).max(1);
                let frames = ranges.iter().map(|range| {
                    assert!(range.from < range.to, "an empty range is loaded");
                    assert!(
                        self.ends.get(&range.log).is_some_and(|end| range.to <= *end),
                        "{range:?} is not here"
                    );
                    let count = (range.to - range.from).min(left);
                    left -= count;
                    frames(count, 70)
                });
                Input::Loaded(ticket, frames.collect())
            }
            Output::Store { ticket, .. } if how == 255 => {
                Input::StoreFailed(ticket, StoreFailure::Unavailable)
            }
            Output::Store { ticket, runs } => self.store(ticket, &runs, how),
            Output::Identify { ticket, places } => {
                for place in &places {
                    assert!(
                        self.ends.get(&place.log).is_some_and(|end| place.seq < *end),
                        "{place:?} is not here"
                    );
                }
                Input::Identified(ticket, places.iter().map(|_| EntryId::from_bytes([0; 32])).collect())
            }
            other => unreachable!("{other:?} is no job"),
        })
    }

    fn store(&mut self, ticket: Ticket, runs: &[Run], how: u8) -> Input {
        let mut outcomes = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            assert!(!run.frames.is_empty(), "an empty run is stored");
            let left_out = how >> (number % 4) & 1 == 1;
            let end = self.ends.entry(run.log).or_default();
            if !left_out && run.from <= *end {
                *end = (*end).max(run.from + run.frames.len() as u64);
            }
            let aside = (left_out && how & 0x80 != 0).then_some(Aside::Declined);
            outcomes.push(Outcome { log: run.log, head: head(*end, 0), aside });
        }
        Input::Stored(ticket, outcomes)
    }
}

fn frames(count: u64, bytes: usize) -> Vec<Frame> {
    (0..count).map(|_| Frame::from(vec![1; bytes])).collect()
}

fn run(script: &mut Script<'_>) -> Run {
    let (number, moved) = (script.byte(), script.byte());
    let channel = if moved == 255 { channel(script.byte()) } else { channel(number % LOGS) };
    let from = script.place();
    let count = u64::from(script.byte() % 8);
    let bytes = usize::from(script.byte());
    Run { channel, log: log(number), from, frames: frames(count, bytes) }
}

fn roots(script: &mut Script<'_>) -> BTreeMap<ChannelId, Hash> {
    (0..script.byte() % 4).map(|_| (channel(script.byte()), Hash::from_bytes([script.byte(); 32]))).collect()
}

fn hello(script: &mut Script<'_>) -> Hello {
    let shape = script.byte();
    let only = (1..4).filter(|number| shape >> number & 1 == 1).map(channel).collect();
    let interest = if shape & INTEREST != 0 { Interest::All } else { Interest::Only(only) };
    Hello { interest, window_bytes: script.place(), roots: roots(script) }
}

fn told(script: &mut Script<'_>) -> Told {
    let mut heads: BTreeMap<ChannelId, Heads> = BTreeMap::new();
    for _ in 0..script.byte() % 4 {
        let (number, moved) = (script.byte(), script.byte());
        let channel = if moved == 255 { channel(script.byte()) } else { channel(number % LOGS) };
        let head = Head { seq: script.place(), entry: EntryId::from_bytes([script.byte() % 2; 32]) };
        heads.entry(channel).or_default().insert(log(number), head);
    }
    Told { heads, taken_bytes: script.number() as u64 }
}

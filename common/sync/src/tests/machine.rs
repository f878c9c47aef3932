//! Two sessions joined directly: what flows, in which order, and what is reported.

use std::collections::{BTreeSet, VecDeque};

use cosmic_common::{record::Record, time::Timestamp};

use crate::{
    config::Config,
    door::{End, Growth, Input, Output, Report, Timer},
    message::{Interest, Message},
    session::Session,
    sim::replica::{MEMBERSHIP, Replica, channel, log_of},
};

/// One side: a session, its replica, and what it has said and reported.
pub(super) struct Side {
    pub(super) session: Session,
    pub(super) replica: Replica,
    pub(super) sent: Vec<Message>,
    pub(super) reports: Vec<Report>,
    timers: BTreeSet<Timer>,
    outgoing: VecDeque<Vec<u8>>,
    now: Timestamp,
}

impl Side {
    pub(super) fn new(replica: Replica, interest: Interest, config: Config) -> Self {
        let now = Timestamp::default();
        let (session, outputs) = Session::open(config, replica.summary(interest), now).unwrap();
        let mut side = Self {
            session,
            replica,
            sent: Vec::new(),
            reports: Vec::new(),
            timers: BTreeSet::new(),
            outgoing: VecDeque::new(),
            now,
        };
        side.perform(outputs);
        side
    }

    pub(super) fn put(&mut self, input: Input) {
        let outputs = self.session.handle(input, self.now);
        self.perform(outputs);
    }

    /// A local write, told to the session at once.
    pub(super) fn write(&mut self, channel_number: u8, writer: u8) {
        let growth = self.replica.append(channel(channel_number), writer, None, 200);
        self.put(Input::Grown(growth));
    }

    fn perform(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(message) => {
                    self.outgoing.push_back(message.to_bytes());
                    self.sent.push(message);
                }
                Output::Load { ticket, ranges, max_bytes } => {
                    let loaded = self.replica.load(&ranges, max_bytes);
                    self.put(Input::Loaded(ticket, loaded));
                }
                Output::Store { ticket, runs } => match self.replica.store(&runs) {
                    Ok((outcomes, _)) => self.put(Input::Stored(ticket, outcomes)),
                    Err(failure) => self.put(Input::StoreFailed(ticket, failure)),
                },
                Output::Identify { ticket, places } => {
                    let ids = self.replica.identify(&places);
                    self.put(Input::Identified(ticket, ids));
                }
                Output::Arm { timer, .. } => {
                    self.timers.insert(timer);
                }
                Output::Report(report) => self.reports.push(report),
            }
        }
    }

    /// Lets `ms` pass and fires what is armed.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now = Timestamp::from_unix_ms(self.now.unix_ms() + ms);
        for timer in std::mem::take(&mut self.timers) {
            self.put(Input::Fired(timer));
        }
    }

    pub(super) fn ended(&self) -> Option<&End> {
        self.reports.iter().find_map(|report| if let Report::Ended(end) = report { Some(end) } else { None })
    }

    pub(super) fn last_equal(&self) -> Option<(u64, cosmic_common::id::Hash)> {
        match self.reports.last() {
            Some(Report::Equal { round, root }) => Some((*round, *root)),
            _ => None,
        }
    }
}

/// Carries messages until none is left; how many, and their bytes.
pub(super) fn talk(a: &mut Side, b: &mut Side) -> (usize, usize) {
    let (mut messages, mut bytes) = (0, 0);
    loop {
        let (from, to) = if a.outgoing.is_empty() { (&mut *b, &mut *a) } else { (&mut *a, &mut *b) };
        let Some(frame) = from.outgoing.pop_front() else { return (messages, bytes) };
        messages += 1;
        bytes += frame.len();
        to.put(Input::Received(Message::from_bytes(&frame).unwrap()));
    }
}

pub(super) fn pair(a: Replica, b: Replica) -> (Side, Side) {
    let config = Config::default();
    (Side::new(a, Interest::All, config), Side::new(b, Interest::All, config))
}

/// A replica with `entries` in each of `writers` logs of channel 1, and a founder's membership log.
pub(super) fn filled(writers: u8, entries: usize) -> Replica {
    let mut replica = Replica::default();
    replica.append(MEMBERSHIP, 0, None, 155);
    for _ in 0..entries {
        for writer in 0..writers {
            replica.append(channel(1), writer, Some(log_of(&MEMBERSHIP, 0)), 155);
        }
    }
    replica
}

pub(super) fn assert_equal(a: &Side, b: &Side) {
    assert_eq!(a.replica.channels(), b.replica.channels());
    assert!(a.last_equal().is_some(), "{:?}", a.reports);
    assert_eq!(a.last_equal(), b.last_equal());
}

#[test]
fn replicas_in_sync_need_one_message_each() {
    let replica = filled(50, 3);
    let (mut a, mut b) = pair(replica.clone(), replica);
    let (messages, bytes) = talk(&mut a, &mut b);
    assert_equal(&a, &b);
    assert_eq!(messages, 2);
    assert!(bytes <= 400, "in sync costs {bytes} bytes");
}

#[test]
fn an_empty_replica_catches_up() {
    let (mut a, mut b) = pair(filled(3, 500), Replica::default());
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
    assert_eq!(b.replica.waits, 0, "membership came first");
}

#[test]
fn both_directions_flow_at_once() {
    let mut left = filled(2, 40);
    let mut right = left.clone();
    for _ in 0..30 {
        left.append(channel(1), 0, None, 100);
        right.append(channel(1), 1, None, 100);
        right.append(channel(2), 1, None, 100);
    }
    let (mut a, mut b) = pair(left, right);
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
}

#[test]
fn a_hundred_thousand_entries_flow_without_heads_again() {
    let (mut a, mut b) = pair(filled(1, 100_000), Replica::default());
    let (messages, bytes) = talk(&mut a, &mut b);
    assert_equal(&a, &b);
    let entries = 100_001 * 300;
    assert!(bytes < entries + entries / 20, "{bytes} bytes for {entries}");
    assert!(messages < 300, "{messages} messages");
}

#[test]
fn many_short_logs_share_batches() {
    let mut replica = filled(1, 1);
    for channel_number in 1..=200 {
        for writer in 0..20 {
            replica.append(channel(channel_number), writer, None, 100);
        }
    }
    let (mut a, mut b) = pair(replica, Replica::default());
    let (messages, _) = talk(&mut a, &mut b);
    assert_equal(&a, &b);
    assert!(messages < 60, "{messages} messages");
}

#[test]
fn a_write_is_pushed_with_one_message_in_either_direction() {
    let replica = filled(1, 3);
    let (mut a, mut b) = pair(replica.clone(), replica);
    talk(&mut a, &mut b);
    for new_writer in [0, 7] {
        a.write(1, new_writer);
        assert_eq!(a.outgoing.len(), 1, "nothing is asked before");
        let frame = a.outgoing.pop_front().unwrap();
        b.put(Input::Received(Message::from_bytes(&frame).unwrap()));
        assert_eq!(b.replica.channels(), a.replica.channels());
        talk(&mut a, &mut b);
    }
    b.write(9, 1);
    let (messages, _) = talk(&mut a, &mut b);
    assert_eq!(messages, 2, "the entry and its acknowledgement");
    assert_eq!(b.replica.channels(), a.replica.channels());
    a.pass(600);
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
    assert_eq!(a.last_equal().map(|(round, _)| round), Some(1));
}

#[test]
fn busy_replicas_compare_roots_at_the_latest() {
    let replica = filled(1, 3);
    let (mut a, mut b) = pair(replica.clone(), replica);
    talk(&mut a, &mut b);
    for _ in 0..60 {
        a.write(1, 0);
        a.pass(200);
        b.write(1, 5);
        talk(&mut a, &mut b);
    }
    assert!(matches!(a.last_equal(), Some((round, _)) if round >= 1), "{:?}", a.reports);
}

#[test]
fn only_what_both_want_is_exchanged() {
    let mut left = filled(1, 5);
    left.append(channel(2), 0, None, 100);
    left.append(channel(3), 0, None, 100);
    let config = Config::default();
    let narrow = Interest::Only(BTreeSet::from([channel(1), channel(3), channel(4)]));
    let mut a = Side::new(left, Interest::All, config);
    let mut b = Side::new(Replica::default(), narrow, config);
    talk(&mut a, &mut b);
    a.write(4, 0);
    a.write(5, 0);
    b.write(5, 1);
    talk(&mut a, &mut b);
    a.pass(600);
    talk(&mut a, &mut b);
    assert_eq!(a.last_equal(), b.last_equal());
    let here: Vec<_> = b.replica.channels().into_keys().collect();
    assert_eq!(here, [channel(1), channel(3), channel(4), channel(5), MEMBERSHIP]);
    assert_eq!(b.replica.count(&log_of(&channel(5), 0)), 0);
    assert_eq!(a.replica.count(&log_of(&channel(5), 1)), 0);
}

#[test]
fn a_fork_is_found_by_heads_and_stays_a_difference() {
    let (mut left, mut right) = (filled(1, 5), filled(1, 5));
    left.append(channel(1), 0, None, 10);
    right.append(channel(1), 0, None, 20);
    let (mut a, mut b) = pair(left, right);
    talk(&mut a, &mut b);
    for side in [&a, &b] {
        let log = log_of(&channel(1), 0);
        assert!(side.reports.contains(&Report::Forked { channel: channel(1), log }));
        let last = side.reports.last();
        assert!(matches!(last, Some(Report::Differ { stays: true, .. })), "{:?}", side.reports);
    }
}

#[test]
fn an_entry_stored_through_another_session_is_not_fetched_again() {
    let (mut a, mut b) = pair(filled(1, 50), filled(1, 3));
    let log = log_of(&channel(1), 0);
    b.replica.logs.insert(log, a.replica.logs[&log].clone());
    let head = b.replica.head(&log).unwrap();
    b.put(Input::Grown(Growth { channel: channel(1), log, head, frames: Vec::new() }));
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
    assert!(!a.sent.iter().any(|message| matches!(message, Message::Entries(_))));
}

#[test]
fn a_silent_peer_is_given_up_and_an_idle_one_is_not() {
    let (mut a, _b) = pair(filled(1, 5), Replica::default());
    a.pass(30_000);
    assert!(matches!(a.ended(), Some(End::Refused(crate::refusal::Refusal::Silent))));
    let replica = filled(1, 5);
    let (mut a, mut b) = pair(replica.clone(), replica);
    talk(&mut a, &mut b);
    for _ in 0..5 {
        a.pass(3_600_000);
        b.pass(3_600_000);
    }
    b.write(1, 0);
    talk(&mut a, &mut b);
    assert_eq!((a.ended(), b.ended()), (None, None));
}

#[test]
fn an_ended_session_says_nothing_more() {
    let (mut a, mut b) = pair(filled(1, 5), filled(1, 5));
    talk(&mut a, &mut b);
    a.put(Input::Close);
    talk(&mut a, &mut b);
    assert_eq!(a.ended(), Some(&End::Closed));
    assert!(matches!(b.ended(), Some(End::Stopped(_))));
    a.write(1, 0);
    assert!(a.outgoing.is_empty());
}

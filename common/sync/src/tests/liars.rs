//! What a peer may not do: each lie has its name, ends the session, and leaves the replica as it was.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, Hash, LogId},
    limit::ENTRY_MAX_BYTES,
    time::Timestamp,
};
use proptest::{collection, prelude::*};

use super::{
    machine::{Side, filled, talk},
    wire::any_message,
};
use crate::{
    config::{Config, LOGS_MAX, MEMBERSHIP_RESERVE_BYTES},
    door::{End, Input, Output, Report},
    message::{Frame, Hello, Interest, Mark, Message, Roots, Run, Span, Told},
    refusal::Refusal,
    session::Session,
    sim::replica::{MEMBERSHIP, Replica, channel, log_of},
};

const ROOT: Hash = Hash::from_bytes([3; 32]);

/// A side that shares channels 1 and 2 with a peer whose roots are equal.
fn opened() -> Side {
    let interest = Interest::Only(BTreeSet::from([channel(1), channel(2)]));
    let mut side = Side::new(filled(2, 5), interest, Config::default());
    let hello = side.sent[0].clone();
    side.put(Input::Received(hello));
    side
}

fn refusal(message: Message) -> Refusal {
    refusal_of(&mut opened(), message)
}

fn refusal_of(side: &mut Side, message: Message) -> Refusal {
    let before = side.replica.channels();
    side.put(Input::Received(message));
    assert_eq!(side.replica.channels(), before);
    assert!(matches!(side.sent.last(), Some(Message::Stop(_))));
    match side.ended() {
        Some(End::Refused(refusal)) => refusal.clone(),
        other => panic!("not refused but {other:?}"),
    }
}

fn heads(channel: ChannelId, log: LogId, seq: u64) -> Message {
    let head = Head { seq, entry: EntryId::from_bytes([9; 32]) };
    let heads = BTreeMap::from([(channel, BTreeMap::from([(log, head)]))]);
    Message::Heads(Told { heads, taken_bytes: 0 })
}

fn run(channel: ChannelId, log: LogId, from: u64, frame_bytes: usize) -> Run {
    Run { channel, log, from, frames: vec![Frame::from(vec![7; frame_bytes])] }
}

fn mine() -> LogId {
    log_of(&channel(1), 0)
}

#[test]
fn messages_have_their_place() {
    let hello = Hello { interest: Interest::All, window_bytes: 1, roots: BTreeMap::new() };
    assert_eq!(refusal(Message::Hello(hello)), Refusal::OutOfPlace("a hello"));
    assert_eq!(refusal(Message::Mark(Mark { round: 2 })), Refusal::OutOfPlace("a mark"));
    let roots = Roots { round: 0, roots: BTreeMap::new() };
    assert_eq!(refusal(Message::Root(roots)), Refusal::OutOfPlace("roots"));
    for message in [heads(channel(1), mine(), 3), Message::Want(BTreeMap::new()), Message::Entries(vec![])] {
        let mut fresh = Side::new(filled(1, 1), Interest::All, Config::default());
        assert!(matches!(refusal_of(&mut fresh, message), Refusal::OutOfPlace(_)));
    }
}

#[test]
fn channels_and_logs_are_those_agreed_on() {
    let other = log_of(&channel(3), 0);
    assert_eq!(refusal(heads(channel(3), other, 0)), Refusal::Channel(channel(3)));
    assert_eq!(refusal(Message::Entries(vec![run(channel(3), other, 0, 200)])), Refusal::Channel(channel(3)));
    assert_eq!(refusal(heads(channel(2), mine(), 0)), Refusal::LogMoved(mine()));
    assert_eq!(refusal(Message::Entries(vec![run(channel(2), mine(), 0, 200)])), Refusal::LogMoved(mine()));
    let mut side = opened();
    side.put(Input::Received(Message::Mark(Mark { round: 1 })));
    let roots = Roots { round: 1, roots: BTreeMap::from([(channel(3), ROOT)]) };
    assert_eq!(refusal_of(&mut side, Message::Root(roots)), Refusal::Channel(channel(3)));
}

#[test]
fn places_in_logs_exist_and_leave_no_gap() {
    assert_eq!(refusal(heads(channel(1), mine(), u64::MAX)), Refusal::Sequence(mine()));
    let new = log_of(&channel(2), 9);
    assert_eq!(refusal(Message::Entries(vec![run(channel(2), new, u64::MAX, 200)])), Refusal::Sequence(new));
    assert_eq!(refusal(Message::Entries(vec![run(channel(2), new, 1, 200)])), Refusal::Gap(new));
    assert_eq!(refusal(Message::Entries(vec![run(channel(1), mine(), 6, 200)])), Refusal::Gap(mine()));
}

#[test]
fn only_what_was_told_can_be_wanted() {
    let want = |log, from, to| Message::Want(BTreeMap::from([(log, Span { from, to })]));
    assert_eq!(refusal(want(mine(), 0, 6)), Refusal::Want(mine()));
    assert_eq!(refusal(want(mine(), 3, 3)), Refusal::Want(mine()));
    let unknown = log_of(&channel(3), 0);
    assert_eq!(refusal(want(unknown, 0, 1)), Refusal::Want(unknown));
    let mut side = opened();
    side.put(Input::Received(want(mine(), 0, 5)));
    assert!(matches!(side.sent.last(), Some(Message::Entries(_))), "asking again is no lie");
}

#[test]
fn frames_have_the_size_of_entries() {
    let mut none = run(channel(1), mine(), 5, 200);
    none.frames.clear();
    for runs in [
        vec![],
        vec![none],
        vec![run(channel(1), mine(), 5, 63)],
        vec![run(channel(1), mine(), 5, ENTRY_MAX_BYTES + 1)],
    ] {
        assert_eq!(refusal(Message::Entries(runs)), Refusal::FrameSize);
    }
    let mixed = vec![run(channel(1), mine(), 4, 200), run(MEMBERSHIP, log_of(&MEMBERSHIP, 0), 0, 200)];
    assert_eq!(refusal(Message::Entries(mixed)), Refusal::Mixed);
}

#[test]
fn a_forged_entry_ends_the_session() {
    assert_eq!(refusal(Message::Entries(vec![run(channel(1), mine(), 5, 200)])), Refusal::Entry);
}

#[test]
fn acknowledgements_are_of_what_was_sent() {
    let taken = |taken_bytes| Message::Heads(Told { heads: BTreeMap::new(), taken_bytes });
    assert_eq!(refusal(taken(1)), Refusal::Acknowledged(1));
    let mut side = opened();
    side.write(1, 0);
    side.put(Input::Received(taken(100)));
    assert_eq!(refusal_of(&mut side, taken(99)), Refusal::Acknowledged(99));
}

#[test]
fn a_flood_is_refused_within_bounds() {
    let config = Config::default();
    let replica = filled(1, 1);
    let (mut session, outputs) =
        Session::open(config, replica.summary(Interest::All), Timestamp::default()).unwrap();
    let Some(Output::Send(hello)) = outputs.first() else { panic!("no hello") };
    session.handle(Input::Received(hello.clone()), Timestamp::default());
    let frame = 100_000;
    let (mut next, mut outputs) = (0, Vec::new());
    while outputs.is_empty() || !outputs.iter().any(|output| matches!(output, Output::Report(_))) {
        let runs = vec![run(channel(2), log_of(&channel(2), 0), next, frame)];
        outputs = session.handle(Input::Received(Message::Entries(runs)), Timestamp::default());
        next += 1;
    }
    assert!(outputs.contains(&Output::Report(Report::Ended(End::Refused(Refusal::Flood)))));
    let accepted = (next - 1) * 100_000;
    assert!(accepted < config.window_bytes + MEMBERSHIP_RESERVE_BYTES + 100_000);
}

#[test]
fn more_logs_than_a_session_can_hold_are_refused() {
    let mut side = opened();
    for part in 0_u32.. {
        let log = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&(part * 8192 + number).to_be_bytes());
            LogId::from_bytes(bytes)
        };
        let head = Head { seq: 0, entry: EntryId::from_bytes([9; 32]) };
        let heads = (0..8192).map(|number| (log(number), head)).collect();
        let told = Told { heads: BTreeMap::from([(channel(1), heads)]), taken_bytes: 0 };
        side.put(Input::Received(Message::Heads(told)));
        if let Some(end) = side.ended() {
            assert_eq!(*end, End::Refused(Refusal::TooManyLogs));
            assert!(usize::try_from(part).unwrap() >= LOGS_MAX / 8192 - 1);
            return;
        }
    }
}

#[test]
fn heads_that_nothing_stands_behind_are_found_out() {
    let mut side = opened();
    side.put(Input::Received(heads(channel(2), log_of(&channel(2), 0), 1_000)));
    assert!(matches!(side.sent.last(), Some(Message::Want(_))));
    for round in 1..30 {
        side.put(Input::Received(Message::Heads(Told { heads: BTreeMap::new(), taken_bytes: 0 })));
        side.pass(1_000);
        assert!(side.ended().is_none(), "chatter keeps it alive for a while, not for ever: {round} s");
    }
    side.put(Input::Received(Message::Heads(Told { heads: BTreeMap::new(), taken_bytes: 0 })));
    side.pass(1_000);
    assert_eq!(side.ended(), Some(&End::Refused(Refusal::Silent)));
}

#[test]
fn a_lie_about_roots_is_a_difference_that_stays() {
    let mut side = opened();
    side.write(1, 0);
    for round in [1, 2] {
        side.put(Input::Received(Message::Mark(Mark { round })));
        let roots = Roots { round, roots: BTreeMap::from([(channel(1), ROOT)]) };
        side.put(Input::Received(Message::Root(roots)));
    }
    let differ = |round, stays| Report::Differ { round, channels: vec![channel(1)], stays };
    assert_eq!(side.reports[1..], [differ(1, false), differ(2, true)]);
}

#[test]
fn a_shorter_remote_takes_nothing_away() {
    let mut full = Side::new(filled(2, 20), Interest::All, Config::default());
    let before = full.replica.channels();
    let mut empty = Side::new(Replica::default(), Interest::All, Config::default());
    talk(&mut full, &mut empty);
    assert_eq!(full.replica.channels(), before);
    assert_eq!(empty.replica.channels(), before);
}

proptest! {
    #[test]
    fn no_sequence_of_messages_panics_or_stores_what_is_not_signed(
        messages in collection::vec(any_message(), 1..40),
        greet: bool,
    ) {
        let mut side = Side::new(filled(2, 5), Interest::All, Config::default());
        let before = side.replica.channels();
        if greet {
            let hello = side.sent[0].clone();
            side.put(Input::Received(hello));
        }
        for message in messages {
            side.put(Input::Received(message));
            side.pass(300);
        }
        prop_assert_eq!(side.replica.channels(), before);
    }
}

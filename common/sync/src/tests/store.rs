//! What a store may answer, and what the session makes of it.

use std::collections::BTreeMap;

use cosmic_common::{heads::Head, id::EntryId, time::Timestamp};

use super::machine::{Side, assert_equal, filled, pair, talk};
use crate::{
    config::{BATCH_MAX_BYTES, Config},
    door::{Aside, End, Input, Outcome, Output, Range, Report, StoreFailure, Summary, Ticket, Timer},
    message::{Interest, Message, Run, StopReason, Told},
    refusal::{Error, Refusal},
    session::Session,
    sim::replica::{MEMBERSHIP, Replica, channel, log_of},
};

/// A session whose driver the test plays by hand, with a peer whose roots are equal.
fn by_hand(replica: &Replica) -> Session {
    let summary = replica.summary(Interest::All);
    let (mut session, outputs) = Session::open(Config::default(), summary, Timestamp::default()).unwrap();
    let Some(Output::Send(hello)) = outputs.first() else { panic!("no hello") };
    session.handle(Input::Received(hello.clone()), Timestamp::default());
    session
}

fn put(session: &mut Session, input: Input) -> Vec<Output> {
    session.handle(input, Timestamp::default())
}

fn receive(session: &mut Session, channel_number: Option<u8>, replica: &mut Replica) -> Vec<Output> {
    let needs = channel_number.map(|_| log_of(&MEMBERSHIP, 1));
    let channel = channel_number.map_or(MEMBERSHIP, channel);
    let growth = replica.append(channel, 1, needs, 100);
    let run = Run { channel, log: growth.log, from: growth.head.seq, frames: growth.frames };
    put(session, Input::Received(Message::Entries(vec![run])))
}

fn stores(outputs: &[Output]) -> Vec<(Ticket, Vec<Run>)> {
    let store = |output: &Output| match output {
        Output::Store { ticket, runs } => Some((*ticket, runs.clone())),
        _ => None,
    };
    outputs.iter().filter_map(store).collect()
}

#[test]
fn content_is_stored_after_the_membership_before_it() {
    let (mut here, mut there) = (filled(1, 1), filled(1, 1));
    let mut session = by_hand(&here);
    let membership = stores(&receive(&mut session, None, &mut there));
    assert_eq!(membership.len(), 1);
    assert!(stores(&receive(&mut session, Some(1), &mut there)).is_empty(), "it waits");
    let (ticket, runs) = &membership[0];
    let (outcomes, _) = here.store(runs).unwrap();
    let content = stores(&put(&mut session, Input::Stored(*ticket, outcomes)));
    assert_eq!(content.len(), 1);
    assert!(here.store(&content[0].1).is_ok());
    assert_eq!(here.channels(), there.channels());
}

#[test]
fn what_waits_is_asked_for_again_when_membership_moves() {
    let (here, mut there) = (filled(1, 1), filled(1, 1));
    let mut session = by_hand(&here);
    let content = stores(&receive(&mut session, Some(1), &mut there));
    let log = log_of(&channel(1), 1);
    let nothing = vec![Outcome { log, head: None, aside: None }];
    let outputs = put(&mut session, Input::Stored(content[0].0, nothing.clone()));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Send(Message::Want(_)))), "{outputs:?}");
    let growth = there.append(MEMBERSHIP, 3, None, 100);
    let outputs = put(&mut session, Input::Grown(growth));
    let wanted =
        |output: &Output| matches!(output, Output::Send(Message::Want(wants)) if wants.contains_key(&log));
    assert!(outputs.iter().any(wanted), "{outputs:?}");
}

#[test]
fn membership_that_moved_during_a_store_is_not_waited_for_twice() {
    let (here, mut there) = (filled(1, 1), filled(1, 1));
    let mut session = by_hand(&here);
    let content = stores(&receive(&mut session, Some(1), &mut there));
    put(&mut session, Input::Grown(there.append(MEMBERSHIP, 3, None, 100)));
    let nothing = vec![Outcome { log: log_of(&channel(1), 1), head: None, aside: None }];
    let outputs = put(&mut session, Input::Stored(content[0].0, nothing));
    assert!(outputs.iter().any(|output| matches!(output, Output::Send(Message::Want(_)))), "{outputs:?}");
}

#[test]
fn a_gap_behind_what_was_left_out_is_not_waited_for() {
    let (mut here, mut there) = (filled(1, 1), filled(1, 1));
    let mut session = by_hand(&here);
    let first = stores(&receive(&mut session, Some(1), &mut there));
    let growth = there.append(MEMBERSHIP, 3, None, 100);
    put(&mut session, Input::Grown(growth));
    let second = stores(&receive(&mut session, Some(1), &mut there));
    let log = log_of(&channel(1), 1);
    let nothing = vec![Outcome { log, head: None, aside: None }];
    put(&mut session, Input::Stored(first[0].0, nothing.clone()));
    let outputs = put(&mut session, Input::Stored(second[0].0, nothing));
    let wanted =
        |output: &Output| matches!(output, Output::Send(Message::Want(wants)) if wants.contains_key(&log));
    assert!(outputs.iter().any(wanted), "{outputs:?}");
    let frames = [first, second].iter().flat_map(|stores| stores[0].1[0].frames.clone()).collect();
    let run = Run { channel: channel(1), log, from: 0, frames };
    let again = stores(&put(&mut session, Input::Received(Message::Entries(vec![run]))));
    let (outcomes, _) = here.store(&again[0].1).unwrap();
    assert_eq!(outcomes[0].head.map(|head| head.seq), Some(1));
}

#[test]
fn a_log_that_is_declined_holds_nothing_else_up() {
    for declined in [log_of(&MEMBERSHIP, 0), log_of(&channel(1), 1)] {
        let mut picky = Replica::default();
        picky.asides.insert(declined, Aside::Declined);
        let mut full = filled(3, 10);
        let other = full.append(MEMBERSHIP, 5, None, 100).log;
        full.append(channel(2), 5, Some(other), 100);
        let (mut a, mut b) = pair(full, picky);
        talk(&mut a, &mut b);
        assert_eq!(b.replica.count(&declined), 0);
        assert_eq!(b.replica.count(&log_of(&channel(2), 5)), 1);
        let is_differ = |report: Option<&Report>| matches!(report, Some(Report::Differ { stays: true, .. }));
        assert!(is_differ(a.reports.last()) && is_differ(b.reports.last()), "{:?}", b.reports);
    }
}

#[test]
fn a_fork_that_the_store_finds_is_reported() {
    let mut b = filled(1, 1);
    let log = log_of(&channel(1), 0);
    b.asides.insert(log, Aside::Forked);
    let (mut a, mut b) = pair(filled(1, 4), b);
    talk(&mut a, &mut b);
    assert!(b.reports.contains(&Report::Forked { channel: channel(1), log }));
}

#[test]
fn failures_here_end_the_session_and_blame_nobody() {
    let mut there = filled(1, 1);
    let mut session = by_hand(&there);
    let content = stores(&receive(&mut session, Some(1), &mut there));
    let unavailable = Input::StoreFailed(content[0].0, StoreFailure::Unavailable);
    let outputs = put(&mut session, unavailable);
    let unable =
        [Output::Send(Message::Stop(StopReason::Unable)), Output::Report(Report::Ended(End::Unable))];
    assert_eq!(outputs, unable);
    let mut session = by_hand(&filled(1, 1));
    assert_eq!(put(&mut session, Input::LoadFailed(Ticket(9))), unable);
}

#[test]
fn answers_nobody_waits_for_are_ignored() {
    let mut session = by_hand(&filled(1, 1));
    for input in [
        Input::Loaded(Ticket(70), vec![]),
        Input::Stored(Ticket(71), vec![]),
        Input::Identified(Ticket(72), vec![]),
    ] {
        assert_eq!(put(&mut session, input), []);
    }
}

#[test]
fn growth_told_late_or_twice_changes_nothing() {
    let (mut a, mut b) = pair(filled(1, 3), filled(1, 3));
    talk(&mut a, &mut b);
    let first = a.replica.append(channel(1), 0, None, 100);
    let second = a.replica.append(channel(1), 0, None, 100);
    for growth in [second.clone(), first, second] {
        a.put(Input::Grown(growth));
    }
    talk(&mut a, &mut b);
    a.pass(600);
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
}

#[test]
fn senseless_bounds_and_summaries_are_refused() {
    let open = |config, summary| Session::open(config, summary, Timestamp::default()).map(|_| ());
    let summary = || Replica::default().summary(Interest::All);
    for batch_bytes in [0, BATCH_MAX_BYTES + 1] {
        let config = Config { batch_bytes, ..Config::default() };
        assert_eq!(open(config, summary()), Err(Error::Bounds));
    }
    assert_eq!(open(Config { window_bytes: 0, ..Config::default() }, summary()), Err(Error::Bounds));
    let heads = filled(1, 1).channels().remove(&channel(1)).unwrap();
    let channels = [(channel(1), heads.clone()), (channel(2), heads)].into();
    let twice = Summary { membership: MEMBERSHIP, channels, interest: Interest::All };
    assert!(matches!(open(Config::default(), twice), Err(Error::LogInTwoChannels(_))));
}

#[test]
fn a_tiny_window_still_carries_everything() {
    let config = Config { batch_bytes: 1, window_bytes: 1, ..Config::default() };
    let mut a = Side::new(filled(2, 30), Interest::All, config);
    let mut b = Side::new(filled(1, 2), Interest::All, Config::default());
    talk(&mut a, &mut b);
    b.write(1, 7);
    a.write(2, 0);
    talk(&mut a, &mut b);
    a.pass(600);
    talk(&mut a, &mut b);
    assert_equal(&a, &b);
}

#[test]
fn what_is_known_of_a_run_is_not_stored_again() {
    let (here, mut there) = (filled(1, 3), filled(1, 3));
    let mut session = by_hand(&here);
    let log = there.append(channel(1), 0, None, 100).log;
    let whole = there.load(&[Range { channel: channel(1), log, from: 1, to: 4 }], u64::MAX).remove(0);
    let run = Run { channel: channel(1), log, from: 1, frames: whole.clone() };
    let again = Input::Received(Message::Entries(vec![run]));
    let stored = stores(&put(&mut session, again.clone()));
    assert_eq!(stored[0].1, [Run { channel: channel(1), log, from: 3, frames: whole[2..].to_vec() }]);
    let outputs = put(&mut session, again);
    assert!(stores(&outputs).is_empty(), "on its way into the store already");
    assert!(matches!(outputs[..], [Output::Send(Message::Heads(_))]), "but acknowledged: {outputs:?}");
}

#[test]
fn a_slow_store_here_is_not_the_peers_silence() {
    let (here, mut there) = (filled(1, 1), filled(1, 1));
    let mut session = by_hand(&here);
    let log = log_of(&channel(1), 1);
    let head = Head { seq: 9, entry: EntryId::from_bytes([9; 32]) };
    let heads = BTreeMap::from([(channel(1), BTreeMap::from([(log, head)]))]);
    put(&mut session, Input::Received(Message::Heads(Told { heads, taken_bytes: 0 })));
    let content = stores(&receive(&mut session, Some(1), &mut there));
    let later = |seconds: u64| Timestamp::from_unix_ms(seconds * 1_000);
    let fire = Input::Fired(Timer::Patience);
    let outputs = session.handle(fire.clone(), later(60));
    assert!(matches!(outputs[..], [Output::Arm { timer: Timer::Patience, .. }]), "{outputs:?}");
    let outcome = Outcome { log, head: there.head(&log), aside: None };
    session.handle(Input::Stored(content[0].0, vec![outcome]), later(61));
    let outputs = session.handle(fire, later(92));
    assert!(outputs.contains(&Output::Report(Report::Ended(End::Refused(Refusal::Silent)))), "{outputs:?}");
}

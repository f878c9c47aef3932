//! Reading at a replica outlasts its absence, but not for ever.

use std::cell::Cell;

use cosmic_common::time::Timestamp;
use cosmic_custody::message::refusal::{Refusal, RefusalCode};
use futures::FutureExt as _;

use super::*;
use crate::replica::client;

const PEER: PeerId = PeerId::from_bytes([1; 32]);
const OTHER: PeerId = PeerId::from_bytes([2; 32]);

fn away() -> Error {
    client::Error::Lost.into()
}

#[tokio::test]
async fn a_read_waits_until_another_replica_is_followed() {
    let (clock, _hand) = Clock::manual(Timestamp::default());
    let upstream = watch::Sender::new(Upstream { peer: PEER, followed: true });
    let asked = Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        let found = upstream.borrow().peer == OTHER;
        async move { if found { Ok("entries") } else { Err(away()) } }
    };
    let mut reading = std::pin::pin!(persist(&clock, upstream.subscribe(), ask));
    assert!(reading.as_mut().now_or_never().is_none());
    upstream.send_replace(Upstream { peer: PEER, followed: false });
    assert!(reading.as_mut().now_or_never().is_none());
    assert_eq!(asked.get(), 2, "asked once for each piece of news");
    upstream.send_replace(Upstream { peer: OTHER, followed: true });
    assert_eq!(reading.await.unwrap(), "entries");
}

#[tokio::test]
async fn a_read_that_finds_no_replica_ends_in_time() {
    let (clock, hand) = Clock::manual(Timestamp::default());
    let upstream = watch::Sender::new(Upstream { peer: PEER, followed: false });
    let mut reading =
        std::pin::pin!(persist(&clock, upstream.subscribe(), || async { Err::<(), _>(away()) }));
    assert!(reading.as_mut().now_or_never().is_none());
    hand.advance(REPLICA_WITHIN / 2);
    assert!(reading.as_mut().now_or_never().is_none());
    hand.advance(REPLICA_WITHIN / 2);
    assert!(matches!(reading.await, Err(Error::Replica(client::Error::Lost))));
}

#[tokio::test]
async fn a_read_that_is_refused_or_whose_space_is_closed_does_not_wait() {
    let (clock, _hand) = Clock::manual(Timestamp::default());
    let upstream = watch::Sender::new(Upstream { peer: PEER, followed: true });
    let no =
        || async { Err::<(), _>(client::Error::Refused(Refusal::new(RefusalCode::NotInRing, "no")).into()) };
    assert!(persist(&clock, upstream.subscribe(), no).now_or_never().unwrap().is_err());
    let reader = upstream.subscribe();
    drop(upstream);
    assert!(persist(&clock, reader, || async { Err::<(), _>(away()) }).now_or_never().unwrap().is_err());
}

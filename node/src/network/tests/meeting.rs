//! What a gateway is asked when cards are left there.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use cosmic_common::{
    id::{PeerId, SpaceId},
    protocol::MEETING,
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::message::{
    meeting::{MeetingAnswer, MeetingRequest, Seat},
    refusal::{Refusal, RefusalCode},
    space::SessionId,
};
use cosmic_net::{Handle, Incoming, MemoryNetwork, RefuseAll};
use cosmic_runtime::clock::Clock;
use serde_json::json;

use super::{OnNetwork, PATIENCE, start, start_by};
use crate::{network::meeting, node::GatewaySession};

/// One who keeps cards, played by a test.
struct Keeper {
    net: Handle,
    incoming: Incoming,
}

impl Keeper {
    fn new(network: &MemoryNetwork) -> Self {
        let net = network.join(PeerId::from_bytes([9; 32]), &[MEETING], Arc::new(RefuseAll));
        let incoming = net.accept(MEETING).unwrap();
        Self { net, incoming }
    }

    /// The next card that is left, by session and seat.
    async fn asked(&mut self, answer: MeetingAnswer) -> (SessionId, Seat) {
        let asked = async {
            let mut stream = self.incoming.next().await.unwrap();
            let frame = stream.recv(MeetingRequest::LIMIT).await.unwrap().unwrap();
            stream.send(&answer.to_bytes()).await.unwrap();
            stream.close().await.unwrap();
            match MeetingRequest::from_bytes(&frame).unwrap() {
                MeetingRequest::Meet { session, seat, .. } => (session, seat),
                MeetingRequest::Note { .. } => panic!("a device passes no cards on"),
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("a card is left")
    }

    async fn refuse(&mut self) -> (SessionId, Seat) {
        self.asked(MeetingAnswer::Refused(Refusal::new(RefusalCode::Storage, "of another age"))).await
    }
}

/// A device that leaves cards at `keeper`.
async fn start_meeting(clock: Clock, network: &MemoryNetwork, keeper: &Keeper) -> OnNetwork {
    let device = start_by(clock, network, 1);
    device.node.net.add_addresses(keeper.net.local_peer(), &keeper.net.listening()).await.unwrap();
    let node = device.node.clone();
    device.tasks.spawn("meeting", move |shutdown| meeting::run(node, shutdown));
    device
}

fn serve(device: &OnNetwork, space: SpaceId, keeper: &Keeper, session: SessionId) {
    let gateway = keeper.net.local_peer();
    let session = GatewaySession { gateway, session, source: gateway, in_sync: false };
    device.node.sessions.set(&space, Some(session));
}

const fn session(number: u8) -> SessionId {
    SessionId([number; 16])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_refuses_is_left_alone_until_cards_are_due() {
    let network = MemoryNetwork::new();
    let mut keeper = Keeper::new(&network);
    let (clock, hand) = Clock::manual(Timestamp::from_unix_ms(1_700_000_000_000));
    let device = start_meeting(clock, &network, &keeper).await;
    let (one, other) = (device.create_space().await, device.create_space().await);
    serve(&device, one, &keeper, session(1));
    assert_eq!(keeper.refuse().await.0, session(1));

    // Each new session of the other space makes the device look at both.
    for number in [2, 3, 4] {
        serve(&device, other, &keeper, session(number));
        assert_eq!(keeper.refuse().await.0, session(number), "the first space has a new gateway to ask");
    }
    hand.advance(Duration::from_secs(60));
    serve(&device, other, &keeper, session(5));
    let due = BTreeSet::from([keeper.refuse().await.0, keeper.refuse().await.0]);
    assert_eq!(due, BTreeSet::from([session(1), session(5)]));
    device.tasks.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_spaces_have_one_seat() {
    let network = MemoryNetwork::new();
    let mut keeper = Keeper::new(&network);
    let device = start_meeting(Clock::system(), &network, &keeper).await;
    let (one, other) = (device.create_space().await, device.create_space().await);
    let mut seats = Vec::new();
    for (space, number) in [(one, 1), (other, 2), (one, 3), (other, 4)] {
        serve(&device, space, &keeper, session(number));
        let (asked, seat) = keeper.asked(MeetingAnswer::Cards(Vec::new())).await;
        assert_eq!(asked, session(number));
        seats.push(seat);
    }
    assert_eq!(seats[..2], seats[2..], "a newer card takes the place of the older one");
    assert_ne!(seats[0], seats[1], "whoever keeps the cards links the spaces of a device by its seat");
    device.tasks.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_left_as_soon_as_the_secrets_have_come() {
    let network = MemoryNetwork::new();
    let mut keeper = Keeper::new(&network);
    let device = start_meeting(Clock::system(), &network, &keeper).await;
    let inviter = start(&network, 2);
    let space = inviter.create_space().await;
    inviter.put(space, "one", json!({"from": "the inviter"})).await;
    let ticket = inviter.invite(space).await;
    serve(&device, space, &keeper, session(1));
    device.node.write(move |core, connection| core.join_space(connection, &ticket)).await.unwrap();
    assert_eq!(keeper.asked(MeetingAnswer::Cards(Vec::new())).await.0, session(1));
    for each in [&device, &inviter] {
        each.tasks.end();
    }
}

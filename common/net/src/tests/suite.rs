//! One suite over the in-memory network, QUIC, TCP, WebSockets and the bulk plane: frames, bulk, half-closing, limits and loss.

use std::{sync::Arc, time::Duration};

use cosmic_common::{id::PeerId, limit::OBJECT_MAX_BYTES, protocol::Protocol};

use super::{BULK_ECHO, BULK_UNKNOWN, ECHO, QUIET, SOON, UNKNOWN, connected, disconnected, start};
use crate::{
    Config, Direction, Error, FRAME_MAX_BYTES, Handle, Incoming, MemoryNetwork, RefuseAll, Stream, Transport,
    WebSocket,
};

/// Two peers that know each other's addresses.
struct Pair {
    near: Handle,
    far: Handle,
    /// The protocol to speak, which decides what carries it.
    echo: Protocol,
}

async fn memory() -> Pair {
    let network = MemoryNetwork::new();
    let join = |byte: u8| network.join(PeerId::from_bytes([byte; 32]), &[ECHO, QUIET], Arc::new(RefuseAll));
    acquainted(join(1), join(2), ECHO).await
}

async fn quic() -> Pair {
    sockets("/ip4/127.0.0.1/udp/0/quic-v1").await
}

async fn tcp() -> Pair {
    sockets("/ip4/127.0.0.1/tcp/0").await
}

/// With TLS, and a certificate of an authority of its own.
async fn web() -> Pair {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) =
        (write("web.crt", made.cert.pem()), write("web.key", made.key_pair.serialize_pem()));
    let websocket = WebSocket { authorities: certificate.clone(), ..WebSocket::default() };
    let near = Config { bulk: false, websocket: websocket.clone(), ..Config::default() };
    let listen = Some(([127, 0, 0, 1], 0).into());
    let far = Config { websocket: WebSocket { listen, certificate, key, ..websocket }, ..near.clone() };
    let (near, far) = (start(1, near).await, start(2, far).await);
    assert_eq!(far.listening().iter().map(Transport::of).collect::<Vec<_>>(), [Some(Transport::WebSocket)]);
    acquainted(near, far, ECHO).await
}

async fn bulk() -> Pair {
    acquainted(start(1, Config::default()).await, start(2, Config::loopback()).await, BULK_ECHO).await
}

async fn sockets(listen: &str) -> Pair {
    let config = Config { listen: vec![listen.parse().unwrap()], bulk: false, ..Config::default() };
    let (near, far) = (start(1, config.clone()).await, start(2, config).await);
    acquainted(near, far, ECHO).await
}

async fn acquainted(near: Handle, far: Handle, echo: Protocol) -> Pair {
    near.add_addresses(far.local_peer(), &far.listening()).await.unwrap();
    Pair { near, far, echo }
}

impl Pair {
    /// A stream from near to far, both ends.
    async fn stream(&self) -> (Stream, Stream) {
        let mut incoming = self.far.accept(self.echo).unwrap();
        let here = self.near.open(self.far.local_peer(), self.echo, SOON).await.unwrap();
        (here, self.next(&mut incoming).await)
    }

    async fn next(&self, incoming: &mut Incoming) -> Stream {
        let stream = tokio::time::timeout(SOON, incoming.next()).await.unwrap().unwrap();
        assert_eq!(stream.peer(), self.near.local_peer());
        stream
    }
}

macro_rules! suite {
    ($($case:ident),+ $(,)?) => {
        mod over_memory {
            $(#[tokio::test] async fn $case() { super::$case(super::memory().await).await; })+
        }
        mod over_quic {
            $(#[tokio::test] async fn $case() { super::$case(super::quic().await).await; })+
        }
        mod over_tcp {
            $(#[tokio::test] async fn $case() { super::$case(super::tcp().await).await; })+
        }
        mod over_websockets {
            $(#[tokio::test] async fn $case() { super::$case(super::web().await).await; })+
        }
        mod over_the_bulk_plane {
            $(#[tokio::test] async fn $case() { super::$case(super::bulk().await).await; })+
        }
    };
}

suite!(
    frames_arrive_whole_and_in_order,
    recv_flushes_what_is_queued,
    a_long_frame_is_refused_before_it_is_read,
    bulk_follows_frames_on_one_stream,
    a_closed_half_still_receives,
    what_was_sent_before_closing_arrives_after_dropping,
    a_stream_dropped_in_a_frame_is_truncated_or_lost,
    a_stalled_frame_ends_after_patience,
    a_peer_that_takes_nothing_ends_after_patience,
    a_cancelled_recv_loses_nothing,
    a_cancelled_bulk_closes_the_stream,
    halves_work_in_two_tasks,
    many_streams_share_one_connection,
    an_unknown_protocol_is_unsupported,
    a_protocol_is_accepted_once,
    a_peer_without_address_is_an_error,
    a_peer_does_not_dial_itself,
    disconnecting_ends_streams_and_tells_both,
);

async fn frames_arrive_whole_and_in_order(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    let frames: Vec<Vec<u8>> = (0..200_u32).map(|n| vec![n.to_le_bytes()[0]; (n * n) as usize]).collect();
    let expected = frames.clone();
    let sending = async {
        for frame in &frames {
            here.send(frame).await.unwrap();
        }
        here.close().await.unwrap();
    };
    let receiving = async {
        for frame in &expected {
            assert_eq!(there.recv(FRAME_MAX_BYTES).await.unwrap().as_ref(), Some(frame));
        }
        assert_eq!(there.recv(FRAME_MAX_BYTES).await.unwrap(), None);
    };
    tokio::join!(sending, receiving);
}

async fn recv_flushes_what_is_queued(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    let asking = async {
        here.send(b"question").await.unwrap();
        assert_eq!(here.recv(64).await.unwrap().unwrap(), b"answer");
    };
    let answering = async {
        assert_eq!(there.recv(64).await.unwrap().unwrap(), b"question");
        there.send(b"answer").await.unwrap();
        there.flush().await.unwrap();
    };
    tokio::join!(asking, answering);
}

async fn a_long_frame_is_refused_before_it_is_read(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    here.send(&[7; 65]).await.unwrap();
    here.flush().await.unwrap();
    assert!(matches!(there.recv(64).await, Err(Error::FrameTooLong { length: 65, limit: 64 })));
    let own = here.send(&vec![0; FRAME_MAX_BYTES + 1]).await;
    assert!(matches!(own, Err(Error::FrameTooLong { .. })));
}

async fn bulk_follows_frames_on_one_stream(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    let object: Vec<u8> = (0..251_u8).cycle().take(OBJECT_MAX_BYTES).collect();
    let sending = async {
        here.send(b"an object").await.unwrap();
        here.send_bulk(&object).await.unwrap();
        here.send(b"the end").await.unwrap();
        here.close().await.unwrap();
    };
    let receiving = async {
        assert_eq!(there.recv(64).await.unwrap().unwrap(), b"an object");
        let mut bytes = Vec::new();
        there.recv_bulk(&mut bytes, 1000).await.unwrap();
        there.recv_bulk(&mut bytes, OBJECT_MAX_BYTES - 1000).await.unwrap();
        assert!(bytes == object, "bulk bytes differ");
        assert_eq!(there.recv(64).await.unwrap().unwrap(), b"the end");
        assert_eq!(there.recv(64).await.unwrap(), None);
    };
    tokio::join!(sending, receiving);
}

async fn a_closed_half_still_receives(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    here.send(b"all I have").await.unwrap();
    here.close().await.unwrap();
    assert_eq!(there.recv(64).await.unwrap().unwrap(), b"all I have");
    assert_eq!(there.recv(64).await.unwrap(), None);
    there.send(b"thanks").await.unwrap();
    there.close().await.unwrap();
    assert_eq!(here.recv(64).await.unwrap().unwrap(), b"thanks");
    assert_eq!(here.recv(64).await.unwrap(), None);
}

async fn what_was_sent_before_closing_arrives_after_dropping(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    // Little enough for every transport to take without a reader.
    let frame = vec![5; 48 * 1024];
    here.send(&frame).await.unwrap();
    here.close().await.unwrap();
    drop(here);
    assert_eq!(there.recv(FRAME_MAX_BYTES).await.unwrap().unwrap(), frame);
    assert_eq!(there.recv(64).await.unwrap(), None);
}

async fn a_stream_dropped_in_a_frame_is_truncated_or_lost(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    // The announcement of a frame that never comes.
    here.send_bulk(&[0, 0, 0, 9, 1, 2, 3]).await.unwrap();
    here.close().await.unwrap();
    drop(here);
    let result = there.recv(64).await;
    assert!(matches!(result, Err(Error::Truncated { .. } | Error::Lost { .. })), "{result:?}");
}

async fn a_stalled_frame_ends_after_patience(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    here.send_bulk(&[0, 0, 0, 9, 1, 2, 3]).await.unwrap();
    there.set_patience(Duration::from_millis(20));
    assert!(matches!(there.recv(64).await, Err(Error::Stalled { .. })));
}

async fn a_peer_that_takes_nothing_ends_after_patience(pair: Pair) {
    let (mut here, _there) = pair.stream().await;
    here.set_patience(Duration::from_millis(200));
    // More than any window of any transport holds.
    let flood = vec![0; 64 * 1024 * 1024];
    assert!(matches!(here.send_bulk(&flood).await, Err(Error::Stalled { .. })));
    assert!(matches!(here.send(b"more").await, Err(Error::Interrupted { .. })));
}

async fn a_cancelled_recv_loses_nothing(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    here.send_bulk(&[0, 0, 0, 5, b'f', b'r']).await.unwrap();
    let brief = tokio::time::timeout(Duration::from_millis(20), there.recv(64)).await;
    assert!(brief.is_err());
    here.send_bulk(b"ame").await.unwrap();
    assert_eq!(there.recv(64).await.unwrap().unwrap(), b"frame");
}

async fn a_cancelled_bulk_closes_the_stream(pair: Pair) {
    let (mut here, mut there) = pair.stream().await;
    here.send_bulk(b"half").await.unwrap();
    let mut bytes = Vec::new();
    let brief = tokio::time::timeout(Duration::from_millis(20), there.recv_bulk(&mut bytes, 8)).await;
    assert!(brief.is_err());
    assert!(matches!(there.recv(64).await, Err(Error::Interrupted { .. })));
}

async fn halves_work_in_two_tasks(pair: Pair) {
    let (here, there) = pair.stream().await;
    let (mut sender, mut receiver) = here.split();
    let (mut back, mut forth) = there.split();
    let echo = async {
        while let Some(frame) = forth.recv(1024).await.unwrap() {
            back.send(&frame).await.unwrap();
            back.flush().await.unwrap();
        }
        back.close().await.unwrap();
    };
    let sending = async {
        for n in 0..500_u32 {
            sender.send(&n.to_be_bytes()).await.unwrap();
        }
        sender.close().await.unwrap();
    };
    let receiving = async {
        for n in 0..500_u32 {
            assert_eq!(receiver.recv(1024).await.unwrap().unwrap(), n.to_be_bytes());
        }
        assert_eq!(receiver.recv(1024).await.unwrap(), None);
    };
    tokio::join!(echo, sending, receiving);
}

async fn many_streams_share_one_connection(pair: Pair) {
    let mut incoming = pair.far.accept(pair.echo).unwrap();
    let peer = pair.far.local_peer();
    let opening = (0..20).map(|_| pair.near.open(peer, pair.echo, SOON));
    let mut streams = futures::future::try_join_all(opening).await.unwrap();
    for (n, stream) in (0_u32..).zip(&mut streams) {
        stream.send(&n.to_be_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        let mut stream = pair.next(&mut incoming).await;
        seen.push(stream.recv(4).await.unwrap().unwrap());
    }
    seen.sort();
    assert_eq!(seen, (0_u32..20).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
    assert_eq!(pair.near.connected().await.unwrap(), [peer]);
    assert_eq!(pair.far.connected().await.unwrap(), [pair.near.local_peer()]);
}

async fn an_unknown_protocol_is_unsupported(pair: Pair) {
    let peer = pair.far.local_peer();
    let result = pair.near.open(peer, UNKNOWN, SOON).await;
    assert!(matches!(result, Err(Error::Unsupported { protocol: UNKNOWN, .. })), "{result:?}");
    let result = pair.near.open(peer, BULK_UNKNOWN, SOON).await;
    assert!(matches!(result, Err(Error::Unsupported { protocol: BULK_UNKNOWN, .. })), "{result:?}");
    // A service that ended is no longer spoken either.
    drop(pair.far.accept(QUIET).unwrap());
    let result = pair.near.open(peer, QUIET, SOON).await;
    assert!(matches!(result, Err(Error::Unsupported { protocol: QUIET, .. })), "{result:?}");
}

async fn a_protocol_is_accepted_once(pair: Pair) {
    let taken = pair.far.accept(pair.echo);
    assert!(taken.is_ok());
    assert!(matches!(pair.far.accept(pair.echo), Err(Error::NotServed { .. })));
    assert!(matches!(pair.far.accept(UNKNOWN), Err(Error::NotServed { .. })));
}

async fn a_peer_without_address_is_an_error(pair: Pair) {
    let result = pair.far.open(pair.near.local_peer(), pair.echo, SOON).await;
    assert!(matches!(result, Err(Error::NoAddress { .. })), "{result:?}");
}

async fn a_peer_does_not_dial_itself(pair: Pair) {
    let result = pair.near.connect(pair.near.local_peer(), &pair.near.listening(), SOON).await;
    assert!(matches!(result, Err(Error::OwnPeer)), "{result:?}");
}

async fn disconnecting_ends_streams_and_tells_both(pair: Pair) {
    let (mut near_events, mut far_events) = (pair.near.events(), pair.far.events());
    let (mut here, mut there) = pair.stream().await;
    let (near, far) = (pair.near.local_peer(), pair.far.local_peer());
    assert_eq!(connected(&mut near_events).await, (far, Direction::Outbound));
    assert_eq!(connected(&mut far_events).await, (near, Direction::Inbound));
    pair.near.disconnect(far).await.unwrap();
    assert!(!matches!(here.recv(64).await, Ok(Some(_))));
    assert!(!matches!(there.recv(64).await, Ok(Some(_))));
    assert_eq!(disconnected(&mut near_events).await, far);
    assert_eq!(disconnected(&mut far_events).await, near);
    assert_eq!(pair.near.connected().await.unwrap(), []);
}

//! The socket and the settings of QUIC on it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{
    AckFrequencyConfig, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt,
};

/// Streams of one connection in each direction; who wants more waits. Half of the room in the queue of a protocol.
pub(super) const STREAMS_MAX: u32 = 128;
/// Bytes of one stream that its reader has not taken yet: with 1 MiB a stream carries 20 MB/s over 50 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes of one connection that readers have not taken, or that the peer has not confirmed: what it may cost in memory.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// A peer that sends nothing for so long is gone; three signs of life may be lost on the way.
const SILENCE: Duration = Duration::from_secs(20);
/// A sign of life keeps routers from forgetting the way; they do from 30 s on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(6);
/// Datagrams that may come before they are confirmed; each confirmation costs both sides a system call.
const CONFIRM_EVERY: u32 = 16;

/// Binds `listen`, or any port for dialing only.
pub(super) fn bind(listen: Option<SocketAddr>, server: Option<quinn::ServerConfig>) -> io::Result<Endpoint> {
    let socket = match listen {
        Some(address) => UdpSocket::bind(address)?,
        // A socket of version 6 dials both where the system has it.
        None => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_no_ipv6| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?,
    };
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))
}

/// What both sides of every connection keep to.
pub(super) fn transport() -> Arc<TransportConfig> {
    let mut confirm = AckFrequencyConfig::default();
    confirm.ack_eliciting_threshold(CONFIRM_EVERY.into());
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        // Whole objects one after the other: the first is in use while the second comes.
        .send_fairness(false)
        .max_idle_timeout(IdleTimeout::try_from(SILENCE).ok())
        .keep_alive_interval(Some(SIGN_OF_LIFE))
        .ack_frequency_config(Some(confirm));
    Arc::new(transport)
}

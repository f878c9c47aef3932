//! What carries connections: QUIC, TCP with Noise and yamux, and the same inside WebSockets.

use std::time::Duration;

use libp2p::{
    PeerId, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns,
    identity::Keypair,
    noise, quic, tcp, yamux,
};

use crate::{config::Config, error::Error, websocket};

/// Streams one TCP connection may carry at once; QUIC allows 256 by itself.
const STREAMS_PER_CONNECTION_MAX: usize = 256;
/// A QUIC connection that hears nothing for so long is dead: unlike TCP nobody says so when its process was killed, and
/// whatever a device asked its gateway waits until then. Two signs of life may be lost on the way.
const QUIC_SILENCE_MAX_MS: u32 = 6000;
/// A QUIC connection without traffic gives a sign of life this often.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The multiplexer of connections over TCP.
pub(crate) fn muxer() -> yamux::Config {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(STREAMS_PER_CONNECTION_MAX);
    muxer
}

/// All of them, with names resolved by the system's resolver.
pub(crate) fn transport(
    keypair: &Keypair,
    config: &Config,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let unusable = |transport: &'static str, source| Error::Transport { transport, source };
    let noise = noise::Config::new(keypair).map_err(|cause| unusable("TCP", Error::shared(cause)))?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer())
        .map(|(peer, muxer), _point| (peer, StreamMuxerBox::new(muxer)));
    let mut settings = quic::Config::new(keypair);
    settings.max_idle_timeout = QUIC_SILENCE_MAX_MS;
    settings.keep_alive_interval = QUIC_KEEP_ALIVE;
    let quic =
        quic::tokio::Transport::new(settings).map(|(peer, muxer), _point| (peer, StreamMuxerBox::new(muxer)));
    let sockets = tcp.or_transport(quic).map(|either, _point| either.into_inner());
    let sockets =
        dns::tokio::Transport::system(sockets).map_err(|cause| unusable("DNS", Error::shared(cause)))?;
    // Before names are resolved: a certificate is for a name.
    let web = websocket::transport(keypair, &config.websocket, muxer())?;
    Ok(web.or_transport(sockets).map(|either, _point| either.into_inner()).boxed())
}

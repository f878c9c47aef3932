//! A certificate that is replaced while the process runs: its files are looked at whenever somebody connects, so that nobody has
//! to be told of a renewal.

use std::{
    fs,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use cosmic_runtime::exit::sentence;
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    dns, tcp, websocket,
};

use super::WebSocket;

/// WebSockets over TCP, by names.
type Web = websocket::Config<dns::tokio::Transport<tcp::tokio::Transport>>;
/// When a file was changed, and its length.
type Stamp = Option<(SystemTime, u64)>;

/// WebSockets that take a new certificate over. Whoever connects first after the change still gets the one before, which
/// counts for a while when it is renewed in time.
pub(super) struct Renewing {
    web: Web,
    config: WebSocket,
    seen: [Stamp; 2],
}

impl Renewing {
    /// Begins with the files as they are, from which the certificate of `web` was read.
    pub(super) fn new(web: Web, config: WebSocket) -> Self {
        let seen = stamps(&config);
        Self { web, config, seen }
    }

    /// Takes over what is in the files, if they changed. Half of a renewal does not fit together, and is passed over.
    fn look(&mut self) {
        let now = stamps(&self.config);
        if now == self.seen {
            return;
        }
        self.seen = now;
        match self.config.tls() {
            Ok(tls) => {
                self.web.set_tls_config(tls);
                tracing::info!("the certificate of WebSockets was replaced");
            }
            Err(error) => tracing::warn!(
                reason = sentence(&error),
                "the new certificate of WebSockets cannot be used; the one before is"
            ),
        }
    }
}

fn stamps(config: &WebSocket) -> [Stamp; 2] {
    [&config.certificate, &config.key].map(|path| {
        let metadata = fs::metadata(path.as_ref()?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

impl Transport for Renewing {
    type Output = <Web as Transport>::Output;
    type Error = <Web as Transport>::Error;
    type ListenerUpgrade = <Web as Transport>::ListenerUpgrade;
    type Dial = <Web as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.web.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.web.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.web.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = Pin::new(&mut self.web).poll(context);
        if let Poll::Ready(TransportEvent::Incoming { .. }) = event {
            self.look();
        }
        event
    }
}

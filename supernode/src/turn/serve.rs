//! `/cosmic/turn/1`: who has a session here gets a credential for his browser.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cosmic_common::{id::PeerId, protocol::TURN, record::Record as _};
use cosmic_custody::message::{
    refusal::{Refusal, RefusalCode},
    turn::{TurnAnswer, TurnRequest},
};
use cosmic_net::{Error, Stream, within};
use cosmic_space::delegation::Bearer;
use cosmic_turn::{Credential, Issuer};
use serde_json::{Value, json};

use super::{Status, metrics::Metrics};
use crate::{context::Context, streams::Serving};

/// Streams served at once; each takes a moment.
const STREAMS_MAX: usize = 64;
/// How long a device may take to ask.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// What an operator is told of the relay.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) outside: SocketAddr,
    pub(super) metrics: Metrics,
}

impl Status for Told {
    fn status(&self) -> Value {
        let Metrics { allocations, devices, connections, relayed, .. } = &self.metrics;
        json!({
            "address": self.outside,
            "allocations": allocations.get(),
            "devices": devices.get(),
            "connections": connections.get(),
            "relayed_bytes": relayed.get(),
        })
    }
}

/// Who gives credentials.
struct Server {
    context: Arc<Context>,
    urls: Vec<String>,
    issuer: Issuer,
    lasts: Duration,
    metrics: Metrics,
}

/// Begins to serve.
///
/// # Errors
/// [`Error::NotServed`] if somebody else serves the protocol.
pub(super) fn serve(
    context: &Arc<Context>,
    outside: SocketAddr,
    issuer: Issuer,
    lasts: Duration,
    metrics: Metrics,
) -> Result<(), Error> {
    let urls = vec![
        format!("stun:{outside}"),
        format!("turn:{outside}?transport=udp"),
        format!("turn:{outside}?transport=tcp"),
    ];
    let server = Arc::new(Server { context: Arc::clone(context), urls, issuer, lasts, metrics });
    let serving = Serving { protocol: TURN, name: "turn credentials", streams_max: STREAMS_MAX };
    serving.start(context, move |stream| {
        let server = Arc::clone(&server);
        async move { server.one(stream).await }
    })
}

impl Server {
    async fn one(&self, mut stream: Stream) -> Result<(), Error> {
        let asked = within("a request", ASK_PATIENCE, stream.recv(TurnRequest::LIMIT)).await?;
        let Some(frame) = asked else { return Ok(()) };
        let answer = self.answer(stream.peer(), &frame).unwrap_or_else(TurnAnswer::Refused);
        stream.send(&answer.to_bytes()).await?;
        stream.close().await
    }

    fn answer(&self, peer: PeerId, frame: &[u8]) -> Result<TurnAnswer, Refusal> {
        let request =
            TurnRequest::from_bytes(frame).map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
        let TurnRequest::Credential { session } = request;
        let unknown = || Refusal::new(RefusalCode::UnknownSession, "open the space again");
        let session = self.context.sessions.find(peer, session).ok_or_else(unknown)?;
        if session.bearer == Bearer::Ticket {
            let sentence = "the relay for browsers serves members; a ticket is none yet";
            return Err(Refusal::new(RefusalCode::NotAuthorised, sentence));
        }
        let expires = self.context.clock.now().after(self.lasts);
        let expires = session.caveats.expires.map_or(expires, |ends| ends.min(expires));
        let Credential { username, password } = self.issuer.issue(&peer, expires);
        self.metrics.credentials.inc();
        Ok(TurnAnswer::Credential { urls: self.urls.clone(), username, password, expires })
    }
}

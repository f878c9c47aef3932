//! Credentials of the relay for browsers, asked of the gateway of a space.

use std::time::Duration;

use cosmic_common::{id::SpaceId, protocol::TURN, record::Record as _, time::Timestamp};
use cosmic_custody::message::turn::{TurnAnswer, TurnRequest};
use cosmic_net::within;

use super::opening::Error;
use crate::node::Node;

/// How long a gateway may take.
const PATIENCE: Duration = Duration::from_secs(6);

/// What a browser needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Where the relay is.
    pub urls: Vec<String>,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// When both end.
    pub expires: Timestamp,
}

/// Asks the gateway of `space`; nothing while there is none.
///
/// # Errors
/// [`Error`] if it cannot be reached, has no relay for browsers, or refuses.
pub async fn ask(node: &Node, space: &SpaceId) -> Result<Option<Ticket>, Error> {
    let Some(gateway) = node.sessions.get(space) else { return Ok(None) };
    let asked = async {
        let mut stream = node.net.open(gateway.gateway, TURN, PATIENCE).await?;
        stream.send(&TurnRequest::Credential { session: gateway.session }.to_bytes()).await?;
        stream.flush().await?;
        stream.recv(TurnAnswer::LIMIT).await
    };
    let frame = within("the relay for browsers", PATIENCE, asked).await?;
    let frame = frame.ok_or(Error::Protocol("it closed the stream"))?;
    match TurnAnswer::from_bytes(&frame) {
        Ok(TurnAnswer::Credential { urls, username, password, expires }) => {
            Ok(Some(Ticket { urls, username, password, expires }))
        }
        Ok(TurnAnswer::Refused(refusal)) => Err(refusal.into()),
        Err(_malformed) => Err(Error::Protocol("it sent a malformed answer")),
    }
}

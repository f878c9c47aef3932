//! Asking another supernode: one question on one stream. Whoever answers, whatever it says, is there.

use std::time::Duration;

use cosmic_common::{id::PeerId, limit::MESSAGE_MAX_BYTES, record::Record as _};
use cosmic_custody::message::care::{CareAnswer, CareRequest};

use super::{CARE, Care, Error};
use crate::{context::Context, shards::ANSWER_PATIENCE};

/// How long reaching a supernode may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);

impl Care {
    /// The answer of `peer`; a refusal is an error.
    pub(crate) async fn ask(&self, peer: PeerId, request: &CareRequest) -> Result<CareAnswer, Error> {
        let answered = ask_peer(&self.0.context, peer, request).await;
        if matches!(answered, Ok(_) | Err(Error::Refused(_))) {
            self.heard(&peer);
        }
        answered
    }
}

/// The answer of `peer`, for whoever does not look after its presence.
pub(crate) async fn ask_peer(
    context: &Context,
    peer: PeerId,
    request: &CareRequest,
) -> Result<CareAnswer, Error> {
    context.net.add_addresses(peer, context.ring_view().addresses_of(&peer)).await?;
    let mut stream = context.net.open(peer, CARE, OPEN_PATIENCE).await?;
    stream.set_patience(ANSWER_PATIENCE);
    stream.send(&request.to_bytes()).await?;
    stream.flush().await?;
    let answering =
        cosmic_net::within("the answer of a supernode", ANSWER_PATIENCE, stream.recv(MESSAGE_MAX_BYTES));
    let Some(frame) = answering.await? else {
        return Err(cosmic_net::Error::Lost { peer, source: None }.into());
    };
    let answer = CareAnswer::from_bytes(&frame)
        .map_err(|_error| Error::Protocol { peer, what: "its answer cannot be read" })?;
    match answer {
        CareAnswer::Refused(refusal) => Err(refusal.into()),
        answer => Ok(answer),
    }
}

/// An answer to another question.
pub(crate) const fn unexpected(peer: PeerId) -> Error {
    Error::Protocol { peer, what: "it answered something else" }
}

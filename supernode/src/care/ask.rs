//! Asking another supernode: one question on one stream. Whoever answers, whatever it says, is there.

use std::time::Duration;

use cosmic_common::id::PeerId;
use cosmic_custody::message::care::{CareAnswer, CareRequest};

use super::{CARE, Care, Error};
use crate::{context::Context, shards::ANSWER_PATIENCE, streams::Asking};

/// How long reaching a supernode may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// How a question is asked.
const ASKING: Asking =
    Asking { protocol: CARE, open_patience: OPEN_PATIENCE, answer_patience: ANSWER_PATIENCE };

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
    match ASKING.ask(context, peer, request).await? {
        Some(CareAnswer::Refused(refusal)) => Err(refusal.into()),
        Some(answer) => Ok(answer),
        None => Err(Error::Protocol { peer, what: "its answer cannot be read" }),
    }
}

/// An answer to another question.
pub(crate) const fn unexpected(peer: PeerId) -> Error {
    Error::Protocol { peer, what: "it answered something else" }
}

//! Asking another supernode: one question on one stream.

use std::time::Duration;

use cosmic_common::{id::PeerId, limit::MESSAGE_MAX_BYTES, record::Record as _};
use cosmic_summary::{SummaryAnswer, SummaryRequest};

use super::{Error, SUMMARY, Summaries};

/// How long reaching a supernode may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

impl Summaries {
    /// The answer of `peer`; a refusal is an error.
    pub(super) async fn ask(&self, peer: PeerId, request: &SummaryRequest) -> Result<SummaryAnswer, Error> {
        let context = &self.0.context;
        context.net.add_addresses(peer, context.ring_view().addresses_of(&peer)).await?;
        let mut stream = context.net.open(peer, SUMMARY, OPEN_PATIENCE).await?;
        stream.set_patience(ANSWER_PATIENCE);
        stream.send(&request.to_bytes()).await?;
        stream.flush().await?;
        let answering =
            cosmic_net::within("the answer of a supernode", ANSWER_PATIENCE, stream.recv(MESSAGE_MAX_BYTES));
        let Some(frame) = answering.await? else {
            return Err(cosmic_net::Error::Lost { peer, source: None }.into());
        };
        match SummaryAnswer::from_bytes(&frame) {
            Ok(SummaryAnswer::Refused(why)) => Err(Error::Refused { peer, why }),
            Ok(answer) => Ok(answer),
            Err(_malformed) => Err(Error::Protocol { peer, what: "its answer cannot be read" }),
        }
    }
}

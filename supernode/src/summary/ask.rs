//! Asking another supernode: one question on one stream.

use std::time::Duration;

use cosmic_common::id::PeerId;
use cosmic_summary::{SummaryAnswer, SummaryRequest};

use super::{Error, SUMMARY, Summaries};
use crate::streams::Asking;

/// How long reaching a supernode may take.
const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// How long it may take to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How a question is asked.
const ASKING: Asking =
    Asking { protocol: SUMMARY, open_patience: OPEN_PATIENCE, answer_patience: ANSWER_PATIENCE };

impl Summaries {
    /// The answer of `peer`; a refusal is an error.
    pub(super) async fn ask(&self, peer: PeerId, request: &SummaryRequest) -> Result<SummaryAnswer, Error> {
        match ASKING.ask(&self.0.context, peer, request).await? {
            Some(SummaryAnswer::Refused(why)) => Err(Error::Refused { peer, why }),
            Some(answer) => Ok(answer),
            None => Err(Error::Protocol { peer, what: "its answer cannot be read" }),
        }
    }
}

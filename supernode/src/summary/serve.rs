//! `/cosmic/summary/1`, answered to members: words taken, and what was gathered passed on.

use std::time::Duration;

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_net::{Stream, within};
use cosmic_summary::{MemberSummary, SummaryAnswer, SummaryRequest, Why};

use super::{SUMMARY, Summaries};
use crate::streams::Serving;

/// Streams served at once; each is short.
const STREAMS_MAX: usize = 256;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(30);

/// Serves until the shutdown.
///
/// # Errors
/// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
pub(super) fn serve(summaries: &Summaries) -> Result<(), cosmic_net::Error> {
    let serving = Serving { protocol: SUMMARY, name: "summaries", streams_max: STREAMS_MAX };
    let serves = summaries.clone();
    serving.start(&summaries.0.context, move |stream| {
        let summaries = serves.clone();
        async move { summaries.stream(stream).await }
    })
}

impl Summaries {
    async fn stream(&self, mut stream: Stream) -> Result<(), cosmic_net::Error> {
        let peer = stream.peer();
        loop {
            let receiving = stream.recv(SummaryRequest::LIMIT);
            let Some(frame) = within("the next request", REST_MAX, receiving).await? else {
                return stream.close().await;
            };
            let answer = match SummaryRequest::from_bytes(&frame) {
                Ok(request) => self.answer(peer, request),
                Err(_malformed) => {
                    self.0.metrics.refused(Why::Malformed);
                    SummaryAnswer::Refused(Why::Malformed)
                }
            };
            stream.send(&answer.to_bytes()).await?;
            if matches!(answer, SummaryAnswer::Refused(_)) {
                return stream.close().await;
            }
            stream.flush().await?;
        }
    }

    fn answer(&self, peer: PeerId, request: SummaryRequest) -> SummaryAnswer {
        if !self.0.context.ring_view().members.is_active(&peer) {
            self.0.metrics.refused(Why::NotAMember);
            return SummaryAnswer::Refused(Why::NotAMember);
        }
        match request {
            SummaryRequest::Tell(bytes) => match Signed::<MemberSummary>::from_bytes(&bytes) {
                Ok(word) => self.hear(&word, peer).map_or(SummaryAnswer::Noted, SummaryAnswer::Refused),
                Err(_malformed) => {
                    self.0.metrics.refused(Why::Malformed);
                    SummaryAnswer::Refused(Why::Malformed)
                }
            },
            SummaryRequest::Region(region) => {
                SummaryAnswer::Gathered { told: self.collection().of(&region), more: false }
            }
            SummaryRequest::Regions { after } => {
                let (told, more) = self.collection().after(after.as_ref());
                SummaryAnswer::Gathered { told, more }
            }
        }
    }

    /// Takes the word that `from` brought; why not, if it does not count.
    pub(super) fn hear(&self, word: &Signed<MemberSummary>, from: PeerId) -> Option<Why> {
        let context = &self.0.context;
        let view = context.ring_view();
        let between = (from, context.peer);
        let taken = self.reports().take(word, between, &view.members, context.clock.now(), &self.0.rhythm);
        match taken {
            Ok(()) => {
                self.0.metrics.heard.inc();
                None
            }
            Err(error) => {
                let why = Why::from(&error);
                self.0.metrics.refused(why);
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(peer = %from.short(), reason, "the word of a member does not count");
                Some(why)
            }
        }
    }
}

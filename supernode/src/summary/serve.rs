//! `/cosmic/summary/1`, answered to members: words taken, and what was gathered passed on.

use std::time::Duration;

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_net::{Incoming, Stream, within};
use cosmic_runtime::{shutdown::Shutdown, tasks::Group};
use cosmic_summary::{MemberSummary, SummaryAnswer, SummaryRequest, Why};

use super::{SUMMARY, Summaries};

/// Streams served at once; each is short.
const STREAMS_MAX: usize = 256;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(30);

/// Serves until the shutdown.
///
/// # Errors
/// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
pub(super) fn serve(summaries: &Summaries) -> Result<(), cosmic_net::Error> {
    let context = &summaries.0.context;
    let incoming = context.net.accept(SUMMARY)?;
    let streams = context.tasks.group("summary streams", STREAMS_MAX);
    let summaries = summaries.clone();
    context.tasks.spawn("summaries", |shutdown| accept(summaries, incoming, streams, shutdown));
    Ok(())
}

async fn accept(summaries: Summaries, mut incoming: Incoming, streams: Group, shutdown: Shutdown) {
    while let Some(Some(stream)) = shutdown.unless(incoming.next()).await {
        let (summaries, peer) = (summaries.clone(), stream.peer());
        let started = streams.spawn(|shutdown| async move {
            if let Some(Err(error)) = shutdown.unless(summaries.stream(stream)).await {
                tracing::debug!(peer = %peer.short(), %error, "a stream of summaries ended");
            }
        });
        if started.is_err() {
            tracing::warn!(peer = %peer.short(), "too many streams of summaries at once");
        }
    }
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

//! `/cosmic/care/1`, answered to members: what is kept here, leases, and shards that change their owner.

use std::time::Duration;

use cosmic_common::{id::PeerId, limit::MESSAGE_MAX_BYTES, record::Record as _};
use cosmic_custody::message::{
    care::{CareAnswer, CareRequest, Surveyed},
    refusal::{Refusal, RefusalCode},
};
use cosmic_net::{Stream, within};

use super::{CARE, Care, Error, lock};
use crate::{
    shards::{self, ANSWER_PATIENCE},
    streams::Serving,
};

/// Streams served at once.
const STREAMS_MAX: usize = 256;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(120);

/// Serves until the shutdown.
///
/// # Errors
/// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
pub(super) fn serve(care: &Care) -> Result<(), cosmic_net::Error> {
    let serving = Serving { protocol: CARE, name: "care", streams_max: STREAMS_MAX };
    let serves = care.clone();
    serving.start(&care.0.context, move |stream| {
        let care = serves.clone();
        async move { care.stream(stream).await }
    })
}

impl Care {
    async fn stream(&self, mut stream: Stream) -> Result<(), cosmic_net::Error> {
        let peer = stream.peer();
        stream.set_patience(ANSWER_PATIENCE);
        loop {
            let Some(frame) = within("the next request", REST_MAX, stream.recv(MESSAGE_MAX_BYTES)).await?
            else {
                return stream.close().await;
            };
            let Ok(request) = CareRequest::from_bytes(&frame) else {
                return refuse(&mut stream, RefusalCode::Malformed, "this is no care request").await;
            };
            if !self.0.shards.holders().borrow().may_ask(&peer) {
                let sentence = "only members of the ring take care of what is kept";
                return refuse(&mut stream, RefusalCode::NotInRing, sentence).await;
            }
            self.heard(&peer);
            let answer = self.answer(peer, request).await.unwrap_or_else(|error| {
                let refusal = match error {
                    Error::Refused(refusal) => refusal,
                    Error::Shard(error) => error.refusal(),
                    error => Refusal::new(RefusalCode::Storage, cosmic_runtime::exit::sentence(&error)),
                };
                CareAnswer::Refused(refusal)
            });
            stream.send(&answer.to_bytes()).await?;
            stream.flush().await?;
        }
    }

    async fn answer(&self, peer: PeerId, request: CareRequest) -> Result<CareAnswer, Error> {
        match request {
            CareRequest::Survey(objects) => {
                let shards = self.0.shards.clone();
                let reading = move || {
                    let kept = objects.iter().map(|object| shards.keeper().surveyed(object));
                    kept.collect::<Result<Vec<Surveyed>, shards::Error>>()
                };
                let read = tokio::task::spawn_blocking(reading).await.map_err(|_gone| Error::Stopping)?;
                Ok(CareAnswer::Surveyed(read?))
            }
            CareRequest::Keep { object, index } => {
                let receipt = self.0.shards.keeper().adopt(object, index).await?;
                Ok(CareAnswer::Kept { receipt })
            }
            CareRequest::Lease { object } => {
                Ok(CareAnswer::Leased(lock(&self.0.leases).ask(object, peer, self.now())))
            }
            CareRequest::EndLease { object } => {
                lock(&self.0.leases).end(&object, &peer);
                Ok(CareAnswer::Noted)
            }
            CareRequest::Challenge(challenge) => Ok(CareAnswer::Proof(self.0.audits.prove(challenge).await?)),
            CareRequest::Report(evidence) => {
                self.0.audits.hear(evidence).await?;
                Ok(CareAnswer::Noted)
            }
            request
            @ (CareRequest::Remove(_) | CareRequest::Claims { .. } | CareRequest::Removals { .. }) => {
                let answered = self.0.deletion.answer(request).await.map_err(|error| error.refusal())?;
                Ok(answered.unwrap_or(CareAnswer::Noted))
            }
        }
    }
}

async fn refuse(stream: &mut Stream, code: RefusalCode, sentence: &str) -> Result<(), cosmic_net::Error> {
    stream.send(&CareAnswer::Refused(Refusal::new(code, sentence)).to_bytes()).await?;
    stream.close().await
}

//! `/cosmic/gateway/1`: whoever opens a stream hears how loaded this supernode is, and where else to go when it leaves or is full.

use std::{sync::Arc, time::Duration};

use cosmic_common::{id::PeerId, protocol, record::Record as _};
use cosmic_net::{Error, Stream, within};
use cosmic_ring::{
    Candidate, GatewayReport,
    gateway::{ALTERNATIVES_MAX, draw},
};
use cosmic_runtime::random;

use crate::{context::Context, session::Door, streams::Serving};

/// Questions answered at once; who is turned away takes another gateway, which is what he asked about.
const ANSWERED_MAX: usize = 256;
/// How long an answer of a few bytes may take to be taken.
const TAKING: Duration = Duration::from_secs(5);

/// Answers whoever asks.
///
/// # Errors
/// If somebody does already.
pub(super) fn start(context: &Arc<Context>) -> Result<(), Error> {
    let serving = Serving { protocol: protocol::GATEWAY, name: "gateway reports", streams_max: ANSWERED_MAX };
    let serves = Arc::clone(context);
    serving.start(context, move |stream| {
        let context = Arc::clone(&serves);
        async move { answer(&context, stream).await }
    })
}

async fn answer(context: &Context, mut stream: Stream) -> Result<(), Error> {
    let report = report(context).await?.to_bytes();
    let told = async {
        stream.send(&report).await?;
        stream.close().await
    };
    within("telling how this supernode is", TAKING, told).await
}

/// How this supernode is now.
async fn report(context: &Context) -> Result<GatewayReport, Error> {
    let leaving = *context.sessions.door().borrow() != Door::Open;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut report = GatewayReport {
        sessions: number(context.sessions.len()),
        sessions_max: number(context.limits.sessions_max),
        leaving,
        alternatives: Vec::new(),
    };
    if leaving || report.is_full() || context.net.is_overloaded() {
        report.alternatives = alternatives(context).await?;
    }
    Ok(report)
}

/// Some members of the ring that are connected with this one now: of those it knows that they are there.
async fn alternatives(context: &Context) -> Result<Vec<PeerId>, Error> {
    let connected = context.net.connected().await?;
    let ring = context.ring_view();
    let candidates: Vec<Candidate> = ring
        .members
        .active()
        .filter(|member| member.peer != context.peer && connected.contains(&member.peer))
        .map(|member| Candidate { peer: member.peer, weight: member.weight })
        .collect();
    let drawn = draw(&candidates, ALTERNATIVES_MAX, &random::seed());
    Ok(drawn.into_iter().map(|candidate| candidate.peer).collect())
}

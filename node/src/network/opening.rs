//! Opening a session on a space: the proof of the right to it, made by the opener and checked by the acceptor.

use cosmic_common::{
    id::{Incarnation, PeerId, SpaceId},
    protocol::SPACE,
    record::Record as _,
};
use cosmic_custody::{
    Work,
    message::{
        refusal::{Refusal, RefusalCode},
        space::{SessionId, SpaceFrame},
    },
};
use cosmic_identity::signed::Signed;
use cosmic_net::{Stream, within};
use cosmic_space::{
    session::{Expected, SessionProof, verify_session},
    ticket::Ticket,
};
use cosmic_sync::{door::Summary, message::Interest};
use tokio::sync::broadcast;

use super::OPEN_PATIENCE;
use crate::{
    core::space::{Space, membership_entries},
    error::Error as NodeError,
    event::Event,
    node::{GatewaySession, Node},
};

/// Bytes of membership entries sent along for an acceptor that has not seen the space.
const CREDENTIALS_MAX_BYTES: usize = 512 * 1024;
/// The bound on the number of credentials.
const CREDENTIALS_MAX: usize = 1024;

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream.
    #[error("the connection failed")]
    Net(#[from] cosmic_net::Error),
    /// The peer said something else than it should.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// The peer refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This node itself.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// An open stream on a space.
#[derive(Debug)]
pub struct Opened {
    /// The stream, on which sync messages may flow.
    pub stream: Stream,
    /// What this side holds.
    pub summary: Summary,
    /// What is written from then on.
    pub events: broadcast::Receiver<Event>,
    /// What the acceptor said of itself, for the opener.
    pub session: GatewaySession,
}

/// Opens `space` at `peer`.
///
/// # Errors
/// [`Error`] if the peer cannot be reached, refuses, or breaks the protocol.
pub async fn open(node: &Node, space: SpaceId, peer: PeerId) -> Result<Opened, Error> {
    let mut stream = node.net.open(peer, SPACE, OPEN_PATIENCE).await?;
    let SpaceFrame::Challenge { nonce, work_bits } = receive(&mut stream).await? else {
        return Err(Error::Protocol("it should have sent a challenge"));
    };
    let client = node.context.device.peer();
    let answer = match work_bits {
        Some(bits) => Some(answer(Work { client, server: peer, nonce, bits }).await?),
        None => None,
    };
    let frame = node
        .write(move |core, connection| {
            core.with_space(connection, &space, |_core, space| {
                prove(connection, space, &Streams { client, server: peer, nonce }, answer)
            })
        })
        .await?;
    stream.send(&frame.to_bytes()).await?;
    match receive(&mut stream).await? {
        SpaceFrame::Opened { session, source, .. } => {
            let events = node.context.events.subscribe();
            let summary = summary(node, space).await?;
            let session = GatewaySession { gateway: peer, session, source, in_sync: false };
            Ok(Opened { stream, summary, events, session })
        }
        SpaceFrame::Refused(refusal) => Err(refusal.into()),
        _ => Err(Error::Protocol("it should have opened the session or refused")),
    }
}

/// Accepts a session that another device opens.
///
/// # Errors
/// [`Error`] if the proof does not hold or the peer breaks the protocol; the peer is told why.
pub async fn accept(node: &Node, mut stream: Stream) -> Result<(SpaceId, Opened), Error> {
    let nonce = cosmic_runtime::random::seed();
    // Devices know whom they share spaces with, and are asked for little.
    stream.send(&SpaceFrame::Challenge { nonce, work_bits: None }.to_bytes()).await?;
    let SpaceFrame::Open { space, proof, .. } = receive(&mut stream).await? else {
        return Err(Error::Protocol("it should have opened a space"));
    };
    let client = stream.peer();
    match check(node, space, proof, Streams { client, server: node.net.local_peer(), nonce }).await {
        Ok(()) => {}
        Err(refusal) => {
            stream.send(&SpaceFrame::Refused(refusal.clone()).to_bytes()).await?;
            stream.close().await?;
            return Err(refusal.into());
        }
    }
    let session = SessionId(cosmic_runtime::random::bytes());
    let source = node.net.local_peer();
    let incarnation: Incarnation = node.context.device.incarnation();
    stream.send(&SpaceFrame::Opened { session, incarnation, source }.to_bytes()).await?;
    stream.flush().await?;
    let events = node.context.events.subscribe();
    let summary = summary(node, space).await?;
    let session = GatewaySession { gateway: client, session, source, in_sync: false };
    Ok((space, Opened { stream, summary, events, session }))
}

/// The two ends of a stream and what the server asked to be signed.
struct Streams {
    client: PeerId,
    server: PeerId,
    nonce: [u8; 32],
}

async fn receive(stream: &mut Stream) -> Result<SpaceFrame, Error> {
    let frame = within("opening a session", OPEN_PATIENCE, stream.recv(SpaceFrame::LIMIT)).await?;
    let frame = frame.ok_or(Error::Protocol("it closed the stream"))?;
    SpaceFrame::from_bytes(&frame).map_err(|_error| Error::Protocol("it sent a malformed frame"))
}

fn prove(
    connection: &rusqlite::Connection,
    space: &Space,
    streams: &Streams,
    answer: Option<u64>,
) -> Result<SpaceFrame, NodeError> {
    let ticket = space.ticket.as_ref().map(|text| text.parse::<Ticket>()).transpose()?;
    let key = ticket.map_or_else(|| space.writer.clone(), |ticket| ticket.signing_key());
    let proof = SessionProof {
        space: space.id,
        delegation: space.delegation,
        key: key.writer_id(),
        client: streams.client,
        server: streams.server,
        nonce: streams.nonce,
        protocol: SPACE.as_str().to_owned(),
        genesis: space.membership.genesis().cloned(),
    };
    let mut bytes = 0;
    let credentials = membership_entries(connection, &space.id)?
        .into_iter()
        .map(cosmic_log::entry::Entry::into_bytes)
        .take(CREDENTIALS_MAX)
        .take_while(|entry| {
            bytes += entry.len();
            bytes <= CREDENTIALS_MAX_BYTES
        })
        .collect();
    Ok(SpaceFrame::Open { space: space.id, proof: Signed::sign(proof, &key).to_bytes(), credentials, answer })
}

/// Does the work of a busy gateway, on a thread where computing hinders nobody.
async fn answer(work: Work) -> Result<u64, Error> {
    tracing::debug!(gateway = %work.server.short(), bits = work.bits, "working for a busy gateway");
    let found = tokio::task::spawn_blocking(move || work.answer()).await.ok().flatten();
    found.ok_or(Error::Protocol("it wants more work than it may"))
}

async fn check(node: &Node, space: SpaceId, proof: Vec<u8>, streams: Streams) -> Result<(), Refusal> {
    let proof = Signed::<SessionProof>::from_bytes(&proof)
        .map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
    let now = node.clock().now();
    node.write(move |core, connection| {
        core.with_space(connection, &space, |_core, space| {
            let expected = Expected {
                client: streams.client,
                server: streams.server,
                nonce: streams.nonce,
                protocol: SPACE.as_str(),
            };
            verify_session(&space.membership, &proof, &expected, now)?;
            Ok(())
        })
    })
    .await
    .map_err(|error| match error {
        NodeError::NoSpace { .. } => Refusal::new(RefusalCode::UnknownSpace, error),
        other => Refusal::new(RefusalCode::NotAuthorised, other),
    })
}

/// What this device holds of `space`, with all that was pending sealed: somebody is here to take it.
async fn summary(node: &Node, space: SpaceId) -> Result<Summary, NodeError> {
    node.context.uplinks.session(&space, true);
    let taken = node
        .write(move |core, connection| {
            core.seal_all(connection, &space)?;
            core.with_space(connection, &space, |_core, space| {
                Ok(Summary {
                    membership: space.membership_channel(),
                    channels: space.heads(),
                    interest: Interest::All,
                })
            })
        })
        .await;
    if taken.is_err() {
        node.context.uplinks.session(&space, false);
    }
    taken
}

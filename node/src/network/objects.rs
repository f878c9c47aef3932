//! Chunks elsewhere: put at the gateway with a check of what came of it, fetched from a device or the gateway with a
//! check of the bytes.

use cosmic_common::{
    hash,
    id::{ObjectId, PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    protocol::OBJECT,
    record::Record as _,
};
use cosmic_custody::{
    count::object::ObjectVerdict,
    message::{
        bulk::BulkLength,
        care::{REMOVALS_MAX, RemovalProgress},
        object::{ObjectAnswer, ObjectRequest, Whereabouts},
        refusal::Refusal,
        space::SessionId,
    },
};
use cosmic_erasure::{Coder, Manifest};
use cosmic_net::Stream;

use super::OPEN_PATIENCE;
use crate::{
    node::{GatewaySession, Node},
    safety::Signed,
};

/// Devices asked for a chunk before the gateway is: more of them would only delay it.
const DEVICES_ASKED: usize = 3;

/// Why a chunk was not put or got.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The space has no session with a gateway now.
    #[error("no gateway is connected")]
    NoGateway,
    /// The stream.
    #[error("the connection failed")]
    Net(#[from] cosmic_net::Error),
    /// The gateway refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The gateway said something else than it should.
    #[error("the gateway broke the protocol: {0}")]
    Protocol(&'static str),
    /// The gateway's manifest is not the one of these bytes.
    #[error("the gateway's manifest is not that of the chunk; nothing it says about it counts")]
    WrongManifest,
    /// The database.
    #[error(transparent)]
    Node(#[from] crate::error::Error),
    /// The codec.
    #[error("the manifest cannot be checked")]
    Erasure(#[from] cosmic_erasure::Error),
}

/// What became of a chunk that was put.
#[derive(Debug)]
pub struct Put {
    /// The manifest, recomputed from the bytes.
    pub manifest: Manifest,
    /// The receipts.
    pub receipts: Vec<Signed>,
    /// What they come to.
    pub verdict: ObjectVerdict,
}

/// The gateway's session of `space`.
///
/// # Errors
/// [`Error::NoGateway`] if there is none.
pub fn gateway(node: &Node, space: &SpaceId) -> Result<GatewaySession, Error> {
    node.sessions.get(space).ok_or(Error::NoGateway)
}

/// Gives a chunk to the gateway and waits until its shards are signed for.
///
/// # Errors
/// [`Error`] if it is refused, or what came of it does not check out.
pub async fn put(
    node: &Node,
    (space, session): (SpaceId, GatewaySession),
    object: ObjectId,
    bytes: Vec<u8>,
) -> Result<Put, Error> {
    let mut stream = node.net.open(session.gateway, OBJECT, OPEN_PATIENCE).await?;
    let length = BulkLength::new(bytes.len()).map_err(|_error| Error::Protocol("a chunk too long"))?;
    let request = ObjectRequest::Put { session: session.session, object, length };
    stream.send(&request.to_bytes()).await?;
    let whereabouts = match receive(&mut stream).await? {
        ObjectAnswer::Send => {
            stream.send_bulk(&bytes).await?;
            stream.flush().await?;
            stored(receive(&mut stream).await?)?
        }
        answer => stored(answer)?,
    };
    check(node, space, whereabouts, bytes).await
}

fn stored(answer: ObjectAnswer) -> Result<Whereabouts, Error> {
    match answer {
        ObjectAnswer::Stored(whereabouts) => Ok(whereabouts),
        ObjectAnswer::Refused(refusal) => Err(refusal.into()),
        _ => Err(Error::Protocol("it should have said where the chunk is")),
    }
}

/// Believes the receipts only as far as they speak of the shards these very bytes have.
///
/// # Errors
/// [`Error`] if the manifest is that of other bytes, or cannot be made here.
pub(super) async fn check(
    node: &Node,
    space: SpaceId,
    whereabouts: Whereabouts,
    bytes: Vec<u8>,
) -> Result<Put, Error> {
    let claimed = Manifest::from_bytes(&whereabouts.manifest)
        .map_err(|_error| Error::Protocol("a malformed manifest"))?;
    let codec = claimed.codec();
    let recomputed = tokio::task::spawn_blocking(move || Coder::new(codec)?.manifest(&bytes))
        .await
        .map_err(|_error| Error::Protocol("the check was interrupted"))??;
    // An object that was coded anew, in another class than at first, has the same shards as any of that class.
    let recomputed = if claimed.is_anew() { recomputed.anew() } else { recomputed };
    if recomputed.to_bytes() != whereabouts.manifest {
        return Err(Error::WrongManifest);
    }
    let mut receipts = Vec::new();
    for bytes in whereabouts.receipts {
        match Signed::open(bytes) {
            Ok(signed) => receipts.push(signed),
            Err(error) => {
                node.metrics.receipts_refused.inc();
                tracing::warn!(%error, "a receipt is refused");
            }
        }
    }
    let regions = node.regions(space).await?;
    let verdict = node.safety.judge(&regions, &recomputed, &receipts);
    Ok(Put { manifest: recomputed, receipts, verdict })
}

/// Fetches a chunk from a device that holds a session on its space, or else from the gateway.
///
/// # Errors
/// [`Error`] if it is not to be had; what the gateway said, if there is one.
pub async fn fetch(node: &Node, space: &SpaceId, object: ObjectId) -> Result<Vec<u8>, Error> {
    for (device, session) in node.sessions.devices(space).into_iter().take(DEVICES_ASKED) {
        match get(node, device, session, object).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(object = %object.short(), device = %device.short(), reason, "a device does not give a chunk");
            }
        }
    }
    let GatewaySession { gateway, session, .. } = gateway(node, space)?;
    get(node, gateway, session, object).await
}

/// Fetches a chunk from `peer`; the bytes are those the name is a hash of.
async fn get(node: &Node, peer: PeerId, session: SessionId, object: ObjectId) -> Result<Vec<u8>, Error> {
    let mut stream = node.net.open(peer, OBJECT, OPEN_PATIENCE).await?;
    stream.send(&ObjectRequest::Get { session, object }.to_bytes()).await?;
    let length = match receive(&mut stream).await? {
        ObjectAnswer::Follows { length } => length.bytes(),
        ObjectAnswer::Refused(refusal) => return Err(refusal.into()),
        _ => return Err(Error::Protocol("it should have sent the chunk")),
    };
    let mut bytes = Vec::with_capacity(length);
    stream.recv_bulk(&mut bytes, length).await?;
    if hash::plain(&bytes).as_bytes() != object.as_bytes() {
        return Err(Error::Protocol("it sent other bytes than the chunk"));
    }
    Ok(bytes)
}

/// How far the removals of these objects are, as the gateway hears it from a replica of the space.
///
/// # Errors
/// [`Error`] if there is no gateway, or it does not say.
pub async fn removals(
    node: &Node,
    space: &SpaceId,
    objects: &[ObjectId],
) -> Result<Vec<RemovalProgress>, Error> {
    let GatewaySession { gateway, session, .. } = gateway(node, space)?;
    let mut stream = node.net.open(gateway, OBJECT, OPEN_PATIENCE).await?;
    let mut all = Vec::with_capacity(objects.len());
    for some in objects.chunks(usize::try_from(REMOVALS_MAX).unwrap_or(usize::MAX)) {
        let request = ObjectRequest::Removals { session, objects: some.to_vec() };
        stream.send(&request.to_bytes()).await?;
        match receive(&mut stream).await? {
            ObjectAnswer::Removals(progress) if progress.len() == some.len() => all.extend(progress),
            ObjectAnswer::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(Error::Protocol("it should have said what is removed")),
        }
    }
    Ok(all)
}

async fn receive(stream: &mut Stream) -> Result<ObjectAnswer, Error> {
    let frame = stream.recv(MESSAGE_MAX_BYTES).await?.ok_or(Error::Protocol("it closed the stream"))?;
    ObjectAnswer::from_bytes(&frame).map_err(|_error| Error::Protocol("a malformed answer"))
}

//! `/cosmic/shard/1`, the holder's side: one stream after the other is served, each request after the one before.

use std::{sync::Arc, time::Duration};

use cosmic_common::{
    id::{OperatorId, PeerId, SpaceId},
    limit::{BULK_FRAME_BYTES, MESSAGE_MAX_BYTES, OBJECT_MAX_BYTES},
    protocol::SHARD,
    record::Record as _,
};
use cosmic_custody::message::{
    bulk::BulkLength,
    refusal::{Refusal, RefusalCode},
    shard::{ShardAnswer, ShardRequest},
};
use cosmic_erasure::Manifest;
use cosmic_net::{Stream, within};
use cosmic_space::genesis::Genesis;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{ANSWER_PATIENCE, Error, Offer, Shards};
use crate::{context::Context, streams::Serving};

/// Streams served at once; each of the other supernodes keeps a few.
const STREAMS_MAX: usize = 512;
/// Bytes of shards in memory at once, while they come in or go out. Callers wait.
const IN_FLIGHT_MAX_BYTES: usize = 12 * OBJECT_MAX_BYTES;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(120);

/// Serves shards to members of the ring until the shutdown.
///
/// # Errors
/// [`cosmic_net::Error::NotServed`] if somebody else serves the protocol.
pub(crate) fn serve(shards: &Shards, context: &Context) -> Result<(), cosmic_net::Error> {
    let server = Arc::new(Server { shards: shards.clone(), room: Semaphore::new(IN_FLIGHT_MAX_BYTES) });
    let serving = Serving { protocol: SHARD, name: "shards", streams_max: STREAMS_MAX };
    serving.start(context, move |stream| {
        let server = Arc::clone(&server);
        async move { server.stream(stream).await }
    })
}

struct Server {
    shards: Shards,
    room: Semaphore,
}

impl Server {
    async fn stream(&self, mut stream: Stream) -> Result<(), cosmic_net::Error> {
        let peer = stream.peer();
        stream.set_patience(ANSWER_PATIENCE);
        loop {
            let Some(frame) = within("the next request", REST_MAX, stream.recv(MESSAGE_MAX_BYTES)).await?
            else {
                return stream.close().await;
            };
            let Ok(request) = ShardRequest::from_bytes(&frame) else {
                self.shards.metrics().shards_refused.inc();
                return refuse(&mut stream, Refusal::new(RefusalCode::Malformed, "this is no shard request"))
                    .await;
            };
            let is_member = self.shards.holders().borrow().may_ask(&peer);
            if !is_member {
                self.shards.metrics().shards_refused.inc();
                let sentence = "only members of the ring give and take shards";
                return refuse(&mut stream, Refusal::new(RefusalCode::NotInRing, sentence)).await;
            }
            self.request(&mut stream, peer, request).await?;
        }
    }

    async fn request(
        &self,
        stream: &mut Stream,
        peer: PeerId,
        request: ShardRequest,
    ) -> Result<(), cosmic_net::Error> {
        let keeper = self.shards.keeper();
        let answered = match request {
            ShardRequest::Put { space, manifest, index, owner, length, genesis, sponsor } => {
                let bringer = keeper.context.sponsor(&space, &peer, sponsor);
                let put = Put { space, bringer, manifest, index, owner, length, genesis };
                self.put(stream, put).await?
            }
            ShardRequest::Get { object, index } => {
                let _room = self.room(OBJECT_MAX_BYTES).await;
                let found = match keeper.coding_of(object) {
                    Ok(coding) => keeper.shard(coding, index).await,
                    Err(error) => Err(error),
                };
                match found {
                    Ok(found) => return self.send(stream, found).await,
                    Err(error) => Err(error),
                }
            }
            ShardRequest::Which { object } => keeper.which_of(object).map(|kept| ShardAnswer::Held {
                manifest: kept.manifest,
                indices: kept.indices,
                receipts: kept.receipts,
            }),
            ShardRequest::PutPlacement(placement) => {
                keeper.note(placement).await.map(|counts| ShardAnswer::Placement(Some(counts)))
            }
            ShardRequest::GetPlacement { object } => keeper.placement(&object).map(ShardAnswer::Placement),
        };
        let answer = answered.unwrap_or_else(|error| {
            self.shards.metrics().shards_refused.inc();
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::debug!(peer = %peer.short(), reason, "a request about a shard was refused");
            ShardAnswer::Refused(error.refusal())
        });
        stream.send(&answer.to_bytes()).await?;
        stream.flush().await
    }

    async fn put(
        &self,
        stream: &mut Stream,
        put: Put,
    ) -> Result<Result<ShardAnswer, Error>, cosmic_net::Error> {
        let length = put.length.bytes();
        let _room = self.room(length).await;
        let manifest = match put.check(&self.shards) {
            Ok(manifest) => manifest,
            Err(error) => {
                drain(stream, put.length).await?;
                return Ok(Err(error));
            }
        };
        let mut bytes = Vec::with_capacity(length);
        stream.recv_bulk(&mut bytes, length).await?;
        let Put { space, bringer, manifest: manifest_bytes, index, owner, .. } = &put;
        let offer = Offer {
            space: *space,
            bringer: *bringer,
            owner: *owner,
            manifest: &manifest,
            manifest_bytes,
            index: *index,
            bytes: &bytes,
            proven: false,
        };
        Ok(self.shards.keeper().keep(offer).await.map(|receipt| ShardAnswer::Kept { receipt }))
    }

    async fn send(&self, stream: &mut Stream, found: super::Found) -> Result<(), cosmic_net::Error> {
        let Ok(length) = BulkLength::new(found.bytes.len()) else {
            return refuse(stream, Refusal::new(RefusalCode::NotHere, "the shard is empty")).await;
        };
        stream.send(&ShardAnswer::Follows { manifest: found.manifest, length }.to_bytes()).await?;
        stream.send_bulk(&found.bytes).await?;
        self.shards.metrics().shards_served.inc();
        Ok(())
    }

    async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let bytes = u32::try_from(bytes.min(IN_FLIGHT_MAX_BYTES)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        self.room.acquire_many(bytes).await.ok()
    }
}

/// A shard that is announced and not received yet.
struct Put {
    space: SpaceId,
    bringer: Option<OperatorId>,
    manifest: Vec<u8>,
    index: u8,
    owner: Option<PeerId>,
    length: BulkLength,
    genesis: Option<Vec<u8>>,
}

impl Put {
    /// Whether it is worth receiving.
    fn check(&self, shards: &Shards) -> Result<Manifest, Error> {
        let malformed = |sentence: &str| Error::Refused(Refusal::new(RefusalCode::Malformed, sentence));
        if let Some(genesis) = &self.genesis {
            let genesis = Genesis::from_bytes(genesis)
                .ok()
                .filter(|genesis| genesis.space_id() == self.space)
                .ok_or_else(|| malformed("the genesis is not that of the space"))?;
            shards.0.residences.learn(&genesis);
        }
        let keeper = shards.keeper();
        keeper.may_keep(&self.space)?;
        let manifest = Manifest::from_bytes(&self.manifest)
            .map_err(|_error| malformed("the manifest cannot be read"))?;
        if manifest.shard(self.index).is_none() || manifest.shard_bytes() != self.length.bytes() {
            return Err(malformed("the manifest has no such shard"));
        }
        if keeper.manifest(&manifest.coding())?.is_none() {
            keeper.has_room(self.space, self.bringer, self.length.bytes())?;
        }
        Ok(manifest)
    }
}

/// Reads and drops the bytes of a refused shard, so that the stream stays in step.
async fn drain(stream: &mut Stream, length: BulkLength) -> Result<(), cosmic_net::Error> {
    let mut dropped = Vec::with_capacity(BULK_FRAME_BYTES);
    for piece in length.pieces() {
        dropped.clear();
        stream.recv_bulk(&mut dropped, piece).await?;
    }
    Ok(())
}

async fn refuse(stream: &mut Stream, refusal: Refusal) -> Result<(), cosmic_net::Error> {
    stream.send(&ShardAnswer::Refused(refusal).to_bytes()).await?;
    stream.close().await
}

//! `/cosmic/object/1`, the gateway's side: a device with an open session puts and gets objects.

use std::{sync::Arc, time::Duration};

use cosmic_common::{
    id::{ObjectId, PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
    protocol::OBJECT,
    record::Record as _,
};
use cosmic_custody::{
    message::{
        bulk::BulkLength,
        object::{ObjectAnswer, ObjectRequest},
        refusal::{Refusal, RefusalCode},
        space::SessionId,
    },
    shards_wanted,
};
use cosmic_erasure::coded_anew;
use cosmic_net::{Cost, Error as NetError, Offence, Stream, within};
use cosmic_space::{rights::Right, session::Session};
use futures::{StreamExt as _, stream};

use super::{Error, Objects};
use crate::{context::Context, deletion::Deletion, streams::Serving};

/// Streams of devices served at once.
const STREAMS_MAX: usize = 1024;
/// How long a stream may rest between two requests.
const REST_MAX: Duration = Duration::from_secs(120);
/// How long a device may take to send or take one object: 4 MiB at 35 kB/s.
const TRANSFER_MAX: Duration = Duration::from_secs(120);
/// Placement records looked up at once for one `Have`.
const LOOKUPS: usize = 32;

/// Serves objects to devices until the shutdown.
///
/// # Errors
/// [`NetError::NotServed`] if somebody else serves the protocol.
pub(crate) fn serve(objects: &Objects, deletion: &Deletion, context: &Arc<Context>) -> Result<(), NetError> {
    let (objects, deletion) = (objects.clone(), deletion.clone());
    let server = Arc::new(Server { objects, deletion, context: Arc::clone(context) });
    let serving = Serving { protocol: OBJECT, name: "objects", streams_max: STREAMS_MAX };
    serving.start(context, move |stream| {
        let server = Arc::clone(&server);
        async move { server.stream(stream).await }
    })
}

struct Server {
    objects: Objects,
    deletion: Deletion,
    context: Arc<Context>,
}

impl Server {
    async fn stream(&self, mut stream: Stream) -> Result<(), NetError> {
        loop {
            let Some(frame) = within("the next request", REST_MAX, stream.recv(MESSAGE_MAX_BYTES)).await?
            else {
                return stream.close().await;
            };
            let Ok(request) = ObjectRequest::from_bytes(&frame) else {
                self.context.net.offence(stream.peer(), Offence::Malformed);
                self.refuse(&mut stream, Refusal::new(RefusalCode::Malformed, "this is no object request"))
                    .await?;
                return stream.close().await;
            };
            let answered =
                within("moving an object", TRANSFER_MAX, self.request(&mut stream, request)).await?;
            if let Err(refusal) = answered {
                self.refuse(&mut stream, refusal).await?;
            }
        }
    }

    async fn refuse(&self, stream: &mut Stream, refusal: Refusal) -> Result<(), NetError> {
        self.objects.0.shards.metrics().objects_refused.inc();
        tracing::debug!(peer = %stream.peer().short(), %refusal, "a request for an object was refused");
        stream.send(&ObjectAnswer::Refused(refusal).to_bytes()).await?;
        stream.flush().await
    }

    /// Answers one request; a refusal is sent by the caller.
    async fn request(
        &self,
        stream: &mut Stream,
        request: ObjectRequest,
    ) -> Result<Result<(), Refusal>, NetError> {
        let peer = stream.peer();
        let answer = match request {
            ObjectRequest::Put { session, object, length } => {
                match self.session(peer, session, &[Right::Write]) {
                    Ok(session) => return self.put(stream, &session, object, length).await,
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            ObjectRequest::Get { session, object } => match self.session(peer, session, &[Right::Read]) {
                Ok(session) => return self.get(stream, &session, object).await,
                Err(refusal) => return Ok(Err(refusal)),
            },
            ObjectRequest::Status { session, object } => {
                match self.session(peer, session, &[Right::Read, Right::Write]) {
                    Ok(session) => {
                        self.objects.whereabouts(&session.space, object).await.map(ObjectAnswer::Stored)
                    }
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            ObjectRequest::Have { session, objects } => {
                match self.session(peer, session, &[Right::Read, Right::Write]) {
                    Ok(session) => Ok(ObjectAnswer::Had(self.had(session.space, objects).await)),
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
            ObjectRequest::Removals { session, objects } => {
                match self.session(peer, session, &[Right::Read, Right::Write]) {
                    Ok(session) => match self.deletion.progress_for_device(session.space, objects).await {
                        Ok(progress) => Ok(ObjectAnswer::Removals(progress)),
                        Err(error) => return Ok(Err(error.refusal())),
                    },
                    Err(refusal) => return Ok(Err(refusal)),
                }
            }
        };
        match answer {
            Ok(answer) => {
                stream.send(&answer.to_bytes()).await?;
                stream.flush().await?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error.refusal())),
        }
    }

    /// The session of `peer` with this number, if it has one of `rights` now.
    fn session(&self, peer: PeerId, id: SessionId, rights: &[Right]) -> Result<Arc<Session>, Refusal> {
        let session = self.context.sessions.find(peer, id).ok_or_else(|| {
            self.context.net.charge(peer, OBJECT, Cost::Stream);
            Refusal::new(RefusalCode::UnknownSession, "this session is not open here; open the space again")
        })?;
        if session.caveats.expires.is_some_and(|at| at <= self.context.clock.now()) {
            return Err(Refusal::new(RefusalCode::NotAuthorised, "the right of this session has expired"));
        }
        if !rights.iter().any(|right| session.rights.has(*right)) {
            let wanted: Vec<_> = rights.iter().map(|right| right.name()).collect();
            let sentence = format!("this session may not {} in the space", wanted.join(" or "));
            return Err(Refusal::new(RefusalCode::NotAuthorised, sentence));
        }
        Ok(session)
    }

    async fn put(
        &self,
        stream: &mut Stream,
        session: &Session,
        object: ObjectId,
        length: BulkLength,
    ) -> Result<Result<(), Refusal>, NetError> {
        let stored = match self.objects.stored(session.space, object).await {
            Ok(Some(whereabouts)) => whereabouts,
            Ok(None) => {
                let turn = match self.objects.turn().await {
                    Ok(turn) => turn,
                    Err(error) => return Ok(Err(error.refusal())),
                };
                let mut bytes = match self.objects.prepare(session.space, object, length.bytes()) {
                    Ok(room) => room,
                    Err(error) => return Ok(Err(error.refusal())),
                };
                stream.send(&ObjectAnswer::Send.to_bytes()).await?;
                stream.recv_bulk(&mut bytes, length.bytes()).await?;
                let put = self.objects.put(session.space, object, bytes).await;
                drop(turn);
                if matches!(put, Err(Error::Hash { .. })) {
                    self.context.net.offence(stream.peer(), Offence::WrongBytes);
                }
                match put {
                    Ok(whereabouts) => whereabouts,
                    Err(error) => return Ok(Err(error.refusal())),
                }
            }
            Err(error) => return Ok(Err(error.refusal())),
        };
        stream.send(&ObjectAnswer::Stored(stored).to_bytes()).await?;
        stream.flush().await?;
        Ok(Ok(()))
    }

    async fn get(
        &self,
        stream: &mut Stream,
        session: &Session,
        object: ObjectId,
    ) -> Result<Result<(), Refusal>, NetError> {
        let turn = match self.objects.turn().await {
            Ok(turn) => turn,
            Err(error) => return Ok(Err(error.refusal())),
        };
        let rebuilt = match self.objects.get(session.space, object).await {
            Ok(rebuilt) => rebuilt,
            Err(error) => return Ok(Err(error.refusal())),
        };
        let Ok(length) = BulkLength::new(rebuilt.parts().map(<[u8]>::len).sum()) else {
            return Ok(Err(Error::NotHere { object }.refusal()));
        };
        stream.send(&ObjectAnswer::Follows { length }.to_bytes()).await?;
        for part in rebuilt.parts() {
            stream.send_bulk(part).await?;
        }
        drop(turn);
        Ok(Ok(()))
    }

    /// Those of `objects` that are recorded as placed with as many holders as a write waits for.
    async fn had(&self, space: SpaceId, objects: Vec<ObjectId>) -> Vec<ObjectId> {
        let lookups = objects
            .into_iter()
            .map(|object| async move { self.is_placed(space, object).await.then_some(object) });
        stream::iter(lookups).buffered(LOOKUPS).filter_map(|had| async move { had }).collect().await
    }

    async fn is_placed(&self, space: SpaceId, object: ObjectId) -> bool {
        let shards = &self.objects.0.shards;
        let holders = Arc::clone(&shards.holders().borrow());
        let Some(plan) = shards.plan(&space, &object) else { return false };
        let regions = shards.regions(&space);
        let counts = |peer: &PeerId| holders.contains(peer) && holders.atlas().permits(&regions, peer);
        // In the class of the ring it lies under its own id, or it was coded anew.
        for coding in [object, coded_anew(&object, plan.codec)] {
            for keeper in &plan.keepers {
                let Ok(Some(placement)) = shards.placement(*keeper, coding).await else { continue };
                let members = placement.holders.values().filter(|holding| counts(&holding.peer));
                if members.count() >= shards_wanted(plan.codec) {
                    return true;
                }
                break;
            }
        }
        false
    }
}

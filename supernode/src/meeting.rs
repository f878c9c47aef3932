//! `/cosmic/meeting/1`: devices leave word of where they are, and take that of others. The cards are sealed; nothing of them
//! is written down.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cosmic_common::{
    id::{PeerId, SpaceId},
    protocol::MEETING,
    record::Record as _,
};
use cosmic_custody::{
    Meetings,
    message::{
        meeting::{CARD_MAX_BYTES, CARDS_MAX, MeetingAnswer, MeetingRequest, Seat},
        refusal::{Refusal, RefusalCode},
    },
};
use cosmic_net::{Error, Stream, within};

use crate::{
    context::Context,
    duty,
    streams::{Asking, Serving},
};

/// Streams served at once; each holds some cards.
const STREAMS_MAX: usize = 256;
/// How long a device may take to ask.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// How long a replica may take to answer; a device does not wait longer for those that are away.
const REPLICA_PATIENCE: Duration = Duration::from_secs(2);
/// How a card is passed on.
const ASKING: Asking =
    Asking { protocol: MEETING, open_patience: REPLICA_PATIENCE, answer_patience: REPLICA_PATIENCE };

/// The cards that devices left here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Meeting {
    context: Arc<Context>,
    meetings: Arc<Mutex<Meetings>>,
}

impl Meeting {
    /// Begins to serve.
    ///
    /// # Errors
    /// [`Error::NotServed`] if somebody else serves the protocol.
    pub fn start(context: &Arc<Context>) -> Result<Self, Error> {
        let meeting = Self { context: Arc::clone(context), meetings: Arc::default() };
        let serving = Serving { protocol: MEETING, name: "meetings", streams_max: STREAMS_MAX };
        let serves = meeting.clone();
        serving.start(context, move |stream| {
            let meeting = serves.clone();
            async move { meeting.one(stream).await }
        })?;
        Ok(meeting)
    }

    async fn one(&self, mut stream: Stream) -> Result<(), Error> {
        let asked = within("a card", ASK_PATIENCE, stream.recv(MeetingRequest::LIMIT)).await?;
        let Some(frame) = asked else { return Ok(()) };
        let cards = self.answer(stream.peer(), &frame).await;
        let answer = cards.map_or_else(MeetingAnswer::Refused, MeetingAnswer::Cards);
        stream.send(&answer.to_bytes()).await?;
        stream.close().await
    }

    async fn answer(&self, peer: PeerId, frame: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
        let request =
            MeetingRequest::from_bytes(frame).map_err(|error| Refusal::new(RefusalCode::Malformed, error))?;
        match request {
            MeetingRequest::Meet { session, seat, card } => {
                let unknown = || Refusal::new(RefusalCode::UnknownSession, "open the space again");
                let session = self.context.sessions.find(peer, session).ok_or_else(unknown)?;
                check(&card)?;
                Ok(self.everywhere(session.space, seat, card).await)
            }
            MeetingRequest::Note { space, seat, card } => {
                if !duty::may_ask(&self.context.ring_view(), &peer) {
                    let sentence = "only members of the ring pass cards on";
                    return Err(Refusal::new(RefusalCode::NotInRing, sentence));
                }
                check(&card)?;
                Ok(self.here(space, seat, card))
            }
        }
    }

    fn here(&self, space: SpaceId, seat: Seat, card: Vec<u8>) -> Vec<Vec<u8>> {
        let now = self.context.clock.now();
        let mut meetings = self.meetings.lock().unwrap_or_else(PoisonError::into_inner);
        let cards = meetings.meet(space, seat, card, now);
        self.context.metrics.cards.set(i64::try_from(meetings.len()).unwrap_or(i64::MAX));
        cards
    }

    /// Leaves the card here and at every replica of the space that answers, and collects what they have.
    async fn everywhere(&self, space: SpaceId, seat: Seat, card: Vec<u8>) -> Vec<Vec<u8>> {
        let mut there = duty::replicas(&self.context, &space);
        there.retain(|replica| *replica != self.context.peer);
        let note = MeetingRequest::Note { space, seat, card: card.clone() };
        let asked = there.into_iter().map(|replica| self.pass_on(replica, &note));
        let told = futures::future::join_all(asked).await;
        let here = self.here(space, seat, card);
        let all: BTreeSet<Vec<u8>> = told.into_iter().flatten().chain(here).collect();
        all.into_iter().take(CARDS_MAX).collect()
    }

    async fn pass_on(&self, replica: PeerId, note: &MeetingRequest) -> Vec<Vec<u8>> {
        let asked = ASKING.ask(&self.context, replica, note);
        match within("a replica's cards", REPLICA_PATIENCE, asked).await {
            Ok(Some(MeetingAnswer::Cards(cards))) => cards,
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::debug!(replica = %replica.short(), %error, "a replica tells nothing of devices");
                Vec::new()
            }
        }
    }
}

fn check(card: &[u8]) -> Result<(), Refusal> {
    if card.len() > CARD_MAX_BYTES {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("a card has at most {CARD_MAX_BYTES} bytes"),
        ));
    }
    Ok(())
}

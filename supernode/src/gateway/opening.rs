//! Opening a session: a challenge, a proof, and the membership it is held against.

use std::time::Duration;

use cosmic_common::{
    id::SpaceId,
    protocol::SPACE,
    record::{Record as _, RecordError},
};
use cosmic_custody::{
    Work,
    message::{
        refusal::{Refusal, RefusalCode},
        space::{PROOF_MAX_BYTES, SpaceFrame},
    },
};
use cosmic_identity::{signature::SignatureError, signed::Signed};
use cosmic_net::{Cost, Offence, Stream, within};
use cosmic_runtime::random;
use cosmic_space::{
    refusal,
    session::{Session, SessionProof},
};
use cosmic_sync::message::Frame;

use crate::spaces::{self, Challenge, Origin, Space, Spaces};

/// How long a peer may take to answer the challenge.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// What a space that is at rest is read from: its row, its logs and its membership.
const READS: usize = 3;

/// Why no session came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Net(#[from] cosmic_net::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody honest sends what came.
    #[error("{refusal}")]
    Lied { offence: Offence, refusal: Refusal },
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Self::Lied { offence: Offence::Malformed, refusal: Refusal::new(RefusalCode::Malformed, error) }
    }
}

/// A proof that holds.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) space: Space,
    pub(super) session: Session,
    /// The number of the session among those of this process, for telling origins apart.
    pub(super) number: u64,
}

/// Challenges the peer and holds its proof against the membership of the space.
pub(super) async fn open(spaces: &Spaces, stream: &mut Stream) -> Result<Opening, Error> {
    let nonce = random::seed();
    let (net, client) = (&spaces.context().net, stream.peer());
    let work_bits = net.work_bits(&client);
    stream.send(&SpaceFrame::Challenge { nonce, work_bits }.to_bytes()).await?;
    let frame =
        within("answering the challenge", OPEN_TIMEOUT, stream.recv(cosmic_net::FRAME_MAX_BYTES)).await?;
    let frame = frame.ok_or_else(|| malformed("the stream ended before a space was opened"))?;
    let SpaceFrame::Open { space, proof, credentials, answer } = SpaceFrame::from_bytes(&frame)? else {
        return Err(malformed("a space has to be opened first").into());
    };
    let work = |bits| Work { client, server: spaces.context().peer, nonce, bits };
    if work_bits.is_some_and(|bits| !answer.is_some_and(|answer| work(bits).is_done_by(answer))) {
        spaces.context().metrics.work_missing.inc();
        let sentence = "this supernode is busy and wants work of whom it does not know; try again later";
        return Err(Refusal::new(RefusalCode::Busy, sentence).into());
    }
    if proof.len() > PROOF_MAX_BYTES {
        return Err(Refusal::new(RefusalCode::TooLarge, "the session proof is too long").into());
    }
    let proof = Signed::<SessionProof>::from_bytes(&proof)?;
    // The proof, and one for each record that comes with it; the space is read if it is at rest.
    net.charge(client, SPACE, Cost::Signatures(1 + credentials.len()));
    net.charge(client, SPACE, Cost::DiskReads(READS));
    // Before a space is loaded, or looked for, on behalf of somebody who has nothing to do with it.
    proof.verify(proof.unverified().key.as_bytes()).map_err(forged)?;
    let challenge = Challenge { client, nonce };
    let number = u64::from_be_bytes(random::bytes());
    locate(spaces, space, proof.unverified()).await?;
    let space = spaces.get(space).map_err(|error| error.refusal())?;
    let session = authorise(spaces, &space, proof, challenge, (number, credentials)).await?;
    Ok(Opening { space, session, number })
}

/// Learns where the data of a space may lie before it is looked for.
async fn locate(spaces: &Spaces, space: SpaceId, proof: &SessionProof) -> Result<(), Refusal> {
    match proof.genesis.as_ref().filter(|genesis| genesis.space_id() == space) {
        Some(genesis) => spaces.learn(genesis),
        None => spaces.locate(space).await.map_err(|error| spaces::Error::Store(error).refusal())?,
    }
    Ok(())
}

/// Holds the proof against what is known, then against what came with it, then against what the replicas know.
async fn authorise(
    spaces: &Spaces,
    space: &Space,
    proof: Signed<SessionProof>,
    challenge: Challenge,
    (number, credentials): (u64, Vec<Vec<u8>>),
) -> Result<Session, Error> {
    match space.authorise(proof.clone(), challenge).await {
        Err(error) if is_behind(&error) => {}
        result => return result.map_err(refused),
    }
    if !credentials.is_empty() {
        let entries = credentials.into_iter().map(|entry| Frame::from(entry).into()).collect();
        let appended =
            space.append(entries, Origin::Session(number)).await.map_err(|error| error.refusal())?;
        if let Some(refusal) = appended.invalid {
            return Err(Error::Lied { offence: Offence::BadSignature, refusal });
        }
        match space.authorise(proof.clone(), challenge).await {
            Err(error) if is_behind(&error) => {}
            result => return result.map_err(refused),
        }
    }
    ask_replicas(spaces, space.id(), space).await;
    space.authorise(proof, challenge).await.map_err(refused)
}

/// A proof that was made for another stream is forged; a right that is missing is not.
fn refused(error: spaces::Error) -> Error {
    let refusal = error.refusal();
    match error {
        spaces::Error::Space(refusal::Refusal::OtherSession { .. }) => {
            Error::Lied { offence: Offence::ForgedProof, refusal }
        }
        _ => Error::Refused(refusal),
    }
}

/// Whether the membership here may just be behind. A key nobody gave anything yet may be a new member's.
fn is_behind(error: &spaces::Error) -> bool {
    matches!(error, spaces::Error::Space(refusal::Refusal::Missing(_) | refusal::Refusal::NotAMember { .. }))
}

/// Pulls what other replicas have. One that does not answer leaves things as they are.
async fn ask_replicas(spaces: &Spaces, id: SpaceId, space: &Space) {
    for peer in spaces.replicas().of(&id) {
        if space.reconcile(peer).await.is_ok() {
            return;
        }
    }
}

fn forged(error: SignatureError) -> Error {
    Error::Lied { offence: Offence::ForgedProof, refusal: Refusal::new(RefusalCode::InvalidEntry, error) }
}

fn malformed(sentence: &str) -> Refusal {
    Refusal::new(RefusalCode::Malformed, sentence)
}

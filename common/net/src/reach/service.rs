//! Both ends of `/cosmic/reach/1`: one asks to be dialed, the other dials and tells.

use std::time::Duration;

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_runtime::clock::Clock;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};

use super::message::{ANSWER_MAX_BYTES, QUESTION_MAX_BYTES, answer, question, read_answer, read_question};
use crate::{
    command::{Command, ask},
    error::{Error, within},
    stream::Stream,
};

/// How long each end waits for the other; a dial that nobody answers takes five seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a server said, or nothing if it did not answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) server: PeerId,
    pub(crate) told: Option<Told>,
}

/// What a server said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) verdicts: Vec<(Multiaddr, Option<bool>)>,
    /// By how many milliseconds the clock here is ahead of the server's, or behind.
    pub(crate) ahead_ms: i64,
}

/// Asks `server` on the stream that is being opened about `addresses`.
pub(crate) async fn inquire(
    server: PeerId,
    addresses: Vec<Multiaddr>,
    opening: oneshot::Receiver<Result<Stream, Error>>,
) -> Answer {
    let asked = async {
        let mut stream = opening.await.map_err(|_dropped| Error::Stopped)??;
        stream.send(&question(&addresses)).await?;
        let frame = stream.recv(ANSWER_MAX_BYTES).await?;
        Ok(frame.and_then(|frame| read_answer(&frame, addresses.len())))
    };
    match within("asking whether others reach this peer", PATIENCE, asked).await {
        Ok(answer) => {
            let told = answer.map(|(verdicts, there)| Told {
                verdicts: addresses.into_iter().zip(verdicts).collect(),
                ahead_ms: ahead_ms(Clock::system().now(), there),
            });
            Answer { server, told }
        }
        Err(error) => {
            tracing::debug!(server = %server.short(), %error, "nothing was said of the own addresses");
            Answer { server, told: None }
        }
    }
}

fn ahead_ms(here: Timestamp, there: Timestamp) -> i64 {
    i64::try_from(i128::from(here.unix_ms()) - i128::from(there.unix_ms())).unwrap_or(i64::MIN)
}

async fn probe(
    commands: &mpsc::WeakSender<Command>,
    peer: PeerId,
    address: Multiaddr,
) -> Result<Option<bool>, Error> {
    let commands = commands.upgrade().ok_or(Error::Stopped)?;
    ask(&commands, |reply| Command::Probe { peer, address, reply }).await
}

/// Answers one question, by the actor behind `commands`.
pub(crate) async fn serve(mut stream: Stream, commands: mpsc::WeakSender<Command>) {
    let peer = stream.peer();
    let served = async {
        let Some(frame) = stream.recv(QUESTION_MAX_BYTES).await? else { return Ok(()) };
        let Some(addresses) = read_question(&frame) else {
            tracing::debug!(peer = %peer.short(), "a malformed question about addresses");
            return Ok(());
        };
        let tried = addresses.into_iter().map(|address| probe(&commands, peer, address));
        let verdicts = futures::future::try_join_all(tried).await?;
        stream.send(&answer(&verdicts, Clock::system().now())).await?;
        stream.close().await
    };
    if let Err(error) = within("trying the addresses of a peer", PATIENCE, served).await {
        tracing::debug!(peer = %peer.short(), %error, "a peer was told nothing of its addresses");
    }
}

//! What a handle asks the actor to do; each command carries its one-shot reply.

use cosmic_common::{address::Address, id::PeerId, protocol::Protocol};
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};

use crate::{
    directory::{Snapshot, message::Question, searches::Known},
    error::Error,
    relays::RelayPeer,
    situation::Situation,
    stream::Stream,
};

/// Commands that may wait for the actor; then callers wait in turn.
pub(crate) const COMMANDS_MAX: usize = 256;

/// Where an answer goes; dropped without one only if the network stops.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// One wish.
#[derive(Debug)]
pub(crate) enum Command {
    AddAddresses {
        peer: PeerId,
        addresses: Vec<Address>,
        reply: Reply<()>,
    },
    AddExternalAddress {
        address: Address,
        reply: Reply<()>,
    },
    Connect {
        peer: PeerId,
        addresses: Vec<Address>,
        reply: Reply<()>,
    },
    Open {
        peer: PeerId,
        protocol: Protocol,
        reply: Reply<Stream>,
    },
    /// Where the connection to a peer leads, if a direct one stands.
    Locate {
        peer: PeerId,
        reply: Reply<Multiaddr>,
    },
    Disconnect {
        peer: PeerId,
        reply: Reply<()>,
    },
    Connected {
        reply: Reply<Vec<PeerId>>,
    },
    SetRelays {
        relays: Vec<RelayPeer>,
        reply: Reply<()>,
    },
    /// Whether `peer` is reached at an address of its own from a port it has never spoken to; nothing if the address may
    /// not be tried.
    Probe {
        peer: PeerId,
        address: Multiaddr,
        reply: Reply<Option<bool>>,
    },
    Situation {
        reply: Reply<Situation>,
    },
    /// What an earlier run knew of the directory.
    Remember {
        snapshot: Snapshot,
        reply: Reply<()>,
    },
    /// What this one knows of it.
    Snapshot {
        reply: Reply<Snapshot>,
    },
    Bootstrap {
        reply: Reply<()>,
    },
    /// What this process itself has to say to a question about the directory, whoever asks; nobody if it does itself.
    Know {
        question: Question,
        by: Option<PeerId>,
        reply: Reply<Known>,
    },
}

/// Sends a command with its one-shot reply and waits for that.
pub(crate) async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_closed| Error::Stopped)?;
    answer.await.map_err(|_dropped| Error::Stopped)?
}

/// Answers; a caller who has left does not mind.
pub(crate) fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    if reply.send(result).is_err() {
        tracing::trace!("a caller left before its answer");
    }
}

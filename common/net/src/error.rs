//! What can go wrong between two peers, in a reader's words.

use std::{io, sync::Arc, time::Duration};

use cosmic_common::{address::Address, id::PeerId, protocol::Protocol};

/// A cause that several callers share, since they shared the dial that failed.
pub type SharedCause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// Why the network could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The secret key is not one the transports can use.
    #[error("the device key cannot be used as a network identity")]
    Identity(#[source] SharedCause),
    /// Session keys would be written to a file.
    #[error("SSLKEYLOGFILE is set, which would write session keys to a file; unset it and start again")]
    KeyLog,
    /// A transport could not be set up.
    #[error("the {transport} transport cannot be set up")]
    Transport {
        /// Which one.
        transport: &'static str,
        /// What it says.
        source: SharedCause,
    },
    /// A certificate or its key cannot be used.
    #[error("{} cannot be used for WebSockets: it has to hold a certificate, or its key, as PEM", path.display())]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        source: SharedCause,
    },
    /// An address that is no multiaddress this build can dial or listen on.
    #[error("{address} is not an address of this network; use for example /ip4/192.0.2.7/udp/7410/quic-v1")]
    Address {
        /// The address.
        address: Address,
        /// What the parser says, if it was the parser.
        source: Option<SharedCause>,
    },
    /// Listening failed, mostly because the port is taken.
    #[error("cannot listen on {address}; is another process using the port?")]
    Listen {
        /// Where.
        address: Address,
        /// What the system says.
        source: SharedCause,
    },
    /// Nobody told where the peer lives.
    #[error("no address is known for peer {}", peer.short())]
    NoAddress {
        /// The peer.
        peer: PeerId,
    },
    /// Every address of the peer was tried in vain.
    #[error("peer {} cannot be reached at any known address", peer.short())]
    Unreachable {
        /// The peer.
        peer: PeerId,
        /// What the last attempt says.
        source: SharedCause,
    },
    /// A peer cannot dial itself.
    #[error("this peer was asked to connect to itself")]
    OwnPeer,
    /// The peer does not speak the protocol, so it has another role or version.
    #[error("peer {} does not speak {protocol}", peer.short())]
    Unsupported {
        /// The peer.
        peer: PeerId,
        /// The protocol.
        protocol: Protocol,
    },
    /// The connection ended, at once or while a stream was used.
    #[error("the connection to peer {} was lost", peer.short())]
    Lost {
        /// The peer.
        peer: PeerId,
        /// What the transport says, if it says anything.
        source: Option<Arc<io::Error>>,
    },
    /// What the caller waits for did not happen in the time the caller gave.
    #[error("{what} did not happen within {} ms", within.as_millis())]
    Deadline {
        /// What was awaited.
        what: &'static str,
        /// The time the caller gave.
        within: Duration,
    },
    /// The peer stopped in the middle of a frame or takes no bytes any more.
    #[error("peer {} made no progress for {} ms", peer.short(), patience.as_millis())]
    Stalled {
        /// The peer.
        peer: PeerId,
        /// How long it made none.
        patience: Duration,
    },
    /// A frame longer than the receiver allows; nothing was allocated for it.
    #[error("a frame of {length} bytes, at most {limit} are allowed here")]
    FrameTooLong {
        /// Bytes announced or handed in.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The stream ended in the middle of a frame or of bulk bytes.
    #[error("the stream of peer {} ended in the middle of a frame", peer.short())]
    Truncated {
        /// The peer.
        peer: PeerId,
    },
    /// A bulk transfer of this stream was cancelled half-way, so its framing is lost.
    #[error("the stream to peer {} was interrupted in the middle of bulk bytes; open another", peer.short())]
    Interrupted {
        /// The peer.
        peer: PeerId,
    },
    /// A bounded queue is full.
    #[error("the network is busy: {queue} is full; try again later")]
    Busy {
        /// Which queue.
        queue: &'static str,
    },
    /// The protocol is not in the list given at start, or its streams are already taken.
    #[error("streams of {protocol} are not served here, or somebody takes them already")]
    NotServed {
        /// The protocol.
        protocol: Protocol,
    },
    /// The validator of this process refuses the directory record.
    #[error("the directory record was refused by its validator")]
    RecordRefused,
    /// A directory record over the limits.
    #[error("a directory record has at most {key_max} bytes of key and {value_max} of value")]
    RecordTooLong {
        /// The longest key.
        key_max: usize,
        /// The longest value.
        value_max: usize,
    },
    /// A query of the directory failed.
    #[error("the directory could not {what}")]
    Directory {
        /// What was asked.
        what: &'static str,
        /// What the directory says.
        source: SharedCause,
    },
    /// The network has been shut down.
    #[error("the network of this process has stopped")]
    Stopped,
}

impl Error {
    /// Whether the same call may succeed later without anything being changed here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::NoAddress { .. }
                | Self::Lost { .. }
                | Self::Deadline { .. }
                | Self::Stalled { .. }
                | Self::Busy { .. }
                | Self::Truncated { .. }
                | Self::Directory { .. }
        )
    }

    /// A cause that several callers can share.
    pub(crate) fn shared(cause: impl std::error::Error + Send + Sync + 'static) -> SharedCause {
        Arc::new(cause)
    }

    pub(crate) fn lost(peer: PeerId, source: io::Error) -> Self {
        Self::Lost { peer, source: Some(Arc::new(source)) }
    }
}

/// Waits for `future`, but not longer than the caller is willing to: the deadline of a whole exchange.
///
/// # Errors
/// [`Error::Deadline`] when the time is over, and what the future itself says.
pub async fn within<T>(
    what: &'static str,
    deadline: Duration,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(deadline, future).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Error::Deadline { what, within: deadline }),
    }
}

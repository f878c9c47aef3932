//! Why a space cannot do what it was asked, and how that is said on the wire.

use std::sync::Arc;

use cosmic_common::id::{LogId, ObjectId};
use cosmic_custody::{
    message::refusal::{Refusal, RefusalCode},
    pack::bytes::NotAPack,
};
use cosmic_space::refusal;

/// Why a space cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As many spaces as may be are in use.
    #[error("as many spaces as this supernode may hold in memory are in use; try again later")]
    Busy,
    /// The writer of the space ended while it was asked.
    #[error("the space was closed; ask again")]
    Closed,
    /// The space could not be loaded.
    #[error("the space cannot be loaded now: its replicas do not answer, or the store failed")]
    Unavailable,
    /// The store failed.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
    /// What is stored makes no sense.
    #[error("an entry in the store is damaged")]
    Damaged(#[from] cosmic_log::entry::Error),
    /// An entry that was stored and signed for is not there, or another lies in its place.
    #[error("entry {seq} of log {} is damaged here", log.short())]
    Lost {
        /// Its log.
        log: LogId,
        /// Its place.
        seq: u64,
    },
    /// Older entries lie in a pack, which cannot be had.
    #[error("older entries lie in the pack {}, which cannot be read now", object.short())]
    Pack {
        /// The pack.
        object: ObjectId,
        /// Why not.
        source: Arc<crate::objects::Error>,
    },
    /// A pack is not what it should be.
    #[error("a pack of older entries is damaged")]
    BadPack(#[from] NotAPack),
    /// The entries of the space are not to be forgotten.
    #[error("this supernode is a replica of the space again, or its logs have grown")]
    StillReplica,
    /// This supernode keeps nothing of the space.
    #[error("this supernode is no replica of the space")]
    NoReplica,
    /// The space keeps its data in other regions.
    #[error(transparent)]
    Elsewhere(#[from] crate::residences::Elsewhere),
    /// The rules of the space say no.
    #[error(transparent)]
    Space(#[from] refusal::Refusal),
    /// Another supernode did not do what it was asked.
    #[error("no replica of the space answers")]
    Replica(#[from] crate::replica::client::Error),
    /// A comparison of heads did not come to its end.
    #[error("the replicas of the space could not be compared")]
    Reconcile(#[source] Arc<crate::replica::reconcile::Error>),
}

impl Error {
    /// The same for a peer.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Busy => RefusalCode::Busy,
            Self::Closed => RefusalCode::Stopping,
            Self::Store(_) | Self::Damaged(_) | Self::Lost { .. } | Self::BadPack(_) => RefusalCode::Storage,
            Self::NoReplica => RefusalCode::NotResponsible,
            Self::Space(refusal) => return refuse(refusal),
            Self::Elsewhere(elsewhere) => return elsewhere.clone().into(),
            Self::Unavailable
            | Self::StillReplica
            | Self::Pack { .. }
            | Self::Replica(_)
            | Self::Reconcile(_) => RefusalCode::Unavailable,
        };
        Refusal::new(code, self)
    }
}

/// What a rule of the space says, for a peer that sent an entry or a proof.
pub(crate) fn refuse(refusal: &refusal::Refusal) -> Refusal {
    let code = match refusal {
        refusal::Refusal::Missing(refusal::Missing::Genesis) => RefusalCode::UnknownSpace,
        refusal::Refusal::Missing(_) => RefusalCode::Gap,
        refusal::Refusal::NotAMember { .. }
        | refusal::Refusal::NotRoot { .. }
        | refusal::Refusal::NotAudience { .. }
        | refusal::Refusal::Lacks { .. }
        | refusal::Refusal::Revoked { .. }
        | refusal::Refusal::Expired { .. }
        | refusal::Refusal::OtherSession { .. } => RefusalCode::NotAuthorised,
        _ => RefusalCode::InvalidEntry,
    };
    Refusal::new(code, refusal)
}

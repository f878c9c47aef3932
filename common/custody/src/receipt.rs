//! Receipts: what a holder promises to keep, signed after its durable batch.

use cosmic_common::{
    heads::Head,
    id::{Hash, Incarnation, LogId, ObjectId, PeerId, SpaceId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{
    key::SecretKey,
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::error::Error;

/// A holder's promise about one log, object or shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// What is kept.
    #[n(1)]
    pub held: Held,
    /// Whether it is kept for good, or until it has been passed on.
    #[n(2)]
    pub promise: Promise,
    /// Who keeps it, and signs.
    #[n(3)]
    pub holder: PeerId,
    /// The life of the holder's data; a promise of an earlier life is void.
    #[n(4)]
    pub incarnation: Incarnation,
    /// The digest of the ring table under which the holder took it.
    #[n(5)]
    pub ring: Hash,
    /// When, by the holder's clock.
    #[n(6)]
    pub time: Timestamp,
}

/// What a receipt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Held {
    /// Every entry of a log up to and with `head`: one receipt stands for all before it.
    #[n(0)]
    Log {
        /// The space of the log.
        #[n(0)]
        space: SpaceId,
        /// The log.
        #[n(1)]
        log: LogId,
        /// The last entry kept.
        #[n(2)]
        head: Head,
    },
    /// One shard of an object, with its manifest.
    #[n(1)]
    Shard {
        /// The object.
        #[n(0)]
        object: ObjectId,
        /// Which shard.
        #[n(1)]
        index: u8,
        /// The plain hash of the shard's bytes.
        #[n(2)]
        hash: Hash,
    },
    /// A whole object, not coded yet.
    #[n(2)]
    Object {
        /// The object.
        #[n(0)]
        object: ObjectId,
    },
}

/// How long a holder keeps something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Promise {
    /// Until those who are responsible have signed for it: a gateway.
    #[n(0)]
    Forwards,
    /// As long as the ring table or its owner says: a replica, a holder.
    #[n(1)]
    Keeps,
}

impl Receipt {
    /// Signs the receipt.
    ///
    /// # Errors
    /// [`Error::AnothersReceipt`] if `key` is not the holder's.
    pub fn sign(self, key: &SecretKey) -> Result<Signed<Self>, Error> {
        if key.peer_id() == self.holder {
            Ok(Signed::sign(self, key))
        } else {
            Err(Error::AnothersReceipt { holder: self.holder })
        }
    }

    /// The receipt in `bytes`, if its holder signed it. Whether it counts is for `count` to say.
    ///
    /// # Errors
    /// [`Error::Unreadable`] or [`Error::Forged`].
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let signed = Signed::<Self>::from_bytes(bytes)?;
        let holder = signed.unverified().holder;
        signed.verify(holder.as_bytes()).cloned().map_err(|source| Error::Forged { holder, source })
    }
}

impl Record for Receipt {
    const NAME: &'static str = "receipt";
    const LIMIT: usize = 512;
}

impl SignedRecord for Receipt {
    const DOMAIN: Domain = Domain::new("cosmic/receipt/1");
}

//! Removal: how an object that no entry claims any more leaves every holder, and how that is proved.
//!
//! ```text
//! replica: no entry claims it ─▶ Removal, signed ─▶ every holder
//! holder:  Kept ─ a quorum of replicas removed it ─▶ Doomed ─ delay over, a quorum says so again ─▶ gone, Deletion signed
//!             ▲                                        │
//!             └──── put again, or nobody says so again ┘
//! replica: every holder's deletion is in, or the holder is no member any more ─▶ done
//! ```
//! Supernodes cannot read what they keep, so replicas conclude from the clear fields of entries; and one replica cannot
//! delete anything by itself. A replica that sees a claim again says nothing more, and then nothing goes: the last word
//! of a quorum must be from after the delay.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cosmic_common::{
    id::{Incarnation, ObjectId, OperatorId, PeerId, SpaceId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{
    key::SecretKey,
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{count::log::Duty, error::Error, message::shard::Indices, standing::Standing};

/// How long shards stay after a removal unless the operator set something else: as long as a stray does
/// ([`crate::release::RELEASE_DELAY`]), for the same reason.
pub const REMOVAL_DELAY: Duration = Duration::from_hours(24);
/// How long behind the delay the last word may come; a doom that nobody confirms is none any more. Replicas ask every hour.
pub const DOOM_LAPSE: Duration = Duration::from_hours(24);
/// The longest retention that is believed: ten years. A replica cannot make a holder keep something for ever.
pub const RETENTION_MAX: Duration = Duration::from_hours(24 * 365 * 10);

/// A replica's word that no entry of a space claims an object any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// The space.
    #[n(1)]
    pub space: SpaceId,
    /// The object.
    #[n(2)]
    pub object: ObjectId,
    /// The replica that says so, and signs.
    #[n(3)]
    pub replica: PeerId,
    /// When, by its clock. A put after that is not meant.
    #[n(4)]
    pub time: Timestamp,
    /// Until when the retention of the space, and the replica's own delay, keep it all the same.
    #[n(5)]
    pub retained_until: Timestamp,
}

/// A holder's word that it has nothing of an object any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Deletion {
    /// The object.
    #[n(1)]
    pub object: ObjectId,
    /// The shards that were deleted; none if there were none.
    #[n(2)]
    pub shards: Indices,
    /// Who deleted them, and signs.
    #[n(3)]
    pub holder: PeerId,
    /// The life of its data.
    #[n(4)]
    pub incarnation: Incarnation,
    /// When, by its clock.
    #[n(5)]
    pub time: Timestamp,
}

impl Removal {
    /// Signs the removal.
    ///
    /// # Errors
    /// [`Error::AnothersRemoval`] if `key` is not the replica's.
    pub fn sign(self, key: &SecretKey) -> Result<Signed<Self>, Error> {
        let peer = self.replica;
        if key.peer_id() == peer { Ok(Signed::sign(self, key)) } else { Err(Error::AnothersRemoval { peer }) }
    }

    /// The removal in `bytes`, if its replica signed it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] or [`Error::ForgedRemoval`].
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let signed = Signed::<Self>::from_bytes(bytes)?;
        let peer = signed.unverified().replica;
        signed.verify(peer.as_bytes()).cloned().map_err(|source| Error::ForgedRemoval { peer, source })
    }
}

impl Deletion {
    /// Signs the deletion.
    ///
    /// # Errors
    /// [`Error::AnothersRemoval`] if `key` is not the holder's.
    pub fn sign(self, key: &SecretKey) -> Result<Signed<Self>, Error> {
        let peer = self.holder;
        if key.peer_id() == peer { Ok(Signed::sign(self, key)) } else { Err(Error::AnothersRemoval { peer }) }
    }

    /// The deletion in `bytes`, if its holder signed it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] or [`Error::ForgedRemoval`].
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let signed = Signed::<Self>::from_bytes(bytes)?;
        let peer = signed.unverified().holder;
        signed.verify(peer.as_bytes()).cloned().map_err(|source| Error::ForgedRemoval { peer, source })
    }
}

/// What becomes of an object at a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Kept,
    /// It goes.
    Doomed {
        /// When.
        at: Timestamp,
    },
    /// It goes now: delete and sign.
    Gone,
}

/// What a holder heard about the removal of one object. Kept beside the object, so that a restart does not begin anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Doom {
    /// The latest word of each replica.
    #[n(1)]
    removals: BTreeMap<PeerId, Word>,
    /// Since when a quorum has removed it.
    #[n(2)]
    since: Option<Timestamp>,
    /// Whether a quorum has said so again, after the delay.
    #[n(3)]
    confirmed: bool,
}

/// What one replica said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Word {
    /// When, by its clock.
    #[n(0)]
    time: Timestamp,
    /// Until when it keeps the object all the same; the longest it said.
    #[n(1)]
    until: Timestamp,
}

impl Doom {
    /// Takes in a verified removal. Those of others than the replicas of its space,
    /// or from before the put, count for nothing.
    pub fn insert(&mut self, removal: &Removal, heard: Heard<'_>) {
        let Heard { duty, operator, put, now, delay } = heard;
        if !duty.includes(&removal.replica) || removal.time <= put {
            return;
        }
        if self.fate(now, delay) == Fate::Kept && self.since.is_some() {
            // What was said before is over.
            *self = Self::default();
        }
        let until = removal.retained_until.min(now.after(RETENTION_MAX));
        // Who is no replica any more has no say, and the record stays small.
        self.removals.retain(|replica, _word| duty.includes(replica));
        let word = self.removals.entry(removal.replica).or_insert(Word { time: removal.time, until });
        *word = Word { time: removal.time.max(word.time), until: until.max(word.until) };
        if self.since.is_none() && self.is_quorum(duty, operator, |_word| true) {
            self.since = Some(now);
        }
        let at = self.end(delay);
        self.confirmed = at.is_some_and(|at| self.is_quorum(duty, operator, |word| word.time >= at));
    }

    /// The object was put again: what was said before is over.
    pub fn put_again(&mut self) {
        *self = Self::default();
    }

    /// What becomes of the object, which stays for `delay` after a quorum has removed it.
    #[must_use]
    pub fn fate(&self, now: Timestamp, delay: Duration) -> Fate {
        match self.end(delay) {
            Some(at) if self.confirmed && now >= at => Fate::Gone,
            Some(at) if self.confirmed || now < at.after(DOOM_LAPSE) => Fate::Doomed { at },
            Some(_) | None => Fate::Kept,
        }
    }

    /// When the delay and every retention that was named are over.
    fn end(&self, delay: Duration) -> Option<Timestamp> {
        let retained = self.removals.values().map(|word| word.until).max().unwrap_or_default();
        self.since.map(|since| since.after(delay).max(retained))
    }

    /// As many replicas as make a quorum, of two operators if the replicas have so many, said what `counts`.
    fn is_quorum(
        &self,
        duty: &Duty,
        operator: &dyn Fn(&PeerId) -> Option<OperatorId>,
        counts: impl Fn(&Word) -> bool,
    ) -> bool {
        let operators =
            |peers: &mut dyn Iterator<Item = &PeerId>| peers.map(operator).collect::<BTreeSet<_>>().len();
        let said = || {
            let words = self.removals.iter().filter(|(peer, word)| duty.includes(peer) && counts(word));
            words.map(|(peer, _word)| peer)
        };
        let quorum = duty.quorum();
        let of_many = operators(&mut duty.current.iter()).min(quorum);
        quorum > 0 && said().count() >= quorum && operators(&mut said()) >= of_many
    }
}

/// How a removal was heard.
#[derive(Clone, Copy)]
pub struct Heard<'a> {
    /// The replicas of the space.
    pub duty: &'a Duty,
    /// Who runs a replica.
    pub operator: &'a dyn Fn(&PeerId) -> Option<OperatorId>,
    /// When the object was last put here, by the holder's clock.
    pub put: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// How long an object stays after a quorum has removed it.
    pub delay: Duration,
}

impl std::fmt::Debug for Heard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard").field("put", &self.put).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What a replica still waits for until an object is gone everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removing {
    object: ObjectId,
    owed: BTreeSet<PeerId>,
    deleted: BTreeSet<PeerId>,
}

impl Removing {
    /// The removal of an object that these holders, and perhaps others, keep shards of: everybody who ever signed for one.
    #[must_use]
    pub fn new(object: ObjectId, holders: impl IntoIterator<Item = PeerId>) -> Self {
        Self { object, owed: holders.into_iter().collect(), deleted: BTreeSet::new() }
    }

    /// Somebody else turned out to keep a shard, or signed for one since.
    pub fn found(&mut self, holder: PeerId) {
        self.deleted.remove(&holder);
        self.owed.insert(holder);
    }

    /// Takes in a verified deletion; whether it was one that was waited for.
    pub fn insert(&mut self, deletion: &Deletion) -> bool {
        let counts = deletion.object == self.object && self.owed.remove(&deletion.holder);
        if counts {
            self.deleted.insert(deletion.holder);
        }
        counts
    }

    /// Those whose deletion is not signed yet. Who is no member any more is asked no more: its word counts for nothing, and
    /// what it kept is its operator's to destroy.
    pub fn owed<'a>(&'a self, standing: &'a Standing) -> impl Iterator<Item = &'a PeerId> {
        self.owed.iter().filter(|holder| standing.contains(holder))
    }

    /// Those who signed, and those who left without signing, once nobody is waited for any more.
    #[must_use]
    pub fn done(&self, standing: &Standing) -> Option<(&BTreeSet<PeerId>, &BTreeSet<PeerId>)> {
        self.owed(standing).next().is_none().then_some((&self.deleted, &self.owed))
    }
}

impl Record for Removal {
    const NAME: &'static str = "removal";
    const LIMIT: usize = 160;
}

impl SignedRecord for Removal {
    const DOMAIN: Domain = Domain::new("cosmic/removal/1");
}

impl Record for Doom {
    const NAME: &'static str = "doom";
    // The replicas by four tables, at most twelve, with 34 bytes of name and 19 of word each.
    const LIMIT: usize = 1024;
}

impl Record for Deletion {
    const NAME: &'static str = "deletion";
    const LIMIT: usize = 160;
}

impl SignedRecord for Deletion {
    const DOMAIN: Domain = Domain::new("cosmic/deletion/1");
}

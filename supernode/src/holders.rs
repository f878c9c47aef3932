//! Who can hold what now: the ring table and the standing of its members, made once per change of the ring.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::id::{Hash, ObjectId, PeerId, SpaceId};
use cosmic_custody::{Assignment, Duty, Sources, Standing, assign};
use cosmic_erasure::Codec;
use cosmic_ring::Table;
use tokio::sync::watch;

/// The ring as the objects half sees it, at one moment.
#[derive(Debug, Clone)]
pub struct Holders {
    table: Arc<Table>,
    earlier: Vec<Arc<Table>>,
    standing: Standing,
    leaving: BTreeSet<PeerId>,
}

/// The latest [`Holders`], and how a change is awaited.
pub type Latest = watch::Receiver<Arc<Holders>>;

/// Earlier tables that are kept for readers: the ring changes slowly, and behind them everybody is asked.
const EARLIER_MAX: usize = 3;

/// Who shall keep the shards of one object, and who speaks for it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The digest of the table it was made by.
    pub ring: Hash,
    /// How the object is coded.
    pub codec: Codec,
    /// Which shard belongs to whom.
    pub shards: Vec<Assignment>,
    /// Who may keep a shard for a holder that is away, in their order.
    pub stand_ins: Vec<PeerId>,
    /// Who keeps the placement record.
    pub keepers: Vec<PeerId>,
}

impl Holders {
    /// The holders by `table`, as members in `standing`.
    #[must_use]
    pub const fn new(table: Arc<Table>, standing: Standing) -> Self {
        Self { table, earlier: Vec::new(), standing, leaving: BTreeSet::new() }
    }

    /// The same, and these retired members, who pass on what they have.
    #[must_use]
    pub fn with_leaving(mut self, leaving: impl IntoIterator<Item = PeerId>) -> Self {
        self.leaving = leaving.into_iter().collect();
        self
    }

    /// These holders, after `before`: what was known of lives is kept, and readers look by its table too.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.standing.inherit(&before.standing);
        self.earlier.clone_from(&before.earlier);
        if before.table.digest() != self.table.digest() {
            self.earlier.insert(0, Arc::clone(&before.table));
            self.earlier.truncate(EARLIER_MAX);
        }
        self
    }

    /// The digest of the ring table.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.table.digest()
    }

    /// The ring table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The members whose receipts count.
    #[must_use]
    pub const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether `peer` is an active member, and so may be given shards.
    #[must_use]
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.standing.contains(peer)
    }

    /// Whether `peer` may ask: an active member, or one that is leaving and passes on what it has.
    #[must_use]
    pub fn may_ask(&self, peer: &PeerId) -> bool {
        self.contains(peer) || self.leaving.contains(peer)
    }

    /// Who shall keep the shards of `object` if it is coded now: those who are not `distrusted`, where there are enough of
    /// them. None while nobody is in the ring. It is coded in the class of the ring unless another codec is given.
    #[must_use]
    pub fn plan(
        &self,
        object: &ObjectId,
        codec: Option<Codec>,
        distrusted: &BTreeSet<PeerId>,
    ) -> Option<Plan> {
        let codec = codec.or_else(|| cosmic_custody::codec(&self.table).ok())?;
        let mut walk = self.table.holders(object, self.table.len());
        walk.sort_by_key(|peer| distrusted.contains(peer));
        let shards = assign(&walk, codec);
        let stand_ins = walk.get(shards.len()..).unwrap_or_default().to_vec();
        let keepers = self.table.replicas(self.table.partition_of(object.as_bytes())).collect();
        (!shards.is_empty()).then(|| Plan { ring: self.digest(), codec, shards, stand_ins, keepers })
    }

    /// The replicas of a space, by this table and by those before.
    #[must_use]
    pub fn duty(&self, space: &SpaceId) -> Duty {
        Duty::of(space, &self.table, self.earlier.iter().map(Arc::as_ref))
    }

    /// Where to look for the shards of `object`, coded by `codec`.
    #[must_use]
    pub fn sources(&self, object: &ObjectId, codec: Codec) -> Sources {
        let mut sources = Sources::of(object, codec, &self.table, self.earlier.iter().map(Arc::as_ref));
        sources.everyone.extend(&self.leaving);
        sources
    }
}

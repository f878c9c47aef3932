//! Who can hold what now: the ring tables and the standing of their members, made once per change of the ring.
//!
//! No table without a space: which ring an object is placed by depends on where the data of its space may lie.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::id::{Hash, ObjectId, PeerId, SpaceId};
use cosmic_custody::{Assignment, Duty, Sources, Standing, assign};
use cosmic_erasure::Codec;
use cosmic_ring::{Atlas, Regions, Table};
use tokio::sync::watch;

/// The ring as the objects half sees it, at one moment.
#[derive(Debug, Clone)]
pub struct Holders {
    atlas: Arc<Atlas>,
    earlier: Vec<Arc<Atlas>>,
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
    /// The holders by `atlas`, as members in `standing`.
    #[must_use]
    pub const fn new(atlas: Arc<Atlas>, standing: Standing) -> Self {
        Self { atlas, earlier: Vec::new(), standing, leaving: BTreeSet::new() }
    }

    /// The same, and these retired members, who pass on what they have.
    #[must_use]
    pub fn with_leaving(mut self, leaving: impl IntoIterator<Item = PeerId>) -> Self {
        self.leaving = leaving.into_iter().collect();
        self
    }

    /// These holders, after `before`: what was known of lives is kept, and readers look by its tables too.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.standing.inherit(&before.standing);
        self.earlier.clone_from(&before.earlier);
        if before.atlas.digest() != self.atlas.digest() {
            self.earlier.insert(0, Arc::clone(&before.atlas));
            self.earlier.truncate(EARLIER_MAX);
        }
        self
    }

    /// The digest of the ring tables.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.atlas.digest()
    }

    /// The ring that `space` is placed by, when its data may lie in `regions`.
    #[must_use]
    pub fn table(&self, space: &SpaceId, regions: &Regions) -> Arc<Table> {
        self.atlas.ring(space, regions)
    }

    /// The ring tables.
    #[must_use]
    pub const fn atlas(&self) -> &Arc<Atlas> {
        &self.atlas
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

    /// Who shall keep the shards of `object` by `table`, its space's, if it is coded now: those who are not `distrusted`,
    /// where there are enough of them. None while nobody is in that ring. It is coded in the class of that ring unless
    /// another codec is given.
    #[must_use]
    pub fn plan(
        &self,
        table: &Table,
        object: &ObjectId,
        codec: Option<Codec>,
        distrusted: &BTreeSet<PeerId>,
    ) -> Option<Plan> {
        let codec = codec.or_else(|| cosmic_custody::codec(table).ok())?;
        let mut walk = table.holders(object, table.len());
        walk.sort_by_key(|peer| distrusted.contains(peer));
        let shards = assign(&walk, codec);
        let stand_ins = walk.get(shards.len()..).unwrap_or_default().to_vec();
        let keepers = table.replicas(table.partition_of(object.as_bytes())).collect();
        (!shards.is_empty()).then(|| Plan { ring: self.digest(), codec, shards, stand_ins, keepers })
    }

    /// The replicas of a space, by these tables and by those before.
    #[must_use]
    pub fn duty(&self, space: &SpaceId, regions: &Regions) -> Duty {
        let (table, earlier) = self.tables(space, regions);
        Duty::of(space, &table, earlier.iter().map(Arc::as_ref))
    }

    /// Where to look for the shards of `object` of `space`, coded by `codec`: in the end everywhere, since it may lie where
    /// it may not stay.
    #[must_use]
    pub fn sources(
        &self,
        (space, regions): (&SpaceId, &Regions),
        object: &ObjectId,
        codec: Codec,
    ) -> Sources {
        let (table, earlier) = self.tables(space, regions);
        let mut sources = Sources::of(object, codec, &table, earlier.iter().map(Arc::as_ref));
        let elsewhere =
            self.standing.members().filter(|peer| !table.sites().iter().any(|site| site.peer == **peer));
        sources.everyone.extend(elsewhere.chain(&self.leaving));
        sources
    }

    /// The ring of a space now, and as it was before.
    fn tables(&self, space: &SpaceId, regions: &Regions) -> (Arc<Table>, Vec<Arc<Table>>) {
        let earlier = self.earlier.iter().map(|atlas| atlas.ring(space, regions));
        (self.table(space, regions), earlier.collect())
    }
}

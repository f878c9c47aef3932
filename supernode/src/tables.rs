//! The tables of a supernode: what lies under which key.
//!
//! Entries and what is known of logs (`entries`, `logs`, `order`, `forks`, `spaces`), what is packed of them (`tails`,
//! `packs`, `freeing`), what is owed to replicas (`forwards`), objects (`shards`, `kept`, `manifests`,
//! `placements`, `staging`), what is kept for others (`handed`), what is to move elsewhere (`strays`, `leaving`), what is to
//! go from the cold store (`discards`), accounts (`usage`, `quotas`, `sponsors`, `operator_usage`, `operator_quotas`), and what is removed: at the replicas of a space who
//! claims what (`claims`, `claimants`, `packed`, `tombstones`, `unsettled`) and what nobody does (`removals`), at holders
//! `leases` and `dooms`, at both the signed `deletions`; and bodies that snapshots replace (`bodies`, `snapshots`,
//! `acknowledged`, `replaced`). `residences` says of spaces that name regions that they do.

use bytes::Bytes;
use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, Hash, LogId, ObjectId, OperatorId, PeerId, SpaceId, WriterId},
    record::Record,
    time::Timestamp,
};
use cosmic_custody::{Doom, Placement, Quota, Release, Tail, Usage};
use cosmic_erasure::codings;
use cosmic_log::open::Open;
use cosmic_store::{Error, Schema, Span, Store, Table};
use minicbor::{Decode, Encode};

/// What is known of one log that is kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LogRow {
    /// Who writes it, where, by which delegation.
    #[n(1)]
    pub open: Open,
    /// The last entry kept.
    #[n(2)]
    pub head: Head,
}

impl Record for LogRow {
    const NAME: &'static str = "log row";
    const LIMIT: usize = 384;
}

/// What is known of one shard or whole object that is kept here, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeptRow {
    /// The space it is charged to.
    #[n(1)]
    pub space: SpaceId,
    /// The holder it is kept for while that one is away; none for this supernode's own.
    #[n(2)]
    pub owner: Option<PeerId>,
    /// The plain hash of its bytes.
    #[n(3)]
    pub hash: Hash,
    /// How many bytes.
    #[n(4)]
    pub length: u64,
    /// When it came.
    #[n(5)]
    pub since: Timestamp,
    /// The number under which its bytes lie in the cold store; none while they lie here.
    #[n(6)]
    pub cold: Option<u64>,
    /// When they came back from there, if they did.
    #[n(7)]
    pub back: Option<Timestamp>,
}

impl Record for KeptRow {
    const NAME: &'static str = "kept row";
    const LIMIT: usize = 192;
}

/// An auditor's evidence that a holder does not have a shard.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EvidenceRow {
    /// The signed evidence, exact bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub evidence: Vec<u8>,
    /// When it was found or heard here.
    #[n(2)]
    pub heard: Timestamp,
    /// When a proof, or another shard, put an end to it; none while it stands.
    #[n(3)]
    pub settled: Option<Timestamp>,
}

impl Record for EvidenceRow {
    const NAME: &'static str = "evidence row";
    // Signed evidence of at most 704 bytes and two times.
    const LIMIT: usize = 768;
}

/// An object that nobody claims any more, and that is not gone everywhere yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RemovalRow {
    /// Since when nobody has claimed it, as far as this replica knows.
    #[n(1)]
    pub since: Timestamp,
    /// When the holders are asked next.
    #[n(2)]
    pub next: Timestamp,
    /// How often they were asked in vain.
    #[n(3)]
    pub tries: u32,
    /// Members that kept something when they were asked last.
    #[n(4)]
    pub keeping: u32,
    /// Members that did not answer then.
    #[n(5)]
    pub silent: u32,
}

impl Record for RemovalRow {
    const NAME: &'static str = "removal row";
    const LIMIT: usize = 64;
}

/// A snapshot whose covered entries still have their bodies here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotRow {
    /// The channel of the snapshot, and of what it may replace.
    #[n(1)]
    pub channel: ChannelId,
    /// Who wrote it.
    #[n(2)]
    pub writer: WriterId,
    /// The log it stands in,
    #[n(3)]
    pub log: LogId,
    /// and where.
    #[n(4)]
    pub seq: u64,
    /// When enough devices had acknowledged it, as far as was known here.
    #[n(5)]
    pub since: Option<Timestamp>,
    /// When it is looked at next.
    #[n(6)]
    pub next: Timestamp,
    /// How often something it covers was not here.
    #[n(7)]
    pub tries: u32,
}

impl Record for SnapshotRow {
    const NAME: &'static str = "snapshot row";
    const LIMIT: usize = 160;
}

/// Exact bytes of the genesis, of spaces that name the regions their data may lie in.
pub const RESIDENCES: Table<SpaceId, Bytes> = Table::<SpaceId, Bytes>::bytes("residences", 1);
/// Exact bytes of entries, by log and sequence number.
pub const ENTRIES: Table<(LogId, u64), Bytes> =
    Table::<(LogId, u64), Bytes>::bytes("entries", 1).prefixed::<LogId>();
/// The logs of a space, by channel.
pub const LOGS: Table<(SpaceId, ChannelId, LogId), LogRow> =
    Table::<(SpaceId, ChannelId, LogId), LogRow>::records("logs", 1).prefixed::<SpaceId>();
/// Membership entries in the order in which they were admitted, so that each can be admitted again.
pub const ORDER: Table<(SpaceId, u64), (LogId, u64)> =
    Table::<(SpaceId, u64), (LogId, u64)>::fixed("order", 1).prefixed::<SpaceId>();
/// Entries that compete with one in `entries`; kept aside.
pub const FORKS: Table<(LogId, u64, EntryId), Bytes> =
    Table::<(LogId, u64, EntryId), Bytes>::bytes("forks", 1);
/// Spaces of which entries are kept, and since when.
pub const SPACES: Table<SpaceId, Timestamp> = Table::<SpaceId, Timestamp>::fixed("spaces", 1);
/// What is not packed yet of each log that is kept here.
pub const TAILS: Table<(SpaceId, LogId), Tail> =
    Table::<(SpaceId, LogId), Tail>::records("tails", 1).prefixed::<SpaceId>();
/// Runs of entries that lie in packs, by their last sequence number: the first one, and the pack.
pub const PACKS: Table<(SpaceId, LogId, u64), (u64, ObjectId)> =
    Table::<(SpaceId, LogId, u64), (u64, ObjectId)>::fixed("packs", 1).prefixed::<SpaceId>();
/// Those of them whose entries are still in `entries` as well: when all that speaks for keeping them was gone for the
/// first time, or 0.
pub const FREEING: Table<(SpaceId, LogId, u64), Timestamp> =
    Table::<(SpaceId, LogId, u64), Timestamp>::fixed("freeing", 1).prefixed::<SpaceId>();
/// Entries this gateway owes to the replicas of a space it is no replica of, in the order they came.
pub const FORWARDS: Table<(SpaceId, u64), Bytes> =
    Table::<(SpaceId, u64), Bytes>::bytes("forwards", 1).prefixed::<SpaceId>();
/// What a space has used, by [`Account`]; batches add to it.
pub const USAGE: Table<(SpaceId, u8), i64> = Table::<(SpaceId, u8), i64>::counters("usage", 1);
/// What a space may use, where it is not the default.
pub const QUOTAS: Table<SpaceId, Quota> = Table::<SpaceId, Quota>::records("quotas", 1);
/// The operator on whose account a space is kept.
pub const SPONSORS: Table<SpaceId, OperatorId> = Table::<SpaceId, OperatorId>::fixed("sponsors", 1);
/// What the spaces of a sponsor have used together, by [`Account`]; batches add to it.
pub const OPERATOR_USAGE: Table<(OperatorId, u8), i64> =
    Table::<(OperatorId, u8), i64>::counters("operator_usage", 1);
/// What they may use together, where that was set.
pub const OPERATOR_QUOTAS: Table<OperatorId, Quota> =
    Table::<OperatorId, Quota>::records("operator_quotas", 1);
/// Bytes of shards and of whole objects.
pub const SHARDS: Table<(ObjectId, u8), Bytes> = Table::<(ObjectId, u8), Bytes>::bytes("shards", 1).bulk();
/// What is known of each of them.
pub const KEPT: Table<(ObjectId, u8), KeptRow> =
    Table::<(ObjectId, u8), KeptRow>::records("kept", 1).prefixed::<ObjectId>();
/// Encoded manifests, one beside the shards of each object.
pub const MANIFESTS: Table<ObjectId, Bytes> = Table::<ObjectId, Bytes>::bytes("manifests", 1);
/// Who was given which shard.
pub const PLACEMENTS: Table<ObjectId, Placement> = Table::<ObjectId, Placement>::records("placements", 1);
/// Whole objects that are not coded yet.
pub const STAGING: Table<ObjectId, Bytes> = Table::<ObjectId, Bytes>::bytes("staging", 1).bulk();
/// Shards kept for others, by whose they are: what is looked up when one of them is heard again.
pub const HANDED: Table<(PeerId, ObjectId, u8), ()> =
    Table::<(PeerId, ObjectId, u8), ()>::fixed("handed", 1).prefixed::<PeerId>();
/// Own shards that belong elsewhere by the ring: when everybody who should have a shard of the object had signed for it
/// for the first time, and has since, or 0.
pub const STRAYS: Table<(ObjectId, u8), Timestamp> =
    Table::<(ObjectId, u8), Timestamp>::fixed("strays", 1).prefixed::<ObjectId>();
/// Spaces that are others' by the ring and of which entries are still here: the same, of their replicas.
pub const LEAVING: Table<SpaceId, Timestamp> = Table::<SpaceId, Timestamp>::fixed("leaving", 1);
/// What lies in the cold store, by shard and number, and is of no use any more: there until it is deleted there.
pub const DISCARDS: Table<(ObjectId, u8, u64), ()> = Table::<(ObjectId, u8, u64), ()>::fixed("discards", 1);
/// What the supernode itself has to remember, by [`Fact`].
pub const FACTS: Table<u8, Bytes> = Table::<u8, Bytes>::bytes("facts", 1);

/// Which entries of a space claim an object, and the channel each stands in.
pub const CLAIMS: Table<(SpaceId, ObjectId, EntryId), ChannelId> =
    Table::<(SpaceId, ObjectId, EntryId), ChannelId>::fixed("claims", 1).prefixed::<(SpaceId, ObjectId)>();
/// What each of these entries claims.
pub const CLAIMANTS: Table<(SpaceId, EntryId, ObjectId), ()> =
    Table::<(SpaceId, EntryId, ObjectId), ()>::fixed("claimants", 1).prefixed::<(SpaceId, EntryId)>();
/// The packs of a space, by object: their log and last sequence number.
pub const PACKED: Table<(SpaceId, ObjectId), (LogId, u64)> =
    Table::<(SpaceId, ObjectId), (LogId, u64)>::fixed("packed", 1).prefixed::<SpaceId>();
/// Entries that a tombstone removes, whether or not they are here: the target, the tombstone, and where that stands.
pub const TOMBSTONES: Table<(SpaceId, EntryId, EntryId), (LogId, u64)> =
    Table::<(SpaceId, EntryId, EntryId), (LogId, u64)>::fixed("tombstones", 1).prefixed::<SpaceId>();
/// Entries that claim something, or are removed, and were not looked at since.
pub const UNSETTLED: Table<(SpaceId, EntryId), ()> =
    Table::<(SpaceId, EntryId), ()>::fixed("unsettled", 1).prefixed::<SpaceId>();
/// Objects of a space that nobody claims any more, until they are gone everywhere.
pub const REMOVALS: Table<(SpaceId, ObjectId), RemovalRow> =
    Table::<(SpaceId, ObjectId), RemovalRow>::records("removals", 1).prefixed::<SpaceId>();
/// What was heard of the removal of objects that are kept here.
pub const DOOMS: Table<ObjectId, Doom> = Table::<ObjectId, Doom>::records("dooms", 1);
/// Signed deletions, exact bytes, by object and holder.
pub const DELETIONS: Table<(ObjectId, PeerId), Bytes> =
    Table::<(ObjectId, PeerId), Bytes>::bytes("deletions", 1).prefixed::<ObjectId>();
/// Objects kept here that no entry may claim, by when that is asked for; and their spaces.
pub const LEASES: Table<(Timestamp, ObjectId), SpaceId> =
    Table::<(Timestamp, ObjectId), SpaceId>::fixed("leases", 1);

/// Entries of documents whose bodies are needed: the log, the place, and which entry it is. Those kept by a version without
/// covers are noted when they are met.
pub const BODIES: Table<(LogId, u64), EntryId> =
    Table::<(LogId, u64), EntryId>::fixed("bodies", 1).prefixed::<LogId>();
/// Snapshots whose covered entries still have their bodies here.
pub const SNAPSHOTS: Table<(SpaceId, EntryId), SnapshotRow> =
    Table::<(SpaceId, EntryId), SnapshotRow>::records("snapshots", 1).prefixed::<SpaceId>();
/// Who acknowledged which snapshot, whether or not that is here: the snapshot, the writer, and where he said so.
pub const ACKNOWLEDGED: Table<(SpaceId, EntryId, WriterId), (LogId, u64)> =
    Table::<(SpaceId, EntryId, WriterId), (LogId, u64)>::fixed("acknowledged", 1)
        .prefixed::<(SpaceId, EntryId)>();
/// Entries that a snapshot replaces and whose bodies are still here: until the whole run they lie in needs none.
pub const REPLACED: Table<(SpaceId, LogId, u64), ()> =
    Table::<(SpaceId, LogId, u64), ()>::fixed("replaced", 1).prefixed::<SpaceId>();

/// Evidence, by holder, object, shard and auditor.
pub const EVIDENCE: Table<(PeerId, ObjectId, u8, PeerId), EvidenceRow> =
    Table::<(PeerId, ObjectId, u8, PeerId), EvidenceRow>::records("evidence", 1);

/// Keys of [`FACTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fact {
    /// The life of this data, 16 bytes.
    Incarnation = 0,
    /// The last object the walk over what is kept looked at, while it is under way.
    Walk = 1,
    /// How far the scrub is ([`crate::scrub::Progress`]).
    Scrub = 2,
    /// The class of the ring, k and n, and since when it is, 8 bytes.
    Class = 3,
    /// That logs kept by a version without packs have their tails.
    Tails = 16,
    /// That the claims of entries kept by a version without deletion are known.
    Claims = 17,
    /// What the cold tier does, and where ([`crate::cold::Memory`]).
    Cold = 24,
}

/// Second half of the keys of [`USAGE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Account {
    /// Entries.
    Entries = 0,
    /// Bytes of entries.
    EntryBytes = 1,
    /// Shards and whole objects.
    Shards = 2,
    /// Bytes of shards and whole objects.
    ShardBytes = 3,
    /// Objects of which at least one shard is here; charged to the space of the first.
    Objects = 4,
    /// Those of the shards whose bytes lie in the cold store.
    ColdShards = 5,
    /// Their bytes.
    ColdShardBytes = 6,
    /// Bodies that were dropped because a snapshot replaces them.
    DroppedBodies = 7,
    /// Their bytes.
    DroppedBytes = 8,
}

impl Account {
    /// The account of this number.
    #[must_use]
    pub fn numbered(number: u8) -> Option<Self> {
        let all = [
            Self::Entries,
            Self::EntryBytes,
            Self::Shards,
            Self::ShardBytes,
            Self::Objects,
            Self::ColdShards,
            Self::ColdShardBytes,
            Self::DroppedBodies,
            Self::DroppedBytes,
        ];
        all.into_iter().find(|account| *account as u8 == number)
    }
}

/// All tables.
#[must_use]
pub fn schema() -> Schema {
    Schema::new()
        .table(&ENTRIES)
        .table(&LOGS)
        .table(&ORDER)
        .table(&FORKS)
        .table(&SPACES)
        .table(&TAILS)
        .table(&PACKS)
        .table(&FREEING)
        .table(&FORWARDS)
        .table(&USAGE)
        .table(&QUOTAS)
        .table(&SPONSORS)
        .table(&OPERATOR_USAGE)
        .table(&OPERATOR_QUOTAS)
        .table(&SHARDS)
        .table(&KEPT)
        .table(&MANIFESTS)
        .table(&PLACEMENTS)
        .table(&STAGING)
        .table(&HANDED)
        .table(&STRAYS)
        .table(&LEAVING)
        .table(&DISCARDS)
        .table(&FACTS)
        .table(&EVIDENCE)
        .table(&CLAIMS)
        .table(&CLAIMANTS)
        .table(&PACKED)
        .table(&TOMBSTONES)
        .table(&UNSETTLED)
        .table(&REMOVALS)
        .table(&DOOMS)
        .table(&DELETIONS)
        .table(&LEASES)
        .table(&BODIES)
        .table(&SNAPSHOTS)
        .table(&ACKNOWLEDGED)
        .table(&REPLACED)
        .table(&RESIDENCES)
}

/// The shards of all codings of an object, whichever of their names is given.
#[must_use]
pub fn shards_of(object: &ObjectId) -> Span<(ObjectId, u8)> {
    let codings = codings(object);
    Span::range((*codings.start(), u8::MIN)..=(*codings.end(), u8::MAX))
}

/// What a space has used so far.
///
/// # Errors
/// If it cannot be read.
pub fn usage(store: &Store, space: &SpaceId) -> Result<Usage, Error> {
    usage_of(|account| store.get(&USAGE, &(*space, account as u8)))
}

/// What these counters say was used.
pub(crate) fn usage_of(counter: impl Fn(Account) -> Result<Option<i64>, Error>) -> Result<Usage, Error> {
    let of = |account| -> Result<u64, Error> {
        Ok(u64::try_from(counter(account)?.unwrap_or_default()).unwrap_or_default())
    };
    Ok(Usage {
        entries: of(Account::Entries)?,
        entry_bytes: of(Account::EntryBytes)?,
        shards: of(Account::Shards)?,
        shard_bytes: of(Account::ShardBytes)?,
    })
}

/// How many entries lie in `span`, and their bytes. Blocks.
///
/// # Errors
/// If they cannot be read.
pub fn measure(store: &Store, span: &Span<(LogId, u64)>) -> Result<(u64, u64), Error> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    for row in store.scan(&ENTRIES, span, usize::MAX) {
        let (_, entry) = row?;
        entries += 1;
        bytes = bytes.saturating_add(u64::try_from(entry.len()).unwrap_or(u64::MAX));
    }
    Ok((entries, bytes))
}

/// The release that a row of [`FREEING`], [`STRAYS`] or [`LEAVING`] stands for.
#[must_use]
pub fn release(settled: Timestamp) -> Release {
    Release::since(Some(settled).filter(|settled| *settled != Timestamp::default()))
}

/// The row of a release.
#[must_use]
pub fn settled(release: Release) -> Timestamp {
    release.settled.unwrap_or_default()
}

/// What a space may use: what was set for it, or `default`.
///
/// # Errors
/// If it cannot be read.
pub fn quota(store: &Store, space: &SpaceId, default: Quota) -> Result<Quota, Error> {
    Ok(store.get(&QUOTAS, space)?.unwrap_or(default))
}

//! Claims: which entries of a space need which objects, by the clear fields alone, and which of these entries are removed.

use cosmic_common::id::{ChannelId, EntryId, LogId, ObjectId, SpaceId};
use cosmic_custody::{
    Packed,
    message::{
        care::Claim,
        refusal::{Refusal, RefusalCode},
    },
};
use cosmic_log::entry::Entry;
use cosmic_space::genesis::membership_channel;
use cosmic_store::{Batch, Key, Span, Store, Table};

use super::{Deletion, Error};
use crate::{
    packs::Reader,
    tables::{CLAIMANTS, CLAIMS, FACTS, Fact, LOGS, PACKED, PACKS, REMOVALS, SPACES, TOMBSTONES, UNSETTLED},
};

/// Tombstones of one entry that are looked at: one that counts is enough, and a writer needs one.
const TOMBSTONES_MAX: usize = 64;
/// Bytes of entries read at once.
const PART_BYTES: u64 = 1024 * 1024;
/// Rows written in one batch.
const ROWS_AT_ONCE: usize = 4096;

/// Notes what a new entry of a space claims and removes, in the batch that keeps the entry.
pub(crate) fn note_entry(batch: &mut Batch, space: SpaceId, channel: ChannelId, entry: &Entry) {
    let (core, id) = (entry.core(), entry.id());
    for object in &core.objects {
        batch.put(&CLAIMS, &(space, *object, id), &channel);
        batch.put(&CLAIMANTS, &(space, id, *object), &());
    }
    if !core.objects.is_empty() {
        // Its tombstone may have come before it.
        batch.put(&UNSETTLED, &(space, id), &());
    }
    for target in &core.targets {
        batch.put(&TOMBSTONES, &(space, *target, id), &(core.log, core.seq));
        batch.put(&UNSETTLED, &(space, *target), &());
    }
}

/// Notes that an object is a pack of entries, in the batch that notes the pack.
pub(crate) fn note_pack(batch: &mut Batch, space: SpaceId, packed: &Packed) {
    batch.put(&PACKED, &(space, packed.object), &(packed.log, packed.to));
}

/// Forgets the claims on an object that is gone everywhere: all of them are removed.
pub(super) fn forget(
    store: &Store,
    batch: &mut Batch,
    space: SpaceId,
    object: ObjectId,
) -> Result<(), cosmic_store::Error> {
    for row in store.scan(&CLAIMS, &Span::prefix(&(space, object)), usize::MAX) {
        let ((.., entry), _channel) = row?;
        batch.delete(&CLAIMS, &(space, object, entry));
        batch.delete(&CLAIMANTS, &(space, entry, object));
        let others = store.scan(&CLAIMANTS, &Span::prefix(&(space, entry)), 2);
        if others.collect::<Result<Vec<_>, _>>()?.iter().all(|((.., other), ())| *other == object) {
            batch.delete_span(&TOMBSTONES, &Span::prefix(&(space, entry)));
        }
    }
    Ok(())
}

impl Deletion {
    /// What this replica knows of an object of a space.
    pub(super) async fn claim(&self, space: SpaceId, object: ObjectId) -> Result<Claim, Error> {
        let store = &self.0.context.store;
        if store.contains(&PACKED, &(space, object))? {
            return Ok(Claim::Claimed);
        }
        // Most objects have one claim, and most claims no tombstone.
        let mut after = None;
        loop {
            let mut span = Span::prefix(&(space, object));
            if let Some(place) = &after {
                span = span.after(place);
            }
            let Some(row) = store.scan(&CLAIMS, &span, 1).next().transpose()? else { break };
            let (place, channel) = row;
            if !self.is_removed(space, place.2, channel).await? {
                return Ok(Claim::Claimed);
            }
            after = Some(place);
        }
        let removing = store.contains(&REMOVALS, &(space, object))?;
        Ok(if removing { Claim::Removing } else { Claim::None })
    }

    /// Whether a tombstone that counts, in the channel of an entry, removes that entry.
    async fn is_removed(&self, space: SpaceId, entry: EntryId, channel: ChannelId) -> Result<bool, Error> {
        let rows = self.0.context.store.scan(&TOMBSTONES, &Span::prefix(&(space, entry)), TOMBSTONES_MAX);
        let places: Vec<(LogId, u64)> =
            rows.map(|row| row.map(|(_key, place)| place)).collect::<Result<_, _>>()?;
        if places.is_empty() {
            return Ok(false);
        }
        let judged = self.0.spaces.get(space)?.judge(places).await?;
        Ok(judged.counts.contains(&Some(channel)))
    }

    /// Answers a holder: who claims these objects? Those that nobody does, and whose lease is over there, are removed.
    pub(super) async fn claims_of(
        &self,
        space: SpaceId,
        objects: Vec<ObjectId>,
        overdue: bool,
    ) -> Result<Vec<Claim>, Error> {
        self.must_be_replica(&space)?;
        let store = &self.0.context.store;
        if !self.knows_claims() || store.get(&SPACES, &space)?.is_none() {
            let sentence = "this replica does not know all entries of the space yet";
            return Err(Refusal::new(RefusalCode::Unavailable, sentence).into());
        }
        let mut claims = Vec::with_capacity(objects.len());
        let mut batch = store.batch();
        for object in objects {
            let mut claim = self.claim(space, object).await?;
            if claim == Claim::None && overdue {
                self.begin(&mut batch, space, object);
                claim = Claim::Removing;
            }
            claims.push(claim);
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        Ok(claims)
    }
}

/// Notes the claims of entries and packs that are here already. Done once; begins anew if it is interrupted.
pub(crate) async fn learn_from_old_entries(store: &Store, reader: &Reader) -> Result<(), Error> {
    let mut batch = store.batch();
    let mut rows = 0_usize;
    let mut after = None;
    while let Some(((space, channel, log), row)) = next_row(store, &LOGS, after.as_ref())? {
        after = Some((space, channel, log));
        let is_membership = channel == membership_channel(&space);
        let (mut next, end) = (0, if is_membership { 0 } else { row.head.seq.saturating_add(1) });
        while next < end {
            let part = reader.range(space, log, next, end, PART_BYTES).await?;
            if part.is_empty() {
                break;
            }
            next += part.len() as u64;
            for frame in &part {
                note_entry(
                    &mut batch,
                    space,
                    channel,
                    &Entry::from_bytes(frame).map_err(crate::spaces::Error::from)?,
                );
            }
            rows += part.len();
            if rows >= ROWS_AT_ONCE {
                store.commit(std::mem::replace(&mut batch, store.batch())).await?;
                rows = 0;
            }
        }
    }
    let mut after = None;
    while let Some(((space, log, to), (from, object))) = next_row(store, &PACKS, after.as_ref())? {
        after = Some((space, log, to));
        note_pack(&mut batch, space, &Packed { log, from, to, object });
    }
    batch.put_slice(&FACTS, &(Fact::Claims as u8), &[]);
    Ok(store.commit(batch).await?)
}

/// The row behind `after`, so that no scan stays open while others write.
fn next_row<K: Key, V>(
    store: &Store,
    table: &Table<K, V>,
    after: Option<&K>,
) -> Result<Option<(K, V)>, cosmic_store::Error> {
    let span = after.map_or_else(Span::all, |place| Span::all().after(place));
    store.scan(table, &span, 1).next().transpose()
}

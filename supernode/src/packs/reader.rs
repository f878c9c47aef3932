//! Reading entries, wherever they are: in the table, or in a pack.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use cosmic_common::id::{LogId, ObjectId, SpaceId};
use cosmic_custody::{Duty, Pack, Packed};
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;

use crate::{
    objects::Objects,
    source::local_range,
    spaces::Error,
    tables::{FREEING, PACKS},
};

/// Packs kept in memory, the latest ones: what a device asks for page by page lies in one.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Runs that may contain an entry and are looked at: of two replicas that pack the same run each makes one.
const OVERLAPS_MAX: usize = 8;

/// The first entry of a run that is freed. The one that opens a log stays: it says who writes the log.
#[must_use]
pub const fn first_freed(from: u64) -> u64 {
    if from == 0 { 1 } else { from }
}

/// The run whose entries were freed here, and of which the entry at `seq` is one.
///
/// # Errors
/// If the tables cannot be read.
pub fn freed(
    store: &Store,
    space: SpaceId,
    log: LogId,
    seq: u64,
) -> Result<Option<Packed>, cosmic_store::Error> {
    let span = Span::range((space, log, seq)..=(space, log, u64::MAX));
    for row in store.scan(&PACKS, &span, OVERLAPS_MAX) {
        let (place, (from, object)) = row?;
        if first_freed(from) <= seq && !store.contains(&FREEING, &place)? {
            return Ok(Some(Packed { log, from, to: place.2, object }));
        }
    }
    Ok(None)
}

/// Reads entries of the spaces kept here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    objects: Objects,
    cache: Mutex<VecDeque<(ObjectId, Arc<Pack>)>>,
}

impl Reader {
    /// A reader with nothing in memory.
    #[must_use]
    pub fn new(store: Store, objects: Objects) -> Self {
        Self(Arc::new(Inner { store, objects, cache: Mutex::default() }))
    }

    /// The replicas of a space, by this and by earlier tables.
    #[must_use]
    pub fn duty(&self, space: &SpaceId) -> Duty {
        self.0.objects.duty(space)
    }

    /// The tables.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Entries of a log from `from` up to but without `to`, at least one if it is there, up to `max_bytes`. It may end
    /// before: where the entries of the table begin and those of a pack end.
    ///
    /// # Errors
    /// If the table or the pack cannot be read.
    pub async fn range(
        &self,
        space: SpaceId,
        log: LogId,
        from: u64,
        to: u64,
        max_bytes: u64,
    ) -> Result<Vec<Frame>, Error> {
        let freed = if from < to { freed(&self.0.store, space, log, from)? } else { None };
        let Some(packed) = freed else { return local_range(&self.0.store, log, from, to, max_bytes) };
        let pack = self.pack(space, packed).await?;
        let count = usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut bytes = 0_u64;
        let mut frames = Vec::new();
        for entry in pack.entries_from(from).take(count) {
            let frame = Frame::from(entry);
            bytes = bytes.saturating_add(frame.cost());
            if bytes > max_bytes && !frames.is_empty() {
                break;
            }
            frames.push(frame);
        }
        Ok(frames)
    }

    /// The pack that the entry at `seq` lies in, if it is packed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn packed(
        &self,
        space: SpaceId,
        log: LogId,
        seq: u64,
    ) -> Result<Option<Packed>, cosmic_store::Error> {
        Ok(self.packs(space, log, seq, 1)?.into_iter().next().filter(|packed| packed.contains(seq)))
    }

    /// The packs of a log that end at `from` or behind it, at most `max` of them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn packs(
        &self,
        space: SpaceId,
        log: LogId,
        from: u64,
        max: usize,
    ) -> Result<Vec<Packed>, cosmic_store::Error> {
        let span = Span::range((space, log, from)..=(space, log, u64::MAX));
        let rows = self.0.store.scan(&PACKS, &span, max);
        rows.map(|row| {
            let ((_, log, to), (from, object)) = row?;
            Ok(Packed { log, from, to, object })
        })
        .collect()
    }

    async fn pack(&self, space: SpaceId, packed: Packed) -> Result<Arc<Pack>, Error> {
        if let Some(pack) = self.cached(&packed.object) {
            return Ok(pack);
        }
        let unreadable = |source| Error::Pack { object: packed.object, source: Arc::new(source) };
        let _turn = self.0.objects.turn().await.map_err(unreadable)?;
        let bytes = self.0.objects.get(space, packed.object).await.map_err(unreadable)?.into_vec();
        let pack = Arc::new(Pack::read(bytes)?);
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.push_front((packed.object, Arc::clone(&pack)));
        while cache.iter().map(|(_, pack)| pack.size()).sum::<usize>() > CACHE_BYTES && cache.len() > 1 {
            cache.pop_back();
        }
        Ok(pack)
    }

    fn cached(&self, object: &ObjectId) -> Option<Arc<Pack>> {
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let place = cache.iter().position(|(cached, _)| cached == object)?;
        let found = cache.remove(place)?;
        let pack = Arc::clone(&found.1);
        cache.push_front(found);
        Some(pack)
    }
}

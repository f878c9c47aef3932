//! The records of the directory: in memory, bounded, judged before they are kept, and no more from one side than its share.
//!
//! What is over the bounds is dropped by distance: a server keeps what is closest to it, as those who search expect.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map},
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use cosmic_common::id::PeerId;
use libp2p::kad::{
    KBucketDistance, KBucketKey, ProviderRecord, Record, RecordKey,
    store::{Error as StoreError, RecordStore, Result as StoreResult},
};
use prometheus_client::encoding::EncodeLabelValue;

use super::{KEY_MAX_BYTES, Kept, VALUE_MAX_BYTES, Validator};
use crate::{clock, guard::Block};

/// Bytes of all values together.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys that one peer brought first: what a supernode publishes, and what it passes on of a dozen regions.
const OF_ONE_PEER_MAX: usize = 64;
/// Keys that the peers of one subnet brought first.
const OF_ONE_SUBNET_MAX: usize = 256;
/// How long a record is kept that nobody brings again.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(2 * 60 * 60);

/// Who brought a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Somebody else; nobody if this process did.
    pub(crate) peer: Option<PeerId>,
    /// Where it came from, if that is said and no machine of the own network.
    pub(crate) subnet: Option<Block>,
}

/// Why a record is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Refusal {
    /// Its key or its value is too long.
    TooLong,
    /// Nothing of it counts.
    NotValid,
    /// Whoever brought it brought as many as it may.
    Quota,
    /// There are as many as there may be, all of them closer.
    Full,
}

/// The records.
pub(crate) struct Store {
    local: KBucketKey<libp2p::PeerId>,
    validator: Arc<dyn Validator>,
    records_max: usize,
    records: HashMap<RecordKey, Held>,
    bytes: usize,
}

pub(crate) struct Held {
    record: Record,
    source: Source,
}

impl Store {
    pub(crate) fn new(local: libp2p::PeerId, validator: Arc<dyn Validator>, records_max: usize) -> Self {
        Self { local: local.into(), validator, records_max, records: HashMap::new(), bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes in what counts of `record`, together with what is known under its key.
    pub(crate) fn take(&mut self, record: Record, source: Source, now: Instant) -> Result<(), Refusal> {
        if record.key.as_ref().len() > KEY_MAX_BYTES || record.value.len() > VALUE_MAX_BYTES {
            return Err(Refusal::TooLong);
        }
        let known = self.records.get(&record.key);
        let value = known.map(|held| held.record.value.as_slice());
        let value = self.validator.judge(record.key.as_ref(), value, &record.value);
        let value = value.filter(|value| value.len() <= VALUE_MAX_BYTES).ok_or(Refusal::NotValid)?;
        let source = known.map_or(source, |held| held.source);
        if known.is_none() {
            self.drop_expired(now);
            self.check_quota(source)?;
            self.make_room(&record.key, value.len())?;
        }
        let latest = now + KEPT_FOR;
        let expires = record.expires.map_or(latest, |expires| expires.min(latest));
        let expires = self.records.get(&record.key).and_then(|held| held.record.expires).max(Some(expires));
        self.remove(&record.key);
        self.bytes += value.len();
        // Nobody is its publisher: who keeps it passes it on, and who is listed says so again by itself.
        let record = Record { value, publisher: None, expires, ..record };
        self.records.insert(record.key.clone(), Held { record, source });
        Ok(())
    }

    /// What is kept, to be written down.
    pub(crate) fn kept(&self, now: Instant) -> Vec<Kept> {
        let left = |held: &Held| held.record.expires?.checked_duration_since(now);
        let kept = self.records.values().filter_map(|held| Some((held, left(held)?)));
        kept.map(|(held, left)| Kept {
            key: held.record.key.to_vec(),
            value: held.record.value.clone(),
            left,
        })
        .collect()
    }

    fn drop_expired(&mut self, now: Instant) {
        self.records.retain(|_key, held| !held.record.is_expired(now));
        self.bytes = self.records.values().map(|held| held.record.value.len()).sum();
    }

    fn check_quota(&self, source: Source) -> Result<(), Refusal> {
        let of =
            |same: &dyn Fn(&Source) -> bool| self.records.values().filter(|held| same(&held.source)).count();
        let by_peer = source.peer.map_or(0, |peer| of(&|other| other.peer == Some(peer)));
        let by_subnet = source.subnet.map_or(0, |subnet| of(&|other| other.subnet == Some(subnet)));
        if by_peer >= OF_ONE_PEER_MAX || by_subnet >= OF_ONE_SUBNET_MAX {
            Err(Refusal::Quota)
        } else {
            Ok(())
        }
    }

    /// Makes room for `bytes` under `key`, if there is a record that is farther away.
    fn make_room(&mut self, key: &RecordKey, bytes: usize) -> Result<(), Refusal> {
        let own = self.distance(key);
        while self.records.len() >= self.records_max || self.bytes + bytes > BYTES_MAX {
            let farthest = self.records.keys().max_by_key(|held| self.distance(held)).cloned();
            let farthest = farthest.filter(|held| self.distance(held) > own).ok_or(Refusal::Full)?;
            self.remove(&farthest);
        }
        Ok(())
    }

    fn distance(&self, key: &RecordKey) -> KBucketDistance {
        self.local.distance(&KBucketKey::new(key.clone()))
    }
}

type Borrowed<'a> = fn(&'a Held) -> Cow<'a, Record>;

impl RecordStore for Store {
    type RecordsIter<'a> = iter::Map<hash_map::Values<'a, RecordKey, Held>, Borrowed<'a>>;
    type ProvidedIter<'a> = iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.records.get(key).map(|held| Cow::Borrowed(&held.record))
    }

    /// Keeps what this process publishes itself.
    fn put(&mut self, record: Record) -> StoreResult<()> {
        self.take(record, Source::default(), clock::now()).map_err(|refusal| match refusal {
            Refusal::TooLong | Refusal::NotValid => StoreError::ValueTooLarge,
            Refusal::Quota | Refusal::Full => StoreError::MaxRecords,
        })
    }

    fn remove(&mut self, key: &RecordKey) {
        if let Some(held) = self.records.remove(key) {
            self.bytes = self.bytes.saturating_sub(held.record.value.len());
        }
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        self.records.values().map(|held| Cow::Borrowed(&held.record))
    }

    /// Nobody provides anything here: who is listed says so in a record that he signed.
    fn add_provider(&mut self, _record: ProviderRecord) -> StoreResult<()> {
        Err(StoreError::MaxProvidedKeys)
    }

    fn providers(&self, _key: &RecordKey) -> Vec<ProviderRecord> {
        Vec::new()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        iter::empty()
    }

    fn remove_provider(&mut self, _key: &RecordKey, _provider: &libp2p::PeerId) {}
}

#[cfg(test)]
mod tests;

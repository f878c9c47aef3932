//! The census: how much lies here in which class, as the last walk found it.

use std::collections::BTreeMap;

use cosmic_common::{id::ObjectId, record::Record as _, time::Timestamp};
use cosmic_erasure::{Codec, Manifest};
use cosmic_ring::Class;
use cosmic_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Care, lock};
use crate::tables::MANIFESTS;

/// What lies here in one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// Objects of which something is here.
    objects: u64,
    /// Bytes of their shards here.
    bytes: u64,
}

/// What was counted, by class.
pub(super) type Counts = BTreeMap<Codec, Count>;

/// The count that is under way, and the last one that came to its end.
#[derive(Debug, Default)]
pub(super) struct Census {
    counting: Option<Counts>,
    told: Counts,
}

/// The label of a class: a network has at most some ten.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfClass {
    pub(super) class: String,
}

/// How much of these objects, with the bytes that are here of each, lies in which class. Blocks.
pub(super) fn count(store: &Store, objects: &[(ObjectId, u64)]) -> Result<Counts, cosmic_store::Error> {
    let mut counts = Counts::new();
    for (object, bytes) in objects {
        let manifest = store.get(&MANIFESTS, object)?;
        let Some(manifest) = manifest.and_then(|bytes| Manifest::from_bytes(&bytes).ok()) else { continue };
        let count = counts.entry(manifest.codec()).or_default();
        count.objects += 1;
        count.bytes = count.bytes.saturating_add(*bytes);
    }
    Ok(counts)
}

impl Census {
    /// Takes in what one step of a walk counted, the first or the last of it perhaps. A walk that goes on after a restart has
    /// not seen everything, and tells nothing.
    pub(super) fn add(&mut self, counts: Counts, is_first: bool, is_last: bool) {
        if is_first {
            self.counting = Some(Counts::new());
        }
        if let Some(counting) = &mut self.counting {
            for (codec, count) in counts {
                let sum = counting.entry(codec).or_default();
                sum.objects += count.objects;
                sum.bytes = sum.bytes.saturating_add(count.bytes);
            }
        }
        if is_last && let Some(counted) = self.counting.take() {
            self.told = counted;
        }
    }

    /// What lies in another class than this one.
    fn to_change(&self, class: Class) -> Count {
        let is_right = |codec: &Codec| (codec.k(), codec.n()) == (class.k.into(), class.n.into());
        let others = self.told.iter().filter(|(codec, _count)| !is_right(codec));
        others.fold(Count::default(), |sum, (_codec, count)| Count {
            objects: sum.objects + count.objects,
            bytes: sum.bytes.saturating_add(count.bytes),
        })
    }
}

impl Care {
    /// The class of the ring, what lies here in which, and how much is to change, as one JSON object.
    #[must_use]
    pub fn classes(&self) -> Value {
        let (class, since, is_due) = self.class();
        let from: Timestamp = since.after(self.0.config.recode_after());
        let census = lock(&self.0.census);
        let line = |(codec, count): (&Codec, &Count)| json!({ "class": codec.to_string(), "objects": count.objects, "bytes": count.bytes });
        json!({
            "class": format!("{} of {}", class.k, class.n),
            "since": since.unix_ms(),
            "from": from.unix_ms(),
            "due": is_due,
            "classes": census.told.iter().map(line).collect::<Vec<_>>(),
            "to_change": census.to_change(class),
            "objects_recoded": self.0.metrics.objects_recoded.get(),
            "bytes_recoded": self.0.metrics.bytes_recoded.get(),
        })
    }

    /// Sets the gauges of classes.
    pub(super) fn count_classes(&self) {
        let (class, ..) = self.class();
        let metrics = &self.0.metrics;
        let census = lock(&self.0.census);
        for codec in self.0.context.codecs() {
            let count = census.told.get(&codec).copied().unwrap_or_default();
            let label = OfClass { class: codec.to_string() };
            metrics.objects.get_or_create(&label).set(i64::try_from(count.objects).unwrap_or(i64::MAX));
        }
        let Count { objects, bytes } = census.to_change(class);
        metrics.to_recode.set(i64::try_from(objects).unwrap_or(i64::MAX));
        metrics.to_recode_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

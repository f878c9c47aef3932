//! One document as a CRDT: JSON in and out, updates between devices. Loro stays behind this door.
//!
//! Objects are maps that merge key by key, whoever creates them first; arrays and scalars are
//! last-writer-wins values. A write is the minimal difference to what stands there, so that two devices
//! which change different fields both keep their change.

use std::fmt;

use loro::{ExportMode, LoroDoc, LoroMap, LoroValue, ValueOrContainer, VersionVector};
use serde_json::{Map, Number, Value};

/// The root map that holds the document's fields.
const FIELDS: &str = "fields";
/// The root map that says whether the document stands.
const STATE: &str = "state";
/// The key in [`STATE`] that is true while the document stands and false once it was deleted.
const PRESENT: &str = "present";
/// Objects nested deeper than this are refused: every level costs a container.
pub const DEPTH_MAX: usize = 32;

/// Why a document cannot be read, written or merged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root of a document is an object.
    #[error("a document must be a JSON object")]
    NotAnObject,
    /// An object inside an object, too many times.
    #[error("a document may nest objects {DEPTH_MAX} levels deep, this one goes further")]
    TooDeep,
    /// An integer that neither 64 signed bits nor a double can hold exactly.
    #[error("the number {0} does not fit 64 signed bits; send it as a string")]
    NumberTooLarge(Number),
    /// The CRDT library refused.
    #[error("the document's history cannot be used")]
    Crdt(#[from] loro::LoroError),
    /// The CRDT library could not write its bytes.
    #[error("the document cannot be encoded")]
    Encode(#[from] loro::LoroEncodeError),
    /// An update claims operations of a replica that did not sign it.
    #[error("an update holds operations of another replica than the one that signed it")]
    ForeignOperations,
    /// An update came before one it builds on.
    #[error("an update builds on changes that are not here yet")]
    MissingDependencies,
}

/// A replica of a document inside the CRDT: the first 8 bytes of H(log id ‖ document).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaId(pub u64);

/// One document, open in memory (about 12 kB each).
pub struct Document {
    doc: LoroDoc,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Default for Document {
    fn default() -> Self {
        Self { doc: LoroDoc::new() }
    }
}

impl Document {
    /// The document whose [`Document::to_bytes`] these are.
    ///
    /// # Errors
    /// [`Error::Crdt`] if the bytes are no snapshot.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let doc = LoroDoc::new();
        doc.import(bytes)?;
        Ok(Self { doc })
    }

    /// The whole document with its history, for the database.
    ///
    /// # Errors
    /// [`Error::Encode`] if the CRDT library fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        Ok(self.doc.export(ExportMode::Snapshot)?)
    }

    /// What an app reads: the JSON value, or nothing if the document was never written or is deleted.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        self.is_present().then(|| to_json(&self.doc.get_map(FIELDS).get_deep_value()))
    }

    /// A short opaque name of the version, equal on every device that has the same changes.
    #[must_use]
    pub fn version(&self) -> String {
        let mut ids: Vec<_> = self.doc.oplog_frontiers().iter().map(|id| (id.peer, id.counter)).collect();
        ids.sort_unstable();
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|(peer, counter)| peer.to_be_bytes().into_iter().chain(counter.to_be_bytes()))
            .collect();
        let hash = cosmic_common::hash::derive("cosmic document version 1", &[&bytes]);
        cosmic_common::id::base32().encode(hash.get(..10).unwrap_or(&hash))
    }

    /// Makes the document `value` as `replica`; returns the update for the others, or nothing if it already was.
    ///
    /// # Errors
    /// [`Error`] if the value is no document; nothing is changed then.
    pub fn put(&mut self, replica: ReplicaId, value: &Value) -> Result<Option<Vec<u8>>, Error> {
        let Value::Object(fields) = value else { return Err(Error::NotAnObject) };
        check(fields, 1)?;
        self.change(replica, |doc| {
            let changed = write_map(&doc.get_map(FIELDS), fields)?;
            Ok(set_present(doc, true)? || changed)
        })
    }

    /// Applies a JSON merge patch (RFC 7396) as `replica`; a deleted document starts again from nothing.
    ///
    /// # Errors
    /// As [`Document::put`].
    pub fn patch(&mut self, replica: ReplicaId, patch: &Value) -> Result<Option<Vec<u8>>, Error> {
        let Value::Object(fields) = patch else { return Err(Error::NotAnObject) };
        let mut value = self.value().unwrap_or_else(|| Value::Object(Map::new()));
        merge_patch(&mut value, fields);
        self.put(replica, &value)
    }

    /// Deletes the document as `replica`; its history stays, so that concurrent edits still merge.
    ///
    /// # Errors
    /// [`Error::Crdt`] if the CRDT library fails.
    pub fn delete(&mut self, replica: ReplicaId) -> Result<Option<Vec<u8>>, Error> {
        self.change(replica, |doc| if Self::present(doc) { set_present(doc, false) } else { Ok(false) })
    }

    /// Merges an update that `signer` made; returns whether anything was new.
    ///
    /// # Errors
    /// [`Error::ForeignOperations`] if the update holds another replica's operations,
    /// [`Error::MissingDependencies`] if something it builds on is not here (nothing of it counts then).
    pub fn import(&mut self, signer: ReplicaId, update: &[u8]) -> Result<bool, Error> {
        let meta = LoroDoc::decode_import_blob_meta(update, false)?;
        if meta.partial_end_vv.iter().any(|(peer, _counter)| *peer != signer.0) {
            return Err(Error::ForeignOperations);
        }
        let before = self.doc.oplog_vv();
        let status = self.doc.import(update)?;
        if status.pending.is_some() {
            return Err(Error::MissingDependencies);
        }
        Ok(self.doc.oplog_vv() != before)
    }

    fn is_present(&self) -> bool {
        Self::present(&self.doc)
    }

    fn present(doc: &LoroDoc) -> bool {
        matches!(doc.get_map(STATE).get(PRESENT), Some(ValueOrContainer::Value(LoroValue::Bool(true))))
    }

    fn change(
        &mut self,
        replica: ReplicaId,
        edit: impl FnOnce(&LoroDoc) -> Result<bool, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        if self.doc.peer_id() != replica.0 {
            self.doc.set_peer_id(replica.0)?;
        }
        let before: VersionVector = self.doc.oplog_vv();
        if !edit(&self.doc)? {
            return Ok(None);
        }
        self.doc.commit();
        Ok(Some(self.doc.export(ExportMode::updates(&before))?))
    }
}

fn set_present(doc: &LoroDoc, present: bool) -> Result<bool, Error> {
    if Document::present(doc) == present {
        return Ok(false);
    }
    doc.get_map(STATE).insert(PRESENT, present)?;
    Ok(true)
}

/// Refuses what cannot be stored, before anything is changed.
fn check(fields: &Map<String, Value>, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    fields.values().try_for_each(|value| match value {
        Value::Object(inner) => check(inner, depth + 1),
        other => check_plain(other, depth),
    })
}

fn check_plain(value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    match value {
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            Err(Error::NumberTooLarge(number.clone()))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_plain(item, depth + 1)),
        Value::Object(inner) => inner.values().try_for_each(|item| check_plain(item, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Makes `map` equal to `fields` with as few operations as possible; returns whether any were needed.
fn write_map(map: &LoroMap, fields: &Map<String, Value>) -> Result<bool, Error> {
    let mut changed = false;
    let mut gone = Vec::new();
    map.for_each(|key, _value| {
        if !fields.contains_key(key) {
            gone.push(key.to_owned());
        }
    });
    for key in gone {
        map.delete(&key)?;
        changed = true;
    }
    for (key, value) in fields {
        changed |= write_field(map, key, value)?;
    }
    Ok(changed)
}

fn write_field(map: &LoroMap, key: &str, value: &Value) -> Result<bool, Error> {
    let current = map.get(key);
    if let Value::Object(inner) = value {
        let is_map = matches!(current, Some(ValueOrContainer::Container(loro::Container::Map(_))));
        if current.is_some() && !is_map {
            // A mergeable map is only made where no plain value stands.
            map.delete(key)?;
        }
        let child = map.ensure_mergeable_map(key)?;
        return Ok(write_map(&child, inner)? || !is_map);
    }
    let wanted = to_loro(value);
    if matches!(&current, Some(ValueOrContainer::Value(standing)) if *standing == wanted) {
        return Ok(false);
    }
    map.insert(key, wanted)?;
    Ok(true)
}

fn merge_patch(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                fields.remove(key);
            }
            Value::Object(inner) => merge_patch(fields.entry(key.clone()).or_insert(Value::Null), inner),
            other => {
                fields.insert(key.clone(), other.clone());
            }
        }
    }
}

fn to_loro(value: &Value) -> LoroValue {
    match value {
        Value::Null => LoroValue::Null,
        Value::Bool(flag) => LoroValue::Bool(*flag),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| LoroValue::Double(number.as_f64().unwrap_or_default()), LoroValue::I64),
        Value::String(text) => LoroValue::String(text.as_str().into()),
        Value::Array(items) => LoroValue::List(items.iter().map(to_loro).collect::<Vec<_>>().into()),
        Value::Object(fields) => LoroValue::Map(
            fields
                .iter()
                .map(|(key, item)| (key.clone(), to_loro(item)))
                .collect::<std::collections::HashMap<_, _>>()
                .into(),
        ),
    }
}

fn to_json(value: &LoroValue) -> Value {
    match value {
        LoroValue::Null | LoroValue::Binary(_) | LoroValue::Container(_) => Value::Null,
        LoroValue::Bool(flag) => Value::Bool(*flag),
        LoroValue::Double(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        LoroValue::I64(number) => Value::Number((*number).into()),
        LoroValue::String(text) => Value::String(text.to_string()),
        LoroValue::List(items) => Value::Array(items.iter().map(to_json).collect()),
        LoroValue::Map(fields) => {
            // Sorted, so that equal documents are equal text.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _item)| key.as_str());
            Value::Object(sorted.into_iter().map(|(key, item)| (key.clone(), to_json(item))).collect())
        }
    }
}

#[cfg(test)]
mod tests;

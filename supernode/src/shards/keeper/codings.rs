//! Codings: an object that is coded anew lies here in two, each with its own manifest and rows, until the old one is given up.

use bytes::Bytes;
use cosmic_common::{id::ObjectId, record::Record as _};
use cosmic_custody::message::refusal::{Refusal, RefusalCode};
use cosmic_erasure::{Manifest, codings};
use cosmic_store::{Batch, Span};

use super::{
    super::{Error, Kept},
    Keeper,
};
use crate::tables::{DOOMS, MANIFESTS, PLACEMENTS};

/// Codings of one object that are looked at: one it has, one it gets, and what changes of the ring in between left behind.
const CODINGS_MAX: usize = 8;

impl Keeper {
    /// The manifests of all codings of an object of which something is kept here, whichever of their names is given.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn manifests(&self, object: &ObjectId) -> Result<Vec<Manifest>, Error> {
        let span = Span::range(codings(object));
        let rows = self.context.store.scan(&MANIFESTS, &span, CODINGS_MAX).collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().filter_map(|(_coding, bytes): &(_, Bytes)| Manifest::from_bytes(bytes).ok()).collect())
    }

    /// The coding that is meant by `object`: the one of this name, or, if nothing of it is here, another one of the object, that
    /// in the class of the ring before all others. Readers know an object by its id alone.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn coding_of(&self, object: ObjectId) -> Result<ObjectId, Error> {
        if self.context.store.contains(&MANIFESTS, &object)? {
            return Ok(object);
        }
        let holders = std::sync::Arc::clone(&self.holders.borrow());
        let class = self
            .space_of(&object)?
            .map(|space| holders.table(&space, &self.context.residences.regions(&space)).class());
        let others = self.manifests(&object)?;
        let others = others.iter().filter(|manifest| manifest.object() == object);
        let is_of_class = |manifest: &&Manifest| {
            class.is_some_and(|class| {
                (manifest.codec().k(), manifest.codec().n()) == (class.k.into(), class.n.into())
            })
        };
        Ok(others.max_by_key(is_of_class).map_or(object, Manifest::coding))
    }

    /// The object of which this is a coding, as far as it is known here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn object_of(&self, coding: ObjectId) -> Result<ObjectId, Error> {
        let beside = self.manifest(&coding)?.and_then(|bytes| Manifest::from_bytes(&bytes).ok());
        Ok(beside.map_or(coding, |manifest| manifest.object()))
    }

    /// What is kept of the coding that is meant by `object`, with fresh receipts.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn which_of(&self, object: ObjectId) -> Result<Kept, Error> {
        self.which(&self.coding_of(object)?)
    }

    /// Whether a shard that comes puts an object again that was to be removed. One that was coded anew does not: nobody asked
    /// for it, and it may not come at all.
    ///
    /// # Errors
    /// [`Error::Refused`], or if the disk fails.
    pub(super) fn revives(&self, manifest: &Manifest) -> Result<bool, Error> {
        if !manifest.is_anew() {
            return Ok(self.context.store.contains(&DOOMS, &manifest.object())?);
        }
        if self.is_doomed(&manifest.object()) {
            return Err(Refusal::new(RefusalCode::NotHere, "the object is being deleted").into());
        }
        Ok(false)
    }

    /// What goes with the last shard of a coding: the record of where its shards are, if the object lies here in another one;
    /// otherwise what was said of its removal.
    pub(super) fn forget_coding(&self, batch: &mut Batch, coding: &ObjectId) -> Result<(), Error> {
        let others = self.manifests(coding)?;
        if others.iter().any(|manifest| manifest.coding() != *coding) {
            batch.delete(&PLACEMENTS, coding);
        } else if let Some(manifest) = others.first() {
            batch.delete(&DOOMS, &manifest.object());
        }
        Ok(())
    }
}

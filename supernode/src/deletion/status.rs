//! What an operator sees of deletion: what is being removed, who has not signed yet, and the signed deletions of an object.

use cosmic_common::id::ObjectId;
use cosmic_custody::{Deletion as Signed, Fate};
use cosmic_store::Span;
use serde_json::{Value, json};

use super::{Deletion, Error, progress::DELETIONS_MAX};
use crate::tables::{DELETIONS, DOOMS, REMOVALS};

/// Removals and doomed objects that are told one by one.
const TOLD_MAX: usize = 100;

impl Deletion {
    /// The counts, and what is under way, as one JSON object. Blocks.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn status(&self) -> Result<Value, Error> {
        let (store, metrics) = (&self.0.context.store, &self.0.metrics);
        let (now, delay) = (self.now(), self.0.config.delay());
        let mut removals = Vec::new();
        for row in store.scan(&REMOVALS, &Span::all(), TOLD_MAX) {
            let ((space, object), row) = row?;
            let signed = store.scan(&DELETIONS, &Span::prefix(&object), DELETIONS_MAX).count();
            removals.push(json!({
                "space": space, "object": object, "since": row.since, "next": row.next,
                "keeping": row.keeping, "silent": row.silent, "signed": signed,
            }));
        }
        let mut doomed = Vec::new();
        for row in store.scan(&DOOMS, &Span::all(), TOLD_MAX) {
            let (object, doom) = row?;
            if let Fate::Doomed { at } = doom.fate(now, delay) {
                doomed.push(json!({ "object": object, "at": at }));
            }
        }
        Ok(json!({
            "delay_secs": self.0.config.delay_secs,
            "lease_secs": self.0.config.lease_secs,
            "begun": metrics.removals_begun.get(),
            "withdrawn": metrics.removals_withdrawn.get(),
            "done": metrics.removals_done.get(),
            "refused": metrics.removals_refused.get(),
            "objects_deleted": metrics.objects_deleted.get(),
            "shards_deleted": metrics.shards_deleted.get(),
            "bytes_deleted": metrics.bytes_deleted.get(),
            "receipts_kept": metrics.receipts_kept.get(),
            "leases_over": metrics.leases_over.get(),
            "removals": removals,
            "doomed": doomed,
        }))
    }

    /// The signed deletions of an object that are known here. Blocks.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn receipts(&self, object: ObjectId) -> Result<Value, Error> {
        let mut receipts = Vec::new();
        for row in self.0.context.store.scan(&DELETIONS, &Span::prefix(&object), DELETIONS_MAX) {
            let ((_object, holder), bytes) = row?;
            let Ok(signed) = Signed::open(&bytes) else { continue };
            receipts.push(json!({
                "holder": holder,
                "shards": signed.shards.iter().collect::<Vec<u8>>(),
                "time": signed.time,
                "incarnation": signed.incarnation,
                "receipt": cosmic_common::id::base32().encode(&bytes),
            }));
        }
        Ok(json!({ "object": object, "receipts": receipts }))
    }
}

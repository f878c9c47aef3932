//! Changes to several tables that happen together or not at all.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use rocksdb::{DB, WriteBatch};

use crate::{
    key::{Key, Span, bytes_of},
    open::handle,
    table::Table,
};

/// Changes not made yet; [`commit`](crate::Store::commit) makes them.
pub struct Batch {
    pub(crate) database: Arc<DB>,
    pub(crate) changes: WriteBatch,
    /// Whether it stores anything, or only deletes.
    pub(crate) stores: bool,
}

impl Batch {
    pub(crate) fn new(database: Arc<DB>) -> Self {
        Self { database, changes: WriteBatch::default(), stores: false }
    }

    /// Stores `value` under `key`, over what is there.
    pub fn put<K: Key, V>(&mut self, table: &Table<K, V>, key: &K, value: &V) -> &mut Self {
        let table_handle = handle(&self.database, table.name());
        self.changes.put_cf(table_handle, bytes_of(key), table.encode(value));
        self.stores = true;
        self
    }

    /// Stores bytes that need not be owned.
    pub fn put_slice<K: Key>(&mut self, table: &Table<K, Bytes>, key: &K, value: &[u8]) -> &mut Self {
        self.changes.put_cf(handle(&self.database, table.name()), bytes_of(key), value);
        self.stores = true;
        self
    }

    /// Adds `amount` to the counter under `key`, which begins at 0.
    pub fn add<K: Key>(&mut self, table: &Table<K, i64>, key: &K, amount: i64) -> &mut Self {
        self.changes.merge_cf(handle(&self.database, table.name()), bytes_of(key), amount.to_be_bytes());
        self.stores = true;
        self
    }

    /// Deletes what is under `key`, if anything is.
    pub fn delete<K: Key, V>(&mut self, table: &Table<K, V>, key: &K) -> &mut Self {
        self.changes.delete_cf(handle(&self.database, table.name()), bytes_of(key));
        self
    }

    /// Deletes everything in `span`, at the cost of one deletion.
    pub fn delete_span<K: Key, V>(&mut self, table: &Table<K, V>, span: &Span<K>) -> &mut Self {
        if !span.is_empty() {
            let table_handle = handle(&self.database, table.name());
            self.changes.delete_range_cf(table_handle, &span.lower, &span.upper);
        }
        self
    }

    /// Bytes it takes in the queue and in the log.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.changes.size_in_bytes()
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("changes", &self.changes.len())
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

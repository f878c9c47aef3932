//! What a table is: its name, the format of its values, and how RocksDB keeps it.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use cosmic_common::record::Record;

use crate::{
    error::Unreadable,
    key::{Key, PrefixOf, bytes_of},
};

/// How values become bytes and come back.
struct Codec<V> {
    encode: for<'a> fn(&'a V) -> Cow<'a, [u8]>,
    decode: fn(&[u8]) -> Result<V, Unreadable>,
}

/// What RocksDB must know of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) format: u32,
    pub(crate) bulk: bool,
    pub(crate) counters: bool,
    pub(crate) prefix_bytes: usize,
}

/// A table from `K` to `V`: a constant of the house, given to every read and write.
pub struct Table<K, V> {
    pub(crate) layout: Layout,
    codec: Codec<V>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Key, V> Table<K, V> {
    const fn new(name: &'static str, format: u32, codec: Codec<V>) -> Self {
        let layout = Layout { name, format, bulk: false, counters: false, prefix_bytes: 0 };
        Self { layout, codec, kind: PhantomData }
    }

    /// Keeps values of 16 KiB and more in blob files, so that sorting does not rewrite them.
    #[must_use]
    pub const fn bulk(mut self) -> Self {
        self.layout.bulk = true;
        self
    }

    /// Keeps a filter of the prefixes `P`, so that looking for one that is not there costs no read.
    #[must_use]
    pub const fn prefixed<P: PrefixOf<K>>(mut self) -> Self {
        self.layout.prefix_bytes = P::SIZE;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.layout.name
    }

    pub(crate) fn encode<'a>(&self, value: &'a V) -> Cow<'a, [u8]> {
        (self.codec.encode)(value)
    }

    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<V, Unreadable> {
        (self.codec.decode)(bytes)
    }
}

impl<K: Key, V: Record> Table<K, V> {
    /// A table of records. `format` changes with what keys mean; values carry their own version.
    #[must_use]
    pub const fn records(name: &'static str, format: u32) -> Self {
        let encode = |value: &V| Cow::Owned(value.to_bytes());
        let decode = |bytes: &[u8]| V::from_bytes(bytes).map_err(|error| Unreadable::Record(Arc::new(error)));
        Self::new(name, format, Codec { encode, decode })
    }
}

impl<K: Key> Table<K, Bytes> {
    /// A table of bytes that mean something to the house alone.
    #[must_use]
    pub const fn bytes(name: &'static str, format: u32) -> Self {
        let decode = |bytes: &[u8]| Ok(Bytes::copy_from_slice(bytes));
        Self::new(name, format, Codec { encode: borrow, decode })
    }
}

impl<K: Key, V: Key> Table<K, V> {
    /// A table of small values of fixed size: numbers, ids, or `()` for a set of keys.
    #[must_use]
    pub const fn fixed(name: &'static str, format: u32) -> Self {
        let encode = |value: &V| Cow::Owned(bytes_of(value));
        let decode =
            |bytes: &[u8]| V::read(bytes).ok_or(Unreadable::Size { expected: V::SIZE, found: bytes.len() });
        Self::new(name, format, Codec { encode, decode })
    }
}

impl<K: Key> Table<K, i64> {
    /// A table of counters that batches add to, without reading them.
    #[must_use]
    pub const fn counters(name: &'static str, format: u32) -> Self {
        let encode = |value: &i64| Cow::Owned(value.to_be_bytes().to_vec());
        let decode = |bytes: &[u8]| counter(bytes);
        let mut table = Self::new(name, format, Codec { encode, decode });
        table.layout.counters = true;
        table
    }
}

fn borrow(value: &Bytes) -> Cow<'_, [u8]> {
    Cow::Borrowed(value)
}

pub(crate) fn counter(bytes: &[u8]) -> Result<i64, Unreadable> {
    let found = bytes.len();
    bytes.try_into().map(i64::from_be_bytes).map_err(|_error| Unreadable::Size { expected: 8, found })
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layout.fmt(f)
    }
}

/// All tables of a store.
#[derive(Debug, Clone, Default)]
pub struct Schema(pub(crate) Vec<Layout>);

impl Schema {
    /// No tables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and `table`.
    #[must_use]
    pub fn table<K, V>(mut self, table: &Table<K, V>) -> Self {
        let known = self.0.iter().any(|layout| layout.name == table.layout.name);
        assert!(!known, "the name {} belongs to one table only", table.layout.name);
        self.0.push(table.layout);
        self
    }
}

//! Reading keys in their order, from one bound to another and no more than was asked for.

use std::{fmt, iter::FusedIterator};

use rocksdb::{DB, DBRawIterator, ReadOptions};

use crate::{
    error::{Error, Unreadable},
    key::{Key, Span},
    open::handle,
    table::Table,
};

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// What is in a span, read while it is iterated. It sees the table as it was when the scan began.
pub struct Scan<'a, K, V> {
    table: &'a Table<K, V>,
    inner: DBRawIterator<'a>,
    direction: Direction,
    left: usize,
}

impl<'a, K: Key, V> Scan<'a, K, V> {
    pub(crate) fn new(
        database: &'a DB,
        table: &'a Table<K, V>,
        span: &Span<K>,
        direction: Direction,
        limit: usize,
    ) -> Self {
        let mut options = ReadOptions::default();
        // Inside one prefix the filter may say "not here"; across prefixes it must not be asked.
        let inside_prefix = table.layout.prefix_bytes > 0 && span.shares(table.layout.prefix_bytes);
        options.set_prefix_same_as_start(inside_prefix && direction == Direction::Up);
        options.set_total_order_seek(!inside_prefix || direction == Direction::Down);
        options.set_iterate_lower_bound(span.lower.clone());
        options.set_iterate_upper_bound(span.upper.clone());
        options.fill_cache(!table.layout.bulk);
        let mut inner = database.raw_iterator_cf_opt(handle(database, table.name()), options);
        let left = if span.is_empty() { 0 } else { limit };
        if left > 0 {
            match direction {
                Direction::Up => inner.seek(&span.lower),
                Direction::Down => inner.seek_to_last(),
            }
        }
        Self { table, inner, direction, left }
    }

    fn item(&self) -> Option<Result<(K, V), Error>> {
        let table = self.table.name();
        let (Some(key), Some(value)) = (self.inner.key(), self.inner.value()) else {
            return match self.inner.status() {
                Ok(()) => None,
                Err(source) => Some(Err(Error::Read { table, source })),
            };
        };
        let size = Unreadable::Size { expected: K::SIZE, found: key.len() };
        let item = K::read(key).ok_or(size).and_then(|key| Ok((key, self.table.decode(value)?)));
        Some(item.map_err(|source| Error::Corrupt { table, source }))
    }
}

impl<K: Key, V> Iterator for Scan<'_, K, V> {
    type Item = Result<(K, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let item = self.item();
        self.left = if matches!(item, Some(Ok(_))) { self.left - 1 } else { 0 };
        if self.left > 0 {
            match self.direction {
                Direction::Up => self.inner.next(),
                Direction::Down => self.inner.prev(),
            }
        }
        item
    }
}

impl<K: Key, V> FusedIterator for Scan<'_, K, V> {}

impl<K, V> fmt::Debug for Scan<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("table", &self.table).field("left", &self.left).finish_non_exhaustive()
    }
}

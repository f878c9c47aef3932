//! Reading a store from end to end without writing to it: whether every row can be read.

use std::path::Path;

use rocksdb::ReadOptions;

use crate::{config::Config, error::Error, open, table::Schema};

/// What one table holds.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The table.
    pub table: &'static str,
    /// Rows that were read.
    pub rows: u64,
    /// Their bytes, keys included.
    pub bytes: u64,
    /// Why the rest could not be read, if there is a rest.
    pub damage: Option<Error>,
}

/// Reads every row of every table of the store in `path`, which nobody may have open for writing, and checks the
/// checksums of all blocks and values on the way. Blocks.
///
/// # Errors
/// If it does not open.
pub fn verify(path: impl AsRef<Path>, schema: &Schema, config: &Config) -> Result<Vec<Verified>, Error> {
    let database = open::open_read_only(path.as_ref(), schema, config)?;
    let read = |table: &'static str| {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.set_total_order_seek(true);
        options.fill_cache(false);
        let mut rows = database.raw_iterator_cf_opt(open::handle(&database, table), options);
        let mut verified = Verified { table, rows: 0, bytes: 0, damage: None };
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            verified.rows += 1;
            verified.bytes += (key.len() + value.len()) as u64;
            rows.next();
        }
        verified.damage = rows.status().err().map(|source| Error::Read { table, source });
        verified
    };
    Ok(schema.0.iter().map(|layout| read(layout.name)).collect())
}

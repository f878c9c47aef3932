//! Opening a store: settings for RocksDB, and the formats its tables must have.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, ErrorKind,
    InfoLogger, LogLevel, MergeOperands, Options, SliceTransform, WriteBatch, WriteBufferManager,
    WriteOptions,
};
use tracing::{debug, error, warn};

use crate::{
    config::Config,
    error::Error,
    table::{Layout, Schema, counter},
};

/// Where the formats of the tables stand; RocksDB insists on this column family.
const FORMATS: &str = "default";
/// Values this large lie in blob files, in tables that have them.
const BLOB_MIN_BYTES: u64 = 16 * 1024;
const BLOB_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// A compaction moves what lives in this part of the blob files, the oldest ones, whether they hold garbage or
/// not. RocksDB's default of a quarter made it write every shard once more (measured: 5.4 CPU s/GB instead of 4).
const BLOB_MOVED_FRACTION: f64 = 0.02;
/// When half of those files is garbage, a compaction is made for them.
const BLOB_GARBAGE_FRACTION: f64 = 0.5;
/// A bulk table sorts sixteen megabytes at a time, another one four.
const BULK_BUFFER_BYTES: usize = 16 * 1024 * 1024;
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// The log is cut here; a restart reads at most this much again.
const LOG_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// One filter bit in a hundred lies (RocksDB's own recommendation).
const FILTER_BITS_PER_KEY: f64 = 10.0;
/// One flush and one compaction at a time: machines of two cores are the measure.
const BACKGROUND_JOBS: i32 = 2;

/// What a store is opened with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Its tables.
    pub schema: Schema,
    /// Its settings.
    pub config: &'a Config,
    /// For measuring.
    pub clock: Clock,
    /// Where it registers its metrics.
    pub registry: &'a Registry,
    /// Where it says that it cannot write.
    pub health: Health,
}

/// The column family of a table of the schema.
pub(crate) fn handle<'a>(database: &'a DB, table: &str) -> &'a ColumnFamily {
    #[expect(
        clippy::panic,
        reason = "a table outside the schema is a mistake in the house, found by its first test"
    )]
    database.cf_handle(table).unwrap_or_else(|| panic!("the table {table} is in the schema of the store"))
}

pub(crate) struct Opened {
    pub(crate) database: DB,
    pub(crate) buffers: WriteBufferManager,
    /// Whether a part of the log that is no torn end was dropped.
    pub(crate) dropped: bool,
}

pub(crate) fn open(path: &Path, schema: &Schema, config: &Config) -> Result<Opened, Error> {
    let failed = |source| cannot_open(path, source);
    let buffers = WriteBufferManager::new_write_buffer_manager(size(config.write_buffers_bytes), false);
    let cache = Cache::new_lru_cache(size(config.cache_bytes));
    let dropped = Arc::new(AtomicBool::new(false));
    let options = database_options(path, config, &buffers, &dropped);
    refuse_unknown_tables(path, schema, &options)?;
    let formats = ColumnFamilyDescriptor::new(FORMATS, table_options(None, &cache));
    let tables = schema
        .0
        .iter()
        .map(|layout| ColumnFamilyDescriptor::new(layout.name, table_options(Some(layout), &cache)));
    let database =
        DB::open_cf_descriptors(&options, path, std::iter::once(formats).chain(tables)).map_err(failed)?;
    check_formats(path, &database, schema)?;
    Ok(Opened { database, buffers, dropped: dropped.load(Ordering::Acquire) })
}

/// Opens what is there for reading alone.
pub(crate) fn open_read_only(path: &Path, schema: &Schema, config: &Config) -> Result<DB, Error> {
    let buffers = WriteBufferManager::new_write_buffer_manager(size(config.write_buffers_bytes), false);
    let cache = Cache::new_lru_cache(size(config.cache_bytes));
    let mut options = Options::default();
    options.set_max_open_files(i32::try_from(config.open_files_max).unwrap_or(i32::MAX));
    options.set_write_buffer_manager(&buffers);
    refuse_unknown_tables(path, schema, &options)?;
    let formats = ColumnFamilyDescriptor::new(FORMATS, table_options(None, &cache));
    let tables = schema
        .0
        .iter()
        .map(|layout| ColumnFamilyDescriptor::new(layout.name, table_options(Some(layout), &cache)));
    DB::open_cf_descriptors_read_only(&options, path, std::iter::once(formats).chain(tables), false)
        .map_err(|source| cannot_open(path, source))
}

/// What to do about a store that does not open depends on whether its files are wrong or gone.
fn cannot_open(path: &Path, source: rocksdb::Error) -> Error {
    let path = path.to_owned();
    let damaged = source.kind() == ErrorKind::Corruption
        || (source.kind() == ErrorKind::IOError && source.as_ref().contains("No such file"));
    if damaged { Error::Damaged { path, source } } else { Error::Open { path, source } }
}

fn database_options(
    path: &Path,
    config: &Config,
    buffers: &WriteBufferManager,
    dropped: &Arc<AtomicBool>,
) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_open_files(i32::try_from(config.open_files_max).unwrap_or(i32::MAX));
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_write_buffer_manager(buffers);
    options.set_max_total_wal_size(LOG_MAX_BYTES);
    // A log file that was synced and is gone is damage, not the end of the log.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    let dropped = Arc::clone(dropped);
    let listen = move |level: LogLevel, message: &str| {
        if drops_log(message) {
            dropped.store(true, Ordering::Release);
        }
        log(level, message);
    };
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, listen));
    // What is sorted into files is not read again soon, and copying it through the page cache cost half of the CPU of
    // writing shards: 18 s/GB of objects with it, 9 without (`cosmic-supernode`, example `objects`).
    options.set_use_direct_io_for_flush_and_compaction(takes_direct_io(path));
    options
}

/// Whether files below `path` can be written past the page cache; a tmpfs of Linux before 6.6 cannot.
#[cfg(target_os = "linux")]
fn takes_direct_io(path: &Path) -> bool {
    use rustix::fs::{Mode, OFlags, open, unlink};
    let probe = path.join("direct-io");
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = open(&probe, flags, Mode::RUSR | Mode::WUSR).is_ok();
    if let Err(error) = unlink(&probe) {
        debug!(path = %probe.display(), %error, "the probe for direct I/O could not be removed");
    }
    opened
}

/// Elsewhere RocksDB is left to what it does by default.
#[cfg(not(target_os = "linux"))]
const fn takes_direct_io(_path: &Path) -> bool {
    false
}

/// What RocksDB says of a log that ends within a record, as one does whose writer was killed: no damage by itself, and
/// whether it was acknowledged the mark tells.
const TORN_ENDS: [&str; 3] =
    ["truncated header", "truncated record body", "error reading trailing data due to encountering EOF"];

/// Whether RocksDB says that it drops a damaged part of the log and what is behind it. It opens the store without that,
/// as of an earlier point of time, and tells it nowhere else.
fn drops_log(message: &str) -> bool {
    message.contains(".log: dropping ") && !TORN_ENDS.iter().any(|end| message.ends_with(end))
}

/// Passes RocksDB's own log on. Its errors are not ours: ours are raised where an operation fails.
fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => error!(target: "rocksdb", "{message}"),
        LogLevel::Warn => warn!(target: "rocksdb", "{message}"),
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => debug!(target: "rocksdb", "{message}"),
    }
}

fn table_options(layout: Option<&Layout>, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(FILTER_BITS_PER_KEY, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Ids, hashes, signatures and sealed bytes do not get smaller.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(BUFFER_BYTES);
    let Some(layout) = layout else { return options };
    if layout.prefix_bytes > 0 {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(layout.prefix_bytes));
    }
    if layout.counters {
        options.set_merge_operator_associative("add", add);
    }
    if layout.bulk {
        options.set_write_buffer_size(BULK_BUFFER_BYTES);
        options.set_enable_blob_files(true);
        options.set_min_blob_size(BLOB_MIN_BYTES);
        options.set_blob_file_size(BLOB_FILE_BYTES);
        options.set_blob_compression_type(DBCompressionType::None);
        options.set_enable_blob_gc(true);
        options.set_blob_gc_age_cutoff(BLOB_MOVED_FRACTION);
        options.set_blob_gc_force_threshold(BLOB_GARBAGE_FRACTION);
    }
    options
}

/// Adds up a counter and what was added to it; an unreadable part makes the whole unreadable, not wrong.
fn add(_key: &[u8], existing: Option<&[u8]>, amounts: &MergeOperands) -> Option<Vec<u8>> {
    let parts = existing.into_iter().chain(amounts);
    let sum = parts.map(counter).try_fold(0_i64, |sum, part| part.map(|part| sum.saturating_add(part)));
    sum.ok().map(|sum| sum.to_be_bytes().to_vec())
}

fn refuse_unknown_tables(path: &Path, schema: &Schema, options: &Options) -> Result<(), Error> {
    // RocksDB begins each database with this file.
    if !path.join("CURRENT").exists() {
        return Ok(());
    }
    let found = DB::list_cf(options, path).map_err(|source| cannot_open(path, source))?;
    let known = |table: &str| table == FORMATS || schema.0.iter().any(|layout| layout.name == table);
    match found.into_iter().find(|table| !known(table)) {
        Some(table) => Err(Error::UnknownTable { path: path.to_owned(), table }),
        None => Ok(()),
    }
}

fn check_formats(path: &Path, database: &DB, schema: &Schema) -> Result<(), Error> {
    let formats = handle(database, FORMATS);
    let mut new = WriteBatch::default();
    for Layout { name, format, .. } in &schema.0 {
        let found = database
            .get_pinned_cf(formats, name)
            .map_err(|source| Error::Read { table: FORMATS, source })?
            .map(|bytes| <[u8; 4]>::try_from(bytes.as_ref()).map_or(0, u32::from_be_bytes));
        match found {
            Some(found) if found == *format => {}
            Some(found) => {
                let path = path.to_owned();
                return Err(Error::Format { path, table: name, found, supported: *format });
            }
            None if is_empty(database, name)? => new.put_cf(formats, name, format.to_be_bytes()),
            None => return Err(Error::NoFormat { path: path.to_owned(), table: name }),
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let mut durable = WriteOptions::default();
    durable.set_sync(true);
    database.write_opt(new, &durable).map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn is_empty(database: &DB, table: &'static str) -> Result<bool, Error> {
    let mut first = database.raw_iterator_cf(handle(database, table));
    first.seek_to_first();
    first.status().map_err(|source| Error::Read { table, source })?;
    Ok(!first.valid())
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

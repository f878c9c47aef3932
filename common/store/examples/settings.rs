//! What RocksDB's settings cost: shards and entries written and read back under one setting after the other, in CPU
//! seconds of this process. `settings [MIB]` writes so many MiB of shards in each round (256 unless told).
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::{error::Error, fs, path::Path};

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

/// A shard of a 4 MiB object in the class 3 of 6.
const SHARD_BYTES: usize = 1_398_102;
/// An entry of a document of about 200 bytes.
const ENTRY_BYTES: usize = 400;
const ENTRIES: usize = 400_000;
/// Entries in one batch of a group commit.
const ENTRIES_AT_ONCE: usize = 500;
const READS: usize = 100_000;
const MIB: usize = 1024 * 1024;

type Failure = Box<dyn Error>;

/// One way to set RocksDB up.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    blobs: bool,
    compression: DBCompressionType,
    cache_bytes: usize,
    /// Values of one batch, which has one fsync.
    at_once: usize,
}

fn main() -> Result<(), Failure> {
    let mib = std::env::args().nth(1).map_or(Ok(256), |text| text.parse::<usize>())?;
    let shards = (mib * MIB).div_ceil(SHARD_BYTES);
    let plain = Setting {
        name: "",
        blobs: true,
        compression: DBCompressionType::None,
        cache_bytes: 16 * MIB,
        at_once: 8,
    };
    println!("shards: {shards} of {SHARD_BYTES} bytes, all written, all read once");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "", "write s", "cpu s/GB", "read", "disk");
    for setting in [
        Setting { name: "blobs, 8 per fsync", ..plain },
        Setting { name: "blobs, 1 per fsync", at_once: 1, ..plain },
        Setting { name: "blobs, 32 per fsync", at_once: 32, ..plain },
        Setting { name: "no blobs, 8 per fsync", blobs: false, ..plain },
        Setting { name: "blobs, lz4, 8 per fsync", compression: DBCompressionType::Lz4, ..plain },
    ] {
        let round = Round::begin(setting)?;
        let (write, seconds) = round.write(shards, SHARD_BYTES)?;
        let (read, _) = round.read(shards, shards)?;
        let gb = scale(shards * SHARD_BYTES, 1e9);
        println!(
            "{:<34} {seconds:>9.1} {:>9.2} {:>9.2} {:>8.2}×",
            setting.name,
            write / gb,
            read / gb,
            round.disk()? / gb
        );
    }
    println!("entries: {ENTRIES} of {ENTRY_BYTES} bytes, {READS} read at random");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "", "write s", "cpu µs", "read µs", "disk");
    let plain = Setting { blobs: false, at_once: ENTRIES_AT_ONCE, ..plain };
    for setting in [
        Setting { name: "cache 16 MiB, 500 per fsync", ..plain },
        Setting { name: "cache 4 MiB", cache_bytes: 4 * MIB, ..plain },
        Setting { name: "cache 64 MiB", cache_bytes: 64 * MIB, ..plain },
        Setting { name: "cache 16 MiB, lz4", compression: DBCompressionType::Lz4, ..plain },
        Setting { name: "cache 16 MiB, zstd", compression: DBCompressionType::Zstd, ..plain },
        Setting { name: "cache 16 MiB, 50 per fsync", at_once: 50, ..plain },
    ] {
        let round = Round::begin(setting)?;
        let (write, seconds) = round.write(ENTRIES, ENTRY_BYTES)?;
        let (read, _) = round.read(ENTRIES, READS)?;
        println!(
            "{:<34} {seconds:>9.1} {:>9.2} {:>9.2} {:>8.2}×",
            setting.name,
            write / scale(ENTRIES, 1e6),
            read / scale(READS, 1e6),
            round.disk()? / scale(ENTRIES * ENTRY_BYTES, 1e9),
        );
    }
    Ok(())
}

/// A database with one setting, in a directory of its own.
struct Round {
    setting: Setting,
    database: DB,
    directory: tempfile::TempDir,
}

impl Round {
    fn begin(setting: Setting) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(setting.cache_bytes));
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(setting.compression);
        options.set_write_buffer_size(16 * MIB);
        options.set_max_background_jobs(2);
        options.set_enable_blob_files(setting.blobs);
        options.set_min_blob_size(16 * 1024);
        options.set_blob_compression_type(setting.compression);
        options.set_enable_blob_gc(setting.blobs);
        options.set_blob_gc_age_cutoff(0.02);
        Ok(Self { setting, database: DB::open(&options, directory.path())?, directory })
    }

    /// Writes values, sorts them to the end, and returns CPU and wall seconds.
    fn write(&self, count: usize, bytes: usize) -> Result<(f64, f64), Failure> {
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        let (cpu, begun) = (cpu_seconds(), now());
        let mut value = vec![0_u8; bytes];
        for first in (0..count).step_by(self.setting.at_once) {
            let mut batch = WriteBatch::default();
            for number in first..count.min(first + self.setting.at_once) {
                fill(&mut value, number);
                batch.put(key(number), &value);
            }
            self.database.write_opt(batch, &durable)?;
        }
        self.database.flush()?;
        let mut waiting = rocksdb::WaitForCompactOptions::default();
        waiting.set_flush(true);
        self.database.wait_for_compact(&waiting)?;
        Ok((cpu_seconds() - cpu, begun.elapsed().as_secs_f64()))
    }

    /// Reads `reads` of `count` values, all over the keys, and returns CPU and wall seconds.
    fn read(&self, count: usize, reads: usize) -> Result<(f64, f64), Failure> {
        let (cpu, begun) = (cpu_seconds(), now());
        for number in 0..reads {
            // A step that has no divisor with the count in common visits all.
            let number = number.wrapping_mul(7_919) % count;
            if self.database.get_pinned(key(number))?.is_none() {
                return Err(format!("value {number} is gone").into());
            }
        }
        Ok((cpu_seconds() - cpu, begun.elapsed().as_secs_f64()))
    }

    fn disk(&self) -> Result<f64, Failure> {
        let mut bytes = 0;
        for file in fs::read_dir(self.directory.path())? {
            let file = file?;
            let is_log = Path::new(&file.file_name()).extension().is_some_and(|extension| extension == "log");
            bytes += if is_log { 0 } else { file.metadata()?.len() };
        }
        Ok(scale(usize::try_from(bytes)?, 1e9))
    }
}

/// Keys come as hashes do: all over.
fn key(number: usize) -> [u8; 8] {
    (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// Bytes that do not compress, as sealed bytes do not, cheap to make.
fn fill(value: &mut [u8], number: usize) {
    let mut state = number as u64 | 1;
    for word in value.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::cast_precision_loss, reason = "sizes and counts")]
fn scale(value: usize, unit: f64) -> f64 {
    value as f64 / unit
}

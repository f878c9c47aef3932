//! The store at its own door: tables, model, faults.

mod damage;
mod faults;
mod keys;
mod model;
mod tables;

use std::path::Path;

use bytes::Bytes;
use cosmic_common::{
    id::{LogId, SpaceId},
    record::Record,
    time::Timestamp,
};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use minicbor::{Decode, Encode};

use crate::{Config, Error, Schema, Setup, Store, Table, writer::Probe};

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(map)]
struct Note {
    #[n(1)]
    text: String,
}

impl Record for Note {
    const NAME: &'static str = "note";
    const LIMIT: usize = 1024;
}

const NOTES: Table<LogId, Note> = Table::records("notes", 1);
const ENTRIES: Table<(LogId, u64), Bytes> = Table::bytes("entries", 3).prefixed::<LogId>();
const SHARDS: Table<u16, Bytes> = Table::bytes("shards", 1).bulk();
const USED: Table<SpaceId, i64> = Table::counters("used", 1);
const SEEN: Table<(u8, u16), ()> = Table::fixed("seen", 1);

fn schema() -> Schema {
    Schema::new().table(&NOTES).table(&ENTRIES).table(&SHARDS).table(&USED).table(&SEEN)
}

/// What a test looks at beside the store.
struct Around {
    config: Config,
    registry: Registry,
    health: Health,
}

impl Around {
    fn new() -> Self {
        let config = Config { reserve_bytes: 0, ..Config::default() };
        Self { config, registry: Registry::new(), health: Health::new() }
    }

    fn setup(&self, schema: Schema) -> Setup<'_> {
        let (clock, _hand) = Clock::manual(Timestamp::from_unix_ms(0));
        Setup { schema, config: &self.config, clock, registry: &self.registry, health: self.health.clone() }
    }

    fn open(&self, path: &Path) -> Store {
        Store::open(path, self.setup(schema())).unwrap()
    }

    fn open_probing(&self, path: &Path, probe: Probe) -> Store {
        Store::open_probing(path.to_owned(), self.setup(schema()), probe).unwrap()
    }

    /// The value of the metric line that begins with `name`.
    fn metric(&self, name: &str) -> String {
        let page = self.registry.encode().unwrap();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

fn open(path: &Path) -> Store {
    Around::new().open(path)
}

fn log(number: u8) -> LogId {
    LogId::from_bytes([number; 32])
}

fn note(text: &str) -> Note {
    Note { text: text.to_owned() }
}

async fn put_note(store: &Store, number: u8, text: &str) -> Result<(), Error> {
    let mut batch = store.batch();
    batch.put(&NOTES, &log(number), &note(text));
    store.commit(batch).await
}

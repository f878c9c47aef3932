//! The records of tables: golden bytes, round trips, hostile bytes.

use std::{fmt::Debug, fs, path::Path};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, Hash, Incarnation, LogId, ObjectId, PeerId, SpaceId, WriterId},
    record::Record,
    time::Timestamp,
};
use cosmic_log::open::Open;
use proptest::prelude::*;

use crate::{
    cold::{Check, Memory, Mode},
    scrub::{Damage, Fault, LogAt, Place, Progress, RowsOf, Thing},
    tables::{EvidenceRow, KeptRow, LogRow, RemovalRow, SnapshotRow},
};

fn log_rows() -> [LogRow; 2] {
    let open = Open {
        space: SpaceId::from_bytes([1; 32]),
        writer: WriterId::from_bytes([2; 32]),
        channel: ChannelId::from_bytes([3; 32]),
        incarnation: Incarnation::from_bytes([4; 16]),
        delegation: None,
    };
    let delegated = Open { delegation: Some(EntryId::from_bytes([5; 32])), ..open };
    let entry = EntryId::from_bytes([6; 32]);
    [
        LogRow { open, head: Head { seq: 0, entry } },
        LogRow { open: delegated, head: Head { seq: u64::MAX, entry } },
    ]
}

fn kept_rows() -> [KeptRow; 4] {
    let own = KeptRow {
        space: SpaceId::from_bytes([1; 32]),
        owner: None,
        hash: Hash::from_bytes([2; 32]),
        length: 1_398_128,
        since: Timestamp::from_unix_ms(1_750_000_000_000),
        cold: None,
        back: None,
    };
    let largest = KeptRow {
        owner: Some(PeerId::from_bytes([3; 32])),
        length: u64::MAX,
        since: Timestamp::from_unix_ms(u64::MAX),
        ..own
    };
    let cold = KeptRow { cold: Some(0x0123_4567_89ab_cdef), ..own };
    let back = KeptRow { back: Some(own.since), ..own };
    [own, largest, cold, back]
}

fn cold_memories() -> [Memory; 2] {
    let check = Check {
        began: Timestamp::from_unix_ms(1_750_000_000_000),
        after: Some(ObjectId::from_bytes([5; 32])),
        index: 2,
        done: false,
    };
    [Memory::default(), Memory { mode: Mode::Thaw, place: Some(u64::MAX), check: Some(check) }]
}

fn progresses() -> [Progress; 2] {
    let begun = Progress::begin(Timestamp::from_unix_ms(1_750_000_000_000));
    let since = Timestamp::from_unix_ms(1_750_000_001_000);
    let (space, channel) = (SpaceId::from_bytes([1; 32]), ChannelId::from_bytes([3; 32]));
    let (log, object) = (LogId::from_bytes([4; 32]), ObjectId::from_bytes([5; 32]));
    let damaged = [
        (Thing::Shard { object, index: 2 }, Fault::Missing),
        (Thing::Entry { space, channel, log, seq: 300 }, Fault::Wrong),
        (Thing::Rows { table: RowsOf::Kept }, Fault::Unreadable),
    ];
    let under_way = Progress {
        round: 3,
        place: Place::Entries { log: Some(LogAt { space, channel, log }), next: 17 },
        paused: true,
        shards: 10,
        entries: 20,
        bytes: 1_000_000,
        found: 3,
        healed: 1,
        open: damaged.map(|(thing, fault)| Damage { thing, fault, since }).to_vec(),
        ..begun.clone()
    };
    [begun, under_way]
}

fn evidence_rows() -> [EvidenceRow; 2] {
    let standing = EvidenceRow {
        evidence: vec![7; 12],
        heard: Timestamp::from_unix_ms(1_750_000_000_000),
        settled: None,
    };
    let over = EvidenceRow {
        evidence: vec![8; 704],
        heard: Timestamp::from_unix_ms(u64::MAX),
        settled: Some(Timestamp::from_unix_ms(u64::MAX)),
    };
    [standing, over]
}

fn snapshot_rows() -> [SnapshotRow; 2] {
    let begun = SnapshotRow {
        channel: ChannelId::from_bytes([3; 32]),
        writer: WriterId::from_bytes([2; 32]),
        log: LogId::from_bytes([4; 32]),
        seq: 1,
        since: None,
        next: Timestamp::default(),
        tries: 0,
    };
    let most = Timestamp::from_unix_ms(u64::MAX);
    [begun, SnapshotRow { seq: u64::MAX, since: Some(most), next: most, tries: u32::MAX, ..begun }]
}

fn removal_rows() -> [RemovalRow; 2] {
    let since = Timestamp::from_unix_ms(1_750_000_000_000);
    let begun = RemovalRow { since, next: Timestamp::default(), tries: 0, keeping: 0, silent: 0 };
    let largest = RemovalRow {
        since: Timestamp::from_unix_ms(u64::MAX),
        next: Timestamp::from_unix_ms(u64::MAX),
        tries: u32::MAX,
        keeping: u32::MAX,
        silent: u32::MAX,
    };
    [begun, largest]
}

/// Compares with the golden file, one sample per line, in both directions.
fn golden<T: Record + PartialEq + Debug>(file: &str, samples: &[T]) {
    let hex = |sample: &T| sample.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: String = samples.iter().map(|sample| hex(sample) + "\n").collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(lines, golden, "the bytes of version 1 never change: {}", path.display());
    for sample in samples {
        assert_eq!(&T::from_bytes(&sample.to_bytes()).unwrap(), sample);
    }
}

#[test]
fn golden_bytes_of_version_1() {
    golden("log-row.v1.hex", &log_rows());
    golden("kept-row.v1.hex", &kept_rows());
    golden("scrub-progress.v1.hex", &progresses());
    golden("cold-memory.v1.hex", &cold_memories());
    golden("evidence-row.v1.hex", &evidence_rows());
    golden("removal-row.v1.hex", &removal_rows());
    golden("snapshot-row.v1.hex", &snapshot_rows());
}

proptest! {
    #[test]
    fn a_damaged_row_is_refused_or_another_row(place in 0_usize..192, bit in 0_u8..8) {
        let bytes = kept_rows()[1].to_bytes();
        let mut damaged = bytes.clone();
        let place = place % damaged.len();
        damaged[place] ^= 1 << bit;
        if let Ok(row) = KeptRow::from_bytes(&damaged) {
            prop_assert_eq!(row.to_bytes(), damaged);
        }
        prop_assert!(KeptRow::from_bytes(&bytes[..place]).is_err());
    }

    #[test]
    fn whatever_lies_there_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(row) = LogRow::from_bytes(&bytes) {
            prop_assert_eq!(row.to_bytes(), bytes);
        }
    }
}

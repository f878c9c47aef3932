//! Bodies of entries: golden bytes, round trips, hostile bytes.

use std::{fmt::Debug, fs, path::Path};

use cosmic_common::id::ObjectId;
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn changes() -> [ChangeBody; 2] {
    let update = |document: &str, operations: &[u8]| Update {
        document: document.to_owned(),
        operations: operations.to_vec(),
    };
    [
        ChangeBody {
            collection: "notes".to_owned(),
            made_in: None,
            updates: vec![update("first", &[1, 2, 3])],
        },
        ChangeBody {
            collection: "n".repeat(NAME_MAX_BYTES),
            made_in: Some(Incarnation::from_bytes([7; 16])),
            updates: vec![update("a", &[]), update("b", &[0xff; 300])],
        },
    ]
}

fn snapshots() -> [SnapshotBody; 2] {
    let said = |body: &ChangeBody| Said { made_in: body.made_in, updates: body.updates.clone() };
    let [first, second] = changes();
    let nothing = Said { made_in: None, updates: Vec::new() };
    [
        SnapshotBody { said: vec![said(&first)], collection: first.collection },
        SnapshotBody { said: vec![said(&second), nothing], collection: second.collection },
    ]
}

fn files() -> [FileBody; 2] {
    let chunk = ChunkReference {
        object: ObjectId::from_bytes([1; 32]),
        content: cosmic_common::id::Hash::from_bytes([2; 32]),
        length: 4 * 1024 * 1024,
    };
    [
        FileBody {
            name: "photo.jpg".to_owned(),
            bytes: u64::from(chunk.length),
            media_type: Some("image/jpeg".to_owned()),
            chunks: vec![chunk],
            removed: false,
        },
        FileBody { name: "gone".to_owned(), bytes: 0, media_type: None, chunks: Vec::new(), removed: true },
    ]
}

/// Compares with the golden file, one sample per line, in both directions.
fn golden<T: Record + PartialEq + Debug>(file: &str, samples: &[T]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let lines: String = samples.iter().map(|sample| HEXLOWER.encode(&sample.to_bytes()) + "\n").collect();
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(lines, golden, "the bytes of version 1 never change: {}", path.display());
    for sample in samples {
        assert_eq!(&T::from_bytes(&sample.to_bytes()).unwrap(), sample);
    }
}

#[test]
fn golden_bytes_of_version_1() {
    golden("change.v1.hex", &changes());
    golden("file.v1.hex", &files());
    golden("snapshot.v1.hex", &snapshots());
}

#[test]
fn a_replica_follows_from_log_and_document() {
    let log = LogId::from_bytes([9; 32]);
    let replicas =
        [replica_of(&log, "a"), replica_of(&log, "b"), replica_of(&LogId::from_bytes([8; 32]), "a")];
    assert_eq!(replicas[0], replica_of(&log, "a"));
    assert!(replicas[0] != replicas[1] && replicas[0] != replicas[2] && replicas[1] != replicas[2]);
}

proptest! {
    #[test]
    fn a_damaged_body_is_refused_or_another_body(place in 0_usize..600, bit in 0_u8..8) {
        let bytes = changes()[1].to_bytes();
        let mut damaged = bytes.clone();
        let place = place % damaged.len();
        damaged[place] ^= 1 << bit;
        if let Ok(body) = ChangeBody::from_bytes(&damaged) {
            prop_assert_eq!(body.to_bytes(), damaged);
        }
        prop_assert!(ChangeBody::from_bytes(&bytes[..place]).is_err());
    }

    #[test]
    fn whatever_was_sealed_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(body) = FileBody::from_bytes(&bytes) {
            prop_assert_eq!(body.to_bytes(), bytes.clone());
        }
        if let Ok(body) = SnapshotBody::from_bytes(&bytes) {
            prop_assert_eq!(body.to_bytes(), bytes);
        }
    }
}

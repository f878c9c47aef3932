//! Golden bytes and round trips of every record, and what hostile bytes meet.

use std::{fmt::Debug, fs, path::PathBuf};

use cosmic_common::record::{Record, RecordError};
use cosmic_identity::signed::Signed;
use proptest::prelude::*;

use super::samples;
use crate::{
    Error,
    audit::{evidence::Evidence, proof::Challenge},
    message::{
        LIST_MAX, LIST_MAX_BYTES,
        bulk::BulkLength,
        care::{CareAnswer, CareRequest},
        fitting,
        meeting::{MeetingAnswer, MeetingRequest},
        object::{ObjectAnswer, ObjectRequest},
        refusal::{Refusal, RefusalCode, SENTENCE_MAX_BYTES},
        replica::{ReplicaAnswer, ReplicaCall, ReplicaReply, SpaceHeads, heads_digest},
        shard::{Indices, ShardAnswer, ShardRequest},
        space::SpaceFrame,
        turn::{TurnAnswer, TurnRequest},
    },
    pack::tail::Tail,
    placement::Placement,
    receipt::{Promise, Receipt},
    removal::{Deletion, Doom, Removal},
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// One line of hexadecimal per sample, compared in both directions. `COSMIC_GOLDEN=write` writes the files anew.
fn golden<T: Record + PartialEq + Debug>(file: &str, samples: &[T]) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", file].iter().collect();
    let written: String = samples.iter().map(|sample| hex(&sample.to_bytes()) + "\n").collect();
    if std::env::var("COSMIC_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &written).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, stored, "{} differs from what this build writes", path.display());
    let read: Vec<T> = stored.lines().map(|line| T::from_bytes(&unhex(line)).unwrap()).collect();
    assert_eq!(read, samples);
}

#[test]
fn golden_bytes_of_version_1() {
    golden("receipt.v1.hex", &samples::receipts());
    let signed: Vec<_> =
        samples::receipts().into_iter().map(|receipt| receipt.sign(&samples::key(1)).unwrap()).collect();
    golden("signed-receipt.v1.hex", &signed);
    golden("placement.v1.hex", &samples::placements());
    golden("quota.v1.hex", &samples::quotas());
    golden("usage.v1.hex", &samples::usages());
    golden("tail.v1.hex", &samples::tails());
    golden("doom.v1.hex", &samples::dooms());
    golden("space-frame.v1.hex", &samples::space_frames());
    golden("replica-call.v1.hex", &samples::replica_calls());
    golden("replica-reply.v1.hex", &samples::replica_replies());
    golden("object-request.v1.hex", &samples::object_requests());
    golden("object-answer.v1.hex", &samples::object_answers());
    golden("meeting-request.v1.hex", &samples::meeting_requests());
    golden("meeting-answer.v1.hex", &samples::meeting_answers());
    golden("turn-request.v1.hex", &samples::turn_requests());
    golden("turn-answer.v1.hex", &samples::turn_answers());
    golden("shard-request.v1.hex", &samples::shard_requests());
    golden("shard-answer.v1.hex", &samples::shard_answers());
}

#[test]
fn golden_bytes_of_care() {
    golden("care-request.v1.hex", &samples::care_requests());
    golden("care-answer.v1.hex", &samples::care_answers());
    let sign = |evidence: Evidence| evidence.sign(&samples::key(2)).unwrap();
    golden("signed-evidence.v1.hex", &samples::evidence().into_iter().map(sign).collect::<Vec<_>>());
    let sign = |removal: Removal| removal.sign(&samples::key(1)).unwrap();
    golden("signed-removal.v1.hex", &samples::removals().into_iter().map(sign).collect::<Vec<_>>());
    let sign = |deletion: Deletion| deletion.sign(&samples::key(1)).unwrap();
    golden("signed-deletion.v1.hex", &samples::deletions().into_iter().map(sign).collect::<Vec<_>>());
}

#[test]
fn evidence_and_removals_open_only_as_they_were_signed() {
    let evidence = samples::evidence().remove(0);
    assert!(matches!(evidence.clone().sign(&samples::key(1)), Err(Error::AnothersEvidence { .. })));
    let charged = Evidence::open(&evidence.clone().sign(&samples::key(2)).unwrap().to_bytes()).unwrap();
    assert_eq!((charged.auditor, charged.suspect.holder), (samples::peer(2), samples::peer(1)));
    assert_eq!((charged.suspect.object, charged.suspect.index), (samples::OBJECT, 4));
    let forged = Signed::sign(evidence.clone(), &samples::key(1)).to_bytes();
    assert!(matches!(Evidence::open(&forged), Err(Error::ForgedEvidence { .. })));
    let mut receipts = samples::receipts();
    let about_a_log = receipts.remove(0).sign(&samples::key(1)).unwrap().to_bytes();
    let wrong = Evidence { receipt: about_a_log, ..evidence.clone() }.sign(&samples::key(2)).unwrap();
    assert!(matches!(Evidence::open(&wrong.to_bytes()), Err(Error::Foreign { .. })));
    let handed_off = Receipt { promise: Promise::Forwards, ..receipts.remove(0) };
    let receipt = handed_off.sign(&samples::key(1)).unwrap().to_bytes();
    let wrong = Evidence { receipt, ..evidence.clone() }.sign(&samples::key(2)).unwrap();
    assert!(matches!(Evidence::open(&wrong.to_bytes()), Err(Error::Foreign { .. })), "it never promised");
    let wrong = Evidence { receipt: vec![1, 2], ..evidence }.sign(&samples::key(2)).unwrap();
    assert!(matches!(Evidence::open(&wrong.to_bytes()), Err(Error::Unreadable(_))));

    let removal = samples::removals().remove(0);
    assert!(matches!(removal.clone().sign(&samples::key(2)), Err(Error::AnothersRemoval { .. })));
    let forged = Signed::sign(removal.clone(), &samples::key(2)).to_bytes();
    assert!(matches!(Removal::open(&forged), Err(Error::ForgedRemoval { .. })));
    assert_eq!(Removal::open(&Signed::sign(removal.clone(), &samples::key(1)).to_bytes()).unwrap(), removal);
    let deletion = samples::deletions().remove(1);
    assert!(matches!(deletion.clone().sign(&samples::key(2)), Err(Error::AnothersRemoval { .. })));
    let forged = Signed::sign(deletion.clone(), &samples::key(2)).to_bytes();
    assert!(matches!(Deletion::open(&forged), Err(Error::ForgedRemoval { .. })));
    assert_eq!(
        Deletion::open(&Signed::sign(deletion.clone(), &samples::key(1)).to_bytes()).unwrap(),
        deletion
    );
}

#[test]
fn a_receipt_opens_only_as_its_holder_signed_it() {
    let receipt = samples::receipts().remove(0);
    assert!(matches!(receipt.clone().sign(&samples::key(2)), Err(Error::AnothersReceipt { .. })));
    let honest = receipt.clone().sign(&samples::key(1)).unwrap().to_bytes();
    assert_eq!(Receipt::open(&honest).unwrap(), receipt);
    let forged = Signed::sign(receipt, &samples::key(2)).to_bytes();
    assert!(matches!(Receipt::open(&forged), Err(Error::Forged { .. })));
    assert!(matches!(Receipt::open(&honest[1..]), Err(Error::Unreadable(_))));
}

#[test]
fn lists_are_bounded_before_they_are_read() {
    let mut bytes = SpaceFrame::Receipts(vec![Vec::new(); LIST_MAX]).to_bytes();
    assert!(SpaceFrame::from_bytes(&bytes).is_ok());
    bytes = SpaceFrame::Receipts(vec![Vec::new(); LIST_MAX + 1]).to_bytes();
    assert!(matches!(SpaceFrame::from_bytes(&bytes), Err(RecordError::Malformed { .. })));
    let have =
        |count| ObjectRequest::Have { session: samples::SESSION, objects: vec![samples::OBJECT; count] };
    assert!(ObjectRequest::from_bytes(&have(4096).to_bytes()).is_ok());
    let too_many = ObjectRequest::from_bytes(&have(4097).to_bytes());
    assert!(matches!(too_many, Err(RecordError::Malformed { .. })));
    let survey = |count| CareRequest::Survey(vec![samples::OBJECT; count]).to_bytes();
    assert!(CareRequest::from_bytes(&survey(4096)).is_ok());
    assert!(matches!(CareRequest::from_bytes(&survey(4097)), Err(RecordError::Malformed { .. })));
    let challenge = |count| {
        let groups = (0..count).collect();
        CareRequest::Challenge(Challenge { object: samples::OBJECT, index: 0, groups }).to_bytes()
    };
    assert!(CareRequest::from_bytes(&challenge(3)).is_ok());
    assert!(matches!(CareRequest::from_bytes(&challenge(4)), Err(RecordError::Malformed { .. })));
}

#[test]
fn the_digest_of_heads_is_golden_and_tells_them_apart() {
    let digest = heads_digest(&samples::heads());
    assert_eq!(hex(digest.as_bytes()), "9711efd9cc733c0b2b97065fad73c8bcdcae96c47a01eec86b260463d9f5da21");
    assert_ne!(digest, heads_digest(&SpaceHeads::new()));
}

#[test]
fn sentences_are_clipped_and_clean() {
    let refusal = Refusal::new(RefusalCode::Storage, "no space left\n\u{1b}[2J".repeat(100));
    assert!(refusal.sentence.as_str().len() <= SENTENCE_MAX_BYTES);
    assert!(!refusal.sentence.as_str().contains(char::is_control));
    let frame = SpaceFrame::Refused(refusal);
    assert_eq!(SpaceFrame::from_bytes(&frame.to_bytes()).unwrap(), frame);
}

#[test]
fn refusal_numbers_are_stable_and_unknown_ones_pass() {
    for number in 0..100 {
        assert_eq!(RefusalCode::numbered(number).number(), number);
    }
    assert_eq!(RefusalCode::Malformed.number(), 1);
    assert_eq!(RefusalCode::NotInRing.number(), 17);
    assert_eq!(RefusalCode::numbered(99), RefusalCode::Other(99));
}

#[test]
fn the_later_placement_counts_whoever_asks() {
    let first = samples::placements().remove(0);
    let mut second = first.clone();
    second.holders.remove(&0);
    let either = first.clone().newer(second.clone()).unwrap();
    assert_eq!(second.clone().newer(first.clone()).unwrap(), either);
    second.time = first.time.after(std::time::Duration::from_millis(1));
    assert_eq!(first.newer(second.clone()).unwrap(), second);
}

#[test]
fn bulk_is_moved_in_pieces_that_add_up() {
    for bytes in [1, 65_535, 65_536, 65_537, 4_194_304] {
        let length = BulkLength::new(bytes).unwrap();
        assert_eq!(length.pieces().sum::<usize>(), bytes);
        assert!(length.pieces().all(|piece| piece > 0 && piece <= 65_536));
    }
    assert!(BulkLength::new(0).is_err() && BulkLength::new(4_194_305).is_err());
}

proptest! {
    #[test]
    fn a_list_that_fits_makes_a_message_within_its_limit(
        sizes in prop::collection::vec(0_usize..400_000, 0..40), max in 0_usize..2_000_000,
    ) {
        let count = fitting(sizes.iter().copied(), max);
        prop_assert!(count >= 1 || sizes.is_empty());
        let entries: Vec<Vec<u8>> = sizes[..count].iter().map(|size| vec![0; *size]).collect();
        let bytes: usize = sizes[..count].iter().sum();
        prop_assert!(count == 1 || bytes <= max.min(LIST_MAX_BYTES));
        let reply = ReplicaReply { id: u64::MAX, answer: ReplicaAnswer::Entries { entries, more: true } };
        prop_assert!(ReplicaReply::from_bytes(&reply.to_bytes()).is_ok());
    }

    #[test]
    fn no_changed_byte_makes_another_receipt(sample in 0_usize..3, at in 0_usize..600, value: u8) {
        let receipt = samples::receipts().remove(sample);
        let mut bytes = receipt.clone().sign(&samples::key(1)).unwrap().to_bytes();
        let length = bytes.len();
        let before = std::mem::replace(&mut bytes[at % length], value);
        prop_assert_eq!(Receipt::open(&bytes).is_ok(), before == value);
    }

    #[test]
    fn indices_are_a_set(numbers in prop::collection::btree_set(0_u8..32, 0..32), beyond in 32_u8..) {
        let mut set: Indices = numbers.iter().rev().copied().collect();
        set.insert(beyond);
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), numbers.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(set.len(), numbers.len());
        prop_assert!(!set.contains(beyond));
    }

    #[test]
    fn hostile_bytes_are_an_error_or_canonical(
        sample in 0_usize..6, at in 0_usize..200, value: u8, cut in 0_usize..200,
    ) {
        fn strike<T: Record>(samples: &[T], (sample, at, value, cut): (usize, usize, u8, usize)) {
            let mut bytes = samples[sample % samples.len()].to_bytes();
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(length - cut % length);
            if let Ok(read) = T::from_bytes(&bytes) {
                assert_eq!(read.to_bytes(), bytes);
            }
        }
        let blow = (sample, at, value, cut);
        strike::<Receipt>(&samples::receipts(), blow);
        strike::<Placement>(&samples::placements(), blow);
        strike::<Tail>(&samples::tails(), blow);
        strike::<Doom>(&samples::dooms(), blow);
        strike::<SpaceFrame>(&samples::space_frames(), blow);
        strike::<ReplicaCall>(&samples::replica_calls(), blow);
        strike::<ReplicaReply>(&samples::replica_replies(), blow);
        strike::<ObjectRequest>(&samples::object_requests(), blow);
        strike::<ObjectAnswer>(&samples::object_answers(), blow);
        strike::<MeetingRequest>(&samples::meeting_requests(), blow);
        strike::<MeetingAnswer>(&samples::meeting_answers(), blow);
        strike::<TurnRequest>(&samples::turn_requests(), blow);
        strike::<TurnAnswer>(&samples::turn_answers(), blow);
        strike::<ShardRequest>(&samples::shard_requests(), blow);
        strike::<ShardAnswer>(&samples::shard_answers(), blow);
        strike::<CareRequest>(&samples::care_requests(), blow);
        strike::<CareAnswer>(&samples::care_answers(), blow);
        strike::<Evidence>(&samples::evidence(), blow);
        strike::<Removal>(&samples::removals(), blow);
        strike::<Deletion>(&samples::deletions(), blow);
    }
}

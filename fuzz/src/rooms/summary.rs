//! Summaries of members and regions, and what is made of them when their authors lie.

use cosmic_common::{id::PeerId, record::Record, time::Timestamp};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::Label;
use cosmic_summary::{
    Collection, Frame, MemberSummary, RegionSummary, Reporter, Share, SummaryAnswer, SummaryRequest, World,
    ZoneTable, merge, record::SUMMARY_MAX_BYTES,
};

use crate::{Room, check, decoder};

/// The room.
pub const ROOM: Room = Room {
    name: "summary",
    decoders: &[
        decoder("member-summary", check::signed::<MemberSummary>),
        decoder("region-summary", check::signed::<RegionSummary>),
        decoder("zone-table", check::signed::<ZoneTable>),
        decoder("summary-request", check::only_record::<SummaryRequest>),
        decoder("summary-answer", check::only_record::<SummaryAnswer>),
        decoder("member-summary", merged),
    ],
};

/// Whatever members say, what is merged of it can be signed, sent, and read.
fn merged(bytes: &[u8]) {
    let Ok(word) = Signed::<MemberSummary>::from_bytes(bytes) else { return };
    let word = word.unverified();
    let zone: Label = "zone".parse().expect("a label");
    let share = Share { weight: 3.0, replicas: 2.5, shards: 0.0 };
    let said = Some(word);
    let reporter = |said, is_there| Reporter { zone: &zone, share, is_there, said };
    let reporters = [reporter(said, true), reporter(None, true), reporter(None, false), reporter(said, true)];
    let key = SecretKey::from_seed(&[1; 32]);
    let frame = Frame {
        network: word.network,
        region: zone.clone(),
        aggregator: PeerId::from_bytes(key.public()),
        time: Timestamp::from_unix_ms(word.time.unix_ms()),
    };
    let (region, zones) = merge(frame, &reporters);
    assert_eq!(region.states.members(), 4);
    let (region, zones) = (Signed::sign(region, &key).to_bytes(), Signed::sign(zones, &key).to_bytes());
    assert!(region.len() <= SUMMARY_MAX_BYTES && zones.len() <= SUMMARY_MAX_BYTES);
    Signed::<RegionSummary>::from_bytes(&region).expect("what was merged decodes");
    Signed::<ZoneTable>::from_bytes(&zones).expect("what was merged decodes");
    assert!(World::of(&Collection::default()).regions.is_empty());
}

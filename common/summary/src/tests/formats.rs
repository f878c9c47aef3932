//! Every format: golden bytes, round trips, limits, hostile bytes.

use std::{fmt::Debug, fs, path::Path, time::Duration};

use cosmic_common::{record::Record, time::Timestamp};
use cosmic_identity::signed::Signed;
use data_encoding::HEXLOWER;
use proptest::{collection::vec, prelude::*};

use super::{NOW, devices, key, label, network, peer, signed, word};
use crate::{
    DeviceSketch, Figures, LatencySketch, MemberState, MemberSummary, RegionSummary, States, SummaryAnswer,
    SummaryRequest, Why, ZoneLine, ZoneTable,
    devices::{REGISTERS, SKETCH_MAX_BYTES},
    message::{GATHERED_MAX, Gathered},
    record::{SUMMARY_MAX_BYTES, ZONES_MAX},
};

fn latency() -> LatencySketch {
    let mut latency = LatencySketch::new();
    for wait in [1, 2, 2, 70, 900] {
        latency.insert(Duration::from_millis(wait));
    }
    latency
}

fn figures() -> Figures {
    Figures {
        devices: 40,
        spaces_milli: 12_333,
        entries_milli: 70_000,
        objects_milli: 166,
        kept_bytes: 5_000_000_000,
        capacity_bytes: 1 << 40,
        free_bytes: 3 << 38,
    }
}

fn words() -> Vec<Signed<MemberSummary>> {
    let full = MemberSummary { latency: latency(), state: MemberState::Leaving, ..word(1, figures(), NOW) };
    vec![signed(word(2, Figures::default(), NOW), 2), signed(full, 1)]
}

fn regions() -> Vec<Signed<RegionSummary>> {
    let states = States { well: 4, troubled: 1, leaving: 0, untold: 300, away: 2 };
    let region = RegionSummary {
        network: network(),
        region: label("eu-north"),
        aggregator: peer(3),
        time: NOW,
        states,
        figures: figures(),
        devices: Some(devices(0, 40)),
        latency: latency(),
    };
    let without = RegionSummary { devices: None, ..region.clone() };
    [region, without].map(|region| Signed::sign(region, &key(3))).into()
}

fn tables() -> Vec<Signed<ZoneTable>> {
    let line = |zone: &str| ZoneLine { zone: label(zone), states: States::default(), figures: figures() };
    let zones = vec![line("hall-1"), line("hall-2")];
    let table = ZoneTable {
        network: network(),
        region: label("eu-north"),
        aggregator: peer(3),
        time: NOW,
        zones,
        left_off: 0,
    };
    vec![Signed::sign(table, &key(3))]
}

fn requests() -> Vec<SummaryRequest> {
    vec![
        SummaryRequest::Tell(vec![1, 2, 3]),
        SummaryRequest::Region(label("eu-north")),
        SummaryRequest::Regions { after: None },
        SummaryRequest::Regions { after: Some(label("eu-north")) },
    ]
}

fn answers() -> Vec<SummaryAnswer> {
    let told = vec![Gathered { region: vec![1], zones: vec![2, 3] }];
    vec![
        SummaryAnswer::Noted,
        SummaryAnswer::Gathered { told, more: true },
        SummaryAnswer::Refused(Why::NotMine),
    ]
}

/// Compares with the golden file, one sample per line, in both directions.
fn golden<T: Record + PartialEq + Debug>(file: &str, samples: &[T]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    let lines: String = samples.iter().map(|sample| HEXLOWER.encode(&sample.to_bytes()) + "\n").collect();
    let golden = fs::read_to_string(&path).unwrap();
    assert!(lines == golden, "the bytes of version 1 never change: {}", path.display());
    for (line, sample) in golden.lines().zip(samples) {
        assert_eq!(&T::from_bytes(&HEXLOWER.decode(line.as_bytes()).unwrap()).unwrap(), sample);
    }
}

#[test]
fn golden_bytes_of_version_1() {
    golden("member-summary.v1.hex", &words());
    golden("region-summary.v1.hex", &regions());
    golden("zone-table.v1.hex", &tables());
    golden("summary-request.v1.hex", &requests());
    golden("summary-answer.v1.hex", &answers());
}

#[test]
fn the_largest_of_each_fit_their_limits() {
    // Registers that take as many bytes as they may, counts and numbers as long as they can be.
    let high = |count: usize| {
        DeviceSketch::of_registers((0..REGISTERS).map(|index| if index < count { 20 } else { 0 }).collect())
    };
    let most = (0..REGISTERS).step_by(4).take_while(|count| high(*count).fits()).last().unwrap();
    let widest = high(most);
    assert!(widest.coded_bytes() > SKETCH_MAX_BYTES - 20);
    let mut latency = Vec::new();
    minicbor::Encoder::new(&mut latency).array(2).unwrap().u64(0).unwrap().array(279).unwrap();
    for _bucket in 0..279 {
        minicbor::Encoder::new(&mut latency).u32(u32::MAX).unwrap();
    }
    let latency: LatencySketch = minicbor::decode(&latency).unwrap();
    let figures = Figures::each(|_measure| u64::MAX);
    let states = States::each(|_state| u32::MAX);
    let member = MemberSummary {
        devices: widest.clone(),
        latency: latency.clone(),
        figures,
        time: Timestamp::from_unix_ms(u64::MAX),
        ..word(1, Figures::default(), NOW)
    };
    let region = RegionSummary {
        devices: Some(widest),
        latency,
        figures,
        states,
        region: label(&"r".repeat(32)),
        ..regions()[0].unverified().clone()
    };
    let line = ZoneLine { zone: label(&"z".repeat(32)), states, figures };
    let table = ZoneTable {
        zones: vec![line; ZONES_MAX],
        left_off: u32::MAX,
        region: label(&"r".repeat(32)),
        ..tables()[0].unverified().clone()
    };
    let lengths = [
        Signed::sign(member, &key(1)).to_bytes().len(),
        Signed::sign(region, &key(1)).to_bytes().len(),
        Signed::sign(table, &key(1)).to_bytes().len(),
    ];
    assert!(lengths.iter().all(|length| *length <= SUMMARY_MAX_BYTES), "{lengths:?}");
    let blob = vec![0; SUMMARY_MAX_BYTES];
    assert!(SummaryRequest::Tell(blob.clone()).to_bytes().len() <= SummaryRequest::LIMIT);
    let told = vec![Gathered { region: blob.clone(), zones: blob }; GATHERED_MAX];
    assert!(SummaryAnswer::Gathered { told, more: true }.to_bytes().len() <= SummaryAnswer::LIMIT);
}

#[test]
fn more_than_the_limits_is_refused() {
    let zones = vec![tables()[0].unverified().zones[0].clone(); ZONES_MAX + 1];
    let table = ZoneTable { zones, ..tables()[0].unverified().clone() };
    assert!(ZoneTable::from_bytes(&table.to_bytes()).is_err());
    let told = vec![Gathered { region: vec![], zones: vec![] }; GATHERED_MAX + 1];
    assert!(SummaryAnswer::from_bytes(&SummaryAnswer::Gathered { told, more: false }.to_bytes()).is_err());
    // A sketch has one encoding: another base, or bits behind the end, is refused.
    let bytes = words()[0].signed_bytes().to_vec();
    let sketch = bytes.windows(3).position(|three| three == [0x59, 0x10, 0x01]).unwrap() + 3;
    assert_eq!(bytes[sketch], 0, "the base of a sketch of nobody");
    let mut other = bytes.clone();
    other[sketch] = 1;
    assert!(MemberSummary::from_bytes(&other).is_err());
    assert!(MemberSummary::from_bytes(&bytes).is_ok());
}

proptest! {
    #[test]
    fn hostile_bytes_are_errors(bytes in vec(any::<u8>(), 0..300), which in 0_usize..11, at: prop::sample::Index, flip in 1_u8..) {
        prop_assert!(Signed::<MemberSummary>::from_bytes(&bytes).is_err());
        prop_assert!(Signed::<RegionSummary>::from_bytes(&bytes).is_err());
        prop_assert!(Signed::<ZoneTable>::from_bytes(&bytes).is_err());
        let request = SummaryRequest::from_bytes(&bytes).map(|read| read.to_bytes().len());
        let answer = SummaryAnswer::from_bytes(&bytes).map(|read| read.to_bytes().len());
        prop_assert!([request, answer].into_iter().flatten().all(|length| length <= bytes.len()));
        let samples: Vec<Vec<u8>> = words().iter().map(Record::to_bytes)
            .chain(regions().iter().map(Record::to_bytes))
            .chain(tables().iter().map(Record::to_bytes))
            .chain(requests().iter().map(Record::to_bytes))
            .chain(answers().iter().map(Record::to_bytes))
            .collect();
        let mut bent = samples[which % samples.len()].clone();
        let at = at.index(bent.len());
        bent[at] ^= flip;
        // What still decodes is signed no more.
        if let Ok(word) = Signed::<MemberSummary>::from_bytes(&bent) {
            prop_assert!(crate::record::open(&word, network()).is_err());
        }
        if let Ok(region) = Signed::<RegionSummary>::from_bytes(&bent) {
            prop_assert!(crate::record::open(&region, network()).is_err());
        }
        if let Ok(table) = Signed::<ZoneTable>::from_bytes(&bent) {
            prop_assert!(crate::record::open(&table, network()).is_err());
        }
    }
}

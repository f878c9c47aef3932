//! Sketches: what they tell, how they merge, and how many bytes they take.

use std::time::Duration;

use cosmic_common::id::PeerId;
use proptest::{collection::vec, prelude::*};

use super::{devices, network};
use crate::{
    DeviceSketch, LatencySketch, Pseudonym,
    devices::{REGISTERS, SKETCH_MAX_BYTES},
    robust::{Band, median, middle},
};

#[test]
fn a_device_counts_once_however_many_saw_it() {
    let mut one = devices(0, 3000);
    one.merge(&devices(1000, 3000));
    assert_eq!(one, devices(0, 4000));
    assert!((one.estimate() / 4000.0 - 1.0).abs() < 0.02, "{one:?}");
}

/// The pseudonym of a number, as even as a hash (the last steps of SplitMix64).
fn drawn(number: u64) -> Pseudonym {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Pseudonym::from_bits(z ^ (z >> 31))
}

#[test]
fn few_devices_are_counted_exactly_and_many_within_the_error_of_the_paper() {
    assert_eq!(DeviceSketch::new().estimate(), 0.0);
    for count in [1, 2, 10, 50] {
        assert_eq!(devices(0, count).estimate().round(), count as f64);
    }
    // 0.81 % of standard error, so 0.81 % in the middle square of several sizes, and never five times as much.
    let errors: Vec<f64> = (1..=60_u64)
        .map(|number| {
            let count = number * number * 100;
            let mut sketch = DeviceSketch::new();
            (0..count).for_each(|device| sketch.insert(drawn((number << 40) + device)));
            sketch.estimate() / count as f64 - 1.0
        })
        .collect();
    let square = errors.iter().map(|error| error * error).sum::<f64>() / errors.len() as f64;
    assert!(square.sqrt() < 0.0105, "{}", square.sqrt());
    assert!(errors.iter().all(|error| error.abs() < 0.0405));
}

#[test]
fn every_honest_sketch_fits_its_limit() {
    let (mut sketch, mut longest) = (DeviceSketch::new(), 0);
    for number in 0..3_000_000_u64 {
        sketch.insert(drawn(number));
        if number % 1009 == 0 {
            longest = longest.max(sketch.coded_bytes());
        }
    }
    assert!((5000..SKETCH_MAX_BYTES - 200).contains(&longest), "{longest}");
    // Registers that no devices made do not, and are not passed on.
    let any: Vec<u8> = (0..REGISTERS).map(|index| u8::try_from(index % 52).unwrap()).collect();
    assert!(!DeviceSketch::of_registers(any).fits());
}

#[test]
fn pseudonyms_of_other_days_and_networks_are_others() {
    let device = PeerId::from_bytes([9; 32]);
    let today = Pseudonym::of(&device, &network(), 20_000);
    assert_eq!(today, Pseudonym::of(&device, &network(), 20_000));
    assert_ne!(today, Pseudonym::of(&device, &network(), 20_001));
    assert_ne!(today, Pseudonym::of(&device, &cosmic_common::id::NetworkId::from_bytes([1; 32]), 20_000));
}

fn waits(millis: impl IntoIterator<Item = u64>) -> LatencySketch {
    let mut sketch = LatencySketch::new();
    for wait in millis {
        sketch.insert(Duration::from_millis(wait));
    }
    sketch
}

#[test]
fn quantiles_are_right_within_two_percent() {
    let sketch = waits(1..=1000);
    for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
        let told = sketch.quantile(part).unwrap().as_secs_f64();
        assert!((told / part - 1.0).abs() <= 0.0201, "{part}: {told}");
    }
    assert_eq!(LatencySketch::new().quantile(0.5), None);
    // Out of range is at its ends.
    assert!(waits([0]).quantile(0.5).unwrap() <= Duration::from_micros(250));
    assert!(waits([1_000_000]).quantile(0.5).unwrap() > Duration::from_secs(15));
}

#[test]
fn the_middle_of_waits_is_what_most_say() {
    let honest = [waits(1..=100), waits(3..=102), waits(2..=101)];
    let liars = [waits(vec![3_600_000; 5000]), waits(vec![3_600_000; 5000])];
    let all: Vec<(&LatencySketch, u64)> = honest.iter().chain(&liars).map(|sketch| (sketch, 1)).collect();
    let middle = LatencySketch::median(&all, 500);
    assert!(middle.quantile(0.5).unwrap() <= Duration::from_millis(55), "{middle:?}");
    assert_eq!(middle.count(), 500);
    assert_eq!(LatencySketch::median(&[(&LatencySketch::new(), 1)], 10), LatencySketch::new());
}

#[test]
fn medians_are_in_the_middle() {
    assert_eq!(median(vec![(3.0, 1), (1.0, 1)]), Some(2.0));
    assert_eq!(median(vec![(3.0, 1), (1.0, 5), (7.0, 1)]), Some(1.0));
    assert_eq!(median(Vec::new()), None);
    assert_eq!([middle([]), middle([4]), middle([4, 8]), middle([9, 1, u64::MAX])], [0, 4, 6, 9]);
}

#[test]
fn who_says_far_more_than_others_counts_as_one_of_them() {
    let honest = (0..20).map(|number| (1000 + number, 1.0));
    let said: Vec<(u64, f64)> = honest.chain([(u64::MAX, 1.0), (0, 1.0)]).collect();
    let band = Band::of(&said, 0);
    let sum: f64 = said.iter().map(|(value, weight)| band.believed(*value, *weight)).sum();
    assert!((sum / (22.0 * 1009.5) - 1.0).abs() < 0.001, "{sum}");
    assert!(band.holds(2 * 1009, 2.0) && !band.holds(1, 1.0));
    // What does no harm is believed as it is, however others differ.
    let few = Band::of(&[(0, 1.0), (0, 1.0), (7, 1.0)], 8);
    assert_eq!(few.believed(7, 1.0), 7.0);
}

proptest! {
    #[test]
    fn sketches_merge_in_any_order(sets in vec(vec(any::<u64>(), 0..200), 3)) {
        let sketches: Vec<DeviceSketch> = sets.iter().map(|set| {
            let mut sketch = DeviceSketch::new();
            set.iter().for_each(|bits| sketch.insert(Pseudonym::from_bits(*bits)));
            sketch
        }).collect();
        let merged = |order: [usize; 4]| order.iter().fold(DeviceSketch::new(), |mut all, number| {
            all.merge(&sketches[*number]);
            all
        });
        prop_assert_eq!(merged([0, 1, 2, 0]), merged([2, 0, 1, 1]));
        // Of three the middle is between the others.
        let middle = DeviceSketch::median(&sketches.iter().collect::<Vec<_>>()).unwrap();
        let mut with = merged([0, 1, 2, 2]);
        with.merge(&middle);
        prop_assert_eq!(with, merged([0, 1, 2, 2]));
    }
}

//! What liars say.

use std::time::Duration;

use super::chance::Chance;
use crate::{DeviceSketch, Figures, LatencySketch, Measure, MemberSummary, Pseudonym, devices::REGISTERS};

/// How thirty in a hundred lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lie {
    /// As much as can be written, of everything.
    Absurd,
    /// So many times the truth: nothing, twice as much, or a little less or more, which may pass for it.
    Times(f64),
    /// Not a word.
    Silent,
    /// Each something else.
    Anything,
    /// The right numbers, of devices that are not there.
    Invented,
    /// The right numbers, of devices of others.
    Borrowed,
}

/// What there is to lie about.
pub(super) struct Truth<'a> {
    pub(super) word: MemberSummary,
    pub(super) devices: &'a [Pseudonym],
    pub(super) of_all: &'a [Pseudonym],
}

impl Lie {
    pub(super) const ABOUT_NUMBERS: [Self; 14] = [
        Self::Absurd,
        Self::Silent,
        Self::Anything,
        Self::Times(0.0),
        Self::Times(0.5),
        Self::Times(0.8),
        Self::Times(0.92),
        Self::Times(0.97),
        Self::Times(1.03),
        Self::Times(1.08),
        Self::Times(1.14),
        Self::Times(1.2),
        Self::Times(1.3),
        Self::Times(2.0),
    ];
    pub(super) const ABOUT_DEVICES: [Self; 2] = [Self::Invented, Self::Borrowed];

    /// What a liar says instead of the truth.
    pub(super) fn tell(self, truth: Truth<'_>, chance: &mut Chance) -> Option<MemberSummary> {
        let word = match self {
            Self::Absurd => absurd(truth.word),
            Self::Times(factor) => times(&truth, factor, chance),
            Self::Silent => return None,
            Self::Anything => {
                let which = chance.below(Self::ABOUT_NUMBERS.len());
                let lie = Self::ABOUT_NUMBERS.into_iter().nth(which).filter(|lie| *lie != self);
                return lie.and_then(|lie| lie.tell(truth, chance));
            }
            Self::Invented => {
                let invented = (0..truth.devices.len()).map(|_device| Pseudonym::from_bits(chance.number()));
                MemberSummary { devices: sketch(invented), ..truth.word }
            }
            Self::Borrowed => {
                let borrowed =
                    (0..truth.devices.len()).map(|_device| truth.of_all[chance.below(truth.of_all.len())]);
                MemberSummary { devices: sketch(borrowed), ..truth.word }
            }
        };
        Some(word)
    }
}

pub(super) fn sketch(of: impl Iterator<Item = Pseudonym>) -> DeviceSketch {
    let mut devices = DeviceSketch::new();
    for device in of {
        devices.insert(device);
    }
    devices
}

fn absurd(truth: MemberSummary) -> MemberSummary {
    let mut latency = LatencySketch::new();
    for _request in 0..10_000 {
        latency.insert(Duration::from_secs(3600));
    }
    let devices = DeviceSketch::of_registers(vec![51; REGISTERS]);
    MemberSummary { figures: Figures::each(|_measure| u64::MAX), devices, latency, ..truth }
}

/// So many times everything: of the devices some are left off, or some are invented.
fn times(truth: &Truth<'_>, factor: f64, chance: &mut Chance) -> MemberSummary {
    let of = |measure: Measure| crate::robust::whole(truth.word.figures.get(measure) as f64 * factor);
    let figures = Figures::each(of);
    let count = usize::try_from(figures.devices).unwrap();
    let invented = std::iter::repeat_with(|| Pseudonym::from_bits(chance.number()));
    let devices = sketch(truth.devices.iter().copied().chain(invented).take(count));
    let mut latency = LatencySketch::new();
    for _request in 0..400 {
        latency.insert(truth.word.latency.quantile(0.5).unwrap_or_default().mul_f64(factor));
    }
    MemberSummary { figures, devices, latency, ..truth.word.clone() }
}

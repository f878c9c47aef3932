//! How many devices there are, each counted once however many supernodes see it: a HyperLogLog.
//!
//! Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", 2007; the
//! estimator is that of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, which needs no tables of
//! corrections. 2^14 registers: a standard error of 0.81 %, so that 98 of 100 counts are within 2 %.

use cosmic_common::{
    hash,
    id::{NetworkId, PeerId},
    time::Timestamp,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::code;

/// Bits of a pseudonym that choose its register.
const INDEX_BITS: u32 = 14;
/// Registers of a sketch.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// The largest value of a register: 50 bits are left, and all may be 0.
pub const RANK_MAX: u8 = 51;
/// The longest coded sketch. An honest one of any number of devices takes 4,097 to 6,200 bytes.
pub const SKETCH_MAX_BYTES: usize = 6400;
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The number of the day, from 1970 on.
#[must_use]
pub const fn day(time: Timestamp) -> u64 {
    time.unix_ms() / DAY_MS
}

/// What stands for a device in sketches of one network and one day: nobody can tell from it, or from those of another day, which
/// device it is, unless he knows the device's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pseudonym(u64);

impl Pseudonym {
    /// The pseudonym of `device` in `network` on `day`.
    #[must_use]
    pub fn of(device: &PeerId, network: &NetworkId, day: u64) -> Self {
        let key = hash::derive("cosmic summary day 1", &[network.as_bytes(), &day.to_be_bytes()]);
        let [a, b, c, d, e, f, g, h, ..] = hash::keyed(&key, &[device.as_bytes()]);
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The pseudonym of these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// A set of devices of which only the size can be told. Sketches of one network and day merge.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceSketch(Vec<u8>);

impl DeviceSketch {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![0; REGISTERS])
    }

    /// Adds a device; nothing changes if it is in there.
    pub fn insert(&mut self, Pseudonym(bits): Pseudonym) {
        let rest = (bits << INDEX_BITS) | (1 << (INDEX_BITS - 1));
        let index = usize::try_from(bits >> (u64::BITS - INDEX_BITS)).unwrap_or_default();
        let rank = u8::try_from(rest.leading_zeros() + 1).unwrap_or(RANK_MAX);
        if let Some(register) = self.0.get_mut(index) {
            *register = rank.max(*register);
        }
    }

    /// Adds all devices of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (register, theirs) in self.0.iter_mut().zip(&other.0) {
            *register = (*register).max(*theirs);
        }
    }

    /// The middle of several, register by register; of an even number the lower. None of none.
    #[must_use]
    pub fn median(of: &[&Self]) -> Option<Self> {
        let middle = of.len().checked_sub(1)? / 2;
        let mut values = Vec::with_capacity(of.len());
        let register = |index: usize| {
            values.clear();
            values.extend(of.iter().filter_map(|sketch| sketch.0.get(index)));
            values.sort_unstable();
            values.get(middle).copied().unwrap_or_default()
        };
        Some(Self((0..REGISTERS).map(register).collect()))
    }

    /// About how many devices there are.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let counts = code::counts(&self.0).map(f64::from);
        let registers = f64::from(1_u32 << INDEX_BITS);
        let [none, ranks @ .., full] = counts;
        let high = registers * tau(1.0 - full / registers);
        let sum = ranks.iter().rev().fold(high, |sum, count| (sum + count) / 2.0);
        let sum = sum + registers * sigma(none / registers);
        registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
    }

    /// Bytes of it in a record.
    #[must_use]
    pub fn coded_bytes(&self) -> usize {
        code::length(&self.0)
    }

    /// Whether it may stand in a record: all that honest supernodes make may.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.coded_bytes() <= SKETCH_MAX_BYTES
    }

    /// A sketch with exactly these registers, for tests of liars.
    #[cfg(test)]
    pub(crate) fn of_registers(registers: Vec<u8>) -> Self {
        assert_eq!(registers.len(), REGISTERS);
        Self(registers)
    }
}

/// What registers that are full stand for (Ertl, equation 16).
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        // The steps at least halve: 60 of them reach the last bit.
        if z >= before {
            return z / 3.0;
        }
    }
}

/// What registers that are empty stand for (Ertl, equation 15); infinite if all are.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        // x is squared each time and y doubled: 20 steps for the 16,383rd of 16,384.
        if z <= before {
            return z;
        }
    }
}

impl Default for DeviceSketch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for DeviceSketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceSketch(about {:.0})", self.estimate())
    }
}

impl<C> Encode<C> for DeviceSketch {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&code::write(&self.0))?.ok()
    }
}

impl<'b, C> Decode<'b, C> for DeviceSketch {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let bytes = d.bytes()?;
        let registers = if bytes.len() <= SKETCH_MAX_BYTES { code::read(bytes) } else { None };
        registers.map(Self).ok_or_else(|| decode::Error::message("not a sketch of devices").at(position))
    }
}

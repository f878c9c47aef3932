//! The bytes of a sketch: its registers one after the other, each with as many bits as it is unlikely.
//!
//! ```text
//! base: u8 ‖ bits, the highest first, zeros to the end of the last byte
//! ladder of a base b     b  b+1  b+2  b-1  b+3  b+4  b-2  b+5  b+6  b-3 …    those of 0 … 51
//! place on it            0  1    2    3    4    5    6    7 …
//! code                   00 01   100  101  110  1110 11110 111110 …
//! ```
//! The base is the one with the fewest bits, of several the lowest. Registers of any number of devices spread alike around their
//! middle, so one code fits all: 2.9 bits for each, where their entropy is 2.8.

use crate::devices::{RANK_MAX, REGISTERS};

/// Values a register may have.
const VALUES: usize = RANK_MAX as usize + 1;
/// Places with codes of two bits, and those with codes of two or three.
const SHORT: (u32, u32) = (2, 5);

/// How many registers have each value.
pub(crate) fn counts(registers: &[u8]) -> [u32; VALUES] {
    let mut counts = [0; VALUES];
    for register in registers {
        if let Some(count) = counts.get_mut(usize::from(*register)) {
            *count += 1;
        }
    }
    counts
}

/// The values in the order of their places on the ladder of `base`.
fn ladder(base: u8) -> impl Iterator<Item = u8> {
    let steps = (0..=RANK_MAX).flat_map(move |step| {
        [base.checked_sub(step), base.checked_add(2 * step + 1), base.checked_add(2 * step + 2)]
    });
    steps.flatten().filter(|value| *value <= RANK_MAX)
}

/// The code of a place: bits, and how many.
const fn code(place: u32) -> (u64, u32) {
    if place < SHORT.0 {
        (place as u64, 2)
    } else if place < SHORT.1 {
        (0b100 + (place - SHORT.0) as u64, 3)
    } else {
        let ones = place - SHORT.1 + 3;
        (((1 << ones) - 1) << 1, ones + 1)
    }
}

/// The code of each value on the ladder of `base`.
fn codes(base: u8) -> [(u64, u32); VALUES] {
    let mut codes = [(0, 0); VALUES];
    for (place, value) in (0..).zip(ladder(base)) {
        if let Some(entry) = codes.get_mut(usize::from(value)) {
            *entry = code(place);
        }
    }
    codes
}

/// The best base, its codes, and how many bits all registers take.
fn best(registers: &[u8]) -> (u8, [(u64, u32); VALUES], usize) {
    let counts = counts(registers);
    let bits = |codes: &[(u64, u32); VALUES]| -> usize {
        counts.iter().zip(codes).map(|(count, (_code, bits))| *count as usize * *bits as usize).sum()
    };
    let first = codes(0);
    let start = (0, first, bits(&first));
    (1..=RANK_MAX).fold(start, |best, base| {
        let codes = codes(base);
        let needed = bits(&codes);
        if needed < best.2 { (base, codes, needed) } else { best }
    })
}

/// Bytes these registers take.
pub(crate) fn length(registers: &[u8]) -> usize {
    1 + best(registers).2.div_ceil(8)
}

/// The bytes of `registers`.
pub(crate) fn write(registers: &[u8]) -> Vec<u8> {
    let (base, codes, bits) = best(registers);
    let mut bytes = Vec::with_capacity(1 + bits.div_ceil(8));
    bytes.push(base);
    let (mut held, mut held_bits) = (0_u128, 0_u32);
    for register in registers {
        let (code, bits) = codes.get(usize::from(*register)).copied().unwrap_or_default();
        held = (held << bits) | u128::from(code);
        held_bits += bits;
        while held_bits >= 8 {
            held_bits -= 8;
            bytes.push(low_byte(held >> held_bits));
        }
        held &= (1 << held_bits) - 1;
    }
    if held_bits > 0 {
        bytes.push(low_byte(held << (8 - held_bits)));
    }
    bytes
}

const fn low_byte(held: u128) -> u8 {
    held.to_le_bytes()[0]
}

/// The registers in `bytes`; whether they are the canonical ones is seen by writing them again.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<u8>> {
    let (base, rest) = bytes.split_first()?;
    if *base > RANK_MAX {
        return None;
    }
    let values: Vec<u8> = ladder(*base).collect();
    let mut bits = rest.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    let mut next = || bits.next();
    (0..REGISTERS)
        .map(|_register| {
            let place = match (next()?, next()?) {
                (false, low) => usize::from(low),
                (true, false) => 2 + usize::from(next()?),
                (true, true) if !next()? => 4,
                (true, true) => {
                    let mut place = SHORT.1 as usize;
                    while next()? {
                        place += 1;
                    }
                    place
                }
            };
            values.get(place).copied()
        })
        .collect()
}

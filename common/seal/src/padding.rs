//! Padmé: lengths are rounded up so that a length tells O(log log n) bits (Nikitin et al., "Reducing
//! Metadata Leakage from Encrypted Files and Communication with PURBs", 2019).

/// The length that `length` bytes are padded to: at most 12 % more, less the longer they are.
///
/// The result keeps as many leading significant bits as the exponent of `length` has bits.
#[must_use]
pub const fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept)) - 1;
    length.saturating_add(mask) & !mask
}

//! The rota: who audits whom, so that each holder is asked about once in ten minutes by one of all the others.

use std::time::Duration;

use cosmic_common::{hash, id::PeerId, time::Timestamp};

/// How often each holder is asked unless the operator says something else.
pub const AUDIT_EVERY: Duration = Duration::from_mins(10);

/// The number of the time slot, if each holder is asked once in `every`.
#[must_use]
pub fn slot(now: Timestamp, every: Duration) -> u64 {
    now.unix_ms() / u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Whether `me` audits `holder` in this slot, among `auditors` who could: one of them on the average, another each time,
/// without anybody telling him. Nobody can know far ahead whom he will not be asked by, and nobody audits himself.
#[must_use]
pub fn is_mine(me: &PeerId, holder: &PeerId, auditors: usize, slot: u64) -> bool {
    if me == holder || auditors == 0 {
        return false;
    }
    let [a, b, c, d, e, f, g, h, ..] =
        hash::derive("cosmic audit rota 1", &[&slot.to_be_bytes(), holder.as_bytes(), me.as_bytes()]);
    let drawn = u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    let auditors = u128::try_from(auditors).unwrap_or(u128::MAX);
    drawn.saturating_mul(auditors) >> 64 == 0
}

//! The cost ledger: what peers make this process do, in one unit, a microsecond of one core of the reference machine.

/// Something a peer causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// A stream: negotiation, and a task that serves it.
    Stream,
    /// Bytes received.
    Bytes(usize),
    /// Ed25519 signatures to verify.
    Signatures(usize),
    /// Reads that go to the disk.
    DiskReads(usize),
}

/// Two round trips of multistream-select and a task take some 50 µs of a core here, and the queue as much again.
const STREAM: u64 = 100;
/// Bytes for a microsecond: an end of a TCP stream takes 0.8 CPU s/GB (`docs/protocol/net.md`), a frame is copied once more.
const BYTES_PER_UNIT: u64 = 1000;
/// `docs/performance.md`: a strict verification takes 28 µs.
const SIGNATURE: u64 = 28;
/// A random read of a solid disk; what follows is slower, but another has the core meanwhile.
const DISK_READ: u64 = 100;

impl Cost {
    /// In microseconds of a core; nothing is free.
    pub(crate) fn units(self) -> u64 {
        let times = |count: usize, each: u64| u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(each);
        match self {
            Self::Stream => STREAM,
            Self::Bytes(count) => times(count, 1).div_ceil(BYTES_PER_UNIT),
            Self::Signatures(count) => times(count, SIGNATURE),
            Self::DiskReads(count) => times(count, DISK_READ),
        }
    }
}

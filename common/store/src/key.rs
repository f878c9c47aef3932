//! Keys of fixed size whose bytes sort as they do, and spans of keys.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use cosmic_common::{
    id::{
        ChannelId, EntryId, EpochId, Hash, Incarnation, LogId, NetworkId, ObjectId, OperatorId, PeerId,
        SpaceId, WriterId,
    },
    time::Timestamp,
};

/// A key of a table: always [`SIZE`](Self::SIZE) bytes, numbers big-endian, so that the order of the bytes
/// is the order of the keys.
pub trait Key: Sized {
    /// Bytes of every key.
    const SIZE: usize;
    /// Appends the bytes of the key.
    fn write(&self, bytes: &mut Vec<u8>);
    /// The key made of exactly [`SIZE`](Self::SIZE) bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A key that begins keys of `K`.
pub trait PrefixOf<K: Key>: Key {}

pub(crate) fn bytes_of(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    key.write(&mut bytes);
    bytes
}

impl Key for () {
    const SIZE: usize = 0;
    fn write(&self, _bytes: &mut Vec<u8>) {}
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl<const N: usize> Key for [u8; N] {
    const SIZE: usize = N;
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

macro_rules! number_key {
    ($($number:ty),*) => {$(
        impl Key for $number {
            const SIZE: usize = size_of::<Self>();
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_be_bytes)
            }
        }
    )*};
}
number_key!(u8, u16, u32, u64);

macro_rules! id_key {
    ($($id:ty),*) => {$(
        impl Key for $id {
            const SIZE: usize = Self::SIZE;
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(self.as_bytes());
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self::from_bytes)
            }
        }
    )*};
}
id_key!(
    ChannelId,
    EntryId,
    EpochId,
    Hash,
    Incarnation,
    LogId,
    NetworkId,
    ObjectId,
    OperatorId,
    PeerId,
    SpaceId,
    WriterId
);

impl Key for Timestamp {
    const SIZE: usize = u64::SIZE;
    fn write(&self, bytes: &mut Vec<u8>) {
        self.unix_ms().write(bytes);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self::from_unix_ms)
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    const SIZE: usize = A::SIZE + B::SIZE;
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(A::SIZE)?;
        Some((A::read(first)?, B::read(rest)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    const SIZE: usize = A::SIZE + <(B, C)>::SIZE;
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
        self.2.write(bytes);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, (second, third)) = <(A, (B, C))>::read(bytes)?;
        Some((first, second, third))
    }
}

impl<A: Key, B: Key, C: Key, D: Key> Key for (A, B, C, D) {
    const SIZE: usize = A::SIZE + <(B, C, D)>::SIZE;
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
        self.2.write(bytes);
        self.3.write(bytes);
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, (second, third, fourth)) = <(A, (B, C, D))>::read(bytes)?;
        Some((first, second, third, fourth))
    }
}

impl<A: Key, B: Key> PrefixOf<(A, B)> for A {}
impl<A: Key, B: Key, C: Key> PrefixOf<(A, B, C)> for A {}
impl<A: Key, B: Key, C: Key> PrefixOf<(A, B, C)> for (A, B) {}
impl<A: Key, B: Key, C: Key, D: Key> PrefixOf<(A, B, C, D)> for A {}
impl<A: Key, B: Key, C: Key, D: Key> PrefixOf<(A, B, C, D)> for (A, B) {}
impl<A: Key, B: Key, C: Key, D: Key> PrefixOf<(A, B, C, D)> for (A, B, C) {}

/// Keys from one to another, in their order.
pub struct Span<K> {
    /// The first key that may be in it.
    pub(crate) lower: Vec<u8>,
    /// The first key behind it.
    pub(crate) upper: Vec<u8>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Span<K> {
    fn clone(&self) -> Self {
        Self { lower: self.lower.clone(), upper: self.upper.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Span<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("lower", &self.lower).field("upper", &self.upper).finish()
    }
}

impl<K: Key> Span<K> {
    /// All keys.
    #[must_use]
    pub fn all() -> Self {
        Self { lower: Vec::new(), upper: behind_all::<K>(), kind: PhantomData }
    }

    /// The keys that begin with `prefix`.
    #[must_use]
    pub fn prefix<P: PrefixOf<K>>(prefix: &P) -> Self {
        let lower = bytes_of(prefix);
        let upper = next_of_size(&lower).unwrap_or_else(behind_all::<K>);
        Self { lower, upper, kind: PhantomData }
    }

    /// The keys in `range`.
    #[must_use]
    pub fn range(range: impl RangeBounds<K>) -> Self {
        let lower = match range.start_bound() {
            Bound::Included(key) => bytes_of(key),
            Bound::Excluded(key) => just_after(key),
            Bound::Unbounded => Vec::new(),
        };
        let upper = match range.end_bound() {
            Bound::Included(key) => just_after(key),
            Bound::Excluded(key) => bytes_of(key),
            Bound::Unbounded => behind_all::<K>(),
        };
        Self { lower, upper, kind: PhantomData }
    }

    /// The part of the span from `key` on.
    #[must_use]
    pub fn from(mut self, key: &K) -> Self {
        self.lower = self.lower.max(bytes_of(key));
        self
    }

    /// The part of the span behind `key`, to go on with a scan that was cut off.
    #[must_use]
    pub fn after(mut self, key: &K) -> Self {
        self.lower = self.lower.max(just_after(key));
        self
    }

    /// The part of the span before `key`.
    #[must_use]
    pub fn before(mut self, key: &K) -> Self {
        self.upper = self.upper.min(bytes_of(key));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lower >= self.upper
    }

    /// Whether all keys of the span share their first `size` bytes.
    pub(crate) fn shares(&self, size: usize) -> bool {
        let Some(prefix) = self.lower.get(..size) else { return false };
        let end = next_of_size(prefix).unwrap_or_else(behind_all::<K>);
        self.upper <= end
    }
}

/// The first bytes behind `key` that can be a key or a prefix of one; keys have one size.
fn just_after(key: &impl Key) -> Vec<u8> {
    let mut bytes = bytes_of(key);
    bytes.push(0);
    bytes
}

/// The next bytes of the same size, if `bytes` are not the last.
fn next_of_size(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = bytes.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

fn behind_all<K: Key>() -> Vec<u8> {
    vec![u8::MAX; K::SIZE + 1]
}

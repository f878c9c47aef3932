//! Manifests: what an object's shards must be. A manifest lies beside every shard and never changes.
//!
//! An object may lie in two codings at once, while it is coded anew in another class. Each has a name of its own, under
//! which its shards are kept, signed for and asked for. The first is called like the object.

use std::ops::RangeInclusive;

use cosmic_common::{
    hash,
    id::{Hash, ObjectId},
    limit::{OBJECT_MAX_BYTES, SHARDS_MAX},
    record::Record,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{codec::Codec, error::Error};

/// The object, how it was coded, and the hash of every shard. Follows from the object and the codec alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Manifest {
    object: ObjectId,
    length: usize,
    codec: Codec,
    shards: Vec<Hash>,
    anew: bool,
}

/// The names of all codings of `object`, whose own id is one of them: they differ in the last two bytes alone, so that they
/// are neighbours in every table and belong to one partition of the ring. 240 bits are left to tell objects apart.
#[must_use]
pub fn codings(object: &ObjectId) -> RangeInclusive<ObjectId> {
    let with = |last| {
        let mut bytes = *object.as_bytes();
        let [.., one, other] = &mut bytes;
        (*one, *other) = (last, last);
        ObjectId::from_bytes(bytes)
    };
    with(u8::MIN)..=with(u8::MAX)
}

/// The name of `object` coded anew with `codec`: never the object's own, because k is not 0.
#[must_use]
pub fn coded_anew(object: &ObjectId, codec: Codec) -> ObjectId {
    let mut bytes = *object.as_bytes();
    let [.., one, other] = &mut bytes;
    *one ^= codec.k;
    *other ^= codec.n;
    ObjectId::from_bytes(bytes)
}

impl Manifest {
    /// The manifest of an object of `length` bytes with one hash for each shard of `codec`.
    pub(crate) fn new(
        object: ObjectId,
        length: usize,
        codec: Codec,
        shards: Vec<Hash>,
    ) -> Result<Self, Error> {
        debug_assert_eq!(shards.len(), codec.n());
        if !(1..=OBJECT_MAX_BYTES).contains(&length) {
            return Err(Error::ObjectLength { bytes: length });
        }
        Ok(Self { object, length, codec, shards, anew: false })
    }

    /// The plain hash of the object's bytes.
    #[must_use]
    pub const fn object(&self) -> ObjectId {
        self.object
    }

    /// The same for an object that was coded already, in another class: its shards have a name of their own.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { anew: true, ..self }
    }

    /// Whether the object was coded before.
    #[must_use]
    pub const fn is_anew(&self) -> bool {
        self.anew
    }

    /// The name of this coding, by which its shards are kept: the object's id, unless it was coded anew.
    #[must_use]
    pub fn coding(&self) -> ObjectId {
        if self.anew { coded_anew(&self.object, self.codec) } else { self.object }
    }

    /// The length of the object.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// How it was coded.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The length of each shard.
    #[must_use]
    pub const fn shard_bytes(&self) -> usize {
        self.codec.shard_bytes(self.length)
    }

    /// The plain hash of every shard, in their order.
    #[must_use]
    pub fn shards(&self) -> &[Hash] {
        &self.shards
    }

    /// The plain hash of shard `index`, if there is one.
    #[must_use]
    pub fn shard(&self, index: u8) -> Option<Hash> {
        self.shards.get(usize::from(index)).copied()
    }

    /// The name of this manifest: the derived hash of its bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        Hash::from_bytes(hash::derive("cosmic manifest 1", &[&self.to_bytes()]))
    }

    /// Checks that `bytes` are shard `index`.
    ///
    /// # Errors
    /// [`Error::WrongShard`] if they are not, [`Error::NoSuchShard`] if there is none of this index.
    pub fn check_shard(&self, index: u8, bytes: &[u8]) -> Result<(), Error> {
        let expected =
            self.shard(index).ok_or_else(|| Error::NoSuchShard { index: index.into(), codec: self.codec })?;
        if bytes.len() == self.shard_bytes() && hash::plain(bytes) == expected {
            Ok(())
        } else {
            Err(Error::WrongShard { index, bytes: bytes.len() })
        }
    }
}

impl Record for Manifest {
    const NAME: &'static str = "manifest";
    // 32 hashes, the object and three numbers.
    const LIMIT: usize = 32 * SHARDS_MAX + 64;
}

/// The fields on the wire; n is the number of hashes, which stand in one byte string.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Fields<'a> {
    #[n(1)]
    object: ObjectId,
    #[n(2)]
    length: u32,
    #[n(3)]
    codec: u8,
    #[n(4)]
    k: u8,
    #[b(5)]
    #[cbor(with = "minicbor::bytes")]
    shards: &'a [u8],
    #[n(6)]
    anew: Option<bool>,
}

impl<C> Encode<C> for Manifest {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        let shards: Vec<u8> = self.shards.iter().flat_map(Hash::as_bytes).copied().collect();
        #[expect(clippy::cast_possible_truncation, reason = "new() bounds length and k")]
        let (length, k) = (self.length as u32, self.codec.k() as u8);
        let anew = self.anew.then_some(true);
        e.encode(Fields { object: self.object, length, codec: Codec::ID, k, shards: &shards, anew })?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Manifest {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let wrong = |error: Error| decode::Error::message(error.to_string()).at(position);
        let Fields { object, length, codec, k, shards, anew } = d.decode()?;
        if codec != Codec::ID {
            return Err(wrong(Error::UnknownCodec { id: codec }));
        }
        let (hashes, rest) = shards.as_chunks::<{ Hash::SIZE }>();
        if !rest.is_empty() {
            return Err(decode::Error::message("a shard's hash has 32 bytes").at(position));
        }
        let n = u8::try_from(hashes.len()).unwrap_or(u8::MAX);
        let hashes = hashes.iter().copied().map(Hash::from_bytes).collect();
        let codec = Codec::new(k, n).map_err(wrong)?;
        if anew == Some(false) {
            return Err(decode::Error::message("a first coding does not say that it is one").at(position));
        }
        let manifest = Self::new(object, length as usize, codec, hashes).map_err(wrong)?;
        Ok(Self { anew: anew.is_some(), ..manifest })
    }
}

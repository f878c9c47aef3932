//! Manifests: what an object's shards must be. A manifest lies beside every shard and never changes.

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
        Ok(Self { object, length, codec, shards })
    }

    /// The plain hash of the object's bytes.
    #[must_use]
    pub const fn object(&self) -> ObjectId {
        self.object
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
        e.encode(Fields { object: self.object, length, codec: Codec::ID, k, shards: &shards })?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Manifest {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        let wrong = |error: Error| decode::Error::message(error.to_string()).at(position);
        let Fields { object, length, codec, k, shards } = d.decode()?;
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
        Self::new(object, length as usize, codec, hashes).map_err(wrong)
    }
}

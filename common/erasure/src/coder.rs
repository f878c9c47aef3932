//! The coder: objects into shards and back, every byte hashed on the way.

use cosmic_common::{
    hash,
    id::{Hash, ObjectId},
    limit::OBJECT_MAX_BYTES,
};

use crate::{
    codec::Codec,
    error::Error,
    manifest::Manifest,
    matrix::{Matrix, Row, combine},
};

/// How much of each shard is worked on at once: the blocks of 20 shards fit into a level 2 cache of
/// 1 MiB, and BLAKE3 hashes 16 chunks of 1 KiB at a time.
const BLOCK_BYTES: usize = 32 * 1024;

/// Codes and rebuilds objects under one codec. Made once, used from many threads.
#[derive(Debug)]
pub struct Coder {
    codec: Codec,
    matrix: Matrix,
    /// For each parity shard its row over the data shards.
    parity: Vec<Row>,
}

/// An object in shards: the first k are cut from its own bytes, the others are parity.
#[derive(Debug, Clone)]
pub struct Encoded {
    manifest: Manifest,
    /// The object, padded with zeros to k shards.
    data: Vec<u8>,
    parity: Vec<Vec<u8>>,
}

/// An object that was rebuilt from shards and has the right hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The data shards; past `length` there is padding.
    parts: Vec<Vec<u8>>,
    length: usize,
    wrong: Vec<u8>,
}

impl Coder {
    /// A coder for `codec`. Takes some microseconds.
    ///
    /// # Errors
    /// [`Error::Backend`] if the codec library refuses the codec.
    pub fn new(codec: Codec) -> Result<Self, Error> {
        let matrix = Matrix::new(codec)?;
        let (data, parity): (Vec<usize>, Vec<usize>) = (0..codec.n()).partition(|index| *index < codec.k());
        let parity = matrix.rows(&data, &parity)?;
        Ok(Self { codec, matrix, parity })
    }

    /// The codec it was made for.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Codes `object`, which is not copied if its capacity is [`Codec::padded_bytes`].
    ///
    /// # Errors
    /// [`Error::ObjectLength`] if it is empty or too long.
    pub fn encode(&self, object: Vec<u8>) -> Result<Encoded, Error> {
        check_length(object.len())?;
        let id = id_of(&object);
        self.encode_known(id, object)
    }

    /// Codes `object`, whose id the caller has just checked while its bytes came in.
    ///
    /// With another id the manifest would be of no use: no reader could rebuild anything from it.
    ///
    /// # Errors
    /// [`Error::ObjectLength`] if it is empty or too long.
    pub fn encode_known(&self, id: ObjectId, object: Vec<u8>) -> Result<Encoded, Error> {
        check_length(object.len())?;
        let (length, mut data) = (object.len(), object);
        let shard_bytes = self.codec.shard_bytes(length);
        data.resize(self.codec.padded_bytes(length), 0);
        if self.codec.is_copies() {
            let manifest = self.copies(id, length)?;
            return Ok(Encoded { manifest, data, parity: Vec::new() });
        }
        let mut parity: Vec<Vec<u8>> = self.parity.iter().map(|_| Vec::with_capacity(shard_bytes)).collect();
        let shards: Vec<&[u8]> = data.chunks_exact(shard_bytes).collect();
        let hashes = self.code(&shards, |index, block| {
            if let Some(shard) = parity.get_mut(index) {
                shard.extend_from_slice(block);
            }
        });
        let manifest = self.manifest_of(id, length, hashes)?;
        Ok(Encoded { manifest, data, parity })
    }

    /// The manifest that coding `object` would give, without keeping a shard.
    ///
    /// # Errors
    /// [`Error::ObjectLength`] if it is empty or too long.
    pub fn manifest(&self, object: &[u8]) -> Result<Manifest, Error> {
        check_length(object.len())?;
        let id = id_of(object);
        if self.codec.is_copies() {
            return self.copies(id, object.len());
        }
        let shard_bytes = self.codec.shard_bytes(object.len());
        let whole = object.chunks_exact(shard_bytes);
        let mut tail = whole.remainder().to_vec();
        tail.resize((self.codec.k() - object.len() / shard_bytes) * shard_bytes, 0);
        let shards: Vec<&[u8]> = whole.chain(tail.chunks_exact(shard_bytes)).collect();
        let hashes = self.code(&shards, |_index, _block| {});
        self.manifest_of(id, object.len(), hashes)
    }

    /// Rebuilds an object from any k of its shards; `shards` has a place for each index.
    ///
    /// Wrong shards are taken out of `shards` and named, in the result or in the error; the right ones stay
    /// after an error, so that the caller may add more and try again. On success the data shards are moved into the result.
    ///
    /// # Errors
    /// [`Error::TooFewShards`] if fewer than k are right, [`Error::ForgedManifest`] if k right ones are another object.
    pub fn rebuild(&self, manifest: &Manifest, shards: &mut [Option<Vec<u8>>]) -> Result<Rebuilt, Error> {
        self.check_codec(manifest)?;
        let mut wrong = drop_wrong(shards, |index, shard| {
            usize::from(index) < self.codec.n() && shard.len() == manifest.shard_bytes()
        });
        let from = self.choose(shards, &wrong)?;
        // The hash of the object proves every shard that was used, parity and all; so the shards' own hashes
        // are looked at only for those not used, or when something is wrong. Half of the hashing is saved.
        let recovered = self.recover(manifest, shards, &from)?;
        if self.is_object(manifest, shards, &recovered) {
            wrong.extend(drop_wrong(shards, |index, shard| {
                from.contains(&usize::from(index)) || manifest.check_shard(index, shard).is_ok()
            }));
            return Ok(self.assemble(manifest, shards, recovered, wrong));
        }
        wrong.extend(drop_wrong(shards, |index, shard| manifest.check_shard(index, shard).is_ok()));
        let from = self.choose(shards, &wrong)?;
        let recovered = self.recover(manifest, shards, &from)?;
        if !self.is_object(manifest, shards, &recovered) {
            return Err(Error::ForgedManifest);
        }
        Ok(self.assemble(manifest, shards, recovered, wrong))
    }

    /// Makes shard `index` again from any k others; wrong ones among them are treated as by [`Coder::rebuild`].
    ///
    /// # Errors
    /// As [`Coder::rebuild`]; [`Error::NoSuchShard`] for an index past the last.
    pub fn rebuild_shard(
        &self,
        manifest: &Manifest,
        shards: &mut [Option<Vec<u8>>],
        index: u8,
    ) -> Result<Vec<u8>, Error> {
        self.check_codec(manifest)?;
        let wanted = usize::from(index);
        if wanted >= self.codec.n() {
            return Err(Error::NoSuchShard { index: wanted, codec: self.codec });
        }
        let wrong = drop_wrong(shards, |index, shard| manifest.check_shard(index, shard).is_ok());
        if let Some(shard) = shards.get(wanted).and_then(Option::clone) {
            return Ok(shard);
        }
        let from = self.choose(shards, &wrong)?;
        let shard = self.derive(shards, &from, &[wanted])?.pop().ok_or(Error::ForgedManifest)?;
        manifest.check_shard(index, &shard).map_err(|_wrong| Error::ForgedManifest)?;
        Ok(shard)
    }

    /// Hashes all shards, making parity block by block on the way; `keep` gets each block of each parity shard.
    fn code(&self, data: &[&[u8]], mut keep: impl FnMut(usize, &[u8])) -> Vec<Hash> {
        let mut hashers = vec![blake3::Hasher::new(); self.codec.n()];
        let (of_data, of_parity) = hashers.split_at_mut(self.codec.k());
        for_each_block(data, |blocks, output| {
            for (hasher, block) in of_data.iter_mut().zip(blocks) {
                hasher.update(block);
            }
            for (index, (hasher, row)) in of_parity.iter_mut().zip(&self.parity).enumerate() {
                combine(row, blocks, output);
                hasher.update(output);
                keep(index, output);
            }
        });
        hashers.iter().map(|hasher| Hash::from_bytes(*hasher.finalize().as_bytes())).collect()
    }

    /// The shards `wanted` from exactly the k shards `from`.
    fn derive(
        &self,
        shards: &[Option<Vec<u8>>],
        from: &[usize],
        wanted: &[usize],
    ) -> Result<Vec<Vec<u8>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.matrix.rows(from, wanted)?;
        let inputs: Vec<&[u8]> = from.iter().filter_map(|index| shards.get(*index)?.as_deref()).collect();
        let shard_bytes = inputs.first().map_or(0, |shard| shard.len());
        let mut made: Vec<Vec<u8>> = rows.iter().map(|_| Vec::with_capacity(shard_bytes)).collect();
        for_each_block(&inputs, |blocks, output| {
            for (shard, row) in made.iter_mut().zip(&rows) {
                combine(row, blocks, output);
                shard.extend_from_slice(output);
            }
        });
        Ok(made)
    }

    /// The data shards that are not among `shards`, in order.
    fn recover(
        &self,
        manifest: &Manifest,
        shards: &[Option<Vec<u8>>],
        from: &[usize],
    ) -> Result<Vec<Vec<u8>>, Error> {
        debug_assert_eq!(manifest.codec(), self.codec);
        let missing: Vec<usize> = (0..self.codec.k()).filter(|index| !from.contains(index)).collect();
        self.derive(shards, from, &missing)
    }

    /// Whether data shards and recovered ones are the object, and zeros after it.
    fn is_object(&self, manifest: &Manifest, shards: &[Option<Vec<u8>>], recovered: &[Vec<u8>]) -> bool {
        let mut recovered = recovered.iter();
        let mut hasher = blake3::Hasher::new();
        let mut left = manifest.length();
        for place in shards.iter().take(self.codec.k()) {
            let Some(shard) = place.as_ref().or_else(|| recovered.next()) else { return false };
            let (object, padding) = shard.split_at(left.min(shard.len()));
            hasher.update(object);
            left -= object.len();
            if padding.iter().any(|byte| *byte != 0) {
                return false;
            }
        }
        left == 0 && hasher.finalize().as_bytes() == manifest.object().as_bytes()
    }

    fn assemble(
        &self,
        manifest: &Manifest,
        shards: &mut [Option<Vec<u8>>],
        recovered: Vec<Vec<u8>>,
        mut wrong: Vec<u8>,
    ) -> Rebuilt {
        let mut recovered = recovered.into_iter();
        let places = shards.iter_mut().take(self.codec.k());
        let parts = places.filter_map(|place| place.take().or_else(|| recovered.next())).collect();
        wrong.sort_unstable();
        Rebuilt { parts, length: manifest.length(), wrong }
    }

    /// The k shards to work from: the first ones, so that as little as possible is computed.
    fn choose(&self, shards: &[Option<Vec<u8>>], wrong: &[u8]) -> Result<Vec<usize>, Error> {
        let places = shards.iter().take(self.codec.n()).enumerate();
        let present: Vec<usize> = places.filter_map(|(index, shard)| shard.as_ref().map(|_| index)).collect();
        match present.get(..self.codec.k()) {
            Some(from) => Ok(from.to_vec()),
            None => Err(Error::TooFewShards {
                right: present.len(),
                needed: self.codec.k(),
                wrong: wrong.to_vec(),
            }),
        }
    }

    fn check_codec(&self, manifest: &Manifest) -> Result<(), Error> {
        if manifest.codec() == self.codec {
            Ok(())
        } else {
            Err(Error::OtherCodec { manifest: manifest.codec(), coder: self.codec })
        }
    }

    fn copies(&self, id: ObjectId, length: usize) -> Result<Manifest, Error> {
        self.manifest_of(id, length, vec![Hash::from_bytes(*id.as_bytes()); self.codec.n()])
    }

    fn manifest_of(&self, id: ObjectId, length: usize, hashes: Vec<Hash>) -> Result<Manifest, Error> {
        Manifest::new(id, length, self.codec, hashes)
    }
}

impl Encoded {
    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Shard `index`, if there is one.
    #[must_use]
    pub fn shard(&self, index: u8) -> Option<&[u8]> {
        let codec = self.manifest.codec();
        let index = usize::from(index);
        if codec.is_copies() {
            return (index < codec.n()).then_some(&*self.data);
        }
        match index.checked_sub(codec.k()) {
            Some(parity) => self.parity.get(parity).map(Vec::as_slice),
            None => self.data.chunks_exact(self.manifest.shard_bytes()).nth(index),
        }
    }

    /// All n shards in their order.
    pub fn shards(&self) -> impl Iterator<Item = &[u8]> {
        (0..=u8::MAX).map_while(|index| self.shard(index))
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &[u8] {
        self.data.get(..self.manifest.length()).unwrap_or(&self.data)
    }
}

impl Rebuilt {
    /// The object in pieces, in order: what to send without copying it together first.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.length;
        self.parts.iter().filter_map(move |part| {
            let object = part.get(..left.min(part.len()))?;
            left -= object.len();
            (!object.is_empty()).then_some(object)
        })
    }

    /// The object in one piece.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        let mut parts = self.parts.into_iter();
        let mut object = parts.next().unwrap_or_default();
        object.reserve_exact(self.length.saturating_sub(object.len()));
        parts.for_each(|part| object.extend_from_slice(&part));
        object.truncate(self.length);
        object
    }

    /// The shards that were given and are wrong, ascending: whoever holds them needs repair.
    #[must_use]
    pub fn wrong(&self) -> &[u8] {
        &self.wrong
    }
}

fn check_length(bytes: usize) -> Result<(), Error> {
    if (1..=OBJECT_MAX_BYTES).contains(&bytes) { Ok(()) } else { Err(Error::ObjectLength { bytes }) }
}

fn id_of(object: &[u8]) -> ObjectId {
    ObjectId::from_bytes(*hash::plain(object).as_bytes())
}

/// Takes the shards that are not `right` out of their places, and names them.
fn drop_wrong(shards: &mut [Option<Vec<u8>>], right: impl Fn(u8, &[u8]) -> bool) -> Vec<u8> {
    let places = (0..=u8::MAX).zip(shards);
    places.filter_map(|(index, place)| place.take_if(|shard| !right(index, shard)).map(|_| index)).collect()
}

/// Calls `work` with the blocks of all `shards` at one place after the other, and room for one block more.
fn for_each_block(shards: &[&[u8]], mut work: impl FnMut(&[&[u8]], &mut [u8])) {
    let mut streams: Vec<_> = shards.iter().map(|shard| shard.chunks(BLOCK_BYTES)).collect();
    let mut output = vec![0; shards.first().map_or(0, |shard| shard.len().min(BLOCK_BYTES))];
    loop {
        let blocks: Vec<&[u8]> = streams.iter_mut().filter_map(Iterator::next).collect();
        let Some(output) = blocks.first().and_then(|block| output.get_mut(..block.len())) else { return };
        work(&blocks, output);
    }
}

//! The coder: objects into shards, every byte hashed on the way.

use cosmic_common::{
    hash,
    id::{Hash, ObjectId},
    limit::OBJECT_MAX_BYTES,
};

use crate::{
    codec::Codec,
    error::Error,
    manifest::Manifest,
    matrix::{Matrix, Row, combine, for_each_block},
};

/// Codes and rebuilds objects under one codec. Made once, used from many threads.
#[derive(Debug)]
pub struct Coder {
    pub(crate) codec: Codec,
    pub(crate) matrix: Matrix,
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

impl Coder {
    /// A coder for `codec`. Takes 0.2 ms, a tenth of coding one object of full size: keep it.
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

fn check_length(bytes: usize) -> Result<(), Error> {
    if (1..=OBJECT_MAX_BYTES).contains(&bytes) { Ok(()) } else { Err(Error::ObjectLength { bytes }) }
}

fn id_of(object: &[u8]) -> ObjectId {
    ObjectId::from_bytes(*hash::plain(object).as_bytes())
}

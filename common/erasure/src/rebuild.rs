//! Back from shards to the object: any k suffice, and whichever is wrong is found and named.

use crate::{
    coder::Coder,
    error::Error,
    manifest::Manifest,
    matrix::{combine, for_each_block},
};

/// An object that was rebuilt from shards and has the right hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The data shards; past `length` there is padding.
    parts: Vec<Vec<u8>>,
    length: usize,
    wrong: Vec<u8>,
}

impl Coder {
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

/// Takes the shards that are not `right` out of their places, and names them.
fn drop_wrong(shards: &mut [Option<Vec<u8>>], right: impl Fn(u8, &[u8]) -> bool) -> Vec<u8> {
    let places = (0..=u8::MAX).zip(shards);
    places.filter_map(|(index, place)| place.take_if(|shard| !right(index, shard)).map(|_| index)).collect()
}

//! Rows of coefficients: how one shard follows from k others, asked of the codec library once per set of shards.
//!
//! The library multiplies matrices and inverts them; this room only moves the bytes, so that each byte is
//! read once, while it is still in the processor's cache from hashing, and no output is filled with zeros first.

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice, mul_slice_xor};

use crate::{codec::Codec, error::Error};

/// For each of k inputs its factor in one output.
pub(crate) type Row = Vec<u8>;

/// The codec's matrix; copies need none.
#[derive(Debug)]
pub(crate) struct Matrix(Option<ReedSolomon>);

impl Matrix {
    pub(crate) fn new(codec: Codec) -> Result<Self, Error> {
        if codec.is_copies() {
            return Ok(Self(None));
        }
        Ok(Self(Some(ReedSolomon::new(codec.k(), codec.n() - codec.k())?)))
    }

    /// How each shard of `wanted` follows from the k shards `from`; both ascend and share nothing.
    ///
    /// Input `i` is given as the i-th unit vector, so what comes out for a shard is its row.
    pub(crate) fn rows(&self, from: &[usize], wanted: &[usize]) -> Result<Vec<Row>, Error> {
        let Some(matrix) = &self.0 else {
            return Ok(vec![vec![1]; wanted.len()]);
        };
        let k = matrix.data_shard_count();
        let unit = |position: usize| (0..k).map(|at| u8::from(at == position)).collect::<Row>();
        let mut shards: Vec<Option<Row>> = (0..matrix.total_shard_count())
            .map(|shard| from.iter().position(|index| *index == shard).map(unit))
            .collect();
        matrix.reconstruct(&mut shards)?;
        Ok(wanted.iter().filter_map(|index| shards.get_mut(*index).and_then(Option::take)).collect())
    }
}

/// Writes to `output` the sum of `inputs`, each times its factor in `row`. All have one length.
pub(crate) fn combine(row: &[u8], inputs: &[&[u8]], output: &mut [u8]) {
    for (position, (factor, input)) in row.iter().zip(inputs).enumerate() {
        if position == 0 {
            mul_slice(*factor, input, output);
        } else {
            mul_slice_xor(*factor, input, output);
        }
    }
}

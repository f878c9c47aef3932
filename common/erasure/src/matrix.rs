//! Rows of coefficients: how one shard follows from k others, asked of the codec library once per set of shards.
//!
//! The library multiplies matrices and inverts them; this room only moves the bytes, so that each byte is
//! read once, while it is still in the processor's cache from hashing, and no output is filled with zeros first.

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice, mul_slice_xor};

use crate::{codec::Codec, error::Error};

/// How much of each shard is worked on at once: BLAKE3 is quickest on pieces of 64 KiB and more, and the
/// blocks of ten data shards still fit into a level 2 cache of 1 MiB.
const BLOCK_BYTES: usize = 64 * 1024;
/// A cache line: the codec writes with 64-byte vectors, a tenth quicker if they do not straddle two lines.
const LINE_BYTES: usize = 64;

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

/// Calls `work` with the blocks of all `shards` at one place after the other, and with room for one block of output.
pub(crate) fn for_each_block(shards: &[&[u8]], mut work: impl FnMut(&[&[u8]], &mut [u8])) {
    let mut streams: Vec<_> = shards.iter().map(|shard| shard.chunks(BLOCK_BYTES)).collect();
    let longest = shards.first().map_or(0, |shard| shard.len().min(BLOCK_BYTES));
    let mut room = vec![0; longest + LINE_BYTES];
    let start = room.as_ptr().align_offset(LINE_BYTES).min(LINE_BYTES);
    loop {
        let blocks: Vec<&[u8]> = streams.iter_mut().filter_map(Iterator::next).collect();
        let length = blocks.first().map_or(0, |block| block.len());
        let Some(output) = room.get_mut(start..start + length).filter(|_| length > 0) else { return };
        work(&blocks, output);
    }
}

//! Lists with a bound on their number, checked before anything of them is read.

use minicbor::{Decoder, decode::Error as DecodeError};

fn count<const MAX: u64>(d: &mut Decoder<'_>) -> Result<u64, DecodeError> {
    let position = d.position();
    d.array()?
        .filter(|count| *count <= MAX)
        .ok_or_else(|| DecodeError::message("a list longer than allowed").at(position))
}

/// Reads at most `MAX` values (ids have a size of their own, byte strings use [`blobs`]).
pub(crate) fn values<'b, C, T: minicbor::Decode<'b, C>, const MAX: u64>(
    d: &mut Decoder<'b>,
    context: &mut C,
) -> Result<Vec<T>, DecodeError> {
    (0..count::<MAX>(d)?).map(|_| d.decode_with(context)).collect()
}

/// At most [`LIST_MAX`](super::LIST_MAX) byte strings.
pub(crate) mod blobs {
    use minicbor::{
        Decoder, Encoder,
        decode::Error as DecodeError,
        encode::{Error as EncodeError, Write},
    };

    use crate::message::LIST_MAX;

    pub(crate) fn encode<C, W: Write>(
        blobs: &[Vec<u8>],
        e: &mut Encoder<W>,
        _context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(blobs.len() as u64)?;
        for blob in blobs {
            e.bytes(blob)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _context: &mut C) -> Result<Vec<Vec<u8>>, DecodeError> {
        let count = super::count::<{ LIST_MAX as u64 }>(d)?;
        (0..count).map(|_| d.bytes().map(<[u8]>::to_vec)).collect()
    }
}

//! Lists of byte strings with a bound on their number, checked while they are read.

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
        let position = d.position();
        let count = d
            .array()?
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= LIST_MAX)
            .ok_or_else(|| DecodeError::message("a list longer than allowed").at(position))?;
        (0..count).map(|_| d.bytes().map(<[u8]>::to_vec)).collect()
    }
}

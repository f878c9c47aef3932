//! A list of byte strings with a bound on their number, checked while it is read.

use minicbor::{
    Decoder, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

use crate::members::MEMBERS_MAX;

pub(crate) fn encode<C, W: Write>(
    list: &[Vec<u8>],
    e: &mut Encoder<W>,
    _context: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    e.array(list.len() as u64)?;
    for bytes in list {
        e.bytes(bytes)?;
    }
    Ok(())
}

pub(crate) fn decode<C>(d: &mut Decoder<'_>, _context: &mut C) -> Result<Vec<Vec<u8>>, DecodeError> {
    let position = d.position();
    let count = d
        .array()?
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count <= MEMBERS_MAX)
        .ok_or_else(|| DecodeError::message("a list longer than allowed").at(position))?;
    (0..count).map(|_| d.bytes().map(<[u8]>::to_vec)).collect()
}

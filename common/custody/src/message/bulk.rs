//! Bulk bytes: what follows a message on the same stream, outside any frame.
//!
//! A message that announces a [`BulkLength`] is followed by exactly that many raw bytes, without prefix or padding,
//! before the next framed message in that direction. They are moved in pieces of `BULK_FRAME_BYTES`, so that a stream
//! never holds more than one; the receiver checks the hash over all of them before it does anything with them. Whoever
//! wants to stop in the middle resets the stream.

use cosmic_common::limit::{BULK_FRAME_BYTES, OBJECT_MAX_BYTES};
use minicbor::{Decode, Decoder, Encode, decode};

use crate::error::Error;

/// How many bulk bytes follow: at least one, at most `OBJECT_MAX_BYTES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
#[cbor(transparent)]
pub struct BulkLength(#[n(0)] u32);

impl BulkLength {
    /// The length of `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::BulkLength`] if that is none or more than an object may have.
    pub fn new(bytes: usize) -> Result<Self, Error> {
        u32::try_from(bytes)
            .ok()
            .filter(|_| (1..=OBJECT_MAX_BYTES).contains(&bytes))
            .map(Self)
            .ok_or(Error::BulkLength { bytes })
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The sizes of the pieces in which the bytes are moved.
    pub fn pieces(self) -> impl Iterator<Item = usize> {
        (0..self.bytes()).step_by(BULK_FRAME_BYTES).map(move |at| (self.bytes() - at).min(BULK_FRAME_BYTES))
    }
}

impl<'b, C> Decode<'b, C> for BulkLength {
    fn decode(d: &mut Decoder<'b>, _context: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        Self::new(d.u32()? as usize)
            .map_err(|_error| decode::Error::message("a bulk length out of bounds").at(position))
    }
}

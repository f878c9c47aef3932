//! Reading canonical CBOR in one pass, without encoding it again to compare.

use cosmic_common::record::RecordError;
use minicbor::{Decoder, decode};

/// A decoder that refuses every head that is not the shortest, and every indefinite length.
pub(crate) struct Strict<'b> {
    decoder: Decoder<'b>,
    name: &'static str,
}

impl<'b> Strict<'b> {
    /// Reads `bytes`; errors speak of `name`.
    pub(crate) fn new(name: &'static str, bytes: &'b [u8]) -> Self {
        Self { decoder: Decoder::new(bytes), name }
    }

    /// The key that must come now.
    pub(crate) fn key(&mut self, key: u8) -> Result<(), RecordError> {
        if self.unsigned()? == u64::from(key) { Ok(()) } else { Err(self.not_canonical()) }
    }

    pub(crate) fn map(&mut self) -> Result<u64, RecordError> {
        let start = self.decoder.position();
        let pairs = self.decoder.map().map_err(|source| self.malformed(source))?;
        let pairs = pairs.ok_or_else(|| self.not_canonical())?;
        self.spent(start, head_width(pairs), pairs)
    }

    pub(crate) fn array(&mut self) -> Result<u64, RecordError> {
        let start = self.decoder.position();
        let items = self.decoder.array().map_err(|source| self.malformed(source))?;
        let items = items.ok_or_else(|| self.not_canonical())?;
        self.spent(start, head_width(items), items)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, RecordError> {
        let start = self.decoder.position();
        let value = self.decoder.u64().map_err(|source| self.malformed(source))?;
        self.spent(start, head_width(value), value)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], RecordError> {
        let start = self.decoder.position();
        let bytes = self.decoder.bytes().map_err(|source| self.malformed(source))?;
        self.spent(start, head_width(bytes.len() as u64) + bytes.len(), bytes)
    }

    /// A byte string of a fixed size: an id or a signature.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let bytes = self.bytes()?;
        <[u8; N]>::try_from(bytes).map_err(|_error| self.broken("a byte string of another size"))
    }

    /// Passes over the value of a field that a later version added for those who know it.
    pub(crate) fn skip(&mut self) -> Result<(), RecordError> {
        self.decoder.skip().map_err(|source| self.malformed(source))
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), RecordError> {
        if self.position() == self.decoder.input().len() { Ok(()) } else { Err(self.not_canonical()) }
    }

    pub(crate) fn not_canonical(&self) -> RecordError {
        RecordError::NotCanonical { name: self.name }
    }

    /// Well-formed CBOR that breaks `rule`.
    pub(crate) fn broken(&self, rule: impl std::fmt::Display) -> RecordError {
        self.malformed(decode::Error::message(rule).at(self.position()))
    }

    const fn malformed(&self, source: decode::Error) -> RecordError {
        RecordError::Malformed { name: self.name, source }
    }

    fn spent<T>(&self, start: usize, expected: usize, value: T) -> Result<T, RecordError> {
        if self.position() - start == expected { Ok(value) } else { Err(self.not_canonical()) }
    }
}

/// How many bytes the shortest head with this argument has (RFC 8949, section 3).
const fn head_width(argument: u64) -> usize {
    match argument {
        0..=0x17 => 1,
        0x18..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

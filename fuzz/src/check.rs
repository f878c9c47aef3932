//! Promises that many decoders make, and pieces to make inputs from.

use std::{fmt::Display, str::FromStr};

use cosmic_common::record::Record;
use cosmic_identity::signed::{Signed, SignedRecord};

/// A record has one encoding: what decodes encodes to the same bytes, less fields that an older reader skips.
pub fn record<T: Record>(bytes: &[u8]) -> Option<T> {
    let value = T::from_bytes(bytes).ok()?;
    let canonical = value.to_bytes();
    assert!(canonical.len() <= bytes.len(), "{}: {} bytes became {}", T::NAME, bytes.len(), canonical.len());
    assert!(canonical.len() < bytes.len() || canonical == bytes, "{} has two encodings", T::NAME);
    let again = T::from_bytes(&canonical).expect("what was encoded decodes");
    assert!(again.to_bytes() == canonical, "{} does not settle", T::NAME);
    Some(value)
}

/// As [`record`], for decoders that do nothing else.
pub fn only_record<T: Record>(bytes: &[u8]) {
    record::<T>(bytes);
}

/// A record with its signature, the record in it, and the record alone.
pub fn signed<T: SignedRecord>(bytes: &[u8]) {
    record::<T>(bytes);
    if let Some(signed) = record::<Signed<T>>(bytes) {
        let inside = record::<T>(signed.signed_bytes()).expect("what was signed is the record");
        assert!(inside.to_bytes() == signed.unverified().to_bytes(), "{} is not what was signed", T::NAME);
    }
}

/// A text that parses says itself again in its usual form, which parses to the same.
pub fn text<T: FromStr + Display>(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(value) = text.parse::<T>() else { return };
    let usual = value.to_string();
    let Ok(again) = usual.parse::<T>() else { panic!("{usual} does not parse again") };
    assert_eq!(again.to_string(), usual);
}

/// An input read as a script: numbers and pieces, zeros and nothing after its end.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// Whether nothing is left.
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes as a number.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// A place in a log: mostly small, sometimes at the end of all numbers.
    pub fn place(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..=239 => u64::from(byte),
            byte => u64::MAX - u64::from(u8::MAX - byte),
        }
    }

    /// The next `count` bytes, or as many as there are.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece with its length before it.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(length)
    }
}

/// Pieces as [`Script::piece`] reads them.
pub fn pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut script = Vec::new();
    for piece in pieces {
        let length = u16::try_from(piece.len()).expect("samples are short");
        script.extend_from_slice(&length.to_be_bytes());
        script.extend_from_slice(piece);
    }
    script
}

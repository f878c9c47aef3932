//! What the fuzz targets feed: for each room, every decoder of bytes that a peer, a disk or a user hands to it.

pub mod check;
pub mod rooms;
pub mod seeds;

/// One decoder, or one machine fed with what decoders made.
pub struct Decoder {
    /// What its golden files begin with; they are where fuzzing starts. Empty if there are none.
    pub golden: &'static str,
    /// Further inputs to start from.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Decodes, and panics if a promise is broken.
    pub feed: fn(&[u8]),
}

/// The decoders of one room, which share a target.
pub struct Room {
    /// The folder in `common`, and the name of the target.
    pub name: &'static str,
    /// The first byte of an input chooses one.
    pub decoders: &'static [Decoder],
}

impl Room {
    /// Feeds one input: the number of the decoder, and the bytes for it.
    pub fn feed(&self, input: &[u8]) {
        let Some((number, bytes)) = input.split_first() else { return };
        if let Some(decoder) = self.decoders.get(usize::from(*number)) {
            (decoder.feed)(bytes);
        }
    }
}

/// A decoder of the golden files that begin with `golden`.
const fn decoder(golden: &'static str, feed: fn(&[u8])) -> Decoder {
    Decoder { golden, samples: Vec::new, feed }
}

/// A decoder without golden files, or a machine, with inputs to start from.
const fn sampled(samples: fn() -> Vec<Vec<u8>>, feed: fn(&[u8])) -> Decoder {
    Decoder { golden: "", samples, feed }
}

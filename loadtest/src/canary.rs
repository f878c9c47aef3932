//! Canaries: incompressible bytes planted in plaintext and searched where only ciphertext may lie.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use memchr::memmem::Finder;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;

/// Bytes of a canary as text, each worth 5 random bits: no compressor makes it shorter than half.
const LENGTH: usize = 64;
/// Every piece of this length is searched for, so that a canary cut by a block or row is still found.
const PIECE: usize = 16;
/// How much of a file is searched at once.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// Planted texts and the search for them.
#[derive(Debug)]
pub struct Canaries {
    texts: Vec<String>,
}

impl Canaries {
    /// `count` canaries that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let alphabet = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let mut text = || {
            (0..LENGTH)
                .map(|_| {
                    alphabet.get(random.random_range(0..alphabet.len())).copied().map_or('A', char::from)
                })
                .collect()
        };
        Self { texts: (0..count).map(|_| text()).collect() }
    }

    /// The texts to plant.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// How many canaries have at least one piece in the files below `place` (a file or a folder).
    ///
    /// # Errors
    /// [`io::Error`] if a file cannot be read; files that vanish meanwhile are passed over.
    pub fn found_in(&self, place: &Path) -> io::Result<usize> {
        let finders: Vec<(usize, Finder<'_>)> = self
            .texts
            .iter()
            .enumerate()
            .flat_map(|(number, text)| {
                text.as_bytes().chunks(PIECE).map(move |piece| (number, Finder::new(piece)))
            })
            .collect();
        let mut found = vec![false; self.texts.len()];
        visit(place, &mut |window| {
            for (number, finder) in &finders {
                if let Some(seen) = found.get_mut(*number) {
                    *seen = *seen || finder.find(window).is_some();
                }
            }
        })?;
        Ok(found.into_iter().filter(|seen| *seen).count())
    }
}

fn visit(place: &Path, look: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let vanished_is_fine = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
    };
    let metadata = match fs::symlink_metadata(place) {
        Ok(metadata) => metadata,
        Err(error) => return vanished_is_fine(error),
    };
    if metadata.is_dir() {
        for entry in fs::read_dir(place)? {
            visit(&entry?.path(), look)?;
        }
        return Ok(());
    }
    if !metadata.is_file() {
        return Ok(());
    }
    match File::open(place) {
        Ok(file) => windows(file, look),
        Err(error) => vanished_is_fine(error),
    }
}

/// Shows `file` in windows that overlap by a piece.
fn windows(mut file: File, look: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut window = Vec::with_capacity(WINDOW_BYTES + PIECE);
    loop {
        let read = file.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        if read == 0 {
            return Ok(());
        }
        look(&window);
        let keep_from = window.len().saturating_sub(PIECE);
        window.drain(..keep_from);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Canaries, WINDOW_BYTES};

    #[test]
    fn a_planted_canary_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let canaries = Canaries::new(7, 3);
        fs::create_dir(folder.path().join("deeper")).unwrap();
        let mut bytes = vec![0; WINDOW_BYTES - 20];
        bytes.extend_from_slice(canaries.texts()[1].as_bytes());
        fs::write(folder.path().join("deeper/file"), bytes).unwrap();
        assert_eq!(canaries.found_in(folder.path()).unwrap(), 1);
        fs::write(folder.path().join("half"), &canaries.texts()[0][16..40]).unwrap();
        assert_eq!(canaries.found_in(folder.path()).unwrap(), 2);
        assert_eq!(canaries.found_in(&folder.path().join("missing")).unwrap(), 0);
    }
}

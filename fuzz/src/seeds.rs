//! Where fuzzing starts: the golden files of a room, and the samples of its decoders.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use crate::Room;

/// Names the folder into which a target writes its seeds before it begins.
const FOLDER: &str = "FUZZ_SEEDS";

/// Writes the seeds of `room`, if somebody asked for them.
pub fn write(room: &Room) {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    if let Err(error) = write_into(room, &folder) {
        panic!("seeds cannot be written into {}: {error}", folder.display());
    }
}

fn write_into(room: &Room, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../common").join(room.name).join("golden");
    for (number, decoder) in (0_u8..).zip(room.decoders) {
        let mut inputs = (decoder.samples)();
        if !decoder.golden.is_empty() {
            let goldens = beginning_with(&golden, decoder.golden)?;
            assert!(!goldens.is_empty(), "no golden file of {} begins with {}", room.name, decoder.golden);
            inputs.extend(goldens);
        }
        for (index, input) in inputs.iter().enumerate() {
            let name = format!("seed-{number}-{index}");
            fs::write(folder.join(name), [&[number], input.as_slice()].concat())?;
        }
    }
    Ok(())
}

fn beginning_with(folder: &Path, start: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(start) {
            inputs.extend(contents(&file.path())?);
        }
    }
    Ok(inputs)
}

/// A text as it is; hex as one value and line by line, since files hold either one long value or many short ones.
fn contents(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(path)?;
    if path.extension().is_none_or(|extension| extension != "hex") {
        return Ok(vec![text.into_bytes()]);
    }
    let whole: String = text.split_whitespace().collect();
    let values = text.split_whitespace().chain([whole.as_str()]);
    Ok(values.filter_map(|hex| HEXLOWER.decode(hex.as_bytes()).ok()).collect())
}

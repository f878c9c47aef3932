//! `erasure`: 4 MiB objects into hashed shards and back from the worst k, one thread, without processes or disk.

use std::hint::black_box;

use cosmic_common::hash;
use cosmic_erasure::{Codec, Coder, Encoded, Error as CodecError};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;

use super::{Error, GB, Report};
use crate::process::cpu_seconds;

const OBJECT_BYTES: usize = 4 * 1024 * 1024;
/// Objects made ready at once, so that a batch is long beside a tick of the CPU clock (10 ms).
const BATCH: usize = 32;
/// Batches per figure: 1 GiB.
const BATCHES: usize = 8;

pub(super) fn run() -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("object_bytes", OBJECT_BYTES);
    report.parameter("objects", BATCH * BATCHES);
    // Two bytes are hashed for each byte coded: half of this is the most that this machine could do.
    let hash = |object: Vec<u8>| {
        black_box(hash::plain(&object));
        Ok(())
    };
    report.figure("hash_gb_per_s", rate(|| vec![1; OBJECT_BYTES], hash)?);
    for (name, k, n) in [("3_of_6", 3, 6), ("10_of_20", 10, 20)] {
        let coder = Coder::new(Codec::new(k, n)?)?;
        let coded = coder.encode(object(&coder))?;
        // As a gateway does, which has checked the object's own hash while its bytes came in.
        let known = coded.manifest().object();
        let encode = |object| coder.encode_known(known, object).map(|encoded| drop(black_box(encoded)));
        report.figure(&format!("encode_{name}_gb_per_s"), rate(|| object(&coder), encode)?);
        let with_id = |object| coder.encode(object).map(|encoded| drop(black_box(encoded)));
        report.figure(&format!("encode_with_id_{name}_gb_per_s"), rate(|| object(&coder), with_id)?);
        let rebuild = |mut shards: Shards| {
            coder.rebuild(coded.manifest(), &mut shards).map(|rebuilt| drop(black_box(rebuilt)))
        };
        report.figure(&format!("rebuild_{name}_gb_per_s"), rate(|| parity_alone(&coded, k), rebuild)?);
    }
    Ok(report)
}

type Shards = Vec<Option<Vec<u8>>>;

/// GB of data per CPU second of `work`, on this thread alone; the first batch warms up.
fn rate<T>(ready: impl Fn() -> T, work: impl Fn(T) -> Result<(), CodecError>) -> Result<f64, Error> {
    let mut seconds = 0.0;
    for batch in 0..=BATCHES {
        let items: Vec<T> = (0..BATCH).map(|_| ready()).collect();
        let begun = cpu_seconds(std::process::id());
        items.into_iter().try_for_each(&work)?;
        if batch > 0 {
            seconds += cpu_seconds(std::process::id()) - begun;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a size")]
    let bytes = (OBJECT_BYTES * BATCH * BATCHES) as f64;
    Ok(bytes / GB / seconds)
}

fn object(coder: &Coder) -> Vec<u8> {
    let mut object = Vec::with_capacity(coder.codec().padded_bytes(OBJECT_BYTES));
    object.resize(OBJECT_BYTES, 0);
    ChaCha20Rng::seed_from_u64(1).fill_bytes(&mut object);
    object
}

/// Only the last k shards are there, all of them parity: the most work.
fn parity_alone(coded: &Encoded, k: u8) -> Shards {
    let lost = coded.shards().count() - usize::from(k);
    coded.shards().enumerate().map(|(index, shard)| (index >= lost).then(|| shard.to_vec())).collect()
}

//! Measures coding and rebuilding: the figures of `docs/protocol/erasure.md`.
//!
//! `cargo run -p cosmic-erasure --example measure_coding`. CPU time of this thread, GB (10^9) of object bytes a second.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program for people to run by hand"
)]

use std::{cell::RefCell, hint::black_box};

use cosmic_common::limit::OBJECT_MAX_BYTES;
use cosmic_erasure::{Codec, Coder, Encoded};
use rustix::time::{ClockId, clock_gettime};

/// The allocator of the houses: where the bytes of shards come from is part of what coding costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const OBJECTS: usize = 40;
/// Different objects, so that not all of them lie in the cache.
const DISTINCT: usize = 8;

type Places = Vec<Option<Vec<u8>>>;

fn main() {
    let objects: Vec<Vec<u8>> = (0..DISTINCT).map(object).collect();
    let hash = rate(
        |_| (),
        |number, ()| {
            black_box(blake3::hash(&objects[number % DISTINCT]));
        },
    );
    println!(
        "BLAKE3 of 4 MiB: {hash:.2} GB/s; codec: {}",
        reed_solomon_erasure::galois_8::active_backend_name()
    );
    for (k, n) in [(3, 6), (5, 10), (8, 14), (10, 20)] {
        measure(Codec::new(k, n).unwrap(), &objects);
    }
}

fn measure(codec: Codec, objects: &[Vec<u8>]) {
    let coder = Coder::new(codec).unwrap();
    let roomy = |number: usize| {
        let mut object = Vec::with_capacity(codec.padded_bytes(OBJECT_MAX_BYTES));
        object.extend_from_slice(&objects[number % DISTINCT]);
        object
    };
    let coded: Vec<Encoded> = objects.iter().map(|object| coder.encode(object.clone()).unwrap()).collect();
    let id = |number: usize| coded[number % DISTINCT].manifest().object();
    let known =
        rate(roomy, |number, object| drop(black_box(coder.encode_known(id(number), object).unwrap())));
    let encode = rate(roomy, |_, object| drop(black_box(coder.encode(object).unwrap())));
    let manifest =
        rate(|_| (), |number, ()| drop(black_box(coder.manifest(&objects[number % DISTINCT]).unwrap())));
    let rebuild = |keep: &dyn Fn(usize) -> bool| {
        let places = |number: usize| -> Places {
            let shards = coded[number % DISTINCT].shards().enumerate();
            shards.map(|(index, shard)| keep(index).then(|| shard.to_vec())).collect()
        };
        rate(places, |number, mut places| {
            drop(black_box(coder.rebuild(coded[number % DISTINCT].manifest(), &mut places).unwrap()));
        })
    };
    let data = rebuild(&|index| index < codec.k());
    let last = rebuild(&|index| index >= codec.n() - codec.k());
    println!(
        "{codec}: id known {known:.2}, encode {encode:.2}, manifest {manifest:.2}, \
         rebuild from data {data:.2}, from the last k {last:.2} GB/s"
    );
}

fn object(seed: usize) -> Vec<u8> {
    let mut bytes = vec![0; OBJECT_MAX_BYTES];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The median rate of `work`; what `prepare` does is not counted.
fn rate<T>(prepare: impl Fn(usize) -> T, work: impl Fn(usize, T)) -> f64 {
    let seconds = RefCell::new(Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        let mut total = 0.0;
        for number in 0..OBJECTS {
            let input = prepare(number);
            let begin = cpu_seconds();
            work(number, input);
            total += cpu_seconds() - begin;
        }
        seconds.borrow_mut().push(total);
    }
    let mut seconds = seconds.into_inner();
    seconds.sort_by(f64::total_cmp);
    (OBJECTS * OBJECT_MAX_BYTES) as f64 / seconds[ROUNDS / 2] / 1e9
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

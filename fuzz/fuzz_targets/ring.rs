//! Feeds the decoders of room `ring`.
#![no_main]

use cosmic_fuzz::{rooms::ring::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

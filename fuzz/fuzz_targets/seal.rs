//! Feeds the decoders of room `seal`.
#![no_main]

use cosmic_fuzz::{rooms::seal::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

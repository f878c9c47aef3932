//! Feeds the decoders of room `summary`.
#![no_main]

use cosmic_fuzz::{rooms::summary::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

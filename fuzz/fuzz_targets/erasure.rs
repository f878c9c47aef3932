//! Feeds the decoders of room `erasure`.
#![no_main]

use cosmic_fuzz::{rooms::erasure::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

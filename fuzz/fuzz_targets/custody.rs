//! Feeds the decoders of room `custody`.
#![no_main]

use cosmic_fuzz::{rooms::custody::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

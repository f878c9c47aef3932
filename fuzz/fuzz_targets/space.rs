//! Feeds the decoders of room `space`.
#![no_main]

use cosmic_fuzz::{rooms::space::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

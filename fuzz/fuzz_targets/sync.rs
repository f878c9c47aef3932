//! Feeds the decoders of room `sync`.
#![no_main]

use cosmic_fuzz::{rooms::sync::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

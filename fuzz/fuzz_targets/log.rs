//! Feeds the decoders of room `log`.
#![no_main]

use cosmic_fuzz::{rooms::log::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

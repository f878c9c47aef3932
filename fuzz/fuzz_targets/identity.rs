//! Feeds the decoders of room `identity`.
#![no_main]

use cosmic_fuzz::{rooms::identity::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

//! Feeds the decoders of room `turn`.
#![no_main]

use cosmic_fuzz::{rooms::turn::ROOM, seeds};

libfuzzer_sys::fuzz_target!(init: seeds::write(&ROOM), |bytes: &[u8]| ROOM.feed(bytes));

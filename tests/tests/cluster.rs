//! Real processes on loopback: what a person is promised, and what happens when processes are killed.
//!
//! `COSMIC_ROUNDS` sets how often processes are killed, `COSMIC_SEED` repeats the points at which they were.

#[cfg(test)]
mod cluster {
    mod backup;
    mod copies;
    mod deletion;
    mod door;
    mod files;
    mod full;
    mod healing;
    mod kills;
    mod leftovers;
    mod mistakes;
    mod notes;
    mod openapi;
    mod packs;
    mod promises;
    mod scrub;
    mod tampering;
}

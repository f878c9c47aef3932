//! Real processes on loopback: what a person is promised, and what happens when processes are killed.
//!
//! `COSMIC_ROUNDS` sets how many processes are killed in the storm, `COSMIC_SEED` repeats whom it hits, and when.

#[cfg(test)]
mod cluster {
    mod abuse;
    mod audits;
    mod backup;
    mod browsers;
    mod clock;
    mod cold;
    mod copies;
    mod covers;
    mod dead;
    mod deletion;
    mod door;
    mod files;
    mod full;
    mod ground;
    mod healing;
    mod kills;
    mod leftovers;
    mod load;
    mod look;
    mod migration;
    mod mistakes;
    mod moved;
    mod moving;
    mod nat;
    mod notes;
    mod openapi;
    mod packs;
    mod promises;
    mod recoding;
    mod regions;
    mod rehoming;
    mod s3;
    mod scrub;
    mod shelf;
    mod stops;
    mod summaries;
    mod tampering;
    mod trust;
    mod watching;
}

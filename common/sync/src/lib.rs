//! cosmic-sync.

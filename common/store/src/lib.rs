//! cosmic-store.

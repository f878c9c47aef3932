//! cosmic-ring.

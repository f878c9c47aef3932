//! cosmic-space.

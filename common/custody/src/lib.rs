//! cosmic-custody.

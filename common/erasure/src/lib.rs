//! cosmic-erasure.

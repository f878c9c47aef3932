//! cosmic-seal.

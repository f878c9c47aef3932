//! cosmic-runtime.

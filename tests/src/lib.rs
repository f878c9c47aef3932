//! cosmic-tests.

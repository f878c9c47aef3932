//! cosmic-loadtest.

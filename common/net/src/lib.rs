//! cosmic-net.

//! cosmic-log.

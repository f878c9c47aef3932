//! cosmic-bootstrap.

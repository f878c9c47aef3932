//! cosmic-identity.

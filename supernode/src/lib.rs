//! cosmic-supernode.

//! cosmic-node.

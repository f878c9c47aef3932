//! A bootstrap node from the front door.

//! Joining a network: its signed configuration, its members, and the ring table that follows from them.

//! Three members, a bootstrap node and a liar meet in memory.

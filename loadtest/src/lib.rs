//! Real networks of real processes: the demo, the benchmarks, and what cluster tests start.

pub mod process;

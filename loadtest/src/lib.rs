//! Real networks of real processes: the demo, the benchmarks, and what cluster tests start.

pub mod api;
pub mod bench;
pub mod canary;
pub mod demo;
pub mod hostile;
pub mod nat;
pub mod network;
pub mod process;
pub mod up;

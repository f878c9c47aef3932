//! Documents: what apps read and write, kept as CRDTs.

pub mod engine;
pub mod store;

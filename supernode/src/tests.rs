//! Supernodes and devices in one process, over the network in memory.

mod device;
mod entries;
mod hostile;
mod formats;
mod objects;
mod world;

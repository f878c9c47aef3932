//! Supernodes and devices in one process, over the network in memory.

mod care;
mod device;
mod entries;
mod formats;
mod hostile;
mod objects;
mod world;

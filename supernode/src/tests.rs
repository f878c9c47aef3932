//! Supernodes and devices in one process, over the network in memory.

mod abuse;
mod accounts;
mod audit;
mod care;
mod cold;
mod covers;
mod deletion;
mod device;
mod entries;
mod formats;
mod gateways;
mod handoff;
mod hostile;
mod moves;
mod objects;
mod packs;
mod recode;
mod regions;
mod scrub;
mod summaries;
mod world;

//! Every format at its own door: golden bytes, round trips, hostile bytes. And the rules that need no more than a ring.

mod choice;
mod formats;
mod handoff;
mod liveness;
mod meeting;
mod moves;
mod packs;
mod recode;
mod release;
mod removal;
mod retire;
pub(crate) mod rings;
mod samples;
mod targets;
mod work;

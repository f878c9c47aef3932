//! Every format at its own door: golden bytes, round trips, hostile bytes.

mod formats;
mod samples;

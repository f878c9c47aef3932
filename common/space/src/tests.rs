//! The rules of a space, tried at their own doors.

mod doors;
mod revocations;
mod world;

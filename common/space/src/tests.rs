//! The rules of a space, tried at their own doors.

mod bytes;
mod covers;
mod doors;
mod laws;
mod oracle;
mod revocations;
mod story;
mod world;

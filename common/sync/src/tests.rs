//! One session at its own door, and the bytes of its messages.

mod liars;
mod machine;
mod store;
mod wire;

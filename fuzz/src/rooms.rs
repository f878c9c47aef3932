//! The rooms, each with its decoders.

pub mod custody;
pub mod erasure;
pub mod identity;
pub mod log;
pub mod ring;
pub mod seal;
pub mod space;
pub mod summary;
pub mod sync;
pub mod turn;
